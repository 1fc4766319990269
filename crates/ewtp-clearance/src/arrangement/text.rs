//! An arrangement in words: what a lawyer reads, made from what the machine applies; and what one document changes of another.

use std::fmt::Write as _;

use ewtp_log::HubId;

use super::{Arrangement, FactKind, Recognition, RecognitionEffect, Threshold};

/// The document as text in Markdown.
#[must_use]
pub fn for_people(a: &Arrangement) -> String {
    let [first, second] = &a.between;
    let mut out = format!("# {}\n\n", a.title);
    let follows = match &a.previous {
        None => String::new(),
        Some(previous) => format!(" It takes the place of the document {}.", previous.to_hex()),
    };
    let _ = writeln!(
        out,
        "Document {} of the arrangement between {first} and {second}. SHA-256 of its text: {}.{follows}\n",
        a.number,
        a.digest.to_hex()
    );
    for (number, (heading, lines)) in (1..).zip(articles(a)) {
        let _ = writeln!(out, "## Article {number}: {heading}\n");
        for line in lines {
            let _ = writeln!(out, "{line}\n");
        }
    }
    out
}

type Article = (&'static str, Vec<String>);

fn articles(a: &Arrangement) -> Vec<Article> {
    let mut out = vec![
        ("Basis and term", vec![basis(a), term(a)]),
        ("Data that is shown", vec![data(a)]),
        ("What is recognised", a.recognitions.iter().map(|r| recognised(r, &a.between)).collect()),
    ];
    if !a.tiers.is_empty() || !a.identifiers.is_empty() {
        let tiers = a.tiers.iter().map(|t| {
            format!(
                "- What {} certifies as \u{201c}{}\u{201d} is tier {} here.",
                t.of, t.category, t.tier
            )
        });
        let identifiers = a.identifiers.iter().map(|i| {
            format!(
                "- An operator that {} certified as {} stands in filings as {}.",
                i.of, i.certified, i.filed
            )
        });
        out.push(("Operators", tiers.chain(identifiers).collect()));
    }
    if !a.thresholds.is_empty() {
        out.push(("Quality", a.thresholds.iter().map(threshold).collect()));
    }
    out.push((
        "Suspension and end",
        vec![
            "Either agency may suspend or end the arrangement by its own word. It binds the agency that says so at once, and the other from its arrival there. What was decided before stays.".to_owned(),
        ],
    ));
    out
}

fn basis(a: &Arrangement) -> String {
    format!("It rests on {}.", a.legal_reference)
}

fn term(a: &Arrangement) -> String {
    let until = match a.valid_until {
        None => "until it is ended".to_owned(),
        Some(day) => format!("to the end of {day}"),
    };
    format!(
        "It holds from the beginning of {} {until}, in the time of {}.",
        a.valid_from, a.time_zone_name
    )
}

fn data(a: &Arrangement) -> String {
    let parts: Vec<&str> = a.data_scope.iter().map(String::as_str).collect();
    match parts.is_empty() {
        true => "Of filings the two agencies show each other part core.".to_owned(),
        false => format!(
            "Of filings the two agencies show each other part core, and {}.",
            parts.join(", ")
        ),
    }
}

fn recognised(r: &Recognition, between: &[HubId; 2]) -> String {
    let other = between.iter().find(|h| **h != r.by).unwrap_or(&r.by);
    let goods = match r.hs.is_empty() {
        true => "for all goods".to_owned(),
        false => {
            let ranges: Vec<String> = r.hs.iter().map(ToString::to_string).collect();
            format!("for goods of HS {}", ranges.join(", "))
        }
    };
    let value =
        r.value_up_to.map(|m| format!(", in consignments of at most {} {}", m.amount(), m.code()));
    let tiers = match r.tiers.is_empty() {
        true => String::new(),
        false => format!(" of tier {}", r.tiers.join(" or ")),
    };
    let effects: Vec<String> = r.effects.iter().map(|e| effect(*e)).collect();
    format!(
        "- ({}) {} recognises {}{tiers} of {other}, {goods}{}: {}.",
        r.id,
        r.by,
        kind(r.kind),
        value.unwrap_or_default(),
        effects.join("; ")
    )
}

const fn kind(kind: FactKind) -> &'static str {
    match kind {
        FactKind::ExportControl => "the export control",
        FactKind::Inspection => "the results of inspections",
        FactKind::Aeo => "the authorised economic operators",
        FactKind::Origin => "the certificates of origin",
        FactKind::Licence => "the licences",
        FactKind::Phytosanitary => "the phytosanitary certificates",
    }
}

fn effect(effect: RecognitionEffect) -> String {
    match effect {
        RecognitionEffect::Note => "it is noted in the decision".to_owned(),
        RecognitionEffect::LowerRiskScore(points) => {
            format!("the risk score is {points} points lower")
        }
        RecognitionEffect::Priority => "the goods are looked at first".to_owned(),
        RecognitionEffect::WaiveDocuments => "documents are not controlled again".to_owned(),
        RecognitionEffect::WaiveScan => "goods are not scanned again".to_owned(),
        RecognitionEffect::WaivePhysical => "goods are not examined again".to_owned(),
    }
}

fn threshold(t: &Threshold) -> String {
    format!(
        "- Where {} checks on arrival what it recognised as {}, an alarm is raised when within twelve months of at least {} checked more than {} in a thousand were found false. An officer then decides whether to suspend.",
        t.by,
        t.kind.name(),
        t.checked_at_least,
        t.false_permille
    )
}

/// What a document changes of the one before, a line each: `+` is new, `-` is gone.
#[must_use]
pub fn differences(before: &Arrangement, after: &Arrangement) -> Vec<String> {
    let lines = |a: &Arrangement| {
        let title = ("Title", vec![a.title.clone()]);
        let mut all = articles(a);
        all.insert(0, title);
        all
    };
    let (old, new) = (lines(before), lines(after));
    let of = |all: &[Article], heading: &str| {
        let found = all.iter().find(|(h, _)| *h == heading);
        found.map(|(_, lines)| lines.clone()).unwrap_or_default()
    };
    let mut headings: Vec<&str> = old.iter().map(|(h, _)| *h).collect();
    for (at, (heading, _)) in new.iter().enumerate() {
        if !headings.contains(heading) {
            headings.insert(at.min(headings.len()), heading);
        }
    }
    let mut out = Vec::new();
    for heading in headings {
        let (was, is) = (of(&old, heading), of(&new, heading));
        out.extend(was.iter().filter(|l| !is.contains(l)).map(|l| told('-', heading, l)));
        out.extend(is.iter().filter(|l| !was.contains(l)).map(|l| told('+', heading, l)));
    }
    out
}

fn told(sign: char, heading: &str, line: &str) -> String {
    format!("{sign} {heading}: {}", line.strip_prefix("- ").unwrap_or(line))
}
