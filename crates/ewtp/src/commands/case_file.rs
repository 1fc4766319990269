//! A whole case in one file: the receipts of all hubs and their descriptors, for a court, a bank or an insurer.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use ewtp_log::Hash;
use ewtp_log::case_file::CaseFile;
use ewtp_trust::Chain;
use serde_json::json;

use crate::commands::proof_words::{self, Verified};
use crate::commands::{case, receipt};
use crate::error::CliError;
use crate::output::Output;
use crate::session::Session;

/// Fetches all that an account may have of a case.
pub(crate) async fn export(
    profile: Option<&Path>,
    name: &str,
    file: &Path,
    with_lane: bool,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let case = case::find(&session, name).await?;
    receipt::something_left(&case)?;
    let mut chains: BTreeMap<String, String> = BTreeMap::new();
    let mut receipts = Vec::new();
    for (_, statement) in receipt::statements(&case) {
        let (text, chain) = receipt::fetch(&session, &case.case_id, &statement, with_lane).await?;
        let generation = text.lines().find_map(|l| l.strip_prefix("origin ")?.rsplit_once('/'));
        let generation = generation.map_or("g1", |(_, g)| g);
        let name =
            format!("receipts/{}-{generation}-{}.ewtp-receipt", statement.hub, statement.log_index);
        receipts.push((name, text));
        chains.insert(statement.hub.clone(), chain);
    }
    let mut bundle = CaseFile::default();
    for (hub, chain) in &chains {
        for (version, envelope) in (1..).zip(chain.lines()) {
            bundle
                .files
                .push((format!("descriptors/{hub}.{version}.json"), format!("{envelope}\n")));
        }
    }
    let count = receipts.len();
    bundle.files.extend(receipts);
    std::fs::write(file, bundle.to_text()).map_err(CliError::io(file))?;
    let hubs: Vec<&str> = chains.keys().map(String::as_str).collect();
    out.facts(
        &[
            ("written", file.display().to_string()),
            ("receipts", format!("{count}, said by {}", hubs.join(", "))),
            ("verify", format!("ewtp receipt verify {} --fingerprint HUB=HEX …", file.display())),
        ],
        &json!({"file": file, "receipts": count, "hubs": hubs}),
    );
    Ok(ExitCode::SUCCESS)
}

/// Verifies every receipt of a case file, in the order in which things were said.
pub(crate) fn verify(
    path: &Path,
    text: &str,
    fingerprints: &[String],
    out: &Output,
) -> Result<ExitCode, CliError> {
    let bundle = CaseFile::parse(text).map_err(|e| CliError::Log(e.to_string()))?;
    let mut confirmed = confirmed(fingerprints)?;
    let mut chains = BTreeMap::new();
    for hub in bundle.hubs() {
        let chain = Chain::verify(&bundle.descriptors(hub))?;
        if let Some(fingerprint) = confirmed.remove(hub) {
            chain.expect_fingerprint(&fingerprint)?;
            chains.insert(hub.to_owned(), (chain, true));
        } else {
            chains.insert(hub.to_owned(), (chain, false));
        }
    }
    if let Some((hub, _)) = confirmed.into_iter().next() {
        return Err(CliError::usage(
            "--fingerprint",
            format!("{hub} has no descriptor in the file"),
            "HUB=HEX of a hub in it",
        ));
    }
    let mut all: Vec<Verified> = Vec::new();
    for (name, text) in bundle.receipts() {
        let hub = text.lines().find_map(|l| l.strip_prefix("hub ")).unwrap_or_default();
        let missing =
            || CliError::Log(format!("{name}: there is no descriptor of {hub} in the file"));
        let (chain, confirmed) = chains.get(hub).ok_or_else(missing)?;
        all.push(proof_words::verify(text, chain, *confirmed)?);
    }
    all.sort_by(|a, b| a.proven.header.time.cmp(&b.proven.header.time));
    let row = |v: &Verified| {
        let h = &v.proven.header;
        vec![
            h.time.clone(),
            h.hub.clone(),
            format!("{} {}", h.id.kind, v.content().unwrap_or_else(|| h.id.subject.clone())),
            v.said_to().unwrap_or_else(|| "not shown".into()),
            match v.proven.signed_by.witnesses.len() {
                0 => "no".into(),
                n => format!("by {n}"),
            },
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    let lines: Vec<_> = all.iter().map(Verified::json).collect();
    let unconfirmed: Vec<&str> =
        chains.iter().filter(|(_, (_, c))| !c).map(|(hub, _)| hub.as_str()).collect();
    out.table(
        &["when (by the hub's own log)", "who", "said", "to", "witnessed"],
        &rows,
        &json!({"verified": true, "receipts": lines, "fingerprints_not_confirmed": unconfirmed}),
    );
    out.note(&format!("{}: each of {} receipts is proven by itself.", path.display(), all.len()));
    out.note("Not proven: that there are no other statements in this case.");
    for hub in unconfirmed {
        let fingerprint =
            chains.get(hub).map(|(c, _)| c.fingerprint().to_hex()).unwrap_or_default();
        out.note(&format!("Not proven: that the descriptor of {hub} is its own; its fingerprint is {fingerprint}: compare it with its operator, or give --fingerprint {hub}=…"));
    }
    Ok(ExitCode::SUCCESS)
}

fn confirmed(fingerprints: &[String]) -> Result<BTreeMap<String, Hash>, CliError> {
    let hint = "HUB=64 hexadecimal digits, once for each hub";
    let one = |text: &String| {
        let (hub, hex) = text.split_once('=')?;
        Some((hub.to_owned(), Hash::from_hex(hex)?))
    };
    let read =
        |text: &String| one(text).ok_or_else(|| CliError::usage("--fingerprint", text, hint));
    fingerprints.iter().map(read).collect()
}
