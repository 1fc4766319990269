//! The elements that only some filings have: national declarations, transport, documents, declared duties.
//!
//! Checked where they are there; what is mandatory is the table's business. Countries, offices, modes, packages and amounts by their
//! lists, everything else by its length, and every list by its number.

use ewtp_proto::v1;

use super::{COUNTRY, Check, Declared, TEXT_CHARS_MAX};
use crate::codes::{Country, TRANSPORT_MODES, day_syntax, office_syntax};
use crate::finding::Say;
use crate::lists::ListKind;
use crate::mrn::{MrnVerdict, judge};
use crate::quantity::parse_decimal;

/// Most entries of a list of one kind at one place: documents, statements, classifications, duties, seals …
pub const ENTRIES_MAX: usize = 99;
/// Most simplified declarations that one filing supplements: a case is found by each.
pub const SUPPLEMENTS_MAX: usize = 200;
/// Most elements of a foreign document that are carried along, in one part.
pub const CARRIED_MAX: usize = 2000;
/// Longest path of a carried element, bytes.
pub const CARRIED_PATH_BYTES_MAX: usize = 400;

const TEXT: Say<'_> =
    Say { code: "text-length", allowed: "at most 512 characters", fix: "shorten it" };
const OFFICE: Say<'_> = Say {
    code: "office",
    allowed: "country and six of A-Z 0-9",
    fix: "look the office up in its country's list",
};

/// Most items have none of this, and no paths are made for them.
fn is_plain(item: &v1::GoodsItem) -> bool {
    item.documents.is_empty()
        && item.previous_documents.is_empty()
        && item.statements.is_empty()
        && item.further_packaging.is_empty()
        && item.classifications.is_empty()
        && item.further_origins.is_empty()
        && item.containers.is_empty()
        && item.additional_procedures.len() <= ENTRIES_MAX
        && item.country_of_export.is_empty()
        && item.country_of_destination.is_empty()
}

impl Check<'_> {
    pub(super) fn vocabulary(&mut self) {
        self.national();
        if let Some(parties) = &self.filing.parties {
            self.further_parties(parties);
        }
        if let Some(goods) = &self.filing.goods {
            self.transport(goods);
            self.documents("goods.documents", &goods.documents);
            self.documents("goods.previous_documents", &goods.previous_documents);
            self.statements("goods.statements", &goods.statements);
            self.carried("goods.carried", &goods.carried);
            for (i, item) in goods.items.iter().enumerate().filter(|(_, item)| !is_plain(item)) {
                self.goods_item(&format!("goods.items[{i}]"), item);
            }
        }
        if let Some(value) = &self.filing.value {
            self.values_of_items(value);
            self.carried("value.carried", &value.carried);
        }
    }

    /// What a national declaration says of itself.
    fn national(&mut self) {
        let core = self.core;
        let kind = Say {
            code: "declaration-type",
            allowed: "two to four of A-Z 0-9, e.g. IMD",
            fix: "use the national system's type",
        };
        let short =
            |t: &str| (2..=4).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric());
        self.optional("core.declaration_type", &core.declaration_type, short, kind);
        let time = Say {
            code: "time",
            allowed: "RFC 3339 with offset, or a day as YYYY-MM-DD",
            fix: "e.g. 2026-11-01T08:00:00+01:00",
        };
        let instant = |t: &str| day_syntax(t) || t.parse::<jiff::Timestamp>().is_ok();
        self.optional("core.acceptance_time", &core.acceptance_time, instant, time);
        self.optional("core.issue_time", &core.issue_time, instant, time);
        self.optional("core.declaration_office", &core.declaration_office, office_syntax, OFFICE);
        self.optional("core.supervising_office", &core.supervising_office, office_syntax, OFFICE);
        if let Some(authority) = &self.filing.authority {
            let ioss = Say {
                code: "ioss",
                allowed: "IM and ten digits",
                fix: "the number that VAT was prepaid under, as the tax office gave it",
            };
            let syntax = |t: &str| {
                let digits = t.strip_prefix("IM");
                digits.is_some_and(|d| d.len() == 10 && d.bytes().all(|b| b.is_ascii_digit()))
            };
            self.optional("authority.ioss", &authority.ioss, syntax, ioss);
            self.carried("authority.carried", &authority.carried);
        }
        self.supplements();
        self.count("core.amendments", core.amendments.len());
        for (i, amendment) in core.amendments.iter().enumerate() {
            self.count(&format!("core.amendments[{i}].pointers"), amendment.pointers.len());
        }
    }

    /// Simplified declarations that this one completes afterwards, each once.
    fn supplements(&mut self) {
        let all = &self.core.supplements;
        let most = Say {
            code: "supplements",
            allowed: "at most 200 registration numbers, each once",
            fix: "aggregate fewer declarations in one, and name each once",
        };
        let repeated = all.iter().enumerate().any(|(i, mrn)| all.iter().take(i).any(|m| m == mrn));
        if all.len() > SUPPLEMENTS_MAX || repeated {
            self.out.violation("core.supplements", &all.len().to_string(), most);
            return;
        }
        let number = Say {
            code: "mrn",
            allowed: "18 characters: year, country, 14 of A-Z 0-9",
            fix: "name the simplified declaration as its hub registered it",
        };
        for (i, mrn) in all.iter().enumerate() {
            self.optional(
                &format!("core.supplements[{i}]"),
                mrn,
                |t| judge(t) != MrnVerdict::Syntax,
                number,
            );
        }
    }

    fn further_parties(&mut self, parties: &v1::FilingParties) {
        let named = [
            ("parties.seller", &parties.seller),
            ("parties.buyer", &parties.buyer),
            ("parties.carrier", &parties.carrier),
            ("parties.liable", &parties.liable),
            ("parties.represented", &parties.represented),
            ("parties.submitter", &parties.submitter),
            ("parties.platform", &parties.platform),
            ("parties.declarant", &parties.declarant),
            ("parties.agent", &parties.agent),
            ("parties.consignee", &parties.consignee),
        ];
        for (path, party) in named {
            let Some(party) = party else { continue };
            self.text(&format!("{path}.name"), &party.name);
            let Some(address) = &party.address else { continue };
            self.country(&format!("{path}.address.country"), &address.country);
            self.text(&format!("{path}.address.line"), &address.line);
            self.text(&format!("{path}.address.city"), &address.city);
        }
        self.count("parties.fiscal_references", parties.fiscal_references.len());
        self.count("parties.authorisations", parties.authorisations.len());
        self.count("parties.aeo", parties.aeo.len());
        self.carried("parties.carried", &parties.carried);
    }

    fn transport(&mut self, goods: &v1::FilingGoods) {
        let means = [
            ("goods.border_transport", &goods.border_transport),
            ("goods.arrival_transport", &goods.arrival_transport),
            ("goods.departure_transport", &goods.departure_transport),
        ];
        for (path, means) in means {
            let Some(means) = means else { continue };
            self.mode(&format!("{path}.mode"), &means.mode);
            self.country(&format!("{path}.nationality"), &means.nationality);
            self.text(&format!("{path}.id"), &means.id);
        }
        let yes_or_no = Say {
            code: "containerised",
            allowed: "1 in containers, 0 not",
            fix: "use one digit or leave it empty",
        };
        let digit = |t: &str| matches!(t, "0" | "1");
        self.optional("goods.containerised", &goods.containerised, digit, yes_or_no);
        if let Some(location) = &goods.goods_location {
            self.country("goods.goods_location.country", &location.country);
            self.text("goods.goods_location.name", &location.name);
        }
        self.count("goods.itinerary", goods.itinerary.len());
        for (i, country) in goods.itinerary.iter().enumerate() {
            self.country(&format!("goods.itinerary[{i}]"), country);
        }
        for (i, container) in goods.containers.iter().enumerate() {
            self.count(&format!("goods.containers[{i}].seals"), container.seals.len());
        }
    }

    fn goods_item(&mut self, path: &str, item: &v1::GoodsItem) {
        self.documents(&format!("{path}.documents"), &item.documents);
        self.documents(&format!("{path}.previous_documents"), &item.previous_documents);
        self.statements(&format!("{path}.statements"), &item.statements);
        self.country(&format!("{path}.country_of_export"), &item.country_of_export);
        self.country(&format!("{path}.country_of_destination"), &item.country_of_destination);
        let counts = [
            ("further_packaging", item.further_packaging.len()),
            ("classifications", item.classifications.len()),
            ("further_origins", item.further_origins.len()),
            ("containers", item.containers.len()),
            ("additional_procedures", item.additional_procedures.len()),
        ];
        for (list, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            self.count(&format!("{path}.{list}"), count);
        }
        for (i, origin) in item.further_origins.iter().enumerate() {
            self.country(&format!("{path}.further_origins[{i}].country"), &origin.country);
        }
        for (i, packages) in item.further_packaging.iter().enumerate() {
            self.package(&format!("{path}.further_packaging[{i}].type"), &packages.r#type);
        }
    }

    fn values_of_items(&mut self, value: &v1::FilingValue) {
        for (i, guarantee) in value.further_guarantees.iter().enumerate() {
            let path = format!("value.further_guarantees[{i}].amount");
            self.money(&path, guarantee.amount.as_ref(), Declared::Total);
        }
        self.count("value.further_guarantees", value.further_guarantees.len());
        let plain = |item: &v1::ValueItem| {
            item.price.is_none() && item.statistical_value.is_none() && item.duties.is_empty()
        };
        for (i, item) in value.items.iter().enumerate().filter(|(_, item)| !plain(item)) {
            let path = |field: &str| format!("value.items[{i}].{field}");
            if item.price.is_some() {
                self.money(&path("price"), item.price.as_ref(), Declared::Price);
            }
            if item.statistical_value.is_some() {
                let money = item.statistical_value.as_ref();
                self.money(&path("statistical_value"), money, Declared::Total);
            }
            self.count(&path("duties"), item.duties.len());
            for (k, duty) in item.duties.iter().enumerate() {
                let path = |field: &str| format!("value.items[{i}].duties[{k}].{field}");
                self.money(&path("assessed"), duty.assessed.as_ref(), Declared::Total);
                self.money(&path("payable"), duty.payable.as_ref(), Declared::Total);
                self.measured(&path("base"), duty.base.as_ref());
            }
        }
    }

    fn documents(&mut self, path: &str, documents: &[v1::DocumentReference]) {
        self.count(path, documents.len());
        for (i, document) in documents.iter().enumerate() {
            self.text(&format!("{path}[{i}].id"), &document.id);
            let kind = format!("{}{}", document.category, document.r#type);
            let say = Say {
                code: "document-type",
                allowed: "a type of the list in use",
                fix: "look the document's type up",
            };
            self.code(&format!("{path}[{i}].type"), ListKind::Documents, &kind, say);
            self.text(&format!("{path}[{i}].reason"), &document.reason);
            self.measured(&format!("{path}[{i}].quantity"), document.quantity.as_ref());
        }
    }

    fn statements(&mut self, path: &str, statements: &[v1::AdditionalStatement]) {
        self.count(path, statements.len());
        for (i, statement) in statements.iter().enumerate() {
            self.text(&format!("{path}[{i}].text"), &statement.text);
            self.count(&format!("{path}[{i}].pointers"), statement.pointers.len());
        }
    }

    fn carried(&mut self, path: &str, carried: &[v1::CarriedElement]) {
        let say = Say {
            code: "carried",
            allowed: "at most 2000 elements, each with a path of at most 400 bytes",
            fix: "name them, or leave them out",
        };
        if carried.len() > CARRIED_MAX {
            self.out.violation(path, &carried.len().to_string(), say);
        }
        for (i, element) in carried.iter().enumerate() {
            if element.path.is_empty() || element.path.len() > CARRIED_PATH_BYTES_MAX {
                self.out.violation(&format!("{path}[{i}].path"), &element.path, say);
            }
            self.text(&format!("{path}[{i}].value"), &element.value);
        }
    }

    fn count(&mut self, path: &str, count: usize) {
        if count > ENTRIES_MAX {
            let say =
                Say { code: "entries", allowed: "at most 99 entries", fix: "split the filing" };
            self.out.violation(path, &count.to_string(), say);
        }
    }

    fn text(&mut self, path: &str, value: &str) {
        self.optional(path, value, |t| t.chars().count() <= TEXT_CHARS_MAX, TEXT);
    }

    fn country(&mut self, path: &str, value: &str) {
        self.optional(path, value, |c| Country::parse(c).is_some(), COUNTRY);
    }

    fn mode(&mut self, path: &str, value: &str) {
        let say = Say {
            code: "transport-mode",
            allowed: "1 to 9 of UN/ECE Rec 19",
            fix: "use one digit",
        };
        self.optional(path, value, |m| TRANSPORT_MODES.contains(&m), say);
    }

    pub(super) fn package(&mut self, path: &str, value: &str) {
        if !value.is_empty() {
            let say = Say {
                code: "package-type",
                allowed: "a code of UN/ECE Rec 21",
                fix: "look the package up",
            };
            self.code(path, ListKind::Packages, value, say);
        }
    }

    /// A quantity whose unit may be a national one.
    fn measured(&mut self, path: &str, quantity: Option<&v1::Quantity>) {
        let Some(quantity) = quantity else { return };
        let say = Say {
            code: "quantity",
            allowed: "a decimal, not negative",
            fix: "write digits and at most one point",
        };
        let value = &quantity.value;
        self.optional(&format!("{path}.value"), value, |v| parse_decimal(v).is_ok(), say);
    }
}
