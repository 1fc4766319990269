use ewtp_log::Hash;
use ewtp_log::hash::{leaf_hash, sha256};
use ewtp_log::tree::{
    Frontier, compact_range, inclusion_path, range_hashes, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::vectors::{bytes, hash, hashes, json, ours, public, text};

fn files(dir: &std::path::Path, out: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out)
        } else if path.extension().is_some_and(|e| e == "json") {
            out.push(path)
        }
    }
}

fn lenient_hashes(v: &Value) -> Option<Vec<Hash>> {
    match v {
        Value::Null => Some(Vec::new()),
        v => v.as_array().unwrap().iter().map(|h| Hash::from_slice(&bytes(h))).collect(),
    }
}

fn lenient_hash(v: &Value) -> Option<Hash> {
    match v.as_str() {
        Some(text) => Hash::from_slice(&ewtp_log::base64::decode(text)?),
        None => Some(Hash([0; 32])), // a root that the vector leaves out: our type has no absent hash
    }
}

#[test]
fn public_inclusion_and_consistency_vectors_get_their_verdicts() {
    let Some(dir) = public("merkle") else { return };
    let mut paths = Vec::new();
    files(&dir, &mut paths);
    let (mut good, mut bad) = (0, 0);
    for path in &paths {
        let v = json(path);
        let verdict = if v.get("leafIdx").is_some() {
            (|| {
                let (root, leaf) = (lenient_hash(&v["root"])?, lenient_hash(&v["leafHash"])?);
                let proof = lenient_hashes(&v["proof"])?;
                verify_inclusion(
                    v["leafIdx"].as_u64()?,
                    v["treeSize"].as_u64()?,
                    &leaf,
                    &proof,
                    &root,
                )
                .ok()
            })()
        } else {
            (|| {
                let (old, new) = (v["size1"].as_u64()?, v["size2"].as_u64()?);
                let proof = lenient_hashes(&v["proof"])?;
                verify_consistency(
                    old,
                    new,
                    &lenient_hash(&v["root1"])?,
                    &lenient_hash(&v["root2"])?,
                    &proof,
                )
                .ok()
            })()
        };
        // A vector whose roots are no hashes at all ("don't care") can't be asked of our types: refused at parsing.
        let untyped = v.get("root1").is_some_and(|r| lenient_hash(r).is_none());
        let want_err = v["wantErr"].as_bool().unwrap() || untyped;
        assert_eq!(verdict.is_none(), want_err, "{}: {}", path.display(), text(&v["desc"]));
        if want_err { bad += 1 } else { good += 1 }
    }
    assert!(good > 5 && bad > 50, "{good} good and {bad} bad vectors");
}

#[test]
fn worked_tree_examples_verify() {
    let v = json(&ours("worked_examples.json"));
    for e in v["inclusion"].as_array().unwrap() {
        let leaf = leaf_hash(&crate::vectors::hex(text(&e["entry_hex"])));
        let (index, size) = (e["index"].as_u64().unwrap(), e["size"].as_u64().unwrap());
        verify_inclusion(index, size, &leaf, &hashes(&e["proof"]), &hash(&e["root"])).unwrap();
    }
    for e in v["consistency"].as_array().unwrap() {
        let (old, new) = (e["old"].as_u64().unwrap(), e["new"].as_u64().unwrap());
        let verdict = verify_consistency(
            old,
            new,
            &hash(&e["old_root"]),
            &hash(&e["new_root"]),
            &hashes(&e["proof"]),
        );
        assert_eq!(verdict.is_ok(), old != 0, "{old} -> {new}");
    }
    for e in v["range"].as_array().unwrap() {
        let (first, end, size) =
            (e["first"].as_u64().unwrap(), e["end"].as_u64().unwrap(), e["size"].as_u64().unwrap());
        let mut frontier = Frontier::default();
        let side = |name: &str| -> Vec<Hash> {
            e[name].as_array().unwrap().iter().map(|n| hash(&n["hash"])).collect()
        };
        frontier.extend(first, &side("left")).unwrap();
        hashes(&e["leaf_hashes"]).into_iter().for_each(|l| frontier.push_leaf(l));
        assert_eq!(frontier.size(), end);
        frontier.extend(size, &side("right")).unwrap();
        assert_eq!(frontier.root(), hash(&e["root"]));
    }
}

#[test]
fn compact_ranges_are_those_of_the_vectors() {
    let v = json(&ours("lanes/encodings.json"));
    for (range, want) in v["compact"].as_object().unwrap() {
        let (lo, hi) = range.split_once(' ').unwrap();
        let want: Vec<(u64, u64)> = serde_json::from_value(want.clone()).unwrap();
        assert_eq!(compact_range(lo.parse().unwrap(), hi.parse().unwrap()), want, "{range}");
    }
}

/// RFC 6962 section 2.1 as it is written: recursive, over all leaves.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::EMPTY_ROOT,
        [one] => *one,
        _ => {
            let split = 1 << (leaves.len() - 1).ilog2();
            sha256(&[&[1], &naive_root(&leaves[..split]).0, &naive_root(&leaves[split..]).0])
        }
    }
}

fn leaves(n: usize) -> Vec<Hash> {
    (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

proptest! {
    #[test]
    fn paths_and_ranges_agree_with_the_naive_tree(size in 1usize..200, at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()) {
        let all = leaves(size);
        let (index, cut) = (at.index(size), cut.index(size + 1));
        let root = naive_root(&all);
        let Ok(path) = inclusion_path(all.as_slice(), index as u64, size as u64);
        prop_assert!(verify_inclusion(index as u64, size as u64, &all[index], &path, &root).is_ok());
        let other = leaf_hash(b"another");
        prop_assert!(verify_inclusion(index as u64, size as u64, &other, &path, &root).is_err());
        let mut frontier = Frontier::default();
        all[..cut].iter().for_each(|l| frontier.push_leaf(*l));
        prop_assert_eq!(frontier.root(), naive_root(&all[..cut]));
        let Ok(range) = range_hashes(all.as_slice(), cut as u64, size as u64);
        frontier.extend(size as u64, &range).unwrap();
        prop_assert_eq!(frontier.root(), root);
    }
}
