//! Tables: rows of texts under a header, in any encoding and with any delimiter.

use std::collections::BTreeMap;

use encoding_rs::{Encoding, UTF_8};

use crate::mapping::Mapping;

/// Why a table was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// No such encoding.
    #[error("encoding {0:?} is not known; e.g. utf-8, windows-1252, gbk, shift_jis, euc-kr")]
    Encoding(String),
    /// Bytes that the encoding doesn't have.
    #[error(
        "line {line}: not {encoding}: name the table's encoding in the mapping, e.g. [table] encoding = \"windows-1252\""
    )]
    Bytes {
        /// Line of the first one.
        line: usize,
        /// Encoding.
        encoding: String,
    },
    /// Not a table.
    #[error("{0}")]
    Csv(String),
    /// No header.
    #[error("the table is empty: it begins with a line of column names")]
    Empty,
    /// Two columns of one name.
    #[error("the header has two columns {0:?}: name them apart")]
    Twice(String),
    /// The mapping reads what isn't there.
    #[error("the table lacks the columns {}", .0.join(", "))]
    Columns(Vec<String>),
}

/// A table.
#[derive(Debug)]
pub struct Table {
    /// Place of each column.
    pub columns: BTreeMap<String, usize>,
    /// Rows with their line numbers; the header is 1.
    pub rows: Vec<(u64, csv::StringRecord)>,
}

impl Table {
    /// Reads a table as its mapping says.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn read(bytes: &[u8], mapping: &Mapping) -> Result<Self, TableError> {
        let text = decode(bytes, mapping.encoding.as_deref())?;
        let bad = |e: csv::Error| TableError::Csv(e.to_string());
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .delimiter(mapping.delimiter)
            .from_reader(text.as_bytes());
        let header = reader.headers().map_err(bad)?.clone();
        if header.iter().all(|name| name.trim().is_empty()) {
            return Err(TableError::Empty);
        }
        let mut columns = BTreeMap::new();
        for (at, name) in header.iter().enumerate() {
            if columns.insert(name.trim().to_owned(), at).is_some() {
                return Err(TableError::Twice(name.trim().to_owned()));
            }
        }
        let missing = mapping.missing_columns(&columns);
        if !missing.is_empty() {
            return Err(TableError::Columns(missing));
        }
        let mut rows = Vec::new();
        for row in reader.records() {
            let row = row.map_err(bad)?;
            let line = row.position().map_or(0, csv::Position::line);
            rows.push((line, row));
        }
        Ok(Self { columns, rows })
    }
}

/// Text of bytes: by the encoding that is named, else by the byte order mark, else UTF-8.
fn decode(bytes: &[u8], label: Option<&str>) -> Result<String, TableError> {
    let named = match label {
        None => UTF_8,
        Some(label) => Encoding::for_label(label.as_bytes())
            .ok_or_else(|| TableError::Encoding(label.to_owned()))?,
    };
    let (text, used, broken) = named.decode(bytes);
    if !broken {
        return Ok(text.into_owned());
    }
    let line = text.split('\u{fffd}').next().unwrap_or_default().matches('\n').count() + 1;
    Err(TableError::Bytes { line, encoding: used.name().to_owned() })
}
