//! What a document looks like before it is parsed: an XML parser compares each attribute and each namespace with all others of its element,
//! so that a document of a few megabytes could keep it busy for hours. No declaration comes near these bounds.

use memchr::memchr;

/// Most attributes of an element, namespace declarations included.
const ATTRIBUTES_MAX: usize = 64;
/// Deepest element.
const DEPTH_MAX: usize = 64;
/// Most namespace declarations that hold at one element.
const IN_SCOPE_MAX: usize = 32;
/// Most namespace declarations of a document: its instants have one each.
const NAMESPACES_MAX: usize = 10_000;

/// Byte and reason of the first thing that is out of bounds. What is not well-formed is left to the parser.
pub(crate) fn out_of_bounds(text: &str) -> Option<(usize, String)> {
    let (mut at, mut namespaces) = (0, 0);
    // Namespaces that each open element declares, and their sum.
    let mut open: Vec<usize> = Vec::new();
    let mut held = 0;
    while let Some(found) = memchr(b'<', text.as_bytes().get(at..)?) {
        let start = at + found;
        let tag = text.get(start..)?;
        let unfinished = || Some((start, "a tag or comment doesn't end".to_owned()));
        let skipped = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")];
        let special = matches!(tag.as_bytes().get(1), Some(b'!' | b'?'));
        let skipped = skipped.iter().find(|(begin, _)| special && tag.starts_with(begin));
        if let Some((begin, end)) = skipped {
            // Behind its beginning: `<!-->` is no comment yet.
            let Some(length) = tag.get(begin.len()..).and_then(|t| t.find(end)) else {
                return unfinished();
            };
            at = start + begin.len() + length + end.len();
            continue;
        }
        let Some((length, attributes)) = measure(tag) else { return unfinished() };
        let inside = tag.get(..length)?;
        let declared = if attributes == 0 { 0 } else { inside.matches("xmlns").count() };
        namespaces += declared;
        if held + declared > IN_SCOPE_MAX {
            return Some((
                start,
                format!("more than {IN_SCOPE_MAX} namespaces hold at one element"),
            ));
        }
        if attributes > ATTRIBUTES_MAX {
            return Some((start, format!("an element has more than {ATTRIBUTES_MAX} attributes")));
        }
        if namespaces > NAMESPACES_MAX {
            return Some((start, format!("more than {NAMESPACES_MAX} namespaces are declared")));
        }
        match (inside.starts_with("</"), inside.ends_with("/>")) {
            (true, _) => held -= open.pop().unwrap_or(0),
            (false, false) => {
                open.push(declared);
                held += declared;
            }
            (false, true) => {}
        }
        if open.len() > DEPTH_MAX {
            return Some((start, format!("elements are nested deeper than {DEPTH_MAX}")));
        }
        at = start + length;
    }
    None
}

/// Length of a tag and its number of attributes; `None` if it doesn't end.
fn measure(tag: &str) -> Option<(usize, usize)> {
    let (mut quote, mut attributes) = (None, 0);
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'=') => attributes += 1,
            (None, b'>') => return Some((at + 1, attributes)),
            (None, _) => {}
        }
    }
    None
}
