//! Filings that nobody typed: routes, goods and values from the seed, with sums that are known exactly.

use ewtp_proto::v1;

use super::chance::Chance;

/// A filing with what it adds up to, in millionths of the currency unit and of a kilogram.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) request: v1::SubmitRequest,
    pub(crate) sums: (i128, i128),
    pub(crate) destination: String,
}

/// Marks text that no other hub and no trader's view may hold.
pub(crate) const SECRET: &str = "FOR-OUR-EYES-ONLY";

/// What a country's filings may cite: a certificate of its hub for so many kilograms of coffee over all consignments, fewer than are filed.
pub(crate) const QUOTA_KG: u32 = 4000;

/// Number of that certificate.
pub(crate) fn quota(country: &str) -> String {
    format!("QUOTA-{country}")
}

/// Id of the party that holds it: the platform of the hub has it registered.
pub(crate) fn holder(country: &str) -> String {
    format!("{country}0123456789")
}

fn cited(country: &str) -> v1::DocumentReference {
    v1::DocumentReference {
        category: "C".into(),
        r#type: "085".into(),
        id: quota(country),
        ..Default::default()
    }
}

/// An advance filing from one country to another; with case and filing id it amends.
pub(crate) fn advance(
    chance: &mut Chance,
    lrn: &str,
    from: &str,
    to: &str,
    amends: (&str, &str),
) -> Made {
    let text = |t: &str| t.to_owned();
    let cites = chance.below(6) == 0;
    let count = 1 + chance.index(4);
    let (mut core_items, mut goods_items, mut value_items) = (Vec::new(), Vec::new(), Vec::new());
    let (mut cents, mut grams) = (0_u64, 0_u64);
    for number in 1..=count as u32 {
        let hs = match chance.below(40) {
            0 => "360100",
            1..=4 => "999800",
            _ => "090111",
        };
        let (price, mass) = (chance.between(1, 9_999_999), chance.between(1, 999_999));
        cents += price;
        grams += mass;
        let kilograms = format!("{}.{:03}", mass / 1000, mass % 1000);
        core_items.push(v1::CoreItem {
            number,
            commodity_code: text(hs),
            origin: text(from),
            quantity: Some(v1::Quantity { value: kilograms.clone(), unit: text("KGM") }),
        });
        goods_items.push(v1::GoodsItem {
            number,
            description: format!("Goods of kind {}", chance.below(1000)),
            gross_mass_kg: kilograms.clone(),
            net_mass_kg: kilograms,
            ..Default::default()
        });
        let amount = format!("{}.{:02}", price / 100, price % 100);
        let value = Some(v1::Money { amount, currency: text("USD") });
        value_items.push(v1::ValueItem { number, value, ..Default::default() });
    }
    let address = |country: &str| {
        Some(v1::Address { city: text("Town"), country: text(country), ..Default::default() })
    };
    let total = format!("{}.{:02}", cents / 100, cents % 100);
    let gross = format!("{}.{:03}", grams / 1000, grams % 1000);
    let filing = v1::Filing {
        core: Some(v1::FilingCore {
            r#type: v1::FilingType::Advance as i32,
            function: v1::FilingFunction::Original as i32,
            lrn: text(lrn),
            case_id: text(amends.0),
            filing_id: text(amends.1),
            category: v1::ConsignmentCategory::HighValue as i32,
            exporter_name: text("An exporter"),
            exporter_id: if cites { holder(from) } else { String::new() },
            importer_name: text("A consignee"),
            transport_mode: text("4"),
            country_of_export: text(from),
            country_of_destination: text(to),
            retention_class: text("standard"),
            items: core_items,
            ..Default::default()
        }),
        parties: Some(v1::FilingParties {
            exporter_address: address(from),
            importer_address: address(to),
            ..Default::default()
        }),
        goods: Some(v1::FilingGoods {
            gross_mass_kg: gross,
            items: goods_items,
            documents: cites.then(|| cited(from)).into_iter().collect(),
            ..Default::default()
        }),
        value: Some(v1::FilingValue {
            invoice_total: Some(v1::Money { amount: total, currency: text("USD") }),
            items: value_items,
            ..Default::default()
        }),
        ..Default::default()
    };
    let filer_note = format!("{SECRET} {lrn}");
    let request = v1::SubmitRequest { filing: Some(filing), filer_note, ..Default::default() };
    let sums = (i128::from(cents) * 10_000, i128::from(grams) * 1000);
    Made { request, sums, destination: text(to) }
}
