//! Consignments with a known truth, and the counts that reports over them have to come to.
//!
//! Nothing of the product is linked here: what is expected is worked out from the plan by plain rules of its own, so that it can be the
//! measure of what the hubs say. Two origins have an arrangement with the destination; one of these ends at a midnight in the middle of the
//! plan. Some certificates are revoked while filings that cite them are on their way, some are for a quantity that more is filed of, some
//! numbers are forged or another's. Of what arrives some is inspected, and some of that is not what was certified.

use std::collections::BTreeMap;

/// A plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Certificates, by their place.
    pub certificates: Vec<Certificate>,
    /// Consignments, by their place.
    pub consignments: Vec<Consignment>,
}

/// Where a consignment is filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// At an origin whose arrangement ends at the midnight.
    Ending,
    /// At an origin whose arrangement goes on.
    Lasting,
    /// At the destination itself, from a country without an arrangement.
    AtDestination,
}

/// When it is filed, by the local time of the arrangement that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// On its last day.
    Day,
    /// In its last minutes.
    LastMinutes,
    /// In the first minutes of the next day.
    FirstMinutes,
}

/// Size of the trader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// Fewer than 10 people.
    Micro,
    /// Fewer than 50.
    Small,
    /// Fewer than 250.
    Medium,
    /// Others.
    Large,
}

impl Size {
    /// As reports name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Micro => "micro",
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }
}

/// A certificate of inspection.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Where it is issued.
    pub origin: Origin,
    /// Number of its holder.
    pub holder: u32,
    /// The issuer's number.
    pub reference: String,
    /// For so many kilograms over all consignments; none for any number of consignments.
    pub quota_kg: Option<u32>,
    /// It is revoked while filings that cite it are on their way.
    pub revoked: bool,
}

/// What a consignment cites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cites {
    /// Nothing.
    Nothing,
    /// A certificate of its exporter, by its place.
    Own(usize),
    /// One of another exporter, by its place.
    Anothers(usize),
    /// A number that nobody issued.
    Forged,
}

/// A consignment.
#[derive(Clone, Debug)]
pub struct Consignment {
    /// Its LRN.
    pub lrn: String,
    /// Where it is filed.
    pub origin: Origin,
    /// When.
    pub phase: Phase,
    /// Number of its exporter.
    pub exporter: u32,
    /// Size of its trader.
    pub size: Size,
    /// Commodity code.
    pub hs: &'static str,
    /// Kilograms.
    pub kg: u32,
    /// What it cites.
    pub cites: Cites,
    /// It is inspected where it arrives; whether it is then found not to be what was certified.
    pub inspected: Option<bool>,
}

/// What is decided of a consignment in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Cleared, for what its origin established.
    Recognised,
    /// Controlled: nothing counts.
    Controlled,
    /// One of several of which only some are cleared: which ones the order of the ledger says.
    OneOfMany,
}

/// Kilograms of every consignment that draws on a quantity.
pub const DRAWN_KG: u32 = 100;
/// Exporters of each origin.
pub const EXPORTERS: u32 = 20;
/// Traders at the destination.
pub const IMPORTERS: u32 = 4;

/// A small generator: the same plan for the same seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u32) -> u32 {
        (self.next() % u64::from(n)) as u32
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }
}

const SIZES: [Size; 4] = [Size::Micro, Size::Small, Size::Medium, Size::Large];

/// A plan of so many consignments: half at the origin whose arrangement ends, a third at the other, the rest at the destination.
#[must_use]
pub fn plan(seed: u64, consignments: u32) -> Plan {
    let mut random = Random(seed);
    let mut out = Plan { certificates: Vec::new(), consignments: Vec::new() };
    let (ending, lasting) = (consignments / 2, consignments / 3);
    for (origin, mark, count) in [
        (Origin::Ending, "E", ending),
        (Origin::Lasting, "L", lasting),
        (Origin::AtDestination, "D", consignments - ending - lasting),
    ] {
        let first = out.certificates.len();
        if origin != Origin::AtDestination {
            certificates(&mut out, origin, mark);
        }
        for n in 0..count {
            let one = consignment(&mut random, origin, mark, n, count, first);
            out.consignments.push(one);
        }
    }
    out
}

/// Every exporter has one for any number of consignments, every seventh of these is revoked; the last two have one for a quantity too.
fn certificates(plan: &mut Plan, origin: Origin, mark: &str) {
    for holder in 0..EXPORTERS {
        plan.certificates.push(Certificate {
            origin,
            holder,
            reference: format!("INSPECTION-{mark}-{holder}"),
            quota_kg: None,
            revoked: holder % 7 == 3,
        });
    }
    for holder in EXPORTERS - 2..EXPORTERS {
        plan.certificates.push(Certificate {
            origin,
            holder,
            reference: format!("QUOTA-{mark}-{holder}"),
            quota_kg: Some(5 * DRAWN_KG + DRAWN_KG / 2),
            revoked: false,
        });
    }
}

fn consignment(
    random: &mut Random,
    origin: Origin,
    mark: &str,
    n: u32,
    count: u32,
    first: usize,
) -> Consignment {
    let at_destination = origin == Origin::AtDestination;
    let exporter = random.below(if at_destination { IMPORTERS } else { EXPORTERS });
    // The first 16 of an origin draw on its quantities; the last 20 come in the minutes around midnight, the fifth before after it.
    let quota = (!at_destination && n < 16).then_some(n % 2);
    let phase = match (n + 10 >= count, n + 20 >= count, n + 20 + count / 5 >= count) {
        (true, _, _) => Phase::FirstMinutes,
        (false, true, _) => Phase::LastMinutes,
        (false, false, true) => Phase::FirstMinutes,
        _ => Phase::Day,
    };
    let exporter = quota.map_or(exporter, |q| EXPORTERS - 2 + q);
    let own = first + exporter as usize;
    let cites = match (at_destination, quota) {
        (true, _) => Cites::Nothing,
        (false, Some(quota)) => Cites::Own(first + (EXPORTERS + quota) as usize),
        (false, None) => match random.below(20) {
            0..=13 => Cites::Own(own),
            14 | 15 => Cites::Forged,
            16 => Cites::Anothers(first + ((exporter + 1) % EXPORTERS) as usize),
            _ => Cites::Nothing,
        },
    };
    let inspected = (quota.is_none() && random.one_in(12)).then(|| random.one_in(5));
    Consignment {
        lrn: format!("TRUTH-{mark}-{n:04}"),
        origin,
        phase: if quota.is_some() { Phase::Day } else { phase },
        exporter,
        size: SIZES[(exporter % 4) as usize],
        hs: if at_destination && n.is_multiple_of(3) { "852852" } else { "090111" },
        kg: if quota.is_some() { DRAWN_KG } else { 10 + random.below(90) },
        cites,
        inspected,
    }
}

impl Plan {
    /// What is decided of a consignment in the end.
    #[must_use]
    pub fn fate(&self, consignment: &Consignment) -> Fate {
        let in_force = match consignment.origin {
            Origin::Ending => consignment.phase != Phase::FirstMinutes,
            Origin::Lasting => true,
            Origin::AtDestination => false,
        };
        match consignment.cites {
            Cites::Own(place) if in_force => {
                let certificate = &self.certificates[place];
                match (certificate.revoked, certificate.quota_kg) {
                    (true, _) => Fate::Controlled,
                    (false, Some(_)) => Fate::OneOfMany,
                    (false, None) => Fate::Recognised,
                }
            }
            _ => Fate::Controlled,
        }
    }

    /// Of those that draw on a quantity, how many of a certificate are cleared and how many refused.
    #[must_use]
    pub fn drawn(&self, certificate: usize) -> (u64, u64) {
        let asks = self.consignments.iter().filter(|c| c.cites == Cites::Own(certificate));
        let asks = asks.filter(|c| self.fate(c) == Fate::OneOfMany).count() as u64;
        let most = self.certificates[certificate].quota_kg.map_or(0, |kg| u64::from(kg / DRAWN_KG));
        (asks.min(most), asks.saturating_sub(most))
    }

    /// What the recognition report says of the arrangement with an origin.
    #[must_use]
    pub fn recognition(&self, origin: Origin) -> Recognition {
        let of = |fate: Fate| {
            let here = self.consignments.iter().filter(|c| c.origin == origin);
            here.filter(|c| self.fate(c) == fate).collect::<Vec<_>>()
        };
        let quotas = (0..self.certificates.len()).filter(|n| {
            self.certificates[*n].origin == origin && self.certificates[*n].quota_kg.is_some()
        });
        let plain = of(Fate::Recognised);
        let cases = plain.len() as u64 + quotas.map(|n| self.drawn(n).0).sum::<u64>();
        let checked = plain.iter().filter(|c| c.inspected.is_some()).count() as u64;
        let wrong = plain.iter().filter(|c| c.inspected == Some(true)).count() as u64;
        // All that is recognised is of chapter 09.
        let without = |c: &&Consignment| {
            let governed = match c.origin {
                Origin::Ending => c.phase != Phase::FirstMinutes,
                Origin::Lasting => true,
                Origin::AtDestination => false,
            };
            !governed && c.hs.starts_with("09")
        };
        let comparable: Vec<&Consignment> = self.consignments.iter().filter(without).collect();
        Recognition {
            cases,
            checks_waived: cases,
            facts_checked: checked,
            disagreements: wrong,
            comparable: comparable.len() as u64,
            comparable_controlled: comparable.len() as u64,
            comparable_found_false: comparable.iter().filter(|c| c.inspected == Some(true)).count()
                as u64,
        }
    }

    /// Filings and controls by what a name is made of.
    #[must_use]
    pub fn treatment(&self, name: impl Fn(&Consignment) -> String) -> BTreeMap<String, (u64, u64)> {
        let mut refused: BTreeMap<usize, u64> = BTreeMap::new();
        let mut out: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for consignment in &self.consignments {
            let controlled = match (self.fate(consignment), consignment.cites) {
                (Fate::Recognised, _) => 0,
                // Those of one certificate are of one exporter, so it doesn't matter which of them are refused.
                (Fate::OneOfMany, Cites::Own(place)) => {
                    let so_far = refused.entry(place).or_default();
                    let one = u64::from(*so_far < self.drawn(place).1);
                    *so_far += one;
                    one
                }
                _ => 1,
            };
            let cell = out.entry(name(consignment)).or_default();
            *cell = (cell.0 + 1, cell.1 + controlled);
        }
        out
    }
}

/// What the recognition report says of one arrangement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recognition {
    /// Filings that relied upon it.
    pub cases: u64,
    /// Checks waived.
    pub checks_waived: u64,
    /// Recognised facts that were looked at where the goods arrived.
    pub facts_checked: u64,
    /// Of these false.
    pub disagreements: u64,
    /// Filings of goods of the same chapter without an arrangement.
    pub comparable: u64,
    /// Of these controlled.
    pub comparable_controlled: u64,
    /// Of these found false.
    pub comparable_found_false: u64,
}
