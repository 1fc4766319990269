//! The table of data elements: which path, and whether it is mandatory by filing type. Their WCO paths stand in [`crate::wco`].
//!
//! One table decides what is mandatory (trade.md, "Data elements"); numbers are those of its first column.

use ewtp_proto::v1;
use v1::ConsignmentCategory as Category;

/// Which column of the table counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// A complete export filing.
    Export,
    /// A complete advance filing: nobody is declarant at the destination before adoption.
    Advance,
    /// A pre-load "7+1" filing, completed later.
    Partial,
    /// An import filing: lodged apart, or from an adoption.
    Import,
    /// A transit filing: what the hub on the way needs.
    Transit,
}

/// Whether an element must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Mandatory.
    M,
    /// Depends or is optional: checked where given.
    O,
}

/// Where an element stands.
#[derive(Clone, Copy)]
pub enum Place {
    /// Once per filing.
    Filing(fn(&v1::Filing) -> bool),
    /// Once per item.
    Item(fn(&Item<'_>) -> bool),
}

/// One item across the parts.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    /// In part `core`.
    pub core: &'a v1::CoreItem,
    /// In part `goods`.
    pub goods: Option<&'a v1::GoodsItem>,
    /// In part `value`.
    pub value: Option<&'a v1::ValueItem>,
}

/// A row of the table.
pub struct Element {
    /// Number in trade.md.
    pub number: u8,
    /// Our path; `[]` stands for an item.
    pub path: &'static str,
    /// Needs in the order export, advance, partial, import, transit.
    pub needs: [Need; 5],
    /// Whether it is there.
    pub place: Place,
}

/// What a category of consignment is excused from (trade.md, columns H7 and CN23; WCO Immediate Release Guidelines): documents have
/// neither tariff nor value, and origin isn't asked of a low value on its way in.
const EXCUSED: &[(&str, &[Category], &[Column])] = &[
    ("core.items[].commodity_code", &[Category::Documents], ALL),
    ("core.items[].quantity", &[Category::Documents], ALL),
    ("core.items[].origin", &[Category::Documents], ALL),
    ("core.items[].origin", &[Category::LowValueFree, Category::LowValueDutiable], INWARD),
    ("value.invoice_total", &[Category::Documents], ALL),
    ("value.items[].value", &[Category::Documents], ALL),
];
const ALL: &[Column] =
    &[Column::Export, Column::Advance, Column::Partial, Column::Import, Column::Transit];
const INWARD: &[Column] = &[Column::Advance, Column::Partial, Column::Import];

impl Element {
    /// Whether it must be there in a filing of this category.
    #[must_use]
    pub fn need(&self, column: Column, category: Category) -> Need {
        let excused = EXCUSED.iter().any(|(path, categories, columns)| {
            *path == self.path && categories.contains(&category) && columns.contains(&column)
        });
        if excused { Need::O } else { self.by_type(column) }
    }

    const fn by_type(&self, column: Column) -> Need {
        match column {
            Column::Export => self.needs[0],
            Column::Advance => self.needs[1],
            Column::Partial => self.needs[2],
            Column::Import => self.needs[3],
            Column::Transit => self.needs[4],
        }
    }
}

fn core(f: &v1::Filing) -> Option<&v1::FilingCore> {
    f.core.as_ref()
}

fn some(text: Option<&String>) -> bool {
    text.is_some_and(|t| !t.is_empty())
}

fn address(a: Option<&v1::Address>) -> bool {
    a.is_some_and(|a| !a.city.is_empty() && !a.country.is_empty())
}

fn money(m: Option<&v1::Money>) -> bool {
    m.is_some_and(|m| !m.amount.is_empty() && !m.currency.is_empty())
}

use Need::{M, O};
use Place::{Filing as F, Item as I};

/// The table: one row an element, so that it reads as one.
#[rustfmt::skip]
pub const ELEMENTS: &[Element] = &[
    Element { number: 1, path: "core.function", needs: [M, M, M, M, M], place: F(|f| core(f).is_some_and(|c| c.function != 0)) },
    Element { number: 2, path: "core.lrn", needs: [M, M, M, M, M], place: F(|f| some(core(f).map(|c| &c.lrn))) },
    Element { number: 3, path: "core.mrn", needs: [O, O, O, O, O], place: F(|_| true) },
    Element { number: 5, path: "core.type", needs: [M, M, M, M, M], place: F(|f| core(f).is_some_and(|c| c.r#type != 0)) },
    Element { number: 39, path: "core.category", needs: [M, M, M, M, M], place: F(|f| core(f).is_some_and(|c| c.category != 0)) },
    Element { number: 7, path: "goods.total_packages", needs: [O, O, M, O, M], place: F(|f| f.goods.as_ref().is_some_and(|g| g.total_packages > 0)) },
    Element { number: 8, path: "goods.gross_mass_kg", needs: [M, M, M, M, M], place: F(|f| some(f.goods.as_ref().map(|g| &g.gross_mass_kg))) },
    Element { number: 9, path: "core.declarant_id", needs: [M, O, O, M, M], place: F(|f| some(core(f).map(|c| &c.declarant_id))) },
    Element { number: 10, path: "core.agent_id", needs: [O, O, O, O, O], place: F(|_| true) },
    Element { number: 10, path: "core.agent_status", needs: [O, O, O, O, O], place: F(|_| true) },
    Element { number: 11, path: "core.exporter_id", needs: [M, O, O, O, O], place: F(|f| some(core(f).map(|c| &c.exporter_id))) },
    Element { number: 11, path: "core.exporter_name", needs: [M, M, M, M, M], place: F(|f| some(core(f).map(|c| &c.exporter_name))) },
    Element { number: 11, path: "parties.exporter_address", needs: [M, M, M, M, M], place: F(|f| address(f.parties.as_ref().and_then(|p| p.exporter_address.as_ref()))) },
    Element { number: 12, path: "core.importer_id", needs: [O, O, O, M, O], place: F(|f| some(core(f).map(|c| &c.importer_id))) },
    Element { number: 12, path: "core.importer_name", needs: [M, M, M, M, M], place: F(|f| some(core(f).map(|c| &c.importer_name))) },
    Element { number: 12, path: "parties.importer_address", needs: [M, M, M, M, O], place: F(|f| address(f.parties.as_ref().and_then(|p| p.importer_address.as_ref()))) },
    Element { number: 13, path: "parties.seller", needs: [O, O, O, O, O], place: F(|_| true) },
    Element { number: 14, path: "parties.fiscal_reference", needs: [O, O, O, O, O], place: F(|_| true) },
    Element { number: 15, path: "core.ucr", needs: [O, O, O, O, O], place: F(|_| true) },
    Element { number: 19, path: "core.transport_mode", needs: [M, M, O, M, M], place: F(|f| some(core(f).map(|c| &c.transport_mode))) },
    Element { number: 20, path: "goods.transport_document", needs: [O, O, M, O, O], place: F(|f| some(f.goods.as_ref().map(|g| &g.transport_document))) },
    Element { number: 21, path: "core.departure_date", needs: [O, O, O, O, O], place: F(|_| true) },
    Element { number: 22, path: "goods.location", needs: [O, O, O, O, O], place: F(|_| true) },
    Element { number: 22, path: "core.port_of_discharge", needs: [O, O, O, O, O], place: F(|_| true) },
    Element { number: 23, path: "core.offices", needs: [O, O, O, O, M], place: F(|f| core(f).is_some_and(|c| !c.offices.is_empty())) },
    Element { number: 24, path: "core.country_of_export", needs: [M, M, M, M, M], place: F(|f| some(core(f).map(|c| &c.country_of_export))) },
    Element { number: 24, path: "core.country_of_destination", needs: [M, M, M, M, M], place: F(|f| some(core(f).map(|c| &c.country_of_destination))) },
    Element { number: 25, path: "value.invoice_total", needs: [M, M, O, M, O], place: F(|f| money(f.value.as_ref().and_then(|v| v.invoice_total.as_ref()))) },
    Element { number: 26, path: "value.freight", needs: [O, O, O, O, O], place: F(|_| true) },
    Element { number: 27, path: "value.terms", needs: [O, O, O, O, O], place: F(|_| true) },
    Element { number: 44, path: "value.guarantee", needs: [O, O, O, O, M], place: F(|f| f.value.as_ref().and_then(|v| v.guarantee.as_ref()).is_some_and(|g| !g.reference.is_empty() && money(g.amount.as_ref()))) },
    Element { number: 45, path: "goods.transit_time_limit", needs: [O, O, O, O, M], place: F(|f| some(f.goods.as_ref().map(|g| &g.transit_time_limit))) },
    Element { number: 39, path: "core.retention_class", needs: [M, M, M, M, M], place: F(|f| some(core(f).map(|c| &c.retention_class))) },
    Element { number: 28, path: "core.items[].number", needs: [M, M, M, M, M], place: I(|i| i.core.number > 0) },
    Element { number: 29, path: "goods.items[].description", needs: [M, M, M, M, M], place: I(|i| some(i.goods.map(|g| &g.description))) },
    Element { number: 30, path: "core.items[].commodity_code", needs: [M, M, O, M, M], place: I(|i| !i.core.commodity_code.is_empty()) },
    Element { number: 31, path: "core.items[].origin", needs: [M, M, O, M, M], place: I(|i| !i.core.origin.is_empty()) },
    Element { number: 32, path: "value.items[].value", needs: [M, M, O, M, O], place: I(|i| i.value.is_some_and(|v| money(v.value.as_ref()) || money(v.price.as_ref()))) },
    Element { number: 33, path: "goods.items[].gross_mass_kg", needs: [M, M, O, M, M], place: I(|i| i.goods.is_some_and(|g| !g.gross_mass_kg.is_empty() || !g.net_mass_kg.is_empty())) },
    Element { number: 33, path: "goods.items[].net_mass_kg", needs: [O, O, O, O, O], place: I(|_| true) },
    Element { number: 34, path: "core.items[].quantity", needs: [M, M, O, M, O], place: I(|i| i.core.quantity.as_ref().is_some_and(|q| !q.value.is_empty())) },
    Element { number: 35, path: "goods.items[].package_type", needs: [O, O, O, O, O], place: I(|_| true) },
    Element { number: 36, path: "goods.items[].procedure", needs: [M, O, O, O, O], place: I(|i| some(i.goods.map(|g| &g.procedure))) },
];

/// Part, place and number of each item of the parts beside `core` that has a number: it is to stand where `core` has that number.
pub fn numbers_beside_core(
    filing: &v1::Filing,
) -> impl Iterator<Item = (&'static str, usize, u32)> {
    let goods = filing.goods.iter().flat_map(|g| &g.items).enumerate();
    let value = filing.value.iter().flat_map(|v| &v.items).enumerate();
    let goods = goods.map(|(at, item)| ("goods", at, item.number));
    let value = value.map(|(at, item)| ("value", at, item.number));
    goods.chain(value).filter(|(_, _, number)| *number != 0)
}
