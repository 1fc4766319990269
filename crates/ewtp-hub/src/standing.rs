//! Who may see and say what: accounts, the parties that are registered with them, and mandates.

use std::collections::HashSet;

use ewtp_proto::store::v1::{CaseRecord, FilingRecord};
use ewtp_proto::v1;
use ewtp_store::{StoreError, Views, Whose};
use ewtp_trade::finding::{Say, finding};
use ewtp_trade::mandate::Mandate;

use crate::directory::{AGENCY_ROLES, has_role};
use crate::shared::Shared;

/// Mandates of one account that are read at once.
const MANDATES_PAGE: usize = 1000;
/// Most accounts and parties whose cases are merged by index; above, all cases are looked through.
pub(crate) const MERGED_MAX: usize = 64;

/// Whose cases an account sees: the agency all; others those they filed in, those that name a registered id of theirs, and
/// those of principals whose mandate is in force.
///
/// # Errors
/// Reading.
pub async fn whose(shared: &Shared, account: &v1::AccountRecord) -> Result<Whose, StoreError> {
    if has_role(account, AGENCY_ROLES) {
        return Ok(Whose::All);
    }
    let mut parties: HashSet<String> = account.registered_ids.iter().cloned().collect();
    let (views, now_ms) = (Views(&*shared.store), shared.clock.now_ms());
    let mut after = String::new();
    loop {
        let page = views.mandates(&account.id, &after, MANDATES_PAGE).await?;
        let more = page.len() == MANDATES_PAGE;
        for core in page.into_iter().filter_map(|m| m.core) {
            after.clone_from(&core.principal_id);
            let at_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
            if Mandate::parse(&core).is_ok_and(|m| m.in_force(at_ms)) {
                parties.insert(core.principal_id);
            }
        }
        if !more {
            break;
        }
    }
    Ok(Whose::Of { accounts: vec![account.id.clone()], parties })
}

/// Whether an account sees a case; cheaper than [`whose`] for an account with many mandates.
///
/// # Errors
/// Reading.
pub async fn sees(
    shared: &Shared,
    account: &v1::AccountRecord,
    accounts: &[String],
    parties: &[String],
) -> Result<bool, StoreError> {
    if has_role(account, AGENCY_ROLES) || accounts.contains(&account.id) {
        return Ok(true);
    }
    for party in parties {
        if stands_for(shared, account, party).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A case that an account sees.
///
/// # Errors
/// Reading.
pub async fn case_of(
    shared: &Shared,
    account: &v1::AccountRecord,
    id: &str,
) -> Result<Option<CaseRecord>, StoreError> {
    let Some(case) = Views(&*shared.store).case(id).await? else { return Ok(None) };
    let seen = sees(shared, account, &case.accounts, &case.parties).await?;
    Ok(Some(case).filter(|c| seen && !(c.filings.is_empty() && c.forgotten.is_empty())))
}

/// Whether an account sees more of a filing than its core: who filed it, and those whom it names as its own parties or who gave
/// these a mandate. Carriers and other filers of a case see cores.
///
/// # Errors
/// Reading.
pub async fn sees_parts(
    shared: &Shared,
    account: &v1::AccountRecord,
    filed_by: &str,
    core: &v1::FilingCore,
) -> Result<bool, StoreError> {
    if has_role(account, AGENCY_ROLES) || filed_by == account.id {
        return Ok(true);
    }
    let mut parties = vec![&core.declarant_id, &core.agent_id];
    match core.r#type() {
        v1::FilingType::Export => parties.push(&core.exporter_id),
        v1::FilingType::Import => parties.push(&core.importer_id),
        _ => parties.extend([&core.exporter_id, &core.importer_id]),
    }
    for party in parties.into_iter().filter(|p| !p.is_empty()) {
        if stands_for(shared, account, party).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an account is a party, or has its mandate for something.
async fn stands_for(
    shared: &Shared,
    account: &v1::AccountRecord,
    party: &str,
) -> Result<bool, StoreError> {
    if account.registered_ids.iter().any(|id| id == party) {
        return Ok(true);
    }
    let mandate = Views(&*shared.store).mandate(&account.id, party).await?.and_then(|m| m.core);
    let at_ms = i64::try_from(shared.clock.now_ms()).unwrap_or(i64::MAX);
    Ok(mandate.is_some_and(|core| Mandate::parse(&core).is_ok_and(|m| m.in_force(at_ms))))
}

/// Whether an account may file this kind of filing for a party: it is that party, or has its mandate.
///
/// # Errors
/// Reading.
pub async fn may_file_for(
    shared: &Shared,
    account: &v1::AccountRecord,
    party: &str,
    kind: v1::FilingType,
) -> Result<bool, StoreError> {
    if account.registered_ids.iter().any(|id| id == party) {
        return Ok(true);
    }
    let mandate = Views(&*shared.store).mandate(&account.id, party).await?.and_then(|m| m.core);
    let at_ms = i64::try_from(shared.clock.now_ms()).unwrap_or(i64::MAX);
    Ok(mandate.is_some_and(|core| Mandate::parse(&core).is_ok_and(|m| m.allows(kind, at_ms))))
}

/// The same for a filing that was logged: who filed it may go on with it as long as it may file for these parties.
///
/// # Errors
/// Reading.
pub async fn no_longer_entitled(
    shared: &Shared,
    account: &v1::AccountRecord,
    filing: &FilingRecord,
) -> Result<Vec<v1::Finding>, StoreError> {
    let at = filing.stands.as_ref().and_then(|s| s.at.clone()).unwrap_or_default();
    let statement = Views(&*shared.store).statement(&at).await?;
    let core = statement.and_then(|s| s.part::<v1::FilingCore>("core")).unwrap_or_default();
    unentitled(shared, account, &core).await
}

/// Parties in whose name an account files without being entitled: declarant (else exporter), and agent.
///
/// # Errors
/// Reading.
pub async fn unentitled(
    shared: &Shared,
    account: &v1::AccountRecord,
    core: &v1::FilingCore,
) -> Result<Vec<v1::Finding>, StoreError> {
    let principal = match core.declarant_id.as_str() {
        "" => ("core.exporter_id", core.exporter_id.as_str()),
        declarant => ("core.declarant_id", declarant),
    };
    let mut out = Vec::new();
    for (path, party) in [principal, ("core.agent_id", core.agent_id.as_str())] {
        if !party.is_empty() && !may_file_for(shared, account, party, core.r#type()).await? {
            let say = Say {
                code: "mandate-missing",
                allowed: "a registered id of this account, or a party whose mandate for this kind of filing is in force",
                fix: "have the party give a mandate (ewtp mandate give), or its id registered with this account",
            };
            out.push(finding(path, party, say));
        }
    }
    Ok(out)
}
