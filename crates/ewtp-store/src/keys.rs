//! Keys of the derived state: one byte of kind, then what orders them. Numbers are big-endian, so they sort.

/// Kinds of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Counters.
    Counters = b'#',
    /// Newest head.
    Head = b'h',
    /// Tile of 256 hashes of a tree.
    Tile = b't',
    /// Frame that holds the log entries from an index on.
    OwnFrame = b'f',
    /// Frame that holds the statements heard from a lane number on.
    HeardFrame = b'g',
    /// Log indexes of a lane from a number on.
    Lane = b'l',
    /// Identities heard from a peer.
    Identity = b'd',
    /// Receiver's state of a lane.
    Receiver = b'r',
    /// Case, by ordinal: records grow at one end, and what is random (ids, LRNs) has small rows of its own.
    Case = b'c',
    /// Ordinal of a case by its id.
    CaseId = b'o',
    /// Ordinals of an account's cases.
    AccountCases = b'a',
    /// Ordinals of the cases that name a party.
    PartyCases = b'p',
    /// Ordinals of the cases that an event may select by a name.
    Selected = b's',
    /// Events that select cases, by name.
    Selecting = b'e',
    /// Ordinals of the cases that wait for a country's hub.
    Unconnected = b'u',
    /// Digests of attachments that were erased.
    Erased = b'x',
    /// What was erased, by the frame that says so.
    Forgetting = b'F',
    /// Ordinals of the cases with an order of erasure that something may be left of.
    Ordered = b'O',
    /// Ordinals of the cases that cite an attachment, by its digest.
    Cited = b'T',
    /// What was heard and is not honoured, by its commitment: it may be of no case that is known here.
    Refused = b'N',
    /// Digest of a draw key, by the first instant of its period.
    DrawKey = b'k',
    /// Mandate, by account and principal.
    Mandate = b'm',
    /// Changes from a number on.
    Changes = b'w',
    /// First filing under an LRN.
    Lrn = b'i',
    /// Work item by id.
    Work = b'q',
    /// Ids of work that can be decided now.
    ReadyWork = b'y',
    /// Ids of officers' work: what goes first, then as it was made. It is an index of its own, so that it hides nothing else.
    OfficersWork = b'j',
    /// Ids of work that waits for an answer, by deadline.
    WaitingWork = b'z',
    /// Account.
    Account = b'A',
    /// Peer.
    Peer = b'P',
    /// Descriptor learnt, by hub and version.
    Descriptor = b'D',
    /// Head of another log that was cosigned last, by origin.
    Witnessed = b'W',
    /// Own head with cosignatures, by size.
    Cosigned = b'C',
    /// Proof of misconduct, by its digest.
    Evidence = b'E',
    /// Ruleset by name and version.
    Ruleset = b'U',
    /// Edition of a code list by hub (none: this one), list and name.
    CodeList = b'V',
    /// Step of an arrangement, by peer, who said it (0: this hub), and number.
    Arrangement = b'G',
    /// Ordinals of the cases whose decisions relied upon a certificate, by its id.
    Relied = b'L',
    /// Certificate by the hub that vouches (none: this one) and id.
    Certificate = b'K',
    /// Ids of certificates by the hub that vouches and what they are known by: `h` and the holder's id, `o` and an operator's, `r` and the reference.
    CertificateName = b'J',
    /// Ledger of a certificate that this hub vouches for, summed up.
    Ledger = b'Q',
    /// What a case holds of such a certificate, by the certificate's id and the case's.
    Holding = b'H',
    /// What inspections found, by who inspected, who had established the fact, its kind, time and log index.
    Found = b'Z',
    /// Alarm of quality, by who raised it, whom and what it is about, and number.
    Alarm = b'S',
    /// Published report, by kind and number.
    Report = b'I',
    /// Draft ruleset, by its id.
    RulesDraft = b'X',
    /// Comment on a draft ruleset, by the draft's id and its own.
    RulesComment = b'v',
    /// How far the keeper of the ledgers is.
    LedgersKept = b'Y',
    /// Chunk of a sorted run of rows.
    Run = b'R',
    /// Filter of a run.
    Filter = b'B',
    /// List of runs.
    Runs = b'M',
}

/// What a certificate is known by.
#[derive(Clone, Copy, Debug)]
pub enum CertificateName<'a> {
    /// Id of its holder, as the issuer knows it.
    Holder(&'a str),
    /// The same of operators' certificates alone: a holder may have any number of others.
    Operator(&'a str),
    /// The issuer's own number.
    Reference(&'a str),
}

impl CertificateName<'_> {
    /// Beginning of the rows of a name.
    pub(crate) fn row(self, hub: &str) -> Key {
        let (sort, name) = match self {
            Self::Holder(id) => ("h", id),
            Self::Operator(id) => ("o", id),
            Self::Reference(number) => ("r", number),
        };
        Key::new(Kind::CertificateName).text(hub).text(&format!("{sort}{name}"))
    }
}

/// A key under construction.
#[derive(Clone, Debug)]
pub struct Key(Vec<u8>);

impl Key {
    /// Starts a key.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self(vec![kind as u8])
    }

    /// Adds a text and a zero, so that no text is another's prefix.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    /// Adds bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Adds one byte.
    #[must_use]
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// The bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    /// First key that no key with this prefix reaches.
    #[must_use]
    pub fn end(self) -> Vec<u8> {
        let mut end = self.0;
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                break;
            }
        }
        end
    }
}

/// Whether a key of this kind is written once and then at most erased: work has an id of its own each time.
pub(crate) fn is_written_once(key: &[u8]) -> bool {
    let kinds = [Kind::Work, Kind::ReadyWork, Kind::WaitingWork, Kind::OfficersWork];
    key.first().is_some_and(|first| kinds.iter().any(|kind| *kind as u8 == *first))
}

/// The number that a key ends with.
#[must_use]
pub fn last_number(key: &[u8]) -> Option<u64> {
    let at = key.len().checked_sub(8)?;
    key.get(at..)?.try_into().ok().map(u64::from_be_bytes)
}

/// Name of the own log among the trees; lanes are named by their peer.
pub const LOG_TREE: &str = "";
