//! Adoption: an advance filing becomes an import filing of somebody who may be declarant at the destination, and who adds what
//! only they hold.

use std::sync::Arc;

use ewtp_log::Hash;
use ewtp_log::hash::sha256;
use ewtp_proto::store::v1::{CaseRecord, FilingRecord};
use ewtp_proto::{Message as _, v1};
use ewtp_store::{StoreError, Views};
use ewtp_trade::act::{self, Act};
use ewtp_trade::case;
use ewtp_trade::check_filing;
use ewtp_trade::finding::{Say, finding};
use ewtp_trade::forget::erased_numbers;
use v1::FilingType;

use crate::casebook::filing_of;
use crate::certificates;
use crate::connect;
use crate::draft::{DraftError, LrnClaim, NewStatement};
use crate::intake::{
    IntakeError, Joined, Route, conclude, first_answer, lrn_key, plan, refused, shows_code,
    untimely_finding,
};
use crate::shared::Shared;
use crate::standing;

/// Adopts a version of an advance filing. The answer is that of the import filing.
///
/// # Errors
/// [`IntakeError`].
pub async fn adopt(
    shared: &Arc<Shared>,
    account: &v1::AccountRecord,
    request: &v1::AdoptRequest,
) -> Result<v1::SubmitResponse, IntakeError> {
    let views = Views(&*shared.store);
    let no = |path: &str, value: &str, say: Say<'_>| {
        Ok(refused(vec![finding(path, value, say)], String::new()))
    };
    let case = views.case(&request.case_id).await?;
    let advance = case.as_ref().and_then(|c| case::filing(c, &request.filing_id));
    let (Some(case), Some(advance)) = (&case, advance) else {
        return no("case_id", &request.case_id, UNKNOWN);
    };
    if !may_adopt(shared, account, advance, &request.one_time_code).await? {
        // A case that one may not see and none at all look the same.
        return no("case_id", &request.case_id, UNKNOWN);
    }
    let added = request.filing.clone().unwrap_or_default();
    let lrn = added.core.as_ref().map(|c| c.lrn.clone()).unwrap_or_default();
    let key = lrn_key(shared, &account.id, &lrn);
    let claim = LrnClaim { key, digest: sha256(&[&request.encode_to_vec()]).0 };
    // The same again is answered as it was then, whatever the advance filing says by now.
    if let Some(first) = first_answer(shared, &lrn, &claim).await? {
        return Ok(first);
    }
    let stands = advance.stands.clone().unwrap_or_default();
    let held = views.statement(&stands.at.clone().unwrap_or_default()).await?;
    let held = held.map(|s| filing_of(&s)).unwrap_or_default();
    let merged = merge(held, added, &advance.filing_id);
    let checked = match check_filing(&merged, &shared.lists_now()) {
        Ok(checked) => checked,
        Err(violations) => return Ok(refused(violations, String::new())),
    };
    let unentitled = standing::unentitled(shared, account, checked.core).await?;
    let version = request.filing_version;
    let now = Act::Adopt { filing: &advance.filing_id, version };
    let refusal = match act::check(case, shared.identity.hub.as_str(), now) {
        Err(e) => vec![untimely_finding("filing_id", &request.filing_id, &e)],
        Ok(()) => unentitled,
    };
    if !refusal.is_empty() {
        return Ok(refused(refusal, String::new()));
    }
    let mut hubs = shared.hubs_of(case);
    hubs.extend(certificates::keepers_of(shared, &merged).await?);
    hubs.sort();
    hubs.dedup();
    let route = Route {
        audience: shared.filing_shown_to(&hubs, checked.core),
        assessed_by: shared.identity.hub.to_string(),
        unconnected: Vec::new(),
    };
    let joined =
        Joined { revision: Some((case.case_id.clone(), case.revision)), ..Joined::default() };
    let (mut draft, accepted) =
        plan(shared, &account.id, &checked, &joined, route, claim.clone(), String::new())?;
    let adoption = adoption(shared, account, case, advance, &accepted, &checked.core.declarant_id)?;
    draft.statements.push(adoption);
    draft.late = connect::late(shared, case, &draft.statements).await?;
    match shared.accounts.try_submit(draft).await {
        Err(busy @ DraftError::Busy { .. }) => {
            first_answer(shared, &lrn, &claim).await?.ok_or(busy.into())
        }
        outcome => conclude(shared, &checked, accepted, outcome).await,
    }
}

const UNKNOWN: Say<'static> = Say {
    code: "case-unknown",
    allowed: "a case whose importer is this account or gave it a mandate, or whose one-time code is given",
    fix: "ask the exporter for the one-time code of the advance filing",
};

/// The right to adopt: the importer that the filing names, the holder of its fiscal reference, who represents one of them, or
/// who was given the code.
async fn may_adopt(
    shared: &Shared,
    account: &v1::AccountRecord,
    advance: &FilingRecord,
    code: &str,
) -> Result<bool, StoreError> {
    if shows_code(advance, code) {
        return Ok(true);
    }
    // The holder of the fiscal reference owes the tax of what is sold under it (IOSS).
    for party in [advance.importer_id.as_str(), advance.fiscal_reference.as_str()] {
        let named = !party.is_empty();
        if named && standing::may_file_for(shared, account, party, FilingType::Import).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The import filing: parts that the adopter hands in, else those of the advance filing; and a core in which the adopter's
/// own elements stand in place of the filer's.
fn merge(held: v1::Filing, added: v1::Filing, advance_id: &str) -> v1::Filing {
    let mut core = held.core.unwrap_or_default();
    let given = added.core.unwrap_or_default();
    let take = |into: &mut String, from: &String| {
        if !from.is_empty() {
            into.clone_from(from);
        }
    };
    core.r#type = FilingType::Import as i32;
    core.function = v1::FilingFunction::Original as i32;
    core.lrn = given.lrn;
    core.declarant_id = given.declarant_id;
    core.agent_id = given.agent_id;
    core.agent_status = given.agent_status;
    core.mrn = given.mrn;
    core.adopts = advance_id.to_owned();
    core.filing_id.clear();
    core.completes.clear();
    core.partial = false;
    core.synthesised.clear();
    take(&mut core.importer_id, &given.importer_id);
    take(&mut core.importer_name, &given.importer_name);
    take(&mut core.retention_class, &given.retention_class);
    if !given.items.is_empty() {
        core.items = given.items;
    }
    v1::Filing {
        core: Some(core),
        parties: added.parties.or(held.parties),
        goods: added.goods.or(held.goods),
        value: added.value.or(held.value),
        authority: added.authority,
        signature: added.signature,
    }
}

fn adoption(
    shared: &Shared,
    account: &v1::AccountRecord,
    case: &CaseRecord,
    advance: &FilingRecord,
    import: &v1::Accepted,
    declarant_id: &str,
) -> Result<NewStatement, getrandom::Error> {
    let filed = advance.stands.clone().unwrap_or_default().commitment;
    let core = v1::AdoptionCore {
        case_id: case.case_id.clone(),
        filing_id: advance.filing_id.clone(),
        filing_version: advance.version,
        filing: filed.clone(),
        declarant_id: declarant_id.to_owned(),
        import_filing_id: import.filing_id.clone(),
    };
    let before = case.adoptions.iter().filter(|a| {
        a.filing_id == advance.filing_id
            && case::hub(a.stands.as_ref()) == shared.identity.hub.as_str()
    });
    let erased = erased_numbers(case, "adoption", &advance.filing_id).count();
    let number = (before.count() + erased) as u64 + 1;
    let internal = v1::FilingInternal { account: account.id.clone(), ..Default::default() };
    let mut statement = NewStatement::new("adoption", &advance.filing_id, number)?
        .part("core", &core)?
        .part("authority", &v1::DecisionAuthority::default())?
        .part("internal", &internal)?;
    statement.refs.extend(Hash::from_slice(&filed));
    statement.audience = shared.shown_to(&shared.hubs_of(case), "adoption");
    Ok(statement)
}
