//! Numbers as records write them, compared by their exact values.
//!
//! A 64-bit float holds no integer above 2⁵³ for certain, so that neighbouring ids would be equal. Integers are kept whole here, floats
//! are what they are to the last bit, as in Python, and what no float holds is kept as it is written.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// Significant digits that a float always keeps.
const FLOAT_DIGITS: usize = 15;
/// As many significant digits as the exact value of a float can have.
const MOST_FLOAT_DIGITS: usize = 767;
/// Largest exponent that is read; a longer one is no number of any data.
const MAX_EXPONENT: i64 = 1_000_000_000;
/// Integers up to this size are floats, too.
const MAX_FLOAT_INTEGER: u128 = 1 << 53;

/// A number.
#[derive(Debug, Clone)]
pub(crate) enum Number<'a> {
    Integer(i128),
    Float(f64),
    /// Digits of a number that is neither.
    Written(Cow<'a, str>),
}

impl<'a> Number<'a> {
    /// The number that a text writes, without white space: `4`, `-0.5`, `+1e3`, `.5`.
    pub(crate) fn of_text(text: &'a str) -> Option<Self> {
        let decimal = Decimal::of_text(text)?;
        let is_integer = !text.contains(['.', 'e', 'E']);
        if let Some(integer) = is_integer.then(|| text.parse().ok()).flatten() {
            return Some(Self::Integer(integer));
        }
        let float = text.parse().ok().filter(|float| !is_integer && decimal.is_written_by(*float));
        Some(float.map_or(Self::Written(Cow::Borrowed(text)), Self::Float))
    }

    /// The same number, which owns its digits.
    pub(crate) fn into_owned(self) -> Number<'static> {
        match self {
            Self::Integer(integer) => Number::Integer(integer),
            Self::Float(float) => Number::Float(float),
            Self::Written(digits) => Number::Written(Cow::Owned(digits.into_owned())),
        }
    }

    /// The number of the other sign.
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Integer(integer) => match integer.checked_neg() {
                Some(negated) => Self::Integer(negated),
                None => Self::Written(Cow::Owned(integer.unsigned_abs().to_string())),
            },
            Self::Float(float) => Self::Float(-float),
            Self::Written(digits) => Self::Written(match digits.strip_prefix('-') {
                Some(positive) => Cow::Owned(positive.to_owned()),
                None => Cow::Owned(format!("-{digits}")),
            }),
        }
    }

    /// How two numbers are ordered, by their values.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => left.cmp(right),
            (Self::Float(left), Self::Float(right)) => left.partial_cmp(right).unwrap_or_else(|| left.total_cmp(right)),
            (Self::Integer(left), Self::Float(right)) if left.unsigned_abs() <= MAX_FLOAT_INTEGER => {
                (*left as f64).partial_cmp(right).unwrap_or(Ordering::Less)
            }
            (Self::Float(_), Self::Integer(_)) => other.order(self).reverse(),
            (Self::Float(float), _) if !float.is_finite() => float.total_cmp(&0.0),
            (_, Self::Float(float)) if !float.is_finite() => 0.0_f64.total_cmp(float),
            _ => self.decimal().order(&other.decimal()),
        }
    }

    fn decimal(&self) -> Decimal {
        let decimal = match self {
            Self::Integer(integer) => Decimal::of_text(&integer.to_string()),
            Self::Float(float) => Decimal::of_text(&exact_text(*float)),
            Self::Written(digits) => Decimal::of_text(digits),
        };
        decimal.unwrap_or_default()
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.order(other).is_eq()
    }
}

impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Float(float) => write!(f, "{float}"),
            Self::Written(digits) => f.write_str(digits),
        }
    }
}

/// Whether nothing is lost when a written number is read as this float: it is the exact value of the float, or one of the usual ways to
/// write that float, with the fewest digits that read back as it, or with 17.
pub(crate) fn is_float(text: &str, float: f64) -> bool {
    let num_digits = text.bytes().filter(u8::is_ascii_digit).count();
    // The usual case.
    if num_digits <= FLOAT_DIGITS && float.is_normal() {
        return true;
    }
    Decimal::of_text(text).is_some_and(|decimal| decimal.is_written_by(float))
}

/// A float as Python writes it: `0.1`, `1.0`, `1e+22`, `1e-05`.
pub(crate) fn python_text(float: f64) -> String {
    if float.is_infinite() {
        return if float > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let shortest = format!("{float:e}");
    let Some((digits, exponent)) = shortest.split_once('e') else { return shortest };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ if float.fract() == 0.0 => format!("{float:.1}"),
        _ => format!("{float}"),
    }
}

fn exact_text(float: f64) -> String {
    format!("{float:.0$e}", MOST_FLOAT_DIGITS - 1)
}

/// A finite number: `0.DIGITS` times ten to the power of `point`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: Vec<u8>,
    point: i64,
}

impl Decimal {
    fn of_text(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = [whole, fraction].concat().into_bytes();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let num_leading = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..num_leading);
        let num_digits = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        digits.truncate(num_digits);
        if digits.is_empty() {
            return Some(Self::default());
        }
        let point = i64::try_from(whole.len()).ok()? - i64::try_from(num_leading).ok()? + exponent;
        Some(Self { is_negative: text.starts_with('-'), digits, point })
    }

    fn order(&self, other: &Self) -> Ordering {
        self.sign().cmp(&other.sign()).then_with(|| {
            let by_size = self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits));
            if self.is_negative { by_size.reverse() } else { by_size }
        })
    }

    fn sign(&self) -> i8 {
        match self {
            Self { digits, .. } if digits.is_empty() => 0,
            Self { is_negative: true, .. } => -1,
            _ => 1,
        }
    }

    fn is_written_by(&self, float: f64) -> bool {
        let is = |text: String| Self::of_text(&text).as_ref() == Some(self);
        // The first is the usual case, and the last takes long.
        float.is_finite() && (is(format!("{float:e}")) || is(format!("{float:.16e}")) || is(exact_text(float)))
    }
}

fn exponent_of(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten().filter(|exponent: &i64| exponent.abs() <= MAX_EXPONENT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number<'_> {
        Number::of_text(text).unwrap()
    }

    #[test]
    fn numbers_are_ordered_by_their_exact_values() {
        // Each smaller than the next.
        let ordered = [
            "-1e400",
            "-340282366920938463463374607431768211457",
            "-9007199254740993",
            "-9007199254740992.0",
            "-0.5",
            "-1e-400",
            "0",
            "1e-400",
            "0.1",
            "0.10000000000000000555111512312578271",
            "0.3",
            "0.30000000000000004",
            "9007199254740992.0",
            "9007199254740993",
            "9007199254740993.5",
            "18446744073709551615",
            "18446744073709551616",
            "1e22",
            "10000000000000000000001",
            "1e23",
            "100000000000000000000000",
            "340282366920938463463374607431768211456",
            "340282366920938463463374607431768211457",
            "1.7976931348623157e308",
            "1e400",
        ];
        for (i, left) in ordered.iter().enumerate() {
            for (j, right) in ordered.iter().enumerate() {
                assert_eq!(number(left).order(&number(right)), i.cmp(&j), "{left} {right}");
                let infinity = Number::Float(f64::INFINITY);
                assert!(number(left).order(&infinity).is_lt() && infinity.order(&number(left)).is_gt());
                assert!(number(left).order(&infinity.negated()).is_gt());
            }
        }
    }

    #[test]
    fn equal_numbers_are_written_in_many_ways() {
        for (left, right) in [
            ("4", "4.0"),
            ("4", "+4."),
            (".5", "0.50"),
            ("1e22", "10000000000000000000000"),
            ("1152921504606846976", "1.152921504606847e18"),
            ("0.1", "0.1000000000000000055511151231257827021181583404541015625"),
            ("0.1", "1.0000000000000001e-1"),
            ("-0", "0.0"),
            ("-0.0", "0"),
            ("9007199254740993.0", "9007199254740993"),
            ("1E400", "10e399"),
            ("-170141183460469231731687303715884105728", "-1.70141183460469231731687303715884105728e38"),
        ] {
            assert_eq!(number(left), number(right), "{left} {right}");
            assert_eq!(number(left).negated(), number(right).negated(), "{left} {right}");
        }
        for text in
            ["", "-", "+-1", "1.2.3", ".", "e5", "1e", "1e+", "1e99999999999", "0x10", "nan", "inf", "1_000", "٣"]
        {
            assert!(Number::of_text(text).is_none(), "{text}");
        }
    }

    #[test]
    fn floats_are_written_as_by_python() {
        for (float, expected) in [
            (0.1, "0.1"),
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1e22, "1e+22"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (5e-324, "5e-324"),
            (123_456_789.123, "123456789.123"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(python_text(float), expected);
        }
    }

    proptest! {
        #[test]
        fn a_float_is_what_is_written_for_it(bits: u64) {
            let float = f64::from_bits(bits);
            prop_assume!(float.is_finite());
            for text in [format!("{float:e}"), format!("{float:.16e}"), format!("{float}"), exact_text(float)] {
                prop_assert!(is_float(&text, float), "{text}");
            }
            let written = format!("{float:e}");
            let is_same = matches!(number(&written), Number::Float(read) if read.to_bits() == bits);
            prop_assert!(is_same);
        }

        #[test]
        fn integers_and_floats_are_ordered_as_integers(integer: i64, distance in -3_i64..4) {
            // The value of such a float is an integer of its own.
            let float = integer as f64;
            let near = i128::from(float as i64).min(i128::from(i64::MAX)) + i128::from(distance);
            prop_assume!(float < 9.2e18);
            let expected = near.cmp(&i128::from(float as i64));
            prop_assert_eq!(Number::Integer(near).order(&Number::Float(float)), expected);
            prop_assert_eq!(Number::Float(float).order(&Number::Integer(near)), expected.reverse());
        }
    }
}
