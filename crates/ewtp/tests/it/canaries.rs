//! Texts that must not be found again, planted in every place of a case where somebody can write, and the search for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ewtp_proto::v1;

use crate::stage::advance;

/// How many.
pub(crate) const COUNT: usize = 40;

/// The n-th text of a set, from 1: what any field takes.
pub(crate) fn canary(set: &str, n: usize) -> String {
    format!("{set}CANARY{n:02}")
}

/// An advance filing in which every text is one of the set.
pub(crate) fn filing(set: &str, from: &str, to: &str) -> v1::Filing {
    let text = |n: usize| canary(set, n);
    let address = |n: usize, country: &str| v1::Address {
        line: text(n),
        city: text(n + 1),
        postcode: text(n + 2),
        country: country.to_owned(),
    };
    let party = |n: usize, country: &str| {
        Some(v1::Party {
            name: text(n),
            address: Some(address(n + 1, country)),
            ..v1::Party::default()
        })
    };
    let document = |n: usize| v1::DocumentReference {
        r#type: "N380".into(),
        id: text(n),
        ..v1::DocumentReference::default()
    };
    let mut filing = advance(&text(1), from, to);
    let core = filing.core.as_mut().unwrap();
    (core.exporter_name, core.importer_name, core.conveyance) = (text(2), text(3), text(4));
    let parties = filing.parties.as_mut().unwrap();
    parties.exporter_address = Some(address(5, from));
    parties.importer_address = Some(address(8, to));
    (parties.seller, parties.buyer) = (party(11, from), party(15, to));
    (parties.carrier, parties.liable) = (party(19, from), None);
    let goods = filing.goods.as_mut().unwrap();
    (goods.transport_document, goods.master_document) = (text(23), text(24));
    let seals = [26, 30].map(|n| v1::Seal { id: text(n), party: String::new() }).to_vec();
    goods.containers = vec![v1::Container { id: text(25), seals, ..v1::Container::default() }];
    (goods.documents, goods.previous_documents) = (vec![document(27)], vec![document(28)]);
    // Too vague for the destination's rules: it will ask.
    goods.items[0].description = "parts".into();
    goods.items[0].marks = text(29);
    filing.authority = Some(v1::FilingAuthority {
        note: text(31),
        importer_tax_id: text(32),
        ..Default::default()
    });
    filing
}

/// What is there, or nothing if a hub that runs took it away after it was listed.
fn still_there<T>(read: std::io::Result<T>) -> Option<T> {
    match read {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        read => Some(read.unwrap()),
    }
}

/// Bytes without the room behind them.
fn files(dir: &Path, out: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in still_there(std::fs::read_dir(dir)).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out);
            continue;
        }
        let Some(mut bytes) = still_there(std::fs::read(&path)) else { continue };
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        out.push((path, bytes));
    }
}

/// Which of these a directory holds anywhere, with one place of each.
pub(crate) fn found(dir: &Path, needles: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, PathBuf> {
    let mut all = Vec::new();
    files(dir, &mut all);
    let mut out = BTreeMap::new();
    for (name, needle) in needles {
        let finder = memchr::memmem::Finder::new(needle);
        let place = all.iter().find(|(_, bytes)| finder.find(bytes).is_some());
        out.extend(place.map(|(path, _)| (name.clone(), path.clone())));
    }
    out
}

/// The texts of a set as needles.
pub(crate) fn texts(set: &str) -> BTreeMap<String, Vec<u8>> {
    (1..=COUNT).map(|n| canary(set, n)).map(|t| (t.clone(), t.into_bytes())).collect()
}
