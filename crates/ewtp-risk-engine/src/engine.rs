//! Follows the inbox and decides.

use std::collections::HashMap;

use ewtp_proto::v1;
use ewtp_proto::v1::desk_service_client::DeskServiceClient;
use ewtp_proto::v1::trade_service_client::TradeServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use v1::{DecisionCode, Effect, FilingType};

use crate::model::{Model, Score};

/// Why the engine has to begin again at its cursor.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A call failed.
    #[error("the hub says {code:?}: {message}")]
    Call {
        /// gRPC code.
        code: Code,
        /// Message.
        message: String,
    },
    /// The stream ended, as it does when the hub stops.
    #[error("the hub ended the stream")]
    Ended,
}

impl From<Status> for EngineError {
    fn from(status: Status) -> Self {
        Self::Call { code: status.code(), message: status.message().to_owned() }
    }
}

/// What the engine made of one change.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Keep it: the next run goes on after it.
    pub cursor: u64,
    /// Case.
    pub case_id: String,
    /// LRN of its first filing.
    pub lrn: String,
    /// Filings that it said a word about, with their scores.
    pub decided: Vec<(String, Score)>,
}

/// An engine on an open inbox.
pub struct Engine {
    model: Model,
    desk: DeskServiceClient<Channel>,
    trade: TradeServiceClient<Channel>,
    inbox: Streaming<v1::WatchInboxResponse>,
    /// Revisions looked at: changes that are read late tell of one state several times.
    seen: HashMap<String, u64>,
}

/// Cases that are remembered; past it the memory starts anew.
const SEEN_MAX: usize = 10_000;

impl Engine {
    /// Opens the inbox after a cursor; 0 for everything that the hub ever had to assess.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn open(channel: Channel, model: Model, cursor: u64) -> Result<Self, EngineError> {
        let mut desk = DeskServiceClient::new(channel.clone());
        let inbox = desk.watch_inbox(v1::WatchInboxRequest { cursor }).await?.into_inner();
        let trade = TradeServiceClient::new(channel);
        Ok(Self { model, desk, trade, inbox, seen: HashMap::new() })
    }

    /// Waits for the next case that changed and says what there is to say about it.
    ///
    /// # Errors
    /// [`EngineError`]: open it again at the last cursor.
    pub async fn next(&mut self) -> Result<Verdict, EngineError> {
        let change = self.inbox.message().await?.ok_or(EngineError::Ended)?;
        let row = change.case.unwrap_or_default();
        let mut verdict = Verdict {
            cursor: change.cursor,
            case_id: row.case_id.clone(),
            lrn: row.lrn,
            decided: Vec::new(),
        };
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        if self.seen.insert(row.case_id.clone(), row.revision) == Some(row.revision) {
            return Ok(verdict);
        }
        let request = v1::GetCaseRequest { case_id: row.case_id };
        let case = self.trade.get_case(request).await?.into_inner().case.unwrap_or_default();
        for filing in &case.filings {
            let core = filing.filing.as_ref().and_then(|f| f.core.as_ref());
            let Some(core) = core.filter(|c| c.r#type() == FilingType::Advance) else { continue };
            let score = self.model.score(core);
            let open = filing.state() == v1::FilingState::Registered;
            let due = open && score.points >= self.model.control_from && !said(&case, core);
            if due && self.decide(&case, core, &score).await? {
                verdict.decided.push((core.filing_id.clone(), score));
            }
        }
        Ok(verdict)
    }

    /// A control on arrival; false if the case has moved on, which its next change tells.
    async fn decide(
        &mut self,
        case: &v1::Case,
        core: &v1::FilingCore,
        score: &Score,
    ) -> Result<bool, EngineError> {
        let reason = |code: &str| v1::Reason { code: code.to_owned(), ..Default::default() };
        let request = v1::DecideRequest {
            case_id: case.case_id.clone(),
            filing_id: core.filing_id.clone(),
            filing_version: core.version,
            effect: Effect::Admissibility as i32,
            code: DecisionCode::PhysControl as i32,
            reasons: vec![reason("CONTROL-SELECTED")],
            authority_reasons: vec![v1::Reason {
                params: [("points".to_owned(), score.points.to_string())].into(),
                ..reason("RISK-SCORE")
            }],
            note: score.because.join("; "),
            idempotency_key: format!("engine {} {}", core.filing_id, core.version),
            ..Default::default()
        };
        let outcome = self.desk.decide(request).await?.into_inner().result;
        Ok(matches!(outcome, Some(v1::decide_response::Result::Logged(_))))
    }
}

/// Whether an agency's system or an officer has spoken on this version already: the engine doesn't repeat itself, and does not
/// contradict people.
fn said(case: &v1::Case, core: &v1::FilingCore) -> bool {
    case.decisions.iter().filter_map(|d| d.core.as_ref()).any(|d| {
        d.filing_id == core.filing_id
            && d.filing_version == core.version
            && d.effect() == Effect::Admissibility
            && d.source() != v1::DecisionSource::Rules
    })
}
