//! Decimals inside CEL expressions: opaque money, mass and quantities with functions of their own, so that no
//! expression ever turns one into a float.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use cel::objects::Opaque;
use cel::{Context, ExecutionError, Value};
use ewtp_trade::quantity::parse_decimal;
use rust_decimal::Decimal;

/// A decimal with its dimension.
#[derive(Clone, PartialEq, Eq)]
pub struct Amount {
    /// Exact.
    pub number: Decimal,
    /// ISO 4217 code for money, `kg` for masses, a Recommendation 20 code for quantities.
    pub unit: String,
    /// What is measured.
    pub dimension: Dimension,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// Money.
    Money,
    /// Mass in kilograms.
    Mass,
    /// Count or measure.
    Quantity,
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.unit)
    }
}

impl Opaque for Amount {
    fn runtime_type_name(&self) -> &'static str {
        "ewtp.Amount"
    }
}

impl From<Amount> for Value {
    fn from(amount: Amount) -> Self {
        Self::Opaque(Arc::new(amount))
    }
}

/// Exact product, or an error where 28 digits don't hold it.
#[must_use]
pub fn exact_mul(a: Decimal, b: Decimal) -> Option<Decimal> {
    let (a, b) = (a.normalize(), b.normalize());
    let mantissa = a.mantissa().checked_mul(b.mantissa())?;
    Decimal::try_from_i128_with_scale(mantissa, a.scale() + b.scale())
        .ok()
        .filter(|d| d.scale() <= 28)
}

/// Exact sum; `None` where 28 digits don't hold it.
pub(crate) fn exact_add(a: Decimal, b: Decimal) -> Option<Decimal> {
    let scale = a.scale().max(b.scale());
    let lift = |d: Decimal| d.mantissa().checked_mul(10i128.checked_pow(scale - d.scale())?);
    Decimal::try_from_i128_with_scale(lift(a)?.checked_add(lift(b)?)?, scale).ok()
}

/// Exact difference; `None` where 28 digits don't hold it.
pub(crate) fn exact_sub(a: Decimal, b: Decimal) -> Option<Decimal> {
    exact_add(a, -b)
}

/// Units that convert into each other: (from, to, factor).
const CONVERSIONS: &[(&str, &str, &str)] = &[
    ("GRM", "KGM", "0.001"),
    ("MGM", "KGM", "0.000001"),
    ("TNE", "KGM", "1000"),
    ("LBR", "KGM", "0.45359237"),
    ("ONZ", "KGM", "0.028349523125"),
    ("MLT", "LTR", "0.001"),
    ("HLT", "LTR", "100"),
    ("CMT", "MTR", "0.01"),
    ("MMT", "MTR", "0.001"),
    ("KMT", "MTR", "1000"),
    ("CMK", "MTK", "0.0001"),
    ("DZN", "H87", "12"),
    ("GRO", "H87", "144"),
    ("PR", "NPR", "1"),
    ("KGM", "TNE", "0.001"),
    ("KGM", "GRM", "1000"),
    ("LTR", "HLT", "0.01"),
    ("H87", "MIL", "0.001"),
    ("C62", "H87", "1"),
    ("EA", "H87", "1"),
];

/// What one unit is of another; `None` if they don't convert.
pub(crate) fn unit_factor(from: &str, to: &str) -> Option<Decimal> {
    if from == to {
        return Some(Decimal::ONE);
    }
    let row = CONVERSIONS.iter().find(|(f, t, _)| *f == from && *t == to)?;
    Decimal::from_str_exact(row.2).ok()
}

/// Exchange rates of one day: value of one unit in the ruleset's currency.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// Currency of the ruleset.
    pub home: String,
    /// Value of one unit, by currency.
    pub rates: BTreeMap<String, Decimal>,
}

impl Rates {
    /// Converts into the home currency, exactly.
    #[must_use]
    pub fn to_home(&self, amount: Decimal, currency: &str) -> Option<Decimal> {
        if currency == self.home {
            return Some(amount);
        }
        exact_mul(amount, *self.rates.get(currency)?)
    }
}

fn fail(function: &str, message: impl fmt::Display) -> ExecutionError {
    ExecutionError::function_error(function, message)
}

fn amount(function: &str, value: &Value) -> Result<Amount, ExecutionError> {
    match value {
        Value::Opaque(opaque) => opaque.downcast_ref::<Amount>().cloned(),
        _ => None,
    }
    .ok_or_else(|| fail(function, "takes money, mass or quantities"))
}

fn compare(function: &str, a: &Value, b: &Value) -> Result<Ordering, ExecutionError> {
    let (a, b) = (amount(function, a)?, amount(function, b)?);
    if (a.dimension, &a.unit) != (b.dimension, &b.unit) {
        return Err(fail(
            function,
            format!("{} and {} can't be compared; convert one first", a.unit, b.unit),
        ));
    }
    Ok(a.number.cmp(&b.number))
}

fn sum(list: &Value) -> Result<Value, ExecutionError> {
    let Value::List(items) = list else { return Err(fail("sum", "takes a list")) };
    let mut total: Option<Amount> = None;
    for item in items.iter() {
        let next = amount("sum", item)?;
        total = Some(match total {
            None => next,
            Some(t) if (t.dimension, &t.unit) == (next.dimension, &next.unit) => {
                let number = exact_add(t.number, next.number)
                    .ok_or_else(|| fail("sum", "too many digits"))?;
                Amount { number, ..t }
            }
            Some(t) => {
                return Err(fail("sum", format!("{} and {} can't be added", t.unit, next.unit)));
            }
        });
    }
    total.map(Value::from).ok_or_else(|| fail("sum", "of an empty list has no unit"))
}

/// Names of the functions that [`register`] adds.
pub const FUNCTIONS: &[&str] =
    &["money", "mass", "quantity", "lt", "le", "gt", "ge", "sum", "convert", "in_unit"];

/// Adds the functions to a context.
pub fn register(context: &mut Context<'_, '_>, rates: &Arc<Rates>) {
    let parse =
        |function: &'static str, text: &str| parse_decimal(text).map_err(|e| fail(function, e));
    let made = move |function: &'static str, text: &str, unit: &str, dimension| {
        Ok::<Value, ExecutionError>(
            Amount { number: parse(function, text)?, unit: unit.to_owned(), dimension }.into(),
        )
    };
    // A name that the standard library has already would be refused; ours are not among them (a test reads them all).
    let _ = context.add_function("money", move |a: Arc<String>, c: Arc<String>| {
        made("money", &a, &c, Dimension::Money)
    });
    let _ = context
        .add_function("mass", move |kg: Arc<String>| made("mass", &kg, "kg", Dimension::Mass));
    let _ = context.add_function("quantity", move |v: Arc<String>, u: Arc<String>| {
        made("quantity", &v, &u, Dimension::Quantity)
    });
    let _ = context.add_function("lt", |a: Value, b: Value| {
        compare("lt", &a, &b).map(|o| Value::Bool(o.is_lt()))
    });
    let _ = context.add_function("le", |a: Value, b: Value| {
        compare("le", &a, &b).map(|o| Value::Bool(o.is_le()))
    });
    let _ = context.add_function("gt", |a: Value, b: Value| {
        compare("gt", &a, &b).map(|o| Value::Bool(o.is_gt()))
    });
    let _ = context.add_function("ge", |a: Value, b: Value| {
        compare("ge", &a, &b).map(|o| Value::Bool(o.is_ge()))
    });
    let _ = context.add_function("sum", |list: Value| sum(&list));
    let rates = Arc::clone(rates);
    let _ = context.add_function("convert", move |value: Value, to: Arc<String>| {
        let from = amount("convert", &value)?;
        if from.dimension != Dimension::Money || *to != rates.home {
            return Err(fail("convert", format!("turns money into {}", rates.home)));
        }
        let number = rates
            .to_home(from.number, &from.unit)
            .ok_or_else(|| fail("convert", format!("no rate for {} on this day", from.unit)))?;
        Ok(Value::from(Amount { number, unit: rates.home.clone(), dimension: Dimension::Money }))
    });
    let _ = context.add_function("in_unit", |value: Value, to: Arc<String>| {
        let from = amount("in_unit", &value)?;
        let number = unit_factor(&from.unit, &to)
            .and_then(|f| exact_mul(from.number, f))
            .ok_or_else(|| fail("in_unit", format!("{} can't be turned into {to}", from.unit)))?;
        Ok::<Value, ExecutionError>(
            Amount { number, unit: to.to_string(), dimension: Dimension::Quantity }.into(),
        )
    });
}
