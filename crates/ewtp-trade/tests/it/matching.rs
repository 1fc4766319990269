//! An import filing beside the origin's: what agrees, what differs, what can't be compared.

use ewtp_proto::v1;
use ewtp_trade::matching::{compare, matches};
use proptest::prelude::*;

fn filing(kind: v1::FilingType, id: &str) -> v1::Filing {
    let money = |amount: &str| Some(v1::Money { amount: amount.into(), currency: "USD".into() });
    let item = |number, code: &str, count: &str| v1::CoreItem {
        number,
        commodity_code: code.into(),
        origin: "KE".into(),
        quantity: Some(v1::Quantity { value: count.into(), unit: "KGM".into() }),
    };
    let mass =
        |number, net: &str| v1::GoodsItem { number, net_mass_kg: net.into(), ..Default::default() };
    v1::Filing {
        core: Some(v1::FilingCore {
            r#type: kind as i32,
            filing_id: id.into(),
            version: 1,
            ucr: "6KE051234567X-1".into(),
            exporter_id: "KEP051234567X".into(),
            importer_id: "BE0123456789".into(),
            items: vec![item(1, "09011100", "600"), item(2, "090121", "40")],
            ..Default::default()
        }),
        goods: Some(v1::FilingGoods {
            gross_mass_kg: "660".into(),
            items: vec![mass(1, "600"), mass(2, "40")],
            ..Default::default()
        }),
        value: Some(v1::FilingValue {
            items: vec![
                v1::ValueItem { number: 1, value: money("4000.00"), ..Default::default() },
                v1::ValueItem { number: 2, value: money("500.00"), ..Default::default() },
            ],
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn pair() -> (v1::Filing, v1::Filing) {
    (filing(v1::FilingType::Export, "E"), filing(v1::FilingType::Import, "I"))
}

#[test]
fn the_same_goods_agree_whole_also_by_longer_codes() {
    let (export, mut import) = pair();
    import.core.as_mut().unwrap().items[0].commodity_code = "0901110010".into();
    let same = compare(&export, &import);
    assert_eq!((same.score, same.discrepancies.len(), same.found_by.as_str()), (100, 0, "ucr"));
    assert_eq!(same.compared.len(), 8);
    assert!(same.not_compared.is_empty());
}

#[test]
fn differences_beyond_their_tolerance_are_told_the_heaviest_first() {
    let (export, mut import) = pair();
    let core = import.core.as_mut().unwrap();
    core.ucr = "other".into();
    core.items[1].origin = "ET".into();
    core.items[0].quantity.as_mut().unwrap().value = "590".into();
    let goods = import.goods.as_mut().unwrap();
    // 5% of gross mass are tolerated, of the larger one: 660 and 693.
    goods.gross_mass_kg = "693".into();
    goods.items[0].net_mass_kg = "580".into();
    let value = import.value.as_mut().unwrap();
    value.items[0].value.as_mut().unwrap().amount = "4300.00".into();
    let found = compare(&export, &import);
    let told: Vec<String> = found
        .discrepancies
        .iter()
        .map(|d| format!("{}: {} / {} ({})", d.what, d.origin_says, d.import_says, d.tolerance))
        .collect();
    assert_eq!(
        told,
        [
            "value: 4500.00 USD / 4800.00 USD (5%)",
            "origin: 090111 KE; 090121 KE / 090111 KE; 090121 ET (none)",
            "quantity: 090111 600 KGM; 090121 40 KGM / 090111 590 KGM; 090121 40 KGM (none)",
            "net mass: 640 kg / 620 kg (2%)",
        ]
    );
    // Of 110 that were compared 25 + 15 + 15 + 10 differ.
    assert_eq!((found.score, found.found_by.as_str()), (40, "case"));
    import.goods.as_mut().unwrap().gross_mass_kg = "695".into();
    assert!(compare(&export, &import).discrepancies.iter().any(|d| d.what == "gross mass"));
}

#[test]
fn what_one_doesnt_say_or_may_not_be_seen_is_not_compared() {
    let (export, mut import) = pair();
    import.value = None;
    import.core.as_mut().unwrap().importer_id.clear();
    let found = compare(&export, &import);
    assert_eq!(found.not_compared, ["value", "consignee"]);
    assert_eq!(found.score, 100);
    // Another currency is no difference that a number could tell.
    let (export, mut import) = pair();
    for item in &mut import.value.as_mut().unwrap().items {
        item.value.as_mut().unwrap().currency = "EUR".into();
    }
    assert_eq!(compare(&export, &import).not_compared, ["value"]);
    let nothing = compare(&v1::Filing::default(), &v1::Filing::default());
    assert_eq!((nothing.score, nothing.compared.len()), (0, 0));
}

#[test]
fn a_case_compares_its_import_with_the_export_and_without_one_with_the_advance_filing() {
    let shown = |filing: v1::Filing| v1::CaseFiling { filing: Some(filing), ..Default::default() };
    let (export, import) = pair();
    let advance = filing(v1::FilingType::Advance, "A");
    let mut case = v1::Case {
        filings: vec![shown(advance), shown(import), shown(export)],
        ..Default::default()
    };
    let origin =
        |case: &v1::Case| matches(case).iter().map(|m| m.origin_filing.clone()).collect::<Vec<_>>();
    assert_eq!(origin(&case), ["E"]);
    case.invalidations.push(v1::CaseInvalidation {
        core: Some(v1::InvalidationCore { filing_id: "E".into(), ..Default::default() }),
        counts: true,
        ..Default::default()
    });
    assert_eq!(origin(&case), ["A"], "what was withdrawn is compared with nothing");
    case.filings.remove(0);
    assert_eq!(origin(&case), Vec::<String>::new());
}

proptest! {
    #[test]
    fn a_score_is_a_share_and_doesnt_depend_on_the_order_of_items(
        amounts in prop::collection::vec((1u32..100_000, 1u32..100_000, "[0-9]{6}"), 1..6),
        swap in any::<bool>(),
    ) {
        let make = |kind, column: usize| {
            let mut f = filing(kind, "F");
            let core = f.core.as_mut().unwrap();
            core.items = amounts.iter().enumerate().map(|(i, (_, _, hs))| v1::CoreItem {
                number: i as u32 + 1, commodity_code: hs.clone(), origin: "KE".into(), ..Default::default()
            }).collect();
            f.value.as_mut().unwrap().items = amounts.iter().map(|(a, b, _)| v1::ValueItem {
                value: Some(v1::Money { amount: if column == 0 { *a } else { *b }.to_string(), currency: "USD".into() }),
                ..Default::default()
            }).collect();
            f
        };
        let export = make(v1::FilingType::Export, 0);
        let mut import = make(v1::FilingType::Import, 1);
        let straight = compare(&export, &import);
        if swap {
            import.core.as_mut().unwrap().items.reverse();
            import.value.as_mut().unwrap().items.reverse();
        }
        let found = compare(&export, &import);
        prop_assert!(found.score <= 100);
        prop_assert_eq!(found.score, straight.score);
        prop_assert_eq!(found.discrepancies.is_empty(), found.score == 100);
        // Whoever looks from the other side finds as much.
        prop_assert_eq!(compare(&import, &export).score, found.score);
    }
}
