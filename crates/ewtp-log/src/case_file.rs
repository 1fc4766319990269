//! Case files: the receipts of a whole case from all its hubs in one text (formats.md section 14).
//!
//! ```text
//! ewtp-case/v1   ## descriptors/DK.1.json …   ## receipts/DK-g1-4.ewtp-receipt …   ## end
//! ```
//!
//! It proves each statement in it and not that there are no others; trust comes from the verifier's own fingerprints.

use crate::sections::FILE_BYTES_MAX;

/// First line of the file.
const FIRST_LINE: &str = "ewtp-case/v1\n";

/// Why a case file was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a case file: {0}")]
pub struct CaseFileError(&'static str);

/// Files by name, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaseFile {
    /// Name and text of each.
    pub files: Vec<(String, String)>,
}

impl CaseFile {
    /// Writes the file. Every text ends with a line end, or one is added.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = FIRST_LINE.to_owned();
        for (name, text) in &self.files {
            out.push_str("## ");
            out.push_str(name);
            out.push('\n');
            out.push_str(text);
            if !text.ends_with('\n') {
                out.push('\n');
            }
        }
        out.push_str("## end\n");
        out
    }

    /// Takes a file apart.
    ///
    /// # Errors
    /// [`CaseFileError`].
    pub fn parse(text: &str) -> Result<Self, CaseFileError> {
        let fail = CaseFileError;
        if text.len() > FILE_BYTES_MAX {
            return Err(fail("longer than 256 MiB"));
        }
        let rest = text.strip_prefix(FIRST_LINE).ok_or(fail("the first line"))?;
        let mut rest = rest.strip_suffix("## end\n").ok_or(fail("the last line"))?;
        let mut files: Vec<(String, String)> = Vec::new();
        while !rest.is_empty() {
            let section = rest.strip_prefix("## ").ok_or(fail("text outside a file"))?;
            let end = section.find("\n## ").map_or(section.len(), |at| at + 1);
            let (section, next) = section.split_at(end);
            let (name, body) = section.split_once('\n').ok_or(fail("a file without a text"))?;
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-' | '_');
            if name.is_empty()
                || name.contains("..")
                || name.starts_with('/')
                || !name.chars().all(good)
            {
                return Err(fail("a file's name"));
            }
            if !body.ends_with('\n') || files.iter().any(|(n, _)| n == name) {
                return Err(fail("a file twice, or without a final line end"));
            }
            files.push((name.to_owned(), body.to_owned()));
            rest = next;
        }
        Ok(Self { files })
    }

    /// Envelopes of a hub's descriptors, by version.
    #[must_use]
    pub fn descriptors(&self, hub: &str) -> Vec<&str> {
        let prefix = format!("descriptors/{hub}.");
        let version = |name: &str| name.strip_prefix(&prefix)?.strip_suffix(".json")?.parse().ok();
        let mut found: Vec<(u64, &str)> =
            self.files.iter().filter_map(|(n, t)| Some((version(n)?, t.trim_end()))).collect();
        found.sort_unstable_by_key(|(v, _)| *v);
        found.into_iter().map(|(_, envelope)| envelope).collect()
    }

    /// Hubs whose descriptors are in it.
    #[must_use]
    pub fn hubs(&self) -> Vec<&str> {
        fn hub((name, _): &(String, String)) -> Option<&str> {
            name.strip_prefix("descriptors/")?.split('.').next()
        }
        let mut hubs: Vec<&str> = self.files.iter().filter_map(hub).collect();
        hubs.sort_unstable();
        hubs.dedup();
        hubs
    }

    /// Names and texts of the receipts in order.
    pub fn receipts(&self) -> impl Iterator<Item = (&str, &str)> {
        let receipts = self.files.iter().filter(|(n, _)| n.ends_with(".ewtp-receipt"));
        receipts.map(|(n, t)| (n.as_str(), t.as_str()))
    }
}
