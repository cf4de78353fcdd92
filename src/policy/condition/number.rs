//! Numbers written as text, as OpenFGA reads them: in 64 bits of precision.

/// A decimal number: its digits without the zeros around them, and the power of ten of the last.
struct Decimal<'a> {
    negative: bool,
    digits: String,
    exponent: i64,
    text: &'a str,
}

/// The int that a text is: `12`, `1.0`, `1e3`. Refuses fractions. Numbers beyond 64 bits become the outermost ones.
pub(super) fn parse_int(text: &str) -> Option<i64> {
    let decimal = Decimal::parse(text)?;
    if decimal.exponent < 0 {
        return None;
    }
    let beyond = if decimal.negative { i64::MIN } else { i64::MAX };
    let length = i64::try_from(decimal.digits.len()).ok()?.checked_add(decimal.exponent)?;
    if length > 19 {
        return Some(beyond);
    }
    let mut number: i128 = 0;
    let zeros = std::iter::repeat_n(b'0', usize::try_from(decimal.exponent).ok()?);
    for digit in decimal.digits.bytes().chain(zeros) {
        number = number * 10 + i128::from(digit - b'0');
    }
    Some(i64::try_from(if decimal.negative { -number } else { number }).unwrap_or(beyond))
}

/// The double that a text is, exactly: `0.5`, and not `0.1`, which no double is (OpenFGA refuses it too).
pub(super) fn parse_double(text: &str) -> Option<f64> {
    match text.strip_prefix(['+', '-']).unwrap_or(text) {
        "Inf" | "inf" if text.starts_with('-') => return Some(f64::NEG_INFINITY),
        "Inf" | "inf" => return Some(f64::INFINITY),
        _ => {}
    }
    let decimal = Decimal::parse(text)?;
    let double: f64 = decimal.text.parse().ok()?;
    let exact = decimal.digits.is_empty() || (double.is_finite() && double != 0.0 && decimal.rounds_to(double.abs()));
    exact.then_some(double)
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = all.trim_start_matches('0');
        let shorter = digits.trim_end_matches('0');
        let zeros = i64::try_from(digits.len() - shorter.len()).ok()?;
        let exponent = i64::from(exponent) - i64::try_from(fraction.len()).ok()? + zeros;
        let exponent = if shorter.is_empty() { 0 } else { exponent };
        Some(Self { negative: text.starts_with('-'), digits: shorter.to_owned(), exponent, text })
    }

    /// Whether the number, rounded to 64 bits, is the double: it is no further away than half a unit in the last place.
    fn rounds_to(&self, double: f64) -> bool {
        let printed = format!("{double:.60e}");
        let Some((digits, exponent)) = printed.split_once('e') else { return false };
        let scale = i64::try_from(self.digits.len()).map(|length| self.exponent + length - 1);
        if exponent.parse() != scale.map_err(|_| ()).map_or(Ok(i64::MIN), Ok) {
            return false;
        }
        let leading = |digits: &str| {
            digits
                .bytes()
                .filter(u8::is_ascii_digit)
                .chain(std::iter::repeat(b'0'))
                .take(38)
                .fold(0_u128, |number, digit| number * 10 + u128::from(digit - b'0'))
        };
        let (one, other) = (leading(&self.digits), leading(digits));
        // The double is `mantissa` times a power of two, and half a unit in the 64th bit is 2^-64 of that power.
        let mantissa = f64::from_bits(double.to_bits() & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
        let half_unit = other as f64 / mantissa / 18_446_744_073_709_551_616.0;
        // Below a power of two the units are half as large.
        let half_unit = if one < other && mantissa == 1.0 { half_unit / 2.0 } else { half_unit };
        one.abs_diff(other) as f64 <= half_unit
    }
}
