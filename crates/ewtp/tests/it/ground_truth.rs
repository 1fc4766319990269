//! Three hubs, two arrangements, two thousand consignments of which the truth is known: forged and borrowed certificates, revocations while
//! filings are on their way, more filed than there is, and an arrangement that ends at a midnight in its own zone. What the hubs decide and
//! what their reports count is what the plan says, which knows nothing of their rules.

use std::collections::BTreeMap;

use ewtp_ground_truth::{
    Cites, Consignment, EXPORTERS, Fate, IMPORTERS, Origin, Phase, Plan, Recognition, plan,
};
use ewtp_proto::v1::desk_service_client::DeskServiceClient;
use ewtp_proto::v1::{self, DecisionCode, Effect, EventCode};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::arrangements::open_digest;
use crate::stage::{Hub, all_cases, case, file, pin, stops_whole};

const CONSIGNMENTS: u32 = 2000;
const SEED: u64 = 20_261_126;
const SINCE: [&str; 2] = ["--from", "2020-01-01T00:00:00Z"];

/// What is not inspected at its origin is inspected at the border.
const RULES: &str = r#"
name = "be-truth"
version = 1
visibility = "public"
territory = "BE"
time_zone = "Europe/Brussels"
valid_from = "2020-01-01"
currency = "EUR"
[[rate]]
currency = "USD"
value = "0.92"
from = "2020-01-01"
[[text]]
code = "INSPECTED"
en = "Goods are inspected where they arrive"
[[rule]]
id = "BE-T1"
effect = "security"
applies = ["advance", "import"]
when = "!recognised('inspection', 'waive_physical')"
then = "PHYS_CONTROL"
reason = "INSPECTED"
"#;

fn arrangement(with: &str, zone: &str, until: &str, identifiers: &str) -> String {
    format!(
        r#"
between = ["BE", "{with}"]
number = 1
title = "Recognition of inspections between Belgium and {with}"
legal_reference = "Decision 1/2026"
time_zone = "{zone}"
valid_from = "2020-01-01"
{until}
data_scope = ["parties", "goods"]
[[recognition]]
id = "inspections"
by = "BE"
kind = "inspection"
effects = ["waive_physical"]
{identifiers}
[[threshold]]
by = "BE"
kind = "inspection"
checked_at_least = 10
false_permille = 50
"#
    )
}

struct Stage {
    be: Hub,
    ke: Hub,
    sg: Hub,
    plan: Plan,
    dir: tempfile::TempDir,
}

impl Stage {
    fn hub(&self, origin: Origin) -> &Hub {
        match origin {
            Origin::Ending => &self.ke,
            Origin::Lasting => &self.sg,
            Origin::AtDestination => &self.be,
        }
    }

    /// Starts all hubs anew, their clocks at an instant to come.
    fn play(&mut self, at: Timestamp) {
        let ahead = at.as_second() - Timestamp::now().as_second();
        for hub in [&mut self.be, &mut self.ke, &mut self.sg] {
            hub.play(ahead);
        }
    }
}

/// As the certificate knows an exporter.
fn certified(origin: Origin, exporter: u32) -> String {
    match origin {
        Origin::Ending => format!("P05{exporter:07}X"),
        _ => format!("SG2026{exporter:05}K"),
    }
}

/// As filings know it.
fn filed(origin: Origin, exporter: u32) -> String {
    match origin {
        Origin::Ending => format!("KE{}", certified(origin, exporter)),
        Origin::Lasting => certified(origin, exporter),
        Origin::AtDestination => format!("BE01234567{exporter:02}"),
    }
}

fn size(consignment: &Consignment) -> i32 {
    let name = format!("SIZE_CLASS_{}", consignment.size.name().to_ascii_uppercase());
    v1::SizeClass::from_str_name(&name).unwrap() as i32
}

fn filing(plan: &Plan, c: &Consignment) -> v1::Filing {
    let text = |t: &str| t.to_owned();
    let at_destination = c.origin == Origin::AtDestination;
    let country = match c.origin {
        Origin::Ending => "KE",
        Origin::Lasting => "SG",
        Origin::AtDestination => "UG",
    };
    let kg = c.kg.to_string();
    let mut filing = crate::stage::advance(&c.lrn, country, "BE");
    let core = filing.core.as_mut().unwrap();
    core.items[0].commodity_code = text(c.hs);
    core.items[0].quantity = Some(v1::Quantity { value: kg.clone(), unit: text("KGM") });
    core.filer = Some(v1::Filer { size: size(c), ..Default::default() });
    let goods = filing.goods.as_mut().unwrap();
    (goods.gross_mass_kg, goods.items[0].gross_mass_kg) = (kg.clone(), kg.clone());
    goods.items[0].net_mass_kg = kg;
    if at_destination {
        core.r#type = v1::FilingType::Import as i32;
        let importer = filed(c.origin, c.exporter);
        (core.declarant_id, core.importer_id) = (importer.clone(), importer);
        goods.items[0].procedure = text("4000");
    } else {
        core.exporter_id = filed(c.origin, c.exporter);
    }
    let cited = match c.cites {
        Cites::Nothing => return filing,
        Cites::Own(place) | Cites::Anothers(place) => plan.certificates[place].reference.clone(),
        Cites::Forged => text("INSPECTION-FORGED"),
    };
    goods.documents = vec![v1::DocumentReference {
        category: text("C"),
        r#type: text("085"),
        id: cited,
        ..Default::default()
    }];
    filing
}

/// Files what is due, over several connections at once; the cases by LRN.
#[expect(clippy::disallowed_methods, reason = "the set is owned here, and joined")]
async fn file_all(stage: &Stage, due: impl Fn(&Consignment) -> bool) -> BTreeMap<String, String> {
    let mut tasks = tokio::task::JoinSet::new();
    for origin in [Origin::Ending, Origin::Lasting, Origin::AtDestination] {
        let hub = stage.hub(origin);
        let mine = stage.plan.consignments.iter().filter(|c| c.origin == origin && due(c));
        let mut by_account: BTreeMap<String, Vec<v1::Filing>> = BTreeMap::new();
        for (n, c) in mine.enumerate() {
            let account = match origin {
                Origin::AtDestination => format!("importer-{}", c.exporter),
                _ => "platform".to_owned(),
            };
            let lane = format!("{account}/{}", n % 4);
            by_account.entry(lane).or_default().push(filing(&stage.plan, c));
        }
        for (lane, filings) in by_account {
            let mut trade = hub.trade(lane.split('/').next().unwrap()).await;
            tasks.spawn(async move {
                let mut cases = Vec::new();
                for filing in filings {
                    let lrn = filing.core.as_ref().unwrap().lrn.clone();
                    cases.push((lrn, file(&mut trade, filing).await.case_id));
                }
                cases
            });
        }
    }
    let all = tasks.join_all().await;
    all.into_iter().flatten().collect()
}

/// Waits until something holds, for longer than single steps take.
async fn finally<T>(what: &str, mut ready: impl AsyncFnMut() -> Option<T>) -> T {
    let started = std::time::Instant::now();
    loop {
        if let Some(found) = ready().await {
            return found;
        }
        assert!(started.elapsed().as_secs() < 240, "{what} did not happen");
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
}

/// All that was filed is decided at the destination, and nothing waits.
async fn settled(stage: &Stage, filings: usize) {
    finally("the decisions", async || {
        let be = &stage.be;
        let cases = all_cases(&mut be.trade("officer").await).await;
        let decided = cases.iter().filter(|c| !c.decisions.is_empty()).count();
        (cases.len() == filings && decided == filings && be.status().await.inbox == 0).then_some(())
    })
    .await;
}

/// The newest decision on security at the destination.
async fn newest(be: &Hub, id: &str) -> DecisionCode {
    let all = case(be, "officer", id).await.unwrap().decisions.into_iter();
    let mut cores = all.filter_map(|d| d.core).filter(|c| c.effect() == Effect::Security);
    cores.next_back().map(|c| c.code()).unwrap_or_default()
}

async fn inspect(be: &Hub, id: &str, is_false: bool) {
    let mut desk = DeskServiceClient::new(be.channel("officer").await);
    let result = match is_false {
        true => v1::ControlResult::False,
        false => v1::ControlResult::Conforms,
    };
    for code in [EventCode::Arrived, EventCode::Presented, EventCode::Inspected] {
        let findings = match code {
            EventCode::Inspected => vec![v1::ArrivalFinding {
                kind: "inspection".into(),
                result: result as i32,
                ..Default::default()
            }],
            _ => Vec::new(),
        };
        let request = v1::RecordEventRequest {
            case_id: id.to_owned(),
            code: code as i32,
            findings,
            idempotency_key: format!("{id}/{}", code as i32),
            ..Default::default()
        };
        let done = desk.record_event(request).await.unwrap().into_inner().result.unwrap();
        assert!(matches!(done, v1::record_event_response::Result::Logged(_)), "{done:?}");
    }
}

fn reported(report: &Value, hub: &str) -> Recognition {
    let all = report["figures"]["arrangements"].as_array().unwrap();
    let one = all.iter().find(|a| a["hub"] == hub).unwrap();
    let number = |v: &Value| v.as_u64().unwrap();
    assert_eq!(one["controlled"], 0, "what relies upon an inspection isn't inspected again");
    Recognition {
        cases: number(&one["cases"]),
        checks_waived: number(&one["checks_waived"]),
        facts_checked: number(&one["facts_checked"]),
        disagreements: number(&one["disagreements"]),
        comparable: number(&one["comparable"]["filings"]),
        comparable_controlled: number(&one["comparable"]["controlled"]),
        comparable_found_false: number(&one["comparable"]["found_false"]),
    }
}

/// Sets the scene on the last day of the arrangement that ends.
async fn stage(noon: Timestamp) -> (Stage, String) {
    let dir = tempfile::tempdir().unwrap();
    let [be, ke, sg] = ["BE", "KE", "SG"].map(|id| Hub::start(dir.path(), id));
    let mut stage = Stage { be, ke, sg, plan: plan(SEED, CONSIGNMENTS), dir };
    stage.play(noon);
    let Stage { be, ke, sg, dir, .. } = &stage;
    pin(be, ke, "full");
    pin(be, sg, "full");
    for hub in [be, ke, sg] {
        hub.add_account("officer", "officer");
    }
    for (hub, origin) in [(ke, Origin::Ending), (sg, Origin::Lasting)] {
        hub.add_account("platform", "platform");
        let names: Vec<String> = (0..EXPORTERS).map(|n| filed(origin, n)).collect();
        let principals = dir.path().join(format!("{}.principals", hub.process.hub));
        std::fs::write(&principals, names.join("\n")).unwrap();
        hub.mandates(&principals);
    }
    let at_be = be.process.dir.display().to_string();
    for n in 0..IMPORTERS {
        let (id, party) = (format!("importer-{n}"), filed(Origin::AtDestination, n));
        let sizes = ["micro", "small", "medium", "large"];
        let add = ["account", "add", &id, "--role", "trader", "--registered-id", &party];
        be.json(
            "operator",
            &[&add[..], &["--size", sizes[n as usize % 4], "--out", &at_be]].concat(),
        );
    }
    let rules = dir.path().join("rules.toml");
    std::fs::write(&rules, RULES).unwrap();
    be.json("operator", &["ruleset", "publish", rules.to_str().unwrap()]);
    let last_day = TimeZone::get("Africa/Nairobi").unwrap().to_datetime(noon).date().to_string();
    let mapped = "[[identifier]]\nof = \"KE\"\ncertified = \"P*\"\nfiled = \"KEP*\"";
    let texts = [
        (ke, arrangement("KE", "Africa/Nairobi", &format!("valid_until = \"{last_day}\""), mapped)),
        (sg, arrangement("SG", "Asia/Singapore", "", "")),
    ];
    for (hub, text) in texts {
        let with = hub.process.hub.clone();
        let path = dir.path().join(format!("{with}.toml"));
        std::fs::write(&path, text).unwrap();
        let propose = ["arrangement", "propose", path.to_str().unwrap(), "--peer", &with];
        let digest = open_digest(&be.json("operator", &propose));
        finally("the agreement", async || {
            let accept = ["arrangement", "accept", &digest, "--peer", "BE"];
            hub.run("operator", &accept).status.success().then_some(())
        })
        .await;
        finally("the agreement at Belgium", async || {
            let state = be.json("operator", &["arrangement", "show", "--peer", &with]);
            (state["governs"] == "1").then_some(())
        })
        .await;
    }
    (stage, last_day)
}

/// Certificates, by their places, and their ids.
async fn certify(stage: &Stage) -> Vec<String> {
    let mut ids = Vec::new();
    for c in &stage.plan.certificates {
        let mut desk = DeskServiceClient::new(stage.hub(c.origin).channel("officer").await);
        let kilograms = |kg: u32| Some(v1::Quantity { value: kg.to_string(), unit: "KGM".into() });
        let holder = certified(c.origin, c.holder);
        let used = match c.quota_kg {
            Some(_) => v1::CertificateUse::Quantity,
            None => v1::CertificateUse::Unspecified,
        };
        let request = v1::IssueCertificateRequest {
            core: Some(v1::CertificateCore {
                kind: "inspection".into(),
                issuer: "An inspectorate".into(),
                reference: c.reference.clone(),
                valid_from: "2020-01-01".into(),
                time_zone: "UTC".into(),
                r#use: used as i32,
                ..Default::default()
            }),
            holder: Some(v1::CertificateHolder {
                id: holder,
                name: "An exporter".into(),
                country: stage.hub(c.origin).process.hub.clone(),
                ..Default::default()
            }),
            lines: vec![v1::CertificateLine {
                hs: "0901".into(),
                quantity: c.quota_kg.and_then(kilograms),
                ..Default::default()
            }],
            original: None,
        };
        let issued = desk.issue_certificate(request).await.unwrap().into_inner();
        assert!(issued.violations.is_empty(), "{:?}", issued.violations);
        ids.push(issued.certificate.unwrap().core.unwrap().certificate_id);
    }
    finally("all certificates at Belgium", async || {
        let known = ["KE", "SG"].map(|hub| {
            let all = stage.be.json("officer", &["certificate", "list", "--hub", hub]);
            all.as_array().unwrap().len()
        });
        (known.iter().sum::<usize>() == ids.len()).then_some(())
    })
    .await;
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_and_reported_of_two_thousand_consignments_is_what_is_true_of_them() {
    let nairobi = TimeZone::get("Africa/Nairobi").unwrap();
    let tomorrow = nairobi.to_datetime(Timestamp::now()).date().tomorrow().unwrap();
    let at = |hour, minute| nairobi.to_timestamp(tomorrow.at(hour, minute, 0, 0)).unwrap();
    let midnight = nairobi.to_timestamp(tomorrow.tomorrow().unwrap().at(0, 0, 1, 0)).unwrap();
    let (mut stage, _) = stage(at(12, 0)).await;
    let ids = certify(&stage).await;

    // The day; certificates are revoked while filings are on their way.
    let day = async { file_all(&stage, |c| c.phase == Phase::Day).await };
    let revocations = async {
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        for (id, c) in ids.iter().zip(&stage.plan.certificates).filter(|(_, c)| c.revoked) {
            let mut desk = DeskServiceClient::new(stage.hub(c.origin).channel("officer").await);
            let request = v1::ChangeCertificateRequest {
                certificate_id: id.clone(),
                state: v1::CertificateState::Revoked as i32,
                reason: "the sample was exchanged".into(),
                ..Default::default()
            };
            let changed = desk.change_certificate(request).await.unwrap().into_inner();
            assert!(changed.violations.is_empty(), "{:?}", changed.violations);
        }
    };
    let (mut cases, ()) = tokio::join!(day, revocations);
    settled(&stage, cases.len()).await;
    // Its last minutes, and the first of the next day: midnight is that of the arrangement's zone.
    stage.play(at(23, 57));
    cases.extend(file_all(&stage, |c| c.phase == Phase::LastMinutes).await);
    settled(&stage, cases.len()).await;
    stage.play(midnight);
    cases.extend(file_all(&stage, |c| c.phase == Phase::FirstMinutes).await);
    settled(&stage, cases.len()).await;
    assert_eq!(cases.len(), CONSIGNMENTS as usize);

    // Each consignment came to what is true of it.
    let (be, plan) = (&stage.be, &stage.plan);
    let mut wrong = Vec::new();
    let mut drawn: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    finally("the reassessments", async || {
        (wrong, drawn) = (Vec::new(), BTreeMap::new());
        for c in &plan.consignments {
            let code = newest(be, &cases[&c.lrn]).await;
            let right = match (plan.fate(c), c.cites) {
                (Fate::Recognised, _) => code == DecisionCode::Clear,
                (Fate::OneOfMany, Cites::Own(place)) => {
                    let cell = drawn.entry(place).or_default();
                    cell.0 += u64::from(code == DecisionCode::Clear);
                    cell.1 += u64::from(code == DecisionCode::PhysControl);
                    true
                }
                _ => code == DecisionCode::PhysControl,
            };
            if !right {
                wrong.push((c.lrn.clone(), plan.fate(c), code));
            }
        }
        let spent = drawn.iter().all(|(place, counts)| *counts == plan.drawn(*place));
        (wrong.is_empty() && spent).then_some(())
    })
    .await;
    assert_eq!(drawn.len(), 4, "{drawn:?}");

    // Some of it is inspected where it arrives.
    for c in &plan.consignments {
        if let Some(is_false) = c.inspected {
            inspect(be, &cases[&c.lrn], is_false).await;
        }
    }

    // The reports count what is true.
    let report = be.json("officer", &[&["report", "recognition"], &SINCE[..]].concat());
    assert_eq!(report["figures"]["filings"], CONSIGNMENTS);
    for (origin, hub) in [(Origin::Ending, "KE"), (Origin::Lasting, "SG")] {
        assert_eq!(reported(&report, hub), plan.recognition(origin), "{hub}: {report}");
    }
    let fair = be.json("officer", &[&["report", "fairness"], &SINCE[..]].concat());
    let cells = |by: &str| -> BTreeMap<String, (u64, u64)> {
        let cells = fair["figures"][by].as_array().unwrap().iter();
        cells
            .map(|c| {
                let number = |name: &str| c["shown"][name].as_u64().unwrap();
                let name = c["name"].as_str().unwrap().to_owned();
                (name, (number("filings"), number("control_rate_permille")))
            })
            .collect()
    };
    let rates = |counts: BTreeMap<String, (u64, u64)>| -> BTreeMap<String, (u64, u64)> {
        counts.into_iter().map(|(name, (all, some))| (name, (all, some * 1000 / all))).collect()
    };
    let country = |c: &Consignment| match c.origin {
        Origin::Ending => "KE".to_owned(),
        Origin::Lasting => "SG".to_owned(),
        Origin::AtDestination => "UG".to_owned(),
    };
    let channel = |c: &Consignment| match c.origin {
        Origin::AtDestination => "trader".to_owned(),
        _ => "platform".to_owned(),
    };
    assert_eq!(cells("by_size"), rates(plan.treatment(|c| c.size.name().to_owned())), "{fair}");
    assert_eq!(cells("by_origin"), rates(plan.treatment(country)), "{fair}");
    assert_eq!(cells("by_channel"), rates(plan.treatment(channel)), "{fair}");
    let expected = plan.recognition(Origin::Lasting);
    let passed = expected.disagreements * 20 > expected.facts_checked;
    assert!(expected.facts_checked >= 10 && passed, "{expected:?}");
    let alarms = |hub: &str| {
        let shown = be.json("officer", &["arrangement", "quality", "--peer", hub]);
        shown["alarms"].as_array().map_or(0, Vec::len)
    };
    assert_eq!((alarms("SG"), alarms("KE")), (1, 0), "what is over has nothing left to suspend");

    // Every decision is explained by what it cites, and comes out the same again: now, and as it was known on the last day.
    for as_of in [Timestamp::now() + jiff::SignedDuration::from_hours(72), at(23, 59)] {
        let replay =
            be.json("officer", &["case", "replay", "--all", "--as-of", &as_of.to_string()]);
        let again = replay["decisions"]["agrees"].as_u64().unwrap();
        assert!(replay["differ"].as_array().unwrap().is_empty(), "{replay}");
        assert_eq!(replay["decisions"], json!({ "agrees": again }), "{replay}");
        assert!(again >= u64::from(CONSIGNMENTS) && replay["cases"] == CONSIGNMENTS, "{replay}");
        assert!(replay["relied_upon_facts"].as_u64().unwrap() > 500, "{replay}");
    }
    let Stage { be, ke, sg, .. } = stage;
    [be, ke, sg].into_iter().for_each(stops_whole);
}
