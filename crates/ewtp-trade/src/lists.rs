//! Code lists by edition. A list that is complete refuses what it doesn't know; the built-in excerpts only warn.

use std::collections::BTreeSet;

/// One list.
#[derive(Clone, Debug, Default)]
struct List {
    edition: String,
    complete: bool,
    codes: BTreeSet<String>,
}

/// What a list says of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// In the list.
    Yes,
    /// Not in a complete list.
    No,
    /// Not in an excerpt: nothing can be concluded.
    Unknown,
}

/// The lists that a filing is validated by.
#[derive(Clone, Debug)]
pub struct CodeLists {
    hs: List,
    units: List,
    packages: List,
    locodes: List,
}

/// Which list a file replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Harmonized System, six digits.
    Hs,
    /// UN/ECE Recommendation 20.
    Units,
    /// UN/ECE Recommendation 21.
    Packages,
    /// UN/LOCODE.
    Locodes,
}

/// Why a list file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Not CSV.
    #[error("line {line}: not CSV: {problem}")]
    Csv {
        /// Line.
        line: u64,
        /// Why.
        problem: String,
    },
    /// No column with codes.
    #[error("the header has no column called code, hscode or CommonCode")]
    Column,
    /// Nothing in it.
    #[error("the list is empty")]
    Empty,
}

/// Units that everyday trade uses (Recommendation 20).
const UNITS: &str = "KGM GRM MGM TNE H87 C62 EA NIU NPR PR DZN GRO SET LTR MLT HLT MTR CMT MMT KMT MTK CMK MTQ CMQ \
     KWH MWH CTM CEN MIL NCL P1 RO ST SX BX CT PK XBX XCT KT LEF FOT INH YRD LBR ONZ GLL PTI QTI FTK MGW GFI CCT";
/// Packages that everyday trade uses (Recommendation 21).
const PACKAGES: &str = "PK CT BX PX BG BA BE BL BN BO CA CN CO CR CS CY DR EN FR GB JR LV NE PA PE PC PL PP RL RO \
     SA SK SW TB TN TR TU VG VL VO VQ VR VY ZZ";

impl Default for CodeLists {
    /// Built-in excerpts: codes outside them are told as unknown, never refused.
    fn default() -> Self {
        let excerpt = |edition: &str, codes: &str| List {
            edition: edition.to_owned(),
            complete: false,
            codes: codes.split_whitespace().map(str::to_owned).collect(),
        };
        Self {
            hs: excerpt("none", ""),
            units: excerpt("rec20-excerpt", UNITS),
            packages: excerpt("rec21-excerpt", PACKAGES),
            locodes: excerpt("none", ""),
        }
    }
}

impl CodeLists {
    /// Replaces a list by a complete one read from CSV text with a header; the code stands in the column `hscode`,
    /// `CommonCode` or `code`. Of an HS list the six-digit codes count.
    ///
    /// # Errors
    /// [`ListError`]; the lists are then unchanged.
    pub fn load(&mut self, kind: ListKind, edition: &str, text: &str) -> Result<usize, ListError> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let csv_error = |e: csv::Error| ListError::Csv {
            line: e.position().map_or(0, csv::Position::line),
            problem: e.to_string(),
        };
        let names = ["hscode", "CommonCode", "code"];
        let header = reader.headers().map_err(csv_error)?;
        let column = header.iter().position(|h| names.contains(&h)).ok_or(ListError::Column)?;
        let mut codes = BTreeSet::new();
        for row in reader.records() {
            let row = row.map_err(csv_error)?;
            let code = row.get(column).unwrap_or_default().trim();
            if !code.is_empty() && (kind != ListKind::Hs || code.len() == 6) {
                codes.insert(code.to_owned());
            }
        }
        if codes.is_empty() {
            return Err(ListError::Empty);
        }
        let count = codes.len();
        *self.list_mut(kind) = List { edition: edition.to_owned(), complete: true, codes };
        Ok(count)
    }

    fn list_mut(&mut self, kind: ListKind) -> &mut List {
        match kind {
            ListKind::Hs => &mut self.hs,
            ListKind::Units => &mut self.units,
            ListKind::Packages => &mut self.packages,
            ListKind::Locodes => &mut self.locodes,
        }
    }

    fn list(&self, kind: ListKind) -> &List {
        match kind {
            ListKind::Hs => &self.hs,
            ListKind::Units => &self.units,
            ListKind::Packages => &self.packages,
            ListKind::Locodes => &self.locodes,
        }
    }

    /// What a list says of a code.
    #[must_use]
    pub fn listed(&self, kind: ListKind, code: &str) -> Listed {
        let list = self.list(kind);
        match (list.codes.contains(code), list.complete) {
            (true, _) => Listed::Yes,
            (false, true) => Listed::No,
            (false, false) => Listed::Unknown,
        }
    }

    /// Edition of a list, as decisions and filings name it.
    #[must_use]
    pub fn edition(&self, kind: ListKind) -> &str {
        &self.list(kind).edition
    }

    /// `hs=…`, `units=…` … as part `internal` holds them.
    #[must_use]
    pub fn editions(&self) -> Vec<String> {
        let named = [
            ("hs", ListKind::Hs),
            ("units", ListKind::Units),
            ("packages", ListKind::Packages),
            ("locodes", ListKind::Locodes),
        ];
        named.iter().map(|(name, kind)| format!("{name}={}", self.edition(*kind))).collect()
    }
}
