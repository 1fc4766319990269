//! The kinds of messages: their elements in order, how often they are there, and what a leaf may hold.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A kind of message.
#[derive(Debug)]
pub(crate) struct Kind {
    /// E.g. `CEB621`.
    pub(crate) name: &'static str,
    /// It is about goods that enter China.
    pub(crate) import: bool,
    /// What a message holds several of: an order, an inventory, a receipt. Its first group has the record's own leaves.
    pub(crate) record: Record,
    /// Who sends it to whom.
    pub(crate) envelope: Vec<Group>,
}

/// A record of a message.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) name: &'static str,
    /// Most of a message.
    pub(crate) max: usize,
    /// Its own leaves first, then its groups in order.
    pub(crate) groups: Vec<Group>,
}

/// An element with leaves.
#[derive(Debug)]
pub(crate) struct Group {
    /// Empty for the record's own leaves.
    pub(crate) name: &'static str,
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) leaves: Vec<Leaf>,
}

/// A leaf.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) name: &'static str,
    pub(crate) optional: bool,
    holds: Holds,
}

/// What a leaf holds.
#[derive(Clone, Copy, Debug)]
enum Holds {
    /// Fewest and most characters, and whether white space is collapsed.
    Text(usize, usize, bool),
    /// 19 digits, 5 of them behind the point.
    Decimal,
    /// A whole number of so many digits.
    Whole(usize),
    /// Any elements.
    Anything,
}

const TABLE: &str = include_str!("messages.txt");

static KINDS: LazyLock<BTreeMap<&'static str, Kind>> = LazyLock::new(|| {
    let mut out: BTreeMap<&str, Kind> = BTreeMap::new();
    let mut last = "";
    for line in TABLE.lines().filter(|l| !l.starts_with('#')) {
        let depth = line.len() - line.trim_start().len();
        let (head, rest) = line.trim_start().split_once([':', ' ']).unwrap_or((line, ""));
        if depth == 0 {
            last = head;
            let record = Record { name: "", max: 0, groups: Vec::new() };
            let kind = Kind { name: head, import: rest == "import", record, envelope: Vec::new() };
            out.insert(head, kind);
            continue;
        }
        let Some(kind) = out.get_mut(last) else { continue };
        let (occurrence, leaves) = rest.split_once(':').unwrap_or((rest, ""));
        let (min, max) = occurrence.split_once('-').unwrap_or_default();
        let max = max.parse().unwrap_or(usize::MAX);
        let leaves = leaves.split_whitespace().filter_map(leaf).collect();
        let group = Group { name: head, min: min.parse().unwrap_or(1), max, leaves };
        match (depth, kind.record.name) {
            (1, "") => {
                kind.record.name = head;
                kind.record.max = max;
                kind.record.groups.push(Group { name: "", min: 1, max: 1, ..group });
            }
            (1, _) => kind.envelope.push(group),
            _ => kind.record.groups.push(group),
        }
    }
    out
});

fn leaf(word: &'static str) -> Option<Leaf> {
    let (name, holds) = word.split_once('=')?;
    let (name, optional) = match name.strip_suffix('?') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let holds = match holds {
        "d" => Holds::Decimal,
        "x" => Holds::Anything,
        whole if whole.starts_with('i') => Holds::Whole(whole.get(1..)?.parse().ok()?),
        text => {
            let (text, collapsed) = match text.strip_suffix('~') {
                Some(text) => (text, true),
                None => (text, false),
            };
            let (min, max) = text.split_once('-').unwrap_or((text, text));
            Holds::Text(min.parse().ok()?, max.parse().unwrap_or(usize::MAX), collapsed)
        }
    };
    Some(Leaf { name, optional, holds })
}

impl Kind {
    /// A kind by its name, e.g. `CEB621`.
    pub(crate) fn by_name(name: &str) -> Option<&'static Self> {
        KINDS.get(name)
    }

    /// All kinds by name.
    pub(crate) fn all() -> impl Iterator<Item = &'static Self> {
        KINDS.values()
    }
}

impl Leaf {
    /// Whether it may hold any elements.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.holds, Holds::Anything)
    }

    /// Most characters that it holds.
    pub(crate) fn longest(&self) -> usize {
        match self.holds {
            Holds::Text(_, max, _) => max,
            _ => usize::MAX,
        }
    }

    /// A text as it counts.
    pub(crate) fn normalise(&self, text: &str) -> String {
        match self.holds {
            Holds::Decimal | Holds::Whole(_) => text.trim().to_owned(),
            Holds::Text(_, _, true) => text.split_whitespace().collect::<Vec<_>>().join(" "),
            Holds::Text(..) | Holds::Anything => text.to_owned(),
        }
    }

    /// What is allowed, if a text isn't.
    pub(crate) fn refuses(&self, text: &str) -> Option<String> {
        let count = text.chars().count();
        match self.holds {
            Holds::Text(min, max, _) if (min..=max).contains(&count) => None,
            Holds::Text(min, max, _) if min == max => Some(format!("{min} characters")),
            Holds::Text(min, usize::MAX, _) => Some(format!("{min} characters or more")),
            Holds::Text(min, max, _) => Some(format!("{min} to {max} characters")),
            Holds::Decimal => (!is_decimal(text))
                .then(|| "a number of at most 19 digits, 5 of them behind the point".into()),
            Holds::Whole(digits) => {
                let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
                let number = !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit());
                let fits = number && text.parse::<i32>().is_ok();
                let short = bare.trim_start_matches('0').len() <= digits;
                (!fits || !short).then(|| format!("a whole number of at most {digits} digits"))
            }
            Holds::Anything => None,
        }
    }
}

/// A decimal of XML Schema with 19 digits, 5 of them behind the point; zeros that say nothing don't count.
fn is_decimal(text: &str) -> bool {
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = bare.split_once('.').unwrap_or((bare, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let (whole_used, fraction_used) =
        (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    !(whole.is_empty() && fraction.is_empty())
        && digits(whole)
        && digits(fraction)
        && fraction_used.len() <= 5
        && whole_used.len() + fraction_used.len() <= 19
}
