//! The fuzz targets' checks on stable Rust: every seed file, then mutants of them.
//!
//! A printed seed number determines the mutants. `ANZOL_FUZZ_SEED` repeats them, `ANZOL_FUZZ_SECONDS` runs longer than the default
//! [`CASES`]. With nightly and cargo-fuzz, `cargo xtask fuzz` mutates guided by coverage instead.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anzol_runtime::config::optional;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestRunner};

#[path = "../fuzz/checks.rs"]
#[expect(unreachable_pub, reason = "a separate crate for cargo-fuzz")]
mod checks;

/// Mutants per round of each target.
const CASES: u32 = 2_000;

/// Tokens that mutations insert: text that has a meaning for the parsers.
const TOKENS: [&str; 50] = [
    "\"",
    "\\",
    "\\ud800",
    "\\u0000",
    "\\u0069d",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "true",
    "-0.0",
    "1e999",
    "18446744073709551616",
    "\"id\":\"x\",",
    "\"data\":",
    "\"extensions\":{",
    "\"tenantId\":\"globex\",",
    "\"tenantid\":\"globex\",",
    "\"userId\":\"v\",",
    "\"eventType\":\"other\",",
    "\"anzolhop\":2,",
    "\"subject\":null,",
    "\u{feff}",
    "\"specversion\":\"1.0\",",
    "\"cloudEventsVersion\":\"0.1\",",
    "\"op\":\"remove\",",
    "\"path\":\"/url\",",
    "/encryptedHeaders",
    "/headers/X-A~1B",
    "\r\n",
    "\0",
    " and ",
    " or ",
    " eq ",
    " ne ",
    "data.status",
    "spaceId",
    "https://",
    "@",
    "#",
    "127.1",
    "0x7f",
    "localhost",
    ".internal",
    "。",
    "①",
    "\u{ad}",
];

#[derive(Debug, Clone)]
enum Change {
    Put(Index, &'static str),
    PutByte(Index, u8),
    Flip(Index, u8),
    Remove(Index, usize),
    Repeat(Index, usize),
    Splice(Index, Vec<u8>),
}

impl Change {
    fn of(self, data: &mut Vec<u8>) {
        let at = |index: Index| index.index(data.len() + 1);
        match self {
            Self::Put(index, token) => drop(data.splice(at(index)..at(index), token.bytes())),
            Self::PutByte(index, byte) => data.insert(at(index), byte),
            Self::Flip(index, bit) => {
                let at = at(index);
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Self::Remove(index, count) => drop(data.drain(at(index)..(at(index) + count).min(data.len()))),
            Self::Repeat(index, count) => {
                let part = data[at(index)..(at(index) + count).min(data.len())].to_vec();
                drop(data.splice(at(index)..at(index), part));
            }
            Self::Splice(index, other) => drop(data.splice(at(index).., other)),
        }
    }
}

/// Bytes that proptest prints as text.
struct Mutant(Vec<u8>);

impl fmt::Debug for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

fn mutants(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Mutant> {
    let index = any::<Index>;
    let other =
        (select(seeds.clone()), index()).prop_map(|(seed, from)| seed[from.index(seed.len() + 1)..].to_vec());
    let change = prop_oneof![
        4 => (index(), select(&TOKENS[..])).prop_map(|(at, token)| Change::Put(at, token)),
        1 => (index(), any::<u8>()).prop_map(|(at, byte)| Change::PutByte(at, byte)),
        1 => (index(), any::<u8>()).prop_map(|(at, bit)| Change::Flip(at, bit)),
        2 => (index(), 1..40_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        2 => (index(), 1..80_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
        2 => (index(), other).prop_map(|(at, other)| Change::Splice(at, other)),
    ];
    (select(seeds), vec(change, 0..6)).prop_map(|(mut data, changes)| {
        for change in changes {
            change.of(&mut data);
        }
        Mutant(data)
    })
}

#[expect(clippy::print_stdout, reason = "the seed is needed to repeat the mutants")]
fn run(target: &str) {
    let (_, check) = checks::TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let files = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let mut seeds: Vec<_> = files.map(|file| std::fs::read(file).unwrap()).collect();
    seeds.sort();
    assert!(seeds.len() > 2, "no seeds in {}", directory.display());
    for seed in &seeds {
        check(seed);
    }

    let number = |name: &str| optional(name).map(|text| text.parse::<u64>().unwrap());
    let (seed, seconds) = (number("ANZOL_FUZZ_SEED").unwrap_or(1), number("ANZOL_FUZZ_SECONDS").unwrap_or(0));
    let (started, mutants, mut rounds) = (Instant::now(), mutants(seeds), 0);
    loop {
        let round = seed.wrapping_add(rounds);
        println!("{target}: seed {round}, {CASES} mutants");
        let config = Config {
            cases: CASES,
            rng_seed: RngSeed::Fixed(round),
            rng_algorithm: RngAlgorithm::ChaCha,
            failure_persistence: None,
            ..Config::default()
        };
        let held = TestRunner::new(config).run(&mutants, |Mutant(data)| {
            check(&data);
            Ok(())
        });
        held.unwrap_or_else(|error| panic!("{target}: seed {round}: {error}"));
        rounds += 1;
        if started.elapsed() >= Duration::from_secs(seconds) {
            return println!("{target}: {} mutants held", rounds * u64::from(CASES));
        }
    }
}

#[test]
fn event() {
    run("event");
}

#[test]
fn filter() {
    run("filter");
}

#[test]
fn patch() {
    run("patch");
}

#[test]
fn cursor() {
    run("cursor");
}

#[test]
fn url() {
    run("url");
}
