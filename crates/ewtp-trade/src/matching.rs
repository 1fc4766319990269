//! An import filing beside what the origin said of the same goods: what agrees, what differs, and by how much.
//!
//! Pure, over what each hub may see: both hubs, and whoever holds the two filings, come to the same. Nothing is refused for a
//! difference; people read it, and rules may.

use std::collections::{BTreeMap, BTreeSet};

use ewtp_proto::v1;
use rust_decimal::Decimal;
use v1::{CaseMatch, Discrepancy, FilingType};

use crate::quantity::parse_decimal;

/// What was compared, what it weighs in the score, and what is tolerated.
struct Compared {
    what: &'static str,
    path: &'static str,
    weight: u32,
    tolerance: String,
    origin: String,
    import: String,
    agrees: bool,
}

/// Percent by which values may differ: prices are stated with and without transport.
const VALUE_PERCENT: u32 = 5;
/// Percent by which gross masses may differ: goods are packed again.
const GROSS_PERCENT: u32 = 5;
/// Percent by which net masses may differ.
const NET_PERCENT: u32 = 2;

/// No difference is tolerated.
const NOTHING: &str = "none";

/// The import filings of a case, each compared with the export filing there or, where that isn't known, the advance filing.
#[must_use]
pub fn matches(case: &v1::Case) -> Vec<CaseMatch> {
    let withdrawn = |id: &str| {
        let counting = case.invalidations.iter().filter(|i| i.counts);
        counting.filter_map(|i| i.core.as_ref()).any(|c| c.filing_id == id)
    };
    let core =
        |f: &v1::CaseFiling| f.filing.as_ref().and_then(|f| f.core.clone()).unwrap_or_default();
    let standing: Vec<(&v1::CaseFiling, v1::FilingCore)> = case
        .filings
        .iter()
        .map(|f| (f, core(f)))
        .filter(|(_, c)| !withdrawn(&c.filing_id))
        .collect();
    let completed = |c: &v1::FilingCore| {
        c.partial && standing.iter().any(|(_, other)| other.completes == c.filing_id)
    };
    // Not the order in which they were heard: the newest by where it stands.
    let newest = |kind: FilingType| {
        let of = standing.iter().filter(|(_, c)| c.r#type() == kind && !completed(c));
        of.max_by_key(|(f, _)| {
            let at = f.statement.clone().unwrap_or_default();
            (f.logged_ms, at.log_index, at.hub)
        })
    };
    let origin = newest(FilingType::Export).or_else(|| newest(FilingType::Advance));
    let imports = standing.iter().filter(|(_, c)| c.r#type() == FilingType::Import);
    let pair = |(import, core): &(&v1::CaseFiling, v1::FilingCore)| {
        let is_adopted = |c: &v1::FilingCore| !core.adopts.is_empty() && c.filing_id == core.adopts;
        let adopted = standing.iter().find(|(_, c)| is_adopted(c));
        let origin = adopted.or(origin)?.0.filing.as_ref()?;
        Some(compare(origin, import.filing.as_ref()?))
    };
    imports.filter_map(pair).collect()
}

/// Compares an import filing with the origin's.
#[must_use]
pub fn compare(origin: &v1::Filing, import: &v1::Filing) -> CaseMatch {
    let (mut compared, mut not_compared) = (Vec::new(), Vec::new());
    for outcome in all(origin, import) {
        match outcome {
            Ok(one) => compared.push(one),
            Err(what) => not_compared.push(what.to_owned()),
        }
    }
    let whole: u32 = compared.iter().map(|c| c.weight).sum();
    let agreed: u32 = compared.iter().filter(|c| c.agrees).map(|c| c.weight).sum();
    let mut discrepancies: Vec<Discrepancy> =
        compared.iter().filter(|c| !c.agrees).map(discrepancy).collect();
    discrepancies.sort_by_key(|d| std::cmp::Reverse(d.weight));
    let core = |f: &v1::Filing| f.core.clone().unwrap_or_default();
    let (origin_core, import_core) = (core(origin), core(import));
    CaseMatch {
        found_by: found_by(origin, import).to_owned(),
        origin_filing: origin_core.filing_id,
        origin_version: origin_core.version,
        import_filing: import_core.filing_id,
        import_version: import_core.version,
        score: (agreed * 100).checked_div(whole).unwrap_or(0),
        discrepancies,
        compared: compared.iter().map(|c| c.what.to_owned()).collect(),
        not_compared,
    }
}

fn discrepancy(one: &Compared) -> Discrepancy {
    Discrepancy {
        what: one.what.to_owned(),
        path: one.path.to_owned(),
        origin_says: one.origin.clone(),
        import_says: one.import.clone(),
        tolerance: one.tolerance.clone(),
        weight: one.weight,
    }
}

/// By what the two are known to be of the same goods, the strongest first.
fn found_by(origin: &v1::Filing, import: &v1::Filing) -> &'static str {
    let core = |f: &v1::Filing| f.core.clone().unwrap_or_default();
    let document = |f: &v1::Filing| f.goods.clone().unwrap_or_default().transport_document;
    let same = |a: &str, b: &str| !a.is_empty() && a == b;
    let (a, b) = (core(origin), core(import));
    if !b.adopts.is_empty() {
        "adopted"
    } else if same(&a.ucr, &b.ucr) {
        "ucr"
    } else if same(&document(origin), &document(import)) {
        "transport-document"
    } else {
        "case"
    }
}

/// Each comparison, or what couldn't be compared since one of the two doesn't say it here.
fn all(origin: &v1::Filing, import: &v1::Filing) -> Vec<Result<Compared, &'static str>> {
    let (a, b) = (Said::of(origin), Said::of(import));
    vec![
        within("value", "value.items[].value", 25, VALUE_PERCENT, a.value(), b.value()),
        codes(&a, &b),
        origins(&a, &b),
        within("gross mass", "goods.gross_mass_kg", 15, GROSS_PERCENT, a.gross(), b.gross()),
        quantities(&a, &b),
        within("net mass", "goods.items[].net_mass_kg", 10, NET_PERCENT, a.net(), b.net()),
        texts("consignee", "core.importer_id", 5, &a.core.importer_id, &b.core.importer_id),
        texts("consignor", "core.exporter_id", 5, &a.core.exporter_id, &b.core.exporter_id),
    ]
}

/// What a filing says, of what may be seen.
struct Said<'a> {
    core: &'a v1::FilingCore,
    goods: Option<&'a v1::FilingGoods>,
    value: Option<&'a v1::FilingValue>,
}

/// An amount and what it is of; of several currencies or units there is none.
type Amount = Option<(Decimal, String)>;

impl<'a> Said<'a> {
    fn of(filing: &'a v1::Filing) -> Self {
        static NONE: std::sync::LazyLock<v1::FilingCore> =
            std::sync::LazyLock::new(Default::default);
        let core = filing.core.as_ref().unwrap_or(&NONE);
        Self { core, goods: filing.goods.as_ref(), value: filing.value.as_ref() }
    }

    /// Sum of the items' values, in one currency.
    fn value(&self) -> Amount {
        let items = &self.value?.items;
        let of = |i: &'a v1::ValueItem| i.value.as_ref().or(i.price.as_ref());
        let currency = &of(items.first()?)?.currency;
        let mut sum = Decimal::ZERO;
        for item in items {
            let money = of(item).filter(|m| &m.currency == currency)?;
            sum = sum.checked_add(parse_decimal(&money.amount).ok()?)?;
        }
        Some((sum, currency.clone()))
    }

    /// The whole gross mass, else the sum of the items'.
    fn gross(&self) -> Amount {
        let goods = self.goods?;
        if let Ok(whole) = parse_decimal(&goods.gross_mass_kg) {
            return Some((whole, "kg".into()));
        }
        masses(goods.items.iter().map(|i| i.gross_mass_kg.as_str()))
    }

    fn net(&self) -> Amount {
        masses(self.goods?.items.iter().map(|i| i.net_mass_kg.as_str()))
    }

    /// Headings of six digits.
    fn headings(&self) -> BTreeSet<String> {
        self.core.items.iter().map(heading).filter(|h| !h.is_empty()).collect()
    }
}

fn heading(item: &v1::CoreItem) -> String {
    item.commodity_code.chars().take(6).collect()
}

fn masses<'a>(all: impl Iterator<Item = &'a str>) -> Amount {
    let (mut sum, mut any) = (Decimal::ZERO, false);
    for one in all {
        sum = sum.checked_add(parse_decimal(one).ok()?)?;
        any = true;
    }
    any.then(|| (sum, "kg".to_owned()))
}

fn within(
    what: &'static str,
    path: &'static str,
    weight: u32,
    percent: u32,
    origin: Amount,
    import: Amount,
) -> Result<Compared, &'static str> {
    let ((a, unit), (b, other)) = origin.zip(import).ok_or(what)?;
    if unit != other {
        return Err(what);
    }
    let difference = a.checked_sub(b).map(|d| d.abs());
    let allowed = a.max(b).checked_mul(Decimal::from(percent));
    let scaled = difference.and_then(|d| d.checked_mul(Decimal::ONE_HUNDRED));
    let agrees = matches!((scaled, allowed), (Some(d), Some(most)) if d <= most);
    let tolerance = format!("{percent}%");
    let (origin, import) = (format!("{a} {unit}"), format!("{b} {unit}"));
    Ok(Compared { what, path, weight, tolerance, origin, import, agrees })
}

fn texts(
    what: &'static str,
    path: &'static str,
    weight: u32,
    origin: &str,
    import: &str,
) -> Result<Compared, &'static str> {
    if origin.is_empty() || import.is_empty() {
        return Err(what);
    }
    let (agrees, tolerance) = (origin == import, NOTHING.to_owned());
    let (origin, import) = (origin.to_owned(), import.to_owned());
    Ok(Compared { what, path, weight, tolerance, origin, import, agrees })
}

fn listed(all: &BTreeSet<String>) -> String {
    all.iter().cloned().collect::<Vec<_>>().join(", ")
}

fn codes(a: &Said<'_>, b: &Said<'_>) -> Result<Compared, &'static str> {
    let what = "commodity codes";
    let (origin, import) = (a.headings(), b.headings());
    if origin.is_empty() || import.is_empty() {
        return Err(what);
    }
    Ok(Compared {
        what,
        path: "core.items[].commodity_code",
        weight: 20,
        tolerance: "digits behind the sixth".to_owned(),
        agrees: origin == import,
        origin: listed(&origin),
        import: listed(&import),
    })
}

/// Origins by heading, of the headings that both have.
fn origins(a: &Said<'_>, b: &Said<'_>) -> Result<Compared, &'static str> {
    let what = "origin";
    let by_heading = |said: &Said<'_>| {
        let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for item in said.core.items.iter().filter(|i| !i.origin.is_empty()) {
            out.entry(heading(item)).or_default().insert(item.origin.clone());
        }
        out
    };
    let (origin, import) = (by_heading(a), by_heading(b));
    let both: Vec<&String> = origin.keys().filter(|h| import.contains_key(*h)).collect();
    if both.is_empty() {
        return Err(what);
    }
    let told = |all: &BTreeMap<String, BTreeSet<String>>| {
        let one = |h: &&String| format!("{h} {}", all.get(*h).map(listed).unwrap_or_default());
        both.iter().map(one).collect::<Vec<_>>().join("; ")
    };
    let (origin, import) = (told(&origin), told(&import));
    let agrees = origin == import;
    let path = "core.items[].origin";
    Ok(Compared { what, path, weight: 15, tolerance: NOTHING.to_owned(), origin, import, agrees })
}

/// Quantities by heading and unit, of the pairs that both have.
fn quantities(a: &Said<'_>, b: &Said<'_>) -> Result<Compared, &'static str> {
    let what = "quantity";
    let sums = |said: &Said<'_>| {
        let mut out: BTreeMap<(String, String), Decimal> = BTreeMap::new();
        for item in &said.core.items {
            let Some(quantity) = &item.quantity else { continue };
            let value = parse_decimal(&quantity.value).ok()?;
            let sum = out.entry((heading(item), quantity.unit.clone())).or_default();
            *sum = sum.checked_add(value)?;
        }
        Some(out)
    };
    let (origin, import) = sums(a).zip(sums(b)).ok_or(what)?;
    let both: Vec<_> = origin.keys().filter(|k| import.contains_key(*k)).collect();
    if both.is_empty() {
        return Err(what);
    }
    let told = |all: &BTreeMap<(String, String), Decimal>| {
        let one = |k: &&(String, String)| {
            let sum = all.get(*k).map(|n| n.normalize().to_string()).unwrap_or_default();
            format!("{} {sum} {}", k.0, k.1)
        };
        both.iter().map(one).collect::<Vec<_>>().join("; ")
    };
    let (origin, import) = (told(&origin), told(&import));
    let agrees = origin == import;
    let path = "core.items[].quantity";
    Ok(Compared { what, path, weight: 15, tolerance: NOTHING.to_owned(), origin, import, agrees })
}
