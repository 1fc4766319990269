//! Finding a code by words.

use ewtp_formats::tariff::Descriptions;

fn codes(question: &str) -> Vec<String> {
    let tariff = Descriptions::default();
    tariff.search(question, 3).iter().map(|f| f.line.code.clone()).collect()
}

#[test]
fn goods_are_found_by_what_they_are_called() {
    assert!(Descriptions::default().len() > 2000);
    assert_eq!(codes("instant coffee")[0], "21011121");
    assert!(codes("Oats")[0].starts_with("1004"));
    assert!(codes("coffee preparations")[0].starts_with("210112"));
    assert_eq!(codes("21011121"), ["21011121"]);
    assert_eq!(codes("zzzz"), Vec::<String>::new());
}

#[test]
fn plurals_beginnings_and_rare_words_count() {
    let text = "# ours\n090111 Coffee, not roasted, green\n090121 Coffee, roasted\n090210 Tea, green\n691110 Cups of china\n12 short\n";
    let tariff = Descriptions::parse(text);
    assert_eq!(tariff.len(), 4);
    let found =
        |q: &str| tariff.search(q, 9).iter().map(|f| f.line.code.as_str()).collect::<Vec<_>>();
    assert_eq!(found("green coffees")[0], "090111", "both words first");
    assert_eq!(found("cup"), ["691110"]);
    assert_eq!(found("roast"), ["090121", "090111"], "the shorter description first");
    assert_eq!(found("roasted coffee tea"), ["090121", "090111", "090210"], "most words first");
    assert_eq!(found("0901"), ["090121", "090111"]);
    assert_eq!(found("0901.11"), ["090111"]);
    assert_eq!(found("0901 21"), ["090121"]);
    assert_eq!(found("the of or"), Vec::<&str>::new());
}
