//! A document as its leaves: each with its place, in the order of the schema. From them the document is written again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroU32;

use super::document::{ENVELOPE, INSTANT, Namespaces};
use super::schema::{Attribute, NodeId, SCHEMA};
use crate::xml::escaped;

/// Deepest step: a notification quotes a whole declaration. Reading the schema's table asserts it in debug builds.
pub(crate) const DEPTH_MAX: usize = 9;

/// A step: which child by the schema, and which one of several, from 0. They stand in one number, so that places are compared fast;
/// a document has fewer bytes than the 24 bits of the second can count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Step(NonZeroU32);

impl Step {
    const INDEX_BITS: u32 = 24;
    pub(crate) const INDEX_MAX: usize = (1 << Self::INDEX_BITS) - 1;

    fn new(position: u8, index: usize) -> Self {
        let index = u32::try_from(index.min(Self::INDEX_MAX)).unwrap_or_default();
        let both = (u32::from(position) << Self::INDEX_BITS) | index;
        Self(NonZeroU32::MIN.saturating_add(both))
    }

    pub(crate) fn position(self) -> u8 {
        ((self.0.get() - 1) >> Self::INDEX_BITS) as u8
    }

    pub(crate) fn index(self) -> usize {
        (self.0.get() - 1) as usize & Self::INDEX_MAX
    }
}

/// Where a leaf stands below the envelope. Places sort as the schema orders them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    steps: [Option<Step>; DEPTH_MAX],
    /// It is an attribute of what stands there.
    attribute: Option<Attribute>,
}

/// Texts by their places. An element without content has an empty text.
pub(crate) type Leaves = BTreeMap<Place, String>;

impl Place {
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step> {
        self.steps.iter().map_while(|step| *step)
    }

    /// How many steps both have in common.
    pub(crate) fn common(&self, other: &Self) -> usize {
        self.steps().zip(other.steps()).take_while(|(a, b)| a == b).count()
    }

    pub(crate) fn is_attribute(&self) -> bool {
        self.attribute.is_some()
    }

    /// The place of a child.
    pub(crate) fn child(&self, position: u8, index: usize) -> Self {
        let mut steps = self.steps;
        if let Some(free) = steps.iter_mut().find(|s| s.is_none()) {
            *free = Some(Step::new(position, index));
        }
        Self { steps, attribute: None }
    }

    /// An attribute of what stands here.
    pub(crate) fn with(&self, attribute: Attribute) -> Self {
        Self { steps: self.steps, attribute: Some(attribute) }
    }

    /// The nodes of the schema that its steps lead through.
    pub(crate) fn nodes(&self, root: NodeId) -> impl Iterator<Item = NodeId> {
        let mut at = root;
        self.steps().map_while(move |step| {
            at = *SCHEMA.node(at).children.get(usize::from(step.position()))?;
            Some(at)
        })
    }

    /// The place of the element at a depth on the way here.
    pub(crate) fn up_to(&self, depth: usize) -> Self {
        let mut steps = self.steps;
        steps.iter_mut().skip(depth + 1).for_each(|s| *s = None);
        Self { steps, attribute: None }
    }

    /// The first of the several that this is one of.
    pub(crate) fn first(mut self) -> Self {
        if let Some(Some(last)) = self.steps.iter_mut().rfind(|s| s.is_some()) {
            *last = Step::new(last.position(), 0);
        }
        self
    }

    /// As people and carried elements have it: below `Declaration`, places from 1 where there may be several; the envelope's
    /// elements behind `../`.
    pub(crate) fn path(&self, root: NodeId) -> String {
        let content = SCHEMA.content(root);
        let word = |(id, step): (NodeId, Step)| {
            let node = SCHEMA.node(id);
            match node.max > 1 && Some(id) != content {
                true => format!("{}[{}]", node.name, step.index() + 1),
                false => node.name.to_owned(),
            }
        };
        let words: Vec<String> = self.nodes(root).zip(self.steps()).map(word).collect();
        let mut out = match words.split_first() {
            Some((_, below)) if self.nodes(root).next() == content && !below.is_empty() => {
                below.join("/")
            }
            _ => format!("../{}", words.join("/")),
        };
        if let Some(attribute) = self.attribute {
            let _ = write!(out, "@{}", attribute.name());
        }
        out
    }

    /// Reads what [`Place::path`] wrote; `None` for what the schema has no place for.
    pub(crate) fn parse(path: &str, root: NodeId) -> Option<Self> {
        let (path, attribute) = match path.split_once('@') {
            Some((path, name)) => (path, Some(name)),
            None => (path, None),
        };
        let (mut at, mut out) = (root, Self::default());
        let below = match path.strip_prefix("../") {
            Some(envelope) => envelope,
            None => {
                let content = SCHEMA.content(root)?;
                let (position, _) = SCHEMA.child(root, SCHEMA.node(content).name, 0)?;
                (at, out) = (content, out.child(position, 0));
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
            let (position, id) = SCHEMA.child(at, name, 0)?;
            if index as u64 >= u64::from(SCHEMA.node(id).max) || index > Step::INDEX_MAX {
                return None;
            }
            (at, out) = (id, out.child(position, index));
        }
        // A name that the schema doesn't have could be anything, an element's end included.
        match attribute {
            None => Some(out),
            Some(name) => {
                let known = Attribute::of(name).filter(|_| SCHEMA.node(at).has_attribute(name))?;
                Some(out.with(known))
            }
        }
    }
}

/// Writes a document: one element a line, the envelope's elements with prefix `md`.
pub(crate) fn to_xml(leaves: &Leaves, root: NodeId) -> String {
    let namespaces = Namespaces::of(root);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<md:MetaData xmlns:md=\"{ENVELOPE}\">");
    let mut open: Vec<(Step, &'static str)> = Vec::new();
    let mut entries = leaves.iter().peekable();
    while let Some((place, text)) = entries.next() {
        if place.attribute.is_some() {
            continue;
        }
        let common = open.iter().zip(place.steps()).take_while(|((a, _), b)| a == b).count();
        close(&mut out, &mut open, common);
        let deepest = place.steps().count();
        for (depth, (id, step)) in place.nodes(root).zip(place.steps()).enumerate().skip(common) {
            let (name, content) = (SCHEMA.node(id).name, SCHEMA.content(root) == Some(id));
            let prefix = if depth == 0 && !content { "md:" } else { "" };
            let _ = write!(out, "{:1$}<{prefix}{name}", "", (depth + 1) * 2);
            let instants = (name == INSTANT).then_some(namespaces.instants);
            if let Some(namespace) = content.then_some(namespaces.content).or(instants) {
                let _ = write!(out, " xmlns=\"{namespace}\"");
            }
            if depth + 1 < deepest {
                out.push_str(">\n");
                open.push((step, name));
                continue;
            }
            while let Some((at, value)) = entries.next_if(|(at, _)| at.steps == place.steps) {
                let attribute = at.attribute.map_or("", Attribute::name);
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
fn close(out: &mut String, open: &mut Vec<(Step, &'static str)>, keep: usize) {
    while open.len() > keep {
        let depth = open.len() * 2;
        if let Some((_, name)) = open.pop() {
            let _ = writeln!(out, "{:1$}</{name}>", "", depth);
        }
    }
}
