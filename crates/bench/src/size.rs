//! Sizes on the command line: `300`, `1kb`, `200mb`, `100-150`.

use std::str::FromStr;

use crate::random::{Random, mix};

/// What a unit multiplies by; the letters mean what they mean in a Redis configuration.
const UNITS: [(&str, u64); 8] = [
    ("gb", 1 << 30),
    ("mb", 1 << 20),
    ("kb", 1 << 10),
    ("g", 1_000_000_000),
    ("m", 1_000_000),
    ("k", 1_000),
    ("b", 1),
    ("", 1),
];

/// The number of bytes that `text` spells: digits and perhaps a unit, `kb` being 1,024 and `k` 1,000.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].to_ascii_lowercase();
    let factor = UNITS.iter().find(|(name, _)| *name == unit);
    digits
        .parse::<u64>()
        .ok()
        .zip(factor)
        .and_then(|(number, (_, factor))| number.checked_mul(*factor))
        .ok_or_else(|| format!("'{text}' is not a size: use 300, 1kb or 200mb"))
}

/// Sizes between two bounds, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeRange {
    /// The smallest, in bytes.
    pub low: u64,
    /// The largest, in bytes.
    pub high: u64,
}

impl SizeRange {
    /// The range that holds only `size`.
    pub const fn fixed(size: u64) -> Self {
        Self {
            low: size,
            high: size,
        }
    }

    /// A size drawn from the range.
    pub fn draw(&self, random: &mut Random) -> u64 {
        self.at(random.bits())
    }

    /// The size that belongs to a key, the same at each call.
    pub fn of_key(&self, key: u64) -> u64 {
        self.at(mix(key))
    }

    /// The mean size in bytes.
    pub fn mean(&self) -> f64 {
        (self.low + self.high) as f64 / 2.0
    }

    fn at(&self, place: u64) -> u64 {
        let span = u128::from(self.high - self.low + 1);
        self.low + ((u128::from(place) * span) >> 64) as u64
    }
}

impl FromStr for SizeRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let range = Self {
            low: parse_bytes(low)?,
            high: parse_bytes(high)?,
        };
        if range.low > range.high {
            return Err(format!("'{text}' is not a range: {low} is above {high}"));
        }
        Ok(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(parse_bytes("300"), Ok(300));
        assert_eq!(parse_bytes("1k"), Ok(1_000));
        assert_eq!(parse_bytes("1KB"), Ok(1_024));
        assert_eq!(parse_bytes("200mb"), Ok(200 << 20));
        for wrong in ["", "kb", "1.5kb", "12xb", "99999999999999gb", "-1"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_are_read_and_drawn_to_both_ends() {
        let range: SizeRange = "100-103".parse().expect("a range");
        let mut random = Random::new(1);
        let mut seen = [0; 4];
        for _ in 0..1_000 {
            seen[usize::try_from(range.draw(&mut random) - 100).expect("in range")] += 1;
        }
        assert!(seen.iter().all(|&times| times > 200), "{seen:?}");
        assert_eq!("1kb".parse(), Ok(SizeRange::fixed(1024)));
        assert!("5-4".parse::<SizeRange>().is_err());
    }
}
