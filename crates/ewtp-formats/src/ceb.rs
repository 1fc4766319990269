//! Messages of China's cross-border e-commerce system (CEB): orders, payments, logistics, inventories, and their receipts.
//!
//! ```text
//! XML ─message─▶ records ─join─▶ Filing: named fields, and `carried` for what no field names
//! Filing ─fields─▶ leaves ─carried on top─▶ a record in each message that the filing came from
//! ```
//!
//! A parcel is told by several: the shop its order, the bank the payment, the carrier the logistics, the declarant the inventory.
//! Messages that name one order become one filing; where two say the same element otherwise, the first stands (inventory, order,
//! logistics, payment), the other is carried as it is, and the contradiction is told: customs compares the same messages.
//!
//! Invariant: a record comes out as it went in, but for its message's signature, which holds for that document alone.

mod carried;
pub mod codes;
mod fields;
pub mod json;
mod kinds;
mod message;
pub mod receipts;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use ewtp_proto::v1;
use serde_json::{Value, json};

use carried::{
    all_carried, carry_envelope, carry_order, carry_record, in_order, labels, moved, place_of_path,
};
pub use fields::Contradiction;
use fields::place_of;
use kinds::Kind;
use message::{Leaves, text_at};
pub use message::{Message, read, write};

use crate::tree;
use crate::xml::{Violation, XmlError, told};

/// Why a message was not read, or can't be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CebError {
    /// No XML document that is read.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// Another kind of document.
    #[error(
        "the root is {name} in namespace {namespace}; a message is CEBnnnMessage in http://www.chinaport.gov.cn/ceb, nnn one of {}",
        known()
    )]
    Root {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// Against the schema.
    #[error("{}", told(.0))]
    Invalid(Vec<Violation>),
    /// The fields don't make a filing, or a filing no message.
    #[error("{0}")]
    Fields(String),
}

fn known() -> String {
    let names: Vec<_> = Kind::all().map(|k| k.name.trim_start_matches("CEB")).collect();
    names.join(", ")
}

/// Kinds that are told of goods, the first to stand where they contradict each other.
const FILED: &[&str] =
    &["CEB603", "CEB621", "CEB303", "CEB311", "CEB505", "CEB511", "CEB403", "CEB411"];

/// A filing that messages make.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The filing.
    pub filing: v1::Filing,
    /// Where its messages contradict each other.
    pub contradictions: Vec<Contradiction>,
}

impl Message {
    /// Whether its records are told of goods and become filings; a receipt, for instance, doesn't.
    #[must_use]
    pub fn is_filed(&self) -> bool {
        FILED.contains(&self.kind.name)
    }
}

/// Joins the records of messages to filings, by order and transport document, in the order of the messages.
///
/// # Errors
/// [`CebError::Fields`] for a message that is no filing's.
pub fn join(messages: &[Message]) -> Result<Vec<Joined>, CebError> {
    if let Some(other) = messages.iter().find(|m| !m.is_filed()) {
        let names: Vec<_> = FILED.iter().map(|f| f.trim_start_matches("CEB")).collect();
        let problem =
            format!("{} makes no filing; these do: {}", other.kind.name, names.join(", "));
        return Err(CebError::Fields(problem));
    }
    parcels(messages).into_iter().map(joined).collect()
}

/// A record and the message that it stands in.
type Record<'a> = (&'a Message, usize);

/// Records of one parcel: those that name one order, and logistics by the number that an inventory names them by. Two records of one
/// kind are two parcels, whatever they name.
fn parcels(messages: &[Message]) -> Vec<Vec<Record<'_>>> {
    let mut all: Vec<Record<'_>> =
        messages.iter().flat_map(|m| (0..m.len()).map(move |at| (m, at))).collect();
    let rank = |m: &Message| FILED.iter().position(|f| *f == m.kind.name);
    all.sort_by_key(|(m, _)| rank(m));
    let mut out: Vec<Vec<Record<'_>>> = Vec::new();
    // Parcels by order and by transport document.
    let mut by_order: BTreeMap<(bool, String), Vec<usize>> = BTreeMap::new();
    let mut by_transport: BTreeMap<(bool, String), Vec<usize>> = BTreeMap::new();
    for (message, at) in all {
        let key = |leaf: &str| (message.kind.import, message.text(at, leaf).to_owned());
        let (order, transport) = (key("orderNo"), key("logisticsNo"));
        // Orders are one platform's numbers, transport documents one carrier's.
        let (candidates, whose) = match order.1.is_empty() {
            false => (by_order.get(&order), "ebpCode"),
            true => (by_transport.get(&transport), "logisticsCode"),
        };
        let mine = message.text(at, whose);
        let fits = |parcel: &&usize| {
            let Some(records) = out.get(**parcel) else { return false };
            let free = records.iter().all(|(m, _)| m.kind.name != message.kind.name);
            let mut theirs =
                records.iter().map(|(m, at)| m.text(*at, whose)).filter(|t| !t.is_empty());
            free && (mine.is_empty() || theirs.all(|t| t == mine))
        };
        let mut fitting = candidates.into_iter().flatten().filter(fits);
        // Who doesn't say whose number it is belongs to one parcel if there is but one.
        let parcel = match (fitting.next(), mine.is_empty() && fitting.next().is_some()) {
            (Some(parcel), false) => Some(*parcel),
            _ => None,
        };
        let parcel = parcel.unwrap_or_else(|| {
            out.push(Vec::new());
            out.len() - 1
        });
        out.get_mut(parcel).into_iter().for_each(|records| records.push((message, at)));
        for (book, key) in [(&mut by_order, order), (&mut by_transport, transport)] {
            let known = book.entry(key.clone()).or_default();
            if !key.1.is_empty() && !known.contains(&parcel) {
                known.push(parcel);
            }
        }
    }
    out
}

fn joined(records: Vec<Record<'_>>) -> Result<Joined, CebError> {
    let mut json = json!({});
    let mut contradictions = Vec::new();
    let mut placed = Vec::new();
    for (message, at) in &records {
        let Some(leaves) = message.records.get(*at) else { continue };
        let read = fields::read(message.kind, leaves, &mut json);
        contradictions.extend(read.contradictions);
        placed.push((*message, moved(message.kind, leaves, &read.items), read.items));
    }
    contradictions.extend(beside_fields(&records));
    let kinds: Vec<_> = records.iter().map(|(m, _)| m.kind.name).collect();
    let import = records.first().is_some_and(|(m, _)| m.kind.import);
    implied(&mut json, import, &kinds.join("+"));
    let kind = if import { v1::FilingType::Import } else { v1::FilingType::Export };
    let mut json = tree::with_items(json, kind);
    tree::fill_gaps(&mut json);
    let mut filing: v1::Filing =
        serde_json::from_value(json).map_err(|e| CebError::Fields(e.to_string()))?;
    let named = json_of(&filing)?;
    let labels = labels(&filing);
    for (message, leaves, items) in &placed {
        carry_record(&mut filing, message, leaves, &named, &labels);
        carry_order(&mut filing, message, items, &labels);
        carry_envelope(&mut filing, message);
    }
    Ok(Joined { filing, contradictions })
}

/// What customs compares of elements that no field names: the amount paid, and what one of each item costs.
fn beside_fields(records: &[Record<'_>]) -> Vec<Contradiction> {
    let number = |text: &str| text.parse::<rust_decimal::Decimal>().ok();
    let differ = |a: &str, b: &str| !a.is_empty() && !b.is_empty() && number(a) != number(b);
    let of = |kinds: &[&str]| records.iter().find(|(m, _)| kinds.contains(&m.kind.name)).copied();
    let mut out = Vec::new();
    let mut tell = |kind, path: String, said: &str, says: &str| {
        let (said, says) = (said.to_owned(), says.to_owned());
        out.push(Contradiction { kind, path, said, says });
    };
    if let (Some((order, at)), Some((payment, paid))) = (of(&["CEB311"]), of(&["CEB411"])) {
        let (due, amount) = (order.text(at, "acturalPaid"), payment.text(paid, "amountPaid"));
        if differ(due, amount) {
            tell(payment.kind.name, "the amount paid".into(), due, amount);
        }
    }
    let listed = (of(&["CEB603", "CEB621"]), of(&["CEB303", "CEB311"]));
    if let (Some((inventory, a)), Some((order, b))) = listed {
        for (gnum, price) in prices(inventory, a) {
            let other = prices(order, b).into_iter().find(|(g, _)| *g == gnum);
            if let Some((_, theirs)) = other.filter(|(_, theirs)| differ(price, theirs)) {
                tell(order.kind.name, format!("the price of one of item {gnum}"), price, theirs);
            }
        }
    }
    out
}

/// Numbers and unit prices of a record's items.
fn prices(message: &Message, at: usize) -> Vec<(&str, &str)> {
    let groups = &message.kind.record.groups;
    let (Some(list), Some(leaves)) = (fields::list_of(message.kind), message.records.get(at))
    else {
        return Vec::new();
    };
    let count = leaves.keys().filter(|p| p.0 == list).map(|p| p.1 + 1).max().unwrap_or(0);
    let text = |i, name| place_of(groups, list, i, name).and_then(|p| leaves.get(&p));
    let pair = |i| Some((text(i, "gnum")?.as_str(), text(i, "price")?.as_str()));
    (0..count).filter_map(pair).collect()
}

/// What messages say by being what they are.
fn implied(json: &mut Value, import: bool, kinds: &str) {
    let mut put = |path: &str, value: Value| {
        let steps = tree::steps(path).unwrap_or_default();
        if tree::get(json, &steps).is_none_or(Value::is_null) {
            tree::put(json, &steps, value);
        }
    };
    put(if import { "core.country_of_destination" } else { "core.country_of_export" }, json!("CN"));
    put("goods.source", json!({"type_name": kinds, "country": "CN", "agency": "GACC"}));
    // A mode's code that has no counterpart is carried; a registration that is none of the hub's says so.
    if json.pointer("/core/mrn").is_some() {
        tree::put(json, &tree::steps("core.mrn_external").unwrap_or_default(), json!(true));
    }
    if json.pointer("/parties/importer_address/line").is_some() && import {
        let path = tree::steps("parties.importer_address.country").unwrap_or_default();
        tree::put(json, &path, json!("CN"));
    }
    let order = fields::documents(json, rows::ORDER).next().filter(|o| o.len() <= LRN_MAX);
    if let Some(order) = order.map(str::to_owned)
        && json.pointer("/core/lrn").is_none()
    {
        tree::put(json, &tree::steps("core.lrn").unwrap_or_default(), json!(order));
    }
}

/// Longest local reference (an..22).
const LRN_MAX: usize = 22;

fn json_of(filing: &v1::Filing) -> Result<Value, CebError> {
    serde_json::to_value(filing).map_err(|e| CebError::Fields(e.to_string()))
}

/// Messages that filings make.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Messages: of each kind that the filings came from, or inventories.
    pub messages: Vec<Message>,
    /// Our elements that no message has a place for.
    pub lost: Vec<String>,
}

/// Makes messages of filings: those that they came from, inventories of filings from elsewhere. Filings of one kind, sender and
/// message stand in one message, at most as many as it may hold.
///
/// # Errors
/// [`CebError::Fields`] for a filing that is neither import nor export.
pub fn messages<'a>(
    filings: impl IntoIterator<Item = &'a v1::Filing>,
) -> Result<Written, CebError> {
    let mut out = Written::default();
    for filing in filings {
        let json = json_of(filing)?;
        // Paths of what the messages say.
        let mut used = BTreeSet::new();
        let kinds = kinds_of(filing)?;
        for kind in &kinds {
            let record = record(kind, filing, &json, &mut out.lost, &mut used)?;
            let same = out.messages.iter_mut().find(|m| {
                m.kind.name == kind.name
                    && (&m.guid, &m.version, &m.envelope)
                        == (&record.guid, &record.version, &record.envelope)
                    && m.records.len() < kind.record.max
            });
            match same {
                Some(message) => message.records.extend(record.records),
                None => out.messages.push(record),
            }
        }
        out.lost.extend(unused(&json, &used, kinds.iter().any(|k| k.import)));
    }
    out.lost.sort_unstable();
    out.lost.dedup();
    Ok(out)
}

/// Whether messages can say a filing.
///
/// # Errors
/// [`CebError::Fields`] for one that is neither import nor export.
pub fn has_messages(filing: &v1::Filing) -> Result<(), CebError> {
    kinds_of(filing).map(drop)
}

/// The kinds that a filing came from, or the inventory of its direction.
fn kinds_of(filing: &v1::Filing) -> Result<Vec<&'static Kind>, CebError> {
    let source = filing.goods.as_ref().and_then(|g| g.source.as_ref());
    let mut named: Vec<&'static Kind> = Vec::new();
    for name in source.map_or("", |s| s.type_name.as_str()).split('+') {
        let known = named.iter().any(|kind| kind.name == name);
        named.extend(Kind::by_name(name).filter(|_| FILED.contains(&name) && !known));
    }
    if !named.is_empty() {
        return Ok(named);
    }
    let of = |name| Kind::by_name(name).into_iter().collect();
    match filing.core.as_ref().map(v1::FilingCore::r#type) {
        Some(v1::FilingType::Import) => Ok(of("CEB621")),
        Some(v1::FilingType::Export) => Ok(of("CEB603")),
        _ => Err(CebError::Fields("CEB has import and export filings alone".into())),
    }
}

/// A message with one record.
fn record(
    kind: &'static Kind,
    filing: &v1::Filing,
    json: &Value,
    lost: &mut Vec<String>,
    used: &mut BTreeSet<String>,
) -> Result<Message, CebError> {
    let labels = labels(filing);
    let (mut guid, mut version, mut order) = (String::new(), String::new(), "");
    let (mut envelope, mut free, mut spelt) = (Leaves::new(), Leaves::new(), Vec::new());
    for carried in all_carried(filing) {
        let Some(rest) = carried.path.strip_prefix(kind.name) else { continue };
        match rest {
            "@guid" => guid.clone_from(&carried.value),
            "@version" => version.clone_from(&carried.value),
            "@items" => order = &carried.value,
            path => match place_of_path(kind, path, &labels) {
                Some((true, place)) => drop(envelope.insert(place, carried.value.clone())),
                Some((false, place)) if fields::is_named(kind, place) => {
                    spelt.push((place, carried))
                }
                Some((false, place)) if !carried.absent => {
                    free.insert(place, carried.value.clone());
                }
                _ => lost.push(format!("carried {}", carried.path)),
            },
        }
    }
    let masses = masses_from_elsewhere(kind, json, &free);
    free.extend(masses);
    let written = fields::write(kind, json, &free);
    let mut leaves = written.leaves;
    lost.extend(written.contradictions);
    used.extend(written.used);
    for (place, carried) in spelt {
        let given = leaves.get(&place).map_or("", String::as_str);
        if given != carried.instead_of {
            continue;
        }
        match carried.absent {
            true => drop(leaves.remove(&place)),
            false => drop(leaves.insert(place, carried.value.clone())),
        }
    }
    let core = filing.core.as_ref();
    defaults(kind, core, &mut leaves);
    if !order.is_empty() {
        leaves = in_order(kind, leaves, order, &labels);
    }
    if guid.is_empty() {
        guid = text_at(kind, &leaves, "guid").to_owned();
    }
    if version.is_empty() {
        "1.0".clone_into(&mut version);
    }
    Ok(Message { kind, guid, version, records: vec![leaves], envelope, lost: Vec::new() })
}

/// What a kind asks for and a filing from elsewhere doesn't say: that it is declared, which way goods go, a price of one.
fn defaults(kind: &'static Kind, core: Option<&v1::FilingCore>, leaves: &mut Leaves) {
    let groups = &kind.record.groups;
    let list = fields::list_of(kind);
    let flag = if kind.import { "I" } else { "E" };
    let lrn = core.map_or("", |c| c.lrn.as_str());
    let guid = receipts::guid(&[kind.name, core.map_or("", |c| c.declarant_id.as_str()), lrn]);
    let heads = [
        ("guid", guid.as_str()),
        ("appType", "1"),
        ("appStatus", "2"),
        ("orderType", flag),
        ("ieFlag", flag),
        ("orderNo", lrn),
    ];
    for group in (0..groups.len()).filter(|g| Some(*g) != list) {
        for (name, text) in heads.iter().filter(|(_, text)| !text.is_empty()) {
            if let Some(place) = place_of(groups, group, 0, name) {
                leaves.entry(place).or_insert_with(|| (*text).to_owned());
            }
        }
    }
    let Some(list) = list else { return };
    let count = leaves.keys().filter(|p| p.0 == list).map(|p| p.1 + 1).max().unwrap_or(0);
    for item in 0..count {
        let at = |name: &str| place_of(groups, list, item, name);
        let text = |name: &str| at(name).and_then(|p| leaves.get(&p)).cloned();
        let price = unit_price(text("totalPrice"), text("qty"));
        if let Some((place, price)) = at("price").zip(price) {
            leaves.entry(place).or_insert(price);
        }
    }
}

/// What one costs, to five digits behind the point: the messages have no more.
fn unit_price(total: Option<String>, count: Option<String>) -> Option<String> {
    let parse = |text: Option<String>| text?.parse::<rust_decimal::Decimal>().ok();
    let price = parse(total)?.checked_div(parse(count)?)?;
    Some(price.round_dp(5).normalize().to_string())
}

/// Where a filing from elsewhere says its net masses: as the first statutory quantity, in kilograms.
fn masses_from_elsewhere(kind: &'static Kind, json: &Value, free: &Leaves) -> Leaves {
    let groups = &kind.record.groups;
    let Some(list) = fields::list_of(kind) else { return Leaves::new() };
    let items = json.pointer("/goods/items").and_then(Value::as_array);
    let mut out = Leaves::new();
    for (at, item) in items.into_iter().flatten().enumerate() {
        let unit = |name: &str| place_of(groups, list, at, name);
        let said = ["unit1", "unit2"].iter().filter_map(|u| unit(u)).any(|p| free.contains_key(&p));
        let net = item.get("net_mass_kg").and_then(Value::as_str).is_some_and(|n| !n.is_empty());
        out.extend(unit("unit1").filter(|_| net && !said).map(|p| (p, rows::KILOGRAMS.to_owned())));
    }
    out
}

/// Our elements that no message has a place for: what wasn't written, and doesn't follow from the kind of message.
fn unused(json: &Value, used: &BTreeSet<String>, import: bool) -> Vec<String> {
    let home = if import { "core.country_of_destination" } else { "core.country_of_export" };
    let written = |path: &str| {
        let above = |u: &String| path.strip_prefix(u.as_str()).is_some_and(|r| r.starts_with('.'));
        used.contains(path) || used.iter().any(above)
    };
    let implied = |path: &str, value: &Value| {
        let china = value == "CN" && (path == home || path == "parties.importer_address.country");
        let order =
            path == "core.lrn" && fields::documents(json, rows::ORDER).next() == value.as_str();
        let known = path.contains(".carried[") || path.starts_with("goods.source.");
        let number = path.ends_with(".number") && path.contains(".items[");
        china || order || known || number || matches!(path, "core.type" | "core.mrn_external")
    };
    let said = tree::leaves(json).into_iter();
    let lost = said.filter(|(path, value)| !implied(path, value) && !written(path));
    lost.map(|(path, _)| tree::list(&path)).collect()
}
