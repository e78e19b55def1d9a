//! Floating-point numbers as commands read and write them.
//!
//! Redis computes `INCRBYFLOAT` in 80-bit `long double` and prints 17 decimals without trailing zeros. Here numbers are
//! 64-bit. The sum of two decimals is computed exactly where both have at most 17 decimals and the result fits into
//! 128 bits, which covers whatever people count (`10.5 + 0.1` is `10.6` in both); beyond that the sum is a 64-bit
//! one, printed in the shortest form that reads back as the same number. So the two differ only in digits past
//! the seventeenth significant one, where Redis prints the noise of its own format.

use alloc::string::{String, ToString as _};

/// Decimals that an exact sum keeps.
const DECIMALS: u32 = 17;

/// A number as Redis reads it: no spaces, no nothing; exponents and infinities are understood, `nan` is not.
#[must_use]
pub fn parse(text: &[u8]) -> Option<f64> {
    let text = core::str::from_utf8(text).ok()?;
    let number: f64 = text.parse().ok()?;
    // Infinity is a number if it was asked for, and an overflow if it was not.
    let spelled = text.bytes().any(|byte| byte.eq_ignore_ascii_case(&b'i'));
    (!number.is_nan() && (spelled || number.is_finite())).then_some(number)
}

/// The sum of two numbers that [`parse`] understands, as text. `None` if it is not finite.
#[must_use]
pub fn sum(a: &[u8], b: &[u8]) -> Option<String> {
    if let (Some(a), Some(b)) = (fixed(a), fixed(b))
        && let Some(sum) = a.checked_add(b)
    {
        return Some(show_fixed(sum));
    }
    let sum = parse(a)? + parse(b)?;
    sum.is_finite().then(|| show(sum))
}

/// A number in the shortest form that reads back the same, without an exponent.
#[must_use]
pub fn show(number: f64) -> String {
    if number == 0.0 {
        return String::from("0");
    }
    number.to_string()
}

/// The number in units of 10^-17, if that is exact.
fn fixed(text: &[u8]) -> Option<i128> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (text, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        None => (text, 0),
        Some(at) => (
            &text[..at],
            core::str::from_utf8(&text[at + 1..])
                .ok()?
                .parse::<i32>()
                .ok()?,
        ),
    };
    let (whole, decimals) = match text.iter().position(|&byte| byte == b'.') {
        None => (text, &[][..]),
        Some(at) => (&text[..at], &text[at + 1..]),
    };
    if whole.is_empty() && decimals.is_empty() {
        return None;
    }
    let mut value: i128 = 0;
    for &byte in whole.iter().chain(decimals) {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value
            .checked_mul(10)?
            .checked_add(i128::from(byte - b'0'))?;
    }
    let shift = i32::try_from(DECIMALS).ok()? - i32::try_from(decimals.len()).ok()?;
    let shift = shift.checked_add(exponent)?;
    let value = if value == 0 {
        0
    } else if shift >= 0 {
        value.checked_mul(10_i128.checked_pow(shift.unsigned_abs())?)?
    } else {
        let unit = 10_i128.checked_pow(shift.unsigned_abs())?;
        (value % unit == 0).then_some(value / unit)?
    };
    Some(if negative { -value } else { value })
}

fn show_fixed(value: i128) -> String {
    let unit = 10_u128.pow(DECIMALS);
    let (sign, size) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
    let decimals = alloc::format!("{:017}", size % unit);
    let decimals = decimals.trim_end_matches('0');
    let point = if decimals.is_empty() { "" } else { "." };
    alloc::format!("{sign}{}{point}{decimals}", size / unit)
}

#[cfg(test)]
mod tests {
    use super::{parse, sum};

    #[test]
    fn sums() {
        for (a, b, expected) in [
            ("10.5", "0.1", "10.6"),
            ("3.0e3", "2.0e2", "3200"),
            ("5.0e3", "-5", "4995"),
            ("0", "0", "0"),
            ("-1", "1", "0"),
            ("0.1", "0.2", "0.3"),
            ("-0.5", "0.25", "-0.25"),
            ("1", "0.00000000000000001", "1.00000000000000001"),
            ("1e20", "1", "100000000000000000001"),
            (".5", "1.", "1.5"),
            ("9007199254740993", "0", "9007199254740993"),
        ] {
            assert_eq!(
                sum(a.as_bytes(), b.as_bytes()).as_deref(),
                Some(expected),
                "{a} {b}"
            );
        }
        assert_eq!(sum(b"1e308", b"1e308"), None);
        assert_eq!(sum(b"inf", b"1"), None);
        assert_eq!(sum(b"1e300", b"0").map(|text| text.len()), Some(301));
    }

    #[test]
    fn what_is_no_number() {
        for text in ["", " 1", "1 ", "nan", "x", "1e", "--1", "0x10", "1,5"] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse(b"inf"), Some(f64::INFINITY));
    }
}
