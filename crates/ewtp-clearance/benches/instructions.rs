//! The pure hot functions, one at a time, for `cargo xtask instructions` to count under callgrind: instructions don't depend on
//! what else the machine is doing, times do.
//!
//! Called with a name it runs that function once, inside [`counted`], where the counting is switched on; without one it lists
//! the names. It stands in this crate because this is the topmost of the pure ones.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for developers")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;

use ewtp_clearance::decide::{Input, decide};
use ewtp_clearance::{Facts, Ruleset};
use ewtp_log::hash::leaf_hash;
use ewtp_log::lane::{DEPTH_MIN, LaneTable, Slot, lane_leaf, slot_blind};
use ewtp_log::note::NoteSigner;
use ewtp_log::page::{EntryBody, HeadPart, LaneState, LaneTrust, Page, PageEntry, verify_page};
use ewtp_log::statement::{Header, StatementId, commitment, part_digest, seal_part};
use ewtp_log::tree::{Frontier, range_hashes};
use ewtp_log::{Checkpoint, Hash, HubId, LaneNumber, LogIndex, Origin, TreeSize};
use ewtp_proto::v1;
use ewtp_trade::{CodeLists, check_filing};

/// 2026-11-24, noon.
const NOW_MS: i64 = 1_795_521_600_000;
const ORIGIN: &str = "log.ke.hub.example/ewtp/g1";
/// Statements of the page: about half a full one.
const STATEMENTS: u64 = 256;

/// Callgrind counts between entering and leaving this function.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) {
    black_box(work());
}

fn main() {
    // `cargo bench` and `cargo test` pass flags of their own.
    let name = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    let Some(name) = name else {
        for (name, _) in FUNCTIONS {
            println!("{name}");
        }
        return;
    };
    let found = FUNCTIONS.iter().find(|(known, _)| *known == name);
    let (_, run) =
        found.unwrap_or_else(|| panic!("no function {name}; without a name they are listed"));
    run();
}

const FUNCTIONS: &[(&str, fn())] = &[
    ("verify_page", page_verification),
    ("append", append),
    ("parse_header", header_parse),
    ("check_filing", validation),
    ("decide", decision),
];

/// 256 statements of about 1.5 KiB each, under one head.
fn page_verification() {
    let (me, origin): (HubId, Origin) = ("BE".parse().unwrap(), ORIGIN.parse().unwrap());
    let signer = NoteSigner::log(ORIGIN, &[1; 32]).unwrap();
    let (mut log, mut lane, mut entries) = (Vec::new(), Frontier::default(), Vec::new());
    for index in 0..STATEMENTS {
        let (header, parts) = statement(index);
        let commitment = commitment(&header);
        log.push(leaf_hash(&commitment.0));
        lane.push_leaf(lane_leaf(LogIndex(index), &commitment));
        let body = EntryBody::Statement { header, parts };
        entries.push(PageEntry { index: LogIndex(index), body });
    }
    let (table_index, slot) = (LogIndex(STATEMENTS), 3);
    let lane_root = lane.root();
    let slots = [Slot { slot, peer: me.clone(), lane_size: STATEMENTS, lane_root }];
    let table = LaneTable::new(&[2; 32], table_index, DEPTH_MIN, &slots);
    let log_range = range_hashes(&log[..], 0, STATEMENTS).unwrap_or_else(|e| match e {});
    let mut whole = Frontier::default();
    log.iter().for_each(|leaf| whole.push_leaf(*leaf));
    whole.push_leaf(leaf_hash(&table.entry().0));
    let (size, root) = (TreeSize(whole.size()), whole.root());
    let text = Checkpoint { origin: ORIGIN.into(), size, root }.to_text();
    let head = HeadPart {
        checkpoint: signer.sign(&text).into_bytes(),
        slot,
        blind: slot_blind(&[2; 32], table_index, slot),
        lane_size: STATEMENTS,
        slot_path: table.path(slot),
        log_range,
    };
    let page = Page { first: LaneNumber(1), head: Some(head), entries, lane_range: Vec::new() };
    let (state, keys) = (LaneState::default(), [signer.vkey().clone()]);
    let trust = LaneTrust { me: &me, origin: &origin, log_keys: &keys };
    counted(|| verify_page(&state, &page, &trust).unwrap());
}

/// What the committer does to the log for a batch of 256 statements: headers written, trees extended, one signature.
fn append() {
    let signer = NoteSigner::log(ORIGIN, &[1; 32]).unwrap();
    let headers: Vec<Header> =
        (0..STATEMENTS).map(|n| Header::parse(&statement(n).0).unwrap()).collect();
    let (mut log, mut lane) = (Frontier::default(), Frontier::default());
    counted(|| {
        for (index, header) in (0..).zip(&headers) {
            let commitment = commitment(header.to_text().unwrap().as_bytes());
            log.push_leaf(leaf_hash(&commitment.0));
            lane.push_leaf(lane_leaf(LogIndex(index), &commitment));
        }
        let checkpoint =
            Checkpoint { origin: ORIGIN.into(), size: TreeSize(log.size()), root: log.root() };
        (signer.sign(&checkpoint.to_text()), lane.root())
    });
}

fn header_parse() {
    let (header, _) = statement(7);
    counted(|| Header::parse(&header).unwrap());
}

fn validation() {
    let (filing, lists) = (filing(), CodeLists::default());
    counted(|| check_filing(&filing, &lists).unwrap());
}

fn decision() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rulesets/be-advance.toml");
    let public = Ruleset::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    let facts = Facts::of_filing(&filing(), NOW_MS, BTreeMap::new());
    let kind = v1::FilingType::Advance;
    let input = Input {
        kind,
        adopted: false,
        facts: &facts,
        public: &public,
        confidential: None,
        tariffs: &[],
        draw: None,
    };
    // The first call builds what all others use.
    black_box(decide(input));
    counted(|| decide(input));
}

/// A statement with the parts of a filing: 1 KiB of content.
fn statement(n: u64) -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
    let sizes = [("core", 300), ("parties", 200), ("goods", 400), ("value", 100)];
    let parts: Vec<(String, Vec<u8>)> = sizes
        .iter()
        .map(|(name, size)| {
            let content: Vec<u8> = (0..*size).map(|i: u64| (i * 31 + n) as u8).collect();
            (String::from(*name), seal_part(name, &content, [n as u8; 16]))
        })
        .collect();
    let header = Header {
        hub: "KE".into(),
        origin: ORIGIN.into(),
        nonce: [n as u8; 16],
        id: StatementId { kind: "filing".into(), subject: format!("KE-{n:013}"), number: 1 },
        time: "2026-11-24T12:00:00.000Z".into(),
        refs: vec![Hash([9; 32])],
        parts: parts.iter().map(|(name, blob)| (name.clone(), part_digest(name, blob))).collect(),
        later: Vec::new(),
    };
    (header.to_text().unwrap().into_bytes(), parts)
}

/// An advance filing of three items.
fn filing() -> v1::Filing {
    let text = |t: &str| t.to_owned();
    let money = |amount: &str| Some(v1::Money { amount: text(amount), currency: text("USD") });
    let address = |city: &str, country: &str| {
        Some(v1::Address { city: text(city), country: text(country), ..Default::default() })
    };
    let items = [("090111", "120.5", "980.25"), ("090240", "35", "210"), ("460219", "4", "61.40")];
    let numbered = || (1u32..).zip(items);
    v1::Filing {
        core: Some(v1::FilingCore {
            r#type: v1::FilingType::Advance as i32,
            function: v1::FilingFunction::Original as i32,
            lrn: text("COUNT-000001"),
            category: v1::ConsignmentCategory::HighValue as i32,
            exporter_id: text("KEP051234567X"),
            exporter_name: text("Nyeri Growers' Cooperative"),
            importer_id: text("BE0123456789"),
            importer_name: text("Gent Roasters"),
            transport_mode: text("4"),
            country_of_export: text("KE"),
            country_of_destination: text("BE"),
            retention_class: text("standard"),
            items: numbered()
                .map(|(number, (hs, kg, _))| v1::CoreItem {
                    number,
                    commodity_code: text(hs),
                    origin: text("KE"),
                    quantity: Some(v1::Quantity { value: text(kg), unit: text("KGM") }),
                })
                .collect(),
            ..Default::default()
        }),
        parties: Some(v1::FilingParties {
            exporter_address: address("Nyeri", "KE"),
            importer_address: address("Gent", "BE"),
            ..Default::default()
        }),
        goods: Some(v1::FilingGoods {
            gross_mass_kg: text("162"),
            total_packages: 3,
            items: numbered()
                .map(|(number, (_, kg, _))| v1::GoodsItem {
                    number,
                    description: text("Goods of a cooperative, packed by hand"),
                    gross_mass_kg: text(kg),
                    net_mass_kg: text(kg),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }),
        value: Some(v1::FilingValue {
            invoice_total: money("1251.65"),
            items: numbered()
                .map(|(number, (_, _, usd))| v1::ValueItem {
                    number,
                    value: money(usd),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }),
        ..Default::default()
    }
}
