//! A log client that shares no code with this project: Cloudflare's `tlog_tiles` and `signed_note`, and `curl`.
//!
//! `cargo run -p ewtp --example stranger -- URL|DIR VKEY [OLD-CHECKPOINT]` checks the signature, every entry and every tile, and
//! that the log of an older checkpoint is a part of this one.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::process::{Command, ExitCode};

use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Tile, TileHashReader, TileReader, check_tree, prove_tree, record_hash,
};

type Failed = Box<dyn std::error::Error>;

/// Where the files are.
struct Files(String);

impl Files {
    fn read(&self, name: &str) -> Result<Vec<u8>, Failed> {
        if !self.0.starts_with("http") {
            return Ok(std::fs::read(format!("{}/{name}", self.0))?);
        }
        let url = format!("{}/{name}", self.0);
        let output = Command::new("curl").args(["-sSf", &url]).output()?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(String::from_utf8_lossy(&output.stderr).into()),
        }
    }
}

impl TileReader for Files {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let bad = |e: Failed| tlog_tiles::Error::InvalidInput(e.to_string());
        tiles.iter().map(|t| self.read(&path(t)).map_err(bad)).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// C2SP's path of a tile; the crate writes that of Go's `sumdb`, which names the height and calls entries data.
fn path(tile: &Tile) -> String {
    tile.path().replacen("tile/8/data/", "tile/entries/", 1).replacen("tile/8/", "tile/", 1)
}

/// A checkpoint whose signature holds.
fn open(note: &[u8], vkey: &str) -> Result<Checkpoint, Failed> {
    let note = Note::from_bytes(note)?;
    let key = StandardVerifier::new(vkey)?;
    note.verify(&VerifierList::new(vec![Box::new(key)]))?;
    Checkpoint::from_bytes(note.text()).map_err(|_| "not a checkpoint".into())
}

/// Verifies a whole log; gives its size.
pub(crate) fn verify(base: &str, vkey: &str, older: Option<&[u8]>) -> Result<u64, Failed> {
    let files = Files(base.trim_end_matches('/').to_owned());
    let head = open(&files.read("checkpoint")?, vkey)?;
    let (size, root) = (head.size(), *head.hash());
    // This reader authenticates each tile against the root before it gives a hash of it.
    let hashes = TileHashReader::new(size, root, &files);
    for tile in Tile::new_tiles(8, 0, size).into_iter().filter(|t| t.level() == 0) {
        let mut data = tile;
        data.set_is_data();
        let bundle = files.read(&path(&data))?;
        let mut rest = bundle.as_slice();
        let first = tile.level_index() * 256;
        let indexes: Vec<u64> = (first..first + u64::from(tile.width()))
            .map(|n| tlog_tiles::stored_hash_index(0, n))
            .collect();
        let expected = tlog_tiles::HashReader::read_hashes(&hashes, &indexes)?;
        for hash in expected {
            let (length, tail) = rest.split_first_chunk::<2>().ok_or("a bundle is cut off")?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (entry, tail) = tail.split_at_checked(length).ok_or("a bundle is cut off")?;
            if record_hash(entry) != hash {
                return Err(format!("an entry of {} is not in the tree", path(&data)).into());
            }
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(format!("{} holds more than its entries", path(&data)).into());
        }
    }
    if let Some(older) = older {
        let before = open(older, vkey)?;
        let proof = prove_tree(size, before.size(), &hashes)?;
        check_tree(&proof, size, root, before.size(), *before.hash())?;
    }
    Ok(size)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (base, vkey) = match args.as_slice() {
        [base, vkey, ..] => (base, vkey),
        _ => {
            println!("usage: stranger URL|DIR VKEY [OLD-CHECKPOINT]");
            return ExitCode::from(2);
        }
    };
    let older = args.get(2).map(std::fs::read).transpose();
    match older.map_err(Failed::from).and_then(|o| verify(base, vkey, o.as_deref())) {
        Ok(size) => {
            println!("{base}: {size} entries, all of them in the tree that {vkey} signed");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("not verified: {error}");
            ExitCode::from(1)
        }
    }
}
