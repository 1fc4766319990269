//! How fast documents are read and written on one core: `cargo run --release -p ewtp-formats --example speed -- FOLDER`, a folder of CDS
//! declarations such as HMRC's samples; without one the project's own.
#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use ewtp_formats::mapping::Mapping;
use ewtp_formats::table::Table;
use ewtp_formats::{cds, ceb};

/// As the program ships.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Megabytes a second of a function over documents, for about a second.
fn measure(name: &str, documents: &[Vec<u8>], each: impl Fn(&[u8])) {
    let size: usize = documents.iter().map(Vec::len).sum();
    let (started, mut rounds) = (Instant::now(), 0);
    while started.elapsed().as_millis() < 1500 {
        documents.iter().for_each(|d| each(d));
        rounds += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    let (whole, count) = ((size * rounds) as f64 / 1e6, documents.len() * rounds);
    println!("{name:28} {:8.1} MB/s {:10.0} documents/s", whole / seconds, count as f64 / seconds);
}

fn files(folder: &Path, ending: &str) -> Vec<Vec<u8>> {
    let mut all: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                all.push(path);
            }
        }
    }
    all.sort();
    all.iter().filter_map(|p| std::fs::read(p).ok()).collect()
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let own = root.join("crates/ewtp-formats/tests/samples");
    let folder = std::env::args_os().nth(1).map_or(own, PathBuf::from);
    let mut declarations = files(&folder, "xml");
    declarations.retain(|d| cds::read(d).is_ok());
    measure("cds: checked", &declarations, |d| drop(cds::validate(d)));
    measure("cds: read", &declarations, |d| drop(cds::read(d)));
    let filings: Vec<_> =
        declarations.iter().filter_map(|d| Some((d.clone(), cds::read(d).ok()?))).collect();
    let sizes: Vec<Vec<u8>> = filings.iter().map(|(d, _)| d.clone()).collect();
    let next = std::cell::Cell::new(0);
    measure("cds: written", &sizes, |_| {
        let at = next.get();
        next.set((at + 1) % filings.len());
        if let Some((_, filing)) = filings.get(at) {
            drop(cds::write(filing));
        }
    });
    let messages = files(&root.join("samples/ceb"), "xml");
    measure("ceb: read", &messages, |d| drop(ceb::read(d)));
    let table = std::fs::read(root.join("samples/shop-orders.csv")).unwrap_or_default();
    let mapping =
        std::fs::read_to_string(root.join("samples/shop.mapping.toml")).unwrap_or_default();
    let Ok(mapping) = Mapping::parse(&mapping) else { return };
    let (header, rows) =
        table.split_at(table.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1));
    let many = [header, &rows.repeat(5_000)].concat();
    let count = many.iter().filter(|b| **b == b'\n').count();
    let started = Instant::now();
    let Ok(mut table) = Table::open(many.as_slice(), &mapping) else { return };
    let mut good = 0;
    while let Ok(Some((_, row))) = table.next_row() {
        good += usize::from(mapping.filing(&table.columns, &row).is_ok());
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{:28} {:8.1} MB/s {:10.0} rows/s ({good} good)",
        "csv: mapped",
        many.len() as f64 / 1e6 / seconds,
        count as f64 / seconds
    );
}
