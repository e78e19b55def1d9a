//! Every target over its corpus, and over mutants of it for a few seconds.
//!
//! `FUZZ_ROUNDS=100000` makes more mutants. A failing input is written to the temporary folder and named.

#![allow(clippy::print_stderr)] // The input that fails must be found again.

use std::path::{Path, PathBuf};

use fuzz::{TARGETS, Target};
use sim::random::Random;

/// Mutants of each target.
const ROUNDS: u64 = 3_000;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(name);
    let files = std::fs::read_dir(&folder).expect("every target has a corpus");
    let mut paths: Vec<PathBuf> = files
        .map(|file| file.expect("a readable folder").path())
        .collect();
    paths.sort();
    assert!(
        !paths.is_empty(),
        "the corpus {} is empty",
        folder.display()
    );
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("a readable file"))
        .collect()
}

fn run(name: &str, target: Target, input: &[u8]) {
    if let Err(panic) = std::panic::catch_unwind(|| target(input)) {
        let path = std::env::temp_dir().join(format!("tenure-fuzz-{name}"));
        std::fs::write(&path, input).expect("a writable temporary folder");
        eprintln!("target {name} fails on {}", path.display());
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn the_corpora_and_their_mutants() {
    let rounds = std::env::var("FUZZ_ROUNDS")
        .map_or(ROUNDS, |n| n.parse().expect("FUZZ_ROUNDS is a number"));
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        for input in &corpus {
            run(name, *target, input);
        }
        let mut random = Random::new(1, name);
        for _ in 0..rounds {
            let seed = &corpus[random.index(corpus.len())];
            run(name, *target, &fuzz::mutate::mutate(seed, &mut random));
        }
    }
}
