//! Cases as people see them: what a record points to, read from the journal, bounded by who asks.

use std::collections::BTreeMap;

use ewtp_log::Header;
use ewtp_log::statement::open_part;
use ewtp_proto::store::v1::{CaseRecord, Locator};
use ewtp_proto::{Message as _, v1};
use ewtp_store::{Statement, StoreError, Views};
use ewtp_trade::case;

use crate::directory::Directory;
use crate::shared::Shared;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// A trader or platform: its own filings, never `authority` or `internal`.
    Trader,
    /// The agency: everything that the hub holds.
    Agency,
}

impl Viewer {
    /// Whether a part is shown.
    #[must_use]
    pub fn sees(self, part: &str) -> bool {
        self == Self::Agency || !matches!(part, "authority" | "internal")
    }
}

/// The filing that a statement holds; withheld parts are absent.
#[must_use]
pub fn filing_of(statement: &Statement) -> v1::Filing {
    v1::Filing {
        core: statement.part("core"),
        parties: statement.part("parties"),
        goods: statement.part("goods"),
        value: statement.part("value"),
        authority: statement.part("authority"),
        signature: statement.part("signature"),
    }
}

/// The case that a statement's core names.
#[must_use]
pub fn case_id_of(kind: &str, parts: &[(String, Vec<u8>)]) -> Option<String> {
    let (_, blob) = parts.iter().find(|(name, _)| name == "core")?;
    let content = open_part("core", blob).ok()?;
    match kind {
        "filing" => v1::FilingCore::decode(content).ok().map(|c| c.case_id),
        "decision" => v1::DecisionCore::decode(content).ok().map(|c| c.case_id),
        "info-request" => v1::InfoRequestCore::decode(content).ok().map(|c| c.case_id),
        "info-answer" => v1::InfoAnswerCore::decode(content).ok().map(|c| c.case_id),
        _ => None,
    }
}

/// The row of a case.
#[must_use]
pub fn summary(record: &CaseRecord) -> v1::CaseSummary {
    let mut row = record.summary.clone().unwrap_or_default();
    row.state = case::state(record) as i32;
    row.revision = record.revision;
    row.info_requests = record.requests.len() as u32;
    row.filings = record.filings.len() as u32;
    row.decisions = record
        .decisions
        .iter()
        .map(|d| v1::DecisionSummary { effect: d.effect, code: d.code, hub: d.hub.clone() })
        .collect();
    row
}

/// Reads cases.
pub struct Casebook<'a> {
    /// The hub's parts.
    pub shared: &'a Shared,
    /// Rulesets, to render reasons.
    pub directory: &'a Directory,
    /// Who asks.
    pub viewer: Viewer,
    /// Languages in order of preference (BCP 47).
    pub languages: Vec<String>,
}

impl Casebook<'_> {
    async fn read(&self, at: Option<&Locator>) -> Result<Option<Statement>, StoreError> {
        match at {
            Some(at) => Views(&*self.shared.store).statement(at).await,
            None => Ok(None),
        }
    }

    /// A whole case.
    ///
    /// # Errors
    /// Reading.
    pub async fn case(&self, record: &CaseRecord) -> Result<v1::Case, StoreError> {
        let mut out = v1::Case {
            case_id: record.case_id.clone(),
            state: case::state(record) as i32,
            revision: record.revision,
            created_ms: record.created_ms as i64,
            ..Default::default()
        };
        for filing in &record.filings {
            if let Some(statement) = self.read(filing.at.as_ref()).await? {
                out.filings.push(self.filing(record, filing, &statement));
            }
        }
        for decision in &record.decisions {
            if let Some(statement) = self.read(decision.at.as_ref()).await? {
                out.decisions.push(self.decision(decision, &statement).await);
            }
        }
        for request in &record.requests {
            if let Some(statement) = self.read(request.at.as_ref()).await? {
                let answer = self.read(request.answer.as_ref()).await?;
                out.info_requests.push(self.request(request, &statement, answer.as_ref()).await);
            }
        }
        for event in &record.events {
            if let Some(statement) = self.read(event.at.as_ref()).await? {
                out.events.push(v1::CaseEvent {
                    core: statement.part("core"),
                    statement: Some(reference(&event.hub, &statement)),
                });
            }
        }
        let refusal = |r: &ewtp_proto::store::v1::RefusalRecord| v1::NotHonoured {
            statement: r.statement.clone(),
            reasons: r.reasons.clone(),
            hub: r.hub.clone(),
        };
        out.not_honoured = record.refusals.iter().map(refusal).collect();
        Ok(out)
    }

    fn filing(
        &self,
        record: &CaseRecord,
        filing: &ewtp_proto::store::v1::FilingRecord,
        statement: &Statement,
    ) -> v1::CaseFiling {
        let mut shown = filing_of(statement);
        if !self.viewer.sees("authority") {
            shown.authority = None;
        }
        let header = Header::parse(&statement.header).ok();
        let named = header.map(|h| h.parts).unwrap_or_default();
        let withheld = named.into_iter().map(|(n, _)| n).filter(|n| statement.blob(n).is_none());
        let kind = v1::FilingType::try_from(filing.r#type).unwrap_or_default();
        let assessments = case::effects(kind).iter().map(|effect| v1::Assessment {
            effect: *effect as i32,
            state: case::assessment(record, filing, *effect) as i32,
            hub: filing.assessed_by.clone(),
        });
        v1::CaseFiling {
            filing: Some(shown),
            statement: Some(reference(&filing.hub, statement)),
            state: case::filing_state(filing) as i32,
            assessments: assessments.collect(),
            warnings: statement.warnings.clone(),
            logged_ms: filing.logged_ms as i64,
            received_ms: filing.received_ms as i64,
            withheld_parts: withheld.collect(),
        }
    }

    async fn decision(
        &self,
        record: &ewtp_proto::store::v1::DecisionRecord,
        statement: &Statement,
    ) -> v1::CaseDecision {
        let trader: Option<v1::DecisionTrader> = statement.part("trader");
        let authority: Option<v1::DecisionAuthority> =
            if self.viewer.sees("authority") { statement.part("authority") } else { None };
        let mut reasons = Vec::new();
        if let Some(trader) = &trader {
            reasons.extend(trader.reasons.iter().chain(&trader.needed));
        }
        if let Some(authority) = &authority {
            reasons.extend(&authority.reasons);
        }
        let core: Option<v1::DecisionCore> = statement.part("core");
        let cited = core.as_ref().map_or(&[][..], |c| &c.rulesets);
        let mut texts = Vec::new();
        for reason in reasons {
            texts.push(self.render(&record.hub, cited, reason).await);
        }
        v1::CaseDecision {
            texts,
            core,
            trader,
            authority,
            statement: Some(reference(&record.hub, statement)),
            logged_ms: record.logged_ms as i64,
        }
    }

    async fn request(
        &self,
        record: &ewtp_proto::store::v1::RequestRecord,
        statement: &Statement,
        answer: Option<&Statement>,
    ) -> v1::CaseInfoRequest {
        let trader: v1::InfoRequestTrader = statement.part("trader").unwrap_or_default();
        let core: Option<v1::InfoRequestCore> = statement.part("core");
        let cited = core.as_ref().map_or(&[][..], |c| &c.rulesets);
        let mut texts = Vec::new();
        for reason in trader.questions.iter().filter_map(|q| q.reason.as_ref()) {
            texts.push(self.render(&record.hub, cited, reason).await);
        }
        v1::CaseInfoRequest {
            core,
            trader: Some(trader),
            statement: Some(reference(&record.hub, statement)),
            answer: answer.and_then(|a| a.part("trader")),
            answer_statement: answer.map(|a| reference(&record.answer_hub, a)),
            texts,
        }
    }

    /// Text of a reason in the caller's language, from the ruleset that the statement cites; its code where that can't be
    /// had.
    async fn render(&self, hub: &str, cited: &[v1::RulesetRef], reason: &v1::Reason) -> String {
        let Some(cited) = cited.iter().find(|c| c.name == reason.ruleset) else {
            return reason.code.clone();
        };
        let languages: Vec<&str> = self.languages.iter().map(String::as_str).collect();
        let params: BTreeMap<String, String> = reason.params.clone().into_iter().collect();
        let own = self.directory.rulesets.iter().find(|r| r.digest.0.as_slice() == cited.digest);
        if let Some(ruleset) = own {
            return ruleset.render(&reason.code, &params, &languages);
        }
        if cited.confidential {
            return reason.code.clone();
        }
        match crate::rulebook::foreign(self.shared, hub, &cited.digest).await {
            Some(kept) => kept.ruleset.render(&reason.code, &params, &languages),
            None => reason.code.clone(),
        }
    }
}

fn reference(hub: &str, statement: &Statement) -> v1::StatementRef {
    v1::StatementRef {
        hub: hub.to_owned(),
        commitment: statement.commitment().0.to_vec(),
        log_index: statement.index,
    }
}
