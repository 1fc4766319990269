//! What rules see: the visible parts of a filing, the answers given, and the day, as one canonical JSON document.
//!
//! A fact that isn't there is left out, so that `has(filing.importer_id)` tells. The same document stands in the decision
//! and is all that a replay needs beside the rulesets.

use std::collections::{BTreeMap, HashMap};

use cel::Value;
use ewtp_proto::v1;
use ewtp_trade::quantity::parse_decimal;
use serde::{Deserialize, Serialize};

use crate::recognition::Recognised;
use crate::value::{Amount, Dimension};

/// Fields of `filing` in expressions.
pub const FILING_FIELDS: &[&str] = &[
    "type",
    "category",
    "partial",
    "mode",
    "conveyance",
    "country_of_export",
    "country_of_destination",
    "departure_date",
    "exporter_id",
    "exporter_name",
    "importer_id",
    "importer_name",
    "declarant_id",
    "ucr",
    "lrn",
    "port_of_discharge",
    "gross_mass",
    "total_packages",
    "transport_document",
    "invoice_total",
    "freight",
    "insurance",
    "terms",
    "fiscal_reference",
    "ioss",
    "documents",
    "exporter_country",
    "importer_country",
    "synthesised",
];
/// Fields of each of `items` in expressions.
pub const ITEM_FIELDS: &[&str] = &[
    "number",
    "hs",
    "origin",
    "quantity",
    "description",
    "gross_mass",
    "net_mass",
    "package_type",
    "packages",
    "procedure",
    "establishment",
    "documents",
    "value",
];
/// Variables in expressions.
pub const VARIABLES: &[&str] = &["filing", "items", "answers", "today", "scope", DRAW];
/// The random draw, in confidential rulesets alone.
pub const DRAW: &str = "draw";

/// A fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fact {
    /// Yes or no.
    Flag(bool),
    /// A count.
    Count(i64),
    /// A text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// Money: amount and currency.
    Money {
        /// Decimal.
        amount: String,
        /// ISO 4217.
        currency: String,
    },
    /// A quantity.
    Quantity {
        /// Decimal.
        value: String,
        /// Recommendation 20.
        unit: String,
    },
    /// A mass.
    Mass {
        /// Decimal kilograms.
        kg: String,
    },
}

/// Everything that rules see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Of the whole filing.
    pub filing: BTreeMap<String, Fact>,
    /// Of each item.
    pub items: Vec<BTreeMap<String, Fact>>,
    /// Answers by question.
    pub answers: BTreeMap<String, String>,
    /// Parts that the deciding hub holds.
    pub scope: Vec<String>,
    /// Instant that dates the facts, Unix milliseconds: logged by the hub that heard the filing first.
    pub at_ms: i64,
    /// What other hubs established and counts here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recognised: Vec<Recognised>,
}

fn text(into: &mut BTreeMap<String, Fact>, name: &str, value: &str) {
    if !value.is_empty() {
        into.insert(name.to_owned(), Fact::Text(value.to_owned()));
    }
}

fn mass(into: &mut BTreeMap<String, Fact>, name: &str, kg: &str) {
    if !kg.is_empty() {
        into.insert(name.to_owned(), Fact::Mass { kg: kg.to_owned() });
    }
}

fn money(into: &mut BTreeMap<String, Fact>, name: &str, value: Option<&v1::Money>) {
    if let Some(m) = value {
        into.insert(
            name.to_owned(),
            Fact::Money { amount: m.amount.clone(), currency: m.currency.clone() },
        );
    }
}

/// Types of documents, with their category before it where that stands apart: `N` and `954` are `N954`.
fn documents(into: &mut BTreeMap<String, Fact>, all: &[v1::DocumentReference]) {
    let mut types: Vec<String> = all
        .iter()
        .map(|d| format!("{}{}", d.category, d.r#type))
        .filter(|t| !t.is_empty())
        .collect();
    types.sort();
    types.dedup();
    if !types.is_empty() {
        into.insert("documents".into(), Fact::Texts(types));
    }
}

/// Whether VAT was prepaid: the number itself is for agencies, and no fact.
fn has_ioss(filing: &v1::Filing) -> bool {
    let stated = filing.authority.as_ref().is_some_and(|a| !a.ioss.is_empty());
    // The reference that an importer may adopt by can be such a number, told by its form.
    let of_form = |id: &str| {
        let digits = id.strip_prefix("IM");
        digits.is_some_and(|d| d.len() == 10 && d.bytes().all(|b| b.is_ascii_digit()))
    };
    let parties = filing.parties.as_ref();
    stated
        || parties.is_some_and(|p| of_form(&p.fiscal_reference))
        || parties.is_some_and(|p| {
            p.fiscal_references.iter().any(|r| r.role == "FR5" && !r.id.is_empty())
        })
}

impl Facts {
    /// Reads the facts of the parts that are there.
    #[must_use]
    pub fn of_filing(filing: &v1::Filing, at_ms: i64, answers: BTreeMap<String, String>) -> Self {
        let mut facts = Self { answers, at_ms, ..Self::default() };
        let mut held = |name: &str, there: bool| {
            if there {
                facts.scope.push(name.to_owned());
            }
        };
        held("core", filing.core.is_some());
        held("parties", filing.parties.is_some());
        held("goods", filing.goods.is_some());
        held("value", filing.value.is_some());
        let empty = v1::FilingCore::default();
        let core = filing.core.as_ref().unwrap_or(&empty);
        facts.filing_facts(core, filing);
        let goods = filing.goods.as_ref().map_or(&[][..], |g| &g.items);
        let value = filing.value.as_ref().map_or(&[][..], |v| &v.items);
        for (i, item) in core.items.iter().enumerate() {
            facts.items.push(item_facts(item, goods.get(i), value.get(i)));
        }
        facts
    }

    fn filing_facts(&mut self, core: &v1::FilingCore, filing: &v1::Filing) {
        let f = &mut self.filing;
        let kind =
            core.r#type().as_str_name().trim_start_matches("FILING_TYPE_").to_ascii_lowercase();
        text(f, "type", &kind);
        f.insert("category".into(), Fact::Count(i64::from(core.category)));
        f.insert("partial".into(), Fact::Flag(core.partial));
        f.insert("synthesised".into(), Fact::Count(core.synthesised.len() as i64));
        for (name, value) in [
            ("mode", &core.transport_mode),
            ("conveyance", &core.conveyance),
            ("country_of_export", &core.country_of_export),
            ("country_of_destination", &core.country_of_destination),
            ("departure_date", &core.departure_date),
            ("exporter_id", &core.exporter_id),
            ("exporter_name", &core.exporter_name),
            ("importer_id", &core.importer_id),
            ("importer_name", &core.importer_name),
            ("declarant_id", &core.declarant_id),
            ("ucr", &core.ucr),
            ("lrn", &core.lrn),
            ("port_of_discharge", &core.port_of_discharge),
        ] {
            text(f, name, value);
        }
        if let Some(goods) = &filing.goods {
            mass(f, "gross_mass", &goods.gross_mass_kg);
            text(f, "transport_document", &goods.transport_document);
            documents(f, &goods.documents);
            if goods.total_packages > 0 {
                f.insert("total_packages".into(), Fact::Count(i64::from(goods.total_packages)));
            }
        }
        if let Some(value) = &filing.value {
            money(f, "invoice_total", value.invoice_total.as_ref());
            money(f, "freight", value.freight.as_ref());
            money(f, "insurance", value.insurance.as_ref());
            text(f, "terms", &value.terms);
        }
        if has_ioss(filing) {
            f.insert("ioss".into(), Fact::Flag(true));
        }
        if let Some(parties) = &filing.parties {
            text(f, "fiscal_reference", &parties.fiscal_reference);
            text(
                f,
                "exporter_country",
                parties.exporter_address.as_ref().map_or("", |a| &a.country),
            );
            text(
                f,
                "importer_country",
                parties.importer_address.as_ref().map_or("", |a| &a.country),
            );
        }
    }

    /// Canonical JSON: keys in order, no spaces.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Ordered maps of strings and numbers: serialisation can't fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`Facts::to_json`] wrote.
    ///
    /// # Errors
    /// What serde says.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// The variables of expressions, for the day `today`.
    pub(crate) fn variables(&self, today: &str) -> Result<Vec<(&'static str, Value)>, String> {
        let items = self.items.iter().map(map_value).collect::<Result<Vec<_>, _>>()?;
        let answers: HashMap<String, Value> =
            self.answers.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
        let scope: Vec<Value> = self.scope.iter().map(|s| Value::from(s.as_str())).collect();
        Ok(vec![
            ("filing", map_value(&self.filing)?),
            ("items", Value::from(items)),
            ("answers", Value::from(answers)),
            ("today", Value::from(today)),
            ("scope", Value::from(scope)),
        ])
    }
}

fn item_facts(
    core: &v1::CoreItem,
    goods: Option<&v1::GoodsItem>,
    value: Option<&v1::ValueItem>,
) -> BTreeMap<String, Fact> {
    let mut f = BTreeMap::new();
    f.insert("number".to_owned(), Fact::Count(i64::from(core.number)));
    text(&mut f, "hs", &core.commodity_code);
    text(&mut f, "origin", &core.origin);
    if let Some(q) = &core.quantity {
        f.insert(
            "quantity".into(),
            Fact::Quantity { value: q.value.clone(), unit: q.unit.clone() },
        );
    }
    if let Some(g) = goods {
        text(&mut f, "description", &g.description);
        mass(&mut f, "gross_mass", &g.gross_mass_kg);
        mass(&mut f, "net_mass", &g.net_mass_kg);
        text(&mut f, "package_type", &g.package_type);
        text(&mut f, "procedure", &g.procedure);
        text(&mut f, "establishment", &g.establishment);
        documents(&mut f, &g.documents);
        if g.packages > 0 {
            f.insert("packages".into(), Fact::Count(i64::from(g.packages)));
        }
    }
    // What is stated at its price alone is worth that.
    money(&mut f, "value", value.and_then(|v| v.value.as_ref().or(v.price.as_ref())));
    f
}

fn map_value(facts: &BTreeMap<String, Fact>) -> Result<Value, String> {
    let mut map: HashMap<String, Value> = HashMap::new();
    for (name, fact) in facts {
        let decimal = |text: &str| parse_decimal(text).map_err(|e| format!("{name}: {e}"));
        let value = match fact {
            Fact::Flag(b) => Value::Bool(*b),
            Fact::Count(n) => Value::Int(*n),
            Fact::Text(t) => Value::from(t.as_str()),
            Fact::Texts(all) => {
                Value::from(all.iter().map(|t| Value::from(t.as_str())).collect::<Vec<_>>())
            }
            Fact::Money { amount, currency } => Amount {
                number: decimal(amount)?,
                unit: currency.clone(),
                dimension: Dimension::Money,
            }
            .into(),
            Fact::Quantity { value, unit } => Amount {
                number: decimal(value)?,
                unit: unit.clone(),
                dimension: Dimension::Quantity,
            }
            .into(),
            Fact::Mass { kg } => {
                Amount { number: decimal(kg)?, unit: "kg".into(), dimension: Dimension::Mass }
                    .into()
            }
        };
        map.insert(name.clone(), value);
    }
    Ok(Value::from(map))
}
