//! CEL expressions as rulesets may hold them: no double literal, no unknown name or function, comprehensions nested at
//! most twice.
//!
//! The `cel` crate has no cost limit, so cost is bounded from outside: what can be seen before evaluation is refused at
//! publication, and the product of list lengths is counted before each run (`cost`).

use cel::common::ast::{EntryExpr, Expr, LiteralValue};
use cel::{IdedExpr, Program};

use crate::facts::{FILING_FIELDS, ITEM_FIELDS, VARIABLES};
use crate::recognition;
use crate::value::FUNCTIONS;

/// Longest expression, bytes.
pub const EXPRESSION_BYTES_MAX: usize = 4096;
/// Deepest nesting of comprehensions.
pub const NESTING_MAX: usize = 2;

/// Why an expression was refused at publication.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// Too long.
    #[error("the expression has {0} bytes; at most {EXPRESSION_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// Not CEL.
    #[error("not a CEL expression: {0}")]
    Syntax(String),
    /// A float.
    #[error(
        "the double {0} is not allowed; write money('150.00','EUR'), mass('2.5') or a whole number"
    )]
    Double(String),
    /// A name that no fact has.
    #[error("the name {0} is unknown; known: {known}", known = VARIABLES.join(", "))]
    Name(String),
    /// A field that the fact doesn't have.
    #[error("{of} has no field {field}; known: {known}")]
    Field {
        /// `filing` or an item.
        of: &'static str,
        /// Unknown field.
        field: String,
        /// Those that there are.
        known: String,
    },
    /// A function that isn't offered.
    #[error("the function {0} is unknown; known: size, startsWith, endsWith, contains, has, all, exists, exists_one, map, filter, {known}", known = [FUNCTIONS, recognition::FUNCTIONS].concat().join(", "))]
    Function(String),
    /// Too deep.
    #[error("comprehensions nest {0} deep; at most {NESTING_MAX} are allowed")]
    Nesting(usize),
}

const STANDARD: &[&str] = &[
    "_?_:_",
    "_&&_",
    "_||_",
    "!_",
    "_-_",
    "_+_",
    "_*_",
    "_%_",
    "_==_",
    "_!=_",
    "_>=_",
    "_<=_",
    "_>_",
    "_<_",
    "-_",
    "_[_]",
    "@not_strictly_false",
    "@in",
    "size",
    "startsWith",
    "endsWith",
    "contains",
];

/// A checked, compiled expression.
#[derive(Debug)]
pub struct Expression {
    source: String,
    program: Program,
}

impl Expression {
    /// Compiles and checks.
    ///
    /// # Errors
    /// [`ExpressionError`], the first found.
    pub fn compile(source: &str) -> Result<Self, ExpressionError> {
        if source.len() > EXPRESSION_BYTES_MAX {
            return Err(ExpressionError::TooLong(source.len()));
        }
        let program =
            Program::compile(source).map_err(|e| ExpressionError::Syntax(e.to_string()))?;
        Walk { names: Vec::new(), depth: 0 }.check(program.expression())?;
        Ok(Self { source: source.to_owned(), program })
    }

    /// Whether it looks at a variable.
    #[must_use]
    pub fn mentions(&self, variable: &str) -> bool {
        self.program.references().has_variable(variable)
    }

    /// Whether it asks for recognised facts.
    #[must_use]
    pub fn asks_for_recognition(&self) -> bool {
        let references = self.program.references();
        recognition::FUNCTIONS.iter().any(|name| references.has_function(name))
    }

    /// As written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    pub(crate) const fn program(&self) -> &Program {
        &self.program
    }
}

/// What a name bound by a comprehension stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    Item,
    Other,
}

struct Walk {
    names: Vec<(String, Bound)>,
    depth: usize,
}

impl Walk {
    fn check(&mut self, expr: &IdedExpr) -> Result<(), ExpressionError> {
        match &expr.expr {
            Expr::Unspecified => Ok(()),
            Expr::Literal(LiteralValue::Double(d)) => {
                Err(ExpressionError::Double(format!("{d:?}")))
            }
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => {
                self.field(&select.operand, &select.field)?;
                self.check(&select.operand)
            }
            Expr::Call(call) => {
                let known = [STANDARD, FUNCTIONS, recognition::FUNCTIONS]
                    .iter()
                    .any(|names| names.contains(&call.func_name.as_str()));
                if !known {
                    return Err(ExpressionError::Function(call.func_name.clone()));
                }
                call.target.iter().try_for_each(|t| self.check(t))?;
                call.args.iter().try_for_each(|a| self.check(a))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|e| self.check(e)),
            Expr::Map(map) => map.entries.iter().try_for_each(|e| match &e.expr {
                EntryExpr::MapEntry(m) => self.check(&m.key).and_then(|()| self.check(&m.value)),
                EntryExpr::StructField(f) => self.check(&f.value),
            }),
            Expr::Struct(s) => Err(ExpressionError::Name(s.type_name.clone())),
            Expr::Comprehension(c) => {
                self.check(&c.iter_range)?;
                self.check(&c.accu_init)?;
                self.depth += 1;
                if self.depth > NESTING_MAX {
                    return Err(ExpressionError::Nesting(self.depth));
                }
                let bound =
                    if ranges_over_items(&c.iter_range) { Bound::Item } else { Bound::Other };
                let outer = self.names.len();
                self.names.push((c.iter_var.clone(), bound));
                self.names.extend(c.iter_var2.iter().map(|v| (v.clone(), bound)));
                self.names.push((c.accu_var.clone(), Bound::Other));
                self.check(&c.loop_cond)?;
                self.check(&c.loop_step)?;
                self.check(&c.result)?;
                self.names.truncate(outer);
                self.depth -= 1;
                Ok(())
            }
        }
    }

    fn name(&self, name: &str) -> Result<(), ExpressionError> {
        let known = VARIABLES.contains(&name) || self.names.iter().any(|(n, _)| n == name);
        if known { Ok(()) } else { Err(ExpressionError::Name(name.to_owned())) }
    }

    fn field(&self, operand: &IdedExpr, field: &str) -> Result<(), ExpressionError> {
        let Expr::Ident(name) = &operand.expr else { return Ok(()) };
        let item = self
            .names
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .is_some_and(|(_, b)| *b == Bound::Item);
        let (of, fields) = match (item, name.as_str()) {
            (true, _) => ("an item", ITEM_FIELDS),
            (false, "filing") => ("filing", FILING_FIELDS),
            _ => return Ok(()),
        };
        if fields.contains(&field) {
            Ok(())
        } else {
            Err(ExpressionError::Field { of, field: field.to_owned(), known: fields.join(", ") })
        }
    }
}

/// `items`, or a filter over it.
pub(crate) fn ranges_over_items(expr: &IdedExpr) -> bool {
    match &expr.expr {
        Expr::Ident(name) => name == "items",
        Expr::Comprehension(c) => {
            ranges_over_items(&c.iter_range) && matches!(&c.result.expr, Expr::Ident(_))
        }
        _ => false,
    }
}
