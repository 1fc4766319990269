//! Checks a filing: every violation and every warning in one pass, then the sums that lists show.

mod listed;
pub mod vocabulary;

use ewtp_proto::v1;
use v1::{ConsignmentCategory as Category, FilingFunction, FilingType};

use crate::attachment;
use crate::codes::{
    Country, Lrn, TRANSPORT_MODES, day_syntax, hs_syntax, locode_syntax, office_syntax,
    party_id_syntax, ucr_syntax,
};
use crate::elements::{Column, ELEMENTS, Item, Need, Place, numbers_beside_core};
use crate::finding::{Findings, Say};
use crate::lists::{CodeLists, ListKind, Listed};
use crate::mrn::{MrnVerdict, judge};
use crate::quantity::{ExactSum, Money, QuantityError, parse_decimal};
use crate::route::crosses_one_territory;

/// Most items in a filing.
pub const ITEMS_MAX: usize = 999;
/// Most containers in a filing: each is a name by which events select its case.
pub const CONTAINERS_MAX: usize = 100;
/// Longest name of a retention class, bytes.
pub const RETENTION_CLASS_BYTES_MAX: usize = 64;
/// Longest name or description, characters.
pub const TEXT_CHARS_MAX: usize = 512;

/// A filing without violations, in the order of its parts.
#[derive(Clone, Debug)]
pub struct CheckedFiling<'a> {
    /// The filing as handed in.
    pub filing: &'a v1::Filing,
    /// Its core, present by construction.
    pub core: &'a v1::FilingCore,
    /// What it is for.
    pub kind: FilingType,
    /// Local reference.
    pub lrn: Lrn,
    /// Where the goods go.
    pub destination: Country,
    /// Where they leave.
    pub export: Country,
    /// Kept exactly, counted, shown.
    pub warnings: Vec<v1::Finding>,
}

/// Checks a filing against the element table and the code lists.
///
/// # Errors
/// Every violation, at least one.
pub fn check_filing<'a>(
    filing: &'a v1::Filing,
    lists: &CodeLists,
) -> Result<CheckedFiling<'a>, Vec<v1::Finding>> {
    let mut findings = Findings::default();
    let empty = v1::FilingCore::default();
    let core = filing.core.as_ref().unwrap_or(&empty);
    let mut check = Check { filing, core, lists, out: &mut findings };
    check.presence();
    check.identity();
    check.parties();
    check.route();
    check.items();
    check.values();
    check.vocabulary();
    let destination = Country::parse(&core.country_of_destination);
    let export = Country::parse(&core.country_of_export);
    match (findings.violations.is_empty(), destination, export, Lrn::parse(&core.lrn), &filing.core)
    {
        (true, Some(destination), Some(export), Some(lrn), Some(core)) => Ok(CheckedFiling {
            filing,
            core,
            kind: core.r#type(),
            lrn,
            destination,
            export,
            warnings: findings.warnings,
        }),
        _ => Err(findings.violations),
    }
}

/// Warnings of a filing heard from a peer, whose parts may be withheld: only what is there is looked at.
#[must_use]
pub fn warnings_of(filing: &v1::Filing, lists: &CodeLists) -> Vec<v1::Finding> {
    let mut findings = Findings::default();
    let empty = v1::FilingCore::default();
    let core = filing.core.as_ref().unwrap_or(&empty);
    let mut check = Check { filing, core, lists, out: &mut findings };
    check.identity();
    check.items();
    check.values();
    findings.warnings
}

struct Check<'a> {
    filing: &'a v1::Filing,
    core: &'a v1::FilingCore,
    lists: &'a CodeLists,
    out: &'a mut Findings,
}

impl Check<'_> {
    fn column(&self) -> Column {
        match (self.core.partial, self.core.r#type()) {
            (true, _) => Column::Partial,
            (false, FilingType::Export) => Column::Export,
            (false, FilingType::Import) => Column::Import,
            (false, FilingType::Transit) => Column::Transit,
            (false, _) => Column::Advance,
        }
    }

    /// An optional text that must hold if it is there.
    fn optional(&mut self, path: &str, value: &str, holds: impl Fn(&str) -> bool, say: Say<'_>) {
        if !value.is_empty() && !holds(value) {
            self.out.violation(path, value, say);
        }
    }

    fn presence(&mut self) {
        let column = self.column();
        let missing = Say {
            code: "element-missing",
            allowed: "mandatory for this type and category of filing",
            fix: "fill this element in",
        };
        let category = self.core.category();
        for element in ELEMENTS.iter().filter(|e| e.need(column, category) == Need::M) {
            match element.place {
                Place::Filing(there) => {
                    if !there(self.filing) {
                        self.out.violation(element.path, "", missing);
                    }
                }
                Place::Item(there) => {
                    let absent: Vec<usize> =
                        self.each_item().filter(|(_, item)| !there(item)).map(|(i, _)| i).collect();
                    for index in absent {
                        let path = element.path.replace("[]", &format!("[{index}]"));
                        self.out.violation(&path, "", missing);
                    }
                }
            }
        }
    }

    fn each_item(&self) -> impl Iterator<Item = (usize, Item<'_>)> {
        let goods = self.filing.goods.as_ref().map_or(&[][..], |g| &g.items);
        let value = self.filing.value.as_ref().map_or(&[][..], |v| &v.items);
        let join = move |(i, core): (usize, _)| {
            (i, Item { core, goods: goods.get(i), value: value.get(i) })
        };
        self.core.items.iter().enumerate().map(join)
    }

    fn identity(&mut self) {
        let core = self.core;
        if core.r#type != 0 && core.r#type() == FilingType::Unspecified {
            let say = Say {
                code: "filing-type",
                allowed: "FILING_TYPE_EXPORT, FILING_TYPE_ADVANCE, FILING_TYPE_TRANSIT or FILING_TYPE_IMPORT",
                fix: "say what the filing is for",
            };
            self.out.violation("core.type", core.r#type().as_str_name(), say);
        }
        if core.category != 0 && core.category() == Category::Unspecified {
            let say = Say {
                code: "category",
                allowed: "1 to 4",
                fix: "choose the WCO immediate release category",
            };
            self.out.violation("core.category", &core.category.to_string(), say);
        }
        if core.function() == FilingFunction::Amendment && core.filing_id.is_empty() {
            let say = Say {
                code: "amendment",
                allowed: "the filing id to amend",
                fix: "fill in core.filing_id",
            };
            self.out.violation("core.filing_id", "", say);
        }
        let say = Say {
            code: "lrn",
            allowed: "1-22 of A-Z a-z 0-9 - / . _",
            fix: "use a shorter or plainer reference",
        };
        self.optional("core.lrn", &core.lrn, |t| Lrn::parse(t).is_some(), say);
        let say = Say {
            code: "ucr",
            allowed: "year digit, country, company and reference, at most 35 of A-Z 0-9 - / ( )",
            fix: "leave it empty and the hub makes one",
        };
        self.optional("core.ucr", &core.ucr, ucr_syntax, say);
        match judge(&core.mrn) {
            _ if core.mrn.is_empty() => {}
            MrnVerdict::Good => {}
            MrnVerdict::CheckDigit => {
                let say = Say {
                    code: "mrn-check-digit",
                    allowed: "18th character by ISO 6346",
                    fix: "compare the number",
                };
                self.out.warning("core.mrn", &core.mrn, say);
            }
            MrnVerdict::Syntax => {
                let say = Say {
                    code: "mrn",
                    allowed: "an18: year, country, 13 characters, check digit",
                    fix: "correct it",
                };
                self.out.violation("core.mrn", &core.mrn, say);
            }
        }
    }

    fn parties(&mut self) {
        let core = self.core;
        let id = Say {
            code: "party-id",
            allowed: "country prefix and national id, A-Z 0-9 -, at most 35",
            fix: "put the country's two letters before the national number",
        };
        for (path, value) in [
            ("core.declarant_id", &core.declarant_id),
            ("core.agent_id", &core.agent_id),
            ("core.exporter_id", &core.exporter_id),
            ("core.importer_id", &core.importer_id),
        ] {
            self.optional(path, value, party_id_syntax, id);
        }
        let status_ok =
            matches!((core.agent_id.is_empty(), core.agent_status), (true, 0) | (false, 2 | 3));
        if !status_ok {
            let say = Say {
                code: "agent-status",
                allowed: "2 direct or 3 indirect, with an agent; else 0",
                fix: "correct one of the two",
            };
            self.out.violation("core.agent_status", &core.agent_status.to_string(), say);
        }
        let text =
            Say { code: "text-length", allowed: "at most 512 characters", fix: "shorten it" };
        let short = |t: &str| t.chars().count() <= TEXT_CHARS_MAX;
        self.optional("core.exporter_name", &core.exporter_name, short, text);
        self.optional("core.importer_name", &core.importer_name, short, text);
        let Some(parties) = &self.filing.parties else { return };
        let addresses = [
            ("parties.exporter_address.country", parties.exporter_address.as_ref()),
            ("parties.importer_address.country", parties.importer_address.as_ref()),
        ];
        for (path, address) in addresses {
            let country = address.map_or("", |a| &a.country);
            self.optional(path, country, |c| Country::parse(c).is_some(), COUNTRY);
        }
    }

    fn route(&mut self) {
        let core = self.core;
        for (path, value) in [
            ("core.country_of_export", &core.country_of_export),
            ("core.country_of_destination", &core.country_of_destination),
        ] {
            self.optional(path, value, |c| Country::parse(c).is_some(), COUNTRY);
        }
        let mode = Say {
            code: "transport-mode",
            allowed: "1 sea, 2 rail, 3 road, 4 air, 5 post, 6 multimodal, 7 fixed, 8 inland water, 9 other (UN/ECE Rec 19)",
            fix: "use one digit",
        };
        self.optional(
            "core.transport_mode",
            &core.transport_mode,
            |m| TRANSPORT_MODES.contains(&m),
            mode,
        );
        let class = Say {
            code: "retention-class",
            allowed: "at most 64 bytes",
            fix: "use the class's short name",
        };
        let short = |c: &str| c.len() <= RETENTION_CLASS_BYTES_MAX;
        self.optional("core.retention_class", &core.retention_class, short, class);
        let day = Say { code: "date", allowed: "a day as YYYY-MM-DD", fix: "correct the day" };
        self.optional("core.departure_date", &core.departure_date, day_syntax, day);
        self.locode("core.port_of_discharge", &core.port_of_discharge);
        if let Some(goods) = &self.filing.goods {
            self.locode("goods.location", &goods.location);
        }
        let office = Say {
            code: "office",
            allowed: "country and six of A-Z 0-9",
            fix: "look the office up in its country's list",
        };
        for (i, value) in core.offices.iter().enumerate() {
            let path = format!("core.offices[{i}]");
            self.optional(&path, value, office_syntax, office);
            self.code(&path, ListKind::Offices, value, office);
        }
        let transit = core.r#type() == FilingType::Transit;
        if transit && !core.offices.is_empty() && !crosses_one_territory(core) {
            let say = Say {
                code: "transit-office",
                allowed: "offices of one territory between export and destination",
                fix: "file one transit filing for each territory that the goods cross",
            };
            self.out.violation("core.offices", &core.offices.join(" "), say);
        }
        if let Some(goods) = &self.filing.goods {
            let cited = attachment::check("goods.attachments", &goods.attachments);
            self.out.violations.extend(cited);
            if goods.containers.len() > CONTAINERS_MAX {
                let say = Say {
                    code: "containers",
                    allowed: "at most 100 containers",
                    fix: "split the filing",
                };
                let count = goods.containers.len().to_string();
                self.out.violation("goods.containers", &count, say);
            }
            let limit = &goods.transit_time_limit;
            self.optional("goods.transit_time_limit", limit, day_syntax, day);
        }
    }

    fn locode(&mut self, path: &str, value: &str) {
        let syntax = Say {
            code: "locode",
            allowed: "country and three of A-Z 2-9 (UN/LOCODE)",
            fix: "look the place up in UN/LOCODE",
        };
        self.optional(path, value, locode_syntax, syntax);
        if locode_syntax(value) {
            let say = Say {
                code: "locode-unlisted",
                allowed: "a code of the UN/LOCODE edition in use",
                fix: syntax.fix,
            };
            self.code(path, ListKind::Locodes, value, say);
        }
    }

    fn items(&mut self) {
        let core = self.core;
        if core.items.is_empty() || core.items.len() > ITEMS_MAX {
            let say = Say {
                code: "items",
                allowed: "1 to 999 items",
                fix: "add items or split the filing",
            };
            self.out.violation("core.items", &core.items.len().to_string(), say);
        }
        let lengths = [
            ("goods.items", self.filing.goods.as_ref().map(|g| g.items.len())),
            ("value.items", self.filing.value.as_ref().map(|v| v.items.len())),
        ];
        for (path, len) in lengths {
            // An absent part says nothing here: whether it is mandatory is the table's business.
            let documents = core.category() == Category::Documents;
            let may_lack_items = core.partial || documents || core.r#type() == FilingType::Transit;
            if let Some(len) =
                len.filter(|l| *l != core.items.len() && (*l != 0 || !may_lack_items))
            {
                let say = Say {
                    code: "items-differ",
                    allowed: "as many items as in part core",
                    fix: "give each item in each part",
                };
                self.out.violation(path, &len.to_string(), say);
            }
        }
        for (part, i, number) in numbers_beside_core(self.filing) {
            if number as usize != i + 1 {
                let say = Say {
                    code: "items-differ",
                    allowed: "items in the order of part core, with its numbers",
                    fix: "give each item at the same place in each part",
                };
                self.out.violation(&format!("{part}.items[{i}].number"), &number.to_string(), say);
            }
        }
        for (i, item) in core.items.iter().enumerate() {
            if item.number as usize != i + 1 && item.number != 0 {
                let say = Say {
                    code: "item-number",
                    allowed: "1, 2, 3 … without gaps",
                    fix: "number the items in order",
                };
                self.out.violation(
                    &format!("core.items[{i}].number"),
                    &item.number.to_string(),
                    say,
                );
            }
            self.commodity(i, item);
            self.origin(i, item);
            self.quantity(i, item);
        }
        let Some(goods) = &self.filing.goods else { return };
        self.mass("goods.gross_mass_kg", &goods.gross_mass_kg, None);
        for (i, item) in goods.items.iter().enumerate() {
            let text =
                Say { code: "text-length", allowed: "at most 512 characters", fix: "shorten it" };
            let short = |t: &str| t.chars().count() <= TEXT_CHARS_MAX;
            self.optional(&format!("goods.items[{i}].description"), &item.description, short, text);
            self.mass(&format!("goods.items[{i}].gross_mass_kg"), &item.gross_mass_kg, None);
            self.mass(
                &format!("goods.items[{i}].net_mass_kg"),
                &item.net_mass_kg,
                Some("zero-mass"),
            );
            self.package(&format!("goods.items[{i}].package_type"), &item.package_type);
        }
    }

    fn commodity(&mut self, i: usize, item: &v1::CoreItem) {
        let (path, code) = (format!("core.items[{i}].commodity_code"), &item.commodity_code);
        let syntax = Say {
            code: "commodity-code",
            allowed: "6 to 10 digits, chapters 01-76 and 78-99",
            fix: "look the code up in the HS",
        };
        self.optional(&path, code, hs_syntax, syntax);
        let six = code.get(..6).unwrap_or_default();
        if !hs_syntax(code) {
            return;
        }
        match self.lists.listed(ListKind::Hs, six) {
            Listed::Yes | Listed::Unlisted | Listed::Unknown => {}
            Listed::Ended(ended) => self.ended(&path, ListKind::Hs, code, &ended, "hs-left-list"),
            // Real data holds codes of older editions: kept as declared, and told.
            Listed::No => {
                let allowed = format!("a code of {}", self.lists.edition(ListKind::Hs));
                let fix = "use the code that replaced it";
                let say = Say { code: "hs-left-list", allowed: &allowed, fix };
                self.out.warning(&path, code, say);
            }
        }
    }

    fn origin(&mut self, i: usize, item: &v1::CoreItem) {
        let path = format!("core.items[{i}].origin");
        if item.origin == "ZZ" {
            let say = Say {
                code: "origin-unknown",
                allowed: "ISO 3166-1 alpha-2",
                fix: "ask the maker for the origin",
            };
            self.out.warning(&path, "ZZ", say);
        } else {
            self.optional(&path, &item.origin, |c| Country::parse(c).is_some(), COUNTRY);
        }
    }

    fn quantity(&mut self, i: usize, item: &v1::CoreItem) {
        let Some(quantity) = &item.quantity else { return };
        let path = format!("core.items[{i}].quantity");
        let number = Say {
            code: "quantity",
            allowed: "a decimal, not negative",
            fix: "write digits and at most one point",
        };
        self.optional(
            &format!("{path}.value"),
            &quantity.value,
            |v| parse_decimal(v).is_ok(),
            number,
        );
        let unit = Say {
            code: "unit",
            allowed: "a code of UN/ECE Rec 20, e.g. KGM or H87",
            fix: "look the unit up",
        };
        let syntax = |u: &str| {
            (2..=3).contains(&u.len())
                && u.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        match self.lists.listed(ListKind::Units, &quantity.unit) {
            Listed::Yes => {}
            Listed::Ended(ended) => {
                let path = format!("{path}.unit");
                self.ended(&path, ListKind::Units, &quantity.unit, &ended, "code-ended");
            }
            Listed::No => self.out.violation(&format!("{path}.unit"), &quantity.unit, unit),
            Listed::Unlisted | Listed::Unknown if syntax(&quantity.unit) => {
                let say = Say { code: "unit-unlisted", ..unit };
                self.out.warning(&format!("{path}.unit"), &quantity.unit, say);
            }
            Listed::Unlisted | Listed::Unknown => {
                self.out.violation(&format!("{path}.unit"), &quantity.unit, unit);
            }
        }
    }

    fn mass(&mut self, path: &str, value: &str, zero: Option<&'static str>) {
        let say = Say {
            code: "mass",
            allowed: "decimal kilograms, at most 17 digits after the point",
            fix: "write digits and at most one point",
        };
        match parse_decimal(value) {
            _ if value.is_empty() => {}
            Err(_) => self.out.violation(path, value, say),
            Ok(mass) => {
                if let Some(code) = zero.filter(|_| mass.is_zero()) {
                    let say = Say { code, allowed: "more than zero", fix: "weigh the goods" };
                    self.out.warning(path, value, say);
                }
            }
        }
    }

    fn values(&mut self) {
        let Some(value) = &self.filing.value else { return };
        let total = value.invoice_total.as_ref();
        self.money("value.invoice_total", total, Declared::Total);
        self.money("value.freight", value.freight.as_ref(), Declared::Total);
        self.money("value.insurance", value.insurance.as_ref(), Declared::Total);
        let guarantee = value.guarantee.as_ref().and_then(|g| g.amount.as_ref());
        self.money("value.guarantee.amount", guarantee, Declared::Total);
        for (i, item) in value.items.iter().enumerate() {
            self.money(&format!("value.items[{i}].value"), item.value.as_ref(), Declared::Price);
        }
        let terms =
            Say { code: "terms", allowed: "an Incoterms 2020 code", fix: "e.g. DAP or FOB" };
        if !value.terms.is_empty() {
            match self.lists.listed(ListKind::Incoterms, &value.terms) {
                Listed::Yes => {}
                Listed::Ended(ended) => {
                    let kind = ListKind::Incoterms;
                    self.ended("value.terms", kind, &value.terms, &ended, "code-ended");
                }
                Listed::No | Listed::Unlisted | Listed::Unknown => {
                    self.out.violation("value.terms", &value.terms, terms);
                }
            }
        }
        self.locode("value.terms_location", &value.terms_location);
    }

    fn money(&mut self, path: &str, money: Option<&v1::Money>, declared: Declared) {
        let Some(money) = money else { return };
        let (amount, currency) = (money.amount.as_str(), money.currency.as_str());
        match Money::parse(amount, currency) {
            Err(QuantityError::Currency) => {
                let say = Say { code: "currency", allowed: "an ISO 4217 code", fix: "e.g. EUR" };
                self.out.violation(&format!("{path}.currency"), currency, say);
            }
            Err(_) => {
                let say = Say {
                    code: "amount",
                    allowed: "a decimal, not negative, at most 17 digits after the point",
                    fix: "write digits and at most one point",
                };
                self.out.violation(&format!("{path}.amount"), amount, say);
            }
            Ok(parsed) => {
                if parsed.exceeds_minor_unit() && declared == Declared::Price {
                    let digits = parsed.currency().exponent().unwrap_or_default();
                    let allowed = format!("{digits} digits after the point in {currency}");
                    let say = Say {
                        code: "price-fraction",
                        allowed: &allowed,
                        fix: "kept as declared; payables are rounded by rule",
                    };
                    self.out.warning(&format!("{path}.amount"), amount, say);
                }
                if parsed.amount().is_zero() && declared == Declared::Price {
                    let say = Say {
                        code: "zero-price",
                        allowed: "more than zero",
                        fix: "declare the value of the goods",
                    };
                    self.out.warning(&format!("{path}.amount"), amount, say);
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Declared {
    Price,
    Total,
}

const COUNTRY: Say<'_> = Say {
    code: "country",
    allowed: "ISO 3166-1 alpha-2, XI, XK or EU",
    fix: "use two capital letters",
};

/// Sums of item values by currency, exact; empty where the part is withheld.
#[must_use]
pub fn value_sums(filing: &v1::Filing) -> Vec<v1::Money> {
    let mut sums: std::collections::BTreeMap<String, ExactSum> = std::collections::BTreeMap::new();
    let items = filing.value.as_ref().map_or(&[][..], |v| &v.items);
    for money in items.iter().filter_map(|i| i.value.as_ref()) {
        if let Ok(parsed) = Money::parse(&money.amount, &money.currency) {
            // A sum past 20 whole digits can't come from 999 items of at most 28 digits that parsed; kept if it does.
            let _ = sums.entry(money.currency.clone()).or_default().add(parsed.amount());
        }
    }
    sums.into_iter()
        .map(|(currency, sum)| v1::Money { amount: sum.to_string(), currency })
        .collect()
}

/// Sum of net masses, decimal kilograms; empty where the part is withheld.
#[must_use]
pub fn net_mass_sum(filing: &v1::Filing) -> String {
    let Some(goods) = &filing.goods else { return String::new() };
    let mut sum = ExactSum::default();
    for mass in goods.items.iter().filter_map(|i| parse_decimal(&i.net_mass_kg).ok()) {
        let _ = sum.add(mass);
    }
    sum.to_string()
}
