//! Erasure of what was said in a case, by an officer's order.

use ewtp_log::statement::name_is_valid;
use ewtp_proto::v1;
use ewtp_trade::finding::{Say, finding};
use ewtp_trade::forget::is_over;

use super::{Done, begin, is_code, log, refuse, refused};
use crate::attachments;
use crate::forgetting::{self, Asked, Found, Reach};
use crate::intake::IntakeError;
use crate::shared::Shared;

/// Parts named in one order.
const PARTS_MAX: usize = 16;

/// Erases a case, or parts of all its statements, as far as no rule keeps them.
///
/// # Errors
/// [`IntakeError`].
pub async fn erase(
    shared: &Shared,
    account: &v1::AccountRecord,
    request: &v1::EraseCaseRequest,
) -> Result<v1::EraseCaseResponse, IntakeError> {
    let key = &request.idempotency_key;
    let (case, claim) = match begin(shared, account, &request.case_id, key, request).await? {
        Ok(begun) => begun,
        Err(done) => return Ok(answer(done)),
    };
    if let Some(wrong) = misread(request) {
        return Ok(answer(wrong));
    }
    let now_ms = shared.clock.now_ms();
    if request.parts.is_empty() && !request.override_rules && !is_over(&case, now_ms) {
        let say = Say {
            code: "case-open",
            allowed: "a case that is released, returned, destroyed, withdrawn or lapsed",
            fix: "let its filer withdraw it first: ewtp invalidate; or name parts, or order it all the same: --override-rules",
        };
        return Ok(answer(refuse("case_id", &case.case_id, say)));
    }
    let rules = match request.override_rules {
        true => Vec::new(),
        false => shared.config.retention.rules(),
    };
    let meant = |_: &Found| Some(Asked::Ordered { parts: &request.parts, reason: &request.reason });
    let found = forgetting::found(&*shared.store, &case).await?;
    let mut going = forgetting::plan(&*shared.store, &rules, &case, &found, meant, now_ms).await?;
    let kept = std::mem::take(&mut going.kept);
    if going.erases.is_empty() {
        return Ok(answer(nothing(&case.case_id, &request.parts, &kept)));
    }
    let statements = going.erases.len() as u64;
    let told = forgetting::told(shared, &case).iter().map(ToString::to_string).collect();
    let mut draft =
        forgetting::draft(shared, &case, going, Reach::Case(&request.parts), &account.id)?;
    draft.lrn = Some(claim);
    let gone = draft.attachments_erased();
    // Without what was said before: nobody is told it for the first time now.
    let done = log(shared, draft).await?;
    for digest in gone {
        attachments::forget(shared, &digest).await;
    }
    let compacted_within_s = shared.config.retention.cadence_s;
    Ok(v1::EraseCaseResponse { statements, told, kept, compacted_within_s, ..answer(done) })
}

fn answer(done: Done) -> v1::EraseCaseResponse {
    use v1::erase_case_response::Result as Outcome;
    let result = Some(match done {
        Done::Logged(logged) => Outcome::Logged(logged),
        Done::Refused(refused) => Outcome::Refused(refused),
    });
    v1::EraseCaseResponse { result, ..Default::default() }
}

fn misread(request: &v1::EraseCaseRequest) -> Option<Done> {
    let mut wrong = Vec::new();
    if !is_code(&request.reason) {
        let say = Say {
            code: "reason-code",
            allowed: "1 to 32 characters of A-Z, 0-9 and -",
            fix: "give the rule or order as a code, such as COURT-2026-117",
        };
        wrong.push(finding("reason", &request.reason, say));
    }
    let names =
        |p: &String| (1..=32).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_lowercase());
    if request.parts.len() > PARTS_MAX || !request.parts.iter().all(names) {
        let say = Say {
            code: "part-name",
            allowed: "names of parts such as parties, goods, value, trader, authority",
            fix: "name parts as the case shows them, or none for all of it",
        };
        wrong.push(finding("parts", &request.parts.join(","), say));
    }
    (!wrong.is_empty()).then(|| refused(wrong))
}

/// Part names as an order may have them.
pub(crate) fn are_parts(names: &[String]) -> bool {
    names.len() <= PARTS_MAX && names.iter().all(|n| name_is_valid(n))
}

fn nothing(case_id: &str, parts: &[String], kept: &[v1::Kept]) -> Done {
    let Some(longest) = kept.iter().max_by_key(|k| k.until_ms) else {
        if !parts.is_empty() {
            let say = Say {
                code: "nothing-to-erase",
                allowed: "parts that this hub holds of the case, such as parties, goods, value, trader, authority",
                fix: "look at the name; or it was erased before: ewtp case show tells when",
            };
            return refuse("parts", &parts.join(","), say);
        }
        let say = Say {
            code: "nothing-to-erase",
            allowed: "a case of which this hub holds what was asked for",
            fix: "it was erased before: ewtp case show tells when and by which rule",
        };
        return refuse("case_id", case_id, say);
    };
    let until = u64::try_from(longest.until_ms).unwrap_or_default();
    let value = format!("{} until {}", longest.rule, ewtp_log::statement::format_time(until));
    let say = Say {
        code: "kept-by-rule",
        allowed: "what no retention rule of this hub keeps",
        fix: "wait for the end of its retention, or order it over the rule: --override-rules",
    };
    refuse("case_id", &value, say)
}
