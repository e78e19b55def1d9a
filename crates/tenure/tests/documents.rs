//! The documents name everything that there is.

use std::path::Path;

use server::config::KEYS;

fn document(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_key_is_documented_with_its_default() {
    let text = document("docs/configuration.md");
    for key in KEYS {
        let default = match key.default {
            "" => String::new(),
            text => format!("`{text}` "),
        };
        let row = format!("| `{}` | {default}| ", key.name);
        assert!(
            text.contains(&row),
            "docs/configuration.md has no row beginning {row}"
        );
    }
    let rows = text.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(
        rows,
        KEYS.len(),
        "docs/configuration.md has a row for a key that does not exist"
    );
}

#[test]
fn every_metric_is_documented() {
    let text = document("docs/operations.md");
    let source = document("crates/server/src/admin/metrics.rs")
        + &document("crates/server/src/admin/metrics/cluster.rs");
    let mut metrics = 0;
    for name in source.split('"').filter(|word| word.starts_with("tenure_")) {
        assert!(
            text.contains(&format!("`{name}`")),
            "docs/operations.md does not explain {name}"
        );
        metrics += 1;
    }
    assert!(
        metrics > 30,
        "only {metrics} metrics were found in the source"
    );
}
