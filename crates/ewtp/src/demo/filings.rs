//! The filings of the story: what a cooperative's platform would type.

use ewtp_proto::v1;

/// The registered id of the story's exporter.
pub(crate) const EXPORTER: &str = "KEP051234567X";

/// What differs between the filings of the story.
pub(crate) struct Goods {
    pub(crate) lrn: String,
    pub(crate) exporter: &'static str,
    pub(crate) consignee: &'static str,
    pub(crate) destination: &'static str,
    /// HS code, description, kilograms, price in USD.
    pub(crate) items: Vec<(&'static str, &'static str, &'static str, &'static str)>,
    pub(crate) filer_note: &'static str,
}

/// An advance filing of these goods from Kenya.
pub(crate) fn advance(goods: &Goods) -> v1::SubmitRequest {
    let text = |t: &str| t.to_owned();
    let usd = |amount: &str| v1::Money { amount: text(amount), currency: text("USD") };
    let numbered = || (1u32..).zip(&goods.items);
    let core = v1::FilingCore {
        r#type: v1::FilingType::Advance as i32,
        function: v1::FilingFunction::Original as i32,
        lrn: goods.lrn.clone(),
        category: v1::ConsignmentCategory::HighValue as i32,
        exporter_id: text(EXPORTER),
        exporter_name: text(goods.exporter),
        importer_id: format!("{}0123456789", goods.destination),
        importer_name: text(goods.consignee),
        transport_mode: text("4"),
        conveyance: text("KQ100"),
        country_of_export: text("KE"),
        country_of_destination: text(goods.destination),
        retention_class: text("standard"),
        items: numbered()
            .map(|(number, (hs, _, kg, _))| v1::CoreItem {
                number,
                commodity_code: text(hs),
                origin: text("KE"),
                quantity: Some(v1::Quantity { value: text(kg), unit: text("KGM") }),
            })
            .collect(),
        ..Default::default()
    };
    let address = |city: &str, country: &str| {
        Some(v1::Address { city: text(city), country: text(country), ..Default::default() })
    };
    let total: u64 = goods.items.iter().filter_map(|(_, _, _, usd)| usd.parse::<u64>().ok()).sum();
    let mass: u64 = goods.items.iter().filter_map(|(_, _, kg, _)| kg.parse::<u64>().ok()).sum();
    let filing = v1::Filing {
        core: Some(core),
        parties: Some(v1::FilingParties {
            exporter_address: address("Nyeri", "KE"),
            importer_address: address("Gent", goods.destination),
            ..Default::default()
        }),
        goods: Some(v1::FilingGoods {
            gross_mass_kg: (mass + 2).to_string(),
            total_packages: goods.items.len() as u32,
            transport_document: format!("HAWB-{}", goods.lrn),
            items: numbered()
                .map(|(number, (_, description, kg, _))| v1::GoodsItem {
                    number,
                    description: text(description),
                    gross_mass_kg: text(kg),
                    net_mass_kg: text(kg),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }),
        value: Some(v1::FilingValue {
            invoice_total: Some(usd(&total.to_string())),
            terms: text("DAP"),
            items: numbered()
                .map(|(number, (_, _, _, price))| v1::ValueItem {
                    number,
                    value: Some(usd(price)),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let filer_note = text(goods.filer_note);
    v1::SubmitRequest { filing: Some(filing), filer_note, ..Default::default() }
}
