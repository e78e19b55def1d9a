//! The configuration file.

use server::config::Config;

/// A text is refused with an error, or makes a configuration that reads back as itself.
///
/// # Panics
/// If it does neither.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut config = Config::default();
    if config.apply_toml(text, "fuzz").is_err() {
        return;
    }
    let printed = config.to_toml();
    let mut again = Config::default();
    if let Err(error) = again.apply_toml(&printed, "printed") {
        panic!("what was printed is refused: {error}\n{printed}");
    }
    assert_eq!(
        again.to_toml(),
        printed,
        "what was printed says something else"
    );
}
