//! Pre-check: what the public rules of the hub that would assess a filing say and what would be owed, before anything is filed.
//!
//! From public rules and tariffs alone, over what that hub would be shown. Risk, selection and recognition are not included. Each is
//! logged with its account, as a filing is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ewtp_clearance::decide::{Decided, Input, Outcome, decide};
use ewtp_clearance::{Facts, Ruleset};
use ewtp_log::hash::sha256;
use ewtp_proto::v1::federation_service_client::FederationServiceClient;
use ewtp_proto::{Message as _, v1};
use ewtp_trade::check::check_filing;
use ewtp_trade::scope::shows_part;

use crate::clock::new_id;
use crate::desk::ruleset_refs;
use crate::draft::{Draft, DraftError, NewStatement};
use crate::shared::Shared;
use crate::{client, intake};

/// A peer's rules are asked for again after this long.
const FRESH_MS: u64 = 60_000;
/// Who pre-checks waits this long for a peer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most rulesets that are taken of a peer.
const RULESETS_MAX: usize = 32;

/// Rulesets of a hub, and when they were asked for, Unix milliseconds.
type Asked = (u64, Arc<Vec<Ruleset>>);

/// Public rulesets and tariffs in force at peers.
#[derive(Default)]
pub struct PublicRules(Mutex<BTreeMap<String, Asked>>);

/// Why a filing was not pre-checked.
#[derive(Debug, thiserror::Error)]
pub enum PrecheckError {
    /// No randomness.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// The log.
    #[error(transparent)]
    Draft(#[from] DraftError),
}

/// What the public rules say.
///
/// # Errors
/// [`PrecheckError`].
pub async fn precheck(
    shared: &Arc<Shared>,
    account: &str,
    request: &v1::PreCheckRequest,
    languages: &[String],
) -> Result<v1::PreCheckResponse, PrecheckError> {
    let filing = request.filing.clone().unwrap_or_default();
    let mut out = v1::PreCheckResponse::default();
    let checked = match check_filing(&filing, &shared.lists_now()) {
        Ok(checked) => checked,
        Err(violations) => {
            out.violations = violations;
            return Ok(out);
        }
    };
    out.warnings.clone_from(&checked.warnings);
    match intake::assessor(shared, &checked) {
        Ok(hub) => out.assessed_by = hub,
        Err(violations) => {
            out.violations = violations;
            return Ok(out);
        }
    }
    let now_ms = i64::try_from(shared.clock.now_ms()).unwrap_or(i64::MAX);
    let rules = rules_of(shared, &out.assessed_by, now_ms).await;
    let found = rules.as_deref().and_then(|all| Some((all, all.iter().find(|r| !r.is_tariff)?)));
    match found {
        None if out.assessed_by.is_empty() => {
            out.why_not = "no hub that is connected assesses this filing".into();
        }
        None => {
            out.why_not =
                format!("{} has no public rules in force, or can't be asked now", out.assessed_by)
        }
        Some((all, public)) => {
            let facts = facts(shared, &out.assessed_by, &filing, now_ms);
            let tariffs: Vec<&Ruleset> = all.iter().filter(|r| r.is_tariff).collect();
            let used: Vec<&Ruleset> =
                std::iter::once(public).chain(tariffs.iter().copied()).collect();
            out.rulesets = ruleset_refs(&used);
            let kind = filing.core.as_ref().map(v1::FilingCore::r#type).unwrap_or_default();
            let input = Input {
                kind,
                adopted: false,
                facts: &facts,
                public,
                confidential: None,
                tariffs: &tariffs,
                draw: None,
            };
            say(&mut out, public, decide(input), languages);
        }
    }
    log(shared, account, request, &out).await?;
    Ok(out)
}

/// What the assessing hub would see: the parts that its data scope shows it.
fn facts(shared: &Shared, hub: &str, filing: &v1::Filing, now_ms: i64) -> Facts {
    let mut shown = filing.clone();
    let directory = shared.directory.load();
    if let Some(scope) = directory.active_peer(hub).and_then(|p| p.record.scope.clone()) {
        let keeps = |part: &str| shows_part(&scope, part);
        shown.parties = shown.parties.filter(|_| keeps("parties"));
        shown.goods = shown.goods.filter(|_| keeps("goods"));
        shown.value = shown.value.filter(|_| keeps("value"));
        shown.authority = shown.authority.filter(|_| keeps("authority"));
    }
    Facts::of_filing(&shown, now_ms, BTreeMap::new())
}

fn say(out: &mut v1::PreCheckResponse, public: &Ruleset, outcome: Outcome, languages: &[String]) {
    let languages: Vec<&str> = languages.iter().map(String::as_str).collect();
    let text = |reason: &v1::Reason| {
        let params = reason.params.clone().into_iter().collect();
        public.render(&reason.code, &params, &languages)
    };
    match outcome {
        Outcome::Officer(why) => out.officer = why.join("; "),
        Outcome::Ask(questions) => {
            out.questions = questions.iter().filter_map(|q| q.reason.as_ref()).map(text).collect();
        }
        Outcome::Decided(all) => {
            let one = |d: Decided| v1::PreCheckDecision {
                effect: d.effect as i32,
                code: d.code as i32,
                texts: d.reasons.iter().chain(&d.needed).map(text).collect(),
                rules_fired: d.rules_fired,
                estimate: d.estimate,
                insufficient_scope: d.insufficient_scope,
            };
            out.decisions = all.into_iter().map(one).collect();
        }
    }
}

/// Public rules and tariffs in force at a hub, this one included; `None` if it can't be asked.
async fn rules_of(shared: &Shared, hub: &str, now_ms: i64) -> Option<Arc<Vec<Ruleset>>> {
    let read = |texts: Vec<String>| {
        let all = texts.iter().take(RULESETS_MAX).filter_map(|text| Ruleset::parse(text).ok());
        Arc::new(all.filter(|r| !r.confidential).collect::<Vec<Ruleset>>())
    };
    if hub == shared.identity.hub.as_str() {
        return Some(read(in_force(shared, now_ms).await));
    }
    let now = shared.clock.now_ms();
    let known = {
        let map = shared.public_rules.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(hub)
            .filter(|(at, _)| now.saturating_sub(*at) < FRESH_MS)
            .map(|(_, r)| Arc::clone(r))
    };
    if known.is_some() {
        return known;
    }
    let all = read(ask(shared, hub).await?);
    let mut map = shared.public_rules.0.lock().unwrap_or_else(PoisonError::into_inner);
    map.insert(hub.to_owned(), (now, Arc::clone(&all)));
    Some(all)
}

async fn ask(shared: &Shared, hub: &str) -> Option<Vec<String>> {
    let peer = shared.directory.load().active_peer(hub).cloned()?;
    let asked = async {
        let channel = client::dial_peer(&shared.network, &shared.tls, &peer.chain).await.ok()?;
        let request = v1::FederationServiceListRulesetsRequest {};
        let response = FederationServiceClient::new(channel).list_rulesets(request).await.ok()?;
        Some(response.into_inner().texts)
    };
    tokio::time::timeout(PATIENCE, asked).await.ok()?
}

/// Texts of this hub's public ruleset and tariffs in force.
pub(crate) async fn in_force(shared: &Shared, now_ms: i64) -> Vec<String> {
    let directory = shared.directory.load_full();
    let public = directory.ruleset_at(now_ms, false).map(|r| r.digest);
    let mut wanted: Vec<_> = directory.tariffs_at(now_ms).iter().map(|r| r.digest).collect();
    wanted.extend(public);
    let stored = ewtp_store::Views(&*shared.store).rulesets().await.unwrap_or_default();
    let texts = stored.into_iter().map(|r| r.text);
    texts.filter(|text| wanted.contains(&sha256(&[text.as_bytes()]))).collect()
}

async fn log(
    shared: &Arc<Shared>,
    account: &str,
    request: &v1::PreCheckRequest,
    out: &v1::PreCheckResponse,
) -> Result<(), PrecheckError> {
    let core = v1::PreCheckCore {
        request: sha256(&[&request.encode_to_vec()]).0.to_vec(),
        assessed_by: out.assessed_by.clone(),
        rulesets: out.rulesets.clone(),
    };
    let internal = v1::ArrangementInternal { account: account.to_owned() };
    let id = new_id(shared.identity.hub.as_str())?;
    let statement =
        NewStatement::new("pre-check", &id, 1)?.part("core", &core)?.part("internal", &internal)?;
    let draft = Draft { statements: vec![statement], ..Draft::default() };
    shared.accounts.submit(draft).await?;
    Ok(())
}
