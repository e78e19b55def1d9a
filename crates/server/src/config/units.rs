//! Sizes and durations as people write them.

/// A size: so many bytes, or a share of what the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Bytes.
    Bytes(u64),
    /// Per cent, 1 to 95.
    Percent(u64),
}

const SIZES: &[(&str, u64)] = &[
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("ki", 1 << 10),
    ("mi", 1 << 20),
    ("gi", 1 << 30),
    ("ti", 1 << 40),
    // As in Redis's configuration; there `gb` is 1024^3, here a unit with a `b` means what it says.
    ("k", 1_000),
    ("m", 1_000_000),
    ("g", 1_000_000_000),
    ("t", 1_000_000_000_000),
    ("b", 1),
    ("", 1),
];

const DURATIONS_MS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    // Without a unit: seconds, as in Redis's configuration.
    ("", 1_000),
];

/// Reads `512MB` (powers of 1000), `2GiB` (powers of 1024), `1048576` (bytes) or `50%`.
///
/// # Errors
/// What was expected.
pub fn size(text: &str) -> Result<Share, String> {
    let (number, unit) = split(text);
    if unit == "%" {
        return match number.parse() {
            Ok(percent @ 1..=95) => Ok(Share::Percent(percent)),
            Ok(_) | Err(_) => Err("expected a share from 1% to 95%".into()),
        };
    }
    scaled(number, unit, SIZES)
        .map(Share::Bytes)
        .ok_or_else(|| "expected a size such as 512MB, 2GiB or 50%".into())
}

/// Reads `250ms`, `10s`, `5m`, `1h`, `7d`, or a number of seconds. Milliseconds.
///
/// # Errors
/// What was expected.
pub fn duration_ms(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    scaled(number, unit, DURATIONS_MS)
        .ok_or_else(|| "expected a duration such as 250ms, 10s, 5m or 1h".into())
}

/// A size in the largest unit that shows it exactly.
#[must_use]
pub fn size_text(bytes: u64) -> String {
    let exact = SIZES[..4]
        .iter()
        .rev()
        .find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    match exact {
        Some((name, unit)) => format!("{}{}iB", bytes / unit, name[..1].to_ascii_uppercase()),
        None => bytes.to_string(),
    }
}

/// A size for people, e.g. `12.0 GiB`.
#[must_use]
pub fn size_rounded(bytes: u64) -> String {
    let unit = SIZES[..4].iter().rev().find(|(_, unit)| bytes >= *unit);
    match unit {
        Some((name, unit)) => format!(
            "{:.1} {}iB",
            bytes as f64 / *unit as f64,
            name[..1].to_ascii_uppercase()
        ),
        None => format!("{bytes} B"),
    }
}

/// A duration in the largest unit that shows it exactly.
#[must_use]
pub fn duration_text(ms: u64) -> String {
    let exact = DURATIONS_MS[..5]
        .iter()
        .rev()
        .find(|(_, unit)| ms > 0 && ms.is_multiple_of(*unit));
    match exact {
        Some((name, unit)) => format!("{}{name}", ms / unit),
        None => String::from("0"),
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

fn scaled(number: &str, unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    let number: u64 = number.parse().ok()?;
    let unit = unit.to_ascii_lowercase();
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*scale)
}
