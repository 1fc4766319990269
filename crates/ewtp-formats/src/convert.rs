//! One document as another: read into filings, written from them, with everything that got lost on the way.

use std::collections::{BTreeMap, BTreeSet};

use ewtp_proto::v1;
use serde::Deserialize as _;

use crate::cds::{self, CdsError, Destination};
use crate::mapping::{Mapping, RowError};
use crate::table::{Table, TableError};

/// A form that filings have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// WCO XML as HMRC's CDS has it, one declaration a document.
    Cds,
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
}

/// Reads a document.
///
/// # Errors
/// [`ConvertError`]; single rows of a table are rejects instead.
pub fn read(form: Form, bytes: &[u8], mapping: Option<&Mapping>) -> Result<Read, ConvertError> {
    let read = read_form(form, bytes, mapping)?;
    match read.filings.is_empty() && read.rejects.is_empty() {
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
        Form::Json => json(bytes),
        Form::Csv => table(bytes, mapping.ok_or(ConvertError::NoMapping)?),
    }
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

/// A document that was written.
#[derive(Debug)]
pub struct Written {
    /// Its text.
    pub text: String,
    /// Our elements that it has no place for.
    pub lost: BTreeSet<String>,
}

/// Writes filings: JSON and tables take any number, CDS has one declaration a document.
///
/// # Errors
/// [`ConvertError`].
pub fn write(
    form: Form,
    filings: &[v1::Filing],
    mapping: Option<&Mapping>,
) -> Result<Written, ConvertError> {
    let mut out = Written { text: String::new(), lost: BTreeSet::new() };
    match form {
        Form::Cds => {
            for filing in filings {
                let named = |error| {
                    let lrn = filing.core.as_ref().map(|c| c.lrn.clone()).unwrap_or_default();
                    ConvertError::Filing { lrn, error }
                };
                let document = cds::write(filing).map_err(named)?;
                out.text.push_str(&document.xml);
                out.lost.extend(document.lost);
            }
        }
        Form::Json => {
            for filing in filings {
                let text = serde_json::to_string_pretty(filing);
                out.text.push_str(&text.map_err(|e| ConvertError::Json(e.to_string()))?);
                out.text.push('\n');
            }
        }
        Form::Csv => {
            let mapping = mapping.ok_or(ConvertError::NoMapping)?;
            let mut writer =
                csv::WriterBuilder::new().delimiter(mapping.delimiter).from_writer(Vec::new());
            let bad = |e: csv::Error| ConvertError::Csv(e.to_string());
            writer.write_record(mapping.columns()).map_err(bad)?;
            for filing in filings {
                let (row, lost) = mapping.row(filing);
                writer.write_record(row).map_err(bad)?;
                out.lost.extend(lost);
            }
            let bytes = writer.into_inner().map_err(|e| ConvertError::Csv(e.to_string()))?;
            out.text = String::from_utf8_lossy(&bytes).into_owned();
        }
    }
    Ok(out)
}
