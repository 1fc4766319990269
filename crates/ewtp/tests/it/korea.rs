//! Real input: rows of declarations into Korea, filed at the hubs of their countries of departure.
//!
//! With the corpus: every row of its four largest countries. Without it: a table of the same columns of our own making.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ewtp_trade::ExactSum;
use ewtp_trade::quantity::parse_decimal;

use crate::stage::{EWTP, Hub, all_cases, repository, until};

/// What the table says about one country's rows.
#[derive(Default, Debug, PartialEq, Eq)]
struct Truth {
    rows: u64,
    value: ExactSum,
    mass: ExactSum,
    fraction: u64,
    zero_price: u64,
    zero_mass: u64,
    left_hs: u64,
    unknown_origin: u64,
}

struct Corpus {
    tables: Vec<PathBuf>,
    hs: PathBuf,
    is_real: bool,
}

fn corpus() -> Corpus {
    let root =
        std::env::var_os("EWTP_CORPUS").map_or_else(|| repository("../shared"), PathBuf::from);
    let dir = root.join("data/korea-import-declarations/dev");
    let tables: Vec<PathBuf> =
        ["train", "valid"].iter().map(|n| dir.join(format!("df_syn_{n}_eng.csv"))).collect();
    let hs = root.join("data/codelists/harmonized-system/harmonized-system.csv");
    if tables.iter().chain([&hs]).all(|f| f.exists()) {
        return Corpus { tables, hs, is_real: true };
    }
    eprintln!(
        "!!! the corpus is absent ({}): the same test runs on our own table; set EWTP_CORPUS",
        dir.display()
    );
    let own = repository("tests/fixtures/korea");
    Corpus { tables: vec![own.join("declarations.csv")], hs: own.join("hs.csv"), is_real: false }
}

fn column(header: &csv::StringRecord, name: &str) -> usize {
    header.iter().position(|h| h == name).unwrap()
}

/// Reads the table with nothing of the code under test but exact sums.
fn truth(corpus: &Corpus) -> BTreeMap<String, Truth> {
    let mut hs = csv::Reader::from_path(&corpus.hs).unwrap();
    let at = column(&hs.headers().unwrap().clone(), "hscode");
    let codes: BTreeSet<String> = hs.records().map(|r| r.unwrap()[at].to_owned()).collect();
    let mut out: BTreeMap<String, Truth> = BTreeMap::new();
    for table in &corpus.tables {
        let mut reader = csv::Reader::from_path(table).unwrap();
        let header = reader.headers().unwrap().clone();
        let [from, price, mass, code, origin] =
            ["Country of Departure", "Item Price", "Net Mass", "HS6 Code", "Country of Origin"]
                .map(|n| column(&header, n));
        for row in reader.records() {
            let row = row.unwrap();
            let t = out.entry(row[from].to_owned()).or_default();
            let (p, m) = (parse_decimal(&row[price]).unwrap(), parse_decimal(&row[mass]).unwrap());
            t.rows += 1;
            t.value.add(p).unwrap();
            t.mass.add(m).unwrap();
            t.fraction += u64::from(!p.fract().is_zero());
            t.zero_price += u64::from(p.is_zero());
            t.zero_mass += u64::from(m.is_zero());
            t.left_hs += u64::from(!codes.contains(&row[code]));
            t.unknown_origin += u64::from(&row[origin] == "ZZ");
        }
    }
    let mut by_size: Vec<(String, Truth)> = out.into_iter().collect();
    by_size.sort_by_key(|(_, t)| std::cmp::Reverse(t.rows));
    by_size.into_iter().take(4).collect()
}

/// A file with every declarant of the tables: the platform files for all of them.
fn declarants(corpus: &Corpus, dir: &Path) -> PathBuf {
    let mut all = BTreeSet::new();
    for table in &corpus.tables {
        let mut reader = csv::Reader::from_path(table).unwrap();
        let at = column(&reader.headers().unwrap().clone(), "Declarant ID");
        all.extend(reader.records().map(|r| format!("KR{}\n", &r.unwrap()[at])));
    }
    let file = dir.join("declarants.txt");
    std::fs::write(&file, all.into_iter().collect::<String>()).unwrap();
    file
}

fn import(hub: &Hub, table: &Path, country: &str) -> std::process::Child {
    let mapping = repository("samples/korea.mapping.toml");
    let name = table.file_stem().unwrap().to_string_lossy().into_owned();
    Command::new(EWTP)
        .arg("--json")
        .arg("--profile")
        .arg(hub.profile("platform"))
        .arg("import")
        .arg("--mapping")
        .arg(mapping)
        .arg("--where")
        .arg(format!("Country of Departure={country}"))
        .arg("--rejects")
        .arg(hub.process.dir.join(format!("{name}.rejects.csv")))
        .arg(table)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_filed_decided_and_accounted_for_though_the_destination_is_killed() {
    let corpus = corpus();
    let truth = truth(&corpus);
    assert_eq!(truth.len(), 4);
    let total: u64 = truth.values().map(|t| t.rows).sum();
    if corpus.is_real {
        let sum = |f: fn(&Truth) -> u64| truth.values().map(f).sum::<u64>();
        let dirt = [
            total,
            sum(|t| t.fraction),
            sum(|t| t.left_hs),
            sum(|t| t.zero_price),
            sum(|t| t.zero_mass),
            sum(|t| t.unknown_origin),
        ];
        assert_eq!(dirt, [32_856, 19_615, 1_160, 262, 205, 6]);
    }
    let dir = tempfile::tempdir().unwrap();
    let lists = format!(
        "\n[[code_lists]]\nlist = \"hs\"\nfile = \"{}\"\nedition = \"HS2022\"\n",
        corpus.hs.display()
    );
    let open = |id: &str| {
        let mut hub = Hub::make(dir.path(), id);
        hub.process.configure(&lists).unwrap();
        hub.process.start().unwrap();
        hub.save_profile("operator");
        hub
    };
    let mut kr = open("KR");
    kr.publish("kr-advance");
    let hubs: BTreeMap<&str, Hub> = truth.keys().map(|c| (c.as_str(), open(c))).collect();
    for hub in hubs.values() {
        hub.add_peer(&kr, "full");
        kr.add_peer(hub, "full");
        hub.add_account("platform", "platform");
        hub.mandates(&declarants(&corpus, hub.process.dir.as_path()));
    }
    let halfway = total / 2;
    let mut summaries: BTreeMap<&str, Vec<serde_json::Value>> = BTreeMap::new();
    let mut restarted = false;
    for table in &corpus.tables {
        let mut running: Vec<_> = hubs.iter().map(|(c, hub)| (*c, import(hub, table, c))).collect();
        while !running.is_empty() {
            if !restarted && heard(&kr).await >= halfway {
                kr.process.kill().unwrap();
                kr.process.start().unwrap();
                restarted = true;
            }
            let mut still = Vec::new();
            for (country, mut child) in running {
                if child.try_wait().unwrap().is_none() {
                    still.push((country, child));
                    continue;
                }
                let output = child.wait_with_output().unwrap();
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{country}: {errors}");
                summaries
                    .entry(country)
                    .or_default()
                    .push(serde_json::from_slice(&output.stdout).unwrap());
            }
            running = still;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    if !restarted {
        // A small table is filed before anything can be in between: then the kill falls into the deciding.
        kr.process.kill().unwrap();
        kr.process.start().unwrap();
    }
    check_summaries(&summaries, &truth);
    let kr = &kr;
    until("the decisions on all filings", || async move {
        let status = kr.status().await;
        (status.cases == total && status.inbox == 0 && status.officer_tasks == 0).then_some(())
    })
    .await;
    check_korea(kr, &truth).await;
    check_origins(&hubs, &truth).await;
}

/// Statements that Korea's hub has heard; zero while it is down.
async fn heard(kr: &Hub) -> u64 {
    kr.status().await.heard
}

fn check_summaries(
    summaries: &BTreeMap<&str, Vec<serde_json::Value>>,
    truth: &BTreeMap<String, Truth>,
) {
    for (country, t) in truth {
        let parts = &summaries[country.as_str()];
        let sum = |path: &[&str]| -> u64 {
            parts.iter().map(|s| path.iter().fold(s, |v, k| &v[*k]).as_u64().unwrap_or(0)).sum()
        };
        assert_eq!(
            (sum(&["rows"]), sum(&["accepted"]), sum(&["rejected"])),
            (t.rows, t.rows, 0),
            "{country}"
        );
        assert_eq!(sum(&["warnings", "price-fraction"]), t.fraction, "{country}");
        // Constants and copies are counted: gross mass is the net mass, in every row.
        assert_eq!(sum(&["synthesised", "goods.gross_mass_kg"]), t.rows, "{country}");
        assert_eq!(sum(&["synthesised", "core.transport_mode"]), t.rows, "{country}");
    }
}

async fn check_korea(kr: &Hub, truth: &BTreeMap<String, Truth>) {
    let cases = all_cases(&mut kr.trade("operator").await).await;
    let mut seen: BTreeMap<String, Truth> = BTreeMap::new();
    for case in &cases {
        let t = seen.entry(case.filed_at.clone()).or_default();
        t.rows += 1;
        let [value] = case.value.as_slice() else { panic!("{case:?}") };
        assert_eq!(value.currency, "KRW");
        t.value.add_sum(value.amount.parse().unwrap()).unwrap();
        t.mass.add_sum(case.net_mass_kg.parse().unwrap()).unwrap();
        let warned = |code: &str| u64::from(case.warnings.get(code).is_some_and(|n| *n > 0));
        t.fraction += warned("price-fraction");
        t.zero_price += warned("zero-price");
        t.zero_mass += warned("zero-mass");
        t.left_hs += warned("hs-left-list");
        t.unknown_origin += warned("origin-unknown");
        assert_eq!(case.decisions.len(), 2, "security and admissibility, each once: {case:?}");
        assert!(case.synthesised >= 10, "{case:?}");
    }
    assert_eq!(&seen, truth);
    let distinct: BTreeSet<&str> = cases.iter().map(|c| c.lrn.as_str()).collect();
    assert_eq!(distinct.len(), cases.len(), "nothing doubled");
}

async fn check_origins(hubs: &BTreeMap<&str, Hub>, truth: &BTreeMap<String, Truth>) {
    for (country, hub) in hubs {
        let rows = truth[*country].rows;
        until("the decisions at the origin", || async move {
            let cases = all_cases(&mut hub.trade("platform").await).await;
            let decided = cases.iter().filter(|c| c.decisions.len() == 2).count() as u64;
            (decided == rows && cases.len() as u64 == rows).then_some(())
        })
        .await;
    }
}
