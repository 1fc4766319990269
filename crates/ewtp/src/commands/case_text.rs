//! A case as people read it.

use ewtp_log::Hash;
use ewtp_proto::v1;
use ewtp_trade::expiry::EXPIRED;

use crate::commands::case::{code_name, effect_name, instant, money, state_name};
use crate::commands::case_erase;
use crate::commands::certificate::{entry_name, quantities};
use crate::commands::duty_text;
use crate::output::Output;

/// A name of an enum as people read it.
fn lower(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_ascii_lowercase()
}

pub(crate) fn show(case: &v1::Case, out: &Output) {
    let gone = !case.erased.is_empty() && case.filings.is_empty();
    let state = if gone { "erased".to_owned() } else { state_name(case.state) };
    out.say(&format!("case {}: {state}", case.case_id));
    for s in &case.standings {
        let how = match s.quarantined {
            true => "in quarantine: what it says is received, kept and not relied upon",
            false => "suspended: nothing is heard of it or said to it",
        };
        out.say(&format!("{} is {how} ({})", s.hub, s.reason));
    }
    for f in &case.filings {
        show_filing(f, out);
    }
    for a in &case.adoptions {
        show_adoption(a, out);
    }
    for i in &case.invalidations {
        show_invalidation(i, out);
    }
    for d in &case.decisions {
        show_decision(d, out);
    }
    for d in &case.drawings {
        show_drawing(d, out);
    }
    for r in &case.info_requests {
        show_request(r, out);
    }
    for e in &case.events {
        let core = e.core.clone().unwrap_or_default();
        let name = lower(core.code().as_str_name(), "EVENT_CODE_");
        let hub = e.statement.as_ref().map_or("", |s| &s.hub);
        let office =
            if core.office.is_empty() { String::new() } else { format!(" at {}", core.office) };
        out.say(&format!("event {name}, said by {hub}{office}, {}", instant(core.time_ms)));
        let seals = e.trader.as_ref().map(|t| t.seals.join(", ")).unwrap_or_default();
        if !seals.is_empty() {
            out.say(&format!("  seals: {seals}"));
        }
        let named = e.trader.iter().flat_map(|t| &t.findings);
        let plain = core.findings.iter().filter(|f| !named.clone().any(|n| n.kind == f.kind));
        for f in plain.chain(named.clone()) {
            let result = lower(f.result().as_str_name(), "CONTROL_RESULT_");
            let of = match (f.hub.as_str(), f.line.as_str()) {
                ("", _) => String::new(),
                (hub, line) => format!(", established by {hub} and recognised by line {line}"),
            };
            out.say(&format!("  found: {} {result}{of}", f.kind));
        }
    }
    for a in &case.attachments {
        let one = a.attachment.clone().unwrap_or_default();
        let digest = Hash::from_slice(&one.digest).map(Hash::to_hex).unwrap_or_default();
        let state = match (a.erased.as_str(), a.held) {
            ("", true) => "held here".to_owned(),
            ("", false) => "at the hub that was given it".to_owned(),
            (reason, _) => format!("erased: {reason}"),
        };
        let from = at(a.cited_by.as_ref());
        out.say(&format!(
            "attachment {digest}, {}, {} bytes, cited by {from}, {state}",
            one.media_type, one.size
        ));
    }
    for leg in &case.goods {
        out.say(&format!(
            "goods at {}: {}",
            leg.hub,
            lower(leg.state().as_str_name(), "GOODS_STATE_")
        ));
    }
    if !case.needs.is_empty() {
        let needs: Vec<String> = case.needs.iter().map(need).collect();
        out.say(&format!("release still needs: {}", needs.join("; ")));
    }
    for found in &case.matches {
        show_match(found, out);
    }
    for link in &case.links {
        let score =
            if link.score > 0 { format!(", {} of 100 agree", link.score) } else { String::new() };
        out.say(&format!("{} case {} (UCR {}){score}", link.relation, link.case_id, link.ucr));
    }
    case_erase::show(case, out);
    for n in &case.not_honoured {
        let reasons: Vec<String> = n.reasons.iter().map(ewtp_trade::finding::line).collect();
        out.say(&format!("not honoured by {}: {}", n.hub, reasons.join("; ")));
    }
}

fn show_match(found: &v1::CaseMatch, out: &Output) {
    out.say(&format!(
        "import {} beside {} (found by {}): {} of 100 agree",
        found.import_filing, found.origin_filing, found.found_by, found.score
    ));
    for d in &found.discrepancies {
        out.say(&format!(
            "  {}: origin says {}, import says {} (tolerated: {}) [{}]",
            d.what, d.origin_says, d.import_says, d.tolerance, d.path
        ));
    }
    if !found.not_compared.is_empty() {
        out.say(&format!("  not compared: {}", found.not_compared.join(", ")));
    }
}

fn need(need: &v1::CaseNeed) -> String {
    let effect = effect_name(need.effect);
    match need.what() {
        v1::ReleaseNeed::Unspecified => "something that this version does not know".into(),
        v1::ReleaseNeed::Adoption => "adoption by who may be declarant there".into(),
        v1::ReleaseNeed::AdoptionOfNewest => "adoption of the newest version".into(),
        v1::ReleaseNeed::Clearance => format!("clearance for {effect}"),
        v1::ReleaseNeed::Answer => "an answer".into(),
        v1::ReleaseNeed::Presentation => "presentation of the goods".into(),
        v1::ReleaseNeed::Control => format!("the control announced for {effect}"),
        v1::ReleaseNeed::Condition => format!("condition {}", need.condition_id),
        v1::ReleaseNeed::Officer => "an officer's word".into(),
    }
}

fn at(statement: Option<&v1::StatementRef>) -> String {
    statement.map(|s| format!("{} log entry {}", s.hub, s.log_index)).unwrap_or_default()
}

fn show_adoption(a: &v1::CaseAdoption, out: &Output) {
    let core = a.core.clone().unwrap_or_default();
    let counts =
        if a.counts { "" } else { "; a newer one took its place, or its filing was withdrawn" };
    out.say(&format!(
        "adopted: version {} of {} by declarant {}, {}{counts}",
        core.filing_version,
        core.filing_id,
        core.declarant_id,
        at(a.statement.as_ref())
    ));
}

fn show_invalidation(i: &v1::CaseInvalidation, out: &Output) {
    let core = i.core.clone().unwrap_or_default();
    let counts =
        if i.counts { "" } else { "; it came too late: the filing was adopted or released" };
    if core.reason == EXPIRED {
        let at = at(i.statement.as_ref());
        out.say(&format!("expired: {}, its goods never moved, {at}{counts}", core.filing_id));
        return;
    }
    out.say(&format!(
        "withdrawn: {} for {}, {}{counts}",
        core.filing_id,
        core.reason,
        at(i.statement.as_ref())
    ));
}

fn show_drawing(d: &v1::CaseDrawing, out: &Output) {
    let core = d.core.clone().unwrap_or_default();
    let goods = d.goods.clone().unwrap_or_default();
    let at = at(d.statement.as_ref());
    let (id, entry) = (&core.certificate_id, entry_name(core.entry()));
    if core.entry() == v1::LedgerEntry::Refused {
        let asked = match goods.quantities.as_slice() {
            [] => "no quantity in the unit of the certificate".to_owned(),
            asked => quantities(asked),
        };
        out.say(&format!(
            "certificate {id}: refused by {at} to filing {} version {}: {asked} asked, {} left; {} other entries hold it",
            core.filing_id,
            core.filing_version,
            quantities(&goods.left),
            core.held_by.len()
        ));
        return;
    }
    let why = if core.reason.is_empty() { String::new() } else { format!(": {}", core.reason) };
    let held = if goods.quantities.is_empty() {
        String::new()
    } else {
        format!(" {}", quantities(&goods.quantities))
    };
    out.say(&format!("certificate {id}: {entry}{held} by {at}{why}"));
}

fn show_filing(f: &v1::CaseFiling, out: &Output) {
    let filing = f.filing.clone().unwrap_or_default();
    let core = filing.core.unwrap_or_default();
    let kind = lower(core.r#type().as_str_name(), "FILING_TYPE_");
    let hub = f.statement.as_ref().map(|s| s.hub.clone()).unwrap_or_default();
    let state = match f.state() {
        v1::FilingState::Registered => String::new(),
        other => format!(", {}", lower(other.as_str_name(), "FILING_STATE_")),
    };
    out.say(&format!(
        "{kind} filing {} version {} at {hub}, logged {}{state}",
        core.lrn,
        core.version,
        instant(f.logged_ms)
    ));
    out.say(&format!(
        "  id {}, MRN {}, UCR {}, {} to {}",
        core.filing_id, core.mrn, core.ucr, core.country_of_export, core.country_of_destination
    ));
    out.say(&format!("  exporter {}; consignee {}", core.exporter_name, core.importer_name));
    let goods = filing.goods.unwrap_or_default();
    let value = filing.value.unwrap_or_default();
    for (i, item) in core.items.iter().enumerate() {
        let description =
            goods.items.get(i).map_or("(not shown to you)", |g| g.description.as_str());
        let price = value
            .items
            .get(i)
            .map_or_else(|| "value not shown".into(), |v| money(v.value.as_ref()));
        out.say(&format!(
            "  {}. {} {description}, origin {}, {price}",
            item.number, item.commodity_code, item.origin
        ));
    }
    for c in &f.changes {
        let side = |text: &str| match text {
            "" => "nothing".to_owned(),
            text => format!("{text:?}"),
        };
        out.say(&format!("  changed {}: {} to {}", c.path, side(&c.before), side(&c.after)));
    }
    if !f.withheld_parts.is_empty() {
        out.say(&format!("  parts that this hub doesn't hold: {}", f.withheld_parts.join(", ")));
    }
    if !core.synthesised.is_empty() {
        out.say(&format!("  synthesised: {}", core.synthesised.join(", ")));
    }
    for w in &f.warnings {
        out.say(&format!("  warning {}", ewtp_trade::finding::line(w)));
    }
    for a in &f.assessments {
        let state = lower(a.state().as_str_name(), "ASSESSMENT_STATE_");
        let hub = if a.hub.is_empty() { "no hub yet" } else { &a.hub };
        out.say(&format!("  {}: {state} ({hub})", effect_name(a.effect)));
    }
}

fn show_decision(d: &v1::CaseDecision, out: &Output) {
    let core = d.core.clone().unwrap_or_default();
    let hub = d
        .statement
        .as_ref()
        .map(|s| format!("{} log entry {}", s.hub, s.log_index))
        .unwrap_or_default();
    let until = match core.valid_until_ms {
        0 => "without an end".to_owned(),
        ms => format!("until {}", instant(ms)),
    };
    let by = match (d.identity.as_str(), d.proposed_by.as_str()) {
        ("", _) => String::new(),
        (who, "") => format!(" {who}"),
        (who, first) => format!(" {who}, proposed by {first}"),
    };
    out.say(&format!(
        "decision {}: {} by {hub} ({}{by}) on version {}, good from {} {until}",
        effect_name(core.effect),
        code_name(core.code),
        lower(core.source().as_str_name(), "DECISION_SOURCE_"),
        core.filing_version,
        instant(core.valid_from_ms),
    ));
    for text in &d.texts {
        out.say(&format!("  {text}"));
    }
    for c in &d.conditions {
        let outcome = match c.outcome() {
            v1::ConditionOutcome::Unspecified => "open".to_owned(),
            said => lower(said.as_str_name(), "CONDITION_OUTCOME_"),
        };
        let reference =
            if c.reference.is_empty() { String::new() } else { format!(" ({})", c.reference) };
        out.say(&format!("  condition {}: {outcome}{reference}; {}", c.id, c.text));
    }
    for a in d.trader.iter().flat_map(|t| &t.attachments) {
        let digest = Hash::from_slice(&a.digest).map(Hash::to_hex).unwrap_or_default();
        out.say(&format!("  made on attachment {}…", digest.get(..12).unwrap_or_default()));
    }
    let public = d.trader.iter().flat_map(|t| &t.recognised);
    for fact in public.chain(d.authority.iter().flat_map(|a| &a.recognised)) {
        out.say(&format!("  {}", recognised(fact)));
    }
    if let Some(without) = d.authority.as_ref().and_then(|a| a.without.as_ref()) {
        out.say(&format!("  without recognition: {}", otherwise(without)));
    }
    if core.contingency {
        out.say("  contingency: released although something was missing");
    }
    if !core.insufficient_scope.is_empty() {
        out.say(&format!("  insufficient scope for: {}", core.insufficient_scope.join(", ")));
    }
    if let Some(e) = d.trader.as_ref().and_then(|t| t.estimate.as_ref()) {
        out.say(&format!("  duty and tax to expect: {}", duty_text::total(e)));
        for line in duty_text::lines(e) {
            out.say(&format!("    {line}"));
        }
    }
}

/// `recognised: export-control of KE (log entry 12), by line coffee of document 2: waive_documents`
fn recognised(fact: &v1::RecognisedFact) -> String {
    format!(
        "recognised: {} of {} (log entry {}), by line {} of document {}: {}",
        fact.kind,
        fact.hub,
        fact.log_index,
        fact.line,
        fact.document,
        fact.effects.join(", ")
    )
}

fn otherwise(without: &v1::WithoutRecognition) -> String {
    match (without.asked, without.officer) {
        (true, _) => "the filer would have been asked".to_owned(),
        (_, true) => "an officer would have had to look".to_owned(),
        _ if without.rules_fired.is_empty() => code_name(without.code).to_owned(),
        _ => format!("{} by {}", code_name(without.code), without.rules_fired.join(", ")),
    }
}

fn show_request(r: &v1::CaseInfoRequest, out: &Output) {
    let deadline = r.core.as_ref().map(|c| instant(c.deadline_ms)).unwrap_or_default();
    let state = if r.answer.is_some() { "answered" } else { "open" };
    out.say(&format!("information wanted ({state}), answer by {deadline}"));
    let questions = r.trader.as_ref().map_or(&[][..], |t| &t.questions);
    for (question, text) in questions.iter().zip(&r.texts) {
        out.say(&format!("  {}: {text} [{}]", question.code, question.path));
    }
    for a in r.answer.iter().flat_map(|a| &a.answers) {
        out.say(&format!("  answer {}: {}", a.code, a.value));
    }
    if r.answer.is_none() {
        out.say("  answer with: ewtp case answer CASE CODE='TEXT'");
    }
}
