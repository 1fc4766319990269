//! The ledger of a certificate for one consignment or a quantity: what is reserved, written off and released, decided by the vouching hub
//! alone, so that nothing is spent twice.
//!
//! A case (a consignment) holds at most one reservation of a certificate. An export filing, an advance filing and an import filing of one
//! case are about the same goods; several of one type are about different ones, and add up. Each version has a share, which is all that it may
//! show elsewhere.

use std::collections::BTreeMap;

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

impl HeldState {
    /// Whether something of the certificate is taken: reserved or written off.
    #[must_use]
    pub const fn holds(self) -> bool {
        matches!(self, Self::Reserved | Self::WrittenOff)
    }
}

/// What a case holds of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// State.
    pub state: HeldState,
    /// How much of each line, while it is reserved or written off.
    pub quantities: Vec<Decimal>,
    /// The same as it was reserved last, whatever became of it.
    pub last: Vec<Decimal>,
    /// What each filing's version has of it.
    pub shares: Vec<Share>,
    /// Versions of filings that are dealt with for good: refused, or put back by an officer.
    pub settled: Vec<(String, u32)>,
}

/// What a filing's version has of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Filing and version.
    pub filing: (String, u32),
    /// Of each line.
    pub quantities: Vec<Decimal>,
}

/// What a filing asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Filing.
    pub filing_id: String,
    /// Version.
    pub version: u32,
    /// What it is for: those of one kind add up.
    pub kind: i32,
    /// Of each line; `None` where the filing doesn't say it in the line's unit.
    pub quantities: Option<Vec<Decimal>>,
}

impl Ask {
    /// Filing and version, as shares and settled versions name them.
    #[must_use]
    pub fn filing(&self) -> (String, u32) {
        (self.filing_id.clone(), self.version)
    }
}

/// An entry that follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The case holds this much from now on, for these filings.
    Reserved {
        /// Of each line.
        quantities: Vec<Decimal>,
        /// What each filing's version has of it.
        shares: Vec<Share>,
    },
    /// This much is spent: what was reserved, or had been when the goods were released.
    WrittenOff {
        /// Of each line.
        quantities: Vec<Decimal>,
    },
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
///
/// Goods whose release is heard after their reservation was freed are written off all the same, as far as a filing that stands still asks for
/// it: they are spent, and what was given to another meanwhile shows as more than there is. What is granted stays granted.
#[must_use]
pub fn entries(
    total: &[Decimal],
    taken: &[Decimal],
    holding: &Holding,
    asks: &[Ask],
    goods_released: bool,
) -> Vec<Entry> {
    let reserved = holding.state == HeldState::Reserved;
    match (holding.state, goods_released) {
        (HeldState::WrittenOff, _) | (HeldState::Nothing, true) => return Vec::new(),
        (HeldState::Reserved, true) => {
            return vec![Entry::WrittenOff { quantities: holding.quantities.clone() }];
        }
        (HeldState::Released, true) => return spent_after(holding, asks),
        (HeldState::Nothing | HeldState::Reserved | HeldState::Released, false) => {}
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
    let mut by_kind: BTreeMap<i32, Vec<Decimal>> = BTreeMap::new();
    let (mut shares, mut refused) = (Vec::new(), Vec::new());
    let open: Vec<&Ask> = asks.iter().filter(|a| !holding.settled.contains(&a.filing())).collect();
    // What is granted already comes before what is new.
    let granted =
        |ask: &Ask| ask.quantities.as_ref().is_some_and(|asked| has(holding, &ask.filing(), asked));
    for ask in open.iter().filter(|ask| granted(ask)) {
        let before = by_kind.get(&ask.kind).unwrap_or(&zero);
        if let Some(sum) = ask.quantities.as_ref().and_then(|asked| add(before, asked)) {
            by_kind.insert(ask.kind, sum);
        }
    }
    for ask in open {
        let before = by_kind.get(&ask.kind).unwrap_or(&zero);
        let sum = ask.quantities.as_ref().and_then(|asked| add(before, asked));
        match (&ask.quantities, sum) {
            (Some(asked), _) if granted(ask) => {
                shares.push(Share { filing: ask.filing(), quantities: asked.clone() });
            }
            (Some(asked), Some(sum)) if (0..total.len()).all(|i| at(&sum, i) <= at(&left, i)) => {
                by_kind.insert(ask.kind, sum);
                shares.push(Share { filing: ask.filing(), quantities: asked.clone() });
            }
            (asked, _) => {
                let (asked, left) = (asked.clone().unwrap_or_default(), left.clone());
                refused.push(Entry::Refused { filing: ask.filing(), asked, left });
            }
        }
    }
    let wanted = most(by_kind.values(), total.len());
    let same = reserved && wanted == holding.quantities && shares == holding.shares;
    let mut out = Vec::new();
    if shares.is_empty() {
        out.extend(reserved.then_some(Entry::Released));
    } else if !same {
        out.push(Entry::Reserved { quantities: wanted, shares });
    }
    out.extend(refused);
    out
}

/// Whether a version has this share already.
fn has(holding: &Holding, filing: &(String, u32), asked: &[Decimal]) -> bool {
    holding.state == HeldState::Reserved
        && holding.shares.iter().any(|s| s.filing == *filing && s.quantities == asked)
}

/// Line by line the most of several.
fn most<'a>(sums: impl Iterator<Item = &'a Vec<Decimal>> + Clone, lines: usize) -> Vec<Decimal> {
    (0..lines).map(|i| sums.clone().map(|sum| at(sum, i)).max().unwrap_or_default()).collect()
}

/// What is spent although it was freed before the release was heard.
fn spent_after(holding: &Holding, asks: &[Ask]) -> Vec<Entry> {
    let mut by_kind: BTreeMap<i32, Vec<Decimal>> = BTreeMap::new();
    for ask in asks {
        let settled = holding.settled.contains(&ask.filing());
        let Some(asked) = ask.quantities.as_ref().filter(|_| !settled) else { continue };
        let before = by_kind.get(&ask.kind).cloned().unwrap_or_default();
        let Some(sum) = add(&before, asked) else { continue };
        by_kind.insert(ask.kind, sum);
    }
    let wanted = most(by_kind.values(), holding.last.len());
    let spent: Vec<Decimal> =
        holding.last.iter().zip(&wanted).map(|(last, wanted)| *last.min(wanted)).collect();
    match spent.iter().all(Decimal::is_zero) {
        true => Vec::new(),
        false => vec![Entry::WrittenOff { quantities: spent }],
    }
}

fn add(a: &[Decimal], b: &[Decimal]) -> Option<Vec<Decimal>> {
    (0..a.len().max(b.len())).map(|i| exact_add(at(a, i), at(b, i))).collect()
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
