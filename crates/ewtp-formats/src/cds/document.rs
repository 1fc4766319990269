//! Reads a document into its leaves and checks it against the schema on the way: every violation with line and column.

use std::borrow::Cow;

use roxmltree::Node as XmlNode;

use super::CdsError;
use super::leaves::{Leaves, Place};
use super::schema::{Attribute, NO_SUCH_ATTRIBUTE, Node, NodeId, QUOTED, SCHEMA};
use crate::xml::{self, Violations};

/// Namespace of the envelope.
pub(crate) const ENVELOPE: &str = "urn:wco:datamodel:WCO:DocumentMetaData-DMS:2";
const DECLARATION: &str = "urn:wco:datamodel:WCO:DEC-DMS:2";

/// The namespaces below an envelope: of what it holds, and of the data types that instants stand in.
pub(crate) struct Namespaces {
    pub(crate) content: &'static str,
    pub(crate) instants: &'static str,
}

impl Namespaces {
    /// Those of a kind of document.
    pub(crate) fn of(root: NodeId) -> Self {
        match root == SCHEMA.response {
            true => Self {
                content: "urn:wco:datamodel:WCO:RES-DMS:2",
                instants: "urn:wco:datamodel:WCO:Response_DS:DMS:2",
            },
            false => Self {
                content: DECLARATION,
                instants: "urn:wco:datamodel:WCO:Declaration_DS:DMS:2",
            },
        }
    }
}

/// The element that instants stand in.
pub(crate) const INSTANT: &str = "DateTimeString";
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// A document's leaves and which kind it is.
pub(crate) struct Parsed {
    pub(crate) leaves: Leaves,
    pub(crate) root: NodeId,
}

/// Reads a declaration or notification.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, CdsError> {
    let document = xml::parse(xml::text(bytes)?)?;
    let element = document.root_element();
    let name = element.tag_name();
    if (name.name(), name.namespace()) != ("MetaData", Some(ENVELOPE)) {
        let namespace = name.namespace().unwrap_or("none").to_owned();
        return Err(CdsError::Root { name: name.name().to_owned(), namespace });
    }
    let content = element.children().rfind(XmlNode::is_element);
    let is_response = content.is_some_and(|c| c.tag_name().name() == "Response");
    let root = if is_response { SCHEMA.response } else { SCHEMA.declaration };
    let mut reader = Reader { root, leaves: Vec::new(), violations: Violations::of(&document) };
    reader.attributes(element, None, &Place::default());
    reader.elements(element, root, &Place::default());
    match reader.violations.found.is_empty() {
        true => Ok(Parsed { leaves: reader.leaves.into_iter().collect(), root }),
        false => Err(CdsError::Invalid(reader.violations.found)),
    }
}

struct Reader<'a, 'i> {
    root: NodeId,
    /// As the document orders them: a map is made of them at once.
    leaves: Vec<(Place, String)>,
    violations: Violations<'a, 'i>,
}

impl Reader<'_, '_> {
    /// The elements of an element, in the order of the schema.
    fn elements(&mut self, element: XmlNode<'_, '_>, id: NodeId, place: &Place) {
        let node = SCHEMA.node(id);
        let mut counts = vec![0usize; node.children.len()];
        let mut last = 0u8;
        for child in element.children() {
            if child.is_text() && !child.text().unwrap_or_default().trim().is_empty() {
                let text = child.text().unwrap_or_default();
                let path = place.path(self.root);
                self.violations.add(child.range(), path, text, "elements, no text".into());
            }
            if !child.is_element() {
                continue;
            }
            let (name, namespace) = (child.tag_name().name(), child.tag_name().namespace());
            let quoted = self.root == SCHEMA.response
                && (name, namespace) == ("Declaration", Some(DECLARATION));
            let name = if quoted { QUOTED } else { name };
            let found = SCHEMA.child(id, name, last);
            let here = namespace == Some(self.namespace(name, place));
            let Some((position, of)) = found.filter(|_| here) else {
                let path = format!("{}/{name}", place.path(self.root));
                self.violations.add(child.range(), path, "", expected(node, child));
                continue;
            };
            let Some(count) = counts.get_mut(usize::from(position)) else { continue };
            let index = *count;
            let at = place.child(position, index);
            if position < last {
                let before = SCHEMA.node(node.children[usize::from(last)]);
                let allowed = format!("not behind {}", before.name);
                self.violations.add(child.range(), at.path(self.root), "", allowed);
            }
            if index as u64 >= u64::from(SCHEMA.node(of).max) {
                let allowed = format!("at most {} of them", SCHEMA.node(of).max);
                self.violations.add(child.range(), at.path(self.root), "", allowed);
                continue;
            }
            last = last.max(position);
            *count += 1;
            self.element(child, of, &at);
        }
        for (position, (child, count)) in (0..).zip(node.children.iter().zip(&counts)) {
            let child = SCHEMA.node(*child);
            if (*count as u64) < u64::from(child.min) {
                let path = place.child(position, 0).path(self.root);
                self.violations.add(
                    element.range(),
                    path,
                    "",
                    format!("{} is mandatory", child.name),
                );
            }
        }
    }

    fn element(&mut self, element: XmlNode<'_, '_>, id: NodeId, place: &Place) {
        let node = SCHEMA.node(id);
        self.attributes(element, Some(node), place);
        let Some(leaf) = &node.leaf else {
            if !element.children().any(|c| c.is_element()) {
                self.leaves.push((*place, String::new()));
            }
            return self.elements(element, id, place);
        };
        let mut text = Cow::Borrowed("");
        for child in element.children() {
            text += child.text().filter(|_| child.is_text()).unwrap_or_default();
            if child.is_element() {
                let path = format!("{}/{}", place.path(self.root), child.tag_name().name());
                self.violations.add(child.range(), path, "", "text, no elements".into());
            }
        }
        let value = leaf.normalise(&text);
        if let Some(allowed) = leaf.refuses(&value) {
            self.violations.add(element.range(), place.path(self.root), &value, allowed);
        }
        self.leaves.push((*place, value));
    }

    fn attributes(&mut self, element: XmlNode<'_, '_>, node: Option<&Node>, place: &Place) {
        let leaf = node.and_then(|n| n.leaf.as_ref());
        for attribute in element.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            let located = matches!(name, "schemaLocation" | "noNamespaceSchemaLocation");
            if attribute.namespace() == Some(XSI) && located {
                continue;
            }
            let known = Attribute::of(name).filter(|_| attribute.namespace().is_none());
            let allowed = match (leaf, known) {
                (Some(leaf), Some(known)) => match leaf.refuses_attribute(name, value) {
                    None => {
                        self.leaves.push((place.with(known), value.to_owned()));
                        continue;
                    }
                    Some(allowed) => allowed,
                },
                _ => NO_SUCH_ATTRIBUTE.into(),
            };
            let path = format!("{}@{name}", place.path(self.root));
            self.violations.add(attribute.range(), path, value, allowed);
        }
        let required = leaf.and_then(|l| l.required_attribute());
        if let Some(name) = required.filter(|name| element.attribute(*name).is_none()) {
            let path = format!("{}@{name}", place.path(self.root));
            self.violations.add(element.range(), path, "", format!("{name} is mandatory"));
        }
    }

    /// The namespace that an element has here.
    fn namespace(&self, name: &str, place: &Place) -> &'static str {
        let content = SCHEMA.content(self.root).map_or("", |id| SCHEMA.node(id).name);
        if place.steps().next().is_none() && name != content {
            return ENVELOPE;
        }
        // What a notification quotes is a declaration, by the declaration's own schema.
        let inside = || place.nodes(self.root).any(|id| SCHEMA.node(id).name == QUOTED);
        let quoted = self.root == SCHEMA.response && (name == QUOTED || inside());
        let root = if quoted { SCHEMA.declaration } else { self.root };
        let namespaces = Namespaces::of(root);
        if name == INSTANT { namespaces.instants } else { namespaces.content }
    }
}

fn expected(node: &Node, child: XmlNode<'_, '_>) -> String {
    let names: Vec<&str> = node.children.iter().map(|id| SCHEMA.node(*id).name).collect();
    let name = child.tag_name();
    match names.contains(&name.name()) {
        true => {
            format!("namespace {} has no such element here", name.namespace().unwrap_or("none"))
        }
        false => format!("one of {}", names.join(", ")),
    }
}
