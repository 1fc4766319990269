//! A draft over past cases: the same facts, the draft in place of the ruleset of its name, everything else as it was cited.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use ewtp_clearance::decide::{Decided, Input, Outcome, decide};
use ewtp_clearance::{Facts, Ruleset};
use ewtp_proto::v1::{self, DecisionCode};
use rust_decimal::Decimal;
use serde_json::json;

use crate::args_rules::Simulate;
use crate::commands::case::{code_name, effect_name};
use crate::commands::replay;
use crate::error::CliError;
use crate::output::Output;
use crate::session::Session;

/// What a draft would change.
#[derive(Default)]
struct Tally {
    filings: usize,
    skipped: usize,
    asked: usize,
    officer: usize,
    /// Effect, code that was decided, code that the draft gives.
    codes: BTreeMap<(i32, i32, i32), usize>,
    /// Duty and tax by currency: what was expected, what the draft expects.
    owed: BTreeMap<String, (Decimal, Decimal)>,
}

pub(super) async fn run(
    command: &Simulate,
    profile: Option<&Path>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let Some(draft) = super::read(&command.file, out)? else { return Ok(ExitCode::from(1)) };
    let mut tariffs = Vec::new();
    for file in &command.tariffs {
        let Some(tariff) = super::read(file, out)? else { return Ok(ExitCode::from(1)) };
        tariffs.push(Rc::new(tariff));
    }
    let session = Session::open(profile).await?;
    let mut run = Run {
        session,
        draft: Rc::new(draft),
        tariffs,
        since_ms: command.since.as_millisecond(),
        cited: BTreeMap::new(),
        tally: Tally::default(),
        changed: Vec::new(),
    };
    let mut page_token = String::new();
    loop {
        let request = v1::ListCasesRequest { page_size: 1000, page_token, ..Default::default() };
        let page = run.session.trade().list_cases(request).await?.into_inner();
        for case in page.cases {
            run.case(&case.case_id).await?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    run.tell(command.each, out);
    Ok(ExitCode::SUCCESS)
}

struct Run {
    session: Session,
    draft: Rc<Ruleset>,
    tariffs: Vec<Rc<Ruleset>>,
    since_ms: i64,
    /// Rulesets by their digests; `None` for one that can't be had here.
    cited: BTreeMap<Vec<u8>, Option<Rc<Ruleset>>>,
    tally: Tally,
    changed: Vec<[String; 4]>,
}

impl Run {
    async fn case(&mut self, id: &str) -> Result<(), CliError> {
        let request = v1::GetCaseRequest { case_id: id.to_owned() };
        let case = self.session.trade().get_case(request).await?.into_inner().case;
        let case = case.unwrap_or_default();
        // Of each filing and effect the newest decision that the rules made; decisions that an officer made stay.
        let mut newest: BTreeMap<(String, u32), BTreeMap<i32, &v1::CaseDecision>> = BTreeMap::new();
        for decision in &case.decisions {
            let Some(core) = &decision.core else { continue };
            let ours = core.rulesets.iter().any(|r| r.name == self.draft.name);
            let by_rules = core.source() == v1::DecisionSource::Rules;
            if !ours || !by_rules || decision.logged_ms < self.since_ms {
                continue;
            }
            let filing = (core.filing_id.clone(), core.filing_version);
            let effects = newest.entry(filing).or_default();
            let newer = effects.get(&core.effect).is_none_or(|d| d.logged_ms <= decision.logged_ms);
            if newer {
                effects.insert(core.effect, decision);
            }
        }
        for ((filing, _), decisions) in newest {
            let filed = case.filings.iter().filter_map(|f| f.filing.as_ref()?.core.as_ref());
            let Some(filed) = filed.into_iter().find(|c| c.filing_id == filing) else { continue };
            self.filing(&case, filed, &decisions).await?;
        }
        Ok(())
    }

    async fn filing(
        &mut self,
        case: &v1::Case,
        filed: &v1::FilingCore,
        decisions: &BTreeMap<i32, &v1::CaseDecision>,
    ) -> Result<(), CliError> {
        let Some(first) = decisions.values().next() else { return Ok(()) };
        let Some(outcome) = self.decide(case, filed, first).await? else {
            self.tally.skipped += 1;
            return Ok(());
        };
        self.tally.filings += 1;
        match outcome {
            Outcome::Ask(_) => self.tally.asked += 1,
            Outcome::Officer(_) => self.tally.officer += 1,
            Outcome::Decided(all) => {
                for (effect, before) in decisions {
                    let after = all.iter().find(|d| d.effect as i32 == *effect);
                    self.compare(&case.case_id, before, after);
                }
            }
        }
        Ok(())
    }

    /// What the draft says of a filing; `None` where what it was decided by can't be had here.
    async fn decide(
        &mut self,
        case: &v1::Case,
        filed: &v1::FilingCore,
        decision: &v1::CaseDecision,
    ) -> Result<Option<Outcome>, CliError> {
        let core = decision.core.clone().unwrap_or_default();
        let facts = match decision.trader.as_ref().map(|t| t.facts.clone()).unwrap_or_default() {
            facts if !facts.is_empty() => Some(facts),
            _ => replay::facts_of(&self.session, case, decision).await?,
        };
        let Some(facts) = facts.and_then(|f| Facts::from_json(&f).ok()) else { return Ok(None) };
        let hub = decision.statement.as_ref().map(|s| s.hub.clone()).unwrap_or_default();
        let mut all = vec![Rc::clone(&self.draft)];
        all.extend(self.tariffs.iter().cloned());
        for cited in &core.rulesets {
            if all.iter().any(|r| r.name == cited.name) {
                continue;
            }
            match self.cited(&hub, cited).await? {
                Some(ruleset) => all.push(ruleset),
                None => return Ok(None),
            }
        }
        let rules = |confidential: bool| {
            all.iter().find(|r| !r.is_tariff && r.confidential == confidential).map(|r| &**r)
        };
        let Some(public) = rules(false) else { return Ok(None) };
        let tariffs: Vec<&Ruleset> = all.iter().filter(|r| r.is_tariff).map(|r| &**r).collect();
        Ok(Some(decide(Input {
            kind: filed.r#type(),
            adopted: !filed.adopts.is_empty(),
            facts: &facts,
            public,
            confidential: rules(true),
            tariffs: &tariffs,
            draw: decision.authority.as_ref().and_then(|a| a.draw),
        })))
    }

    async fn cited(
        &mut self,
        hub: &str,
        cited: &v1::RulesetRef,
    ) -> Result<Option<Rc<Ruleset>>, CliError> {
        if let Some(known) = self.cited.get(&cited.digest) {
            return Ok(known.clone());
        }
        let text = replay::text_of(&self.session, hub, cited).await?;
        let ruleset = text.and_then(|t| Ruleset::parse(&t).ok()).map(Rc::new);
        self.cited.insert(cited.digest.clone(), ruleset.clone());
        Ok(ruleset)
    }

    fn compare(&mut self, case: &str, before: &v1::CaseDecision, after: Option<&Decided>) {
        let core = before.core.clone().unwrap_or_default();
        let now = after.map_or(DecisionCode::Unspecified, |d| d.code);
        *self.tally.codes.entry((core.effect, core.code, now as i32)).or_default() += 1;
        if core.code != now as i32 {
            let [effect, was, is] =
                [effect_name(core.effect), decided(core.code), decided(now as i32)];
            self.changed.push([case.to_owned(), effect, was, is]);
        }
        let total = |estimate: Option<&v1::DutyEstimate>| estimate.and_then(|e| e.total.clone());
        let was = total(before.trader.as_ref().and_then(|t| t.estimate.as_ref()));
        let is = total(after.and_then(|d| d.estimate.as_ref()));
        // What nobody was told before has nothing to be compared with.
        let Some(was) = was else { return };
        let amount = |m: &v1::Money| m.amount.parse::<Decimal>().unwrap_or_default();
        let owed = self.tally.owed.entry(was.currency.clone()).or_default();
        owed.0 += amount(&was);
        owed.1 += is.filter(|m| m.currency == was.currency).map_or(Decimal::ZERO, |m| amount(&m));
    }

    fn tell(&self, each: bool, out: &Output) {
        let tally = &self.tally;
        let control = |code: i32| {
            let code = DecisionCode::try_from(code).unwrap_or_default();
            matches!(
                code,
                DecisionCode::DocControl | DecisionCode::ScanControl | DecisionCode::PhysControl
            )
        };
        let sum = |of: &dyn Fn(&(i32, i32, i32)) -> bool| -> usize {
            tally.codes.iter().filter(|(key, _)| of(key)).map(|(_, count)| count).sum()
        };
        let decisions = sum(&|_| true);
        let changed = sum(&|(_, was, is)| was != is);
        let controls = (sum(&|(_, was, _)| control(*was)), sum(&|(_, _, is)| control(*is)));
        let mut facts = vec![
            ("draft", format!("{} version {}", self.draft.name, self.draft.version)),
            ("filings", tally.filings.to_string()),
            ("decisions", format!("{decisions}, of which {changed} would change")),
            ("controls", format!("{} then, {} by the draft", controls.0, controls.1)),
        ];
        for (currency, (was, is)) in &tally.owed {
            let text =
                format!("{was} {currency} then, {is} {currency} by the draft ({:+})", is - was);
            facts.push(("duty and tax", text));
        }
        if tally.asked + tally.officer > 0 {
            let text = format!(
                "{} would be asked first, {} would go to an officer",
                tally.asked, tally.officer
            );
            facts.push(("filings that", text));
        }
        if tally.skipped > 0 {
            let text = format!("{}: their facts or rulesets can't be had here", tally.skipped);
            facts.push(("left out", text));
        }
        let owed: Vec<_> = tally
            .owed
            .iter()
            .map(|(c, (was, is))| json!({"currency": c, "then": was.to_string(), "draft": is.to_string()}))
            .collect();
        let codes: Vec<_> = tally
            .codes
            .iter()
            .map(|((effect, was, is), count)| {
                json!({"effect": effect_name(*effect), "then": decided(*was), "draft": decided(*is), "count": count})
            })
            .collect();
        let json = json!({
            "draft": self.draft.name, "version": self.draft.version, "filings": tally.filings, "decisions": decisions,
            "changed": changed, "controls": {"then": controls.0, "draft": controls.1}, "duty_and_tax": owed,
            "asked": tally.asked, "officer": tally.officer, "left_out": tally.skipped, "codes": codes,
            "each": self.changed,
        });
        out.facts(&facts, &json);
        if out.is_json() {
            return;
        }
        let rows: Vec<Vec<String>> = match each {
            true => self.changed.iter().map(|row| row.to_vec()).collect(),
            false => tally
                .codes
                .iter()
                .filter(|((_, was, is), _)| was != is)
                .map(|((effect, was, is), count)| {
                    vec![count.to_string(), effect_name(*effect), decided(*was), decided(*is)]
                })
                .collect(),
        };
        if !rows.is_empty() {
            let first = if each { "case" } else { "decisions" };
            out.table(&[first, "effect", "then", "by the draft"], &rows, &json!(null));
        }
    }
}

/// The code, or that nothing would be decided on that effect.
fn decided(code: i32) -> String {
    match code {
        0 => "nothing".to_owned(),
        code => code_name(code).to_owned(),
    }
}
