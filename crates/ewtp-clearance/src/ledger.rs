//! The ledger of a certificate for one consignment or a quantity: what is reserved, written off and released, decided by the vouching hub
//! alone, so that nothing is spent twice.
//!
//! A case (a consignment) holds at most one reservation of a certificate: the most that any of its filings asks for, since an export
//! filing, an advance filing and an import filing of one case are about the same goods.

use rust_decimal::Decimal;

use crate::value::{exact_add, exact_sub};

/// State of what a case holds of a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeldState {
    /// Nothing, and never did.
    #[default]
    Nothing,
    /// Reserved: the goods aren't released yet.
    Reserved,
    /// Written off: the goods were released. Final.
    WrittenOff,
    /// Released: it was reserved and isn't any more.
    Released,
}

/// What a case holds of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// State.
    pub state: HeldState,
    /// How much of each line, while it is reserved or written off.
    pub quantities: Vec<Decimal>,
    /// Versions of filings that are dealt with for good: refused, or put back by an officer.
    pub settled: Vec<(String, u32)>,
}

/// What a filing asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Filing.
    pub filing_id: String,
    /// Version.
    pub version: u32,
    /// Of each line; `None` where the filing doesn't say it in the line's unit.
    pub quantities: Option<Vec<Decimal>>,
}

/// An entry that follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The case holds this much from now on, for this filing.
    Reserved {
        /// Filing and version that asks for the most.
        filing: (String, u32),
        /// Of each line.
        quantities: Vec<Decimal>,
    },
    /// What was reserved is spent.
    WrittenOff,
    /// What was reserved is free again.
    Released,
    /// A filing's version asked in vain.
    Refused {
        /// Filing and version.
        filing: (String, u32),
        /// What it asked for; empty where it didn't say it.
        asked: Vec<Decimal>,
        /// What the case could have had.
        left: Vec<Decimal>,
    },
}

/// What follows for one case. `total` is what each line allows, `taken` what all cases hold of it now, this one included; `asks` are those
/// of the filings that stand, in the order of their logging.
#[must_use]
pub fn entries(
    total: &[Decimal],
    taken: &[Decimal],
    holding: &Holding,
    asks: &[Ask],
    goods_released: bool,
) -> Vec<Entry> {
    let reserved = holding.state == HeldState::Reserved;
    if holding.state == HeldState::WrittenOff {
        return Vec::new();
    }
    if goods_released {
        return if reserved { vec![Entry::WrittenOff] } else { Vec::new() };
    }
    let zero = vec![Decimal::ZERO; total.len()];
    let held = if reserved { &holding.quantities } else { &zero };
    // What this case could hold: all that no other case does.
    let left: Vec<Decimal> = (0..total.len())
        .map(|i| {
            let others = exact_sub(at(taken, i), at(held, i)).unwrap_or(Decimal::MAX);
            exact_sub(at(total, i), others).unwrap_or_default().max(Decimal::ZERO)
        })
        .collect();
    let (mut wanted, mut granted, mut refused) = (zero.clone(), None, Vec::new());
    for ask in asks {
        let filing = (ask.filing_id.clone(), ask.version);
        if holding.settled.contains(&filing) {
            continue;
        }
        let Some(asked) = &ask.quantities else {
            refused.push(Entry::Refused { filing, asked: Vec::new(), left: left.clone() });
            continue;
        };
        if (0..total.len()).any(|i| at(asked, i) > at(&left, i)) {
            refused.push(Entry::Refused { filing, asked: asked.clone(), left: left.clone() });
            continue;
        }
        let more = (0..total.len()).any(|i| at(asked, i) > at(&wanted, i));
        if more {
            for (i, wanted) in wanted.iter_mut().enumerate() {
                *wanted = (*wanted).max(at(asked, i));
            }
            granted = Some(filing);
        }
    }
    let mut out = Vec::new();
    match granted {
        None if reserved => out.push(Entry::Released),
        None => {}
        Some(_) if reserved && wanted == holding.quantities => {}
        Some(filing) => out.push(Entry::Reserved { filing, quantities: wanted }),
    }
    out.extend(refused);
    out
}

/// What all cases hold after an entry of one that held `held` before.
///
/// # Errors
/// `None` where 28 digits don't hold it.
#[must_use]
pub fn taken_after(taken: &[Decimal], held: &[Decimal], now: &[Decimal]) -> Option<Vec<Decimal>> {
    (0..taken.len().max(now.len()))
        .map(|i| exact_add(exact_sub(at(taken, i), at(held, i))?, at(now, i)))
        .collect()
}

fn at(quantities: &[Decimal], i: usize) -> Decimal {
    quantities.get(i).copied().unwrap_or_default()
}
