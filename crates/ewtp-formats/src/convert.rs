//! One document as another: read into filings, written from them, with everything that got lost on the way.

mod forms;
mod json;

use std::collections::BTreeSet;
use std::io;

use ewtp_proto::v1;

use crate::cds::CdsError;
use crate::ceb::{CebError, Contradiction, Message};
use crate::mapping::{Mapping, RowError};
use crate::table::TableError;

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
    /// A filing that no message can say.
    #[error("filing {lrn}: {error}")]
    Unsaid {
        /// Its local reference.
        lrn: String,
        /// Why.
        error: CebError,
    },
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
    /// A format of somebody's own.
    #[error("{format}: {problem}")]
    Other {
        /// Its name.
        format: String,
        /// What is wrong, where, and what is allowed.
        problem: String,
    },
    /// The source gave no more.
    #[error("it can't be read: {0}")]
    Source(String),
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
    /// Messages of CEB that make no filing, such as receipts.
    pub messages: Vec<Message>,
    /// Where messages of one parcel contradict each other, by its local reference.
    pub contradictions: Vec<(String, Contradiction)>,
}

impl Read {
    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.filings.is_empty() && self.rejects.is_empty() && self.messages.is_empty()
    }

    /// Takes in what another document held.
    pub fn add(&mut self, other: Self) {
        self.filings.extend(other.filings);
        self.rejects.extend(other.rejects);
        self.lost.extend(other.lost);
        self.messages.extend(other.messages);
        self.contradictions.extend(other.contradictions);
    }
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

/// What a source holds, piece by piece.
pub type Pieces<'a> = Box<dyn Iterator<Item = Result<Read, ConvertError>> + 'a>;

/// Most filings of a piece.
const PIECE: usize = 1000;
/// Bytes of a source behind which a piece ends.
const PIECE_BYTES: usize = 16 << 20;

/// Pieces of a source that is read record by record: `next` adds one and says how many bytes it had. What precedes a fault is a
/// piece of its own.
fn pieces<'a>(
    mut next: impl FnMut(&mut Read) -> Result<Option<usize>, ConvertError> + 'a,
) -> Pieces<'a> {
    let (mut ended, mut fault) = (false, None);
    Box::new(std::iter::from_fn(move || {
        let (mut out, mut records, mut bytes) = (Read::default(), 0, 0);
        while !ended && records < PIECE && bytes < PIECE_BYTES {
            match next(&mut out) {
                Ok(Some(length)) => (records, bytes) = (records + 1, bytes + length),
                Ok(None) => ended = true,
                Err(error) => (ended, fault) = (true, Some(error)),
            }
        }
        match out.is_empty() {
            false => Some(Ok(out)),
            true => fault.take().map(Err),
        }
    }))
}

/// Puts pieces together.
fn together(pieces: Pieces<'_>) -> Result<Read, ConvertError> {
    let mut all = Read::default();
    for piece in pieces {
        all.add(piece?);
    }
    Ok(all)
}

/// A form of documents: what each form here is, and what an agency's own one is (docs/add-a-format.md).
pub trait Format {
    /// Its name, as people call it.
    fn name(&self) -> &str;

    /// Ending of its files.
    fn extension(&self) -> &str;

    /// Whether a document has one root, so that a second one can't follow it in a file; those of other forms follow each other.
    fn one_root(&self) -> bool {
        false
    }

    /// Most bytes of a document; a larger one needs not be read to be refused.
    fn bytes_max(&self) -> Option<usize> {
        None
    }

    /// Whether several documents may make one filing: then all are read before [`Format::join`].
    fn joins(&self) -> bool {
        false
    }

    /// Whether several filings may stand in one document: then a source is read whole before it is written.
    fn groups(&self) -> bool {
        false
    }

    /// Reads a document, every fault with its place and what is allowed.
    ///
    /// # Errors
    /// [`ConvertError`]; single filings are rejects instead.
    fn read(&self, bytes: &[u8]) -> Result<Read, ConvertError>;

    /// Reads a source piece by piece, so that what stands in memory doesn't grow with it. A form that is read whole has one piece;
    /// nothing follows an error.
    fn pieces<'a>(&'a self, source: Box<dyn io::Read + 'a>) -> Pieces<'a> {
        let most = self.bytes_max().map_or(u64::MAX, |most| most as u64 + 1);
        Box::new(std::iter::once_with(move || {
            let mut bytes = Vec::new();
            let read = io::Read::read_to_end(&mut io::Read::take(source, most), &mut bytes);
            read.map_err(|e| ConvertError::Source(e.to_string()))?;
            self.read(&bytes)
        }))
    }

    /// Makes filings of what was read of several documents.
    ///
    /// # Errors
    /// [`ConvertError`].
    fn join(&self, read: Read) -> Result<Read, ConvertError> {
        Ok(read)
    }

    /// What stands once at the beginning of a file, however many documents follow in it: the names of columns.
    ///
    /// # Errors
    /// [`ConvertError`].
    fn head(&self) -> Result<String, ConvertError> {
        Ok(String::new())
    }

    /// Writes what was read, with everything that it has no place for.
    ///
    /// # Errors
    /// [`ConvertError`] for all of it; single filings are refused instead.
    fn write(&self, read: &Read) -> Result<Written, ConvertError>;
}

impl Form {
    /// The form's format; tables need their mapping.
    #[must_use]
    pub fn format(self, mapping: Option<&Mapping>) -> Box<dyn Format + '_> {
        match self {
            Self::Cds => Box::new(forms::Cds),
            Self::Ceb => Box::new(forms::Ceb),
            Self::Csv => Box::new(forms::Csv(mapping)),
            Self::Json => Box::new(json::Json),
        }
    }
}

/// Reads a document.
///
/// # Errors
/// [`ConvertError`]; single rows of a table are rejects instead.
pub fn read(form: Form, bytes: &[u8], mapping: Option<&Mapping>) -> Result<Read, ConvertError> {
    let format = form.format(mapping);
    whole(format.join(format.read(bytes)?)?)
}

/// What was read, unless it is nothing.
///
/// # Errors
/// [`ConvertError::Empty`].
pub fn whole(read: Read) -> Result<Read, ConvertError> {
    match read.is_empty() {
        true => Err(ConvertError::Empty),
        false => Ok(read),
    }
}

/// Writes what was read, each document as a whole.
///
/// # Errors
/// [`ConvertError`] for all of it; single filings are refused instead.
pub fn write(form: Form, read: &Read, mapping: Option<&Mapping>) -> Result<Written, ConvertError> {
    let format = form.format(mapping);
    let mut written = format.write(read)?;
    let head = format.head()?;
    written.documents.iter_mut().for_each(|(_, text)| text.insert_str(0, &head));
    Ok(written)
}
