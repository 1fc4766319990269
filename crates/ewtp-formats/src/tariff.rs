//! Full-text search over a tariff's descriptions, so that a trader finds a code by what the goods are called.
//!
//! The descriptions that come with the crate are those of the United States' tariff, chapters 10 to 69: the first six digits are the
//! Harmonized System's, the rest is national.

use std::collections::{BTreeMap, BTreeSet};

/// A line of a tariff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Code, digits.
    pub code: String,
    /// Description.
    pub description: String,
}

/// A line that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found<'a> {
    /// The line.
    pub line: &'a Line,
    /// Words of the question that it has.
    pub words: usize,
    /// Weight: rare words count more, long descriptions less.
    pub weight: f64,
}

/// Descriptions with an index of their words.
#[derive(Clone, Debug)]
pub struct Descriptions {
    lines: Vec<Line>,
    by_word: BTreeMap<String, BTreeSet<usize>>,
}

/// Shortest beginning of a word that stands for it.
const BEGINNING: usize = 4;

impl Default for Descriptions {
    fn default() -> Self {
        Self::parse(include_str!("tariff/us-hts8.txt"))
    }
}

impl Descriptions {
    /// Reads lines of a code, a space and a description; `#` begins a comment.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (code, description) = line.split_once(' ')?;
            let digits = code.len() >= 6 && code.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| Line { code: code.to_owned(), description: description.to_owned() })
        };
        let lines: Vec<Line> = text.lines().filter_map(line).collect();
        let mut by_word: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (at, line) in lines.iter().enumerate() {
            for word in words(&line.description) {
                by_word.entry(word).or_default().insert(at);
            }
        }
        Self { lines, by_word }
    }

    /// Number of lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The best lines for a question: those that have most of its words, then those whose words are rarest. Digits find the codes that
    /// begin with them.
    #[must_use]
    pub fn search(&self, question: &str, limit: usize) -> Vec<Found<'_>> {
        let mut found: BTreeMap<usize, (usize, f64)> = BTreeMap::new();
        // A code may be written 0902.40 or 0902 40.
        let coded = question.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ' ');
        let plain: String = question.chars().filter(char::is_ascii_digit).collect();
        for word in words(if coded { &plain } else { question }) {
            for (at, weight) in self.lines_with(&word) {
                let entry = found.entry(at).or_insert((0, 0.0));
                *entry = (entry.0 + 1, entry.1 + weight);
            }
        }
        let line = |(at, (count, weight)): (usize, (usize, f64))| {
            let line = self.lines.get(at)?;
            let long = words(&line.description).len() as f64;
            Some(Found { line, words: count, weight: weight / (1.0 + long / 20.0) })
        };
        let mut out: Vec<Found<'_>> = found.into_iter().filter_map(line).collect();
        out.sort_by(|a, b| {
            let by_weight = b.weight.total_cmp(&a.weight);
            b.words.cmp(&a.words).then(by_weight).then(a.line.code.cmp(&b.line.code))
        });
        out.truncate(limit);
        out
    }

    /// Lines that have a word or begin one with it, each with the rareness of what they have.
    fn lines_with(&self, word: &str) -> BTreeMap<usize, f64> {
        let mut out = BTreeMap::new();
        let all = self.lines.len().max(1) as f64;
        let mut add = |lines: &BTreeSet<usize>, share: f64| {
            let rare = share * (1.0 + all / lines.len().max(1) as f64).ln();
            for at in lines {
                let weight = out.entry(*at).or_insert(0.0);
                *weight = rare.max(*weight);
            }
        };
        if let Some(lines) = self.by_word.get(word) {
            add(lines, 1.0);
        }
        if word.len() >= BEGINNING {
            let begun = self.by_word.range(word.to_owned()..);
            for (_, lines) in
                begun.take_while(|(w, _)| w.starts_with(word)).filter(|(w, _)| *w != word)
            {
                add(lines, 0.6);
            }
        }
        if word.bytes().all(|b| b.is_ascii_digit()) {
            let coded: BTreeSet<usize> = (0..self.lines.len())
                .filter(|at| self.lines.get(*at).is_some_and(|l| l.code.starts_with(word)))
                .collect();
            add(&coded, 1.0);
        }
        out
    }
}

/// Words in their singular, without those that say nothing.
fn words(text: &str) -> BTreeSet<String> {
    const EMPTY: &[&str] = &[
        "of", "or", "and", "the", "not", "with", "for", "than", "other", "in", "to", "a", "by",
        "nesoi", "nesi",
    ];
    text.split(|c: char| !c.is_alphanumeric())
        .map(|word| singular(&word.to_lowercase()))
        .filter(|word| word.len() > 1 && !EMPTY.contains(&word.as_str()))
        .collect()
}

fn singular(word: &str) -> String {
    let stem = match word {
        w if w.len() > 4 && w.ends_with("ies") => return format!("{}y", &w[..w.len() - 3]),
        w if w.ends_with("ss") || w.len() <= 3 => w,
        w if w.ends_with("ches") || w.ends_with("shes") || w.ends_with("xes") => &w[..w.len() - 2],
        w => w.strip_suffix('s').unwrap_or(w),
    };
    stem.to_owned()
}
