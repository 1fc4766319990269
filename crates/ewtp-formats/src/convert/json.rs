//! Our own JSON: one filing after another, read value by value.

use std::io::{self, Read as _};

use ewtp_proto::v1;

use super::{ConvertError, Format, Pieces, Read, Written, pieces, together};
use crate::ceb;
use crate::xml::BYTES_MAX;

/// Largest value, bytes: as large as a declaration of CDS.
const VALUE_MAX: usize = BYTES_MAX;
/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// Our own JSON, the names of `proto/`; one filing after another. Messages of CEB that make no filing stand there by the names of their
/// elements.
pub(super) struct Json;

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn extension(&self) -> &'static str {
        "json"
    }

    fn read(&self, bytes: &[u8]) -> Result<Read, ConvertError> {
        together(self.pieces(Box::new(bytes)))
    }

    fn pieces<'a>(&'a self, source: Box<dyn io::Read + 'a>) -> Pieces<'a> {
        let mut values = Values::new(source);
        pieces(move |out| {
            let Some((at, value)) = values.next_value()? else { return Ok(None) };
            add(out, at, value)?;
            Ok(Some(value.len()))
        })
    }

    fn write(&self, read: &Read) -> Result<Written, ConvertError> {
        let filings = read.filings.iter().map(serde_json::to_string_pretty);
        let messages = read.messages.iter().map(ceb::json::to_json);
        let messages = messages.map(|m| serde_json::to_string_pretty(&m));
        let mut text = String::new();
        for one in filings.chain(messages) {
            text.push_str(&one.map_err(|e| ConvertError::Json(e.to_string()))?);
            text.push('\n');
        }
        Ok(Written { documents: vec![(None, text)], ..Written::default() })
    }
}

/// Adds a value: a message of CEB, or a filing.
fn add(out: &mut Read, at: At, value: &[u8]) -> Result<(), ConvertError> {
    if !is_message(value) {
        out.filings.push(parse::<v1::Filing>(at, value)?);
        return Ok(());
    }
    let told = |problem: String| {
        ConvertError::Json(format!("{problem}, in the value that begins at line {}", at.line + 1))
    };
    let value = parse::<serde_json::Value>(at, value)?;
    match ceb::json::from_json(&value) {
        Some(Ok(message)) => out.messages.push(message),
        Some(Err(error)) => return Err(told(error.to_string())),
        None => return Err(told("a message is one field named CEBnnnMessage".into())),
    }
    Ok(())
}

/// Where a value begins: lines and, in its line, bytes before it.
#[derive(Clone, Copy)]
struct At {
    line: usize,
    column: usize,
}

/// Whether JSON begins with a message of CEB: an object whose one field is named after it.
fn is_message(bytes: &[u8]) -> bool {
    let inside = bytes.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    inside.is_some_and(|t| t.starts_with(b"\"CEB"))
}

/// A value that begins somewhere.
fn parse<T: serde::de::DeserializeOwned>(at: At, value: &[u8]) -> Result<T, ConvertError> {
    serde_json::from_slice(value).map_err(|error| {
        // The parser counts from the value's beginning.
        let told = error.to_string();
        let problem = told.split(" at line ").next().unwrap_or_default();
        let before = if error.line() == 1 { at.column } else { 0 };
        let (line, column) = (at.line + error.line(), before + error.column());
        ConvertError::Json(format!("{problem} at line {line} column {column}"))
    })
}

/// Cuts a source where its values end.
struct Values<'a> {
    source: Box<dyn io::Read + 'a>,
    held: Vec<u8>,
    /// What of `held` was given.
    given: usize,
    /// Where what was given ends.
    at: At,
    ended: bool,
}

impl<'a> Values<'a> {
    fn new(source: Box<dyn io::Read + 'a>) -> Self {
        Self { source, held: Vec::new(), given: 0, at: At { line: 0, column: 0 }, ended: false }
    }

    /// The next value with its place; the rest of a source whose last value doesn't end.
    fn next_value(&mut self) -> Result<Option<(At, &[u8])>, ConvertError> {
        let mut end = End::default();
        let mut seen = self.given;
        let length = loop {
            let new = self.held.get(seen..).unwrap_or_default();
            if let Some(at) = new.iter().position(|byte| end.after(*byte)) {
                break seen + at + 1 - self.given;
            }
            seen = self.held.len();
            if self.ended {
                break seen - self.given;
            }
            seen -= self.given;
            self.fill()?;
        };
        let at = self.at;
        let value = self.held.get(self.given..self.given + length).unwrap_or_default();
        self.given += length;
        let lines = value.iter().filter(|b| **b == b'\n').count();
        let behind = value.rsplit(|b| *b == b'\n').next().unwrap_or_default().len();
        self.at.line += lines;
        self.at.column = if lines == 0 { self.at.column + behind } else { behind };
        let value = match (at.line, at.column) {
            (0, 0) => value.strip_prefix("\u{feff}".as_bytes()).unwrap_or(value),
            _ => value,
        };
        Ok((!value.trim_ascii().is_empty()).then_some((at, value)))
    }

    /// Reads more, behind what isn't given yet.
    fn fill(&mut self) -> Result<(), ConvertError> {
        self.held.drain(..self.given);
        self.given = 0;
        if self.held.len() > VALUE_MAX {
            let problem = format!(
                "a value of more than {VALUE_MAX} bytes, or a quote or bracket that doesn't end"
            );
            let line = self.at.line + 1;
            return Err(ConvertError::Json(format!("{problem}: it begins at line {line}")));
        }
        let read = self.source.by_ref().take(CHUNK as u64).read_to_end(&mut self.held);
        self.ended = read.map_err(|e| ConvertError::Source(e.to_string()))? == 0;
        Ok(())
    }
}

/// Where an object ends.
#[derive(Default)]
struct End {
    depth: usize,
    quoted: bool,
    escaped: bool,
}

impl End {
    /// Whether it ends with this byte.
    fn after(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.quoted => self.escaped = true,
            b'"' => self.quoted = !self.quoted,
            _ if self.quoted => {}
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}
