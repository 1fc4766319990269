//! The chain that two hubs make of what both say about an arrangement: proposals, acceptances, suspensions, ends.
//!
//! ```text
//! steps of one hub, steps of the other, each with how many of the other's it knew ─conclude─▶ Chain
//! ```
//!
//! Invariant: a pure function of the two sequences. Whether a step stands depends on what its sayer knew when it was said, which the
//! step itself tells; so both hubs conclude the same from the same steps, whatever the order in which they heard them, and no step that
//! is heard later makes another document agreed under a number than the one that was. (design/protocol.md, *Arrangements between two
//! logs*.)

use ewtp_log::Hash;

/// One of the two hubs: the one with the smaller id, or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Smaller id: of two proposals that cross, its stands.
    First,
    /// The other.
    Second,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// What a hub says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Proposes a document: the first, an amendment of what was agreed, or another text instead of the open proposal.
    Propose {
        /// Number in the chain, from 1.
        number: u64,
        /// SHA-256 of its text.
        digest: Hash,
        /// That of the document before; `None` for the first.
        previous: Option<Hash>,
        /// The open proposal that it takes the place of.
        instead_of: Option<Hash>,
    },
    /// Accepts the other's open proposal.
    Accept {
        /// Its number.
        number: u64,
        /// Its digest.
        digest: Hash,
    },
    /// Nothing is recognised until it resumes: binds its sayer at once and the other from arrival.
    Suspend,
    /// Takes its own suspension back.
    Resume,
    /// Ends what is agreed and takes back, or declines, what is proposed.
    End,
    /// Not heard as a step: it keeps its place, so that those behind it keep theirs.
    Unheard,
}

/// A step: what was said, and how many of the other's steps were known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was said.
    pub act: Act,
    /// How many of the other's steps its sayer knew.
    pub seen: usize,
}

/// Why a step doesn't count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    /// It claims to know what wasn't said, or less than an earlier step of the same hub knew.
    #[error("it knows more of the other hub's steps than there are, or fewer than before")]
    Seen,
    /// Not the next number, or not on the document before.
    #[error("it doesn't follow on the document that was agreed last")]
    Follows,
    /// The proposal that it takes the place of isn't the open one.
    #[error("the open proposal is another")]
    InsteadOf,
    /// Nothing of the other hub is open, or something else.
    #[error("the other hub has no open proposal of that digest")]
    NothingOpen,
    /// It was not heard as a step.
    #[error("it was not heard as a step")]
    Unheard,
    /// There is nothing to suspend, resume or end.
    #[error("there is nothing to suspend, resume or end")]
    Nothing,
}

/// Where a step stands: whose, and which of its steps, from 0.
pub type At = (Side, usize);

/// A document that both hubs hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Number in the chain.
    pub number: u64,
    /// SHA-256 of its text.
    pub digest: Hash,
    /// Its proposal.
    pub proposed: At,
    /// Its acceptance.
    pub accepted: At,
    /// A step that ended it.
    pub ended: Option<At>,
}

/// A proposal that waits for the other hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Number in the chain.
    pub number: u64,
    /// SHA-256 of its text.
    pub digest: Hash,
    /// The proposal.
    pub proposed: At,
}

/// What both hubs' steps come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Documents, oldest first.
    pub agreed: Vec<Agreed>,
    /// The proposal that stands.
    pub open: Option<Open>,
    /// Who has suspended it.
    pub suspended: Vec<Side>,
    /// Why steps don't count.
    pub void: Vec<(At, Void)>,
    /// Proposals that gave way: crossed, replaced, or declined.
    pub given_way: Vec<At>,
}

impl Chain {
    /// The documents that hold, oldest first: agreed, not ended, and nobody suspends them.
    pub fn holding(&self) -> impl Iterator<Item = &Agreed> {
        let suspended = !self.suspended.is_empty();
        self.agreed.iter().filter(move |a| a.ended.is_none() && !suspended)
    }
}

/// What the steps of both come to, each in the order in which its hub said them.
#[must_use]
pub fn conclude(first: &[Step], second: &[Step]) -> Chain {
    let mut reader = Reader { steps: [first, second], stands: [Vec::new(), Vec::new()] };
    reader.judge();
    reader.chain()
}

/// A proposal in the tree of those for one number.
#[derive(Clone, Copy)]
struct Proposal {
    at: At,
    number: u64,
    digest: Hash,
    /// The proposal that stood when it was said.
    instead_of: Option<At>,
}

/// How a step was judged.
#[derive(Clone, Copy)]
enum Verdict {
    Proposal(Proposal),
    /// Acceptance of this proposal.
    Acceptance(Proposal),
    Stands,
    Void(Void),
}

/// How much of each hub's steps is known.
#[derive(Clone, Copy)]
struct Known([usize; 2]);

impl Known {
    const fn has(self, at: At) -> bool {
        at.1 < self.0[at.0 as usize]
    }
}

struct Reader<'a> {
    steps: [&'a [Step]; 2],
    stands: [Vec<Verdict>; 2],
}

impl Reader<'_> {
    /// Judges each step once all that its sayer knew are judged.
    fn judge(&mut self) {
        loop {
            let next = [Side::First, Side::Second].into_iter().find_map(|side| {
                let step = self.steps[side as usize].get(self.stands[side as usize].len())?;
                (step.seen <= self.stands[side.other() as usize].len()).then_some(side)
            });
            // Steps that wait for each other claim what can't be.
            let left = || {
                let waits =
                    |s: &Side| self.stands[*s as usize].len() < self.steps[*s as usize].len();
                [Side::First, Side::Second].into_iter().find(waits)
            };
            let (side, possible) = match (next, left()) {
                (Some(side), _) => (side, true),
                (None, Some(side)) => (side, false),
                (None, None) => return,
            };
            let index = self.stands[side as usize].len();
            let verdict =
                if possible { self.verdict((side, index)) } else { Verdict::Void(Void::Seen) };
            self.stands[side as usize].push(verdict);
        }
    }

    /// What a step's sayer knew, itself not included.
    fn known_to(&self, (side, index): At) -> Known {
        let seen = self.steps[side as usize].get(index).map_or(0, |s| s.seen);
        let mut known = [index; 2];
        known[side.other() as usize] = seen;
        Known(known)
    }

    fn verdict(&self, at: At) -> Verdict {
        let (side, index) = at;
        let step = &self.steps[side as usize][index];
        let before = index.checked_sub(1).map_or(0, |i| self.steps[side as usize][i].seen);
        if step.seen < before {
            return Verdict::Void(Void::Seen);
        }
        let known = self.known_to(at);
        let agreed = self.agreed(known);
        let next = agreed.len() as u64 + 1;
        let open = self.open(known, next);
        match &step.act {
            Act::Propose { number, digest, previous, instead_of } => {
                if (*number, *previous) != (next, agreed.last().map(|a| a.digest)) {
                    Verdict::Void(Void::Follows)
                } else if *instead_of != open.map(|o| o.digest) {
                    Verdict::Void(Void::InsteadOf)
                } else {
                    let instead_of = open.map(|o| o.at);
                    Verdict::Proposal(Proposal { at, number: *number, digest: *digest, instead_of })
                }
            }
            Act::Accept { number, digest } => {
                let theirs =
                    open.filter(|o| o.at.0 != side && (o.number, o.digest) == (*number, *digest));
                theirs.map_or(Verdict::Void(Void::NothingOpen), Verdict::Acceptance)
            }
            Act::Suspend | Act::Resume => {
                let suspends = self.suspends(side, known);
                let possible = match step.act {
                    Act::Suspend => !suspends && agreed.iter().any(|a| a.ended.is_none()),
                    _ => suspends,
                };
                if possible { Verdict::Stands } else { Verdict::Void(Void::Nothing) }
            }
            Act::Unheard => Verdict::Void(Void::Unheard),
            Act::End => match open.is_some() || agreed.iter().any(|a| a.ended.is_none()) {
                true => Verdict::Stands,
                false => Verdict::Void(Void::Nothing),
            },
        }
    }

    /// Steps that stand among those known, with their verdicts.
    fn standing(&self, known: Known) -> impl Iterator<Item = (At, &Verdict)> {
        [Side::First, Side::Second].into_iter().flat_map(move |side| {
            let all = self.stands[side as usize].iter().take(known.0[side as usize]);
            all.enumerate().map(move |(index, verdict)| ((side, index), verdict))
        })
    }

    fn ends(&self, known: Known) -> impl Iterator<Item = At> {
        let is_end = |(side, index): At| matches!(self.steps[side as usize][index].act, Act::End);
        self.standing(known)
            .filter(move |(at, verdict)| matches!(verdict, Verdict::Stands) && is_end(*at))
            .map(|(at, _)| at)
    }

    /// The end that a step's sayer didn't know of.
    fn end_unknown_to(&self, at: At, known: Known) -> Option<At> {
        let knew = self.known_to(at);
        self.ends(known).find(|end| !knew.has(*end))
    }

    fn agreed(&self, known: Known) -> Vec<Agreed> {
        let accepted = self.standing(known).filter_map(|(at, verdict)| match verdict {
            Verdict::Acceptance(proposal) => Some((at, *proposal)),
            _ => None,
        });
        let mut out: Vec<Agreed> = accepted
            .map(|(at, proposal)| Agreed {
                number: proposal.number,
                digest: proposal.digest,
                proposed: proposal.at,
                accepted: at,
                // What was proposed or accepted before an end is ended by it.
                ended: self
                    .end_unknown_to(proposal.at, known)
                    .or_else(|| self.end_unknown_to(at, known)),
            })
            .collect();
        out.sort_by_key(|a| a.number);
        out
    }

    /// The proposal for a number that stands: of two that cross, that of the hub with the smaller id.
    fn open(&self, known: Known, number: u64) -> Option<Proposal> {
        let all: Vec<Proposal> = self
            .standing(known)
            .filter_map(|(_, verdict)| match verdict {
                Verdict::Proposal(p) if p.number == number => Some(*p),
                _ => None,
            })
            .filter(|p| self.end_unknown_to(p.at, known).is_none())
            .collect();
        let mut stands: Option<Proposal> = None;
        loop {
            let above = stands.map(|p| p.at);
            // The first hub's steps come first.
            match all.iter().find(|p| p.instead_of == above) {
                Some(next) => stands = Some(*next),
                None => return stands,
            }
        }
    }

    fn suspends(&self, side: Side, known: Known) -> bool {
        let acts =
            self.standing(known).filter(|(at, v)| at.0 == side && matches!(v, Verdict::Stands));
        let last =
            acts.filter_map(|((side, index), _)| match self.steps[side as usize][index].act {
                Act::Suspend => Some(true),
                Act::Resume => Some(false),
                _ => None,
            });
        last.last().unwrap_or(false)
    }

    fn chain(&self) -> Chain {
        let known = Known([self.steps[0].len(), self.steps[1].len()]);
        let agreed = self.agreed(known);
        let open = self.open(known, agreed.len() as u64 + 1);
        let both = [Side::First, Side::Second];
        let suspended = both.into_iter().filter(|s| self.suspends(*s, known)).collect();
        let void = self.standing(known).filter_map(|(at, verdict)| match verdict {
            Verdict::Void(why) => Some((at, *why)),
            _ => None,
        });
        let took_effect =
            |at: At| open.is_some_and(|o| o.at == at) || agreed.iter().any(|a| a.proposed == at);
        let given_way = self.standing(known).filter_map(|(at, verdict)| match verdict {
            Verdict::Proposal(p) if !took_effect(p.at) => Some(at),
            _ => None,
        });
        Chain {
            void: void.collect(),
            given_way: given_way.collect(),
            open: open.map(|o| Open { number: o.number, digest: o.digest, proposed: o.at }),
            agreed,
            suspended,
        }
    }
}
