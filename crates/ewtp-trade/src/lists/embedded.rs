//! The editions that come with the crate, made by `cargo xtask codelists` from public lists; each file names its source.
//!
//! A line is a prefix and what follows on it; `-` is no prefix; `~` begins a code that left its list: its last day or `-`, and what
//! replaced it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::{Codes, Edition, Ended, ListKind};

/// Name, whether it is the list's last word, first instant (Unix milliseconds), text.
const FILES: &[(ListKind, &str, bool, i64, &str)] = &[
    // In force since 1 January 2022 (UTC: contracting parties began at different hours); the HS changes every five or six years.
    (ListKind::Hs, "HS2022", true, 1_640_995_200_000, include_str!("hs2022.txt")),
    (ListKind::Countries, "ISO3166-1", false, 0, include_str!("countries.txt")),
    (ListKind::Currencies, "ISO4217", false, 0, include_str!("currencies.txt")),
    (ListKind::Locodes, "2023-1", false, 0, include_str!("locodes.txt")),
    (ListKind::Units, "rec20", false, 0, include_str!("units.txt")),
    (ListKind::Packages, "rec21", false, 0, include_str!("packages.txt")),
    (ListKind::Modes, "rec19", true, 0, include_str!("modes.txt")),
    (ListKind::Incoterms, "2020", false, 0, include_str!("incoterms.txt")),
];

pub(super) static EDITIONS: LazyLock<Vec<Arc<Edition>>> = LazyLock::new(|| {
    let one = |(kind, name, last_word, from_ms, text): &(ListKind, &str, bool, i64, &str)| {
        let (codes, ended) = read(text);
        Arc::new(Edition {
            kind: *kind,
            name: (*name).to_owned(),
            publisher: String::new(),
            from_ms: *from_ms,
            authoritative: *last_word,
            codes,
            ended,
        })
    };
    FILES.iter().map(one).collect()
});

fn read(text: &str) -> (Codes, BTreeMap<String, Ended>) {
    let (mut codes, mut ended) = (Codes::default(), BTreeMap::new());
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        if let Some(code) = first.strip_prefix('~') {
            let until = words.next().and_then(|day| day.parse().ok());
            let replaced_by = words.map(str::to_owned).collect();
            ended.insert(code.to_owned(), Ended { until, replaced_by });
            continue;
        }
        let prefix = if first == "-" { "" } else { first };
        for rest in words {
            codes.insert(&format!("{prefix}{rest}"));
        }
    }
    (codes, ended)
}
