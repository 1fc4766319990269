//! Makes `crates/ewtp-formats/src/cds/schema.txt`, the table that CDS documents are validated and ordered by, from HMRC's XML
//! schemas (`$EWTP_CORPUS/data/hmrc-cds`): one line an element, in the order of the schema.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use roxmltree::{Document, Node};

const HEADER: &str = "\
# Elements of HMRC's CDS declarations (WCO_DEC_2_DMS.xsd 2.15) and notifications (WCO_RES_2_DMS.xsd 2.2), in their order.
# Made by `cargo xtask cds-schema` from hmrc/customs-declarations, public/api/conf/3.0/schemas, commit 3d058369.
#
# Derived from schemas that are Crown copyright, under the Apache License 2.0, and from the Unqualified Data Type schema module 6.1.1,
# Copyright (C) UN/CEFACT (2009). All Rights Reserved. UN/CEFACT's notice: \"This document and translations of it may be copied and
# furnished to others, and derivative works that comment on or otherwise explain it or assist in its implementation may be
# prepared, copied, published and distributed, in whole or in part, without restriction of any kind, provided that the above
# copyright notice and this paragraph are included on all such copies and derivative works.\"
#
# name, occurrence (1, ?, *, or min-max), type of a leaf, facets
";

/// Types by name, of one schema and what it imports.
type Types<'a, 'i> = BTreeMap<&'a str, Node<'a, 'i>>;

fn named<'a, 'i>(doc: &'a Document<'i>) -> Types<'a, 'i> {
    let types = doc
        .root_element()
        .children()
        .filter(|n| n.has_tag_name_local("complexType") || n.has_tag_name_local("simpleType"));
    types.filter_map(|n| Some((n.attribute("name")?, n))).collect()
}

trait LocalName {
    fn has_tag_name_local(&self, name: &str) -> bool;
}

impl LocalName for Node<'_, '_> {
    fn has_tag_name_local(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

/// The first child element of a name, in any namespace.
pub(crate) fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|n| n.has_tag_name_local(name))
}

fn occurrence(element: Node<'_, '_>) -> String {
    let min = element.attribute("minOccurs").unwrap_or("1");
    match (min, element.attribute("maxOccurs").unwrap_or("1")) {
        ("1", "1") => "1".into(),
        ("0", "1") => "?".into(),
        ("0", "unbounded") => "*".into(),
        (min, max) => format!("{min}-{max}"),
    }
}

/// Facets of a leaf as words.
fn facets(restriction: Node<'_, '_>) -> Result<String, String> {
    let mut out = String::new();
    let mut values = Vec::new();
    for facet in restriction.children().filter(Node::is_element) {
        let value = facet.attribute("value").unwrap_or_default();
        match (facet.tag_name().name(), value) {
            ("maxLength", n) => drop(write!(out, " max={n}")),
            ("length", n) => drop(write!(out, " len={n}")),
            ("totalDigits", n) => drop(write!(out, " digits={n}")),
            ("fractionDigits", n) => drop(write!(out, " fraction={n}")),
            ("pattern", r".*[^\s].*") => out.push_str(" filled"),
            ("pattern", "([0-9])*") => out.push_str(" numeric"),
            ("pattern", "([a-zA-Z])*") => out.push_str(" alphabetic"),
            ("enumeration", v) => values.push(v),
            (name, value) => return Err(format!("facet {name} {value:?} is not known here")),
        }
    }
    if !values.is_empty() {
        let _ = write!(out, " enum={}", values.join("|"));
    }
    Ok(out)
}

struct Schema<'a, 'i> {
    types: &'a Types<'a, 'i>,
    out: String,
}

impl Schema<'_, '_> {
    fn sequence(&mut self, complex: Node<'_, '_>, depth: usize) -> Result<(), String> {
        let Some(sequence) = child(complex, "sequence") else { return Ok(()) };
        for element in sequence.children().filter(|n| n.has_tag_name_local("element")) {
            // The declaration that a response may quote: as it stands in the declaration's own schema.
            let name = element.attribute("name").or_else(|| element.attribute("ref"));
            let name = name.ok_or("an element without a name")?;
            let _ = write!(self.out, "{:>1$}{name} {2}", "", depth * 2, occurrence(element));
            match (child(element, "complexType"), element.attribute("type")) {
                (Some(inner), _) => {
                    self.out.push('\n');
                    self.sequence(inner, depth + 1)?;
                }
                (None, Some(of)) => self.leaf(of, depth)?,
                (None, None) => self.out.push('\n'),
            }
        }
        Ok(())
    }

    fn leaf(&mut self, of: &str, depth: usize) -> Result<(), String> {
        let local = of.rsplit(':').next().unwrap_or(of);
        let Some(complex) = self.types.get(local) else {
            return Err(format!("type {of} is not in the data types"));
        };
        if let Some(choice) = child(*complex, "choice") {
            self.out.push('\n');
            for element in choice.children().filter(|n| n.has_tag_name_local("element")) {
                let name = element.attribute("name").ok_or("an element without a name")?;
                let _ = write!(self.out, "{:>1$}{name} 1", "", (depth + 1) * 2);
                let content = child(element, "complexType").and_then(|c| child(c, "simpleContent"));
                self.simple(content.ok_or(format!("{of}: no simple content"))?)?;
            }
            return Ok(());
        }
        self.simple(child(*complex, "simpleContent").unwrap_or(*complex))
    }

    fn simple(&mut self, content: Node<'_, '_>) -> Result<(), String> {
        let restriction = child(content, "restriction").ok_or("no restriction")?;
        let base = restriction.attribute("base").unwrap_or_default();
        let base = base.trim_start_matches("udt:").trim_end_matches("Type");
        let facets = facets(restriction)?;
        let _ = writeln!(self.out, " {base}{facets}");
        Ok(())
    }
}

fn tree(schema: &Path, data_types: &Path, root: &str) -> Result<String, String> {
    let read =
        |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    let (schema, data_types) = (read(schema)?, read(data_types)?);
    let schema = Document::parse(&schema).map_err(|e| e.to_string())?;
    let data_types = Document::parse(&data_types).map_err(|e| e.to_string())?;
    let types = named(&data_types);
    let mut out = Schema { types: &types, out: format!("{root} 1\n") };
    let global = schema
        .root_element()
        .children()
        .find(|n| n.has_tag_name_local("element") && n.attribute("name") == Some(root));
    let global = global.ok_or(format!("no element {root}"))?;
    let complex = match global.attribute("type") {
        Some(of) => *named(&schema).get(of).ok_or(format!("no type {of}"))?,
        None => child(global, "complexType").ok_or(format!("{root}: no type"))?,
    };
    out.sequence(complex, 1)?;
    Ok(out.out)
}

/// Writes the table.
///
/// # Errors
/// What the schemas say that the table can't, and files that are not there.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let wco = crate::corpus(root).join("data/hmrc-cds/schemas/wco");
    let declaration = tree(
        &wco.join("declaration/WCO_DEC_2_DMS.xsd"),
        &wco.join("declaration/WCO_DS/WCO_DEC_DS_2_DMS.xsd"),
        "Declaration",
    )?;
    let response = tree(
        &wco.join("notification/WCO_RES_2_DMS.xsd"),
        &wco.join("notification/WCO_DS/WCO_RES_DS_2_DMS.xsd"),
        "Response",
    )?;
    let path = root.join("crates/ewtp-formats/src/cds/schema.txt");
    std::fs::write(&path, format!("{HEADER}{declaration}{response}"))
        .map_err(|e| format!("{}: {e}", path.display()))
}
