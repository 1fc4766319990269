//! `ewtp case replay`: decides again here, with the same pure function, from what receipts prove.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use ewtp_clearance::decide::{Input, Outcome, Without, decide};
use ewtp_clearance::recognition::Recognised;
use ewtp_clearance::{Facts, Ruleset};
use ewtp_log::hash::sha256;
use ewtp_log::receipt::Receipt;
use ewtp_log::statement::open_part;
use ewtp_proto::{Message, v1};
use ewtp_trust::Chain;
use serde_json::json;

use crate::commands::{case, case_erase, receipt};
use crate::error::CliError;
use crate::output::Output;
use crate::session::Session;

/// A decision that was proven, with the parts that its receipt shows.
struct ProvenDecision {
    core: v1::DecisionCore,
    trader: v1::DecisionTrader,
    authority: Option<v1::DecisionAuthority>,
    facts: Vec<u8>,
}

fn part<M: Message + Default>(receipt: &Receipt, name: &str) -> Option<M> {
    let (_, blob) = receipt.parts.iter().find(|(n, _)| n == name)?;
    M::decode(open_part(name, blob).ok()?).ok()
}

fn proven(text: &str, chain: &str) -> Result<Receipt, CliError> {
    let receipt = Receipt::parse(text)?;
    receipt.verify(&Chain::verify_file(chain)?.receipt_trust())?;
    Ok(receipt)
}

/// Replays one case, or all that the account sees.
pub(crate) async fn run(
    profile: Option<&Path>,
    name: Option<&str>,
    as_of: Option<jiff::Timestamp>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let as_of_ms = as_of.map_or(i64::MAX, |t| t.as_millisecond());
    let mut library = Library::default();
    match name {
        Some(name) => {
            let case = case::find(&session, name).await?;
            one(&session, &mut library, &case, as_of_ms, out).await
        }
        None => all(&session, &mut library, as_of_ms, out).await,
    }
}

/// A decision, decided again.
struct Replayed {
    effect: String,
    hub: String,
    counted: bool,
    word: &'static str,
    detail: String,
    code: String,
    log_index: u64,
    facts: Vec<RecognisedThen>,
}

impl Replayed {
    fn agrees(&self) -> bool {
        self.word != "differs" && self.facts.iter().all(|f| f.agreed != Some(false))
    }

    fn then(&self) -> &'static str {
        if self.counted { "counted" } else { "superseded" }
    }

    fn whole(&self) -> String {
        let told: Vec<String> = self.facts.iter().map(RecognisedThen::words).collect();
        [&[self.detail.clone()][..], &told].concat().join("; ")
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "effect": self.effect, "hub": self.hub, "then": self.then(), "replay": self.word, "detail": self.detail,
            "recognised": self.facts.iter().map(RecognisedThen::json).collect::<Vec<_>>(), "code": self.code,
            "log_index": self.log_index,
        })
    }
}

async fn decisions(
    session: &Session,
    library: &mut Library,
    case: &v1::Case,
    as_of_ms: i64,
) -> Result<Vec<Replayed>, CliError> {
    let known: Vec<&v1::CaseDecision> =
        case.decisions.iter().filter(|d| d.known_ms <= as_of_ms).collect();
    let mut out = Vec::new();
    for decision in &known {
        let Some(statement) = &decision.statement else { continue };
        let (text, chain) = receipt::fetch(session, &case.case_id, statement, false).await?;
        let receipt = proven(&text, &chain)?;
        let verdict = match open(&receipt) {
            Some(proven) => replay(session, library, &statement.hub, case, &proven).await?,
            None => Verdict::Cannot(why_closed(case, statement)),
        };
        let core = decision.core.clone().unwrap_or_default();
        let effect = core.effect().as_str_name().trim_start_matches("EFFECT_").to_ascii_lowercase();
        let (word, detail) = verdict.words();
        out.push(Replayed {
            effect,
            hub: statement.hub.clone(),
            counted: is_newest(decision, &known),
            word,
            detail,
            code: core.code().as_str_name().trim_start_matches("DECISION_CODE_").to_owned(),
            log_index: statement.log_index,
            facts: recognised(session, decision).await?,
        });
    }
    Ok(out)
}

async fn one(
    session: &Session,
    library: &mut Library,
    case: &v1::Case,
    as_of_ms: i64,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let replayed = decisions(session, library, case, as_of_ms).await?;
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for r in &replayed {
        rows.push(vec![
            r.effect.clone(),
            r.hub.clone(),
            r.then().to_owned(),
            r.word.to_owned(),
            r.whole(),
        ]);
        lines.push(r.json());
    }
    for gone in case.erased.iter().filter(|e| e.parts.is_empty() && e.kind == "decision") {
        let hub = gone.statement.as_ref().map(|s| s.hub.clone()).unwrap_or_default();
        let detail = case_erase::still_proven(session, &case.case_id, gone).await?;
        let none = String::new;
        rows.push(vec![none(), hub.clone(), none(), "erased".into(), detail.clone()]);
        lines.push(json!({"effect": "", "hub": hub, "replay": "erased", "detail": detail}));
    }
    out.table(&["effect", "decided by", "then", "replay", "detail"], &rows, &json!(lines));
    Ok(code(replayed.iter().all(Replayed::agrees)))
}

fn code(agree: bool) -> ExitCode {
    if agree { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// Replays every case, and lists what doesn't come out as it was decided.
async fn all(
    session: &Session,
    library: &mut Library,
    as_of_ms: i64,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let (mut cases, mut page_token) = (0u64, String::new());
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut rows, mut lines, mut relied) = (Vec::new(), Vec::new(), 0u64);
    loop {
        let request = v1::ListCasesRequest { page_size: 1000, page_token, ..Default::default() };
        let page = session.trade().list_cases(session.request(request)).await?.into_inner();
        for row in page.cases {
            let case = case::find(session, &row.case_id).await?;
            cases += 1;
            for r in decisions(session, library, &case, as_of_ms).await? {
                *counts.entry(r.word).or_default() += 1;
                relied += u64::from(!r.facts.is_empty());
                if !r.agrees() {
                    let cells = [case.case_id.clone(), r.effect.clone(), r.hub.clone(), r.whole()];
                    rows.push(cells.to_vec());
                    lines.push(json!({"case": case.case_id, "decision": r.json()}));
                }
            }
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let agree = rows.is_empty();
    if out.is_json() {
        out.json_line(&json!({"cases": cases, "decisions": counts, "relied_upon_facts": relied, "differ": lines}));
        return Ok(code(agree));
    }
    if !agree {
        out.table(&["case", "effect", "decided by", "detail"], &rows, &json!(lines));
    }
    let words: Vec<String> = counts.iter().map(|(word, n)| format!("{n} {word}")).collect();
    out.say(&format!(
        "{cases} cases, decisions: {}; {relied} relied upon what another hub had established",
        words.join(", ")
    ));
    Ok(code(agree))
}

/// Whether none of these is a later one on the same effect of the same filing by the same hub.
fn is_newest(decision: &v1::CaseDecision, known: &[&v1::CaseDecision]) -> bool {
    let about = |d: &v1::CaseDecision| {
        let core = d.core.clone().unwrap_or_default();
        let hub = d.statement.as_ref().map(|s| s.hub.clone()).unwrap_or_default();
        (core.filing_id, core.effect, hub)
    };
    let place =
        |d: &v1::CaseDecision| (d.logged_ms, d.statement.as_ref().map_or(0, |s| s.log_index));
    let later = |d: &&&v1::CaseDecision| about(d) == about(decision) && place(d) > place(decision);
    !known.iter().any(|d| later(&d))
}

/// A fact that a decision relied upon, and whether its arrangement was agreed when it was decided, as known then at this hub.
struct RecognisedThen {
    fact: v1::RecognisedFact,
    /// `None` where this account can't look it up.
    agreed: Option<bool>,
}

impl RecognisedThen {
    fn words(&self) -> String {
        let fact = &self.fact;
        let agreed = match self.agreed {
            Some(true) => "agreed then",
            Some(false) => "NOT agreed then",
            None => "not looked up",
        };
        format!(
            "recognised {} of {} (log entry {}), by line {} of document {}: {agreed}",
            fact.kind, fact.hub, fact.log_index, fact.line, fact.document
        )
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "kind": self.fact.kind, "hub": self.fact.hub, "log_index": self.fact.log_index, "line": self.fact.line,
            "document": self.fact.document, "certificate_id": self.fact.certificate_id, "agreed_then": self.agreed,
        })
    }
}

async fn recognised(
    session: &Session,
    decision: &v1::CaseDecision,
) -> Result<Vec<RecognisedThen>, CliError> {
    let trader = decision.trader.iter().flat_map(|t| &t.recognised);
    let authority = decision.authority.iter().flat_map(|a| &a.recognised);
    let mut facts: Vec<v1::RecognisedFact> = trader.chain(authority).cloned().collect();
    facts.dedup();
    let mut out = Vec::new();
    for fact in facts {
        let request = v1::ListArrangementsRequest {
            peer: String::new(),
            as_of_ms: u64::try_from(decision.logged_ms).unwrap_or_default(),
        };
        let listed = session.operator().list_arrangements(request).await;
        let agreed = listed.ok().map(|listed| {
            let all = listed.into_inner().arrangements;
            let mut agreed = all.iter().flat_map(|a| &a.agreed);
            agreed.any(|d| d.digest == fact.arrangement && d.number == fact.document)
        });
        out.push(RecognisedThen { fact, agreed });
    }
    Ok(out)
}

/// Why a decision can't be opened: a part of it was erased, or isn't shown to this account.
fn why_closed(case: &v1::Case, decision: &v1::StatementRef) -> String {
    let gone = case.erased.iter().find(|e| e.statement.as_ref() == Some(decision));
    match gone {
        Some(gone) => {
            format!("its {} was erased: {} of {}", gone.parts.join(", "), gone.reason, gone.by)
        }
        None => "the receipt shows no facts".to_owned(),
    }
}

fn open(receipt: &Receipt) -> Option<ProvenDecision> {
    let trader: v1::DecisionTrader = part(receipt, "trader")?;
    let internal: Option<v1::DecisionInternal> = part(receipt, "internal");
    let seen = internal.map(|i| i.facts).filter(|f| !f.is_empty());
    let facts = seen.unwrap_or_else(|| trader.facts.clone());
    Some(ProvenDecision {
        core: part(receipt, "core")?,
        authority: part(receipt, "authority"),
        trader,
        facts,
    })
}

enum Verdict {
    /// Same code, same reasons.
    Agrees(String),
    /// Not what was decided.
    Differs(String),
    /// Can't be run again here.
    Cannot(String),
}

impl Verdict {
    fn words(&self) -> (&'static str, String) {
        match self {
            Self::Agrees(d) => ("agrees", d.clone()),
            Self::Differs(d) => ("differs", d.clone()),
            Self::Cannot(d) => ("can't be re-run", d.clone()),
        }
    }
}

/// What a decision cites.
#[derive(Default)]
struct Cited {
    public: Option<Arc<Ruleset>>,
    confidential: Option<Arc<Ruleset>>,
    tariffs: Vec<Arc<Ruleset>>,
    /// Something public can't be had here.
    missing: bool,
}

/// Rulesets that were looked up, by digest; `None` for those that can't be had here.
#[derive(Default)]
struct Library(BTreeMap<Vec<u8>, Option<Arc<Ruleset>>>);

impl Library {
    async fn ruleset(
        &mut self,
        session: &Session,
        hub: &str,
        cited: &v1::RulesetRef,
    ) -> Result<Option<Arc<Ruleset>>, CliError> {
        if let Some(known) = self.0.get(&cited.digest) {
            return Ok(known.clone());
        }
        let text = text_of(session, hub, cited).await?;
        let ruleset = text.and_then(|t| Ruleset::parse(&t).ok()).map(Arc::new);
        self.0.insert(cited.digest.clone(), ruleset.clone());
        Ok(ruleset)
    }
}

/// Rulesets whose digest is the one that the decision cites: own ones proven by their receipts, a peer's public ones by the
/// digest alone, which the decision's own receipt proves.
async fn rulesets(
    session: &Session,
    library: &mut Library,
    hub: &str,
    core: &v1::DecisionCore,
) -> Result<Cited, CliError> {
    let mut out = Cited::default();
    for cited in &core.rulesets {
        let Some(ruleset) = library.ruleset(session, hub, cited).await? else {
            out.missing |= !cited.confidential;
            continue;
        };
        match (cited.confidential, ruleset.is_tariff) {
            (true, _) => out.confidential = Some(ruleset),
            (false, true) => out.tariffs.push(ruleset),
            (false, false) => out.public = Some(ruleset),
        }
    }
    Ok(out)
}

/// The text of a ruleset that a hub's decision cites, if it can be had here.
pub(crate) async fn text_of(
    session: &Session,
    hub: &str,
    cited: &v1::RulesetRef,
) -> Result<Option<String>, CliError> {
    let text = match own_text(session, cited).await? {
        Some(text) => Some(text),
        None => {
            let request = v1::GetRulesetRequest {
                digest: cited.digest.clone(),
                hub: hub.to_owned(),
                ..Default::default()
            };
            session.trade().get_ruleset(request).await.ok().map(|r| r.into_inner().text)
        }
    };
    Ok(text.filter(|t| sha256(&[t.as_bytes()]).0.as_slice() == cited.digest))
}

/// The facts of a decision, from its receipt.
pub(crate) async fn facts_of(
    session: &Session,
    case: &v1::Case,
    decision: &v1::CaseDecision,
) -> Result<Option<Vec<u8>>, CliError> {
    let Some(statement) = &decision.statement else { return Ok(None) };
    let (text, chain) = receipt::fetch(session, &case.case_id, statement, false).await?;
    Ok(open(&proven(&text, &chain)?).map(|d| d.facts).filter(|f| !f.is_empty()))
}

async fn own_text(session: &Session, cited: &v1::RulesetRef) -> Result<Option<String>, CliError> {
    let request = v1::GetReceiptRequest {
        ruleset: cited.name.clone(),
        ruleset_version: cited.version,
        ..Default::default()
    };
    let Ok(response) = session.trade().get_receipt(request).await else { return Ok(None) };
    let response = response.into_inner();
    let receipt = proven(&response.receipt, &response.descriptors)?;
    Ok(if cited.confidential {
        part::<v1::RulesetInternal>(&receipt, "internal").map(|i| i.text)
    } else {
        part::<v1::RulesetCore>(&receipt, "core").map(|c| c.text)
    })
}

async fn replay(
    session: &Session,
    library: &mut Library,
    hub: &str,
    case: &v1::Case,
    proven: &ProvenDecision,
) -> Result<Verdict, CliError> {
    let core = &proven.core;
    if core.source() != v1::DecisionSource::Rules {
        return Ok(Verdict::Cannot("an officer or a system decided".into()));
    }
    let cited = rulesets(session, library, hub, core).await?;
    let tariffs: Vec<&Ruleset> = cited.tariffs.iter().map(|t| &**t).collect();
    let confidential = cited.confidential;
    let Some(public) = cited.public.filter(|_| !cited.missing) else {
        return Ok(Verdict::Cannot(
            "this hub doesn't hold a ruleset or tariff that is cited; replay at the hub that decided".into(),
        ));
    };
    let Ok(facts) = Facts::from_json(&proven.facts) else {
        return Ok(Verdict::Differs("the facts are no document of facts".into()));
    };
    let mut filing = case.filings.iter().filter_map(|f| f.filing.as_ref()?.core.as_ref());
    let filed = filing.find(|c| c.filing_id == core.filing_id);
    let Some(filed) = filed else {
        return Ok(Verdict::Cannot("the filing that it decided isn't shown, or was erased".into()));
    };
    let (kind, adopted) = (filed.r#type(), !filed.adopts.is_empty());
    let whole = core.rulesets.iter().all(|r| !r.confidential) || confidential.is_some();
    let confidential = confidential.as_deref();
    let draw = proven.authority.as_ref().and_then(|a| a.draw);
    let input = Input {
        kind,
        adopted,
        facts: &facts,
        public: &public,
        confidential,
        tariffs: &tariffs,
        draw,
    };
    let outcome = decide(input);
    let Outcome::Decided(all) = outcome else {
        return Ok(Verdict::Differs("the rules now ask or fail".into()));
    };
    let Some(again) = all.into_iter().find(|d| d.effect == core.effect()) else {
        return Ok(Verdict::Differs("no decision on this effect".into()));
    };
    let reasons = again.reasons == proven.trader.reasons
        && again.needed == proven.trader.needed
        && again.rules_fired == proven.trader.rules_fired
        && again.insufficient_scope == core.insufficient_scope
        && again.conditions == core.conditions
        && again.relied_upon.iter().map(Recognised::named).eq(proven
            .trader
            .recognised
            .iter()
            .cloned())
        && (proven.trader.facts.is_empty() || again.estimate == proven.trader.estimate);
    let same_code = again.code == core.code();
    let authority = proven.authority.as_ref().is_none_or(|a| {
        a.reasons == again.authority_reasons
            && a.rules_fired == again.authority_rules_fired
            && again
                .authority_relied_upon
                .iter()
                .map(Recognised::named)
                .eq(a.recognised.iter().cloned())
            && a.without == again.without.as_ref().map(Without::named)
    });
    let basis = core.basis.as_ref().map_or(0, |b| b.own_size);
    let code = core.code().as_str_name().trim_start_matches("DECISION_CODE_");
    Ok(match (whole, same_code && reasons && authority, reasons) {
        (true, true, _) => Verdict::Agrees(format!("{code}, as known at log size {basis}")),
        (false, _, true) => Verdict::Agrees("the public rules; selection is not included".into()),
        _ => Verdict::Differs(format!(
            "decided {code}, the rules give {}",
            again.code.as_str_name().trim_start_matches("DECISION_CODE_")
        )),
    })
}
