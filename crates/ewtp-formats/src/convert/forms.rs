//! The forms that others made: CDS, CEB, tables.

use std::io;

use super::{ConvertError, Format, PIECE, Pieces, Read, Written, together};
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
            Ok(Rows { mapping, table, unused, ended: false })
        });
        match opened {
            Ok(rows) => Box::new(rows),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    fn head(&self) -> Result<String, ConvertError> {
        let mapping = self.0.ok_or(ConvertError::NoMapping)?;
        rows(mapping, std::iter::once(mapping.columns()))
    }

    fn write(&self, read: &Read) -> Result<Written, ConvertError> {
        without_messages(read)?;
        let mapping = self.0.ok_or(ConvertError::NoMapping)?;
        let mut out = Written::default();
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

/// The rows of a table that is being read.
struct Rows<'a> {
    mapping: &'a Mapping,
    table: Table<Box<dyn io::Read + 'a>>,
    unused: Vec<String>,
    ended: bool,
}

impl Iterator for Rows<'_> {
    type Item = Result<Read, ConvertError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let mut out = Read::default();
        for _ in 0..PIECE {
            match self.table.next_row() {
                Ok(Some((row, record))) => self.add(&mut out, row, &record),
                Ok(None) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error.into()));
                }
            }
            if self.ended {
                break;
            }
        }
        (!out.filings.is_empty() || !out.rejects.is_empty()).then_some(Ok(out))
    }
}

impl Rows<'_> {
    fn add(&self, out: &mut Read, row: u64, record: &csv::StringRecord) {
        match self.mapping.filing(&self.table.columns, record) {
            Ok(filing) => out.filings.push(filing),
            Err(errors) => {
                let told = errors.into_iter().map(|error| ConvertError::Row { row, error });
                return out.rejects.extend(told);
            }
        }
        let full = |at: &usize| record.get(*at).is_some_and(|cell| !cell.trim().is_empty());
        let lost =
            self.unused.iter().filter(|name| self.table.columns.get(*name).is_some_and(full));
        out.lost.extend(lost.map(|name| format!("column {name}")));
    }
}
