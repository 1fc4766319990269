//! Changes of seeds: bits, bytes, runs, lengths, and pieces of other seeds. The same seed number makes the same inputs.

/// A generator of changed inputs.
pub(crate) struct Changes {
    state: u64,
}

/// What formats here are sensitive to.
const WORDS: &[&[u8]] = &[
    b"\n",
    b"\n\n",
    b"\r\n",
    b"# ",
    b"# end\n",
    b"## ",
    b" ",
    b"0",
    b"-1",
    b"01",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551615",
    b"+",
    b"=",
    b"==",
    "— ".as_bytes(),
    b"\xff",
    b"\0",
    b".p/",
    b"x001/",
    b"{",
    b"}",
    b"[",
    b"null",
    b"\"\"",
    b"1e9",
];

impl Changes {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.next() % n as u64) as usize }
    }

    /// A seed with one to eight changes.
    pub(crate) fn of(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(8) {
            self.change(&mut input, seeds);
        }
        input.truncate(1 << 20);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let run = self.below(64);
        let end = (at + run).min(input.len());
        match self.below(8) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.next() as u8,
            2 => drop(input.drain(at..end)),
            3 => {
                let word = WORDS[self.below(WORDS.len())];
                input.splice(at..at, word.iter().copied());
            }
            4 => {
                let copy = input[at..end].to_vec();
                let to = self.below(input.len() + 1);
                input.splice(to..to, copy);
            }
            5 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len() + 1);
                let to = (from + self.below(256)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            6 => input.truncate(at),
            _ => {
                // A whole line twice, gone, or moved: these are texts.
                let start = input[..at].iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
                let stop = input[at..]
                    .iter()
                    .position(|b| *b == b'\n')
                    .map_or(input.len(), |p| at + p + 1);
                let line: Vec<u8> = input.drain(start..stop).collect();
                for _ in 0..self.below(3) {
                    let to = self.below(input.len() + 1);
                    input.splice(to..to, line.iter().copied());
                }
            }
        }
    }
}
