//! A document as its leaves: each with its place, in the order of the schema. From them the document is written again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use smallvec::SmallVec;

use super::document::{ENVELOPE, INSTANT, Namespaces};
use super::schema::{NodeId, SCHEMA};
use crate::xml::escaped;

/// Which child by the schema, and which one of several, from 0. Hardly a place is deeper than this.
pub(crate) type Steps = SmallVec<[(usize, usize); 8]>;

/// Which children, whichever one of several.
pub(crate) type Positions = SmallVec<[usize; 8]>;

/// Where a leaf stands below the envelope: which child by the schema, and which one of several, from 0. Places sort as the schema
/// orders them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) steps: Steps,
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

    /// The nodes of the schema that its steps lead through.
    pub(crate) fn nodes(&self, root: NodeId) -> SmallVec<[NodeId; 8]> {
        let mut at = root;
        let step = |(position, _): &(usize, usize)| {
            at = *SCHEMA.node(at).children.get(*position)?;
            Some(at)
        };
        self.steps.iter().map_while(step).collect()
    }

    /// Which children its steps are, whichever one of several.
    pub(crate) fn positions(&self) -> Positions {
        self.steps.iter().map(|(position, _)| *position).collect()
    }

    /// The place of the element at a depth on the way here.
    pub(crate) fn up_to(&self, depth: usize) -> Self {
        let steps = self.steps.get(..=depth).unwrap_or(&self.steps).into();
        Self { steps, attribute: None }
    }

    /// As people and carried elements have it: below `Declaration`, places from 1 where there may be several; the envelope's
    /// elements behind `../`.
    pub(crate) fn path(&self, root: NodeId) -> String {
        let content = SCHEMA.content(root);
        let nodes = self.nodes(root);
        let word = |(id, (_, index)): (&NodeId, &(usize, usize))| {
            let node = SCHEMA.node(*id);
            match node.max > 1 && Some(*id) != content {
                true => format!("{}[{}]", node.name, index + 1),
                false => node.name.to_owned(),
            }
        };
        let words: Vec<String> = nodes.iter().zip(&self.steps).map(word).collect();
        let mut out = match words.split_first() {
            Some((_, below)) if nodes.first().copied() == content && !below.is_empty() => {
                below.join("/")
            }
            _ => format!("../{}", words.join("/")),
        };
        if let Some(name) = &self.attribute {
            let _ = write!(out, "@{name}");
        }
        out
    }

    /// Reads what [`Place::path`] wrote; `None` for what the schema has no place for.
    pub(crate) fn parse(path: &str, root: NodeId) -> Option<Self> {
        let (path, attribute) = match path.split_once('@') {
            Some((path, name)) => (path, Some(name.to_owned())),
            None => (path, None),
        };
        let (mut at, mut steps) = (root, Steps::new());
        let below = match path.strip_prefix("../") {
            Some(envelope) => envelope,
            None => {
                at = SCHEMA.content(root)?;
                steps.push((SCHEMA.node(root).children.len() - 1, 0));
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

/// Writes a document: one element a line, the envelope's elements with prefix `md`.
pub(crate) fn to_xml(leaves: &Leaves, root: NodeId) -> String {
    let namespaces = Namespaces::of(root);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<md:MetaData xmlns:md=\"{ENVELOPE}\">");
    let mut open: Vec<((usize, usize), &'static str)> = Vec::new();
    let mut entries = leaves.iter().peekable();
    while let Some((place, text)) = entries.next() {
        if place.attribute.is_some() {
            continue;
        }
        let common = open.iter().zip(&place.steps).take_while(|((a, _), b)| a == *b).count();
        close(&mut out, &mut open, common);
        let nodes = place.nodes(root);
        for (depth, (id, step)) in nodes.iter().zip(&place.steps).enumerate().skip(common) {
            let (name, content) = (SCHEMA.node(*id).name, SCHEMA.content(root) == Some(*id));
            let prefix = if depth == 0 && !content { "md:" } else { "" };
            let _ = write!(out, "{:1$}<{prefix}{name}", "", (depth + 1) * 2);
            let instants = (name == INSTANT).then_some(namespaces.instants);
            if let Some(namespace) = content.then_some(namespaces.content).or(instants) {
                let _ = write!(out, " xmlns=\"{namespace}\"");
            }
            if depth + 1 < place.steps.len() {
                out.push_str(">\n");
                open.push((*step, name));
                continue;
            }
            while let Some((at, value)) = entries.next_if(|(at, _)| at.steps == place.steps) {
                let attribute = at.attribute.as_deref().unwrap_or_default();
                let _ = write!(out, " {attribute}=\"{}\"", escaped(value, true));
            }
            match text.is_empty() {
                true => out.push_str("/>\n"),
                false => drop(writeln!(out, ">{}</{prefix}{name}>", escaped(text, false))),
            }
        }
    }
    close(&mut out, &mut open, 0);
    out.push_str("</md:MetaData>\n");
    out
}

/// Ends what is open but for the outermost. The envelope's own elements are leaves: what is open has no prefix.
fn close(out: &mut String, open: &mut Vec<((usize, usize), &'static str)>, keep: usize) {
    while open.len() > keep {
        let depth = open.len() * 2;
        if let Some((_, name)) = open.pop() {
            let _ = writeln!(out, "{:1$}</{name}>", "", depth);
        }
    }
}
