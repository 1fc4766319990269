//! Declarations as HMRC's Customs Declaration Service has them: WCO Data Model 3.6 in XML.
//!
//! ```text
//! XML ─document─▶ leaves by place ─fields─▶ Filing: named fields, and `carried` for what no field names
//! Filing ─fields─▶ leaves ─carried on top─▶ XML in the order of the schema
//! ```
//!
//! Invariant: what is read and written again is the same document. Reading writes what it read and carries along every leaf that
//! didn't come out as it went in, so that a wrong row of the table costs a name and never a value. A carried element stands for the
//! document as it was: where a named field was changed since, the field wins.
//!
//! Normalised away: declaration, comments, processing instructions, prefixes, `xsi:schemaLocation`, indentation, white space around
//! codes, numbers and the envelope's texts, and all but one of several spaces inside a code.

mod document;
mod fields;
mod leaves;
mod schema;

use std::collections::{BTreeMap, BTreeSet};

use ewtp_proto::v1;
use ewtp_trade::elements::numbers_beside_core;
use serde_json::Value;

use crate::tree;
use crate::xml::{self, Violation, XmlError, told};
use leaves::{Leaves, Place};
use schema::SCHEMA;

/// Why a document was not read, or can't be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CdsError {
    /// No XML document that is read.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// Another kind of document.
    #[error(
        "the root is {name} in namespace {namespace}; a declaration is MetaData in {}: take it out of a wrapper; notifications are written, not read",
        document::ENVELOPE
    )]
    Root {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// A notification where a declaration is wanted.
    #[error("this is a notification (Response), no declaration")]
    Notification,
    /// Against HMRC's schema.
    #[error("{}", told(.0))]
    Invalid(Vec<Violation>),
    /// The fields don't make a filing.
    #[error("the elements don't make a filing: {0}")]
    Fields(String),
}

/// Where a leaf of a document went.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// A named field, by its path without places.
    Field(String),
    /// Computed when it is written: its place in a list, the number of items, what the first of several is.
    Computed,
    /// Carried along in this part.
    Carried(&'static str),
}

/// How often a leaf went where, by its path without places.
pub type Report = BTreeMap<(String, Destination), usize>;

/// A declaration that was written.
#[derive(Clone, Debug)]
pub struct Document {
    /// The document.
    pub xml: String,
    /// Our elements that CDS has no place for.
    pub lost: Vec<String>,
}

/// Whether a document is what the schemas allow, declaration or notification.
///
/// # Errors
/// [`CdsError`], located.
pub fn validate(bytes: &[u8]) -> Result<(), CdsError> {
    document::parse(bytes).map(drop)
}

/// Reads a declaration, an amendment or a cancellation.
///
/// # Errors
/// [`CdsError`], located.
pub fn read(bytes: &[u8]) -> Result<v1::Filing, CdsError> {
    read_telling(bytes, |_, _| {})
}

/// Where each leaf of a declaration goes.
///
/// # Errors
/// [`CdsError`], located.
pub fn report(bytes: &[u8]) -> Result<Report, CdsError> {
    let mut out = Report::new();
    read_telling(bytes, |place, destination| {
        let path = without_places(&place.path(SCHEMA.declaration));
        *out.entry((path, destination())).or_insert(0) += 1;
    })?;
    Ok(out)
}

/// Reads a declaration and tells where each of its leaves went.
fn read_telling(
    bytes: &[u8],
    mut tell: impl FnMut(&Place, &dyn Fn() -> Destination),
) -> Result<v1::Filing, CdsError> {
    let parsed = document::parse(bytes)?;
    if parsed.root != SCHEMA.declaration {
        return Err(CdsError::Notification);
    }
    let leaves = parsed.leaves;
    let kind = kind(&leaves);
    let (json, named) = fields::read(&leaves, kind == v1::FilingType::Import);
    let mut json = tree::with_items(json, kind);
    tree::fill_gaps(&mut json);
    let again = fields::write(&json, kind == v1::FilingType::Import).leaves;
    let mut filing: v1::Filing =
        serde_json::from_value(json).map_err(|e| CdsError::Fields(e.to_string()))?;
    let numbers = ItemNumbers::of(&filing);
    let mut again = again.into_iter().peekable();
    for (place, text) in leaves {
        while let Some((added, given)) = again.next_if(|(at, _)| *at < place) {
            carry(&mut filing, &numbers, &added, String::new(), given, true);
        }
        let given = again.next_if(|(at, _)| *at == place).map(|(_, given)| given);
        let named = || named.row(&place).map(|row| Destination::Field(row.ours.clone()));
        if given.as_ref() == Some(&text) {
            if !place.is_attribute() {
                tell(&place, &|| named().unwrap_or(Destination::Computed));
            }
            continue;
        }
        // Another spelling of what a field says, such as 010 for 10, is carried beside it.
        let spelt = if given.is_some() { named() } else { None };
        let part = carry(&mut filing, &numbers, &place, text, given.unwrap_or_default(), false);
        if !place.is_attribute() {
            tell(&place, &|| spelt.clone().unwrap_or(Destination::Carried(part)));
        }
    }
    for (added, given) in again {
        carry(&mut filing, &numbers, &added, String::new(), given, true);
    }
    Ok(filing)
}

/// Writes a filing as a declaration.
///
/// # Errors
/// [`CdsError::Invalid`] for what the schema doesn't allow, [`CdsError::Fields`] for a filing that contradicts itself.
pub fn write(filing: &v1::Filing) -> Result<Document, CdsError> {
    contradictions(filing)?;
    let json = json_of(filing)?;
    let core = filing.core.clone().unwrap_or_default();
    let mut written = fields::write(&json, core.r#type() == v1::FilingType::Import);
    let mut lost = overlay_all(&mut written.leaves, filing);
    // Behind what is carried: a function that has no name of ours stands.
    defaults(&core, &mut written.leaves);
    let used = written.used();
    for (path, value) in tree::leaves(&json) {
        if !used.contains(&path) && !is_implied(&path, value) {
            lost.push(tree::list(&path));
        }
    }
    lost.dedup();
    if let Some(at) = written.leaves.values().position(|t| !xml::is_xml(t)) {
        let place = written.leaves.keys().nth(at).map(|p| p.path(SCHEMA.declaration));
        let path = place.unwrap_or_default();
        let allowed = "characters that XML has".to_owned();
        let violation = Violation { line: 0, column: 0, path, value: String::new(), allowed };
        return Err(CdsError::Invalid(vec![violation]));
    }
    let xml = leaves::to_xml(&written.leaves, SCHEMA.declaration);
    let again = document::parse(xml.as_bytes()).map_err(without_lines)?.leaves;
    // What would be read at another place, or not at all, is lost there.
    let moved = written.leaves.iter().filter(|(place, text)| again.get(*place) != Some(*text));
    lost.extend(moved.map(|(place, _)| format!("written {}", place.path(SCHEMA.declaration))));
    Ok(Document { xml, lost })
}

/// Writes leaves, by path, as a notification.
pub(crate) fn write_response(leaves: &[(String, String)]) -> Result<String, CdsError> {
    let mut out = Leaves::new();
    for (path, value) in leaves {
        let place = Place::parse(path, SCHEMA.response);
        let place = place.ok_or_else(|| CdsError::Fields(format!("no place for {path}")))?;
        out.insert(place, value.clone());
    }
    for path in ["../WCODataModelVersionCode", "../WCOTypeName"] {
        let value = if path.ends_with("Name") { "RES" } else { "3.6" };
        out.extend(Place::parse(path, SCHEMA.response).map(|p| (p, value.to_owned())));
    }
    let xml = leaves::to_xml(&out, SCHEMA.response);
    validate(xml.as_bytes())?;
    Ok(xml)
}

/// An instant as documents have it: format 304, in UTC.
pub(crate) use fields::utc;

/// Whether HMRC's schema of declarations has a place for a row.
#[must_use]
pub fn has_place(row: &ewtp_trade::wco::Row) -> bool {
    fields::has_place(row)
}

fn json_of(filing: &v1::Filing) -> Result<Value, CdsError> {
    serde_json::to_value(filing).map_err(|e| CdsError::Fields(e.to_string()))
}

/// What a document that wasn't written breaks, by its elements and ours: nobody has its lines.
fn without_lines(error: CdsError) -> CdsError {
    let CdsError::Invalid(mut all) = error else { return error };
    for violation in &mut all {
        (violation.line, violation.column) = (0, 0);
        let plain = without_places(&violation.path);
        let plain = plain.split('@').next().unwrap_or_default();
        let ours = ewtp_trade::wco::ROWS.iter().find(|r| r.wco() == plain);
        if let Some(row) = ours {
            violation.path = format!("{} ({})", violation.path, row.ours);
        }
    }
    CdsError::Invalid(all)
}

pub(crate) fn without_places(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut place = false;
    for c in path.chars() {
        place = (place || c == '[') && c != ']';
        if !place && c != ']' {
            out.push(c);
        }
    }
    out
}

fn text<'a>(leaves: &'a Leaves, path: &str) -> &'a str {
    let place = Place::parse(path, SCHEMA.declaration);
    place.and_then(|p| leaves.get(&p)).map_or("", String::as_str)
}

/// What a declaration is for. `CO…`, movements to and from special territories, are told apart by the procedure: 10 to 31 leave.
fn kind(leaves: &Leaves) -> v1::FilingType {
    let procedure = text(
        leaves,
        "GoodsShipment/GovernmentAgencyGoodsItem[1]/GovernmentProcedure[1]/CurrentCode",
    );
    match text(leaves, "TypeCode").get(..2) {
        Some("EX") => v1::FilingType::Export,
        Some("IM") => v1::FilingType::Import,
        Some("CO") if procedure.starts_with(['1', '2', '3']) => v1::FilingType::Export,
        Some("CO") if procedure.starts_with(|c: char| c.is_ascii_digit()) => v1::FilingType::Import,
        _ => v1::FilingType::Unspecified,
    }
}

/// Elements that need no place of their own: they follow from others.
fn is_implied(path: &str, value: &Value) -> bool {
    let numbers = path.ends_with(".number") && path.contains(".items[");
    let kind = path == "core.type" && value != v1::FilingType::Advance.as_str_name();
    let kind = kind && value != v1::FilingType::Transit.as_str_name();
    numbers || kind || path.contains(".carried[")
}

/// What the schema asks for and a filing from elsewhere doesn't say: function and type.
fn defaults(core: &v1::FilingCore, leaves: &mut Leaves) {
    let mut put = |path: &str, value: &str| {
        if let Some(place) = Place::parse(path, SCHEMA.declaration) {
            leaves.entry(place).or_insert_with(|| value.to_owned());
        }
    };
    put("FunctionCode", "9");
    match core.r#type() {
        v1::FilingType::Export => put("TypeCode", "EXD"),
        v1::FilingType::Import => put("TypeCode", "IMD"),
        _ => {}
    }
}

/// Carries a leaf in the part that may hold it; which one it is.
fn carry(
    filing: &mut v1::Filing,
    numbers: &ItemNumbers,
    place: &Place,
    value: String,
    instead_of: String,
    absent: bool,
) -> &'static str {
    let path = numbers.named(&place.path(SCHEMA.declaration));
    let part = part_of(&path);
    let list = match part {
        "parties" => &mut filing.parties.get_or_insert_default().carried,
        "value" => &mut filing.value.get_or_insert_default().carried,
        _ => &mut filing.goods.get_or_insert_default().carried,
    };
    list.push(v1::CarriedElement { path, value, instead_of, absent });
    part
}

/// Which part an element belongs to that no field names: parts have audiences, and prices go where prices are.
fn part_of(path: &str) -> &'static str {
    const VALUE: &[&str] = &[
        "Amount",
        "CustomsValuation",
        "DutyTaxFee",
        "ValuationAdjustment",
        "ObligationGuarantee",
        "CurrencyExchange",
        "InvoiceLine",
        "TradeTerms",
        "Invoice",
    ];
    const PARTIES: &[&str] = &[
        "Agent",
        "Declarant",
        "Exporter",
        "Importer",
        "Consignee",
        "Consignor",
        "Buyer",
        "Seller",
        "Carrier",
        "Payer",
        "Surety",
        "Authenticator",
        "AuthorisationHolder",
        "DomesticDutyTaxParty",
        "AEOMutualRecognitionParty",
    ];
    let words: Vec<&str> =
        path.split(['/', '@']).map(|w| w.split('[').next().unwrap_or_default()).collect();
    let among = |list: &[&str]| words.iter().any(|w| list.contains(w));
    let amount = words.iter().any(|w| w.ends_with("Amount"));
    let submitter = path.starts_with("Submitter");
    match (amount || among(VALUE), submitter || among(PARTIES)) {
        (true, _) => "value",
        (false, true) => "parties",
        (false, false) => "goods",
    }
}

/// Numbers of the items: what is carried of an item names it by its number, so that it follows the item to another place and goes with it.
struct ItemNumbers(Option<Vec<u32>>);

const ITEM: &str = "GoodsShipment/GovernmentAgencyGoodsItem[";

impl ItemNumbers {
    /// Of a filing whose items all have numbers of their own; else their places count.
    fn of(filing: &v1::Filing) -> Self {
        let core = filing.core.iter().flat_map(|c| &c.items);
        let numbers: Vec<u32> = core.map(|i| i.number).collect();
        let mut unique = numbers.clone();
        unique.sort_unstable();
        unique.dedup();
        Self((unique.len() == numbers.len() && !numbers.contains(&0)).then_some(numbers))
    }

    fn renamed(&self, path: &str, other: impl Fn(&[u32], u32) -> Option<u32>) -> Option<String> {
        let (Some(numbers), Some(rest)) = (&self.0, path.strip_prefix(ITEM)) else {
            return Some(path.to_owned());
        };
        let (index, rest) = rest.split_once(']')?;
        Some(format!("{ITEM}{}]{rest}", other(numbers, index.parse().ok()?)?))
    }

    /// A path by place as one by number.
    fn named(&self, path: &str) -> String {
        let number =
            |numbers: &[u32], place: u32| numbers.get((place as usize).checked_sub(1)?).copied();
        self.renamed(path, number).unwrap_or_else(|| path.to_owned())
    }

    /// A path by number as one by place; `None` if there is no such item any more.
    fn placed(&self, path: &str) -> Option<String> {
        let place = |numbers: &[u32], number: u32| {
            let at = numbers.iter().position(|n| *n == number)?;
            u32::try_from(at + 1).ok()
        };
        self.renamed(path, place)
    }
}

/// What a document of CDS can't say: items that don't belong together, or a type that contradicts itself.
fn contradictions(filing: &v1::Filing) -> Result<(), CdsError> {
    let core = filing.core.clone().unwrap_or_default();
    let differs =
        |(_, at, number): &(_, usize, u32)| core.items.get(*at).is_none_or(|i| i.number != *number);
    if let Some((part, at, number)) = numbers_beside_core(filing).find(differs) {
        let problem = format!(
            "{part}.items[{at}].number is {number}: items stand in the order of part core, with its numbers"
        );
        return Err(CdsError::Fields(problem));
    }
    let kind = core.declaration_type.get(..2);
    let contradicts = matches!(
        (kind, core.r#type()),
        (Some("EX"), v1::FilingType::Import) | (Some("IM"), v1::FilingType::Export)
    );
    if contradicts {
        let problem = format!(
            "core.type is {} and core.declaration_type {}: change both or empty the second",
            core.r#type().as_str_name(),
            core.declaration_type
        );
        return Err(CdsError::Fields(problem));
    }
    Ok(())
}

fn carried_of(filing: &v1::Filing) -> impl Iterator<Item = &v1::CarriedElement> {
    let parties = filing.parties.iter().flat_map(|p| &p.carried);
    let goods = filing.goods.iter().flat_map(|g| &g.carried);
    parties.chain(goods).chain(filing.value.iter().flat_map(|v| &v.carried))
}

/// What became of a carried element.
enum Carried {
    /// It stands where it stood.
    Stands,
    /// The field there was changed, and wins.
    Void,
    /// There is no place for it, or it would say something else than its field.
    Lost,
}

/// Puts what is carried where it was: texts, then the attributes of those that stand. What is lost by it.
fn overlay_all(leaves: &mut Leaves, filing: &v1::Filing) -> Vec<String> {
    let import = filing.core.as_ref().is_some_and(|c| c.r#type() == v1::FilingType::Import);
    let numbers = ItemNumbers::of(filing);
    let (mut lost, mut void) = (Vec::new(), BTreeSet::new());
    let (attributes, texts): (Vec<_>, Vec<_>) =
        carried_of(filing).partition(|carried| carried.path.contains('@'));
    for carried in texts {
        match overlay(leaves, &numbers, import, carried) {
            Carried::Stands => {}
            Carried::Void => drop(void.insert(carried.path.as_str())),
            Carried::Lost => lost.push(format!("carried {}", carried.path)),
        }
    }
    for carried in attributes {
        // A unit belongs to the number that it was read with.
        let of = carried.path.split('@').next().unwrap_or_default();
        let outcome = match void.contains(of) {
            true => Carried::Void,
            false => overlay(leaves, &numbers, import, carried),
        };
        if matches!(outcome, Carried::Lost) {
            lost.push(format!("carried {}", carried.path));
        }
    }
    lost
}

/// Puts a carried element where it was.
fn overlay(
    leaves: &mut Leaves,
    numbers: &ItemNumbers,
    import: bool,
    carried: &v1::CarriedElement,
) -> Carried {
    let placed = numbers.placed(&carried.path);
    let place = placed.and_then(|p| Place::parse(&p, SCHEMA.declaration));
    let Some(place) = place else { return Carried::Lost };
    let given = leaves.get(&place).map_or("", String::as_str);
    if given != carried.instead_of {
        return Carried::Void;
    }
    let text = if carried.absent { "" } else { carried.value.as_str() };
    if !given.is_empty() && !fields::respells(&place, leaves, import, text, given) {
        return Carried::Lost;
    }
    match carried.absent {
        true => drop(leaves.remove(&place)),
        false => drop(leaves.insert(place, carried.value.clone())),
    }
    Carried::Stands
}
