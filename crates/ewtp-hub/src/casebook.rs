//! Cases as people see them: what a record points to, read from the journal, bounded by who asks.

use std::collections::BTreeMap;

use ewtp_log::Header;
use ewtp_log::statement::open_part;
use ewtp_proto::store::v1::{
    CaseRecord, DecisionRecord, DrawingRecord, FilingRecord, ForgottenRecord, KeepingRecord,
    RefusalRecord, RequestRecord, Stands,
};
use ewtp_proto::v1;
use ewtp_store::{Statement, StoreError, Views};
use ewtp_trade::case::{self, hub};
use ewtp_trade::changes::changes;
use ewtp_trade::forget::{is_forgotten, said_in};
use ewtp_trade::matching;
use ewtp_trade::record::fact;
use ewtp_trade::release::needs;

use crate::attachments;
use crate::directory::Directory;
use crate::shared::Shared;
use crate::standing;
use crate::statement_check::UNPROVEN;

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
    let fact = fact(kind, 0, open_part("core", blob).ok()?, "")?;
    Some(fact.case_id().to_owned())
}

/// The row of a case.
#[must_use]
pub fn summary(shared: &Shared, record: &CaseRecord) -> v1::CaseSummary {
    let at_ms = shared.clock.now_ms();
    let mut row = record.filings.first().and_then(|f| f.summary.clone()).unwrap_or_default();
    row.state = case::state(record, at_ms) as i32;
    row.revision = record.revision;
    row.info_requests = record.requests.len() as u32;
    row.filings = record.filings.len() as u32;
    row.case_id.clone_from(&record.case_id);
    row.created_ms = signed(record.created_ms);
    row.erased = is_forgotten(record);
    row.standings = standings(shared, record);
    row.decisions = record
        .decisions
        .iter()
        .map(|d| v1::DecisionSummary {
            effect: d.effect,
            code: d.code,
            hub: hub(d.stands.as_ref()).to_owned(),
        })
        .collect();
    row
}

/// Whether a hub said something in a case or assesses something of it.
#[must_use]
pub fn has_part(record: &CaseRecord, hub: &str) -> bool {
    let said = said_in(record).into_iter().any(|s| s.stands.hub == hub);
    said || record.filings.iter().any(|f| f.assessed_by == hub)
}

/// Hubs with a part in a case that are not relied upon here.
fn standings(shared: &Shared, record: &CaseRecord) -> Vec<v1::HubStanding> {
    let directory = shared.directory.load();
    let doubtful = directory.peers.values().filter(|p| p.is_known() && !p.is_trusted());
    let here = doubtful.filter(|p| has_part(record, p.hub.as_str()));
    here.map(|p| v1::HubStanding {
        hub: p.hub.to_string(),
        quarantined: p.is_active(),
        reason: p.record.reason.clone(),
    })
    .collect()
}

/// Reads cases.
pub struct Casebook<'a> {
    /// The hub's parts.
    pub shared: &'a Shared,
    /// Rulesets, to render reasons.
    pub directory: &'a Directory,
    /// Who asks.
    pub viewer: Viewer,
    /// The account that asks.
    pub account: &'a v1::AccountRecord,
    /// Languages in order of preference (BCP 47).
    pub languages: Vec<String>,
}

impl Casebook<'_> {
    pub(crate) async fn read(
        &self,
        stands: Option<&Stands>,
    ) -> Result<Option<Statement>, StoreError> {
        match stands.and_then(|s| s.at.as_ref()) {
            // Of one that was erased nothing is left to show.
            Some(at) => {
                let held = Views(&*self.shared.store).statement(at).await?;
                Ok(held.filter(|s| s.tombstone.is_none()))
            }
            None => Ok(None),
        }
    }

    /// A whole case.
    ///
    /// # Errors
    /// Reading.
    pub async fn case(&self, record: &CaseRecord) -> Result<v1::Case, StoreError> {
        let need = |n: ewtp_trade::release::Need| {
            let (decision, condition_id) = n.condition.unwrap_or_default();
            v1::CaseNeed { what: n.what as i32, effect: n.effect as i32, decision, condition_id }
        };
        let leg = |(hub, state): (&str, v1::GoodsState)| v1::GoodsLeg {
            hub: hub.to_owned(),
            state: state as i32,
        };
        let refusal = |r: &RefusalRecord| v1::NotHonoured {
            statement: r.statement.clone(),
            reasons: r.reasons.clone(),
            hub: r.hub.clone(),
        };
        let mut out = v1::Case {
            case_id: record.case_id.clone(),
            state: case::state(record, self.shared.clock.now_ms()) as i32,
            revision: record.revision,
            created_ms: signed(record.created_ms),
            goods: case::legs(record).into_iter().map(leg).collect(),
            needs: needs(record).into_iter().map(need).collect(),
            not_honoured: record.refusals.iter().map(refusal).collect(),
            erased: record.forgotten.iter().map(erased).collect(),
            kept: self.kept(record),
            standings: standings(self.shared, record),
            ..Default::default()
        };
        // Filings of which the caller sees no more than the core.
        let mut cores_only = Vec::new();
        for filing in &record.filings {
            if let Some(statement) = self.read(filing.stands.as_ref()).await? {
                let mut shown = self.filing(record, filing, &statement);
                let core = shown.filing.as_ref().and_then(|f| f.core.clone()).unwrap_or_default();
                let whole = standing::sees_parts(self.shared, self.account, &filing.account, &core);
                if !whole.await? {
                    cores_only.push(filing.filing_id.as_str());
                    shown.filing = Some(v1::Filing { core: Some(core), ..Default::default() });
                }
                if let Some(before) = self.read(filing.earlier.last()).await? {
                    let (before, now) = (filing_of(&before), shown.filing.clone());
                    shown.changes = changes(&before, &now.unwrap_or_default());
                }
                out.filings.push(shown);
            }
        }
        for decision in &record.decisions {
            if let Some(statement) = self.read(decision.stands.as_ref()).await? {
                let mut decided = self.decision(record, decision, &statement).await?;
                // Estimate and facts hold what the parts hold.
                if let Some(trader) = &mut decided.trader
                    && cores_only.contains(&decision.filing_id.as_str())
                {
                    (trader.estimate, trader.facts) = (None, Vec::new());
                }
                out.decisions.push(decided);
            }
        }
        for request in &record.requests {
            if let Some(statement) = self.read(request.stands.as_ref()).await? {
                out.info_requests.push(self.request(record, request, &statement).await?);
            }
        }
        for event in &record.events {
            if let Some(statement) = self.read(event.stands.as_ref()).await? {
                out.events.push(v1::CaseEvent {
                    core: statement.part("core"),
                    trader: statement.part("trader"),
                    statement: reference(event.stands.as_ref()),
                    logged_ms: event.stands.as_ref().map_or(0, |s| signed(s.logged_ms)),
                });
            }
        }
        out.drawings = record.drawings.iter().map(drawing).collect();
        self.acts(record, &mut out).await?;
        out.attachments = attachments::shown(self.shared, self.account, record).await?;
        out.matches = matching::matches(&out);
        out.links = self.links(record, &out).await?;
        Ok(out)
    }

    /// What each other hub keeps, by its newest answer.
    fn kept(&self, record: &CaseRecord) -> Vec<v1::CaseKept> {
        let me = self.shared.identity.hub.as_str();
        let at = |k: &KeepingRecord| k.stands.as_ref().map_or(0, |s| s.logged_ms);
        let newest = |k: &&KeepingRecord| {
            let by = hub(k.stands.as_ref());
            let same = record.keepings.iter().filter(|o| hub(o.stands.as_ref()) == by);
            by != me && !k.kept.is_empty() && same.map(at).max() == Some(at(k))
        };
        record.keepings.iter().filter(newest).map(kept).collect()
    }

    /// Adoptions and withdrawals.
    async fn acts(&self, record: &CaseRecord, out: &mut v1::Case) -> Result<(), StoreError> {
        for adoption in &record.adoptions {
            let Some(statement) = self.read(adoption.stands.as_ref()).await? else { continue };
            let filing = case::filing(record, &adoption.filing_id);
            let counting = filing.and_then(|f| case::adoption(record, f));
            out.adoptions.push(v1::CaseAdoption {
                core: statement.part("core"),
                statement: reference(adoption.stands.as_ref()),
                counts: counting == Some(adoption),
            });
        }
        for invalidation in &record.invalidations {
            let Some(statement) = self.read(invalidation.stands.as_ref()).await? else { continue };
            let filing = case::filing(record, &invalidation.filing_id);
            out.invalidations.push(v1::CaseInvalidation {
                core: statement.part("core"),
                statement: reference(invalidation.stands.as_ref()),
                counts: filing.is_some_and(|f| case::is_invalidated(record, f)),
            });
        }
        Ok(())
    }

    fn filing(
        &self,
        record: &CaseRecord,
        filing: &FilingRecord,
        statement: &Statement,
    ) -> v1::CaseFiling {
        let mut shown = filing_of(statement);
        if !self.viewer.sees("authority") {
            shown.authority = None;
        }
        let header = Header::parse(&statement.header).ok();
        let named = header.map(|h| h.parts).unwrap_or_default();
        let withheld = named.into_iter().map(|(n, _)| n).filter(|n| statement.blob(n).is_none());
        let now_ms = self.shared.clock.now_ms();
        let assessments = case::effects_of(filing).iter().map(|effect| v1::Assessment {
            effect: *effect as i32,
            state: case::assessment(record, filing, *effect, now_ms) as i32,
            hub: filing.assessed_by.clone(),
        });
        let stands = filing.stands.as_ref();
        v1::CaseFiling {
            filing: Some(shown),
            statement: reference(stands),
            state: case::filing_state(record, filing) as i32,
            assessments: assessments.collect(),
            warnings: statement.warnings.clone(),
            logged_ms: stands.map_or(0, |s| signed(s.logged_ms)),
            received_ms: stands.map_or(0, |s| signed(s.received_ms)),
            withheld_parts: withheld.collect(),
            changes: Vec::new(),
        }
    }

    async fn decision(
        &self,
        case: &CaseRecord,
        record: &DecisionRecord,
        statement: &Statement,
    ) -> Result<v1::CaseDecision, StoreError> {
        let by = hub(record.stands.as_ref());
        let trader: Option<v1::DecisionTrader> = statement.part("trader");
        let authority: Option<v1::DecisionAuthority> =
            if self.viewer.sees("authority") { statement.part("authority") } else { None };
        let internal: v1::DecisionInternal = match self.viewer.sees("internal") {
            true => statement.part("internal").unwrap_or_default(),
            false => v1::DecisionInternal::default(),
        };
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
            texts.push(self.render(by, cited, reason).await);
        }
        let mut conditions = Vec::new();
        for condition in core.iter().flat_map(|c| &c.conditions) {
            let text = match &condition.what {
                Some(what) => self.render(by, cited, what).await,
                None => String::new(),
            };
            conditions.push(v1::CaseCondition {
                id: condition.id.clone(),
                outcome: case::outcome(case, record, &condition.id) as i32,
                text,
                reference: self.outcome_reference(case, record, &condition.id).await?,
            });
        }
        Ok(v1::CaseDecision {
            texts,
            core,
            trader,
            authority,
            statement: reference(record.stands.as_ref()),
            logged_ms: record.stands.as_ref().map_or(0, |s| signed(s.logged_ms)),
            identity: internal.identity,
            proposed_by: internal.proposed_by,
            known_ms: record.stands.as_ref().map_or(0, |s| signed(s.received_ms)),
            conditions,
            settlement: self.settlement(record.stands.as_ref()).into(),
            unproven: statement.warnings.iter().any(|w| w.code == UNPROVEN),
        })
    }

    fn settlement(&self, stands: Option<&Stands>) -> v1::Settlement {
        match stands.and_then(|s| Some((self.shared.settled_size(&s.hub)?, s.log_index))) {
            None => v1::Settlement::Unspecified,
            Some((size, index)) if index < size => v1::Settlement::Settled,
            Some(_) => v1::Settlement::NotYet,
        }
    }

    async fn outcome_reference(
        &self,
        case: &CaseRecord,
        decision: &DecisionRecord,
        id: &str,
    ) -> Result<String, StoreError> {
        let imposed = decision.stands.as_ref().map(|s| s.commitment.as_slice()).unwrap_or_default();
        let said = case.outcomes.iter().rev();
        let mut said = said.filter(|o| o.decision == imposed && o.condition_id == id);
        let Some(newest) = said.next() else { return Ok(String::new()) };
        let statement = self.read(newest.stands.as_ref()).await?;
        let core = statement.and_then(|s| s.part::<v1::ConditionOutcomeCore>("core"));
        Ok(core.map(|c| c.reference).unwrap_or_default())
    }

    async fn request(
        &self,
        case: &CaseRecord,
        record: &RequestRecord,
        statement: &Statement,
    ) -> Result<v1::CaseInfoRequest, StoreError> {
        let trader: v1::InfoRequestTrader = statement.part("trader").unwrap_or_default();
        let core: Option<v1::InfoRequestCore> = statement.part("core");
        let cited = core.as_ref().map_or(&[][..], |c| &c.rulesets);
        let mut texts = Vec::new();
        for reason in trader.questions.iter().filter_map(|q| q.reason.as_ref()) {
            texts.push(self.render(hub(record.stands.as_ref()), cited, reason).await);
        }
        let given = case::answer(case, record).and_then(|a| a.stands.as_ref());
        let answer = self.read(given).await?;
        Ok(v1::CaseInfoRequest {
            core,
            trader: Some(trader),
            statement: reference(record.stands.as_ref()),
            answer: answer.and_then(|a| a.part("trader")),
            answer_statement: reference(given),
            texts,
        })
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

/// Where a statement stands, as people and receipts name it.
#[must_use]
pub fn reference(stands: Option<&Stands>) -> Option<v1::StatementRef> {
    stands.map(|s| v1::StatementRef {
        hub: s.hub.clone(),
        commitment: s.commitment.clone(),
        log_index: s.log_index,
    })
}

fn drawing(record: &DrawingRecord) -> v1::CaseDrawing {
    let statement = reference(record.stands.as_ref());
    let (core, goods) = (record.core.clone(), record.goods.clone());
    v1::CaseDrawing { core, statement, number: record.number, goods }
}

fn erased(record: &ForgottenRecord) -> v1::CaseErased {
    v1::CaseErased {
        statement: reference(record.stands.as_ref()),
        kind: record.kind.clone(),
        parts: record.parts.clone(),
        reason: record.reason.clone(),
        by: record.by.clone(),
        erased_ms: signed(record.erased_ms),
    }
}

fn kept(record: &KeepingRecord) -> v1::CaseKept {
    v1::CaseKept { hub: hub(record.stands.as_ref()).to_owned(), kept: record.kept.clone() }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
