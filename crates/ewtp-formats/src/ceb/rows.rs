//! Which leaf of which message is which of our elements.

use super::codes::List;

/// How a leaf says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// As it is.
    Text,
    /// A count.
    Count,
    /// A registration with China Customs: `CN` stands before it here.
    Id,
    /// One of China Customs' four-digit offices: `CN00` stands before it here.
    Office,
    /// A code of a list.
    Code(List),
    /// `YYYYMMDD`.
    Day,
    /// `YYYYMMDDhhmmss` in China.
    Instant,
    /// 1 a new declaration, 2 a change.
    Function,
    /// An amount, whose currency is this leaf beside it.
    Money(&'static str),
    /// The same, if the third leaf says 3: an amount and no rate.
    Total(&'static str, &'static str),
    /// A count or measure, whose unit is this leaf beside it.
    Quantity(&'static str),
    /// Kilograms, if this leaf beside it says so.
    Kilograms(&'static str),
    /// A document's number; its type (UN/EDIFACT 1001) stands here.
    Document(&'static str),
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Kinds of messages, without `CEB`.
    pub(crate) kinds: &'static [&'static str],
    /// Name of the leaf.
    pub(crate) leaf: &'static str,
    /// Our path; `[]` stands for the item.
    pub(crate) ours: &'static str,
    pub(crate) how: How,
}

use How::{
    Code, Count, Day, Document, Function, Id, Instant, Kilograms, Money, Office, Quantity, Text,
    Total,
};

const fn row(
    kinds: &'static [&'static str],
    leaf: &'static str,
    ours: &'static str,
    how: How,
) -> Row {
    Row { kinds, leaf, ours, how }
}

/// Unit of masses, kilograms, with China Customs.
pub(crate) const KILOGRAMS: &str = "035";
/// An order, UN/EDIFACT 1001.
pub(crate) const ORDER: &str = "220";
const LICENCE: &str = "911";

const ALL: &[&str] = &["303", "311", "403", "411", "505", "511", "603", "621"];
const ORDERS: &[&str] = &["303", "311"];
const INVENTORIES: &[&str] = &["603", "621"];
const SOLD: &[&str] = &["303", "311", "403", "411", "603", "621"];
const NUMBERED: &[&str] = &["303", "311", "403", "411", "511", "603", "621"];
const SELLER: &[&str] = &["303", "311", "403", "505", "603", "621"];
const SENT: &[&str] = &["505", "511", "603", "621"];
const LISTED: &[&str] = &["303", "311", "603", "621"];

/// The table: heads, then lists.
#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    row(ALL, "appType", "core.function", Function),
    row(ALL, "appTime", "core.issue_time", Instant),
    row(NUMBERED, "orderNo", "goods.documents", Document(ORDER)),
    row(SOLD, "ebpCode", "parties.platform.id", Id),
    row(SOLD, "ebpName", "parties.platform.name", Text),
    row(SELLER, "ebcCode", "core.exporter_id", Id),
    row(SELLER, "ebcName", "core.exporter_name", Text),
    row(ORDERS, "goodsValue", "value.invoice_total", Money("currency")),
    row(&["303", "311", "505", "511", "621"], "freight", "value.freight", Money("currency")),
    row(&["505", "511", "621"], "insuredFee", "value.insurance", Money("currency")),
    row(&["603"], "freight", "value.freight", Total("fCurrency", "fFlag")),
    row(&["603"], "insuredFee", "value.insurance", Total("iCurrency", "iFlag")),
    row(&["311", "621"], "buyerName", "core.importer_name", Text),
    row(&["311", "621"], "buyerIdNumber", "authority.importer_tax_id", Text),
    row(&["411"], "payerName", "core.importer_name", Text),
    row(&["411"], "payerIdNumber", "authority.importer_tax_id", Text),
    row(&["311", "511"], "consignee", "parties.consignee.name", Text),
    row(&["311", "511", "621"], "consigneeAddress", "parties.importer_address.line", Text),
    row(SENT, "logisticsNo", "goods.transport_document", Text),
    row(&["511", "603", "621"], "billNo", "goods.master_document", Text),
    row(SENT, "logisticsCode", "parties.carrier.id", Id),
    row(SENT, "logisticsName", "parties.carrier.name", Text),
    row(&["511"], "weight", "goods.gross_mass_kg", Text),
    row(&["505", "603", "621"], "grossWeight", "goods.gross_mass_kg", Text),
    row(SENT, "packNo", "goods.total_packages", Count),
    row(INVENTORIES, "copNo", "core.lrn", Text),
    row(INVENTORIES, "invtNo", "core.mrn", Text),
    row(INVENTORIES, "customsCode", "core.declaration_office", Office),
    row(INVENTORIES, "portCode", "core.offices[0]", Office),
    row(&["603"], "ieDate", "core.departure_date", Day),
    row(INVENTORIES, "agentCode", "core.declarant_id", Id),
    row(INVENTORIES, "agentName", "parties.declarant.name", Text),
    row(&["603"], "ownerCode", "parties.seller.id", Id),
    row(&["603"], "ownerName", "parties.seller.name", Text),
    row(INVENTORIES, "tradeMode", "core.declaration_type", Text),
    row(INVENTORIES, "trafMode", "core.transport_mode", Code(List::Modes)),
    row(&["621"], "trafNo", "goods.border_transport.id", Text),
    row(&["603"], "trafName", "goods.border_transport.id", Text),
    row(INVENTORIES, "voyageNo", "core.conveyance", Text),
    row(INVENTORIES, "licenseNo", "goods.documents", Document(LICENCE)),
    row(&["621"], "country", "core.country_of_export", Code(List::Countries)),
    row(&["603"], "country", "core.country_of_destination", Code(List::Countries)),
    row(&["621"], "assureCode", "value.guarantee.reference", Text),
    row(LISTED, "gnum", "core.items[].number", Count),
    row(ORDERS, "itemName", "goods.items[].description", Text),
    row(INVENTORIES, "gname", "goods.items[].description", Text),
    row(INVENTORIES, "gcode", "core.items[].commodity_code", Text),
    row(&["311", "621"], "country", "core.items[].origin", Code(List::Countries)),
    row(&["603"], "country", "core.items[].origin", Code(List::Countries)),
    row(LISTED, "qty", "core.items[].quantity", Quantity("unit")),
    row(LISTED, "totalPrice", "value.items[].value", Money("currency")),
    row(INVENTORIES, "qty1", "goods.items[].net_mass_kg", Kilograms("unit1")),
    row(INVENTORIES, "qty2", "goods.items[].net_mass_kg", Kilograms("unit2")),
];

impl Row {
    /// Whether it stands in the list of items.
    pub(crate) fn is_item(&self) -> bool {
        self.ours.contains("[]")
    }

    /// Whether it holds in a kind of message.
    pub(crate) fn holds(&self, kind: &str) -> bool {
        self.kinds.iter().any(|k| kind.strip_prefix("CEB") == Some(k))
    }

    /// The leaf beside it that says a currency, a unit, or whether it counts.
    pub(crate) fn beside(&self) -> impl Iterator<Item = &'static str> {
        let (one, other) = match self.how {
            How::Money(one) | How::Quantity(one) | How::Kilograms(one) => (Some(one), None),
            How::Total(one, other) => (Some(one), Some(other)),
            _ => (None, None),
        };
        one.into_iter().chain(other)
    }
}

/// The part that a leaf without a name here is carried in: prices where prices are, people where people are.
pub(crate) fn part_of(leaf: &str) -> &'static str {
    const VALUE: &[&str] = &[
        "discount",
        "tax",
        "actural",
        "freight",
        "insured",
        "price",
        "totalPrice",
        "currency",
        "charge",
        "amount",
        "pay",
        "fCurrency",
        "iCurrency",
        "fFlag",
        "iFlag",
        "goodsValue",
        "accounting",
        "assure",
    ];
    const PARTIES: &[&str] = &[
        "buyer",
        "payer",
        "consignee",
        "telephone",
        "ebp",
        "ebc",
        "agent",
        "logisticsCode",
        "logisticsName",
        "owner",
        "iac",
        "cop",
        "dxp",
        "area",
        "status",
    ];
    // Numbers of people's identity cards are for agencies alone.
    if matches!(leaf, "buyerIdNumber" | "payerIdNumber") {
        return "authority";
    }
    let among = |names: &[&str]| names.iter().any(|n| leaf.starts_with(n));
    // A payer is a person, what is paid an amount; the number that a firm gives its declaration is nobody's name.
    match (among(PARTIES) && leaf != "copNo", among(VALUE)) {
        (true, _) => "parties",
        (false, true) => "value",
        (false, false) => "goods",
    }
}
