//! A message as its leaves, read with every violation located, and written in the order of its kind.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use roxmltree::Node;

use super::CebError;
use super::fields::place_of;
use super::kinds::{Group, Kind, Leaf};
use crate::xml::{self, Violations, escaped};

const NAMESPACE: &str = "http://www.chinaport.gov.cn/ceb";
const SIGNATURES: &str = "http://www.w3.org/2000/09/xmldsig#";

/// Where a leaf stands in a record or an envelope: which group, which one of several, which leaf; each from 0.
pub(crate) type Place = (usize, usize, usize);

/// Texts by their places, in the order of the kind. An element without content has an empty text.
pub(crate) type Leaves = BTreeMap<Place, String>;

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    pub(crate) kind: &'static Kind,
    pub(crate) guid: String,
    pub(crate) version: String,
    pub(crate) records: Vec<Leaves>,
    pub(crate) envelope: Leaves,
    /// What a message holds that isn't kept: its signature, which holds for the whole document alone, and extensions.
    pub(crate) lost: Vec<&'static str>,
}

impl Message {
    /// Its kind, e.g. `CEB621`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind.name
    }

    /// How many records it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What it held that isn't kept.
    #[must_use]
    pub fn lost(&self) -> &[&'static str] {
        &self.lost
    }

    /// A leaf of a record by its name, the first of several; empty if it isn't there.
    #[must_use]
    pub fn text(&self, record: usize, name: &str) -> &str {
        self.records.get(record).map_or("", |leaves| text_at(self.kind, leaves, name))
    }
}

/// A leaf of a record by its name, the first of several; empty if it isn't there.
pub(crate) fn text_at<'a>(kind: &Kind, leaves: &'a Leaves, name: &str) -> &'a str {
    let groups = &kind.record.groups;
    let place = (0..groups.len()).find_map(|g| place_of(groups, g, 0, name));
    place.and_then(|p| leaves.get(&p)).map_or("", String::as_str)
}

/// Reads a message of any kind.
///
/// # Errors
/// [`CebError`], located.
pub fn read(bytes: &[u8]) -> Result<Message, CebError> {
    let text = xml::decoded(bytes)?;
    let text = text.trim_start_matches('\u{feff}');
    let document = xml::parse(text)?;
    let root = document.root_element();
    let name = root.tag_name();
    let kind = name.name().strip_suffix("Message").and_then(Kind::by_name);
    let Some(kind) = kind.filter(|_| name.namespace() == Some(NAMESPACE)) else {
        let namespace = name.namespace().unwrap_or("none").to_owned();
        return Err(CebError::Root { name: name.name().to_owned(), namespace });
    };
    let message = Message {
        kind,
        guid: String::new(),
        version: String::new(),
        records: Vec::new(),
        envelope: Leaves::new(),
        lost: Vec::new(),
    };
    let mut reader = Reader { message, violations: Violations::of(&document) };
    reader.attributes(root);
    reader.message(root);
    match reader.violations.found.is_empty() {
        true => Ok(reader.message),
        false => Err(CebError::Invalid(reader.violations.found)),
    }
}

struct Reader<'a, 'i> {
    message: Message,
    violations: Violations<'a, 'i>,
}

impl Reader<'_, '_> {
    fn attributes(&mut self, root: Node<'_, '_>) {
        for (name, (min, max)) in [("guid", (36, 36)), ("version", (1, 10))] {
            let value = root.attribute(name).unwrap_or_default();
            if !(min..=max).contains(&value.chars().count()) {
                let allowed = match min == max {
                    true => format!("{min} characters"),
                    false => format!("{min} to {max} characters"),
                };
                self.violations.add(root.range(), format!("@{name}"), value, allowed);
            }
        }
        self.message.guid = root.attribute("guid").unwrap_or_default().to_owned();
        self.message.version = root.attribute("version").unwrap_or_default().to_owned();
    }

    /// Records, then the envelope's groups, then a signature.
    fn message(&mut self, root: Node<'_, '_>) {
        let kind = self.message.kind;
        let mut counts = vec![0; kind.envelope.len()];
        let mut behind = false;
        let mut signatures = 0;
        for child in self.elements(root, kind.name) {
            let (name, namespace) = (child.tag_name().name(), child.tag_name().namespace());
            if (name, namespace) == ("Signature", Some(SIGNATURES)) && signatures == 0 {
                signatures += 1;
                self.message.lost.push("Signature, which holds for that document alone: sign anew");
                continue;
            }
            let ours = namespace == Some(NAMESPACE) && signatures == 0;
            if ours && name == kind.record.name && !behind {
                if self.message.records.len() >= kind.record.max {
                    let allowed = format!("at most {} of them", kind.record.max);
                    self.violations.add(child.range(), name.to_owned(), "", allowed);
                    return;
                }
                let leaves = self.record(child);
                self.message.records.push(leaves);
                continue;
            }
            let group = kind.envelope.iter().position(|g| ours && g.name == name);
            let last = counts.iter().rposition(|c| *c > 0).unwrap_or(0);
            match group.filter(|at| *at >= last) {
                Some(at) => {
                    behind = true;
                    let mut leaves = std::mem::take(&mut self.message.envelope);
                    self.group(child, &kind.envelope, at, &mut counts, &mut leaves, "");
                    self.message.envelope = leaves;
                }
                None => {
                    let names = kind.envelope.iter().map(|g| g.name);
                    let names: Vec<_> = std::iter::once(kind.record.name).chain(names).collect();
                    let allowed = format!("in this order: {}", names.join(", "));
                    self.violations.add(child.range(), name.to_owned(), "", allowed);
                }
            }
        }
        if self.message.records.is_empty() {
            let allowed = format!("{} is mandatory", kind.record.name);
            self.violations.add(root.range(), kind.record.name.to_owned(), "", allowed);
        }
        self.missing(root, &kind.envelope, &counts, "");
    }

    /// Own leaves, then groups.
    fn record(&mut self, element: Node<'_, '_>) -> Leaves {
        let record = &self.message.kind.record;
        let mut leaves = Leaves::new();
        let own = record.groups.first().filter(|g| !g.leaves.is_empty());
        if let Some(group) = own {
            self.leaves(element, group, (0, 0), &mut leaves, record.name);
            return leaves;
        }
        let mut counts = vec![0; record.groups.len()];
        if let Some(own) = counts.first_mut() {
            *own = 1;
        }
        for child in self.elements(element, record.name) {
            let name = child.tag_name().name();
            let at = record.groups.iter().position(|g| g.name == name);
            let last = counts.iter().rposition(|c| *c > 0).unwrap_or(0);
            let here = child.tag_name().namespace() == Some(NAMESPACE);
            match at.filter(|at| here && *at >= last) {
                Some(at) => {
                    self.group(child, &record.groups, at, &mut counts, &mut leaves, record.name);
                }
                None => {
                    let names: Vec<_> = record.groups.iter().skip(1).map(|g| g.name).collect();
                    let allowed = format!("in this order: {}", names.join(", "));
                    self.violations.add(
                        child.range(),
                        format!("{}/{name}", record.name),
                        "",
                        allowed,
                    );
                }
            }
        }
        self.missing(element, &record.groups, &counts, record.name);
        leaves
    }

    fn group(
        &mut self,
        element: Node<'_, '_>,
        groups: &'static [Group],
        at: usize,
        counts: &mut [usize],
        leaves: &mut Leaves,
        above: &str,
    ) {
        let (Some(group), Some(count)) = (groups.get(at), counts.get_mut(at)) else { return };
        *count += 1;
        let path = joined(above, group.name);
        if *count > group.max {
            let allowed = format!("at most {} of them", group.max);
            return self.violations.add(element.range(), path, "", allowed);
        }
        let index = *count - 1;
        self.leaves(element, group, (at, index), leaves, &path);
    }

    fn missing(&mut self, at: Node<'_, '_>, groups: &[Group], counts: &[usize], above: &str) {
        for (group, count) in groups.iter().zip(counts) {
            if *count < group.min {
                let path = joined(above, group.name);
                self.violations.add(at.range(), path, "", format!("{} is mandatory", group.name));
            }
        }
    }

    fn leaves(
        &mut self,
        element: Node<'_, '_>,
        group: &'static Group,
        (at, index): (usize, usize),
        leaves: &mut Leaves,
        path: &str,
    ) {
        let mut next = 0;
        for child in self.elements(element, path) {
            let name = child.tag_name().name();
            let here = child.tag_name().namespace() == Some(NAMESPACE);
            let found = group.leaves.iter().position(|l| here && l.name == name);
            let Some(position) = found.filter(|p| *p >= next) else {
                let allowed = match found {
                    Some(_) => "once, in the order of the schema".to_owned(),
                    None => {
                        let names: Vec<_> = group.leaves.iter().map(|l| l.name).collect();
                        format!("one of {}", names.join(", "))
                    }
                };
                self.violations.add(child.range(), format!("{path}/{name}"), "", allowed);
                continue;
            };
            self.skipped(element, group, next..position, path);
            next = position + 1;
            if let Some(leaf) = group.leaves.get(position) {
                let text = self.leaf(child, leaf, path);
                leaves.insert((at, index, position), text);
            }
        }
        self.skipped(element, group, next..group.leaves.len(), path);
    }

    /// Tells mandatory leaves that aren't there.
    fn skipped(&mut self, at: Node<'_, '_>, group: &Group, range: Range<usize>, path: &str) {
        for leaf in group.leaves.get(range).unwrap_or_default().iter().filter(|l| !l.optional) {
            let allowed = format!("{} is mandatory", leaf.name);
            self.violations.add(at.range(), format!("{path}/{}", leaf.name), "", allowed);
        }
    }

    fn leaf(&mut self, element: Node<'_, '_>, leaf: &Leaf, above: &str) -> String {
        if leaf.is_open() {
            if element.has_children() {
                self.message.lost.push("what ExtendMessage/Message holds");
            }
            return String::new();
        }
        let path = format!("{above}/{}", leaf.name);
        let mut text = String::new();
        for child in element.children() {
            text.push_str(child.text().filter(|_| child.is_text()).unwrap_or_default());
            if child.is_element() {
                self.violations.add(child.range(), path.clone(), "", "text, no elements".into());
            }
        }
        if let Some(attribute) = element.attributes().next() {
            let at = format!("{path}@{}", attribute.name());
            self.violations.add(
                attribute.range(),
                at,
                attribute.value(),
                "no such attribute".into(),
            );
        }
        let text = leaf.normalise(&text);
        if let Some(allowed) = leaf.refuses(&text) {
            self.violations.add(element.range(), path, &text, allowed);
        }
        text
    }

    /// The elements of an element that holds nothing else.
    fn elements<'b, 'j>(&mut self, element: Node<'b, 'j>, path: &str) -> Vec<Node<'b, 'j>> {
        for child in element.children().filter(Node::is_text) {
            let text = child.text().unwrap_or_default();
            if !text.trim().is_empty() {
                self.violations.add(
                    child.range(),
                    path.to_owned(),
                    text,
                    "elements, no text".into(),
                );
            }
        }
        element.children().filter(Node::is_element).collect()
    }
}

fn joined(above: &str, name: &str) -> String {
    match (above, name) {
        ("", name) => name.to_owned(),
        (above, "") => above.to_owned(),
        (above, name) => format!("{above}/{name}"),
    }
}

/// Writes a message.
///
/// # Errors
/// [`CebError::Invalid`] for what its kind doesn't allow.
pub fn write(message: &Message) -> Result<String, CebError> {
    let kind = message.kind;
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (guid, version) = (escaped(&message.guid, true), escaped(&message.version, true));
    let _ = writeln!(
        out,
        "<ceb:{}Message xmlns:ceb=\"{NAMESPACE}\" guid=\"{guid}\" version=\"{version}\">",
        kind.name
    );
    for record in &message.records {
        let _ = writeln!(out, "  <ceb:{}>", kind.record.name);
        groups(&mut out, &kind.record.groups, record, 4);
        let _ = writeln!(out, "  </ceb:{}>", kind.record.name);
    }
    groups(&mut out, &kind.envelope, &message.envelope, 2);
    let _ = writeln!(out, "</ceb:{}Message>", kind.name);
    if !xml::is_xml(&out) {
        return Err(CebError::Fields("a text has characters that XML doesn't have".into()));
    }
    match read(out.as_bytes()) {
        Ok(_) => Ok(out),
        Err(CebError::Invalid(mut all)) => {
            all.iter_mut().for_each(|v| (v.line, v.column) = (0, 0));
            Err(CebError::Invalid(all))
        }
        Err(error) => Err(error),
    }
}

fn groups(out: &mut String, groups: &[Group], leaves: &Leaves, indent: usize) {
    let mut open: Option<(usize, usize)> = None;
    let mut depth = indent;
    for ((at, index, leaf), text) in leaves {
        let Some(group) = groups.get(*at) else { continue };
        if open != Some((*at, *index)) {
            close(out, groups, open, indent);
            depth = indent;
            if !group.name.is_empty() {
                let _ = writeln!(out, "{:indent$}<ceb:{}>", "", group.name);
                depth = indent + 2;
            }
            open = Some((*at, *index));
        }
        let name = group.leaves.get(*leaf).map_or("", |l| l.name);
        let text = escaped(text, false);
        let _ = writeln!(out, "{:depth$}<ceb:{name}>{text}</ceb:{name}>", "");
    }
    close(out, groups, open, indent);
}

fn close(out: &mut String, groups: &[Group], open: Option<(usize, usize)>, indent: usize) {
    let name = open.and_then(|(at, _)| groups.get(at)).map_or("", |g| g.name);
    if !name.is_empty() {
        let _ = writeln!(out, "{:indent$}</ceb:{name}>", "");
    }
}
