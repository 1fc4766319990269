//! Tables: rows of texts under a header, in any encoding and with any delimiter.

use std::collections::BTreeMap;
use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

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
    /// A row that doesn't end.
    #[error("line {0}: the row has more than 4 MiB: does a quote not end?")]
    Long(u64),
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

/// A table that is read row by row: what stands in memory doesn't grow with it.
pub struct Table<R> {
    /// Place of each column.
    pub columns: BTreeMap<String, usize>,
    reader: csv::Reader<Decoded<R>>,
}

impl<R: Read> Table<R> {
    /// Reads the header of a table as its mapping says.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn open(source: R, mapping: &Mapping) -> Result<Self, TableError> {
        let encoding = match mapping.encoding.as_deref() {
            None => UTF_8,
            Some(label) => Encoding::for_label(label.as_bytes())
                .ok_or_else(|| TableError::Encoding(label.to_owned()))?,
        };
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .delimiter(mapping.delimiter)
            .from_reader(Decoded::new(source, encoding));
        let header = reader.headers().cloned();
        let header = header.map_err(|e| told(e, reader.get_ref()))?;
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
        match missing.is_empty() {
            true => Ok(Self { columns, reader }),
            false => Err(TableError::Columns(missing)),
        }
    }

    /// The next row with its line; the header is line 1.
    ///
    /// # Errors
    /// [`TableError`]; no row follows one.
    pub fn next_row(&mut self) -> Result<Option<(u64, csv::StringRecord)>, TableError> {
        let mut row = csv::StringRecord::new();
        let begins = self.reader.position().line();
        self.reader.get_mut().left = ROW_MAX;
        match self.reader.read_record(&mut row) {
            Err(_) if self.reader.get_ref().left == 0 => Err(TableError::Long(begins)),
            Ok(true) => Ok(Some((row.position().map_or(0, csv::Position::line), row))),
            Ok(false) => Ok(None),
            Err(e) => Err(told(e, self.reader.get_ref())),
        }
    }
}

/// What reading a table failed with: what the decoder found, if it did.
fn told<R>(error: csv::Error, source: &Decoded<R>) -> TableError {
    match source.broken {
        Some(line) => TableError::Bytes { line, encoding: source.name.to_owned() },
        None => TableError::Csv(error.to_string()),
    }
}

/// Largest row, bytes: what is read of one whose quote doesn't end.
const ROW_MAX: usize = 4 << 20;
/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// A source in UTF-8: by its byte order mark, else by the encoding given.
struct Decoded<R> {
    source: R,
    decoder: Decoder,
    name: &'static str,
    raw: Vec<u8>,
    /// What of `raw` isn't decoded yet.
    pending: std::ops::Range<usize>,
    text: Vec<u8>,
    given: usize,
    /// The source has ended.
    ended: bool,
    /// The end was decoded too.
    finished: bool,
    /// Line feeds so far.
    lines: usize,
    /// Line of the first bytes that the encoding doesn't have.
    broken: Option<usize>,
    /// Bytes that the present row may still have.
    left: usize,
}

impl<R: Read> Decoded<R> {
    fn new(source: R, encoding: &'static Encoding) -> Self {
        Self {
            source,
            decoder: encoding.new_decoder(),
            name: encoding.name(),
            raw: vec![0; CHUNK],
            pending: 0..0,
            text: Vec::new(),
            given: 0,
            ended: false,
            finished: false,
            lines: 0,
            broken: None,
            left: ROW_MAX,
        }
    }

    /// Decodes more of the source; stops at what the encoding doesn't have.
    fn fill(&mut self) -> io::Result<()> {
        self.given = 0;
        self.text.clear();
        if self.pending.is_empty() && !self.ended {
            let read = self.source.read(&mut self.raw)?;
            (self.pending, self.ended) = (0..read, read == 0);
        }
        let raw = self.raw.get(self.pending.clone()).unwrap_or_default();
        let room = self.decoder.max_utf8_buffer_length_without_replacement(raw.len());
        self.text.resize(room.unwrap_or(CHUNK * 3), 0);
        let (outcome, read, written) =
            self.decoder.decode_to_utf8_without_replacement(raw, &mut self.text, self.ended);
        self.pending.start += read;
        self.text.truncate(written);
        self.lines += self.text.iter().filter(|b| **b == b'\n').count();
        match outcome {
            DecoderResult::InputEmpty => self.finished = self.ended,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => {
                self.broken = Some(self.lines + 1);
                (self.name, self.finished) = (self.decoder.encoding().name(), true);
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() {
            if self.broken.is_some() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "bytes of another encoding",
                ));
            }
            if self.finished {
                return Ok(0);
            }
            self.fill()?;
        }
        if self.left == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a row doesn't end"));
        }
        let left = self.text.get(self.given..).unwrap_or_default();
        let count = left.len().min(into.len()).min(self.left);
        if let (Some(to), Some(from)) = (into.get_mut(..count), left.get(..count)) {
            to.copy_from_slice(from);
        }
        self.given += count;
        self.left -= count;
        Ok(count)
    }
}
