//! What a receipt proves and what it doesn't, in words.

use ewtp_log::receipt::{Proven, Receipt};
use ewtp_log::statement::{format_time, open_part};
use ewtp_log::{Checkpoint, HubId};
use ewtp_proto::{Message as _, v1};
use ewtp_trust::Chain;
use ewtp_trust::retired::{KeyStanding, standing};
use serde_json::{Value, json};

use crate::commands::certificate::{entry_name, quantities};
use crate::error::CliError;

/// A receipt that verified, with what its issuer's chain says of the keys behind it.
pub(crate) struct Verified {
    pub(crate) receipt: Receipt,
    pub(crate) proven: Proven,
    /// Somebody read out the fingerprint of the issuer's descriptor.
    confirmed: bool,
    fingerprint: String,
    standing: KeyStanding,
    /// Size at which the log's generation was closed, where this entry is behind it.
    lost_behind: Option<u64>,
}

/// Verifies a receipt with its issuer's chain.
pub(crate) fn verify(text: &str, chain: &Chain, confirmed: bool) -> Result<Verified, CliError> {
    let receipt = Receipt::parse(text)?;
    let proven = receipt.verify(&chain.receipt_trust())?;
    let (head, _) = Checkpoint::parse_note(receipt.log.checkpoint.as_bytes())
        .map_err(|e| CliError::Log(e.to_string()))?;
    let standing = standing(chain, &head, &proven.signed_by);
    if standing == KeyStanding::Misuse {
        return Err(CliError::Log(format!(
            "its head of {} is signed by a retired key alone, behind the head at which that key was retired, and no quorum of witnesses vouches that it was signed before",
            head.size
        )));
    }
    let generation =
        chain.newest().generations.iter().find(|g| g.origin.as_str() == proven.header.origin);
    let closing = generation.and_then(|g| g.closing.as_ref()).map(|c| c.head.size.0);
    let lost_behind = closing.filter(|size| proven.index.0 >= *size);
    let fingerprint = chain.fingerprint().to_hex();
    Ok(Verified { receipt, proven, confirmed, fingerprint, standing, lost_behind })
}

impl Verified {
    /// When a witness had the head in hand, at the earliest.
    fn witnessed_by(&self) -> Option<String> {
        let witnesses = &self.proven.signed_by.witnesses;
        let earliest = witnesses.iter().map(|(_, seconds)| *seconds).min()?;
        let names: Vec<&str> = witnesses.iter().map(|(key, _)| key.name()).collect();
        Some(format!(
            "{}, first at {}",
            names.join(", "),
            format_time(earliest.saturating_mul(1000))
        ))
    }

    /// To whom it was said, if the receipt opens the lane.
    pub(crate) fn said_to(&self) -> Option<String> {
        let (peer, number): &(HubId, _) = self.proven.lane.as_ref()?;
        Some(number.map_or_else(
            || peer.to_string(),
            |n| format!("{peer}, as number {n} of what was said to it"),
        ))
    }

    fn parts(&self) -> (Vec<&str>, Vec<&str>) {
        let shown: Vec<&str> = self.receipt.parts.iter().map(|(n, _)| n.as_str()).collect();
        let names = self.proven.header.parts.iter().map(|(n, _)| n.as_str());
        (shown.clone(), names.filter(|n| !shown.contains(n)).collect())
    }

    /// What it proves.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let h = &self.proven.header;
        let (shown, hidden) = self.parts();
        let mut facts = vec![
            ("who", format!("{} (descriptor fingerprint {})", h.hub, self.fingerprint)),
            ("what", format!("{} {} number {}", h.id.kind, h.id.subject, h.id.number)),
        ];
        facts.extend(self.content().map(|text| ("content", text)));
        facts.push(("when", format!("{} by that hub's log", h.time)));
        facts.extend(self.witnessed_by().map(|text| ("witnessed", text)));
        facts.extend(self.said_to().map(|text| ("said to", text)));
        let (index, size) = (self.proven.index, self.proven.log_size);
        facts.push((
            "where",
            format!("entry {index} of {}, under its signed head of {size}", h.origin),
        ));
        facts.push(("shown", shown.join(", ")));
        if !hidden.is_empty() {
            facts.push(("withheld", hidden.join(", ")));
        }
        if let Some(size) = self.lost_behind {
            facts.push((
                "but",
                format!("said, then lost: the log was closed at {size} entries, before this one"),
            ));
        }
        facts
    }

    /// What it leaves open.
    pub(crate) fn open_questions(&self) -> Vec<String> {
        let mut open = Vec::new();
        if !self.confirmed {
            open.push("that this descriptor is the hub's: compare the fingerprint with its operator, or give --fingerprint".into());
        }
        if self.proven.signed_by.witnesses.is_empty() {
            open.push("when it was said: time not witnessed, it is the hub's own word".into());
        }
        if self.proven.lane.is_none() {
            open.push("to whom it was said: ask for a receipt with its lane path".into());
        }
        if let KeyStanding::Retired { at_ms, vouched: false } = self.standing {
            open.push(format!(
                "that it was signed before its key was retired at {}: ask for a fresh receipt if that key may have been stolen",
                format_time(at_ms)
            ));
        }
        let (_, hidden) = self.parts();
        if !hidden.is_empty() {
            open.push("what the withheld parts say".into());
        }
        match self.proven.header.id.kind.as_str() {
            "certificate" => open.push(
                "that it still holds, since it may have been revoked after it; and what is left of a quantity, ever".into(),
            ),
            "ledger" => open.push(
                "that the ledger says the same since; and what is left of the certificate, ever".into(),
            ),
            _ => open.push("that nothing was said after it".into()),
        }
        open
    }

    /// Lines of a certificate that are shown.
    fn lines(&self) -> Vec<v1::CertificateLine> {
        let lines = self.receipt.parts.iter().filter(|(name, _)| name.starts_with("line-"));
        lines
            .filter_map(|(name, blob)| {
                v1::CertificateLine::decode(open_part(name, blob).ok()?).ok()
            })
            .collect()
    }

    /// The same for machines.
    pub(crate) fn json(&self) -> Value {
        let h = &self.proven.header;
        let (shown, hidden) = self.parts();
        let witnesses = self.proven.signed_by.witnesses.iter();
        json!({
            "verified": true, "hub": h.hub, "kind": h.id.kind, "subject": h.id.subject, "number": h.id.number,
            "time": h.time, "origin": h.origin, "index": self.proven.index.0, "log_size": self.proven.log_size.0,
            "content": self.content(), "shown": shown, "withheld": hidden,
            "witnesses": witnesses.map(|(k, t)| json!({"name": k.name(), "time": t})).collect::<Vec<_>>(),
            "lane": self.proven.lane.as_ref().map(|(p, n)| json!({"peer": p.as_str(), "number": n.map(|n| n.0)})),
            "lost": self.lost_behind.is_some(), "not_proven": self.open_questions(),
        })
    }

    /// What a decision, filing, event … says, in a line.
    pub(crate) fn content(&self) -> Option<String> {
        let (_, blob) = self.receipt.parts.iter().find(|(n, _)| n == "core")?;
        let core = open_part("core", blob).ok()?;
        let word = |name: &str, prefix: &str| {
            name.trim_start_matches(prefix).to_ascii_lowercase().replace('_', " ")
        };
        match self.proven.header.id.kind.as_str() {
            "decision" => {
                let core = v1::DecisionCore::decode(core).ok()?;
                let effect = word(core.effect().as_str_name(), "EFFECT_");
                let code = core.code().as_str_name().trim_start_matches("DECISION_CODE_");
                Some(format!(
                    "{effect}: {code} on filing {} version {}",
                    core.filing_id, core.filing_version
                ))
            }
            "filing" => {
                let core = v1::FilingCore::decode(core).ok()?;
                Some(format!(
                    "{} filing, LRN {}, MRN {}, {} items, {} to {}",
                    word(core.r#type().as_str_name(), "FILING_TYPE_"),
                    core.lrn,
                    core.mrn,
                    core.items.len(),
                    core.country_of_export,
                    core.country_of_destination
                ))
            }
            "event" => {
                let core = v1::EventCore::decode(core).ok()?;
                Some(word(core.code().as_str_name(), "EVENT_CODE_"))
            }
            "certificate" => {
                let core = v1::CertificateCore::decode(core).ok()?;
                let until = match core.valid_until.as_str() {
                    "" => "without an end".to_owned(),
                    day => format!("to {day}"),
                };
                let lines: Vec<String> = self.lines().iter().map(|l| l.hs.clone()).collect();
                let shown = match lines.as_slice() {
                    [] => String::new(),
                    some => format!("; HS {}", some.join(", ")),
                };
                Some(format!(
                    "{} certificate {} of {}, {} from {} {until}; lines shown {} of {}{shown}",
                    core.kind,
                    core.reference,
                    core.issuer,
                    word(core.state().as_str_name(), "CERTIFICATE_STATE_"),
                    core.valid_from,
                    lines.len(),
                    core.lines
                ))
            }
            "report" => {
                let core = v1::ReportCore::decode(core).ok()?;
                let at = |ms: i64| format_time(u64::try_from(ms).unwrap_or_default());
                Some(format!(
                    "report {} over filings from {} to {}, by {} log entries: {}",
                    core.kind,
                    at(core.from_ms),
                    at(core.to_ms),
                    core.log_size,
                    core.figures
                ))
            }
            "quality-alarm" => {
                let core = v1::QualityAlarmCore::decode(core).ok()?;
                Some(core.prepared_reason)
            }
            "ledger" => {
                let core = v1::LedgerCore::decode(core).ok()?;
                let goods = self.receipt.parts.iter().find(|(n, _)| n == "goods");
                let goods = goods.and_then(|(n, blob)| open_part(n, blob).ok());
                let goods = goods.and_then(|g| v1::LedgerGoods::decode(g).ok());
                let how_much = goods.map_or_else(String::new, |g| {
                    let left = match core.entry() {
                        v1::LedgerEntry::Refused => {
                            format!(" asked, {} left", quantities(&g.left))
                        }
                        _ => String::new(),
                    };
                    format!(": {}{left}", quantities(&g.quantities))
                });
                Some(format!(
                    "{} of certificate {} in case {}, for filing {} version {}{how_much}",
                    entry_name(core.entry()),
                    core.certificate_id,
                    core.case_id,
                    core.filing_id,
                    core.filing_version
                ))
            }
            "adoption" => {
                let core = v1::AdoptionCore::decode(core).ok()?;
                Some(format!("adopted as import filing {}", core.import_filing_id))
            }
            _ => None,
        }
    }
}
