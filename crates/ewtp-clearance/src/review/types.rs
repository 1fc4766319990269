//! Types of expressions: what each part gives, what it is given, and which facts it takes for there.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue};

use super::words::{text, words};
use crate::arrangement::{FactKind, RecognitionEffect};
use crate::ruleset::Ruleset;

/// What an expression gives.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Type {
    Bool,
    Int,
    Text,
    Money,
    Mass,
    Quantity,
    Filing,
    Item,
    /// Texts by text.
    Answers,
    List(Box<Type>),
    /// Not known: fits everything.
    Any,
}

impl Type {
    fn name(&self) -> String {
        match self {
            Self::Bool => "true or false".into(),
            Self::Int => "a whole number".into(),
            Self::Text => "a text".into(),
            Self::Money => "money".into(),
            Self::Mass => "a mass".into(),
            Self::Quantity => "a quantity".into(),
            Self::Filing => "the filing".into(),
            Self::Item => "an item".into(),
            Self::Answers => "the answers".into(),
            Self::List(of) => format!("a list of {}", of.name()),
            Self::Any => "anything".into(),
        }
    }

    fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::List(a), Self::List(b)) => a.fits(b),
            _ => self == other,
        }
    }

    const fn is_amount(&self) -> bool {
        matches!(self, Self::Money | Self::Mass | Self::Quantity | Self::Any)
    }
}

/// Fields of `filing` that every filing has; the others may be missing.
const ALWAYS: &[&str] = &[
    "type",
    "category",
    "partial",
    "synthesised",
    "country_of_export",
    "country_of_destination",
    "exporter_name",
    "importer_name",
    "lrn",
];

fn field_of_filing(field: &str) -> Type {
    match field {
        "category" | "synthesised" | "total_packages" => Type::Int,
        "partial" | "ioss" => Type::Bool,
        "gross_mass" => Type::Mass,
        "invoice_total" | "freight" | "insurance" => Type::Money,
        "documents" => Type::List(Box::new(Type::Text)),
        _ => Type::Text,
    }
}

fn field_of_item(field: &str) -> Type {
    match field {
        "number" | "packages" => Type::Int,
        "gross_mass" | "net_mass" => Type::Mass,
        "quantity" => Type::Quantity,
        "value" => Type::Money,
        "documents" => Type::List(Box::new(Type::Text)),
        _ => Type::Text,
    }
}

/// What was found in an expression.
#[derive(Default)]
pub(super) struct Checked {
    /// What fails.
    pub(super) faults: BTreeSet<String>,
    /// Facts that are used where they may be missing.
    pub(super) unguarded: BTreeSet<String>,
}

/// Checks the condition of a rule.
pub(super) fn check(expr: &IdedExpr, ruleset: &Ruleset) -> Checked {
    let mut walk = Walk { ruleset, names: Vec::new(), found: Checked::default() };
    let given = walk.infer(expr, &Known::new());
    walk.expect(&given.of, &Type::Bool, expr);
    walk.found
}

/// Facts that are known to be there.
type Known = BTreeSet<String>;

/// What an expression gives, and which facts are there if it is true, or false.
struct Given {
    of: Type,
    if_true: Known,
    if_false: Known,
}

impl Given {
    fn of(of: Type) -> Self {
        Self { of, if_true: Known::new(), if_false: Known::new() }
    }
}

struct Walk<'a> {
    ruleset: &'a Ruleset,
    names: Vec<(String, Type)>,
    found: Checked,
}

impl Walk<'_> {
    fn fault(&mut self, what: String) {
        self.found.faults.insert(what);
    }

    fn expect(&mut self, is: &Type, wanted: &Type, expr: &IdedExpr) {
        if !is.fits(wanted) {
            self.fault(format!("{} is {}, not {}", words(expr), is.name(), wanted.name()));
        }
    }

    fn infer(&mut self, expr: &IdedExpr, known: &Known) -> Given {
        match &expr.expr {
            Expr::Literal(literal) => Given::of(match literal {
                LiteralValue::Boolean(_) => Type::Bool,
                LiteralValue::Int(_) | LiteralValue::UInt(_) => Type::Int,
                LiteralValue::String(_) => Type::Text,
                _ => Type::Any,
            }),
            Expr::Ident(name) => Given::of(self.name(name)),
            Expr::Select(select) => {
                let operand = self.infer(&select.operand, known);
                let path = format!("{}.{}", words(&select.operand), select.field);
                let of = match operand.of {
                    Type::Filing => field_of_filing(&select.field),
                    Type::Item => field_of_item(&select.field),
                    _ => Type::Any,
                };
                if select.test {
                    let if_true = Known::from([path]);
                    return Given { of: Type::Bool, if_true, if_false: Known::new() };
                }
                let sure = match operand.of {
                    Type::Filing => ALWAYS.contains(&select.field.as_str()),
                    Type::Item => select.field == "number",
                    _ => true,
                };
                if !sure && !known.contains(&path) {
                    self.found.unguarded.insert(path);
                }
                Given::of(of)
            }
            Expr::List(list) => {
                let mut of = Type::Any;
                for element in &list.elements {
                    let next = self.infer(element, known).of;
                    if of == Type::Any {
                        of = next;
                    } else if !next.fits(&of) {
                        self.fault(format!(
                            "{} mixes {} and {}",
                            words(expr),
                            of.name(),
                            next.name()
                        ));
                    }
                }
                Given::of(Type::List(Box::new(of)))
            }
            Expr::Call(call) => self.call(call, expr, known),
            Expr::Comprehension(c) => self.each(c, known),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => Given::of(Type::Any),
        }
    }

    fn name(&self, name: &str) -> Type {
        if let Some((_, of)) = self.names.iter().rev().find(|(n, _)| n == name) {
            return of.clone();
        }
        match name {
            "filing" => Type::Filing,
            "items" => Type::List(Box::new(Type::Item)),
            "answers" => Type::Answers,
            "today" => Type::Text,
            "scope" => Type::List(Box::new(Type::Text)),
            "draw" => Type::Int,
            _ => Type::Any,
        }
    }

    fn call(&mut self, call: &CallExpr, expr: &IdedExpr, known: &Known) -> Given {
        match (call.func_name.as_str(), call.args.as_slice()) {
            ("_&&_", [a, b]) => {
                let first = self.truth(a, known);
                let second = self.truth(b, &(known | &first.if_true));
                Given {
                    of: Type::Bool,
                    if_true: &first.if_true | &second.if_true,
                    if_false: &first.if_false & &second.if_false,
                }
            }
            ("_||_", [a, b]) => {
                let first = self.truth(a, known);
                let second = self.truth(b, &(known | &first.if_false));
                Given {
                    of: Type::Bool,
                    if_true: &first.if_true & &second.if_true,
                    if_false: &first.if_false | &second.if_false,
                }
            }
            ("!_", [a]) => {
                let given = self.truth(a, known);
                Given { of: Type::Bool, if_true: given.if_false, if_false: given.if_true }
            }
            ("@not_strictly_false", [a]) => self.infer(a, known),
            ("_?_:_", [condition, a, b]) => {
                let given = self.truth(condition, known);
                let first = self.infer(a, &(known | &given.if_true)).of;
                let second = self.infer(b, &(known | &given.if_false)).of;
                if !first.fits(&second) {
                    let (a, b) = (first.name(), second.name());
                    self.fault(format!("{} gives {a} or {b}", words(expr)));
                }
                Given::of(if first == Type::Any { second } else { first })
            }
            (name, args) => {
                let target = call.target.as_deref().map(|t| self.infer(t, known).of);
                let given: Vec<Type> = args.iter().map(|a| self.infer(a, known).of).collect();
                Given::of(self.function(name, target, &given, args, expr))
            }
        }
    }

    fn truth(&mut self, expr: &IdedExpr, known: &Known) -> Given {
        let given = self.infer(expr, known);
        self.expect(&given.of, &Type::Bool, expr);
        given
    }

    fn function(
        &mut self,
        name: &str,
        target: Option<Type>,
        given: &[Type],
        args: &[IdedExpr],
        expr: &IdedExpr,
    ) -> Type {
        match (name, target, given) {
            ("_==_" | "_!=_", None, [a, b]) => {
                if !a.fits(b) {
                    let (a, b) = (a.name(), b.name());
                    self.fault(format!("{} compares {a} with {b}", words(expr)));
                }
                Type::Bool
            }
            ("_<_" | "_<=_" | "_>_" | "_>=_", None, [a, b]) => {
                let ordered = |t: &Type| matches!(t, Type::Int | Type::Text | Type::Any);
                if !ordered(a) || !ordered(b) || !a.fits(b) {
                    let (a, b) = (a.name(), b.name());
                    let what = format!("{} compares {a} with {b}", words(expr));
                    self.fault(format!("{what}; amounts are compared with lt, le, gt, ge"));
                }
                Type::Bool
            }
            ("_+_", None, [Type::List(a), Type::List(b)]) => {
                Type::List(if **a == Type::Any { b.clone() } else { a.clone() })
            }
            ("_+_", None, [Type::Text, Type::Text]) => Type::Text,
            ("_+_" | "_-_" | "_*_" | "_%_", None, [a, b]) => {
                for (of, arg) in [a, b].into_iter().zip(args) {
                    self.expect(of, &Type::Int, arg);
                }
                Type::Int
            }
            ("-_", None, [a]) => {
                self.expect(a, &Type::Int, &args[0]);
                Type::Int
            }
            ("_[_]", None, [Type::List(of), _]) => (**of).clone(),
            ("_[_]", None, [Type::Answers, _]) => Type::Text,
            ("@in", None, [a, Type::List(of)]) => {
                if !a.fits(of) {
                    self.fault(format!(
                        "{} looks for {} in a list of {}",
                        words(expr),
                        a.name(),
                        of.name()
                    ));
                }
                Type::Bool
            }
            ("@in", None, _) => Type::Bool,
            ("size", ..) => Type::Int,
            ("startsWith" | "endsWith" | "contains", Some(of), [arg]) => {
                if !of.fits(&Type::Text) || !arg.fits(&Type::Text) {
                    self.fault(format!("{} is about texts", words(expr)));
                }
                Type::Bool
            }
            ("lt" | "le" | "gt" | "ge", None, [a, b]) => {
                if !a.is_amount() || !b.is_amount() || !a.fits(b) {
                    let (a, b) = (a.name(), b.name());
                    self.fault(format!("{} compares {a} with {b}", words(expr)));
                }
                Type::Bool
            }
            ("sum", None, [Type::List(of)]) if of.is_amount() => (**of).clone(),
            ("sum", None, [Type::Any]) => Type::Any,
            ("money", None, _) => Type::Money,
            ("mass", None, _) => Type::Mass,
            ("quantity", None, _) => Type::Quantity,
            ("convert", None, [a, _]) => {
                self.expect(a, &Type::Money, &args[0]);
                let home = self.ruleset.currency.clone();
                if text(&args[1]).is_some_and(|to| to != home) {
                    self.fault(format!("{}: this ruleset converts into {home} alone", words(expr)));
                }
                Type::Money
            }
            ("in_unit", None, [a, _]) => {
                if !a.is_amount() || *a == Type::Money {
                    self.fault(format!("{} is about quantities and masses", words(expr)));
                }
                Type::Quantity
            }
            ("recognised", None, [..]) => self.recognised(args, expr),
            ("recognised_for", None, [item, ..]) => {
                self.expect(item, &Type::Int, &args[0]);
                self.recognised(args.get(1..).unwrap_or_default(), expr)
            }
            ("aeo", None, [party]) => {
                self.expect(party, &Type::Text, &args[0]);
                Type::Bool
            }
            ("risk_relief", None, []) => Type::Int,
            _ => {
                self.fault(format!("{} has the wrong number or kind of arguments", words(expr)));
                Type::Any
            }
        }
    }

    /// A kind and an effect that exist, where they are written out.
    fn recognised(&mut self, args: &[IdedExpr], expr: &IdedExpr) -> Type {
        let [kind, effect] = args else {
            self.fault(format!("{} takes a kind and an effect", words(expr)));
            return Type::Bool;
        };
        if text(kind).is_some_and(|k| FactKind::by_name(k).is_none()) {
            let known = FactKind::ALL.map(FactKind::name).join(", ");
            self.fault(format!("{}: no such kind; known: {known}", words(expr)));
        }
        if text(effect).is_some_and(|e| !RecognitionEffect::NAMES.contains(&e)) {
            let known = RecognitionEffect::NAMES.join(", ");
            self.fault(format!("{}: no such effect; known: {known}", words(expr)));
        }
        Type::Bool
    }

    /// `all`, `exists`, `filter`, `map`: a loop over a list with an accumulator.
    fn each(&mut self, c: &ComprehensionExpr, known: &Known) -> Given {
        let range = self.infer(&c.iter_range, known).of;
        let element = match range {
            Type::List(of) => *of,
            Type::Answers => Type::Text,
            Type::Any => Type::Any,
            other => {
                self.fault(format!("{} is {}, no list", words(&c.iter_range), other.name()));
                Type::Any
            }
        };
        let start = self.infer(&c.accu_init, known).of;
        let outer = self.names.len();
        self.names.push((c.iter_var.clone(), element));
        self.names.push((c.accu_var.clone(), start.clone()));
        let step = self.infer(&c.loop_step, known).of;
        // What a list is of is known once something was added to it.
        if let Some((_, accumulated)) = self.names.last_mut() {
            *accumulated = if start == Type::List(Box::new(Type::Any)) { step } else { start };
        }
        let result = self.infer(&c.result, known).of;
        self.names.truncate(outer);
        Given::of(result)
    }
}
