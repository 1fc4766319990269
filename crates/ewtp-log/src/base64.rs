//! Base64 as every format of the hub writes it: RFC 4648 section 4, padded, with unused bits zero.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;

/// Encodes with padding.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes strictly: padding demanded, non-zero unused bits and foreign characters refused.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Decodes exactly `N` bytes.
#[must_use]
pub fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    decode(text)?.try_into().ok()
}

/// Splits an encoding into lines of 76 characters, each ended by LF, as receipts carry blobs.
#[must_use]
pub fn armour(bytes: &[u8]) -> String {
    let text = encode(bytes);
    let mut out = String::with_capacity(text.len() + text.len() / 76 + 1);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(76));
        out.push_str(line);
        out.push('\n');
        rest = next;
    }
    out
}

/// Undoes [`armour`]; anything but its exact line structure is refused, so that no two texts mean one blob.
#[must_use]
pub fn unarmour(text: &str) -> Option<Vec<u8>> {
    let joined: String = text.split_terminator('\n').collect();
    let bytes = decode(&joined)?;
    (armour(&bytes) == text).then_some(bytes)
}
