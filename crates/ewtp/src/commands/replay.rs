//! `ewtp case replay`: decides again here, with the same pure function, from what receipts prove.

use std::path::Path;
use std::process::ExitCode;

use ewtp_clearance::decide::{Input, Outcome, Without, decide};
use ewtp_clearance::recognition::Recognised;
use ewtp_clearance::{Facts, Ruleset};
use ewtp_log::hash::sha256;
use ewtp_log::receipt::Receipt;
use ewtp_log::statement::open_part;
use ewtp_proto::{Message, v1};
use ewtp_trust::Chain;
use serde_json::json;

use crate::commands::{case, case_erase, receipt};
use crate::error::CliError;
use crate::output::Output;
use crate::session::Session;

/// A decision that was proven, with the parts that its receipt shows.
struct ProvenDecision {
    core: v1::DecisionCore,
    trader: v1::DecisionTrader,
    authority: Option<v1::DecisionAuthority>,
    facts: Vec<u8>,
}

fn part<M: Message + Default>(receipt: &Receipt, name: &str) -> Option<M> {
    let (_, blob) = receipt.parts.iter().find(|(n, _)| n == name)?;
    M::decode(open_part(name, blob).ok()?).ok()
}

fn proven(text: &str, chain: &str) -> Result<Receipt, CliError> {
    let receipt = Receipt::parse(text)?;
    receipt.verify(&Chain::verify_file(chain)?.receipt_trust())?;
    Ok(receipt)
}

pub(crate) async fn run(
    profile: Option<&Path>,
    name: &str,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let case = case::find(&session, name).await?;
    let (mut rows, mut lines, mut agree) = (Vec::new(), Vec::new(), true);
    for decision in &case.decisions {
        let Some(statement) = &decision.statement else { continue };
        let (text, chain) = receipt::fetch(&session, &case.case_id, statement, false).await?;
        let receipt = proven(&text, &chain)?;
        let verdict = match open(&receipt) {
            Some(proven) => replay(&session, &statement.hub, &case, &proven).await?,
            None => Verdict::Cannot(why_closed(&case, statement)),
        };
        agree &= !matches!(verdict, Verdict::Differs(_));
        let effect = decision.core.as_ref().map(v1::DecisionCore::effect).unwrap_or_default();
        let effect = effect.as_str_name().trim_start_matches("EFFECT_").to_ascii_lowercase();
        let (word, detail) = verdict.words();
        rows.push(vec![effect.clone(), statement.hub.clone(), word.into(), detail.clone()]);
        lines.push(
            json!({"effect": effect, "hub": statement.hub, "replay": word, "detail": detail}),
        );
    }
    for gone in case.erased.iter().filter(|e| e.parts.is_empty() && e.kind == "decision") {
        let hub = gone.statement.as_ref().map(|s| s.hub.clone()).unwrap_or_default();
        let detail = case_erase::still_proven(&session, &case.case_id, gone).await?;
        rows.push(vec![String::new(), hub.clone(), "erased".into(), detail.clone()]);
        lines.push(json!({"effect": "", "hub": hub, "replay": "erased", "detail": detail}));
    }
    out.table(&["effect", "decided by", "replay", "detail"], &rows, &json!(lines));
    Ok(if agree { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Why a decision can't be opened: a part of it was erased, or isn't shown to this account.
fn why_closed(case: &v1::Case, decision: &v1::StatementRef) -> String {
    let gone = case.erased.iter().find(|e| e.statement.as_ref() == Some(decision));
    match gone {
        Some(gone) => {
            format!("its {} was erased: {} of {}", gone.parts.join(", "), gone.reason, gone.by)
        }
        None => "the receipt shows no facts".to_owned(),
    }
}

fn open(receipt: &Receipt) -> Option<ProvenDecision> {
    let trader: v1::DecisionTrader = part(receipt, "trader")?;
    let internal: Option<v1::DecisionInternal> = part(receipt, "internal");
    let seen = internal.map(|i| i.facts).filter(|f| !f.is_empty());
    let facts = seen.unwrap_or_else(|| trader.facts.clone());
    Some(ProvenDecision {
        core: part(receipt, "core")?,
        authority: part(receipt, "authority"),
        trader,
        facts,
    })
}

enum Verdict {
    /// Same code, same reasons.
    Agrees(String),
    /// Not what was decided.
    Differs(String),
    /// Can't be run again here.
    Cannot(String),
}

impl Verdict {
    fn words(&self) -> (&'static str, String) {
        match self {
            Self::Agrees(d) => ("agrees", d.clone()),
            Self::Differs(d) => ("differs", d.clone()),
            Self::Cannot(d) => ("can't be re-run", d.clone()),
        }
    }
}

/// What a decision cites.
#[derive(Default)]
struct Cited {
    public: Option<Ruleset>,
    confidential: Option<Ruleset>,
    tariffs: Vec<Ruleset>,
    /// Something public can't be had here.
    missing: bool,
}

/// Rulesets whose digest is the one that the decision cites: own ones proven by their receipts, a peer's public ones by the
/// digest alone, which the decision's own receipt proves.
async fn rulesets(
    session: &Session,
    hub: &str,
    core: &v1::DecisionCore,
) -> Result<Cited, CliError> {
    let mut out = Cited::default();
    for cited in &core.rulesets {
        let text = text_of(session, hub, cited).await?;
        let Some(ruleset) = text.and_then(|t| Ruleset::parse(&t).ok()) else {
            out.missing |= !cited.confidential;
            continue;
        };
        match (cited.confidential, ruleset.is_tariff) {
            (true, _) => out.confidential = Some(ruleset),
            (false, true) => out.tariffs.push(ruleset),
            (false, false) => out.public = Some(ruleset),
        }
    }
    Ok(out)
}

/// The text of a ruleset that a hub's decision cites, if it can be had here.
pub(crate) async fn text_of(
    session: &Session,
    hub: &str,
    cited: &v1::RulesetRef,
) -> Result<Option<String>, CliError> {
    let text = match own_text(session, cited).await? {
        Some(text) => Some(text),
        None => {
            let request = v1::GetRulesetRequest {
                digest: cited.digest.clone(),
                hub: hub.to_owned(),
                ..Default::default()
            };
            session.trade().get_ruleset(request).await.ok().map(|r| r.into_inner().text)
        }
    };
    Ok(text.filter(|t| sha256(&[t.as_bytes()]).0.as_slice() == cited.digest))
}

/// The facts of a decision, from its receipt.
pub(crate) async fn facts_of(
    session: &Session,
    case: &v1::Case,
    decision: &v1::CaseDecision,
) -> Result<Option<Vec<u8>>, CliError> {
    let Some(statement) = &decision.statement else { return Ok(None) };
    let (text, chain) = receipt::fetch(session, &case.case_id, statement, false).await?;
    Ok(open(&proven(&text, &chain)?).map(|d| d.facts).filter(|f| !f.is_empty()))
}

async fn own_text(session: &Session, cited: &v1::RulesetRef) -> Result<Option<String>, CliError> {
    let request = v1::GetReceiptRequest {
        ruleset: cited.name.clone(),
        ruleset_version: cited.version,
        ..Default::default()
    };
    let Ok(response) = session.trade().get_receipt(request).await else { return Ok(None) };
    let response = response.into_inner();
    let receipt = proven(&response.receipt, &response.descriptors)?;
    Ok(if cited.confidential {
        part::<v1::RulesetInternal>(&receipt, "internal").map(|i| i.text)
    } else {
        part::<v1::RulesetCore>(&receipt, "core").map(|c| c.text)
    })
}

async fn replay(
    session: &Session,
    hub: &str,
    case: &v1::Case,
    proven: &ProvenDecision,
) -> Result<Verdict, CliError> {
    let core = &proven.core;
    if core.source() != v1::DecisionSource::Rules {
        return Ok(Verdict::Cannot("an officer or a system decided".into()));
    }
    let cited = rulesets(session, hub, core).await?;
    let (tariffs, confidential) = (cited.tariffs.iter().collect::<Vec<_>>(), cited.confidential);
    let Some(public) = cited.public.filter(|_| !cited.missing) else {
        return Ok(Verdict::Cannot(
            "this hub doesn't hold a ruleset or tariff that is cited; replay at the hub that decided".into(),
        ));
    };
    let Ok(facts) = Facts::from_json(&proven.facts) else {
        return Ok(Verdict::Differs("the facts are no document of facts".into()));
    };
    let mut filing = case.filings.iter().filter_map(|f| f.filing.as_ref()?.core.as_ref());
    let filed = filing.find(|c| c.filing_id == core.filing_id);
    let Some(filed) = filed else {
        return Ok(Verdict::Cannot("the filing that it decided isn't shown, or was erased".into()));
    };
    let (kind, adopted) = (filed.r#type(), !filed.adopts.is_empty());
    let whole = core.rulesets.iter().all(|r| !r.confidential) || confidential.is_some();
    let confidential = confidential.as_ref();
    let draw = proven.authority.as_ref().and_then(|a| a.draw);
    let input = Input {
        kind,
        adopted,
        facts: &facts,
        public: &public,
        confidential,
        tariffs: &tariffs,
        draw,
    };
    let outcome = decide(input);
    let Outcome::Decided(all) = outcome else {
        return Ok(Verdict::Differs("the rules now ask or fail".into()));
    };
    let Some(again) = all.into_iter().find(|d| d.effect == core.effect()) else {
        return Ok(Verdict::Differs("no decision on this effect".into()));
    };
    let reasons = again.reasons == proven.trader.reasons
        && again.needed == proven.trader.needed
        && again.rules_fired == proven.trader.rules_fired
        && again.insufficient_scope == core.insufficient_scope
        && again.conditions == core.conditions
        && again.relied_upon.iter().map(Recognised::named).eq(proven
            .trader
            .recognised
            .iter()
            .cloned())
        && (proven.trader.facts.is_empty() || again.estimate == proven.trader.estimate);
    let same_code = again.code == core.code();
    let authority = proven.authority.as_ref().is_none_or(|a| {
        a.reasons == again.authority_reasons
            && a.rules_fired == again.authority_rules_fired
            && again
                .authority_relied_upon
                .iter()
                .map(Recognised::named)
                .eq(a.recognised.iter().cloned())
            && a.without == again.without.as_ref().map(Without::named)
    });
    let basis = core.basis.as_ref().map_or(0, |b| b.own_size);
    let code = core.code().as_str_name().trim_start_matches("DECISION_CODE_");
    Ok(match (whole, same_code && reasons && authority, reasons) {
        (true, true, _) => Verdict::Agrees(format!("{code}, as known at log size {basis}")),
        (false, _, true) => Verdict::Agrees("the public rules; selection is not included".into()),
        _ => Verdict::Differs(format!(
            "decided {code}, the rules give {}",
            again.code.as_str_name().trim_start_matches("DECISION_CODE_")
        )),
    })
}
