//! One document as another: read into filings, written from them, with everything that got lost on the way.

use std::collections::{BTreeMap, BTreeSet};

use ewtp_proto::v1;
use serde::Deserialize as _;

use crate::cds::{self, CdsError, Destination};
use crate::ceb::{self, CebError, Contradiction, Message};
use crate::mapping::{Mapping, RowError};
use crate::table::{Table, TableError};

/// A form that filings have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// WCO XML as HMRC's CDS has it, one declaration a document.
    Cds,
    /// Messages of China's cross-border e-commerce system; those of one parcel make one filing.
    Ceb,
    /// Rows of a table, with a mapping; one filing a row.
    Csv,
    /// Our own JSON, the names of `proto/`; one filing after another.
    Json,
}

/// Why a document was not converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// No declaration of CDS, or none that its schema allows.
    #[error("{0}")]
    Cds(#[from] CdsError),
    /// A filing that CDS can't say.
    #[error("filing {lrn}: {error}")]
    Filing {
        /// Its local reference.
        lrn: String,
        /// Why.
        error: CdsError,
    },
    /// No message of CEB, or none that its schema allows.
    #[error("{0}")]
    Ceb(#[from] CebError),
    /// A message that can't be written.
    #[error("{kind}: {error}")]
    Message {
        /// Its kind.
        kind: &'static str,
        /// Why.
        error: CebError,
    },
    /// Messages that are no filing's, in another form than JSON.
    #[error("{0} makes no filing: its messages become JSON, and JSON becomes its messages")]
    NoFiling(&'static str),
    /// Nothing in it.
    #[error("there is no filing in it")]
    Empty,
    /// A row.
    #[error("row {row}: {error}")]
    Row {
        /// Row, the header is 1.
        row: u64,
        /// Why.
        error: RowError,
    },
    /// A table that can't be read.
    #[error("{0}")]
    Table(#[from] TableError),
    /// A table that can't be written.
    #[error("the table can't be written: {0}")]
    Csv(String),
    /// Not a filing in JSON.
    #[error("not a filing in JSON: {0}; the schema is docs/filing.schema.json")]
    Json(String),
    /// A table without mapping.
    #[error("a table is read and written by a mapping: give one with --mapping")]
    NoMapping,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Read {
    /// Filings in order.
    pub filings: Vec<v1::Filing>,
    /// Rows that make no filing.
    pub rejects: Vec<ConvertError>,
    /// What has no place in a filing.
    pub lost: BTreeSet<String>,
    /// Where each leaf of a CDS document went, and how often.
    pub report: BTreeMap<(String, Destination), usize>,
    /// Messages of CEB that make no filing, such as receipts.
    pub messages: Vec<Message>,
    /// Where messages of one parcel contradict each other, by its local reference.
    pub contradictions: Vec<(String, Contradiction)>,
}

/// Reads a document.
///
/// # Errors
/// [`ConvertError`]; single rows of a table are rejects instead.
pub fn read(form: Form, bytes: &[u8], mapping: Option<&Mapping>) -> Result<Read, ConvertError> {
    let read = read_form(form, bytes, mapping)?;
    match read.filings.is_empty() && read.rejects.is_empty() && read.messages.is_empty() {
        true => Err(ConvertError::Empty),
        false => Ok(read),
    }
}

fn read_form(form: Form, bytes: &[u8], mapping: Option<&Mapping>) -> Result<Read, ConvertError> {
    match form {
        Form::Cds => {
            let read = cds::read(bytes)?;
            Ok(Read { filings: vec![read.filing], report: read.report, ..Read::default() })
        }
        Form::Ceb => joined(vec![ceb::read(bytes)?]),
        Form::Json if is_message(bytes) => messages(bytes),
        Form::Json => json(bytes),
        Form::Csv => table(bytes, mapping.ok_or(ConvertError::NoMapping)?),
    }
}

/// Joins messages of CEB: those of one parcel make one filing, wherever they stand.
///
/// # Errors
/// [`ConvertError::Ceb`].
pub fn joined(messages: Vec<Message>) -> Result<Read, ConvertError> {
    let mut out = Read::default();
    let (filed, others): (Vec<_>, Vec<_>) = messages.into_iter().partition(Message::is_filed);
    let all = filed.iter().chain(&others);
    out.lost.extend(all.flat_map(|m| m.lost().iter().map(|l| format!("{} {l}", m.kind()))));
    for joined in ceb::join(&filed)? {
        let lrn = joined.filing.core.as_ref().map(|c| c.lrn.clone()).unwrap_or_default();
        out.contradictions.extend(joined.contradictions.into_iter().map(|c| (lrn.clone(), c)));
        out.filings.push(joined.filing);
    }
    out.messages = others;
    Ok(out)
}

/// Whether JSON begins with a message of CEB: an object whose one field is named after it.
fn is_message(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes).trim_ascii_start();
    let inside = text.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    inside.is_some_and(|t| t.starts_with(b"\"CEB"))
}

fn messages(bytes: &[u8]) -> Result<Read, ConvertError> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut all = Vec::new();
    for value in serde_json::Deserializer::from_slice(bytes).into_iter::<serde_json::Value>() {
        let value = value.map_err(|e| ConvertError::Json(e.to_string()))?;
        let message = ceb::json::from_json(&value);
        let none = || ConvertError::Json("a message of CEB is followed by something else".into());
        all.push(message.ok_or_else(none)??);
    }
    Ok(Read { messages: all, ..Read::default() })
}

fn json(bytes: &[u8]) -> Result<Read, ConvertError> {
    let mut out = Read::default();
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    while deserializer.end().is_err() {
        let filing = v1::Filing::deserialize(&mut deserializer);
        out.filings.push(filing.map_err(|e| ConvertError::Json(e.to_string()))?);
    }
    Ok(out)
}

fn table(bytes: &[u8], mapping: &Mapping) -> Result<Read, ConvertError> {
    let table = Table::read(bytes, mapping)?;
    let mut out = Read::default();
    let unused = mapping.unused_columns(&table.columns);
    for (row, record) in &table.rows {
        match mapping.filing(&table.columns, record) {
            Ok(filing) => out.filings.push(filing),
            Err(errors) => {
                let told = errors.into_iter().map(|error| ConvertError::Row { row: *row, error });
                out.rejects.extend(told);
                continue;
            }
        }
        let full = |at: &usize| record.get(*at).is_some_and(|cell| !cell.trim().is_empty());
        let lost = unused.iter().filter(|name| table.columns.get(*name).is_some_and(full));
        out.lost.extend(lost.map(|name| format!("column {name}")));
    }
    Ok(out)
}

/// Documents that were written.
#[derive(Debug, Default)]
pub struct Written {
    /// Documents in order, with what tells them apart: the kind of a message.
    pub documents: Vec<(Option<&'static str>, String)>,
    /// Our elements that the form has no place for.
    pub lost: BTreeSet<String>,
    /// Filings that the form can't say.
    pub refused: Vec<ConvertError>,
}

/// Writes what was read: JSON and tables take any number of filings, CDS has one declaration a document, CEB a message for each
/// kind.
///
/// # Errors
/// [`ConvertError`] for all of it; single filings are refused instead.
pub fn write(form: Form, read: &Read, mapping: Option<&Mapping>) -> Result<Written, ConvertError> {
    let mut out = Written::default();
    if let Some(message) = read.messages.first().filter(|_| matches!(form, Form::Cds | Form::Csv)) {
        return Err(ConvertError::NoFiling(message.kind()));
    }
    match form {
        Form::Cds => {
            for filing in &read.filings {
                match cds::write(filing) {
                    Ok(document) => {
                        out.documents.push((None, document.xml));
                        out.lost.extend(document.lost);
                    }
                    Err(error) => {
                        let lrn = filing.core.as_ref().map(|c| c.lrn.clone()).unwrap_or_default();
                        out.refused.push(ConvertError::Filing { lrn, error });
                    }
                }
            }
        }
        Form::Ceb => {
            let made = ceb::messages(&read.filings)?;
            out.lost.extend(made.lost);
            for message in made.messages.iter().chain(&read.messages) {
                match ceb::write(message) {
                    Ok(xml) => out.documents.push((Some(message.kind()), xml)),
                    Err(error) => {
                        out.refused.push(ConvertError::Message { kind: message.kind(), error });
                    }
                }
            }
        }
        Form::Json => {
            let filings = read.filings.iter().map(serde_json::to_string_pretty);
            let messages =
                read.messages.iter().map(|m| serde_json::to_string_pretty(&ceb::json::to_json(m)));
            let mut text = String::new();
            for one in filings.chain(messages) {
                text.push_str(&one.map_err(|e| ConvertError::Json(e.to_string()))?);
                text.push('\n');
            }
            out.documents.push((None, text));
        }
        Form::Csv => {
            let mapping = mapping.ok_or(ConvertError::NoMapping)?;
            let mut writer =
                csv::WriterBuilder::new().delimiter(mapping.delimiter).from_writer(Vec::new());
            let bad = |e: csv::Error| ConvertError::Csv(e.to_string());
            writer.write_record(mapping.columns()).map_err(bad)?;
            for filing in &read.filings {
                let (row, lost) = mapping.row(filing);
                writer.write_record(row).map_err(bad)?;
                out.lost.extend(lost);
            }
            let bytes = writer.into_inner().map_err(|e| ConvertError::Csv(e.to_string()))?;
            out.documents.push((None, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    Ok(out)
}
