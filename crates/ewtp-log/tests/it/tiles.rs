use ewtp_log::Hash;
use ewtp_log::hash::{leaf_hash, sha256};
use ewtp_log::tile::{
    TileKind, TilePath, TileTree, bundle, bundle_leaves, open_bundle, top_level, width_at,
};
use ewtp_log::tree::{Frontier, consistency_plan, join, range_hashes, verify_consistency};
use proptest::prelude::*;

use crate::vectors::{hex, json, ours, text};

fn entry(i: u64) -> Hash {
    sha256(&[format!("statement {i}").as_bytes()])
}

fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|i| leaf_hash(&entry(i).0)).collect()
}

#[test]
fn tile_paths_and_tiles_are_those_of_the_worked_examples() {
    let v = json(&ours("worked_examples.json"));
    for (index, path) in v["tile_paths"].as_object().unwrap() {
        let tile =
            TilePath { kind: TileKind::Hashes(0), index: index.parse().unwrap(), width: 256 };
        assert_eq!(tile.to_string(), format!("tile/0/{}", text(path)));
        assert_eq!(tile.to_string().parse(), Ok(tile));
    }
    let two = bundle(&[entry(0), entry(1)]);
    assert_eq!(two, hex(text(&v["entry_bundle_size_2_hex"])));
    for (size, tiles) in v["tiles"].as_object().unwrap() {
        let size: u64 = size.parse().unwrap();
        let mut tree = TileTree::default();
        let mut have = tree.push(&leaves(size));
        have.extend(tree.partial());
        for (path, want) in tiles.as_object().unwrap() {
            let path: TilePath = path.parse().unwrap();
            assert_eq!(width_at(path.kind, path.index, size), path.width, "{path} of {size}");
            let bytes = match path.kind {
                TileKind::Entries => {
                    let from = path.index * 256;
                    let entries: Vec<Hash> =
                        (from..from + u64::from(path.width)).map(entry).collect();
                    bundle(&entries)
                }
                TileKind::Hashes(_) => have.iter().find(|t| t.path == path).unwrap().bytes.clone(),
            };
            assert_eq!(bytes.len() as u64, want["bytes"].as_u64().unwrap(), "{path} of {size}");
            assert_eq!(sha256(&[&bytes]).to_hex(), text(&want["sha256"]), "{path} of {size}");
        }
    }
    let mut tree = TileTree::default();
    let hash_tiles = tree.push(&leaves(70_000)).len() + tree.partial().len();
    let bundles = 70_000u64.div_ceil(256);
    assert_eq!(hash_tiles as u64 + bundles, v["tile_count_70000"].as_u64().unwrap());
}

#[test]
fn paths_of_no_tile_are_refused() {
    for path in [
        "tile/0/1",
        "tile/0/0001",
        "tile/0/x000/001",
        "tile/0/x1/001",
        "tile/64/000",
        "tile/00/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000/",
        "tile/0/x001",
        "tile/entries/",
        "tile/-1/000",
        "tile/0/../000",
        "0/000",
        "tile/0/+01",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert!(path.parse::<TilePath>().is_err(), "{path}");
    }
    assert!(open_bundle(&[0, 32, 1]).is_none(), "a cut entry");
    assert!(bundle_leaves(&bundle(&[entry(0)]), 2).is_none(), "fewer entries than due");
    assert_eq!(open_bundle(&[0, 0, 0, 1, 7]).unwrap(), [&[][..], &[7]], "entries of any length");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_of_tiles_is_the_tree(size in 1u64..70_000, cut in 0u64..70_000) {
        let all = leaves(size);
        let mut frontier = Frontier::default();
        all.iter().for_each(|l| frontier.push_leaf(*l));
        let cut = (cut % size) as usize;
        let mut tree = TileTree::default();
        tree.push(&all[..cut]);
        let mut resumed = TileTree::resume(tree.levels().to_vec()).unwrap();
        resumed.push(&all[cut..]);
        prop_assert_eq!(resumed.root(), frontier.root());
        prop_assert_eq!(resumed.size(), size);
        for tile in resumed.partial() {
            prop_assert_eq!(width_at(tile.path.kind, tile.path.index, size), tile.path.width);
        }
        prop_assert!(usize::from(top_level(size)) < 3);
    }

    #[test]
    fn any_tile_path_reads_back(level in 0u8..=63, index in 0..=u64::MAX >> 1, width in 1u16..=256, of_entries: bool) {
        let kind = if of_entries { TileKind::Entries } else { TileKind::Hashes(level) };
        let path = TilePath { kind, index, width };
        prop_assert_eq!(path.to_string().parse(), Ok(path));
    }

    #[test]
    fn made_consistency_proofs_verify(new in 1u64..600, old in 1u64..600) {
        let old = 1 + old % new;
        let all = leaves(new);
        let root = |size: u64| {
            let mut f = Frontier::default();
            all[..size as usize].iter().for_each(|l| f.push_leaf(*l));
            f.root()
        };
        let hash = |group: Vec<(u64, u64)>| {
            let nodes: Vec<Hash> = group
                .into_iter()
                .flat_map(|(a, b)| {
                    let Ok(hashes) = range_hashes(all.as_slice(), a, b);
                    hashes
                })
                .collect();
            join(&nodes)
        };
        let proof: Vec<Hash> = consistency_plan(old, new).into_iter().map(hash).collect();
        prop_assert_eq!(verify_consistency(old, new, &root(old), &root(new), &proof), Ok(()));
    }
}
