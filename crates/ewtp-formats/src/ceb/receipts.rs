//! Receipts: what a case says of a filing, as the answers that senders of CEB messages understand.

use std::fmt::Write as _;

use ewtp_proto::v1;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::fields::{in_china, place_of};
use super::kinds::Kind;
use super::message::{Leaves, Message, text_at};
use super::{CebError, kinds_of};
use crate::dms::{self, Notice, Notification};

/// The message that answers a kind.
fn answer_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "CEB303" => "CEB304",
        "CEB311" => "CEB312",
        "CEB403" => "CEB404",
        "CEB411" => "CEB412",
        "CEB505" => "CEB506",
        "CEB511" => "CEB512",
        "CEB603" => "CEB604",
        "CEB621" => "CEB622",
        _ => return None,
    })
}

/// China Customs' status of a notice, with words; nothing where it has no status for it. Orders, payments and logistics are taken
/// in or refused, and nothing more.
fn status(notice: &Notice, inventory: bool) -> Option<(&'static str, String)> {
    let alone = |code, words: &str| Some((code, words.to_owned()));
    match notice {
        Notice::Received => alone("3", "received"),
        Notice::Accepted(_) => alone("120", "registered"),
        Notice::Rejected(faults) => {
            let told: Vec<_> = faults.iter().map(|f| f.description.as_str()).collect();
            Some(("100", told.join("; ")))
        }
        _ if !inventory => None,
        Notice::Documents(until) => {
            let by = Timestamp::from_millisecond(*until).unwrap_or_default();
            let by = if *until > 0 { format!(" by {by}") } else { String::new() };
            Some(("300", format!("documents are required{by}")))
        }
        Notice::MayBeReleased => alone("399", "assessed: may be released"),
        Notice::Control => alone("500", "goods will be inspected"),
        Notice::Cleared => alone("800", "released"),
        Notice::Exited(office, _) => Some(("899", format!("exited by {office}"))),
        Notice::Corrected(_)
        | Notice::Invalidated(_)
        | Notice::RequestAnswered(_)
        | Notice::ExitEnquiry(_) => None,
    }
}

/// A receipt.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// When it was said, Unix milliseconds.
    pub issued_ms: i64,
    /// China Customs' status, e.g. 800 released.
    pub status: &'static str,
    /// The message, with one record.
    pub message: Message,
}

/// The receipts that a case's statements make for a filing, one message each, in the order in which they were said. Answered is each
/// message that the filing came from, an inventory if it came from elsewhere.
///
/// # Errors
/// [`CebError`] for a filing that is neither import nor export.
pub fn of_case(case: &v1::Case, filing_id: &str) -> Result<Vec<Receipt>, CebError> {
    let is_it = |f: &&v1::Filing| f.core.as_ref().is_some_and(|c| c.filing_id == filing_id);
    let filing = case.filings.iter().filter_map(|f| f.filing.as_ref()).find(is_it);
    let Some(filing) = filing else { return Ok(Vec::new()) };
    let filed = super::messages(std::slice::from_ref(filing))?.messages;
    let mut out = Vec::new();
    for notification in dms::of_case(case, filing_id) {
        for kind in kinds_of(filing)? {
            let message = filed.iter().find(|m| m.kind.name == kind.name);
            let answer = answer_of(kind.name).and_then(Kind::by_name);
            if let (Some(message), Some(answer)) = (message, answer) {
                out.extend(receipt(message, answer, &notification));
            }
        }
    }
    Ok(out)
}

/// A receipt with one record: what the answered message is known by, and what is said of it.
fn receipt(filed: &Message, answer: &'static Kind, said: &Notification) -> Option<Receipt> {
    let inventory = matches!(answer.name, "CEB604" | "CEB622");
    let (code, words) = status(&said.notice, inventory)?;
    let at = Timestamp::from_millisecond(said.issued_ms).unwrap_or_default();
    let there = in_china(at);
    let time = there.strftime("%Y%m%d%H%M%S%3f").to_string();
    let leaves = filed.records.first()?;
    let mut out = Leaves::new();
    let group = answer.record.groups.first()?;
    for leaf in &group.leaves {
        let text = match leaf.name {
            "returnStatus" => code.to_owned(),
            "returnTime" => time.clone(),
            "returnInfo" => format!("{words} [{}]", said.reference),
            // An inventory's number is its registration; the hub has no number before that one.
            "invtNo" | "preNo" => said.mrn.clone(),
            // The firm's own number: without one the hub's local reference.
            "copNo" if text_at(filed.kind, leaves, "copNo").is_empty() => said.lrn.clone(),
            name => text_at(filed.kind, leaves, name).to_owned(),
        };
        let text: String = text.chars().take(leaf.longest()).collect();
        let place = place_of(&answer.record.groups, 0, 0, leaf.name)?;
        if !text.is_empty() || !leaf.optional {
            out.insert(place, text);
        }
    }
    let guid = guid(&[answer.name, &said.reference]);
    let (version, envelope) = ("1.0".to_owned(), Leaves::new());
    let message =
        Message { kind: answer, guid, version, records: vec![out], envelope, lost: Vec::new() };
    Some(Receipt { issued_ms: said.issued_ms, status: code, message })
}

/// A message's number, made of what it is about: the same again for the same. UUID version 8 (RFC 9562), capital letters.
pub(super) fn guid(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut bytes: [u8; 16] = std::array::from_fn(|_| 0);
    bytes.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut out = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(out, "{dash}{byte:02X}");
    }
    out
}
