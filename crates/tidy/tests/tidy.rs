//! See the crate.

use std::collections::{BTreeMap, BTreeSet};

use tidy::{Source, root, sources};

/// Which crate may know which (`docs/ARCHITECTURE.md`, "Crates"). The shell may know everything but `sim`.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("resp", &["model"]),
    ("crc", &["model"]),
    ("store", &["model", "crc"]),
    ("replica", &["model"]),
    ("shard", &["model", "store", "replica"]),
    ("command", &["model", "resp", "store", "shard"]),
    (
        "node",
        &[
            "model", "resp", "store", "shard", "command", "replica", "cluster",
        ],
    ),
    ("cluster", &["model", "crc"]),
    ("forward", &["model", "resp", "command"]),
    ("meta", &["model", "cluster"]),
    (
        "server",
        &[
            "model", "crc", "resp", "store", "shard", "command", "node", "replica", "cluster",
            "meta", "forward",
        ],
    ),
    ("bench", &["model"]),
    (
        "sim",
        &[
            "model", "resp", "store", "shard", "command", "node", "cluster",
        ],
    ),
    ("history", &[]),
    ("ports", &[]),
    ("cluster-sim", &["model", "replica", "sim", "history"]),
    (
        "member-sim",
        &[
            "model", "store", "shard", "command", "node", "replica", "cluster", "sim", "history",
        ],
    ),
    (
        "fuzz",
        &[
            "model", "resp", "store", "shard", "command", "node", "forward", "server", "sim",
        ],
    ),
    ("chaos", &["model", "bench", "history", "ports"]),
    ("tenure", &["model", "server", "bench"]),
    ("tidy", &[]),
];

/// Crates that do no I/O.
const CORE: &[&str] = &[
    "model", "crc", "resp", "store", "replica", "shard", "command", "node", "cluster",
];

/// Longest source file, in lines. Lower it as files are split; never raise it.
const LONGEST_FILE: usize = 800;

fn rust() -> Vec<Source> {
    sources()
        .into_iter()
        .filter(|s| s.path.ends_with(".rs"))
        .collect()
}

#[test]
fn crates_know_only_what_they_may() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for source in sources() {
        let Some(name) = source
            .path
            .strip_prefix("crates/")
            .and_then(|p| p.strip_suffix("/Cargo.toml"))
        else {
            continue;
        };
        seen.insert(name.to_owned());
        let Some((_, allowed)) = DIRECTIONS.iter().find(|(n, _)| *n == name) else {
            wrong.push(format!(
                "crate {name} is not in DIRECTIONS: decide what it may know"
            ));
            continue;
        };
        let manifest: toml::Table = source.text.parse().expect("a manifest is TOML");
        let dependencies = manifest
            .get("dependencies")
            .and_then(|d| d.as_table())
            .cloned()
            .unwrap_or_default();
        for dependency in dependencies.keys() {
            let ours = DIRECTIONS.iter().any(|(n, _)| n == dependency);
            if ours && !allowed.contains(&dependency.as_str()) {
                wrong.push(format!(
                    "crate {name} must not know {dependency}: see docs/ARCHITECTURE.md"
                ));
            }
        }
    }
    for (name, _) in DIRECTIONS {
        if !seen.contains(*name) {
            wrong.push(format!("crate {name} of DIRECTIONS does not exist"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn core_crates_are_no_std() {
    for name in CORE {
        let text = std::fs::read_to_string(root().join(format!("crates/{name}/src/lib.rs")))
            .expect("a core crate");
        let plain = text.contains("\n#![no_std]");
        let in_tests_too = text.contains("\n#![cfg_attr(not(test), no_std)]");
        assert!(
            plain || in_tests_too,
            "crate {name} does no I/O: its lib.rs says #![no_std]"
        );
    }
}

#[test]
fn files_stay_readable() {
    let long: Vec<_> = rust()
        .iter()
        .filter(|s| s.text.lines().count() > LONGEST_FILE)
        .map(|s| {
            format!(
                "{} has {} lines: find the seam and split it",
                s.path,
                s.text.lines().count()
            )
        })
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn nothing_unfinished_is_left() {
    // Spelled in two halves so that this file does not find itself.
    let markers =
        [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["HA", "CK"]].map(|halves| halves.concat());
    let mut found = Vec::new();
    for source in sources() {
        if !(source.path.ends_with(".rs")
            || source.path.ends_with(".md")
            || source.path.ends_with(".py"))
        {
            continue;
        }
        for (number, line) in source.text.lines().enumerate() {
            let word = |marker: &String| {
                line.split(|c: char| !c.is_alphanumeric())
                    .any(|w| w == marker)
            };
            if markers.iter().any(word) {
                found.push(format!(
                    "{}:{}: finish it or say why not: {}",
                    source.path,
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn names_say_what_is_in_them() {
    let vague = [
        "utils", "util", "common", "helpers", "helper", "manager", "misc",
    ];
    for source in rust() {
        let stem = source
            .path
            .rsplit('/')
            .next()
            .and_then(|f| f.strip_suffix(".rs"))
            .unwrap_or_default();
        assert!(
            !vague.contains(&stem),
            "{}: a module is named for what it holds",
            source.path
        );
        assert!(
            stem != "mod",
            "{}: modules are `foo.rs` beside `foo/`",
            source.path
        );
    }
}

#[test]
fn documents_link_to_what_exists() {
    let mut dead = Vec::new();
    for source in sources().iter().filter(|s| s.path.ends_with(".md")) {
        let folder = root()
            .join(&source.path)
            .parent()
            .expect("a file is in a folder")
            .to_owned();
        for link in source
            .text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                dead.push(format!("{}: {link}", source.path));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn dependencies_have_a_reason() {
    let text =
        std::fs::read_to_string(root().join("docs/DEPENDENCIES.md")).expect("docs/DEPENDENCIES.md");
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml"))
        .expect("a manifest")
        .parse()
        .expect("TOML");
    let listed = manifest["workspace"]["dependencies"]
        .as_table()
        .expect("a table")
        .clone();
    let ours: BTreeMap<_, _> = DIRECTIONS.iter().copied().collect();
    let missing: Vec<_> = listed
        .keys()
        .filter(|name| !ours.contains_key(name.as_str()) && !text.contains(&format!("`{name}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/DEPENDENCIES.md gives no reason for {missing:?}"
    );
}
