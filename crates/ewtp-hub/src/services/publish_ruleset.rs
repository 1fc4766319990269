//! Publishing a ruleset: the next version of its name, beside the others that are in force, and of a draft what was said about it.

use std::sync::Arc;

use ewtp_clearance::Ruleset;
use ewtp_proto::v1;
use tonic::{Response, Status};

use super::operator_service::random_failed;
use super::status;
use crate::consultations;
use crate::draft::{Draft, NewStatement};
use crate::shared::Shared;

/// Says a ruleset, and what it adopts.
pub(super) async fn publish(
    shared: &Arc<Shared>,
    request: v1::PublishRulesetRequest,
    account: &str,
) -> Result<Response<v1::PublishRulesetResponse>, Status> {
    let v1::PublishRulesetRequest { text, draft_id } = request;
    let ruleset = match Ruleset::parse(&text) {
        Ok(ruleset) => ruleset,
        Err(violations) => {
            return Ok(Response::new(v1::PublishRulesetResponse { ruleset: None, violations }));
        }
    };
    let act = Arc::clone(&shared.acts).lock_owned().await;
    let directory = shared.directory.load_full();
    let newest =
        directory.rulesets.iter().filter(|r| r.name == ruleset.name).map(|r| r.version).max();
    let due = newest.map_or(1, |v| v + 1);
    if ruleset.version != due {
        let message = format!(
            "{} is at version {}; set version = {due} in the file to publish the next one",
            ruleset.name,
            due - 1
        );
        return Err(status::field("version", message));
    }
    if let Some((field, message)) = beside(&directory.rulesets, &ruleset) {
        return Err(status::field(field, message));
    }
    let adopted = match draft_id.as_str() {
        "" => None,
        id => match consultations::adopting(shared, id, &ruleset).await {
            Ok(adopted) => Some(adopted),
            Err(error) => {
                let violations = status::unsaid(error)?;
                return Ok(Response::new(v1::PublishRulesetResponse { ruleset: None, violations }));
            }
        },
    };
    let core = v1::RulesetCore {
        name: ruleset.name.clone(),
        version: ruleset.version,
        digest: ruleset.digest.0.to_vec(),
        confidential: ruleset.confidential,
        text: if ruleset.confidential { String::new() } else { text.clone() },
        valid_from: ruleset.valid_from.to_string(),
        time_zone: ruleset.time_zone_name.clone(),
        draft: adopted.as_ref().map(|(draft, _)| draft.clone()).unwrap_or_default(),
    };
    let internal = v1::RulesetInternal {
        text: if ruleset.confidential { text } else { String::new() },
        account: account.to_owned(),
    };
    let statement = NewStatement::new("ruleset", &ruleset.name, u64::from(ruleset.version))
        .and_then(|s| s.part("core", &core))
        .and_then(|s| s.part("internal", &internal))
        .map_err(random_failed)?;
    let statements = std::iter::once(statement).chain(adopted.map(|(_, said)| said)).collect();
    let draft = Draft { statements, ..Draft::default() };
    shared.own.submit_act(draft, act).await.map_err(|e| status::draft(&e))?;
    let ruleset = v1::RulesetRef {
        name: ruleset.name,
        version: ruleset.version,
        digest: ruleset.digest.0.to_vec(),
        confidential: ruleset.confidential,
    };
    Ok(Response::new(v1::PublishRulesetResponse { ruleset: Some(ruleset), violations: Vec::new() }))
}

/// What a ruleset contradicts of those that stand: a name is of rules or of a tariff, and all tariffs speak one currency and zone,
/// since they are added up.
fn beside(all: &[Arc<Ruleset>], new: &Ruleset) -> Option<(&'static str, String)> {
    let kind = |r: &Ruleset| if r.is_tariff { "a tariff" } else { "a set of rules" };
    if let Some(same) = all.iter().find(|r| r.name == new.name && r.is_tariff != new.is_tariff) {
        return Some(("kind", format!("{} is {}; take another name", same.name, kind(same))));
    }
    // What holds beside it: of each other name the newest, on a day when both do.
    let newest = |r: &Ruleset| !all.iter().any(|o| o.name == r.name && o.version > r.version);
    let meets = |r: &Ruleset| {
        r.valid_until.is_none_or(|last| last >= new.valid_from)
            && new.valid_until.is_none_or(|last| last >= r.valid_from)
    };
    let others = all.iter().filter(|r| r.is_tariff && new.is_tariff && r.name != new.name);
    let others = others.filter(|r| newest(r) && meets(r));
    let speaks = |r: &Ruleset| (r.currency.clone(), r.time_zone_name.clone());
    let other = others.into_iter().find(|r| speaks(r) != speaks(new))?;
    let message = format!(
        "{} is in {} and {}: all tariffs of a hub have one currency and time zone",
        other.name, other.currency, other.time_zone_name
    );
    Some(("currency", message))
}
