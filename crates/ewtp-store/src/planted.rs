//! Deliberate bugs, one for each promise that the simulation checks. They exist under the feature `planted` alone, which
//! nothing but the simulation turns on; without it every question here is answered *no* while compiling.

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The committer answers before the frame is durable.
    AnswerBeforeSync,
    /// The state, the head and so the lanes show a frame before it is durable.
    PageBeforeSync,
    /// The journal forgets its last good frame when it opens.
    ForgetLastFrame,
    /// The committer doesn't look whether work is still open.
    WorkTwice,
    /// The committer doesn't look whether an LRN is taken.
    LrnTwice,
    /// A page is committed without its last statement, its cursor all the same.
    LaneGap,
    /// The logged time follows the machine's clock backwards.
    TimeBackwards,
    /// A heard decision that clears doesn't reach its case.
    StateDiffers,
    /// The sums of a case leave out its last item.
    SumsShort,
    /// Pages show parts that the peer's scope withholds.
    ScopeIgnored,
    /// A receiver gives up when its stream ends.
    ReceiverGivesUp,
    /// The keeper of the ledgers doesn't look at what other cases hold.
    SpentTwice,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::AnswerBeforeSync,
        Self::PageBeforeSync,
        Self::ForgetLastFrame,
        Self::WorkTwice,
        Self::LrnTwice,
        Self::LaneGap,
        Self::TimeBackwards,
        Self::StateDiffers,
        Self::SumsShort,
        Self::ScopeIgnored,
        Self::ReceiverGivesUp,
        Self::SpentTwice,
    ];
}

#[cfg(feature = "planted")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in everything that runs on this thread; `None` takes it away.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether a bug is planted here.
#[cfg(feature = "planted")]
#[must_use]
pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether a bug is planted here: never in this build.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn is(_: Bug) -> bool {
    false
}
