//! Which key comes next.
//!
//! `uniform` draws every key alike. `zipf` is YCSB's scrambled Zipfian (Cooper et al., "Benchmarking
//! cloud serving systems with YCSB", SoCC 2010; the sampling method is Gray et al., "Quickly generating
//! billion-record synthetic databases", SIGMOD 1994): rank r is drawn with probability proportional to
//! 1 / (r + 1)^theta, then hashed onto the key numbers, so that the popular keys are spread over them
//! instead of standing at the beginning, where a sequential fill would have laid them side by side.
//!
//! Unlike YCSB, which keeps a constant for ten billion items, the constant is summed for the real number
//! of keys; past a limit the tail of the sum is taken from the integral.

#[cfg(test)]
mod tests;

use std::str::FromStr;

use crate::random::{Random, mix};

/// YCSB's default skew.
pub const DEFAULT_THETA: f64 = 0.99;
/// Terms of the zeta sum that are added one by one; the integral takes over after them.
const SUMMED_TERMS: u64 = 1_000_000;

/// The distribution's name on the command line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Every key alike.
    Uniform,
    /// Scrambled Zipfian with this skew, between 0 and 1, both excluded.
    Zipf(f64),
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "uniform" => Ok(Self::Uniform),
            None if text == "zipf" => Ok(Self::Zipf(DEFAULT_THETA)),
            Some(("zipf", theta)) => match theta.parse::<f64>() {
                Ok(theta) if theta > 0.0 && theta < 1.0 => Ok(Self::Zipf(theta)),
                _ => Err(format!(
                    "the skew must lie between 0 and 1, not be '{theta}'"
                )),
            },
            _ => Err(format!(
                "'{text}' is not a distribution: use uniform, zipf or zipf:0.99"
            )),
        }
    }
}

/// Draws key numbers below a fixed count.
#[derive(Clone, Debug)]
pub struct Distribution {
    keys: u64,
    zipf: Option<Zipf>,
}

/// The constants of Gray's method.
#[derive(Clone, Debug)]
struct Zipf {
    alpha: f64,
    zeta: f64,
    eta: f64,
    second: f64,
}

impl Distribution {
    /// The distribution of this shape over the numbers 0 to `keys` - 1; no keys count as one.
    pub fn new(shape: Shape, keys: u64) -> Self {
        let keys = keys.max(1);
        let zipf = match shape {
            Shape::Uniform => None,
            Shape::Zipf(theta) => Some(Zipf::new(theta, keys)),
        };
        Self { keys, zipf }
    }

    /// The next key number.
    pub fn draw(&self, random: &mut Random) -> u64 {
        match &self.zipf {
            None => random.below(self.keys),
            Some(zipf) => scramble(zipf.rank(random, self.keys), self.keys),
        }
    }
}

impl Zipf {
    fn new(theta: f64, keys: u64) -> Self {
        let zeta = zeta(keys, theta);
        let eta = (1.0 - (2.0 / keys as f64).powf(1.0 - theta))
            / (1.0 - zeta_of_two(theta) / zeta).max(f64::MIN_POSITIVE);
        Self {
            alpha: 1.0 / (1.0 - theta),
            zeta,
            eta,
            second: 1.0 + 0.5f64.powf(theta),
        }
    }

    /// A rank from 0, the most popular, up to but excluding `keys`.
    fn rank(&self, random: &mut Random, keys: u64) -> u64 {
        let unit = random.unit();
        let scaled = unit * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < self.second {
            return 1.min(keys - 1);
        }
        let rank = keys as f64 * (self.eta * unit - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(keys - 1)
    }
}

/// The key number that stands at this rank.
fn scramble(rank: u64, keys: u64) -> u64 {
    let wide = u128::from(mix(rank.wrapping_add(0x5851_f42d_4c95_7f2d))) * u128::from(keys);
    (wide >> 64) as u64
}

/// The sum of 1 / i^theta for i from 1 to `terms`.
fn zeta(terms: u64, theta: f64) -> f64 {
    let summed = terms.min(SUMMED_TERMS);
    let sum: f64 = (1..=summed).map(|i| (i as f64).powf(-theta)).sum();
    let antiderivative = |x: f64| x.powf(1.0 - theta) / (1.0 - theta);
    sum + antiderivative(terms as f64 + 0.5) - antiderivative(summed as f64 + 0.5)
}

fn zeta_of_two(theta: f64) -> f64 {
    1.0 + 2f64.powf(-theta)
}
