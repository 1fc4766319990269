//! Counts the steps of an expression before it runs: the product of the lengths of nested lists.

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr};

use crate::facts::Facts;

/// Above this an officer decides.
pub(crate) const STEPS_MAX: u64 = 10_000;

/// An upper bound of the steps of `expr` over `facts`.
pub(crate) fn steps(expr: &IdedExpr, facts: &Facts) -> u64 {
    match &expr.expr {
        Expr::Comprehension(c) => {
            let inner = [&c.loop_cond, &c.loop_step, &c.result]
                .iter()
                .map(|e| steps(e, facts))
                .sum::<u64>();
            let turns = length(&c.iter_range, facts);
            steps(&c.iter_range, facts).saturating_add(turns.saturating_mul(inner.max(1)))
        }
        Expr::Call(c) => {
            let target = c.target.iter().map(|t| steps(t, facts)).sum::<u64>();
            c.args.iter().map(|a| steps(a, facts)).fold(1 + target, u64::saturating_add)
        }
        Expr::Select(s) => steps(&s.operand, facts),
        Expr::List(l) => l.elements.iter().map(|e| steps(e, facts)).fold(1, u64::saturating_add),
        Expr::Map(m) => {
            m.entries.iter().map(|e| entry_steps(&e.expr, facts)).fold(1, u64::saturating_add)
        }
        Expr::Struct(s) => {
            s.entries.iter().map(|e| entry_steps(&e.expr, facts)).fold(1, u64::saturating_add)
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => 0,
    }
}

fn entry_steps(entry: &EntryExpr, facts: &Facts) -> u64 {
    match entry {
        EntryExpr::MapEntry(m) => steps(&m.key, facts).saturating_add(steps(&m.value, facts)),
        EntryExpr::StructField(f) => steps(&f.value, facts),
    }
}

/// Longest that a list can be: what is known of it, else the longest list among the facts.
fn length(range: &IdedExpr, facts: &Facts) -> u64 {
    let longest = facts.items.len().max(facts.answers.len()).max(facts.scope.len());
    let known = match &range.expr {
        Expr::Ident(name) => match name.as_str() {
            "items" => facts.items.len(),
            "answers" => facts.answers.len(),
            "scope" => facts.scope.len(),
            _ => longest,
        },
        Expr::List(l) => l.elements.len(),
        Expr::Comprehension(c) => return length(&c.iter_range, facts),
        _ => longest,
    };
    known as u64
}
