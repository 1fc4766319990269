//! Mandates: given by the party itself, or entered by the agency for a party without an account.

use ewtp_log::hash::sha256;
use ewtp_proto::store::v1::StoredMandate;
use ewtp_proto::v1;
use ewtp_store::{StoreError, Views};
use ewtp_trade::finding::Say;
use ewtp_trade::mandate::Mandate;

use super::{Done, logged, refuse, refused};
use crate::directory::has_role;
use crate::draft::{Draft, NewStatement};
use crate::intake::IntakeError;
use crate::shared::Shared;

/// Roles that enter mandates for others.
const REGISTRARS: &[v1::Role] = &[v1::Role::Officer, v1::Role::Operator];

/// Gives, changes or revokes a mandate. The account that is entitled may give its own mandate back.
///
/// # Errors
/// [`IntakeError`].
pub async fn put(
    shared: &Shared,
    account: &v1::AccountRecord,
    core: v1::MandateCore,
) -> Result<Done, IntakeError> {
    let principal = account.registered_ids.contains(&core.principal_id);
    let gives_back = core.revoked && core.account == account.id;
    if !principal && !gives_back && !has_role(account, REGISTRARS) {
        let say = Say {
            code: "rights",
            allowed: "a registered id of this account; officers and operators enter mandates for others",
            fix: "have the party give it, or the agency enter it",
        };
        return Ok(refuse("mandate.principal_id", &core.principal_id, say));
    }
    if let Err(mut violations) = Mandate::parse(&core) {
        for violation in &mut violations {
            violation.path = format!("mandate.{}", violation.path);
        }
        return Ok(refused(violations));
    }
    let entitled = shared.directory.load().accounts.get(&core.account).cloned();
    if entitled.is_none_or(|a| a.closed) {
        let say = Say {
            code: "account-unknown",
            allowed: "an open account of this hub",
            fix: "list the accounts: ewtp account list",
        };
        return Ok(refuse("mandate.account", &core.account, say));
    }
    // Two acts at once must not become one version.
    let turn = std::sync::Arc::clone(&shared.acts).lock_owned().await;
    let before = Views(&*shared.store).mandate(&core.account, &core.principal_id).await?;
    if let Some(same) = before.as_ref().filter(|b| b.core.as_ref() == Some(&core)) {
        // Said again by who doesn't know what became of it: nothing changes.
        return Ok(Done::Logged(v1::StatementRef {
            hub: shared.identity.hub.to_string(),
            commitment: same.commitment.clone(),
            log_index: same.log_index,
        }));
    }
    let number = before.map_or(1, |b| b.version + 1);
    let pair = [core.account.as_bytes(), &[0], core.principal_id.as_bytes()];
    let internal = v1::FilingInternal { account: account.id.clone(), ..Default::default() };
    let subject = sha256(&pair).to_hex();
    let statement = NewStatement::new("mandate", &subject[..32], number)?
        .part("core", &core)?
        .part("internal", &internal)?;
    let draft = Draft { statements: vec![statement], ..Draft::default() };
    Ok(logged(shared, shared.own.submit_act(draft, turn).await?))
}

/// Mandates that an account may see: the agency all; others those of their own account, and of others those that their own
/// parties gave.
///
/// # Errors
/// Reading.
pub async fn list(
    shared: &Shared,
    caller: &v1::AccountRecord,
    request: &v1::ListMandatesRequest,
) -> Result<Vec<v1::Mandate>, StoreError> {
    let account = if request.account.is_empty() { &caller.id } else { &request.account };
    let size = match request.page_size as usize {
        0 => 100,
        n => n.min(1000),
    };
    let all = has_role(caller, crate::directory::AGENCY_ROLES) || *account == caller.id;
    let views = Views(&*shared.store);
    let found = if all {
        views.mandates(account, &request.after, size).await?
    } else {
        // Looked up one by one: a platform has very many, and the caller is few parties.
        let mut own: Vec<&String> =
            caller.registered_ids.iter().filter(|id| **id > request.after).collect();
        own.sort_unstable();
        let mut found = Vec::new();
        for party in own.into_iter().take(size) {
            found.extend(views.mandate(account, party).await?);
        }
        found
    };
    let at_ms = i64::try_from(shared.clock.now_ms()).unwrap_or(i64::MAX);
    let shown = |stored: StoredMandate| {
        let core = stored.core?;
        Some(v1::Mandate {
            in_force: Mandate::parse(&core).is_ok_and(|m| m.in_force(at_ms)),
            core: Some(core),
            version: stored.version,
            statement: Some(v1::StatementRef {
                hub: shared.identity.hub.to_string(),
                commitment: stored.commitment,
                log_index: stored.log_index,
            }),
        })
    };
    Ok(found.into_iter().filter_map(shown).collect())
}
