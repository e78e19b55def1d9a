//! `docs/commands.md` is written from the command table; this keeps the two the same.
//!
//! After a change of the table run it once with `MANUAL=rewrite`.

use std::path::Path;

const HEAD: &str = "# Commands\n\nWritten from the command table (`crates/command/src/table/`) by `MANUAL=rewrite cargo test -p tenure-command --test manual`.\n`COMMAND DOCS` tells the same to clients; `docs/DIVERGENCE.md` says where replies differ from those of Redis.\n\n";

#[test]
fn the_page_of_commands_is_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands.md");
    let page = format!("{HEAD}{}", command::manual());
    if std::env::var("MANUAL").is_ok_and(|value| value == "rewrite") {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let there = std::fs::read_to_string(&path).expect("the page is there");
    assert!(there == page, "docs/commands.md is not what the table says");
}
