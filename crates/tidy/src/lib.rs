//! The repository checks itself: what a reviewer would otherwise have to remember.
//!
//! `cargo test -p tenure-tidy` verifies which crate may know which, that core crates stay `no_std`, that no file
//! outgrows an easy read, that nothing unfinished is left lying about, and that the documents speak of
//! things that exist. Each check names the rule and what to do.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of the repository.
#[derive(Debug)]
pub struct Source {
    /// Its path from the root.
    pub path: String,
    /// What it says; files that are not text are left out.
    pub text: String,
}

/// Every text file that git tracks or would track.
///
/// # Panics
/// When git cannot be asked.
#[must_use]
pub fn sources() -> Vec<Source> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files of the repository");
    assert!(
        listed.status.success(),
        "git ls-files failed: {}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let paths = String::from_utf8_lossy(&listed.stdout).into_owned();
    paths
        .lines()
        .filter_map(|path| {
            Some(Source {
                path: path.to_owned(),
                text: std::fs::read_to_string(root().join(path)).ok()?,
            })
        })
        .collect()
}
