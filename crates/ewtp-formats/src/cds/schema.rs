//! The elements of HMRC's schemas: their order, how often they are there, and what a leaf may hold.

use std::sync::LazyLock;

use super::leaves::DEPTH_MAX;

/// Position of a node in the table.
pub(crate) type NodeId = usize;

/// An element of the schema.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) children: Vec<NodeId>,
    /// What it holds; `None` for an element of elements.
    pub(crate) leaf: Option<Leaf>,
    /// Which child says its place in a list, where that is mandatory.
    pub(crate) sequence: Option<u8>,
}

impl Node {
    fn new(name: &'static str, (min, max): (u32, u32), leaf: Option<Leaf>) -> Self {
        Self { name, min, max, children: Vec::new(), leaf, sequence: None }
    }
}

/// What a leaf holds (UN/CEFACT Unqualified Data Types 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Amount,
    Code,
    DateTime,
    Id,
    Measure,
    Numeric,
    Quantity,
    Text,
}

/// A leaf's type with its facets.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) base: Base,
    max_chars: Option<usize>,
    exact_chars: Option<usize>,
    digits: Option<usize>,
    fraction: Option<usize>,
    filled: bool,
    numeric: bool,
    alphabetic: bool,
    values: Vec<&'static str>,
}

/// All elements of both kinds of document, each with its envelope as root.
#[derive(Debug)]
pub(crate) struct Schema {
    nodes: Vec<Node>,
    /// `MetaData` of a declaration.
    pub(crate) declaration: NodeId,
    /// `MetaData` of notifications.
    pub(crate) response: NodeId,
}

/// Name here of the declaration that a notification may quote, beside what it says of the declaration itself.
pub(crate) const QUOTED: &str = "od:Declaration";

/// What the envelope says, in order (DocumentMetaData_2_DMS.xsd 2.1): codes and texts of any length.
const ENVELOPE: &[(&str, Base)] = &[
    ("WCODataModelVersionCode", Base::Code),
    ("WCOTypeName", Base::Text),
    ("ResponsibleCountryCode", Base::Code),
    ("ResponsibleAgencyName", Base::Text),
    ("AgencyAssignedCustomizationCode", Base::Code),
    ("AgencyAssignedCustomizationVersionCode", Base::Code),
];

/// HMRC's schemas. The table is the crate's own: what can't be read in it is left out, and a test counts what is there.
pub(crate) static SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| Schema::parse(include_str!("schema.txt")));

/// What is said of an attribute that a leaf doesn't have.
pub(crate) const NO_SUCH_ATTRIBUTE: &str = "no such attribute";

impl Node {
    /// Whether it may have an attribute of this name.
    pub(crate) fn has_attribute(&self, name: &str) -> bool {
        let refused = self.leaf.as_ref().map(|leaf| leaf.refuses_attribute(name, ""));
        refused.is_some_and(|allowed| allowed.as_deref() != Some(NO_SUCH_ATTRIBUTE))
    }
}

impl Schema {
    fn parse(text: &'static str) -> Self {
        let mut nodes: Vec<Node> = Vec::new();
        let mut above: Vec<NodeId> = Vec::new();
        let mut roots: Vec<NodeId> = Vec::new();
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let words: Vec<&'static str> = line.split_whitespace().collect();
            let [name, occurrence, kind @ ..] = words.as_slice() else { continue };
            let id = nodes.len();
            above.truncate((line.len() - line.trim_start().len()) / 2);
            // Below its envelope; what a notification quotes stands one deeper.
            debug_assert!(above.len() + 2 <= DEPTH_MAX, "{name} is deeper than places are");
            match above.last().and_then(|p| nodes.get_mut(*p)) {
                Some(parent) => parent.children.push(id),
                None => roots.push(id),
            }
            let (min, max) = match *occurrence {
                "?" => (0, 1),
                "*" => (0, u32::MAX),
                range => range.split_once('-').map_or((1, 1), |(a, b)| {
                    (a.parse().unwrap_or(0), b.parse().unwrap_or(u32::MAX))
                }),
            };
            nodes.push(Node::new(name, (min, max), leaf(kind)));
            above.push(id);
        }
        // A response may quote a declaration, by the declaration's own schema.
        let whole = nodes.first().map(|n| n.children.clone()).unwrap_or_default();
        if let Some(place) = nodes.iter_mut().find(|n| n.name == QUOTED) {
            place.children = whole;
        }
        let mut schema = Self { nodes, declaration: 0, response: 0 };
        schema.declaration = schema.envelope(roots.first().copied(), 1);
        schema.response = schema.envelope(roots.get(1).copied(), u32::MAX);
        for id in 0..schema.nodes.len() {
            let found = schema.child(id, "SequenceNumeric", 0);
            let mandatory = found.filter(|(_, of)| schema.node(*of).min > 0);
            schema.nodes[id].sequence = mandatory.map(|(position, _)| position);
        }
        schema
    }

    fn envelope(&mut self, content: Option<NodeId>, max: u32) -> NodeId {
        let mut children = Vec::new();
        for (name, base) in ENVELOPE {
            children.push(self.nodes.len());
            self.nodes.push(Node::new(name, (0, 1), Some(Leaf::of(*base))));
        }
        if let Some(node) = content.and_then(|id| self.nodes.get_mut(id)) {
            (node.min, node.max) = (1, max);
        }
        children.extend(content);
        self.nodes.push(Node { children, ..Node::new("MetaData", (1, 1), None) });
        self.nodes.len() - 1
    }

    /// A node that the table gave out.
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// What an envelope holds: its last child.
    pub(crate) fn content(&self, root: NodeId) -> Option<NodeId> {
        self.node(root).children.last().copied()
    }

    /// Place of a child by its name, and the child; sought from a place on, where it stands in a document in order.
    pub(crate) fn child(&self, parent: NodeId, name: &str, from: u8) -> Option<(u8, NodeId)> {
        let children = &self.node(parent).children;
        let (before, behind) = children.split_at_checked(usize::from(from))?;
        let named = |id: &NodeId| self.node(*id).name == name;
        let found = behind.iter().position(named).map(|at| at + before.len());
        let position = found.or_else(|| before.iter().position(named))?;
        Some((u8::try_from(position).ok()?, *children.get(position)?))
    }
}

/// An attribute by its place in the alphabet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attribute(u8);

/// All that leaves may have, in order.
const ATTRIBUTES: &[&str] = &[
    "currencyID",
    "formatCode",
    "languageID",
    "listAgencyID",
    "listAgencyName",
    "listID",
    "listName",
    "listSchemeURI",
    "listURI",
    "listVersionID",
    "name",
    "schemeAgencyID",
    "schemeAgencyName",
    "schemeDataURI",
    "schemeID",
    "schemeName",
    "schemeURI",
    "schemeVersionID",
    "unitCode",
];

impl Attribute {
    /// The attribute of a name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        u8::try_from(ATTRIBUTES.binary_search(&name).ok()?).ok().map(Self)
    }

    pub(crate) fn name(self) -> &'static str {
        ATTRIBUTES.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

fn leaf(words: &[&'static str]) -> Option<Leaf> {
    let (base, facets) = words.split_first()?;
    let base = match *base {
        "Amount" => Base::Amount,
        "Code" => Base::Code,
        "DateTime" => Base::DateTime,
        "ID" => Base::Id,
        "Measure" => Base::Measure,
        "Numeric" => Base::Numeric,
        "Quantity" => Base::Quantity,
        _ => Base::Text,
    };
    let number = |name: &str| facets.iter().find_map(|f| f.strip_prefix(name)?.parse().ok());
    let flag = |name: &str| facets.contains(&name);
    let values = facets.iter().find_map(|f| f.strip_prefix("enum="));
    Some(Leaf {
        max_chars: number("max="),
        exact_chars: number("len="),
        digits: number("digits="),
        fraction: number("fraction="),
        filled: flag("filled"),
        numeric: flag("numeric"),
        alphabetic: flag("alphabetic"),
        values: values.map(|v| v.split('|').collect()).unwrap_or_default(),
        ..Leaf::of(base)
    })
}

impl Leaf {
    /// A leaf that allows all that its base allows.
    fn of(base: Base) -> Self {
        Self {
            base,
            max_chars: None,
            exact_chars: None,
            digits: None,
            fraction: None,
            filled: false,
            numeric: false,
            alphabetic: false,
            values: Vec::new(),
        }
    }

    /// The value as XML Schema sees it: codes are tokens and numbers are read without the white space around them, identifiers and
    /// texts stand as they are.
    pub(crate) fn normalise(&self, text: &str) -> String {
        let stands = matches!(self.base, Base::Id | Base::Text | Base::DateTime)
            || !text.bytes().any(|b| b.is_ascii_whitespace());
        match stands {
            true => text.to_owned(),
            false => text.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
        }
    }

    /// What is wrong with a value that was normalised: what is allowed.
    pub(crate) fn refuses(&self, value: &str) -> Option<String> {
        let chars = || value.chars().count();
        if let Some(max) = self.max_chars.filter(|max| value.len() > *max && chars() > *max) {
            return Some(format!("at most {max} characters"));
        }
        if let Some(exact) = self.exact_chars.filter(|exact| chars() != *exact) {
            return Some(format!("exactly {exact} characters"));
        }
        if self.filled && (value.trim().is_empty() || value.contains(['\n', '\r'])) {
            return Some("something in one line".into());
        }
        if self.numeric && !value.bytes().all(|b| b.is_ascii_digit()) {
            return Some("digits".into());
        }
        if self.alphabetic && !value.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Some("letters A to Z".into());
        }
        if !self.values.is_empty() && !self.values.contains(&value) {
            return Some(format!("one of {}", self.values.join(", ")));
        }
        match self.base {
            Base::Amount | Base::Measure | Base::Numeric | Base::Quantity => self.decimal(value),
            Base::DateTime => {
                (!date_time(value)).then(|| "CCYYMMDD, or CCYYMMDDHHMMSS and Z or +HH".into())
            }
            Base::Code | Base::Id | Base::Text => None,
        }
    }

    fn decimal(&self, value: &str) -> Option<String> {
        let unsigned = value.strip_prefix(['+', '-']).unwrap_or(value);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
            return Some("a decimal".into());
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let too_long = |max: Option<usize>, len: usize| max.filter(|max| len > *max);
        if let Some(max) = too_long(self.fraction, fraction.len()) {
            return Some(format!("at most {max} digits after the point"));
        }
        let max = too_long(self.digits, whole.len() + fraction.len())?;
        Some(format!("at most {max} digits"))
    }

    /// What is wrong with an attribute: what is allowed.
    pub(crate) fn refuses_attribute(&self, name: &str, value: &str) -> Option<String> {
        let chars = value.chars().count();
        let in_length = |range: std::ops::RangeInclusive<usize>| {
            (!range.contains(&chars))
                .then(|| format!("{} to {} characters", range.start(), range.end()))
        };
        match (self.base, name) {
            (Base::Amount, "currencyID") => {
                let capitals = chars == 3 && value.bytes().all(|b| b.is_ascii_uppercase());
                (!capitals).then(|| "three capital letters".into())
            }
            (Base::Measure | Base::Quantity, "unitCode") => in_length(1..=5),
            (Base::DateTime, "formatCode") => {
                (!matches!(value, "102" | "304")).then(|| "102 or 304".into())
            }
            (Base::Code, "listAgencyID") | (Base::Id, "schemeAgencyID") => in_length(1..=3),
            (
                Base::Code,
                "listID" | "listAgencyName" | "listName" | "listVersionID" | "name" | "languageID"
                | "listURI" | "listSchemeURI",
            )
            | (
                Base::Id,
                "schemeID" | "schemeName" | "schemeAgencyName" | "schemeVersionID"
                | "schemeDataURI" | "schemeURI",
            )
            | (Base::Text, "languageID") => None,
            _ => Some(NO_SUCH_ATTRIBUTE.into()),
        }
    }

    /// Attribute that must be there.
    pub(crate) fn required_attribute(&self) -> Option<&'static str> {
        (self.base == Base::DateTime).then_some("formatCode")
    }
}

/// `(20\d{6})(\d{6}(Z|[-+]\d\d))?`
fn date_time(value: &str) -> bool {
    let digits = |t: Option<&str>| t.is_some_and(|t| t.bytes().all(|b| b.is_ascii_digit()));
    let zone =
        |t: &str| t == "Z" || (t.starts_with(['+', '-']) && t.len() == 3 && digits(t.get(1..)));
    let day = value.starts_with("20") && digits(value.get(..8));
    match value.len() {
        8 => day,
        15 | 17 => day && digits(value.get(8..14)) && value.get(14..).is_some_and(zone),
        _ => false,
    }
}
