//! The forms that come with the program.

use ewtp_proto::v1;

use super::{ConvertError, Format, Read, Written};
use crate::mapping::Mapping;
use crate::table::Table;
use crate::xml::BYTES_MAX;
use crate::{cds, ceb};

/// Messages of CEB stand in no other form but JSON.
fn without_messages(read: &Read) -> Result<(), ConvertError> {
    read.messages.first().map_or(Ok(()), |m| Err(ConvertError::NoFiling(m.kind())))
}

/// WCO XML as HMRC's CDS has it.
pub(super) struct Cds;

impl Format for Cds {
    fn name(&self) -> &'static str {
        "cds"
    }

    fn extension(&self) -> &'static str {
        "xml"
    }

    fn one_root(&self) -> bool {
        true
    }

    fn bytes_max(&self) -> Option<usize> {
        Some(BYTES_MAX)
    }

    fn read(&self, bytes: &[u8]) -> Result<Read, ConvertError> {
        Ok(Read { filings: vec![cds::read(bytes)?], ..Read::default() })
    }

    fn write(&self, read: &Read) -> Result<Written, ConvertError> {
        without_messages(read)?;
        let mut out = Written::default();
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
        Ok(out)
    }
}

/// Messages of China's cross-border e-commerce system.
pub(super) struct Ceb;

impl Format for Ceb {
    fn name(&self) -> &'static str {
        "ceb"
    }

    fn extension(&self) -> &'static str {
        "xml"
    }

    fn one_root(&self) -> bool {
        true
    }

    fn bytes_max(&self) -> Option<usize> {
        Some(BYTES_MAX)
    }

    fn joins(&self) -> bool {
        true
    }

    fn read(&self, bytes: &[u8]) -> Result<Read, ConvertError> {
        Ok(Read { messages: vec![ceb::read(bytes)?], ..Read::default() })
    }

    /// Messages of one parcel make one filing, wherever they stand.
    fn join(&self, read: Read) -> Result<Read, ConvertError> {
        let (filed, others): (Vec<_>, Vec<_>) =
            read.messages.into_iter().partition(ceb::Message::is_filed);
        let mut out = Read { lost: read.lost, ..Read::default() };
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

    /// A message for each kind that the filings came from.
    fn write(&self, read: &Read) -> Result<Written, ConvertError> {
        let made = ceb::messages(&read.filings)?;
        let mut out = Written { lost: made.lost.into_iter().collect(), ..Written::default() };
        for message in made.messages.iter().chain(&read.messages) {
            match ceb::write(message) {
                Ok(xml) => out.documents.push((Some(message.kind()), xml)),
                Err(error) => {
                    out.refused.push(ConvertError::Message { kind: message.kind(), error });
                }
            }
        }
        Ok(out)
    }
}

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
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let (mut out, mut at) = (Read::default(), 0);
        while let Some(rest) = bytes.get(at..).filter(|r| !r.trim_ascii().is_empty()) {
            at += match is_message(rest) {
                true => {
                    let (value, length) = next::<serde_json::Value>(bytes, at)?;
                    if let Some(message) = ceb::json::from_json(&value) {
                        out.messages.push(message?);
                    }
                    length
                }
                false => {
                    let (filing, length) = next::<v1::Filing>(bytes, at)?;
                    out.filings.push(filing);
                    length
                }
            };
        }
        Ok(out)
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

/// Whether JSON begins with a message of CEB: an object whose one field is named after it.
fn is_message(bytes: &[u8]) -> bool {
    let inside = bytes.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    inside.is_some_and(|t| t.starts_with(b"\"CEB"))
}

/// The value that begins at a place, and how many bytes it has.
fn next<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    at: usize,
) -> Result<(T, usize), ConvertError> {
    let (before, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<T>();
    match values.next() {
        Some(Ok(value)) => Ok((value, values.byte_offset())),
        Some(Err(error)) => {
            // The parser counts from the value's beginning.
            let told = error.to_string();
            let problem = told.split(" at line ").next().unwrap_or_default();
            let line = before.iter().filter(|b| **b == b'\n').count() + error.line();
            let column = error.column();
            Err(ConvertError::Json(format!("{problem} at line {line} column {column}")))
        }
        None => Err(ConvertError::Empty),
    }
}

/// Rows of a table, with a mapping; one filing a row.
pub(super) struct Csv<'a>(pub(super) Option<&'a Mapping>);

impl Format for Csv<'_> {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn extension(&self) -> &'static str {
        "csv"
    }

    fn read(&self, bytes: &[u8]) -> Result<Read, ConvertError> {
        let mapping = self.0.ok_or(ConvertError::NoMapping)?;
        let mut table = Table::open(bytes, mapping)?;
        let mut out = Read::default();
        let unused = mapping.unused_columns(&table.columns);
        while let Some((row, record)) = table.next_row()? {
            match mapping.filing(&table.columns, &record) {
                Ok(filing) => out.filings.push(filing),
                Err(errors) => {
                    let told = errors.into_iter().map(|error| ConvertError::Row { row, error });
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

    fn write(&self, read: &Read) -> Result<Written, ConvertError> {
        without_messages(read)?;
        let mapping = self.0.ok_or(ConvertError::NoMapping)?;
        let mut out = Written::default();
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
        Ok(out)
    }
}
