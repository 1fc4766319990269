//! Makes `crates/ewtp-formats/src/ceb/messages.txt`, the table that CEB messages are validated and ordered by, from the XML schemas
//! that China Customs announced (`$EWTP_CORPUS/data/china-ceb`): what both editions have, in one.

use std::fmt::Write as _;
use std::path::Path;

use roxmltree::{Document, Node};

use crate::cds_schema::child;

const HEADER: &str = "\
# Messages of China's cross-border e-commerce system (GACC announcement 2018 No. 113; edition of May 2022): names, order, occurrence and
# lengths of their elements, which whoever exchanges them needs. Both editions in one: what either allows.
# Made by `cargo xtask ceb-schema`.
#
# message direction / element occurrence: leaf (? may be absent) = characters (one number: exactly; ~ white space is collapsed),
# d decimal of 19 digits with 5 behind the point, i whole number of so many digits, x anything
";

/// An element with leaves.
#[derive(Clone, Default)]
struct Group {
    name: String,
    min: u32,
    /// 0 without bound.
    max: u32,
    leaves: Vec<Leaf>,
    groups: Vec<Group>,
}

#[derive(Clone)]
struct Leaf {
    name: String,
    optional: bool,
    holds: Holds,
}

#[derive(Clone, Copy)]
enum Holds {
    /// Shortest, longest (0 without bound), and whether white space is collapsed.
    Text(u32, u32, bool),
    Decimal,
    /// Most digits.
    Whole(u32),
    Anything,
}

fn number(text: Option<&str>, otherwise: u32) -> u32 {
    text.and_then(|t| t.parse().ok()).unwrap_or(otherwise)
}

fn holds(element: Node<'_, '_>) -> Result<Holds, String> {
    let Some(simple) = child(element, "simpleType") else {
        return match element.attribute("type") {
            Some("xs:int") => Ok(Holds::Whole(10)),
            Some("ceb:XMLElement") => Ok(Holds::Anything),
            other => Err(format!("type {other:?} is not known here")),
        };
    };
    let restriction = child(simple, "restriction").ok_or("no restriction")?;
    let facet = |name: &str| child(restriction, name).and_then(|f| f.attribute("value"));
    match restriction.attribute("base") {
        Some("xs:decimal") if facet("totalDigits") == Some("19") => Ok(Holds::Decimal),
        Some("xs:int") => Ok(Holds::Whole(number(facet("totalDigits"), 10))),
        Some("xs:string") => {
            let exact = facet("length");
            let min = number(exact.or(facet("minLength")), 0);
            let max = number(exact.or(facet("maxLength")), 0);
            Ok(Holds::Text(min, max, facet("whiteSpace") == Some("collapse")))
        }
        other => Err(format!("base {other:?} is not known here")),
    }
}

fn group(root: Node<'_, '_>, element: Node<'_, '_>) -> Result<Group, String> {
    let (min, max) = occurrence(element);
    let of = match element.attribute("ref") {
        Some(name) => global(root, name.trim_start_matches("ceb:"))?,
        None => element,
    };
    let name = of.attribute("name").ok_or("an element without a name")?.to_owned();
    let sequence = child(of, "complexType").and_then(|c| child(c, "sequence"));
    let mut out = Group { name, min, max, ..Group::default() };
    for one in sequence.into_iter().flat_map(|s| s.children()).filter(Node::is_element) {
        if one.attribute("ref").is_some_and(|r| r.starts_with("ds:")) {
            continue;
        }
        let of = match one.attribute("ref") {
            Some(name) => global(root, name.trim_start_matches("ceb:"))?,
            None => one,
        };
        match child(of, "complexType") {
            Some(_) => out.groups.push(group(root, one)?),
            None => out.leaves.push(Leaf {
                name: of.attribute("name").unwrap_or_default().to_owned(),
                optional: one.attribute("minOccurs") == Some("0"),
                holds: holds(of).map_err(|e| format!("{}: {e}", out.name))?,
            }),
        }
    }
    Ok(out)
}

fn occurrence(element: Node<'_, '_>) -> (u32, u32) {
    let max = match element.attribute("maxOccurs") {
        Some("unbounded") => 0,
        max => number(max, 1),
    };
    (number(element.attribute("minOccurs"), 1), max)
}

fn global<'a, 'i>(root: Node<'a, 'i>, name: &str) -> Result<Node<'a, 'i>, String> {
    let found = root.children().find(|n| n.attribute("name") == Some(name));
    found.ok_or_else(|| format!("no element {name}"))
}

/// What either allows.
fn united(old: Group, new: Group) -> Group {
    let max = if old.max == 0 || new.max == 0 { 0 } else { old.max.max(new.max) };
    let mut out = Group {
        name: new.name,
        min: old.min.min(new.min),
        max,
        leaves: new.leaves,
        groups: Vec::new(),
    };
    for leaf in &mut out.leaves {
        match old.leaves.iter().find(|l| l.name == leaf.name) {
            None => leaf.optional = true,
            Some(before) => {
                leaf.optional |= before.optional;
                leaf.holds = wider(before.holds, leaf.holds);
            }
        }
    }
    for (at, leaf) in old.leaves.iter().enumerate() {
        if !out.leaves.iter().any(|l| l.name == leaf.name) {
            let before = old.leaves.get(at.wrapping_sub(1)).map(|l| l.name.clone());
            let place = out.leaves.iter().position(|l| Some(&l.name) == before.as_ref());
            out.leaves.insert(place.map_or(0, |p| p + 1), Leaf { optional: true, ..leaf.clone() });
        }
    }
    for one in new.groups {
        let before = old.groups.iter().find(|g| g.name == one.name).cloned();
        out.groups.push(
            before.map_or_else(|| Group { min: 0, ..one.clone() }, |b| united(b, one.clone())),
        );
    }
    out
}

fn wider(old: Holds, new: Holds) -> Holds {
    match (old, new) {
        (Holds::Text(a, b, c), Holds::Text(d, e, f)) => {
            Holds::Text(a.min(d), if b == 0 || e == 0 { 0 } else { b.max(e) }, c || f)
        }
        (Holds::Whole(a), Holds::Whole(b)) => Holds::Whole(a.max(b)),
        (_, new) => new,
    }
}

fn messages(path: &Path) -> Result<Vec<Group>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let document =
        Document::parse(text.trim_start_matches('\u{feff}')).map_err(|e| e.to_string())?;
    let root = document.root_element();
    let is_message = |n: &Node<'_, '_>| n.attribute("name").is_some_and(|n| n.starts_with("CEB"));
    root.children().filter(is_message).map(|n| group(root, n)).collect()
}

fn write(out: &mut String, group: &Group, depth: usize) {
    let max = if group.max == 0 { "*".to_owned() } else { group.max.to_string() };
    let _ = write!(out, "{:1$}{2} {3}-{max}:", "", depth, group.name, group.min);
    for leaf in &group.leaves {
        let optional = if leaf.optional { "?" } else { "" };
        let holds = match leaf.holds {
            Holds::Text(min, max, collapsed) => {
                let max = if max == 0 { "*".to_owned() } else { max.to_string() };
                let chars = if min.to_string() == max { max } else { format!("{min}-{max}") };
                format!("{chars}{}", if collapsed { "~" } else { "" })
            }
            Holds::Decimal => "d".into(),
            Holds::Whole(digits) => format!("i{digits}"),
            Holds::Anything => "x".into(),
        };
        let _ = write!(out, " {}{optional}={holds}", leaf.name);
    }
    out.push('\n');
    for one in &group.groups {
        write(out, one, depth + 1);
    }
}

/// Writes the table.
///
/// # Errors
/// What the schemas say that the table can't, and files that are not there.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let schemas = crate::corpus(root).join("data/china-ceb/schemas");
    let mut out = HEADER.to_owned();
    for direction in ["import", "export"] {
        let of = |edition: &str| messages(&schemas.join(edition).join(format!("{direction}.xsd")));
        let old = of("2018-113")?;
        for new in of("202205")? {
            let before = old.iter().find(|g| g.name == new.name).cloned();
            let one = before.map_or_else(|| new.clone(), |before| united(before, new.clone()));
            let _ = writeln!(out, "{} {direction}", one.name.trim_end_matches("Message"));
            for group in &one.groups {
                write(&mut out, group, 1);
            }
        }
    }
    let path = root.join("crates/ewtp-formats/src/ceb/messages.txt");
    std::fs::write(&path, out).map_err(|e| format!("{}: {e}", path.display()))
}
