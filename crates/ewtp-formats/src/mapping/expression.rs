//! Expressions over a row, in CEL: `row["Make"] + " " + row["Model"]`. Texts in, a text out; numbers stay texts.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::{Context, Env, Program, Value};

/// Longest expression, bytes.
const BYTES_MAX: usize = 2000;

/// CEL's standard library, built once.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A checked expression.
pub(crate) struct Expression {
    program: Program,
    columns: Vec<String>,
    /// It may read columns by other means than their names.
    any: bool,
}

impl Expression {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > BYTES_MAX {
            return Err(format!("at most {BYTES_MAX} bytes"));
        }
        let program = Program::compile(text).map_err(|e| e.to_string())?;
        let references = program.references();
        if let Some(name) = references.variables().into_iter().find(|v| *v != "row") {
            return Err(format!("{name} is not known; a column is row[\"NAME\"]"));
        }
        drop(references);
        let columns = columns(text);
        let any = text.matches("row").count() != columns.len();
        Ok(Self { columns, program, any })
    }

    /// Columns that it reads by name.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Evaluates it over the cells of a row, of which it is given those that it reads.
    pub(crate) fn evaluate<'a>(
        &'a self,
        all: impl Iterator<Item = &'a str>,
        cell: impl Fn(&str) -> String,
    ) -> Result<String, String> {
        let mut context = Context::with_env(Arc::clone(&STANDARD));
        let with = |name: &str| (name.to_owned(), cell(name));
        let row: HashMap<String, String> = match self.any {
            true => all.map(with).collect(),
            false => self.columns.iter().map(|name| with(name)).collect(),
        };
        context.add_variable("row", row).map_err(|e| e.to_string())?;
        match self.program.execute(&context).map_err(|e| e.to_string())? {
            Value::String(text) => Ok(text.trim().to_owned()),
            Value::Int(number) => Ok(number.to_string()),
            Value::UInt(number) => Ok(number.to_string()),
            other => Err(format!("it gives {other:?}, no text")),
        }
    }
}

/// Names in `row["NAME"]`.
fn columns(text: &str) -> Vec<String> {
    let name = |piece: &str| piece.split_once('"').map(|(name, _)| name.to_owned());
    text.split("row[\"").skip(1).filter_map(name).collect()
}
