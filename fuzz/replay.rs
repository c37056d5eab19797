//! Runs a fuzz target on stable: over its corpus, then over mutations of that from a fixed seed.
//!
//! Included by the tests `fuzz_corpus` of the crates whose decoders the targets are about.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Enough to reach what a few changes of good input reach, and no more than a second or two.
const MUTATIONS: u64 = 4000;

/// # Panics
/// If `target` does, naming the input.
#[expect(clippy::disallowed_methods, reason = "the corpus lies in files, and this is no core")]
pub(crate) fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("a file")).collect();
    assert!(!corpus.is_empty(), "{} holds nothing to begin with", folder.display());
    let run = |what: &str, input: &[u8]| {
        let ended = catch_unwind(AssertUnwindSafe(|| target(input)));
        assert!(ended.is_ok(), "{name}, {what}: b\"{}\"", input.escape_ascii());
    };
    for (file, input) in files.iter().zip(&corpus) {
        run(&file.display().to_string(), input);
    }
    for round in 0..MUTATIONS {
        let mut chance = Chance(round);
        let mut input = corpus[chance.below(corpus.len())].clone();
        for _ in 0..=chance.below(4) {
            mutate(&mut input, &corpus, &mut chance);
        }
        run(&format!("mutation {round}"), &input);
    }
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], chance: &mut Chance) {
    let at = chance.below(input.len() + 1);
    let len = chance.below((input.len() - at).min(32) + 1);
    match chance.below(7) {
        0 if at < input.len() => input[at] ^= 1 << chance.below(8),
        1 if at < input.len() => input[at] = chance.byte(),
        2 => drop(input.drain(at..at + len)),
        3 => {
            let copy = input[at..at + len].to_vec();
            drop(input.splice(at..at, copy));
        }
        4 => input.truncate(at),
        5 => {
            let other = &corpus[chance.below(corpus.len())];
            let from = chance.below(other.len() + 1);
            let piece = other[from..].iter().copied().take(chance.below(64));
            drop(input.splice(at..at + len, piece));
        }
        _ => {
            const PIECES: &[&[u8]] = &[
                b"\"",
                b"{",
                b"}",
                b"[",
                b"]",
                b",",
                b":",
                b"null",
                b"-1",
                b"1e999",
                b"\\u0000",
                b"\\ud800",
                b"\xff",
                b"\0",
                b"*",
                b"${",
                b"%",
                b"=",
                b"/",
                b"18446744073709551615",
            ];
            let piece = PIECES[chance.below(PIECES.len())];
            drop(input.splice(at..at, piece.iter().copied()));
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Chance(u64);

impl Chance {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn byte(&mut self) -> u8 {
        self.draw().to_le_bytes()[0]
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.draw() % bound as u64).expect("below a usize")
    }
}
