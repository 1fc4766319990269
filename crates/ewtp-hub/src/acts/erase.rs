//! Erasure of an attachment by order or rule: said to all who have it from here, before the bytes go.

use ewtp_log::Hash;
use ewtp_proto::v1;
use ewtp_trade::finding::Say;

use super::{Done, begin, is_code, log_in, refuse};
use crate::attachments::{cited, erased, forget};
use crate::draft::{Draft, NewStatement};
use crate::intake::IntakeError;
use crate::shared::Shared;

/// Erases an attachment that this hub was given.
///
/// # Errors
/// [`IntakeError`].
pub async fn erase(
    shared: &Shared,
    account: &v1::AccountRecord,
    request: &v1::EraseAttachmentRequest,
) -> Result<Done, IntakeError> {
    let key = &request.idempotency_key;
    let (case, claim) = match begin(shared, account, &request.case_id, key, request).await? {
        Ok(begun) => begun,
        Err(done) => return Ok(done),
    };
    if !is_code(&request.reason) {
        let say = Say {
            code: "reason-code",
            allowed: "1 to 32 characters of A-Z, 0-9 and -",
            fix: "give the rule or order as a code, such as RETENTION-7Y",
        };
        return Ok(refuse("reason", &request.reason, say));
    }
    let me = shared.identity.hub.as_str();
    let all = cited(&*shared.store, &case).await?;
    let given_here = all.iter().find(|c| c.reference.digest == request.digest);
    let digest = <[u8; 32]>::try_from(request.digest.as_slice());
    let open = erased(&case, &request.digest).is_none();
    let (Some(cited), Ok(digest)) = (given_here.filter(|c| c.stands.hub == me && open), digest)
    else {
        let say = Say {
            code: "attachment-unknown",
            allowed: "an attachment that a statement of this hub cites and that was not erased",
            fix: "the hub that was given it erases it; show the case: ewtp case show",
        };
        let shown = Hash::from_slice(&request.digest).map(Hash::to_hex).unwrap_or_default();
        return Ok(refuse("digest", &shown, say));
    };
    let core = v1::ErasureCore {
        case_id: case.case_id.clone(),
        digest: digest.to_vec(),
        reason: request.reason.clone(),
        ..Default::default()
    };
    let internal = v1::DecisionInternal { identity: account.id.clone(), ..Default::default() };
    let mut statement = NewStatement::new("erasure", &Hash(digest).to_hex(), 1)?
        .part("core", &core)?
        .part("authority", &v1::DecisionAuthority::default())?
        .part("internal", &internal)?;
    statement.refs.extend(Hash::from_slice(&cited.stands.commitment));
    statement.audience = shared.shown_to(&shared.hubs_of(&case), "erasure");
    let draft = Draft {
        statements: vec![statement],
        revisions: vec![(case.case_id.clone(), case.revision)],
        lrn: Some(claim),
        ..Draft::default()
    };
    let done = log_in(shared, &case, draft).await?;
    forget(shared, &digest).await;
    Ok(done)
}
