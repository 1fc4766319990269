//! `decide`: from rulesets and facts to decisions, questions, or an officer's task.
//!
//! *Do not load* beats everything. A rule that needs a part outside the data scope says *insufficient scope* and does not
//! fire. An evaluation error, or more than 10,000 steps, is an officer's task, never a *no*.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use cel::{Context, Env, Value};
use ewtp_proto::v1::{
    Condition, DecisionCode, DutyEstimate, Effect, FilingType, Question, Reason, WithoutRecognition,
};
use ewtp_trade::case::effects;

use crate::cost::{STEPS_MAX, steps};
use crate::facts::{DRAW, Facts};
use crate::recognition::{self, Asked, Recognised};
use crate::ruleset::{Action, Audience, Rule, Ruleset};
use crate::tariff::price;
use crate::value::register;

/// CEL's standard library, built once: building it took a fifth of a decision's instructions.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Everything that decides.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// What was filed.
    pub kind: FilingType,
    /// It came from an adoption: what was decided on the advance filing stands.
    pub adopted: bool,
    /// What the rules see.
    pub facts: &'a Facts,
    /// Traders can pre-check with it.
    pub public: &'a Ruleset,
    /// Risk and selection.
    pub confidential: Option<&'a Ruleset>,
    /// What is charged; without one, what the public ruleset says.
    pub tariffs: &'a [&'a Ruleset],
    /// Random draw in `[0, 1000000)`, for confidential rules.
    pub draw: Option<u32>,
}

/// A decision on one effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// What it is about.
    pub effect: Effect,
    /// What was decided.
    pub code: DecisionCode,
    /// For the trader.
    pub reasons: Vec<Reason>,
    /// For authorities only.
    pub authority_reasons: Vec<Reason>,
    /// What release still needs.
    pub needed: Vec<Reason>,
    /// Conditions imposed.
    pub conditions: Vec<Condition>,
    /// Duty and tax to expect, in the admissibility decision.
    pub estimate: Option<DutyEstimate>,
    /// Public rules that fired.
    pub rules_fired: Vec<String>,
    /// Confidential rules, and rules for authorities only, that fired.
    pub authority_rules_fired: Vec<String>,
    /// Public rules that needed a part outside the scope.
    pub insufficient_scope: Vec<String>,
    /// Foreign facts that a public rule for traders on this effect asked for and found.
    pub relied_upon: Vec<Recognised>,
    /// The same of confidential rules, and of rules for authorities only.
    pub authority_relied_upon: Vec<Recognised>,
    /// What the same rules say without them; absent where none was relied upon.
    pub without: Option<Without>,
}

impl Decided {
    /// Whether any foreign fact was relied upon.
    fn relies(&self) -> bool {
        !self.relied_upon.is_empty() || !self.authority_relied_upon.is_empty()
    }
}

/// What would have been decided without recognised facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Without {
    /// This code, by these rules.
    Decided(DecisionCode, Vec<String>),
    /// The filer would have been asked.
    Asked,
    /// An officer would have had to look.
    Officer,
}

impl Without {
    /// As part `authority` of a decision has it.
    #[must_use]
    pub fn named(&self) -> WithoutRecognition {
        let mut out = WithoutRecognition::default();
        match self {
            Self::Decided(code, rules) => {
                out.set_code(*code);
                out.rules_fired.clone_from(rules);
            }
            Self::Asked => out.asked = true,
            Self::Officer => out.officer = true,
        }
        out
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// One decision per effect.
    Decided(Vec<Decided>),
    /// The filer is asked first.
    Ask(Vec<Question>),
    /// An officer has to look: what failed, with the rule's id.
    Officer(Vec<String>),
}

/// Weight of a code that rules may decide; the heaviest that fired counts. `None` for codes that rules never give.
#[must_use]
pub const fn weight(code: DecisionCode) -> Option<u8> {
    match code {
        DecisionCode::Clear => Some(0),
        DecisionCode::ClearPostAudit => Some(1),
        DecisionCode::ClearConditional => Some(2),
        DecisionCode::DocControl => Some(3),
        DecisionCode::ScanControl => Some(4),
        DecisionCode::PhysControl => Some(5),
        DecisionCode::Hold => Some(6),
        DecisionCode::Refuse => Some(7),
        DecisionCode::Dnl => Some(8),
        DecisionCode::NoAction
        | DecisionCode::Release
        | DecisionCode::Detain
        | DecisionCode::Seize
        | DecisionCode::Revoke
        | DecisionCode::Unspecified => None,
    }
}

/// Decides. The same input gives the same outcome, wherever and whenever it runs. Where foreign facts were relied upon, it tells what
/// would have been decided without.
#[must_use]
pub fn decide(input: Input<'_>) -> Outcome {
    let mut outcome = decide_once(input);
    if let Outcome::Decided(all) = &mut outcome
        && all.iter().any(Decided::relies)
    {
        let facts = Facts { recognised: Vec::new(), ..input.facts.clone() };
        let without = decide_once(Input { facts: &facts, ..input });
        for decided in all.iter_mut().filter(|d| d.relies()) {
            decided.without = Some(otherwise(&without, decided.effect));
        }
    }
    outcome
}

fn otherwise(outcome: &Outcome, effect: Effect) -> Without {
    match outcome {
        Outcome::Ask(_) => Without::Asked,
        Outcome::Officer(_) => Without::Officer,
        Outcome::Decided(all) => {
            all.iter().find(|d| d.effect == effect).map_or(Without::Officer, |d| {
                let rules = d.rules_fired.iter().chain(&d.authority_rules_fired);
                Without::Decided(d.code, rules.cloned().collect())
            })
        }
    }
}

fn decide_once(input: Input<'_>) -> Outcome {
    let mut errors = Vec::new();
    let mut fired = Vec::new();
    let mut insufficient = Vec::new();
    let mut relied = BTreeMap::new();
    for ruleset in std::iter::once(input.public).chain(input.confidential) {
        fired.extend(run(ruleset, input, &mut insufficient, &mut relied, &mut errors));
    }
    // *Do not load* beats everything, also a rule elsewhere that could not be evaluated.
    let stops = |f: &Fired<'_>| matches!(f.rule.then, Action::Decide(DecisionCode::Dnl));
    let stopped = fired.iter().any(stops);
    if !errors.is_empty() && !stopped {
        return Outcome::Officer(errors);
    }
    if !stopped {
        let questions: Vec<Question> =
            fired.iter().filter(|f| f.rule.then == Action::Ask).map(question).collect();
        if !questions.is_empty() {
            return Outcome::Ask(questions);
        }
    }
    let day = input.public.day_of(input.facts.at_ms);
    let estimate = match price(input.facts, input.public, input.tariffs, day) {
        Ok(estimate) => estimate,
        Err(_) if stopped => None,
        Err(e) => return Outcome::Officer(vec![format!("estimate: {e}")]),
    };
    let decided = effects(input.kind, input.adopted).iter().map(|effect| {
        let mut decided = conclude(*effect, &fired, &insufficient);
        if *effect == Effect::Admissibility {
            decided.estimate.clone_from(&estimate);
        }
        let of = |hidden: bool| {
            let places = relied.get(&(*effect as i32, hidden)).into_iter().flatten();
            places.filter_map(|at: &usize| input.facts.recognised.get(*at).cloned()).collect()
        };
        (decided.relied_upon, decided.authority_relied_upon) = (of(false), of(true));
        decided
    });
    Outcome::Decided(decided.collect())
}

struct Fired<'a> {
    rule: &'a Rule,
    ruleset: &'a Ruleset,
}

impl Fired<'_> {
    fn reason(&self) -> Reason {
        Reason {
            code: self.rule.reason.clone(),
            params: self.rule.params.clone().into_iter().collect(),
            ruleset: self.ruleset.name.clone(),
        }
    }

    /// Whatever a confidential ruleset says is for authorities, whatever its rules say.
    fn for_authorities(&self) -> bool {
        self.ruleset.confidential || self.rule.audience == Audience::Authority
    }
}

fn question(fired: &Fired<'_>) -> Question {
    Question {
        code: fired.rule.reason.clone(),
        path: fired.rule.ask.clone().unwrap_or_default(),
        reason: Some(fired.reason()),
    }
}

fn run<'a>(
    ruleset: &'a Ruleset,
    input: Input<'_>,
    insufficient: &mut Vec<(Effect, String, bool)>,
    relied: &mut BTreeMap<(i32, bool), BTreeSet<usize>>,
    errors: &mut Vec<String>,
) -> Vec<Fired<'a>> {
    let day = ruleset.day_of(input.facts.at_ms);
    let name = |rule: &Rule| format!("{} {}", ruleset.name, rule.id);
    let mut context = Context::with_env(Arc::clone(&STANDARD));
    register(&mut context, &ruleset.rates_on(day));
    let asked = ruleset.asks_for_recognition().then(Asked::default);
    if let Some(asked) = &asked {
        recognition::register(&mut context, input.facts, asked);
    }
    let variables = match input.facts.variables(&day.to_string()) {
        Ok(variables) => variables,
        Err(e) => {
            errors.push(format!("facts: {e}"));
            return Vec::new();
        }
    };
    for (name, value) in variables {
        context.add_variable_from_value(name, value);
    }
    if let Some(draw) = input.draw.filter(|_| ruleset.confidential) {
        context.add_variable_from_value(DRAW, Value::Int(i64::from(draw)));
    }
    let kind = input.kind.as_str_name().trim_start_matches("FILING_TYPE_").to_ascii_lowercase();
    let mut fired = Vec::new();
    for rule in ruleset.rules.iter().filter(|r| r.applies.contains(&kind)) {
        if rule.needs.iter().any(|part| !input.facts.scope.contains(part)) {
            insufficient.push((rule.effect, rule.id.clone(), ruleset.confidential));
            continue;
        }
        let cost = steps(rule.when.program().expression(), input.facts);
        if cost > STEPS_MAX {
            errors.push(format!("{}: {cost} steps, above {STEPS_MAX}", name(rule)));
            continue;
        }
        match rule.when.program().execute(&context) {
            Ok(Value::Bool(true)) => fired.push(Fired { rule, ruleset }),
            Ok(Value::Bool(false)) => {}
            Ok(other) => errors.push(format!("{}: gives {other:?}, not true or false", name(rule))),
            Err(e) => errors.push(format!("{}: {e}", name(rule))),
        }
        if let Some(asked) = &asked {
            let hidden = ruleset.confidential || rule.audience == Audience::Authority;
            relied.entry((rule.effect as i32, hidden)).or_default().extend(asked.take());
        }
    }
    fired
}

fn conclude(
    effect: Effect,
    fired: &[Fired<'_>],
    insufficient: &[(Effect, String, bool)],
) -> Decided {
    let mut decided = Decided {
        effect,
        code: DecisionCode::Clear,
        reasons: Vec::new(),
        authority_reasons: Vec::new(),
        needed: Vec::new(),
        conditions: Vec::new(),
        estimate: None,
        rules_fired: Vec::new(),
        authority_rules_fired: Vec::new(),
        relied_upon: Vec::new(),
        authority_relied_upon: Vec::new(),
        without: None,
        insufficient_scope: insufficient
            .iter()
            .filter(|(e, _, confidential)| *e == effect && !confidential)
            .map(|(_, id, _)| id.clone())
            .collect(),
    };
    for f in fired.iter().filter(|f| f.rule.effect == effect) {
        if let Action::Decide(code) = f.rule.then
            && weight(code) > weight(decided.code)
        {
            decided.code = code;
        }
        if let Some(id) = &f.rule.condition
            && !decided.conditions.iter().any(|c| c.id == *id)
        {
            decided.conditions.push(Condition { id: id.clone(), what: Some(f.reason()) });
        }
        if f.for_authorities() {
            decided.authority_rules_fired.push(f.rule.id.clone());
            decided.authority_reasons.push(f.reason());
        } else {
            decided.rules_fired.push(f.rule.id.clone());
            match f.rule.then {
                Action::Need => decided.needed.push(f.reason()),
                Action::Decide(_) | Action::Note | Action::Ask => decided.reasons.push(f.reason()),
            }
        }
    }
    // Nothing has to be met for what is stopped.
    if weight(decided.code) > weight(DecisionCode::PhysControl) {
        decided.conditions.clear();
    }
    decided
}
