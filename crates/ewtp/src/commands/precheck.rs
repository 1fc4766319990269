//! `ewtp declare --dry-run`: what the public rules of the hub that would assess a filing say, before anything is filed.

use ewtp_proto::v1;
use serde_json::{Value, json};

use crate::commands::case::{code_name, effect_name};
use crate::commands::duty_text;
use crate::error::CliError;
use crate::output::Output;
use crate::session::Session;

/// Asks about one filing and shows the answer; whether it could be filed.
pub(crate) async fn ask(
    session: &Session,
    name: &str,
    filing: v1::Filing,
    out: &Output,
) -> Result<(bool, Value), CliError> {
    let lrn = filing.core.as_ref().map(|c| c.lrn.clone()).unwrap_or_default();
    let request = session.request(v1::PreCheckRequest { filing: Some(filing) });
    let response = session.trade().pre_check(request).await?.into_inner();
    let good = response.violations.is_empty();
    let json =
        json!({"filing": name, "lrn": lrn, "precheck": response, "selection_included": false});
    if !out.is_json() {
        show(name, &lrn, &response, out);
    }
    Ok((good, json))
}

fn show(name: &str, lrn: &str, response: &v1::PreCheckResponse, out: &Output) {
    if !response.violations.is_empty() {
        out.say(&format!("{name} {lrn}: would be refused"));
        for violation in &response.violations {
            out.say(&format!("  {}", ewtp_trade::finding::line(violation)));
        }
        return;
    }
    let by = match response.assessed_by.as_str() {
        "" => "nobody".to_owned(),
        hub => format!("the public rules of {hub}"),
    };
    out.say(&format!("{name} {lrn}: nothing is filed. By {by}, as of now:"));
    for warning in &response.warnings {
        out.say(&format!("  warning {}", ewtp_trade::finding::line(warning)));
    }
    if !response.why_not.is_empty() {
        out.say(&format!("  nothing can be said: {}", response.why_not));
    }
    for question in &response.questions {
        out.say(&format!("  it would be asked: {question}"));
    }
    if !response.officer.is_empty() {
        out.say(&format!("  an officer would have to look: {}", response.officer));
    }
    for decision in &response.decisions {
        let (effect, code) = (effect_name(decision.effect), code_name(decision.code));
        out.say(&format!("  {effect}: {code}"));
        for text in &decision.texts {
            out.say(&format!("    {text}"));
        }
        if !decision.insufficient_scope.is_empty() {
            let rules = decision.insufficient_scope.join(", ");
            out.say(&format!("    not judged for want of data in scope: {rules}"));
        }
        if let Some(estimate) = &decision.estimate {
            out.say(&format!("    duty and tax to expect: {}", duty_text::total(estimate)));
            for line in duty_text::lines(estimate) {
                out.say(&format!("      {line}"));
            }
        }
    }
    for ruleset in &response.rulesets {
        out.say(&format!("  by {} version {}", ruleset.name, ruleset.version));
    }
    out.say("  Risk and selection are not included, nor what is recognised: goods may be controlled all the same.");
}
