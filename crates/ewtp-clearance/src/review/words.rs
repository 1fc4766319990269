//! An expression as text again: to compare two of them, and to show a part of one.

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, LiteralValue};

/// The expression in one spelling, whatever its spaces and brackets were.
pub(super) fn words(expr: &IdedExpr) -> String {
    match &expr.expr {
        Expr::Unspecified => String::new(),
        Expr::Ident(name) => name.clone(),
        Expr::Literal(literal) => literal_words(literal),
        Expr::Select(select) => {
            let path = format!("{}.{}", words(&select.operand), select.field);
            if select.test { format!("has({path})") } else { path }
        }
        Expr::Call(call) => {
            let args: Vec<String> = call.args.iter().map(words).collect();
            match (call.func_name.as_str(), call.target.as_deref(), args.as_slice()) {
                ("!_" | "-_", None, [a]) => format!("{}{a}", &call.func_name[..1]),
                ("_?_:_", None, [c, a, b]) => format!("({c} ? {a} : {b})"),
                ("_[_]", None, [list, at]) => format!("{list}[{at}]"),
                ("@in", None, [a, b]) => format!("({a} in {b})"),
                (name, None, [a, b]) if name.starts_with('_') => {
                    format!("({a} {} {b})", name.trim_matches('_'))
                }
                (name, Some(target), args) => {
                    format!("{}.{name}({})", words(target), args.join(", "))
                }
                (name, None, args) => format!("{name}({})", args.join(", ")),
            }
        }
        Expr::List(list) => {
            let all: Vec<String> = list.elements.iter().map(words).collect();
            format!("[{}]", all.join(", "))
        }
        Expr::Map(map) => {
            let entry = |e: &EntryExpr| match e {
                EntryExpr::MapEntry(m) => format!("{}: {}", words(&m.key), words(&m.value)),
                EntryExpr::StructField(f) => format!("{}: {}", f.field, words(&f.value)),
            };
            let all: Vec<String> = map.entries.iter().map(|e| entry(&e.expr)).collect();
            format!("{{{}}}", all.join(", "))
        }
        Expr::Struct(s) => s.type_name.clone(),
        Expr::Comprehension(c) => {
            format!("{}.each({}, {})", words(&c.iter_range), c.iter_var, words(&c.loop_step))
        }
    }
}

fn literal_words(literal: &LiteralValue) -> String {
    match literal {
        LiteralValue::Boolean(b) => b.inner().to_string(),
        LiteralValue::Int(n) => n.inner().to_string(),
        LiteralValue::String(s) => format!("'{}'", s.inner()),
        other => format!("{other:?}"),
    }
}

/// The text of a literal.
pub(super) fn text(expr: &IdedExpr) -> Option<&str> {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(s)) => Some(s.inner()),
        _ => None,
    }
}

/// The conditions that all have to hold.
pub(super) fn conjuncts<'a>(expr: &'a IdedExpr, out: &mut Vec<&'a IdedExpr>) {
    match &expr.expr {
        Expr::Call(call) if call.func_name == "_&&_" => {
            call.args.iter().for_each(|arg| conjuncts(arg, out));
        }
        _ => out.push(expr),
    }
}
