//! The text form that receipts and evidence share (formats.md section 14): a first line, `word value` lines, sections that
//! begin with `# title`, and `# end`.

/// Longest file read, bytes.
pub const FILE_BYTES_MAX: usize = 256 << 20;

/// A file taken apart.
pub(crate) struct Sections<'a> {
    /// Lines between the first line and the first section.
    pub(crate) preamble: Vec<&'a str>,
    /// Titles and bodies, each body with its final LF.
    pub(crate) sections: Vec<(&'a str, &'a str)>,
}

/// Takes a file apart; what is wrong otherwise.
pub(crate) fn split<'a>(text: &'a str, first_line: &str) -> Result<Sections<'a>, &'static str> {
    if text.len() > FILE_BYTES_MAX {
        return Err("longer than 256 MiB");
    }
    if text.contains('\r') {
        return Err("a carriage return");
    }
    let rest = text.strip_prefix(first_line).and_then(|t| t.strip_prefix('\n'));
    let rest = rest.ok_or("the first line")?;
    // The last section keeps the LF before the end line.
    let body = rest.strip_suffix("# end\n").filter(|b| b.ends_with('\n')).ok_or("the last line")?;
    let start = if body.starts_with("# ") { 0 } else { body.find("\n# ").ok_or("no section")? + 1 };
    let (preamble, mut rest) = body.split_at(start);
    let mut sections = Vec::new();
    while let Some(section) = rest.strip_prefix("# ") {
        let end = section.find("\n# ").map_or(section.len(), |at| at + 1);
        let (section, next) = section.split_at(end);
        sections.push(section.split_once('\n').ok_or("a section without a title line")?);
        rest = next;
    }
    Ok(Sections { preamble: preamble.lines().collect(), sections })
}
