//! A document as lines, by nothing but an XML parser: element by element with namespace, attributes and text, in order.

use roxmltree::{Document, Node};

const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Lines `path@attribute=value` and `path=text`, places counted from 1.
pub(crate) fn lines(xml: &str) -> Vec<String> {
    let document = Document::parse(xml.trim_start_matches('\u{feff}')).unwrap();
    let mut out = Vec::new();
    walk(document.root_element(), "", 1, &mut out);
    out
}

fn walk(node: Node<'_, '_>, above: &str, place: usize, out: &mut Vec<String>) {
    let name = node.tag_name();
    let namespace = name.namespace().unwrap_or_default().rsplit("WCO:").next().unwrap_or_default();
    let path = format!("{above}/{{{namespace}}}{}[{place}]", name.name());
    let children: Vec<Node<'_, '_>> = node.children().filter(Node::is_element).collect();
    let text: String = node.children().filter_map(|c| c.text().filter(|_| c.is_text())).collect();
    out.push(format!("{path}={}", if children.is_empty() { text.trim() } else { "" }));
    let mut attributes: Vec<String> = node
        .attributes()
        .filter(|a| a.namespace() != Some(XSI))
        .map(|a| format!("{path}@{}={}", a.name(), a.value()))
        .collect();
    attributes.sort();
    out.extend(attributes);
    for (i, child) in children.iter().enumerate() {
        let same = |c: &&Node<'_, '_>| c.tag_name() == child.tag_name();
        let place = children.iter().take(i + 1).filter(same).count();
        walk(*child, &path, place, out);
    }
}
