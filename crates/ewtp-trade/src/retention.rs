//! Retention: how long a hub has to keep which part, by its rules, and what is due to go. The longest rule that matches holds;
//! what no rule matches is kept until somebody orders its end.

/// A rule that obliges to keep something, and no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its code, e.g. "UCC-51", as erasures and answers cite it.
    pub code: String,
    /// Kinds of statement; empty for all.
    pub kinds: Vec<String>,
    /// Part names; empty for all.
    pub parts: Vec<String>,
    /// Countries of destination of the case; empty for all.
    pub countries: Vec<String>,
    /// Retention classes of the filing; empty for all.
    pub classes: Vec<String>,
    /// How long, milliseconds from the statement's logged time.
    pub keep_ms: u64,
}

/// A statement of a case with what rules ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Kind.
    pub kind: String,
    /// Names of the parts that are held.
    pub parts: Vec<String>,
    /// Countries of destination of its case.
    pub countries: Vec<String>,
    /// Retention classes of its case's filings.
    pub classes: Vec<String>,
    /// Logged time, Unix milliseconds.
    pub logged_ms: u64,
}

/// A part that a rule keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeps {
    /// The rule's code.
    pub rule: String,
    /// Until when, Unix milliseconds.
    pub until_ms: u64,
}

/// What goes of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goes {
    /// These parts.
    Parts(Vec<String>),
    /// All parts and the header.
    Whole,
}

fn named(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|n| n == name)
}

fn any_named(names: &[String], of: &[String]) -> bool {
    names.is_empty() || of.iter().any(|n| names.contains(n))
}

/// The rule that keeps a part longest.
#[must_use]
pub fn keeps(rules: &[Rule], held: &Held, part: &str) -> Option<Keeps> {
    let matches = |r: &&Rule| {
        named(&r.kinds, &held.kind)
            && named(&r.parts, part)
            && any_named(&r.countries, &held.countries)
            && any_named(&r.classes, &held.classes)
    };
    let until = |r: &Rule| held.logged_ms.saturating_add(r.keep_ms);
    let longest = rules.iter().filter(matches).max_by_key(|r| until(r))?;
    Some(Keeps { rule: longest.code.clone(), until_ms: until(longest) })
}

/// What of a statement the rules no longer keep: the parts, and the rule whose time is over. A statement's core goes last, and
/// the header with it: what remains has to be readable.
#[must_use]
pub fn due(rules: &[Rule], held: &Held, now_ms: u64) -> Option<(Goes, String)> {
    let ended = |part: &String| keeps(rules, held, part).filter(|k| k.until_ms <= now_ms);
    let over: Vec<(&String, Keeps)> =
        held.parts.iter().filter_map(|p| ended(p).map(|k| (p, k))).collect();
    let rule = over.iter().max_by_key(|(_, k)| k.until_ms).map(|(_, k)| k.rule.clone())?;
    if over.len() == held.parts.len() {
        return Some((Goes::Whole, rule));
    }
    let parts: Vec<String> =
        over.into_iter().map(|(p, _)| p.clone()).filter(|p| p != "core").collect();
    (!parts.is_empty()).then_some((Goes::Parts(parts), rule))
}

/// What of a statement may go by an order, and what a rule still keeps. `wanted` is empty for all of it.
#[must_use]
pub fn ordered(
    rules: &[Rule],
    held: &Held,
    wanted: &[String],
    now_ms: u64,
) -> (Option<Goes>, Vec<(String, Keeps)>) {
    let asked = |p: &&String| wanted.is_empty() || wanted.contains(p);
    let (mut goes, mut kept) = (Vec::new(), Vec::new());
    for part in held.parts.iter().filter(asked) {
        match keeps(rules, held, part).filter(|k| k.until_ms > now_ms) {
            Some(keeps) => kept.push((part.clone(), keeps)),
            None => goes.push(part.clone()),
        }
    }
    let all = goes.len() == held.parts.len();
    let asked_for_core = wanted.is_empty() || wanted.iter().any(|p| p == "core");
    if all && asked_for_core {
        return (Some(Goes::Whole), kept);
    }
    // What remains has to be readable: the core goes last.
    if let Some(at) = goes.iter().position(|p| p == "core") {
        goes.remove(at);
        if let Some((_, longest)) = kept.iter().max_by_key(|(_, k)| k.until_ms) {
            kept.push(("core".to_owned(), longest.clone()));
        }
    }
    let goes = (!goes.is_empty()).then_some(Goes::Parts(goes));
    (goes, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(code: &str, parts: &[&str], countries: &[&str], keep_ms: u64) -> Rule {
        let words = |w: &[&str]| w.iter().map(|w| (*w).to_owned()).collect();
        Rule {
            code: code.into(),
            kinds: Vec::new(),
            parts: words(parts),
            countries: words(countries),
            classes: Vec::new(),
            keep_ms,
        }
    }

    fn held() -> Held {
        let words = |w: &[&str]| w.iter().map(|w| (*w).to_owned()).collect();
        Held {
            kind: "filing".into(),
            parts: words(&["core", "parties", "value"]),
            countries: words(&["BE"]),
            logged_ms: 100,
            ..Held::default()
        }
    }

    #[test]
    fn the_longest_matching_rule_keeps_a_part_and_other_jurisdictions_do_not() {
        let rules = [
            rule("SHORT", &[], &[], 10),
            rule("UCC-51", &["core"], &["BE"], 1000),
            rule("KE-9", &["core"], &["KE"], 9000),
        ];
        let core = keeps(&rules, &held(), "core").map(|k| (k.rule, k.until_ms));
        assert_eq!(core, Some(("UCC-51".into(), 1100)));
        let value = keeps(&rules, &held(), "value").map(|k| (k.rule, k.until_ms));
        assert_eq!(value, Some(("SHORT".into(), 110)));
        assert_eq!(keeps(&rules[2..], &held(), "core"), None);
    }

    #[test]
    fn parts_go_as_their_time_ends_and_the_core_last_with_the_header() {
        let rules = [rule("GDPR-5", &["parties"], &[], 10), rule("UCC-51", &[], &[], 5)];
        let parts = |p: &[&str]| Goes::Parts(p.iter().map(|p| (*p).to_owned()).collect());
        assert_eq!(due(&rules, &held(), 104), None);
        // The core's own time is over as well, and it stays as long as the parties do.
        assert_eq!(due(&rules, &held(), 106), Some((parts(&["value"]), "UCC-51".into())));
        assert_eq!(due(&rules, &held(), 110), Some((Goes::Whole, "GDPR-5".into())));
        assert_eq!(
            due(&rules[..1], &held(), u64::MAX),
            Some((parts(&["parties"]), "GDPR-5".into()))
        );
    }

    #[test]
    fn an_order_ends_what_no_rule_keeps_and_is_told_the_rest() {
        let rules = [rule("UCC-51", &["value"], &[], 1000)];
        let (goes, kept) = ordered(&rules, &held(), &[], 200);
        assert_eq!(goes, Some(Goes::Parts(vec!["parties".into()])));
        let parts: Vec<&str> = kept.iter().map(|(part, _)| part.as_str()).collect();
        assert_eq!(parts, ["value", "core"], "the core stays as long as it is needed");
        assert_eq!((kept[0].1.rule.as_str(), kept[0].1.until_ms), ("UCC-51", 1100));
        assert_eq!(ordered(&rules, &held(), &[], 1100), (Some(Goes::Whole), Vec::new()));
        let wanted = ["parties".to_owned()];
        let (goes, kept) = ordered(&[], &held(), &wanted, 200);
        assert_eq!((goes, kept.len()), (Some(Goes::Parts(wanted.to_vec())), 0));
    }
}
