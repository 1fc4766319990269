//! Evidence: one file that proves a hub's or a witness's misconduct, offline, to anyone with the descriptors (formats.md
//! section 14).
//!
//! Every kind puts two signed things side by side that no honest signer signs both. What can't be shown so (silence, delay,
//! a refused proof, an old head) is no evidence. An honest history yields none, whatever is put together from it.

use std::fmt::Write as _;

use crate::checkpoint::Checkpoint;
use crate::hash::{Hash, leaf_hash};
use crate::id::{HubId, LogIndex, Origin, parse_decimal};
use crate::note::{KeyKind, Verified, VerifierKey};
use crate::opening::{LaneEntry, LanePath};
use crate::proof::TlogProof;
use crate::sections::{self, Sections};
use crate::statement::{Header, commitment};
use crate::tree::{Frontier, compact_range, verify_inclusion};

/// First line of the file.
const FIRST_LINE: &str = "ewtp-evidence/v1";

/// Kinds of misconduct that can be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EvidenceKind {
    /// Two roots of one size.
    Split,
    /// One aligned range of a log with two hashes.
    Fork,
    /// A lane shown in two ways, or shorter than before.
    Lane,
    /// A lane names an entry that the log has not, or has otherwise.
    LaneLog,
    /// One identity said twice with different content.
    Identity,
    /// Two descriptors of one version.
    Descriptor,
    /// A witness cosigned what does not follow from what it cosigned before.
    Witness,
}

impl EvidenceKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Split,
        Self::Fork,
        Self::Lane,
        Self::LaneLog,
        Self::Identity,
        Self::Descriptor,
        Self::Witness,
    ];

    /// The word in the file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Fork => "fork",
            Self::Lane => "lane",
            Self::LaneLog => "lane-log",
            Self::Identity => "identity",
            Self::Descriptor => "descriptor",
            Self::Witness => "witness",
        }
    }

    /// What it proves, for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Split => "it signed two different logs of one size",
            Self::Fork => "it signed two logs that differ in a part that both hold",
            Self::Lane => "it showed one peer's lane in two ways, or took statements out of it",
            Self::LaneLog => "its lane names an entry that its log does not hold",
            Self::Identity => "it said one statement twice, with different content",
            Self::Descriptor => "its root keys signed two descriptors of one version",
            Self::Witness => "it cosigned a head that does not follow from one it cosigned before",
        }
    }
}

/// Evidence, parsed or to be written; nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What it claims.
    pub kind: EvidenceKind,
    /// Against which hub; of a witness's misconduct, the hub whose log it cosigned.
    pub hub: HubId,
    /// Which log.
    pub origin: Origin,
    /// Titles and bodies in order.
    sections: Vec<(String, String)>,
}

/// A subtree opened under a head: what two branches of a log differ in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// First leaf.
    pub lo: u64,
    /// Behind the last leaf; `hi − lo` is a power of two that divides `lo`.
    pub hi: u64,
    /// Its hash.
    pub hash: Hash,
    /// Compact range of `[0, lo)`.
    pub left: Vec<Hash>,
    /// Compact range of `[hi, size)`.
    pub right: Vec<Hash>,
}

/// Why evidence proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    /// Sections or their bodies are not in form.
    #[error("format: {0}")]
    Format(&'static str),
    /// A head is not signed by a log key that counts, or is of another log or hub.
    #[error("head: a head is not signed by a log key of this hub and log that counts")]
    Head,
    /// A path or a signature inside does not hold.
    #[error("proof: a path or an inner signature does not hold")]
    Proof,
    /// A descriptor is not signed as its chain demands.
    #[error("signature: a descriptor is not signed by the root keys that its chain demands")]
    Signature,
    /// Both sides hold and an honest signer may have said both.
    #[error("no contradiction: an honest signer may have said both")]
    NoContradiction,
}

impl NotProven {
    /// Verdict as in the conformance vectors.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Format(_) => "format",
            Self::Head => "head",
            Self::Proof => "proof",
            Self::Signature => "signature",
            Self::NoContradiction => "no contradiction",
        }
    }
}

/// Who a verified descriptor is of, which version, and its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorClaim {
    /// Hub.
    pub hub: String,
    /// Version.
    pub version: u64,
    /// SHA-256 of the payload.
    pub digest: Hash,
}

/// What a verifier of evidence trusts.
pub trait EvidenceTrust {
    /// Whose descriptors these are.
    fn hub(&self) -> &HubId;

    /// Keys of the hub's logs and of the witnesses that its descriptors name.
    fn keys(&self) -> &[VerifierKey];

    /// Whether a head with these verified signatures counts against its hub: not if it was signed by a retired key alone
    /// and nobody vouches that it was signed before (formats.md section 13).
    fn counts(&self, head: &Checkpoint, signed_by: &Verified) -> bool;

    /// Opens a descriptor that is signed as its chain demands.
    fn descriptor(&self, envelope: &str) -> Option<DescriptorClaim>;
}

impl Evidence {
    fn new(kind: EvidenceKind, hub: &HubId, origin: &Origin, sections: &[(&str, String)]) -> Self {
        let sections = sections.iter().map(|(t, b)| ((*t).to_owned(), b.clone())).collect();
        Self { kind, hub: hub.clone(), origin: origin.clone(), sections }
    }

    /// Two signed notes of one size and two roots.
    #[must_use]
    pub fn split(hub: &HubId, origin: &Origin, a: &str, b: &str) -> Self {
        let heads = [("head a", a.to_owned()), ("head b", b.to_owned())];
        Self::new(EvidenceKind::Split, hub, origin, &heads)
    }

    /// Two notes that one witness cosigned.
    #[must_use]
    pub fn witness(hub: &HubId, origin: &Origin, a: &str, b: &str) -> Self {
        let heads = [("head a", a.to_owned()), ("head b", b.to_owned())];
        Self::new(EvidenceKind::Witness, hub, origin, &heads)
    }

    /// One range with two hashes under two heads.
    #[must_use]
    pub fn fork(hub: &HubId, origin: &Origin, a: (&str, &Subtree), b: (&str, &Subtree)) -> Self {
        let sections = [
            ("head a", a.0.to_owned()),
            ("subtree a", a.1.to_text()),
            ("head b", b.0.to_owned()),
            ("subtree b", b.1.to_text()),
        ];
        Self::new(EvidenceKind::Fork, hub, origin, &sections)
    }

    /// One peer's lane opened under two heads.
    #[must_use]
    pub fn lane(hub: &HubId, origin: &Origin, a: (&str, &LanePath), b: (&str, &LanePath)) -> Self {
        Self::new(EvidenceKind::Lane, hub, origin, &lane_sections(a, b))
    }

    /// Two lanes that give one log index two commitments.
    #[must_use]
    pub fn two_lanes(
        hub: &HubId,
        origin: &Origin,
        a: (&str, &LanePath),
        b: (&str, &LanePath),
    ) -> Self {
        Self::new(EvidenceKind::LaneLog, hub, origin, &lane_sections(a, b))
    }

    /// A lane's entry, and what the log holds at its index; `None` where the index can't be in the log at all.
    #[must_use]
    pub fn lane_log(
        hub: &HubId,
        origin: &Origin,
        lane: (&str, &LanePath),
        log: Option<(&Hash, &TlogProof)>,
    ) -> Self {
        let mut sections = vec![("head a", lane.0.to_owned()), ("lane a", lane.1.to_text())];
        if let Some((entry, proof)) = log {
            sections.push(("entry b", format!("{entry}\n")));
            sections.push(("log b", proof.to_text()));
        }
        Self::new(EvidenceKind::LaneLog, hub, origin, &sections)
    }

    /// Two headers of one identity, each with its place in the log.
    #[must_use]
    pub fn identity(
        hub: &HubId,
        origin: &Origin,
        a: (&str, &TlogProof),
        b: (&str, &TlogProof),
    ) -> Self {
        let sections = [
            ("statement a", a.0.to_owned()),
            ("log a", a.1.to_text()),
            ("statement b", b.0.to_owned()),
            ("log b", b.1.to_text()),
        ];
        Self::new(EvidenceKind::Identity, hub, origin, &sections)
    }

    /// Two descriptors of one version, each an envelope on one line.
    #[must_use]
    pub fn descriptors(hub: &HubId, origin: &Origin, a: &str, b: &str) -> Self {
        let line = |envelope: &str| format!("{}\n", envelope.trim_end());
        let sections = [("descriptor a", line(a)), ("descriptor b", line(b))];
        Self::new(EvidenceKind::Descriptor, hub, origin, &sections)
    }

    /// Writes the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("{FIRST_LINE}\nkind {}\n", self.kind.word());
        // Writing into a String can't fail.
        let _ = writeln!(out, "against {} {}", self.hub, self.origin);
        for (title, body) in &self.sections {
            let _ = write!(out, "# {title}\n{body}");
        }
        out.push_str("# end\n");
        out
    }

    /// Parses the file; nothing is verified yet.
    ///
    /// # Errors
    /// [`NotProven::Format`].
    pub fn parse(text: &str) -> Result<Self, NotProven> {
        use NotProven::Format;
        let Sections { preamble, sections } = sections::split(text, FIRST_LINE).map_err(Format)?;
        let [kind, against] = preamble.as_slice() else {
            return Err(Format("the lines before the first section are kind and against"));
        };
        let word = kind.strip_prefix("kind ").ok_or(Format("the kind line"))?;
        let kind = EvidenceKind::ALL.into_iter().find(|k| k.word() == word);
        let kind = kind.ok_or(Format("an unknown kind"))?;
        let against = against.strip_prefix("against ").and_then(|a| a.split_once(' '));
        let (hub, origin) = against.ok_or(Format("the against line"))?;
        let hub = hub.parse().map_err(|_| Format("the hub"))?;
        let origin = origin.parse().map_err(|_| Format("the origin"))?;
        let titles: Vec<&str> = sections.iter().map(|(t, _)| *t).collect();
        if !titles_of(kind).iter().any(|t| titles == *t) {
            return Err(Format("the sections are not those of its kind"));
        }
        let sections = sections.into_iter().map(|(t, b)| (t.to_owned(), b.to_owned())).collect();
        Ok(Self { kind, hub, origin, sections })
    }

    fn section(&self, title: &str) -> &str {
        self.sections.iter().find(|(t, _)| t == title).map_or("", |(_, b)| b)
    }

    fn has(&self, title: &str) -> bool {
        self.sections.iter().any(|(t, _)| t == title)
    }

    /// Decides whether it proves what it claims.
    ///
    /// # Errors
    /// [`NotProven`].
    pub fn verify(&self, trust: &dyn EvidenceTrust) -> Result<(), NotProven> {
        if *trust.hub() != self.hub {
            return Err(NotProven::Head);
        }
        let contradicts = match self.kind {
            EvidenceKind::Split => {
                let (a, b) = (self.head("head a", trust)?, self.head("head b", trust)?);
                a.0.size == b.0.size && a.0.root != b.0.root
            }
            EvidenceKind::Fork => {
                let (a, b) = (self.subtree("a", trust)?, self.subtree("b", trust)?);
                (a.lo, a.hi) == (b.lo, b.hi) && a.hash != b.hash
            }
            EvidenceKind::Lane => {
                lanes_contradict(&self.lane_under("a", trust)?, &self.lane_under("b", trust)?)
            }
            EvidenceKind::LaneLog => self.lane_log_contradicts(trust)?,
            EvidenceKind::Identity => self.identity_contradicts(trust)?,
            EvidenceKind::Descriptor => self.descriptors_contradict(trust)?,
            EvidenceKind::Witness => {
                let (a, b) = (self.head("head a", trust)?, self.head("head b", trust)?);
                !false_cosigners(&a, &b).is_empty()
            }
        };
        if contradicts { Ok(()) } else { Err(NotProven::NoContradiction) }
    }

    /// Keys of the witnesses that evidence of kind `witness` convicts; call it after [`Evidence::verify`]. Names are free text:
    /// only the key says whose it is.
    #[must_use]
    pub fn convicted_witnesses(&self, trust: &dyn EvidenceTrust) -> Vec<VerifierKey> {
        match (self.head("head a", trust), self.head("head b", trust)) {
            (Ok(a), Ok(b)) if self.kind == EvidenceKind::Witness => false_cosigners(&a, &b),
            _ => Vec::new(),
        }
    }

    /// Whether it shows something that other evidence of the same kind against the same log doesn't: another identity, other
    /// descriptors, or heads that were signed later. One misconduct can be written down in many ways.
    #[must_use]
    pub fn shows_more_than(&self, held: &Self) -> bool {
        let id = |e: &Self| Header::parse(e.section("statement a").as_bytes()).ok().map(|h| h.id);
        match self.kind {
            EvidenceKind::Identity => id(self) != id(held),
            EvidenceKind::Descriptor => {
                ["descriptor a", "descriptor b"].iter().any(|t| self.section(t) != held.section(t))
            }
            _ => self.newest_size() > held.newest_size(),
        }
    }

    fn newest_size(&self) -> u64 {
        let heads = ["head a", "head b"].iter().map(|t| self.section(t));
        let size = |note: &str| note.lines().nth(1).and_then(parse_decimal);
        heads.filter_map(size).max().unwrap_or(0)
    }

    fn head(
        &self,
        title: &str,
        trust: &dyn EvidenceTrust,
    ) -> Result<(Checkpoint, Verified), NotProven> {
        let head = signed_head(self.section(title), trust).ok_or(NotProven::Head)?;
        if head.0.origin == self.origin.as_str() { Ok(head) } else { Err(NotProven::Head) }
    }

    fn subtree(&self, side: &str, trust: &dyn EvidenceTrust) -> Result<Subtree, NotProven> {
        let (head, _) = self.head(&format!("head {side}"), trust)?;
        let subtree = Subtree::parse(self.section(&format!("subtree {side}")));
        subtree.filter(|s| s.opens(&head)).ok_or(NotProven::Proof)
    }

    fn lane_under(
        &self,
        side: &str,
        trust: &dyn EvidenceTrust,
    ) -> Result<(Checkpoint, LanePath), NotProven> {
        let (head, _) = self.head(&format!("head {side}"), trust)?;
        let lane = LanePath::parse(self.section(&format!("lane {side}")));
        let lane = lane.ok_or(NotProven::Proof)?;
        // An entry beyond its own head is what some evidence shows; its path need hold all the same.
        lane.open(&head).map_err(|_| NotProven::Proof)?;
        Ok((head, lane))
    }

    fn lane_log_contradicts(&self, trust: &dyn EvidenceTrust) -> Result<bool, NotProven> {
        let (head, lane) = self.lane_under("a", trust)?;
        let entry = lane.entry.ok_or(NotProven::Proof)?;
        if entry.index.0 + 1 >= head.size.0 {
            return Ok(true);
        }
        if self.has("lane b") {
            let (_, other) = self.lane_under("b", trust)?;
            let other = other.entry.ok_or(NotProven::Proof)?;
            return Ok(entry.index == other.index && entry.commitment != other.commitment);
        }
        let log = TlogProof::parse(self.section("log b")).map_err(|_| NotProven::Proof)?;
        let text = self.section("entry b").strip_suffix('\n').ok_or(NotProven::Proof)?;
        let held = Hash::from_base64(text).ok_or(NotProven::Proof)?;
        self.included(&log, &held, self.origin.as_str(), trust)?;
        Ok(LogIndex(log.index) == entry.index && held != entry.commitment)
    }

    fn identity_contradicts(&self, trust: &dyn EvidenceTrust) -> Result<bool, NotProven> {
        let side = |side: &str| {
            let text = self.section(&format!("statement {side}"));
            let header = Header::parse(text.as_bytes()).map_err(|_| NotProven::Proof)?;
            let log = TlogProof::parse(self.section(&format!("log {side}")))
                .map_err(|_| NotProven::Proof)?;
            self.included(&log, &commitment(text.as_bytes()), &header.origin, trust)?;
            Ok((header, text))
        };
        let ((a, first), (b, second)) = (side("a")?, side("b")?);
        let said_by_it = a.hub == self.hub.as_str();
        Ok(said_by_it && a.hub == b.hub && a.id == b.id && first != second)
    }

    fn descriptors_contradict(&self, trust: &dyn EvidenceTrust) -> Result<bool, NotProven> {
        let side = |title| trust.descriptor(self.section(title)).ok_or(NotProven::Signature);
        let (a, b) = (side("descriptor a")?, side("descriptor b")?);
        let its = a.hub == self.hub.as_str() && a.hub == b.hub;
        Ok(its && a.version == b.version && a.digest != b.digest)
    }

    /// An entry that a log holds under a head that counts.
    fn included(
        &self,
        log: &TlogProof,
        entry: &Hash,
        origin: &str,
        trust: &dyn EvidenceTrust,
    ) -> Result<(), NotProven> {
        let (head, _) = signed_head(&log.checkpoint, trust).ok_or(NotProven::Proof)?;
        if head.origin != origin {
            return Err(NotProven::Proof);
        }
        let leaf = leaf_hash(&entry.0);
        verify_inclusion(log.index, head.size.0, &leaf, &log.path, &head.root)
            .map_err(|_| NotProven::Proof)
    }
}

fn lane_sections(a: (&str, &LanePath), b: (&str, &LanePath)) -> [(&'static str, String); 4] {
    [
        ("head a", a.0.to_owned()),
        ("lane a", a.1.to_text()),
        ("head b", b.0.to_owned()),
        ("lane b", b.1.to_text()),
    ]
}

fn titles_of(kind: EvidenceKind) -> &'static [&'static [&'static str]] {
    match kind {
        EvidenceKind::Split | EvidenceKind::Witness => &[&["head a", "head b"]],
        EvidenceKind::Fork => &[&["head a", "subtree a", "head b", "subtree b"]],
        EvidenceKind::Lane => &[&["head a", "lane a", "head b", "lane b"]],
        EvidenceKind::LaneLog => &[
            &["head a", "lane a"],
            &["head a", "lane a", "head b", "lane b"],
            &["head a", "lane a", "entry b", "log b"],
        ],
        EvidenceKind::Identity => &[&["statement a", "log a", "statement b", "log b"]],
        EvidenceKind::Descriptor => &[&["descriptor a", "descriptor b"]],
    }
}

/// A head whose signatures hold and count.
fn signed_head(note: &str, trust: &dyn EvidenceTrust) -> Option<(Checkpoint, Verified)> {
    let (head, note) = Checkpoint::parse_note(note.as_bytes()).ok()?;
    let verified = note.verify(trust.keys()).ok()?;
    let by_log = |k: &VerifierKey| k.kind() == KeyKind::Log && k.name() == head.origin;
    let signed = verified.log_keys.iter().any(by_log) && trust.counts(&head, &verified);
    signed.then_some((head, verified))
}

/// Two openings of one peer's lane that no honest hub can give: under one head two slots, sizes or roots; later but shorter;
/// one size with two roots; one number with two entries.
fn lanes_contradict(a: &(Checkpoint, LanePath), b: &(Checkpoint, LanePath)) -> bool {
    let order = |side: &(Checkpoint, LanePath)| (side.0.size, side.1.size);
    let (first, later) = if order(a) <= order(b) { (a, b) } else { (b, a) };
    let ((m, x), (n, y)) = (first, later);
    if x.peer != y.peer {
        return false;
    }
    let one_head = m.size == n.size && (x.slot, x.size, x.root) != (y.slot, y.size, y.root);
    let two_roots = x.size == y.size && x.root != y.root;
    let place = |e: &LaneEntry| (e.index, e.commitment);
    let reused = match (&x.entry, &y.entry) {
        (Some(p), Some(q)) => p.number == q.number && place(p) != place(q),
        _ => false,
    };
    one_head || y.size < x.size || two_roots || reused
}

/// Witnesses that signed both heads, although the second doesn't follow from the first.
fn false_cosigners(a: &(Checkpoint, Verified), b: &(Checkpoint, Verified)) -> Vec<VerifierKey> {
    let ((a, by_a), (b, by_b)) = (a, b);
    let mut keys = Vec::new();
    for (key, at) in &by_a.witnesses {
        let Some((_, then)) = by_b.witnesses.iter().find(|(k, _)| k == key) else { continue };
        let split = a.size == b.size && a.root != b.root;
        let back = (at < then && a.size > b.size) || (then < at && b.size > a.size);
        if split || back {
            keys.push(key.clone());
        }
    }
    keys
}

impl Subtree {
    /// Body of a subtree section.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("range {} {}\nhash {}\n", self.lo, self.hi, self.hash);
        // Writing into a String can't fail.
        for hash in &self.left {
            let _ = writeln!(out, "left {hash}");
        }
        for hash in &self.right {
            let _ = writeln!(out, "right {hash}");
        }
        out
    }

    fn parse(body: &str) -> Option<Self> {
        let mut lines = body.strip_suffix('\n')?.split('\n').peekable();
        let (lo, hi) = lines.next()?.strip_prefix("range ")?.split_once(' ')?;
        let (lo, hi) = (parse_decimal(lo)?, parse_decimal(hi)?);
        let hash = Hash::from_base64(lines.next()?.strip_prefix("hash ")?)?;
        let mut side = |word: &str| {
            let mut out = Vec::new();
            while let Some(text) = lines.peek().and_then(|l| l.strip_prefix(word)) {
                out.push(Hash::from_base64(text)?);
                lines.next();
            }
            Some(out)
        };
        let (left, right) = (side("left ")?, side("right ")?);
        lines.next().is_none().then_some(Self { lo, hi, hash, left, right })
    }

    /// Whether the subtree is part of the head's tree.
    #[must_use]
    pub fn opens(&self, head: &Checkpoint) -> bool {
        let Some(width) = self.hi.checked_sub(self.lo).filter(|w| w.is_power_of_two()) else {
            return false;
        };
        if !self.lo.is_multiple_of(width) || self.hi > head.size.0 {
            return false;
        }
        let mut tree = Frontier::default();
        let grown = tree.extend(self.lo, &self.left).is_ok();
        if !grown || compact_range(self.lo, self.hi).len() != 1 {
            return false;
        }
        let grown = tree.extend(self.hi, &[self.hash]).is_ok();
        grown && tree.extend(head.size.0, &self.right).is_ok() && tree.root() == head.root
    }
}
