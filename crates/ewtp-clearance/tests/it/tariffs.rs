//! Duties: every rate that the United States' tariff has is read, and worked duties, computed by hand, come out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ewtp_clearance::tariff::price;
use ewtp_clearance::tariff::rate::{Percent, Rate, Specific, Term};
use ewtp_clearance::{Facts, Ruleset};
use ewtp_proto::v1;
use rust_decimal::Decimal;

fn corpus() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let root = std::env::var_os("EWTP_CORPUS").map_or(default, PathBuf::from);
    let found = root.join("data/us-hts8/dev/us_hts8_2025.csv");
    if found.exists() {
        return Some(found);
    }
    eprintln!("!!! SKIPPED: {} is absent; set EWTP_CORPUS to run it", found.display());
    None
}

fn decimal(text: &str) -> Decimal {
    if text.is_empty() { Decimal::ZERO } else { text.parse().unwrap() }
}

/// The whole tariff by both of its columns. The corpus has the same rates as numbers, which ours must agree with.
#[test]
fn every_line_of_the_united_states_tariff_is_read_as_its_own_numbers_say() {
    let Some(path) = corpus() else { return };
    let mut reader = csv::Reader::from_path(path).unwrap();
    let headers = reader.headers().unwrap().clone();
    let (mut read, mut odd) = (0, Vec::<String>::new());
    for row in reader.records().map(Result::unwrap) {
        let field = |name: &str| &row[headers.iter().position(|h| h == name).unwrap()];
        for column in ["mfn", "col2"] {
            let of = |name: &str| field(&format!("{column}_{name}"));
            let text = of("text_rate");
            let rate =
                Rate::parse(text, "USD").unwrap_or_else(|e| panic!("{}: {e}", field("hts8")));
            read += 1;
            // Type 9 refers to another rule, T and K have no numbers; several specific amounts are one column there.
            if matches!(of("rate_type_code"), "9" | "T" | "K") {
                let known =
                    matches!(rate, Rate::Elsewhere(_) | Rate::Sliding { .. } | Rate::Sum(_));
                assert!(known, "{text}");
                continue;
            }
            let (mut percent, mut specific, mut amounts) = (Decimal::ZERO, Decimal::ZERO, 0);
            match &rate {
                Rate::Free => {}
                Rate::Sum(terms) => {
                    for term in terms {
                        match term {
                            Term::Percent(p) => {
                                percent += p.of / Decimal::from(p.over) / Decimal::ONE_HUNDRED
                            }
                            Term::Specific(s) => {
                                specific += s.amount;
                                amounts += 1;
                            }
                        }
                    }
                }
                other => panic!("{text}: {other:?}"),
            }
            let close = |a: Decimal, b: Decimal| (a - b).abs() <= Decimal::new(5, 4);
            let stated = decimal(of("specific_rate")) + decimal(of("other_rate"));
            let agrees = close(percent, decimal(of("ad_val_rate")))
                && (amounts > 1 || close(specific, stated));
            if !agrees {
                odd.push(format!("{column} {} {text}", field("hts8")));
            }
        }
    }
    assert_eq!(read, 2 * 2887);
    // The corpus itself took the missing space for no percentage.
    assert_eq!(odd, ["col2 22029928 27.6 cents/liter+ 17.5%"]);
}

#[test]
fn rates_are_read_exactly_and_what_is_none_is_told() {
    let percent = |of: &str, over| Term::Percent(Percent { of: of.parse().unwrap(), over });
    let specific = |amount: &str, per, unit, of: &str| {
        Term::Specific(Specific { amount: amount.parse().unwrap(), per, unit, of: of.into() })
    };
    for (text, terms) in [
        ("7.5%", vec![percent("7.5", 1)]),
        ("33 1/3%", vec![percent("100", 3)]),
        ("0.98 cents/kg", vec![specific("0.0098", 1, "KGM", "")]),
        ("40 cents/kg + 10.4%", vec![specific("0.40", 1, "KGM", ""), percent("10.4", 1)]),
        ("$1.035/kg +13.6%", vec![specific("1.035", 1, "KGM", ""), percent("13.6", 1)]),
        ("30.4 EUR/100 kg", vec![specific("30.4", 100, "KGM", "")]),
        ("13.1 EUR/hl", vec![specific("13.1", 1, "HLT", "")]),
        ("$2/1000", vec![specific("2", 1, "MIL", "")]),
        ("3 EUR/item", vec![specific("3", 1, "H87", "")]),
        ("1.5 cents/kg on lead content", vec![specific("0.015", 1, "KGM", "lead content")]),
        (
            "$1.10/t, including weight of container",
            vec![specific("1.10", 1, "TNE", "including weight of container")],
        ),
        ("$7.53/pf. liter", vec![specific("7.53", 1, "", "")]),
        ("$1.50/m2", vec![specific("1.50", 1, "MTK", "")]),
        ("5% on the entire set", vec![percent("5", 1)]),
    ] {
        assert_eq!(Rate::parse(text, "EUR"), Ok(Rate::Sum(terms)), "{text}");
    }
    assert_eq!(Rate::parse("free", "EUR"), Ok(Rate::Free));
    assert_eq!(Rate::parse("0%", "EUR"), Ok(Rate::Free));
    for bad in [
        "",
        "7,5%",
        "-1%",
        "7.5",
        "5 USD/kg",
        "5 EUR",
        "5 EUR/stone",
        "5 EUR/kgs",
        "1 2/1%",
        "5% of something",
        "cents/kg",
    ] {
        let error = Rate::parse(bad, "EUR").unwrap_err();
        assert!(error.to_string().contains("allowed: Free"), "{error}");
    }
}

/// A good to be priced.
#[derive(Clone, Copy)]
struct Good {
    hs: &'static str,
    origin: &'static str,
    value: (&'static str, &'static str),
    quantity: (&'static str, &'static str),
}

/// T-shirts of cotton and baskets: two headings.
const SHIRTS: Good = good("610910", "KE", ("80.00", "EUR"), ("4", "H87"));
const BASKETS: Good = good("460219", "KE", ("40.00", "EUR"), ("1", "H87"));

const fn good(
    hs: &'static str,
    origin: &'static str,
    value: (&'static str, &'static str),
    quantity: (&'static str, &'static str),
) -> Good {
    Good { hs, origin, value, quantity }
}

#[derive(Clone, Default)]
struct Sent {
    goods: Vec<Good>,
    at: &'static str,
    mode: &'static str,
    ioss: bool,
    terms: &'static str,
    freight: &'static str,
    certificate: &'static str,
}

fn sent(goods: &[Good], at: &'static str) -> Sent {
    Sent { goods: goods.to_vec(), at, mode: "4", ..Sent::default() }
}

fn facts(sent: &Sent) -> Facts {
    let money = |(amount, currency): (&str, &str)| {
        Some(v1::Money { amount: amount.into(), currency: currency.into() })
    };
    let numbered = || (1..).zip(&sent.goods);
    let document = |id: &str| v1::DocumentReference {
        r#type: id.get(1..).unwrap_or_default().into(),
        category: id.get(..1).unwrap_or_default().into(),
        id: "KE-77".into(),
        ..Default::default()
    };
    let filing = v1::Filing {
        core: Some(v1::FilingCore {
            transport_mode: sent.mode.into(),
            items: numbered()
                .map(|(number, g)| v1::CoreItem {
                    number,
                    commodity_code: g.hs.into(),
                    origin: g.origin.into(),
                    quantity: Some(v1::Quantity {
                        value: g.quantity.0.into(),
                        unit: g.quantity.1.into(),
                    }),
                })
                .collect(),
            ..Default::default()
        }),
        parties: Some(v1::FilingParties::default()),
        goods: Some(v1::FilingGoods {
            documents: (!sent.certificate.is_empty())
                .then(|| document(sent.certificate))
                .into_iter()
                .collect(),
            ..Default::default()
        }),
        value: Some(v1::FilingValue {
            terms: sent.terms.into(),
            freight: if sent.freight.is_empty() { None } else { money((sent.freight, "EUR")) },
            items: numbered()
                .map(|(number, g)| v1::ValueItem {
                    number,
                    value: money(g.value),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }),
        authority: sent
            .ioss
            .then(|| v1::FilingAuthority { ioss: "IM0561234567".into(), ..Default::default() }),
        ..Default::default()
    };
    let at: jiff::Timestamp = sent.at.parse().unwrap();
    Facts::of_filing(&filing, at.as_millisecond(), BTreeMap::new())
}

fn shipped(name: &str) -> Ruleset {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../rulesets/{name}.toml"));
    Ruleset::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn priced(tariff: &Ruleset, sent: &Sent) -> v1::DutyEstimate {
    let facts = facts(sent);
    let day = tariff.day_of(facts.at_ms);
    price(&facts, tariff, &[tariff], day).unwrap().unwrap()
}

fn total(tariff: &Ruleset, sent: &Sent) -> String {
    priced(tariff, sent).total.unwrap().amount
}

/// Worked by hand. Rates: the EU's Combined Nomenclature 2026 (6109.10 12%, 4602 3.7%, 0901.21 7.5%, 0407.21 30.4 EUR/100 kg, 2204.21
/// 13.1 EUR/hl); the fixed amount: Regulation (EU) 2026/382; the relief before it: Regulation (EC) No 1186/2009, article 23; VAT: 21% and
/// 6% in Belgium, prepaid under articles 369l and following of Directive 2006/112/EC up to 150 EUR.
#[test]
fn worked_duties_of_the_eu_come_out() {
    let eu = shipped("be-tariff");
    let parcel = |at, ioss| Sent { ioss, ..sent(&[SHIRTS, BASKETS], at) };
    let (june, july) = ("2026-06-30T23:59:59+02:00", "2026-07-01T00:00:00+02:00");
    // One parcel of 120 EUR, on either side of midnight in Brussels.
    assert_eq!(total(&eu, &parcel(june, true)), "0.00", "relief, and VAT is prepaid");
    assert_eq!(total(&eu, &parcel(july, true)), "6.00", "3 x 2 headings");
    assert_eq!(
        total(&eu, &parcel("2026-06-30T22:30:00Z", true)),
        "6.00",
        "July has begun in Brussels"
    );
    assert_eq!(total(&eu, &parcel("2028-06-30T23:59:59+02:00", true)), "6.00");
    // 80 x 12% = 9.60; 40 x 3.7% = 1.48.
    assert_eq!(total(&eu, &parcel("2028-07-01T00:00:00+02:00", true)), "11.08");
    // Not under IOSS, by air freight: no relief any more, no fixed amount; VAT on 89.60 is 18.816, on 41.48 is 8.7108.
    assert_eq!(total(&eu, &parcel(july, false)), "38.61", "9.60 + 1.48 + 18.82 + 8.71");
    // In June VAT alone: 16.80 + 8.40.
    assert_eq!(total(&eu, &parcel(june, false)), "25.20");
    // By post, not under IOSS: fixed, and VAT on it: 83 x 21% = 17.43; 43 x 21% = 9.03.
    let post = Sent { mode: "5", ..parcel(july, false) };
    assert_eq!(total(&eu, &post), "32.46", "6.00 + 17.43 + 9.03");
    // Three items of two headings.
    let three = Sent {
        ioss: true,
        ..sent(&[SHIRTS, BASKETS, good("610910", "CN", ("9.00", "EUR"), ("1", "H87"))], july)
    };
    assert_eq!(total(&eu, &three), "6.00");
    // 150 EUR are within, a cent more is not: 110.01 x 12% = 13.2012, 40 x 3.7% = 1.48, VAT 123.21 x 21% = 25.8741, 41.48 x 21% = 8.7108.
    let border = |value| Sent {
        ioss: true,
        ..sent(&[good("610910", "CN", (value, "EUR"), ("4", "H87")), BASKETS], july)
    };
    assert_eq!(total(&eu, &border("110.00")), "6.00");
    assert_eq!(total(&eu, &border("110.01")), "49.26", "13.20 + 1.48 + 25.87 + 8.71");
}

#[test]
fn worked_duties_on_delivered_values_by_origin_and_by_measure_come_out() {
    let eu = shipped("be-tariff");
    let at = "2026-11-26T12:00:00+01:00";
    let coffee = [
        good("090121", "KE", ("600.00", "EUR"), ("60", "KGM")),
        good("090121", "KE", ("400.00", "EUR"), ("40", "KGM")),
    ];
    let exw = Sent { terms: "EXW", freight: "100.00", ..sent(&coffee, at) };
    // Customs values 660 and 440. Without proof of origin: 49.50 + 33.00 duty, VAT 6% on 709.50 and 473.00.
    assert_eq!(total(&eu, &exw), "153.45", "49.50 + 33.00 + 42.57 + 28.38");
    // With a EUR.1: VAT alone on 660 and 440.
    let proven = Sent { certificate: "N954", ..exw.clone() };
    let estimate = priced(&eu, &proven);
    assert_eq!(estimate.total.as_ref().unwrap().amount, "66.00", "39.60 + 26.40");
    let told: Vec<_> =
        estimate.lines.iter().map(|l| format!("{} {} {}", l.item, l.kind, l.note)).collect();
    assert_eq!(
        told,
        [
            "1 freight by value",
            "2 freight by value",
            "1 duty preference, origin KE, N954",
            "2 duty preference, origin KE, N954",
            "1 vat ",
            "2 vat ",
        ]
    );
    // The same document doesn't help goods of another origin.
    let others = [
        good("090121", "BR", ("600.00", "EUR"), ("60", "KGM")),
        good("090121", "BR", ("400.00", "EUR"), ("40", "KGM")),
    ];
    assert_eq!(total(&eu, &Sent { goods: others.to_vec(), ..proven }), "153.45");
    // Delivered at place, the price holds transport: 45.00 + 30.00, VAT on 645 and 430.
    assert_eq!(
        total(&eu, &Sent { terms: "DAP", ..exw }),
        "139.50",
        "45.00 + 30.00 + 38.70 + 25.80"
    );
    // What division leaves goes to the first item: 1.00 over three is 0.34, 0.33, 0.33.
    let third = good("090111", "KE", ("10.00", "EUR"), ("1", "KGM"));
    let shares = priced(&eu, &Sent { freight: "1.00", ..sent(&[third, third, third], at) });
    let freight: Vec<_> = shares
        .lines
        .iter()
        .filter(|l| l.kind == "freight")
        .map(|l| l.amount.clone().unwrap().amount)
        .collect();
    assert_eq!(freight, ["0.34", "0.33", "0.33"]);
    // Eggs: 250 kg at 30.4 EUR per 100 kg are 76.00, VAT 6% of 576.00. Wine: 90 l at 13.1 EUR per hl are 11.79, VAT 21% of 311.79.
    let eggs = good("040721", "UA", ("500.00", "EUR"), ("250", "KGM"));
    assert_eq!(total(&eu, &sent(&[eggs], at)), "110.56", "76.00 + 34.56");
    let wine = good("220421", "ZA", ("300.00", "EUR"), ("90", "LTR"));
    assert_eq!(total(&eu, &sent(&[wine], at)), "77.27", "11.79 + 65.48");
    // Bottles don't say how much is in them: what is missing is told, and the total holds without it (VAT 21% of 300).
    let bottles =
        priced(&eu, &sent(&[good("220421", "ZA", ("300.00", "EUR"), ("120", "H87"))], at));
    assert_eq!(bottles.total.unwrap().amount, "63.00");
    // VAT is charged on the duty too, so its own line mustn't pass for the whole.
    let [vat] = bottles.lines.as_slice() else { panic!("{:?}", bottles.lines) };
    assert_eq!((vat.kind.as_str(), vat.note.as_str()), ("vat", "at least: its duty is open"));
    let open = &bottles.open[0];
    assert_eq!(
        (open.item, open.rate.as_str(), open.missing.as_str()),
        (1, "13.1 EUR/hl", "a quantity in HLT")
    );
    // 100 USD at 0.92 in June, at 0.90 in July: 12% of 92.00 and of 90.00, VAT of 103.04 and of 100.80. 200 USD, to be above the relief.
    let dollars = good("610910", "CN", ("200.00", "USD"), ("1", "H87"));
    assert_eq!(
        total(&eu, &sent(&[dollars], "2026-06-30T12:00:00Z")),
        "65.36",
        "184 x 12% = 22.08; 206.08 x 21% = 43.2768"
    );
    assert_eq!(
        total(&eu, &sent(&[dollars], "2026-07-02T12:00:00Z")),
        "63.94",
        "180 x 12% = 21.60; 201.60 x 21% = 42.336"
    );
}

/// Rates: Harmonized Tariff Schedule of the United States 2025, as in the column named.
#[test]
fn worked_duties_of_the_united_states_come_out() {
    let text = r#"
kind = "tariff"
name = "us-excerpt"
version = 1
visibility = "public"
territory = "US"
time_zone = "America/New_York"
valid_from = "2025-01-01"
currency = "USD"
lines = """
10059020 0.05 cents/kg
17049058 40 cents/kg + 10.4%
17011410 1.4606 cents/kg less 0.020668 cents/kg for each degree under 100 degrees (and fractions of a degree in proportion) but not less than 0.943854 cents/kg
19011036 $1.035/kg + 14.9%
26070000 1.1 cents/kg on lead content
61109010 See additional U.S. note 2
6911     33 1/3%
"""
[[relief]]
of = "duty"
up_to = "800.00"
not_from = ["CN"]
until = "2025-08-28"
"#;
    let us = Ruleset::parse(text).unwrap();
    let at = "2025-09-01T12:00:00-04:00";
    let usd = |hs, value, quantity| sent(&[good(hs, "KE", (value, "USD"), quantity)], at);
    // 1000 t of maize at 0.05 cents a kilogram: 500.00.
    assert_eq!(total(&us, &usd("10059020", "200000.00", ("1000", "TNE"))), "500.00");
    // 12.5 kg at 40 cents = 5.00; 10.4% of 90.00 = 9.36.
    assert_eq!(total(&us, &usd("17049058", "90.00", ("12.5", "KGM"))), "14.36");
    // 10 lb are 4.5359237 kg, at 1.035 = 4.6946810…; 14.9% of 55.55 = 8.27695; together 12.97163…
    assert_eq!(total(&us, &usd("19011036", "55.55", ("10", "LBR"))), "12.97");
    // A third of 100.00, and of 0.05 (0.01666…).
    assert_eq!(total(&us, &usd("69111010", "100.00", ("1", "H87"))), "33.33");
    assert_eq!(total(&us, &usd("69111010", "0.05", ("1", "H87"))), "0.02");
    let missing = |hs| priced(&us, &usd(hs, "100.00", ("10", "KGM"))).open[0].missing.clone();
    assert_eq!(missing("17011410"), "degrees of polarisation");
    assert_eq!(missing("26070000"), "measure: lead content");
    assert_eq!(missing("61109010"), "a rule elsewhere: See additional U.S. note 2");
    // De minimis ended on 29 August 2025, and before for one origin.
    let chinese = good("69111010", "CN", ("60.00", "USD"), ("1", "H87"));
    let ours = good("69111010", "KE", ("60.00", "USD"), ("1", "H87"));
    let last = "2025-08-28T23:59:59-04:00";
    assert_eq!(total(&us, &sent(&[ours], last)), "0.00");
    assert_eq!(total(&us, &sent(&[chinese], last)), "20.00");
    assert_eq!(total(&us, &sent(&[ours], "2025-08-29T00:00:00-04:00")), "20.00");
}

#[test]
fn what_a_schedule_doesnt_know_is_told_and_never_free() {
    let eu = shipped("be-tariff");
    let at = "2026-11-26T12:00:00+01:00";
    let open = |hs| {
        let estimate = priced(&eu, &sent(&[good(hs, "CN", ("1000.00", "EUR"), ("1", "H87"))], at));
        estimate.open.iter().map(|o| o.missing.clone()).collect::<Vec<_>>()
    };
    assert_eq!(open("950300"), ["a line for 950300 in the tariff"]);
    // Fewer digits than the lines that begin with them don't choose the cheaper one.
    assert_eq!(open("6109"), ["a longer commodity code than 6109: its lines differ"]);
    assert_eq!(open("610910"), Vec::<String>::new());
    // Goods of unknown value: told, and nothing is below a threshold then.
    let mut facts = facts(&Sent { ioss: true, ..sent(&[SHIRTS, BASKETS], at) });
    facts.items[1].remove("value");
    let day = eu.day_of(facts.at_ms);
    let estimate = price(&facts, &eu, &[&eu], day).unwrap().unwrap();
    assert_eq!(estimate.open[0].missing, "a value");
    // 80 x 12% = 9.60, VAT 21% of 89.60 = 18.816: no fixed amount instead, no IOSS.
    assert_eq!(estimate.total.unwrap().amount, "28.42");
}

#[test]
fn goods_are_worth_their_price_where_no_value_is_stated() {
    let filing = v1::Filing {
        core: Some(v1::FilingCore { items: vec![v1::CoreItem::default()], ..Default::default() }),
        value: Some(v1::FilingValue {
            items: vec![v1::ValueItem {
                price: Some(v1::Money { amount: "10.00".into(), currency: "EUR".into() }),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    };
    let facts = Facts::of_filing(&filing, 0, BTreeMap::new());
    let worth = format!("{:?}", facts.items[0].get("value"));
    assert!(worth.contains("10.00"), "{worth}");
}

#[test]
fn tariffs_add_up_and_each_brings_its_rates() {
    let eu = shipped("be-tariff");
    let text = r#"
kind = "tariff"
name = "aa-more"
version = 1
visibility = "public"
territory = "BE"
time_zone = "Europe/Brussels"
valid_from = "2026-01-01"
currency = "EUR"
lines = """
6109.10 40%
"""
"#;
    let more = Ruleset::parse(text).unwrap();
    let shirts = sent(
        &[good("610910", "CN", ("1000.00", "USD"), ("1", "H87"))],
        "2026-11-26T12:00:00+01:00",
    );
    let facts = facts(&shirts);
    let day = eu.day_of(facts.at_ms);
    for both in [[&more, &eu], [&eu, &more]] {
        // 1000 USD are 900 EUR: 12% and 40% of it, VAT 21% of 1368.00.
        let total = price(&facts, &eu, &both, day).unwrap().unwrap().total.unwrap();
        assert_eq!(total.amount, "755.28", "108.00 + 360.00 + 287.28");
    }
}

/// As rulesets were written before: what is logged is logged.
#[test]
fn older_spellings_of_charges_are_still_read() {
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rulesets/be-advance.toml"),
    )
    .unwrap();
    let older = text
        .replace("\n[[vat]]\npercent = \"21\"\n", "vat = \"21\"\n")
        .replace("rate = \"7.5%\"", "percent = \"7.5\"")
        .replace("per = \"heading\"\n", "");
    assert_ne!(older, text);
    let (old, new) = (Ruleset::parse(&older).unwrap(), Ruleset::parse(&text).unwrap());
    let coffee =
        sent(&[good("090111", "KE", ("100.00", "EUR"), ("1", "KGM"))], "2026-11-26T12:00:00+01:00");
    let facts = facts(&coffee);
    let day = old.day_of(facts.at_ms);
    let lines = |r: &Ruleset| price(&facts, r, &[], day).unwrap().unwrap();
    assert_eq!(lines(&old), lines(&new));
}

#[test]
fn a_tariff_that_is_wrong_is_refused_with_every_fault() {
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rulesets/be-tariff.toml"),
    )
    .unwrap();
    let faults = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let faults = Ruleset::parse(&text.replacen(from, to, 1)).unwrap_err();
        faults
            .iter()
            .map(|f| format!("{}: {} ({})", f.path, f.value, f.allowed.split(';').next().unwrap()))
            .collect::<Vec<_>>()
    };
    insta::assert_snapshot!(
        [
            faults("0901.21 7.5%", "0901.21 7,5%"),
            faults("0901.21 7.5%", "O901.21 7.5%"),
            faults("0902.10 3.2%", "0901.21 3.2%"),
            faults("per = \"heading\"", "per = \"parcel\""),
            faults("[\"ioss\", \"post\"]", "[\"ioss\", \"courier\"]"),
            faults("until = \"2028-06-30\"", "until = \"2026-06-30\""),
            faults("of = \"duty\"", "of = \"excise\""),
            faults("\"delivered\"", "\"cif\""),
            faults("visibility = \"public\"", "visibility = \"confidential\""),
            faults("kind = \"tariff\"", "kind = \"tarif\""),
        ]
        .map(|all| all.join("\n"))
        .join("\n")
    );
}
