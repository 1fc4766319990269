//! A document as its leaves: each with its place, in the order of the schema. From them the document is written again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::document::INSTANT;
use super::schema::{NodeId, SCHEMA};

/// Where a leaf stands below the envelope: which child by the schema, and which one of several, from 0. Places sort as the schema
/// orders them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) steps: Vec<(usize, usize)>,
    /// It is an attribute of what stands there.
    pub(crate) attribute: Option<String>,
}

/// Texts by their places. An element without content has an empty text.
pub(crate) type Leaves = BTreeMap<Place, String>;

impl Place {
    /// The place of a child.
    pub(crate) fn child(&self, position: usize, index: usize) -> Self {
        let mut steps = self.steps.clone();
        steps.push((position, index));
        Self { steps, attribute: None }
    }

    /// An attribute of what stands here.
    pub(crate) fn attribute(&self, name: &str) -> Self {
        Self { steps: self.steps.clone(), attribute: Some(name.to_owned()) }
    }

    /// Names and indexes of the steps.
    pub(crate) fn named(&self, root: NodeId) -> Vec<(&'static str, usize)> {
        let mut at = root;
        let mut out = Vec::with_capacity(self.steps.len());
        for (position, index) in &self.steps {
            let Some(id) = SCHEMA.node(at).children.get(*position) else { break };
            out.push((SCHEMA.node(*id).name, *index));
            at = *id;
        }
        out
    }

    /// As people and carried elements have it: below `Declaration`, places from 1 where there may be several; the envelope's
    /// elements behind `../`.
    pub(crate) fn path(&self, root: NodeId) -> String {
        let mut at = root;
        let mut words = Vec::new();
        for (position, index) in &self.steps {
            let Some(id) = SCHEMA.node(at).children.get(*position) else { break };
            let node = SCHEMA.node(*id);
            words.push(if node.max > 1 && node.name != "Response" {
                format!("{}[{}]", node.name, index + 1)
            } else {
                node.name.to_owned()
            });
            at = *id;
        }
        let in_content = words.first().is_some_and(|w| w == "Declaration" || w == "Response");
        let mut out = if in_content && words.len() > 1 {
            words.split_off(1).join("/")
        } else {
            format!("../{}", words.join("/"))
        };
        if let Some(name) = &self.attribute {
            let _ = write!(out, "@{name}");
        }
        out
    }

    /// Reads what [`Place::path`] wrote; `None` for what the schema has no place for.
    pub(crate) fn parse(path: &str, root: NodeId, content: &str) -> Option<Self> {
        let (path, attribute) = match path.split_once('@') {
            Some((path, name)) => (path, Some(name.to_owned())),
            None => (path, None),
        };
        let (mut at, mut steps) = (root, Vec::new());
        let below = match path.strip_prefix("../") {
            Some(envelope) => envelope,
            None => {
                let (position, id) = SCHEMA.child(root, content)?;
                steps.push((position, 0));
                at = id;
                path
            }
        };
        for word in below.split('/') {
            let (name, index) = match word.split_once('[') {
                Some((name, place)) => {
                    (name, place.strip_suffix(']')?.parse::<usize>().ok()?.checked_sub(1)?)
                }
                None => (word, 0),
            };
            let (position, id) = SCHEMA.child(at, name)?;
            if index as u64 >= u64::from(SCHEMA.node(id).max) {
                return None;
            }
            steps.push((position, index));
            at = id;
        }
        // A name that the schema doesn't have could be anything, an element's end included.
        if attribute.as_ref().is_some_and(|name| !SCHEMA.node(at).has_attribute(name)) {
            return None;
        }
        Some(Self { steps, attribute })
    }
}

/// The namespaces of a document: of its envelope, of its content, of the instants in it.
pub(crate) struct Namespaces {
    pub(crate) envelope: &'static str,
    pub(crate) content: &'static str,
    pub(crate) instants: &'static str,
}

/// Writes a document: one element a line, the envelope's elements with prefix `md`.
pub(crate) fn to_xml(leaves: &Leaves, root: NodeId, namespaces: &Namespaces) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<md:MetaData xmlns:md=\"{}\">", namespaces.envelope);
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut entries = leaves.iter().peekable();
    while let Some((place, text)) = entries.next() {
        if place.attribute.is_some() {
            continue;
        }
        let named = place.named(root);
        let common = open.iter().zip(&place.steps).take_while(|(a, b)| a == b).count();
        close(&mut out, &mut open, common, root);
        for depth in common..place.steps.len() {
            let name = tag(&named, depth);
            let _ = write!(out, "{:1$}<{name}", "", (depth + 1) * 2);
            let namespace = match depth {
                0 if named.len() > 1 => Some(namespaces.content),
                _ => (name == INSTANT).then_some(namespaces.instants),
            };
            if let Some(namespace) = namespace {
                let _ = write!(out, " xmlns=\"{namespace}\"");
            }
            if depth + 1 < place.steps.len() {
                out.push_str(">\n");
                open.extend(place.steps.get(depth));
                continue;
            }
            while let Some((at, value)) = entries.next_if(|(at, _)| at.steps == place.steps) {
                let attribute = at.attribute.as_deref().unwrap_or_default();
                let _ = write!(out, " {attribute}=\"{}\"", escaped(value, true));
            }
            match text.is_empty() {
                true => out.push_str("/>\n"),
                false => drop(writeln!(out, ">{}</{name}>", escaped(text, false))),
            }
        }
    }
    close(&mut out, &mut open, 0, root);
    out.push_str("</md:MetaData>\n");
    out
}

fn tag(named: &[(&'static str, usize)], depth: usize) -> String {
    let name = named.get(depth).map_or("", |(name, _)| *name);
    match depth == 0 && name != "Declaration" && name != "Response" {
        true => format!("md:{name}"),
        false => name.to_owned(),
    }
}

fn close(out: &mut String, open: &mut Vec<(usize, usize)>, keep: usize, root: NodeId) {
    while open.len() > keep {
        let steps = open.clone();
        let named = Place { steps, attribute: None }.named(root);
        let _ = writeln!(out, "{:1$}</{2}>", "", open.len() * 2, tag(&named, open.len() - 1));
        open.pop();
    }
}

fn escaped(text: &str, attribute: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if attribute => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' if attribute => out.push_str("&#10;"),
            '\t' if attribute => out.push_str("&#9;"),
            c => out.push(c),
        }
    }
    out
}
