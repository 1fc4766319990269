//! The packed state against a plain map: the same answers, whatever is written, read and opened again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ewtp_store::keys::{Key, Kind};
use ewtp_store::{Changes, Packed, Row, State, StateError};
use proptest::prelude::*;

/// A map that stays when its users are dropped.
#[derive(Clone, Default)]
struct Map(Arc<Mutex<BTreeMap<Vec<u8>, Vec<u8>>>>);

impl State for Map {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StateError> {
        let map = self.0.lock().unwrap();
        let rows = map.range(from.to_vec()..to.to_vec().max(from.to_vec()));
        Ok(rows.take(limit).map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn last_before(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, StateError> {
        let map = self.0.lock().unwrap();
        let mut rows = map.range(from.to_vec()..to.to_vec().max(from.to_vec()));
        Ok(rows.next_back().map(|(k, v)| (k.clone(), v.clone())))
    }

    fn write(&self, changes: &Changes) -> Result<(), StateError> {
        let mut map = self.0.lock().unwrap();
        for (key, value) in changes {
            match value {
                Some(value) => map.insert(key.clone(), value.clone()),
                None => map.remove(key),
            };
        }
        Ok(())
    }
}

/// Keys of every layout, few enough that they meet.
fn key() -> impl Strategy<Value = Vec<u8>> {
    (0..6u8, 0..40u64, "[ab]").prop_map(|(kind, number, account)| match kind {
        0 => Key::new(Kind::Head).finish(),
        1 => Key::new(Kind::Tile).text("KE").number(number).finish(),
        2 => Key::new(Kind::Case).number(number).finish(),
        3 => Key::new(Kind::AccountCases).text(&account).number(number * 7).finish(),
        4 => Key::new(Kind::Lrn).bytes(&[number as u8; 16]).finish(),
        _ => Key::new(Kind::CaseId).text(&format!("KE-{number}")).finish(),
    })
}

fn changes() -> impl Strategy<Value = Changes> {
    let value = prop::option::weighted(0.8, prop::collection::vec(any::<u8>(), 0..900));
    prop::collection::btree_map(key(), value, 0..25)
}

/// Both maps give the same rows between two keys, forwards and backwards.
fn same(packed: &Packed<Map>, plain: &Map, from: &[u8], to: &[u8], limit: usize) {
    assert_eq!(packed.scan(from, to, limit).unwrap(), plain.scan(from, to, limit).unwrap());
    if from.first() == to.first() {
        assert_eq!(packed.last_before(from, to).unwrap(), plain.last_before(from, to).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Thirty sets make runs of both levels, and rows of runs that are gone.
    #[test]
    fn it_answers_as_a_plain_map_does(
        sets in prop::collection::vec(changes(), 1..30),
        ranges in prop::collection::vec((key(), key(), 1usize..20), 20),
        open_again in 0usize..30,
    ) {
        let (below, plain) = (Map::default(), Map::default());
        let mut packed = Packed::open(below.clone()).unwrap();
        for (n, set) in sets.iter().enumerate() {
            packed.write(set).unwrap();
            plain.write(set).unwrap();
            if n == open_again {
                packed = Packed::open(below.clone()).unwrap();
            }
            for key in set.keys() {
                prop_assert_eq!(packed.get(key).unwrap(), plain.get(key).unwrap());
            }
        }
        same(&packed, &plain, &[], &[0xff], 10_000);
        same(&packed, &plain, &[], &[0xff], 7);
        for (from, to, limit) in &ranges {
            prop_assert_eq!(packed.get(from).unwrap(), plain.get(from).unwrap());
            same(&packed, &plain, from, to, *limit);
            same(&packed, &plain, &from[..1], from, *limit);
        }
    }
}

#[test]
fn random_rows_cost_the_map_below_a_fraction_of_their_number() {
    let below = Map::default();
    let packed = Packed::open(below.clone()).unwrap();
    for set in 0..20u64 {
        let rows = (0..2000u64).map(|n| {
            // Spread like digests.
            let at = (set * 2000 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            (Key::new(Kind::Lrn).bytes(&at).bytes(&at).finish(), Some(vec![7; 24]))
        });
        packed.write(&rows.collect()).unwrap();
    }
    let keys = below.0.lock().unwrap().len();
    assert!(keys < 40_000 / 40, "{keys} keys for 40,000 rows");
    let all = packed.scan(&Key::new(Kind::Lrn).finish(), &Key::new(Kind::Lrn).end(), 50_000);
    assert_eq!(all.unwrap().len(), 40_000);
}
