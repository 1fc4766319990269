//! Data scopes: which parts, kinds and goods a peer may be shown. There is no default.

use ewtp_proto::v1;

/// Why a scope was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// A part that never leaves.
    #[error(
        "part {0:?} can't be in a data scope; allowed: core, parties, goods, value, authority, signature, trader"
    )]
    Part(String),
    /// Nothing in it.
    #[error("a data scope names at least the part core")]
    Empty,
}

const SHAREABLE: &[&str] =
    &["core", "parties", "goods", "value", "authority", "signature", "trader"];

/// ACDD's 15 fields: part `core` of filings. What is said about a case (reasons, questions, answers) is shown as well.
#[must_use]
pub fn acdd() -> v1::DataScope {
    v1::DataScope {
        name: "acdd".into(),
        parts: vec!["core".into(), "trader".into()],
        ..Default::default()
    }
}

/// Every part but `internal`.
#[must_use]
pub fn full() -> v1::DataScope {
    let parts = SHAREABLE.iter().map(|p| (*p).to_owned()).collect();
    v1::DataScope { name: "full".into(), parts, ..Default::default() }
}

/// Checks a scope that an operator wrote.
///
/// # Errors
/// [`ScopeError`].
pub fn check(scope: &v1::DataScope) -> Result<(), ScopeError> {
    if let Some(part) = scope.parts.iter().find(|p| !SHAREABLE.contains(&p.as_str())) {
        return Err(ScopeError::Part(part.clone()));
    }
    if scope.parts.iter().any(|p| p == "core") { Ok(()) } else { Err(ScopeError::Empty) }
}

/// Whether a part may be shown. `internal` never is, whatever a scope says; of certificates whom they are about is what parties are, and
/// their lines are what goods are.
#[must_use]
pub fn shows_part(scope: &v1::DataScope, part: &str) -> bool {
    let named = match part {
        "holder" | "original" => "parties",
        line if line.starts_with("line-") => "goods",
        other => other,
    };
    part != "internal" && scope.parts.iter().any(|p| p == named)
}

/// Whether a statement of this kind about these goods may be said at all.
#[must_use]
pub fn shows_statement(scope: &v1::DataScope, kind: &str, filing: Option<&v1::FilingCore>) -> bool {
    let kind_ok = scope.kinds.is_empty() || scope.kinds.iter().any(|k| k == kind);
    let covered = |code: &str| scope.hs_prefixes.iter().any(|p| code.starts_with(p.as_str()));
    let goods_ok = scope.hs_prefixes.is_empty()
        || filing.is_none_or(|f| f.items.iter().all(|i| covered(&i.commodity_code)));
    kind_ok && goods_ok
}
