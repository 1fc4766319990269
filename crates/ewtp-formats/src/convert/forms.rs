//! The forms that others made: CDS, CEB, tables.

use std::collections::BTreeMap;
use std::io;

use ewtp_proto::v1;

use super::{ConvertError, Format, Pieces, Read, Written, pieces, together};
use crate::mapping::Mapping;
use crate::table::Table;
use crate::xml::BYTES_MAX;
use crate::{cds, ceb};

/// Messages of CEB stand in no other form but JSON.
fn refused_messages(read: &Read) -> Vec<ConvertError> {
    read.messages.iter().map(|m| ConvertError::NoFiling(m.kind())).collect()
}

fn lrn(filing: &v1::Filing) -> String {
    filing.core.as_ref().map(|c| c.lrn.clone()).unwrap_or_default()
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
        let mut out = Written { refused: refused_messages(read), ..Written::default() };
        for filing in &read.filings {
            match cds::write(filing) {
                Ok(document) => {
                    out.documents.push((None, document.xml));
                    out.lost.extend(document.lost);
                }
                Err(error) => {
                    out.refused.push(ConvertError::Filing { lrn: lrn(filing), error });
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

    fn groups(&self) -> bool {
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
            let lrn = lrn(&joined.filing);
            out.contradictions.extend(joined.contradictions.into_iter().map(|c| (lrn.clone(), c)));
            out.filings.push(joined.filing);
        }
        out.messages = others;
        Ok(out)
    }

    /// A message for each kind that the filings came from.
    fn write(&self, read: &Read) -> Result<Written, ConvertError> {
        let (mut said, mut refused) = (Vec::new(), Vec::new());
        for filing in &read.filings {
            match ceb::has_messages(filing) {
                Ok(()) => said.push(filing),
                Err(error) => refused.push(ConvertError::Unsaid { lrn: lrn(filing), error }),
            }
        }
        let made = ceb::messages(said)?;
        let lost = made.lost.into_iter().collect();
        let mut out = Written { lost, refused, ..Written::default() };
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
        together(self.pieces(Box::new(bytes)))
    }

    fn pieces<'a>(&'a self, source: Box<dyn io::Read + 'a>) -> Pieces<'a> {
        let opened = self.0.ok_or(ConvertError::NoMapping).and_then(|mapping| {
            let table = Table::open(source, mapping)?;
            let unused = mapping.unused_columns(&table.columns);
            Ok((mapping, table, unused))
        });
        match opened {
            Ok((mapping, mut table, unused)) => pieces(move |out| {
                let Some((row, record)) = table.next_row()? else { return Ok(None) };
                add_row(out, mapping, &table.columns, &unused, (row, &record));
                Ok(Some(record.as_slice().len()))
            }),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    fn head(&self) -> Result<String, ConvertError> {
        let mapping = self.0.ok_or(ConvertError::NoMapping)?;
        rows(mapping, std::iter::once(mapping.columns()))
    }

    fn write(&self, read: &Read) -> Result<Written, ConvertError> {
        let mapping = self.0.ok_or(ConvertError::NoMapping)?;
        let mut out = Written { refused: refused_messages(read), ..Written::default() };
        let made = read.filings.iter().map(|filing| {
            let (row, lost) = mapping.row(filing);
            out.lost.extend(lost);
            row
        });
        let text = rows(mapping, made)?;
        out.documents.push((None, text));
        Ok(out)
    }
}

/// Rows as text.
fn rows(mapping: &Mapping, all: impl Iterator<Item = Vec<String>>) -> Result<String, ConvertError> {
    let told = |e: &dyn std::fmt::Display| ConvertError::Csv(e.to_string());
    let mut writer = csv::WriterBuilder::new().delimiter(mapping.delimiter).from_writer(Vec::new());
    for row in all {
        writer.write_record(row).map_err(|e| told(&e))?;
    }
    let bytes = writer.into_inner().map_err(|e| told(&e))?;
    String::from_utf8(bytes).map_err(|e| told(&e))
}

/// Adds a row: a filing, or why it makes none.
fn add_row(
    out: &mut Read,
    mapping: &Mapping,
    columns: &BTreeMap<String, usize>,
    unused: &[String],
    (row, record): (u64, &csv::StringRecord),
) {
    match mapping.filing(columns, record) {
        Ok(filing) => out.filings.push(filing),
        Err(errors) => {
            let told = errors.into_iter().map(|error| ConvertError::Row { row, error });
            return out.rejects.extend(told);
        }
    }
    let full = |at: &usize| record.get(*at).is_some_and(|cell| !cell.trim().is_empty());
    let lost = unused.iter().filter(|name| columns.get(*name).is_some_and(full));
    out.lost.extend(lost.map(|name| format!("column {name}")));
}
