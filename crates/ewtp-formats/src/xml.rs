//! What every XML document is asked before its meaning: its size, its encoding, its shape, and that it is well-formed. Nothing is
//! expanded, nothing is fetched.

mod shape;

use std::borrow::Cow;
use std::ops::Range;

use encoding_rs::{Encoding, UTF_8};
use roxmltree::{Document, ParsingOptions};

/// Largest document, bytes: 999 items with all that CDS allows, and 100 records of CEB, stay below.
pub const BYTES_MAX: usize = 16 << 20;
/// Most nodes of a document.
const NODES_MAX: u32 = 1 << 20;
/// Most violations that are told.
const VIOLATIONS_MAX: usize = 100;

/// Why bytes are no XML document that is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Larger than [`BYTES_MAX`].
    #[error("the document has {bytes} bytes or more; at most {BYTES_MAX} are read: split it")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// No XML.
    #[error("line {line}, column {column}: not well-formed XML: {problem}")]
    Malformed {
        /// Line, from 1.
        line: u32,
        /// Column, from 1.
        column: u32,
        /// What is wrong.
        problem: String,
    },
}

/// A violation of a document's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Line, from 1; 0 for a document that wasn't written.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// Path of the element.
    pub path: String,
    /// What stands there, cut to 80 characters.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}

/// The violations of one document while it is read, with line and column; no more than are told.
pub(crate) struct Violations<'a, 'i> {
    document: &'a Document<'i>,
    pub(crate) found: Vec<Violation>,
}

impl<'a, 'i> Violations<'a, 'i> {
    pub(crate) fn of(document: &'a Document<'i>) -> Self {
        Self { document, found: Vec::new() }
    }

    pub(crate) fn add(&mut self, at: Range<usize>, path: String, value: &str, allowed: String) {
        if self.found.len() < VIOLATIONS_MAX {
            let position = self.document.text_pos_at(at.start);
            let value = value.trim().chars().take(80).collect();
            let (line, column) = (position.row, position.col);
            self.found.push(Violation { line, column, path, value, allowed });
        }
    }
}

/// Violations in words, a line each.
pub(crate) fn told(violations: &[Violation]) -> String {
    let one = |v: &Violation| {
        let value = match v.value.as_str() {
            "" => String::new(),
            value => format!(" is {value:?}"),
        };
        let place = match v.line {
            0 => String::new(),
            line => format!("line {line}, column {}: ", v.column),
        };
        format!("{place}{}{value}; allowed: {}", v.path, v.allowed)
    };
    violations.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// The text of a document, within its bounds. The encoding is UTF-8.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, XmlError> {
    if bytes.len() > BYTES_MAX {
        return Err(XmlError::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let before = bytes.get(..e.valid_up_to()).unwrap_or_default();
        malformed(&String::from_utf8_lossy(before), "not UTF-8")
    })?;
    bounded(text.trim_start_matches('\u{feff}'))
}

/// The same of a document that may name another encoding in its XML declaration.
pub(crate) fn decoded(bytes: &[u8]) -> Result<Cow<'_, str>, XmlError> {
    let encoding = declared(bytes).filter(|e| *e != UTF_8);
    let Some(encoding) = encoding else { return text(bytes).map(Cow::Borrowed) };
    if bytes.len() > BYTES_MAX {
        return Err(XmlError::TooLarge { bytes: bytes.len() });
    }
    let (text, _, wrong) = encoding.decode(bytes);
    if wrong {
        let before = text.split('\u{fffd}').next().unwrap_or_default();
        return Err(malformed(before, &format!("not {}", encoding.name())));
    }
    bounded(&text)?;
    Ok(text)
}

/// The encoding that an XML declaration names.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes.get(..bytes.len().min(200))?;
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).strip_prefix(b"<?xml")?;
    let end = head.windows(2).position(|w| w == b"?>")?;
    let declaration = std::str::from_utf8(head.get(..end)?).ok()?;
    let (_, value) = declaration.split_once("encoding")?;
    Encoding::for_label(value.split(['"', '\'']).nth(1)?.as_bytes())
}

fn bounded(text: &str) -> Result<&str, XmlError> {
    match shape::out_of_bounds(text) {
        None => Ok(text),
        Some((at, problem)) => Err(malformed(text.get(..at).unwrap_or_default(), &problem)),
    }
}

/// Parses a text that [`text`] or [`decoded`] gave.
pub(crate) fn parse(text: &str) -> Result<Document<'_>, XmlError> {
    // No DTD: nothing is expanded, nothing is fetched.
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..Default::default() };
    Document::parse_with_options(text, options).map_err(|e| {
        let (line, column) = match e {
            // What is missing is missing at the end.
            roxmltree::Error::UnclosedRootNode => end(text),
            _ => (e.pos().row, e.pos().col),
        };
        XmlError::Malformed { line, column, problem: e.to_string() }
    })
}

fn malformed(before: &str, problem: &str) -> XmlError {
    let (line, column) = end(before);
    XmlError::Malformed { line, column, problem: problem.to_owned() }
}

/// Line and column behind a text.
fn end(text: &str) -> (u32, u32) {
    let line = text.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// Whether all characters are XML 1.0's.
pub(crate) fn is_xml(text: &str) -> bool {
    text.chars().all(|c| {
        matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
    })
}

/// A text as content, or as an attribute's value.
pub(crate) fn escaped(text: &str, attribute: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if attribute => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' if attribute => out.push_str("&#10;"),
            '\t' if attribute => out.push_str("&#9;"),
            c => out.push(c),
        }
    }
    out
}
