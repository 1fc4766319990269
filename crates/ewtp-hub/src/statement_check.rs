//! Statement checks: what a peer said is judged one by one after its page was proven. None of them stops a lane; a
//! statement that fails is stored, marked *not honoured* with all reasons, and answered.

use ewtp_clearance::arrangement::FactKind;
use ewtp_log::HubId;
use ewtp_log::page::{EntryBody, PageEntry};
use ewtp_log::statement::{Header, StatementId, open_part};
use ewtp_proto::store::v1::FilingRecord;
use ewtp_proto::{Message, v1};
use ewtp_store::{Store, StoreError, Views};
use ewtp_trade::attachment;
use ewtp_trade::case::hub;
use ewtp_trade::check::vocabulary::SUPPLEMENTS_MAX;
use ewtp_trade::check::{CONTAINERS_MAX, RETENTION_CLASS_BYTES_MAX};
use ewtp_trade::finding::{Say, finding};
use ewtp_trade::lists::ListBook;
use ewtp_trade::route::{Speaker, assessing_country};
use ewtp_trade::selector;

use crate::directory::{Directory, Peer};
use crate::ledger::is_used_up;
use crate::statement_rights::Assessor;
use crate::{arrangements, certificates, code_lists, consultations, quality};

/// What a statement turned out to be.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Why it is not honoured; empty if it is.
    pub not_honoured: Vec<v1::Finding>,
    /// Warnings of a filing.
    pub warnings: Vec<v1::Finding>,
    /// What it said.
    pub said: Said,
}

/// What an honoured statement means for the hub's work.
#[derive(Clone, Debug, Default)]
pub enum Said {
    /// Nothing to do.
    #[default]
    Nothing,
    /// A filing to assess here.
    Filing(Box<v1::FilingCore>),
    /// A filing that another hub assesses, or that needs no assessment.
    Noted(Box<v1::FilingCore>),
    /// An answer to a request of ours.
    Answer(v1::InfoAnswerCore),
    /// What the peer established in this case may count here.
    Established(String),
    /// A certificate of this holder, as the peer knows it, may count here, or not any more.
    Certificate {
        /// Its id.
        id: String,
        /// Its holder; empty where that isn't shown.
        holder: String,
    },
    /// Something that the directory holds: an edition of a code list, a step of an arrangement.
    Directory,
    /// An attachment whose bytes have to go.
    Erasure([u8; 32]),
    /// Statements of the peer that have to go, as far as no rule here keeps them.
    Forgetting(Box<v1::ErasureCore>),
}

/// What earlier entries of the same page did, before the store knows of it.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    /// Filings honoured so far: (case, filing), with version and the hub that assesses it.
    pub(crate) filings: std::collections::BTreeMap<(String, String), (u32, String)>,
    /// Attachments that honoured filings of this page cite, by case.
    pub(crate) cited: std::collections::BTreeSet<(String, Vec<u8>)>,
    /// Number of the newest step of an arrangement.
    arrangement_steps: u64,
    /// Number and state of the newest statement on a certificate, and whether it is used up.
    pub(crate) certificates: std::collections::BTreeMap<String, (u64, v1::CertificateState, bool)>,
    /// Identities said so far.
    identities: std::collections::BTreeSet<StatementId>,
}

impl Pending {
    /// Takes note of an honoured statement.
    pub fn note(&mut self, said: &Said) {
        if let Said::Filing(core) | Said::Noted(core) = said {
            let filing = (core.case_id.clone(), core.filing_id.clone());
            self.filings.insert(filing, (core.version, core.assessed_by.clone()));
        }
    }
}

/// Judges statements of one peer.
pub struct Judge<'a> {
    /// Who said them.
    pub peer: &'a Peer,
    /// Own id.
    pub me: &'a HubId,
    /// What this hub speaks for.
    pub own: Speaker<'a>,
    /// Code lists, for warnings.
    pub lists: &'a ListBook,
    /// Who speaks for what.
    pub directory: &'a Directory,
    /// Store.
    pub store: &'a dyn Store,
}

/// Longest id of a case or filing, bytes: a hub's id and 13 symbols.
const ID_BYTES_MAX: usize = 64;
/// Most reasons kept of one statement.
const REASONS_MAX: usize = 32;
/// Code of a warning on what was heard of a hub in quarantine.
pub const UNPROVEN: &str = "unproven";
/// Code of a statement whose identity was used before; it is not answered, so that nobody makes us answer twice.
pub const IDENTITY_USED: &str = "identity-used";

pub(crate) struct Reasons(pub(crate) Vec<v1::Finding>);

impl Reasons {
    pub(crate) fn add(&mut self, code: &'static str, path: &str, value: &str, allowed: &str) {
        if self.0.len() >= REASONS_MAX {
            return; // an answer has to fit into a statement
        }
        self.0.push(finding(
            path,
            value,
            Say { code, allowed, fix: "say it again, corrected, as a new version" },
        ));
    }

    pub(crate) fn unless(
        &mut self,
        holds: bool,
        code: &'static str,
        path: &str,
        value: &str,
        allowed: &str,
    ) {
        if !holds {
            self.add(code, path, value, allowed);
        }
    }
}

impl Judge<'_> {
    /// Judges one entry of a proven page.
    ///
    /// # Errors
    /// Reading the store.
    pub async fn judge(
        &self,
        entry: &PageEntry,
        pending: &mut Pending,
    ) -> Result<Verdict, StoreError> {
        let mut reasons = Reasons(Vec::new());
        let mut verdict = Verdict::default();
        let EntryBody::Statement { header, parts } = &entry.body else { return Ok(verdict) };
        let header = match Header::parse(header) {
            Ok(header) => header,
            Err(e) => {
                reasons.add("header", "header", "", &e.to_string());
                verdict.not_honoured = reasons.0;
                return Ok(verdict);
            }
        };
        self.envelope(&header, &mut reasons);
        self.identity(&header, pending, &mut reasons).await?;
        let content = Parts { parts };
        match header.id.kind.as_str() {
            "filing" => self.filing(&header, &content, pending, &mut reasons, &mut verdict).await?,
            "decision" => {
                if let Some(core) = content.core::<v1::DecisionCore>(&mut reasons) {
                    self.about(
                        &core.case_id,
                        &core.filing_id,
                        Assessor::Peer,
                        pending,
                        &mut reasons,
                    )
                    .await?;
                    reasons.unless(core.effect != 0, "effect", "core.effect", "0", "an effect");
                    reasons.unless(
                        core.code != 0,
                        "decision-code",
                        "core.code",
                        "0",
                        "a decision code",
                    );
                    verdict.said = Said::Established(core.case_id);
                }
            }
            "info-request" => {
                if let Some(core) = content.core::<v1::InfoRequestCore>(&mut reasons) {
                    self.about(
                        &core.case_id,
                        &core.filing_id,
                        Assessor::Peer,
                        pending,
                        &mut reasons,
                    )
                    .await?;
                }
            }
            "adoption" => {
                if let Some(core) = content.core::<v1::AdoptionCore>(&mut reasons) {
                    let (case, filing) = (&core.case_id, &core.filing_id);
                    self.about(case, filing, Assessor::Peer, pending, &mut reasons).await?;
                }
            }
            "invalidation" => {
                if let Some(core) = content.core::<v1::InvalidationCore>(&mut reasons) {
                    let (case, filing) = (&core.case_id, &core.filing_id);
                    self.about(case, filing, Assessor::Filer, pending, &mut reasons).await?;
                    verdict.said = Said::Established(core.case_id);
                }
            }
            "condition-outcome" => {
                if let Some(core) = content.core::<v1::ConditionOutcomeCore>(&mut reasons) {
                    self.of_case(&core.case_id, pending, &mut reasons).await?;
                }
            }
            "route" => {
                if let Some(core) = content.core::<v1::RouteCore>(&mut reasons) {
                    let (case, filing) = (&core.case_id, &core.filing_id);
                    self.about(case, filing, Assessor::Filer, pending, &mut reasons).await?;
                    self.found_later(&core, &mut reasons);
                }
            }
            "erasure" => {
                if let Some(core) = content.core::<v1::ErasureCore>(&mut reasons) {
                    verdict.said = self.erasure(core, pending, &mut reasons).await?;
                }
            }
            "keeping" => {
                if let Some(core) = content.core::<v1::KeepingCore>(&mut reasons) {
                    self.keeping(&core, &mut reasons).await?;
                }
            }
            "info-answer" => {
                if let Some(core) = content.core::<v1::InfoAnswerCore>(&mut reasons) {
                    self.about(
                        &core.case_id,
                        &core.filing_id,
                        Assessor::Filer,
                        pending,
                        &mut reasons,
                    )
                    .await?;
                    verdict.said = Said::Answer(core);
                }
            }
            "ack" => {
                if let Some(core) = content.core::<v1::AckCore>(&mut reasons) {
                    self.ack(&core, &mut reasons).await?;
                }
            }
            "event" => {
                if let Some(core) = content.core::<v1::EventCore>(&mut reasons) {
                    let trader: v1::EventTrader = content.get("trader").unwrap_or_default();
                    let authority: v1::DecisionAuthority =
                        content.get("authority").unwrap_or_default();
                    if let Some(allowed) = quality::heard(&core, &trader, &authority) {
                        reasons.add("findings", "core.findings", "", &allowed);
                    }
                    let selector = core.selector.unwrap_or_default();
                    match &selector.by {
                        Some(v1::event_selector::By::CaseId(id)) => {
                            self.of_case(id, pending, &mut reasons).await?;
                            verdict.said = Said::Established(id.clone());
                        }
                        _ => match selector::check(&selector) {
                            Ok(name) => self.selecting(&name, &mut reasons).await?,
                            Err(wrong) => reasons.0.push(*wrong),
                        },
                    }
                }
            }
            "code-list" => {
                if let Some(core) = content.core::<v1::CodeListCore>(&mut reasons) {
                    let id = core.list == header.id.subject;
                    reasons.unless(
                        id,
                        "list",
                        "core.list",
                        &core.list,
                        "the subject in the header",
                    );
                    match code_lists::heard(self.store, self.peer, &core).await? {
                        faults if faults.is_empty() => verdict.said = Said::Directory,
                        faults => reasons.0.extend(faults.into_iter().take(REASONS_MAX)),
                    }
                }
            }
            "certificate" => {
                let heard =
                    certificates::heard(self, &header, &content, pending, &mut reasons).await?;
                if let Some((core, holder)) = heard {
                    let (id, holder) = (core.certificate_id.clone(), holder.map(|h| h.id));
                    if reasons.0.is_empty() {
                        let used_up = is_used_up(&core);
                        let newest = (header.id.number, core.state(), used_up);
                        pending.certificates.insert(id.clone(), newest);
                    }
                    verdict.said = Said::Certificate { id, holder: holder.unwrap_or_default() };
                }
            }
            "ledger" => {
                if let Some(core) = content.core::<v1::LedgerCore>(&mut reasons) {
                    let goods: v1::LedgerGoods = content.get("goods").unwrap_or_default();
                    self.ledger(&header.id, (&core, &goods), pending, &mut reasons).await?;
                    verdict.said = Said::Established(core.case_id);
                }
            }
            "ruleset-draft" => {
                if let Some(core) = content.core::<v1::RulesDraftCore>(&mut reasons) {
                    consultations::draft_heard(self, &header.id, &core, &mut reasons).await?;
                }
            }
            "ruleset-comment" => {
                if let Some(core) = content.core::<v1::RulesCommentCore>(&mut reasons) {
                    let said = (&header.id, header.time_ms());
                    consultations::comment_heard(self, said, &core, &mut reasons).await?;
                }
            }
            "ruleset-answer" => {
                if let Some(core) = content.core::<v1::RulesAnswerCore>(&mut reasons) {
                    consultations::answer_heard(self, &header.id, &core, &mut reasons).await?;
                }
            }
            "quality-alarm" => {
                if let Some(core) = content.core::<v1::QualityAlarmCore>(&mut reasons) {
                    let subject = format!("{}/{}", core.hub, core.kind);
                    let ours = core.hub == self.me.as_str() && header.id.subject == subject;
                    let short = core.prepared_reason.len() <= 500 && header.id.number <= 1000;
                    let agreed = self.directory.arrangements.contains_key(&self.peer.hub)
                        && FactKind::by_name(&core.kind).is_some();
                    let allowed = "an alarm about facts of this hub that an arrangement recognises, as in the header";
                    let holds = ours && short && agreed;
                    reasons.unless(holds, "alarm", "core.hub", &core.hub, allowed);
                }
            }
            "arrangement" => {
                if let Some(core) = content.core::<v1::ArrangementCore>(&mut reasons) {
                    let known = pending.arrangement_steps;
                    let faults = arrangements::heard(self, &header, &core, known).await?;
                    if faults.is_empty() {
                        pending.arrangement_steps = header.id.number;
                        verdict.said = Said::Directory;
                    }
                    reasons.0.extend(faults.into_iter().take(REASONS_MAX));
                }
            }
            "account" | "peer" | "ruleset" | "mandate" | "draw-key" | "proposal" | "report" => {
                reasons.add(
                    "kind-internal",
                    "id",
                    &header.id.kind,
                    "kinds that one hub says to another",
                );
            }
            _ => {} // a later version's kind: kept, proven, shown as unknown
        }
        if !reasons.0.is_empty() {
            verdict.said = Said::Nothing;
        }
        verdict.not_honoured = reasons.0;
        pending.note(&verdict.said);
        if let Said::Filing(core) | Said::Noted(core) = &verdict.said {
            let goods: v1::FilingGoods = content.get("goods").unwrap_or_default();
            let cited = goods.attachments.into_iter().map(|a| (core.case_id.clone(), a.digest));
            pending.cited.extend(cited);
        }
        Ok(verdict)
    }

    /// One identity is said once: a second statement under it is kept, proven, and not honoured.
    async fn identity(
        &self,
        header: &Header,
        pending: &mut Pending,
        reasons: &mut Reasons,
    ) -> Result<(), StoreError> {
        let peer = self.peer.hub.as_str();
        let known = Views(self.store).heard_identity(peer, &header.id).await?;
        if known.is_some() || !pending.identities.insert(header.id.clone()) {
            let id = format!("{} {} {}", header.id.kind, header.id.subject, header.id.number);
            reasons.add(IDENTITY_USED, "id", &id, "an identity that was not used before");
        }
        Ok(())
    }

    /// An acknowledgement is about something that this hub said to that very peer.
    async fn ack(&self, core: &v1::AckCore, reasons: &mut Reasons) -> Result<(), StoreError> {
        let own = Views(self.store).own(core.log_index).await?;
        let own = own.filter(|s| s.commitment().0.as_slice() == core.commitment);
        let index = core.log_index.to_string();
        let ours = own.is_some();
        reasons.unless(ours, "ack", "core.commitment", &index, "a statement of this hub's log");
        let Some(own) = own else { return Ok(()) };
        let kind = Header::parse(&own.header).map(|h| h.id.kind).unwrap_or_default();
        let about = crate::casebook::case_id_of(&kind, &own.parts).unwrap_or_default();
        let same = about == core.case_id;
        reasons.unless(same, "ack", "core.case_id", &core.case_id, "the case of that statement");
        Ok(())
    }

    fn envelope(&self, header: &Header, reasons: &mut Reasons) {
        reasons.unless(
            header.hub == self.peer.hub.as_str(),
            "hub",
            "hub",
            &header.hub,
            self.peer.hub.as_str(),
        );
        let origin = self.peer.chain.origin().map_or("", |o| o.as_str());
        reasons.unless(header.origin == origin, "origin", "origin", &header.origin, origin);
        match header.time_ms() {
            None => reasons.add("time", "time", &header.time, "an instant of the calendar"),
            Some(ms) => {
                let expires = self.peer.chain.newest().expires_ms;
                reasons.unless(
                    ms < expires,
                    "descriptor-expired",
                    "time",
                    &header.time,
                    "before the descriptor's end",
                );
            }
        }
    }

    async fn filing(
        &self,
        header: &Header,
        content: &Parts<'_>,
        pending: &Pending,
        reasons: &mut Reasons,
        verdict: &mut Verdict,
    ) -> Result<(), StoreError> {
        let Some(core) = content.core::<v1::FilingCore>(reasons) else { return Ok(()) };
        let of_peer =
            |id: &str| id.rsplit_once('-').is_some_and(|(hub, _)| hub == self.peer.hub.as_str());
        reasons.unless(
            of_peer(&core.filing_id) && core.filing_id == header.id.subject,
            "filing-id",
            "core.filing_id",
            &core.filing_id,
            "an id of the hub that files, as in the header",
        );
        reasons.unless(
            u64::from(core.version) == header.id.number,
            "version",
            "core.version",
            &core.version.to_string(),
            "the number in the header",
        );
        let short = core.case_id.len() <= ID_BYTES_MAX && core.filing_id.len() <= ID_BYTES_MAX;
        let length = core.case_id.len().max(core.filing_id.len()).to_string();
        reasons.unless(short, "case", "core.case_id", &length, "ids of at most 64 bytes");
        let known = Views(self.store).case(&core.case_id).await?;
        let may_open = of_peer(&core.case_id);
        let peer = self.peer.hub.as_str();
        // A case of a third hub may be on its way in another lane.
        let may_come = may_open || self.is_of_third(&core.case_id);
        reasons.unless(
            known.is_some() || may_come,
            "case",
            "core.case_id",
            &core.case_id,
            "a case that this hub knows, or one of the hub that files or of another peer",
        );
        let before =
            known.as_ref().and_then(|c| c.filings.iter().find(|f| f.filing_id == core.filing_id));
        let in_page = pending.filings.get(&(core.case_id.clone(), core.filing_id.clone()));
        let in_page = in_page.map(|(version, _)| *version);
        // The first version that is heard may be a later one: a changed route addresses a filing to a hub that is new to it.
        // A version may be left out that this hub was not shown.
        let due = in_page.or(before.map(|f| f.version)).map_or_else(
            || Some(core.version.max(1)),
            |v| v.checked_add(1).map(|next| next.max(core.version)),
        );
        let allowed = due.map_or_else(|| "no further version".to_owned(), |d| d.to_string());
        reasons.unless(
            due == Some(core.version),
            "version",
            "core.version",
            &core.version.to_string(),
            &allowed,
        );
        self.assessor(&core, reasons);
        if let Some(case) = &known {
            let foreign = before.is_some_and(|f| hub(f.stands.as_ref()) != peer);
            reasons.unless(
                !foreign,
                "rights",
                "core.filing_id",
                &core.filing_id,
                "a filing of the hub that says it",
            );
            // An import filing that was lodged apart joins the case of goods that go where it is lodged.
            let bound = |f: &FilingRecord| {
                let kinds = [v1::FilingType::Export as i32, v1::FilingType::Advance as i32];
                kinds.contains(&f.r#type) && f.country_of_destination == core.country_of_destination
            };
            let apart = core.r#type() == v1::FilingType::Import && case.filings.iter().any(bound);
            // Decisions of the peer's may be all that was heard of a third hub's case.
            let mut others = case.filings.iter().filter(|f| hub(f.stands.as_ref()) != peer);
            let unheard = may_come && others.next().is_none();
            let part = case.filings.iter().any(|f| self.has_part(f));
            let joins = may_open || unheard || apart || part;
            reasons.unless(
                joins,
                "rights",
                "core.case_id",
                &core.case_id,
                "a case of one of these two hubs",
            );
        }
        let goods: v1::FilingGoods = content.get("goods").unwrap_or_default();
        let class = core.retention_class.len();
        reasons.unless(
            class <= RETENTION_CLASS_BYTES_MAX,
            "retention-class",
            "core.retention_class",
            &class.to_string(),
            "at most 64 bytes",
        );
        let supplements = core.supplements.len();
        reasons.unless(
            supplements <= SUPPLEMENTS_MAX,
            "supplements",
            "core.supplements",
            &supplements.to_string(),
            "at most 200 registration numbers",
        );
        let containers = goods.containers.len();
        reasons.unless(
            containers <= CONTAINERS_MAX,
            "containers",
            "goods.containers",
            &containers.to_string(),
            "at most 100 containers",
        );
        let attached = attachment::check("goods.attachments", &goods.attachments);
        reasons.0.extend(attached.into_iter().take(1));
        let items_ok = !core.items.is_empty() && core.items.len() <= ewtp_trade::check::ITEMS_MAX;
        reasons.unless(
            items_ok,
            "items",
            "core.items",
            &core.items.len().to_string(),
            "1 to 999 items",
        );
        for (i, item) in core.items.iter().enumerate().take(ewtp_trade::check::ITEMS_MAX) {
            let hs = item.commodity_code.is_empty()
                || ewtp_trade::codes::hs_syntax(&item.commodity_code);
            let path = format!("core.items[{i}].commodity_code");
            reasons.unless(hs, "commodity-code", &path, &item.commodity_code, "6 to 10 digits");
        }
        let filing = v1::Filing {
            core: Some(core.clone()),
            goods: content.get("goods"),
            value: content.get("value"),
            parties: content.get("parties"),
            ..Default::default()
        };
        let filed_ms = header.time_ms().and_then(|ms| i64::try_from(ms).ok());
        let lists = self.lists.at(filed_ms.unwrap_or(i64::MAX));
        verdict.warnings = ewtp_trade::check::warnings_of(&filing, &lists);
        verdict.warnings.truncate(ewtp_trade::check::ITEMS_MAX);
        let told_before =
            matches!(core.r#type(), v1::FilingType::Advance | v1::FilingType::Transit);
        let by_me = core.assessed_by.is_empty() || core.assessed_by == self.me.as_str();
        // One that was logged before this hub joined names nobody; a route says so in its wake.
        if told_before && by_me && self.is_ours(assessing_country(&core).unwrap_or_default()) {
            verdict.said = Said::Filing(Box::new(core));
        } else {
            verdict.said = Said::Noted(Box::new(core));
        }
        Ok(())
    }

    /// Who assesses a filing follows from what it is and where the goods go; a hub can't give that to itself.
    fn assessor(&self, core: &v1::FilingCore, reasons: &mut Reasons) {
        let peer = self.peer.hub.as_str();
        let destination = core.country_of_destination.as_str();
        let country = assessing_country(core).unwrap_or_default();
        let by = core.assessed_by.as_str();
        let holds = match core.r#type() {
            v1::FilingType::Export => by == peer,
            v1::FilingType::Import => by == peer && self.peer.speaks_for(destination),
            // Logged before its country had a hub that was known there.
            _ => by.is_empty() || self.assesses(country, by),
        };
        let allowed = "the hub that speaks for the country concerned";
        reasons.unless(holds, "assessor", "core.assessed_by", by, allowed);
    }
}

pub(crate) struct Parts<'a> {
    parts: &'a [(String, Vec<u8>)],
}

impl Parts<'_> {
    pub(crate) fn get<M: Message + Default>(&self, name: &str) -> Option<M> {
        let (_, blob) = self.parts.iter().find(|(n, _)| n == name)?;
        M::decode(open_part(name, blob).ok()?).ok()
    }

    pub(crate) fn core<M: Message + Default>(&self, reasons: &mut Reasons) -> Option<M> {
        let core = self.get("core");
        if core.is_none() {
            reasons.add(
                "schema",
                "core",
                "",
                "a part core of the kind's schema, inside the data scope",
            );
        }
        core
    }
}
