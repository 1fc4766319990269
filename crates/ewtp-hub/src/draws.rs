//! Random draws for confidential rules: keys by period, their digests logged before they are used, and all of it shown to
//! auditors once a period is over.

use ewtp_clearance::draw::{self, PeriodKey};
use ewtp_log::Hash;
use ewtp_proto::store::v1::{CaseRecord, DecisionRecord, StoredDrawKey};
use ewtp_proto::v1;
use ewtp_store::{StoreError, Views};
use ewtp_trade::case::hub;

use crate::casebook::{Viewer, reference};
use crate::draft::{Draft, DraftError, NewStatement};
use crate::prove::receipt_of_own;
use crate::shared::Shared;

/// Cases that one page looks through.
const CASES: usize = 500;

/// Why there is no draw.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key's digest could not be logged.
    #[error("the digest of the draw key could not be logged: {0}")]
    Draft(#[from] DraftError),
    /// No randomness.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
}

/// First instant of the period that holds an instant, and of the next one, Unix milliseconds.
fn period(shared: &Shared, at_ms: u64) -> (u64, u64) {
    let length = shared.config.desk.draw_period_s * 1000;
    let from = at_ms / length * length;
    (from, from + length)
}

fn key(shared: &Shared, from_ms: u64) -> PeriodKey {
    draw::period_key(&*shared.lrn_key, from_ms)
}

/// The draw for a filing that is decided now. The digests of this period's key and of the next one's are logged first.
///
/// # Errors
/// [`DrawError`].
pub async fn draw(shared: &Shared, now_ms: u64, filing: &Hash) -> Result<u32, DrawError> {
    let (from, next) = period(shared, now_ms);
    for from in [from, next] {
        if Views(&*shared.store).draw_key(from).await?.is_none() {
            shared.own.submit(digest_draft(shared, from)?).await?;
        }
    }
    Ok(draw::draw(&key(shared, from), filing))
}

fn digest_draft(shared: &Shared, from: u64) -> Result<Draft, getrandom::Error> {
    let (from, until) = period(shared, from);
    let core = v1::DrawKeyCore {
        from_ms: i64::try_from(from).unwrap_or(i64::MAX),
        until_ms: i64::try_from(until).unwrap_or(i64::MAX),
        digest: draw::key_digest(&key(shared, from)).0.to_vec(),
    };
    let statement = NewStatement::new("draw-key", &format!("draw/{from}"), 1)?
        .part("core", &core)?
        .part("internal", &v1::DecisionInternal::default())?;
    Ok(Draft { statements: vec![statement], ..Draft::default() })
}

/// The periods of which a digest is logged; the key of each that is over.
///
/// # Errors
/// Reading.
pub async fn periods(shared: &Shared) -> Result<Vec<v1::DrawPeriod>, StoreError> {
    let descriptors = shared.chain.load().to_file();
    let mut out = Vec::new();
    for stored in Views(&*shared.store).draw_keys().await? {
        let receipt = receipt_of_own(shared, stored.log_index, Viewer::Agency, &[], None).await?;
        let from = stored.core.as_ref().map_or(0, |c| c.from_ms);
        let over = is_over(shared, &stored);
        out.push(v1::DrawPeriod {
            core: stored.core,
            logged_ms: i64::try_from(stored.logged_ms).unwrap_or(i64::MAX),
            receipt: receipt.unwrap_or_default(),
            descriptors: descriptors.clone(),
            key: match over {
                true => key(shared, u64::try_from(from).unwrap_or_default()).to_vec(),
                false => Vec::new(),
            },
        });
    }
    Ok(out)
}

/// Whether the period of a key has ended by the hub's clock, so that nothing more is drawn with it.
fn is_over(shared: &Shared, stored: &StoredDrawKey) -> bool {
    let until =
        stored.core.as_ref().map_or(u64::MAX, |c| u64::try_from(c.until_ms).unwrap_or(u64::MAX));
    until <= shared.clock.now_ms()
}

/// A page of the draws of a period, by case; `None` where the period is not over or unknown.
///
/// # Errors
/// Reading.
pub async fn list(
    shared: &Shared,
    from_ms: u64,
    from_case: u64,
) -> Result<Option<(Vec<v1::Draw>, Option<u64>)>, StoreError> {
    let views = Views(&*shared.store);
    let Some(stored) = views.draw_key(from_ms).await?.filter(|s| is_over(shared, s)) else {
        return Ok(None);
    };
    let core = stored.core.unwrap_or_default();
    let cases = views.cases(&ewtp_store::Whose::All, from_case, CASES).await?;
    let next = cases.last().filter(|_| cases.len() == CASES).map(|c| c.ordinal + 1);
    let mut draws = Vec::new();
    for case in &cases {
        for decision in &case.decisions {
            draws.extend(drawn(shared, case, decision, &core).await?);
        }
    }
    Ok(Some((draws, next)))
}

/// The draw of one of this hub's decisions by rules, if it was made in a period.
async fn drawn(
    shared: &Shared,
    case: &CaseRecord,
    decision: &DecisionRecord,
    period: &v1::DrawKeyCore,
) -> Result<Option<v1::Draw>, StoreError> {
    let own = hub(decision.stands.as_ref()) == shared.identity.hub.as_str();
    let by_rules = decision.source == v1::DecisionSource::Rules as i32;
    let Some(at) = decision.stands.as_ref().and_then(|s| s.at.as_ref()).filter(|_| own && by_rules)
    else {
        return Ok(None);
    };
    let Some(statement) = Views(&*shared.store).statement(at).await? else { return Ok(None) };
    let core: v1::DecisionCore = statement.part("core").unwrap_or_default();
    let authority: v1::DecisionAuthority = statement.part("authority").unwrap_or_default();
    let within = (period.from_ms..period.until_ms).contains(&core.valid_from_ms);
    Ok(authority.draw.filter(|_| within).map(|draw| v1::Draw {
        case_id: case.case_id.clone(),
        filing: core.filing,
        draw,
        decision: reference(decision.stands.as_ref()),
        effect: core.effect,
        code: core.code,
    }))
}
