//! Attachments as filings, answers and decisions cite them.

use ewtp_proto::v1;

use crate::finding::{Say, finding};

/// Largest attachment, bytes.
pub const ATTACHMENT_BYTES_MAX: u64 = 10 << 20;
/// Most attachments of one statement.
pub const ATTACHMENTS_MAX: usize = 10;
/// Media types that are taken.
pub const MEDIA_TYPES: &[&str] = &["application/pdf", "image/jpeg", "image/png"];

/// What is wrong with the attachments that a statement cites.
#[must_use]
pub fn check(path: &str, cited: &[v1::AttachmentReference]) -> Vec<v1::Finding> {
    let mut out = Vec::new();
    if cited.len() > ATTACHMENTS_MAX {
        let say = Say {
            code: "attachments",
            allowed: "at most 10 in one statement",
            fix: "put several pages into one document",
        };
        out.push(finding(path, &cited.len().to_string(), say));
    }
    for (i, one) in cited.iter().enumerate() {
        out.extend(check_one(&format!("{path}[{i}]"), one));
    }
    out
}

/// What is wrong with one reference.
#[must_use]
pub fn check_one(path: &str, one: &v1::AttachmentReference) -> Option<v1::Finding> {
    let say = |allowed, fix| Say { code: "attachment", allowed, fix };
    let upload = "take the reference that the upload gave: ewtp attachment upload";
    if one.digest.len() != 32 || one.salt.len() != 16 {
        let say = say("a digest of 32 bytes and a salt of 16", upload);
        return Some(finding(path, &one.digest.len().to_string(), say));
    }
    if one.size == 0 || one.size > ATTACHMENT_BYTES_MAX {
        let say = say("1 byte to 10 MiB", "scan it with fewer dots, or split it");
        return Some(finding(&format!("{path}.size"), &one.size.to_string(), say));
    }
    if !MEDIA_TYPES.contains(&one.media_type.as_str()) {
        let say = say("application/pdf, image/jpeg or image/png", "convert it to one of these");
        return Some(finding(&format!("{path}.media_type"), &one.media_type, say));
    }
    None
}
