//! Rules that can't fire, and rules whose firing changes nothing.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue};

use super::words::{conjuncts, text, words};
use super::{Found, Severity};
use crate::decide::weight;
use crate::ruleset::{Action, Rule, Ruleset};

/// What all has to hold for a rule to fire, in one spelling each.
fn conditions(rule: &Rule) -> BTreeSet<String> {
    let mut all = Vec::new();
    conjuncts(rule.when.program().expression(), &mut all);
    all.into_iter().map(words).collect()
}

/// Rules that never fire while the ruleset is in force.
pub(super) fn unreachable(ruleset: &Ruleset) -> Vec<Found> {
    let found = |rule: &Rule| {
        let what = contradiction(rule, ruleset)?;
        let (severity, what) = (Severity::Remark, format!("it never fires: {what}"));
        Some(Found { severity, rule: rule.id.clone(), what })
    };
    ruleset.rules.iter().filter_map(found).collect()
}

fn contradiction(rule: &Rule, ruleset: &Ruleset) -> Option<String> {
    let mut all = Vec::new();
    conjuncts(rule.when.program().expression(), &mut all);
    let spelt: BTreeSet<String> = all.iter().map(|e| words(e)).collect();
    if spelt.contains("false") {
        return Some("it asks for false".into());
    }
    if let Some(both) = spelt.iter().find(|w| spelt.contains(&format!("!{w}"))) {
        return Some(format!("it asks for {both} and its contrary"));
    }
    let equal: Vec<(String, &str)> = all.iter().filter_map(|e| equals(e)).collect();
    for (i, (left, right)) in equal.iter().enumerate() {
        let other = equal.iter().take(i).find(|(l, r)| l == left && r != right);
        if let Some((_, before)) = other {
            return Some(format!("{left} can't be '{before}' and '{right}'"));
        }
    }
    all.iter().find_map(|e| outside(e, ruleset))
}

/// `X == 'text'`.
fn equals(expr: &IdedExpr) -> Option<(String, &str)> {
    let Expr::Call(call) = &expr.expr else { return None };
    match (call.func_name.as_str(), call.args.as_slice()) {
        ("_==_", [left, right]) => match (text(left), text(right)) {
            (None, Some(value)) => Some((words(left), value)),
            (Some(value), None) => Some((words(right), value)),
            _ => None,
        },
        _ => None,
    }
}

/// A condition on the day that no day of the ruleset fulfils.
fn outside(expr: &IdedExpr, ruleset: &Ruleset) -> Option<String> {
    let Expr::Call(call) = &expr.expr else { return None };
    let [left, right] = call.args.as_slice() else { return None };
    let day = text(right).filter(|_| matches!(&left.expr, Expr::Ident(n) if n == "today"))?;
    let (first, last) =
        (ruleset.valid_from.to_string(), ruleset.valid_until.map(|d| d.to_string()));
    let holds = match call.func_name.as_str() {
        "_>=_" => last.as_deref().is_none_or(|last| last >= day),
        "_>_" => last.as_deref().is_none_or(|last| last > day),
        "_<=_" => first.as_str() <= day,
        "_<_" => first.as_str() < day,
        _ => true,
    };
    let until = last.as_deref().unwrap_or("open");
    (!holds).then(|| format!("{} on no day from {first} to {until}", words(expr)))
}

/// Rules whose code never counts, because another one fires whenever they do.
pub(super) fn overlapping(ruleset: &Ruleset) -> Vec<Found> {
    let all: Vec<(&Rule, BTreeSet<String>)> =
        ruleset.rules.iter().map(|r| (r, conditions(r))).collect();
    let mut out = Vec::new();
    for (i, (rule, asked)) in all.iter().enumerate() {
        let Action::Decide(code) = rule.then else { continue };
        let covers = |(j, (other, theirs)): &(usize, &(&Rule, BTreeSet<String>))| {
            let Action::Decide(heavier) = other.then else { return false };
            let same = theirs == asked;
            let weighs = weight(heavier) > weight(code)
                || (weight(heavier) == weight(code) && (!same || *j < i));
            *j != i
                && other.effect == rule.effect
                && rule.applies.iter().all(|kind| other.applies.contains(kind))
                && other.needs.iter().all(|part| rule.needs.contains(part))
                && theirs.is_subset(asked)
                && weighs
        };
        if let Some((_, (other, theirs))) = all.iter().enumerate().find(covers) {
            let how = if theirs == asked { "asks for the same" } else { "asks for less" };
            out.push(Found {
                severity: Severity::Remark,
                rule: rule.id.clone(),
                what: format!(
                    "its code never counts: {} {how} and decides what weighs as much or more; only its reason is added",
                    other.id
                ),
            });
        }
    }
    out.extend(always(&all));
    out
}

/// Rules that fire whatever is filed.
fn always(all: &[(&Rule, BTreeSet<String>)]) -> Vec<Found> {
    let constant = |rule: &Rule| matches!(&rule.when.program().expression().expr, Expr::Literal(LiteralValue::Boolean(b)) if *b.inner());
    let decides = |rule: &Rule| matches!(rule.then, Action::Decide(_));
    all.iter()
        .filter(|(rule, _)| constant(rule) && decides(rule))
        .map(|(rule, _)| Found {
            severity: Severity::Remark,
            rule: rule.id.clone(),
            what: "it fires for every filing of its types".into(),
        })
        .collect()
}
