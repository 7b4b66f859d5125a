//! Parses the text of a record into a [`Value`] in one pass, for what nearly all records consist of.
//!
//! Everything wrong or unusual is left to `serde_json` and its messages, but for what Python's `json.dump` writes and
//! `serde_json` does not read: `NaN`, which is null here, since pandas writes it for what is missing; `Infinity`; and numbers that
//! would come out as others, such as `1e999` and integers of more than 64 bits, which keep their digits. `-0` is an integer.
//!
//! **Invariant:** if it returns a value, and the text has none of these, `serde_json` returns the same.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::plain_length;
use crate::number::{Number, is_float};
use crate::value::{Object, Value};

/// Deepest nesting that is read, as by `serde_json`, which would round what has to keep its digits.
const MAX_DEPTH: usize = 127;

/// The value that a text holds, white space around it aside. `None` if `serde_json` has to parse it.
pub(crate) fn value_of(text: &[u8]) -> Option<Value<'_>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut parser = Parser { text, at: 0, depth: 0, num_controls: 0 };
    let value = parser.value()?;
    let is_all = parser.next_byte().is_none();
    // Strings are not searched for control characters one by one: all of those in the text must be between tokens.
    (is_all && num_controls(text.as_bytes()) == parser.num_controls).then_some(value)
}

/// The object that a text holds.
///
/// # Errors
/// What else it holds.
pub(crate) fn object_of(text: &[u8]) -> Result<Object<'_>, String> {
    match value_of(text).map_or_else(|| serde_json::from_slice(text), Ok) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(format!("it is {}, expected an object", other.kind())),
        Err(error) => Err(format!("not valid JSON: {error}")),
    }
}

fn num_controls(text: &[u8]) -> usize {
    // In blocks whose number fits into a byte: the compiler counts many at once.
    let (blocks, rest) = text.as_chunks::<128>();
    let controls = |bytes: &[u8]| bytes.iter().fold(0_u8, |sum, &byte| sum + u8::from(byte < b' '));
    blocks.iter().map(|block| usize::from(controls(block))).sum::<usize>() + usize::from(controls(rest))
}

struct Parser<'a> {
    text: &'a str,
    /// Everything before it is read.
    at: usize,
    depth: usize,
    /// How many control characters were between tokens.
    num_controls: usize,
}

impl<'a> Parser<'a> {
    /// The next byte that is not white space; it is not read yet. `None` at the end.
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.num_controls += usize::from(byte != b' ');
            self.at += 1;
        }
    }

    fn value(&mut self) -> Option<Value<'a>> {
        match self.next_byte()? {
            b'"' => self.string().map(Value::Text),
            b'{' => self.object().map(Value::Object),
            b'[' => self.list().map(Value::List),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            b'N' => self.word("NaN", Value::Null),
            b'I' => self.word("Infinity", Value::Float(f64::INFINITY)),
            b'-' if self.text.as_bytes().get(self.at + 1) == Some(&b'I') => {
                self.word("-Infinity", Value::Float(f64::NEG_INFINITY))
            }
            _ => self.number(),
        }
    }

    /// Reads a value and passes it on. Strings and objects, which nearly all values are, are made where they end up: to move them there
    /// takes longer than to read a short one.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "otherwise values are moved after all")]
    fn read_into(&mut self, add: impl FnOnce(Value<'a>)) -> Option<()> {
        match self.next_byte()? {
            b'"' => add(Value::Text(self.string()?)),
            b'{' => add(Value::Object(self.object()?)),
            _ => add(self.value()?),
        }
        Some(())
    }

    fn object(&mut self) -> Option<Object<'a>> {
        self.enter()?;
        let mut fields = Vec::new();
        if self.next_byte()? == b'}' {
            self.at += 1;
            self.depth -= 1;
            return Some(Object::from_fields(fields));
        }
        loop {
            if self.next_byte()? != b'"' {
                return None;
            }
            let name = self.string()?;
            if self.next_byte()? != b':' {
                return None;
            }
            self.at += 1;
            self.read_into(|value| fields.push((name, value)))?;
            if self.is_last(b'}')? {
                self.depth -= 1;
                return Some(Object::from_fields(fields));
            }
        }
    }

    fn list(&mut self) -> Option<Vec<Value<'a>>> {
        self.enter()?;
        let mut items = Vec::new();
        if self.next_byte()? == b']' {
            self.at += 1;
            self.depth -= 1;
            return Some(items);
        }
        loop {
            self.read_into(|value| items.push(value))?;
            if self.is_last(b']')? {
                self.depth -= 1;
                return Some(items);
            }
        }
    }

    /// Passes the brace or bracket that is next. `None` if there are too many around it.
    fn enter(&mut self) -> Option<()> {
        self.at += 1;
        self.depth += 1;
        (self.depth <= MAX_DEPTH).then_some(())
    }

    /// Reads what follows a field or item: whether it is the end, and not a comma.
    fn is_last(&mut self, end: u8) -> Option<bool> {
        let byte = self.next_byte()?;
        self.at += 1;
        (byte == end || byte == b',').then_some(byte == end)
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Option<Value<'a>> {
        let is_word = self.text.get(self.at..)?.starts_with(word);
        self.at += word.len();
        is_word.then_some(value)
    }

    fn number(&mut self) -> Option<Value<'a>> {
        let rest = self.text.get(self.at..)?;
        let is_part = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let number = rest.get(..rest.bytes().position(|byte| !is_part(byte)).unwrap_or(rest.len()))?;
        self.at += number.len();
        if is_long_integer(number) {
            return Some(Value::LongInteger(number.into()));
        }
        match serde_json::from_str(number) {
            Ok(Value::Float(_)) if number == "-0" => Some(Value::Unsigned(0)),
            Ok(Value::Float(float)) if !is_float(number, float) => Some(Value::LongFraction(number.into())),
            Ok(value) => Some(value),
            Err(_) => beyond_f64(number),
        }
    }

    /// Reads a string; its opening quote is next.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a string is made of what is in registers")]
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at + 1;
        self.at = start + plain_length(self.text.as_bytes().get(start..)?);
        match self.text.as_bytes().get(self.at)? {
            b'"' => {
                self.at += 1;
                self.text.get(start..self.at - 1).map(Cow::Borrowed)
            }
            b'\\' => self.escaped(start).map(Cow::Owned),
            _ => None,
        }
    }

    /// Continues in a string that started at `start`; an escape is next.
    fn escaped(&mut self, start: usize) -> Option<String> {
        let mut string = self.text.get(start..self.at)?.to_owned();
        loop {
            let escape = *self.text.as_bytes().get(self.at + 1)?;
            self.at += 2;
            string.push(match escape {
                b'"' | b'\\' | b'/' => char::from(escape),
                b'n' => '\n',
                b't' => '\t',
                b'r' => '\r',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'u' => self.code_point()?,
                _ => return None,
            });
            let start = self.at;
            self.at += plain_length(self.text.as_bytes().get(start..)?);
            string.push_str(self.text.get(start..self.at)?);
            match self.text.as_bytes().get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(string);
                }
                b'\\' => {}
                _ => return None,
            }
        }
    }

    /// Reads the four hexadecimal digits of a character, or of the two halves of one. Half a pair is left to `serde_json`.
    fn code_point(&mut self) -> Option<char> {
        let first = self.four_digits()?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first);
        }
        let is_pair = self.text.get(self.at..)?.starts_with("\\u");
        self.at += 2;
        let second = is_pair.then(|| self.four_digits())??.checked_sub(0xDC00).filter(|&low| low < 0x400)?;
        char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + second)
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits =
            self.text.get(self.at..self.at + 4).filter(|it| it.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}

/// A number that is too large for a float.
fn beyond_f64(number: &str) -> Option<Value<'_>> {
    let well_formed: &RawValue = serde_json::from_str(number).ok()?;
    Number::of_text(well_formed.get()).map(|_number| Value::LongFraction(well_formed.get().into()))
}

/// Whether a number is an integer that needs more than 64 bits.
fn is_long_integer(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    // The shortest number that does not fit has 19 digits.
    digits.len() >= 19
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && number.parse::<i64>().is_err()
        && number.parse::<u64>().is_err()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, or nothing where `serde_json` has something to say.
    fn check(text: &[u8]) -> Result<(), TestCaseError> {
        if let Some(value) = value_of(text) {
            let expected: Value<'_> =
                serde_json::from_slice(text).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(&value, &expected);
            prop_assert_eq!(format!("{value:?}"), format!("{expected:?}"));
        }
        Ok(())
    }

    fn is_read(text: &str) -> bool {
        check(text.as_bytes()).unwrap();
        value_of(text.as_bytes()).is_some()
    }

    #[test]
    fn what_records_are_made_of_is_read() {
        assert!(is_read(
            " {\"id\": 17, \"a\": [1, -2, 0, 1.50, -0.0, 1e3, 18446744073709551615, -9223372036854775808], \"b\": [], \"c\": {}, \"a\": null} \n"
        ));
        assert!(is_read(
            r#"["", "é\n\"\\\/\t\r\b\f\u00e9\u20AC \ud83d\uDE00\udbff\udfff x", true, false, "a string of more than thirty-two bytes \u0041"]"#
        ));
    }

    #[test]
    fn what_is_wrong_or_unusual_is_left_alone() {
        let texts = [
            "",
            " ",
            "{",
            "{\"a\"}",
            "{\"a\": 1,}",
            "[1,]",
            "[,1]",
            "{,}",
            "[1 2]",
            "01",
            "-",
            "1.",
            "+1",
            "nan",
            "-NaN",
            "NaNa",
            "Inf",
            "-Infinit",
            "012345678901234567890",
            "--12345678901234567890",
            "tru",
            "nul",
            "1.e999",
            "+1e999",
            "\"a\nb\"",
            "\"\\ud800\"",
            "\"\\ud83d\\u0041\"",
            "\"\\ud83d\\n\"",
            "\"\\ude00\\ud83d\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u+123\"",
            "\"a",
            "{} {}",
            "'a'",
            "{a: 1}",
        ];
        for text in texts {
            assert!(!is_read(text), "{text}");
        }
        assert!(value_of(b"\"\xff\"").is_none());
        assert!(value_of("[".repeat(1 << 20).as_bytes()).is_none());
    }

    #[test]
    fn what_python_writes_is_read() {
        let text =
            b"[NaN, {\"a\": NaN}, Infinity, -Infinity, 12345678901234567890123, -9223372036854775809, 1e999, -1.5E+999]";
        let long = |digits: &'static str| Value::LongInteger(digits.into());
        let expected = Value::List(vec![
            Value::Null,
            Value::Object(Object::from_fields(vec![("a".into(), Value::Null)])),
            Value::Float(f64::INFINITY),
            Value::Float(f64::NEG_INFINITY),
            long("12345678901234567890123"),
            long("-9223372036854775809"),
            Value::LongFraction("1e999".into()),
            Value::LongFraction("-1.5E+999".into()),
        ]);
        assert_eq!(value_of(text), Some(expected));
        assert_eq!(value_of("9".repeat(400).as_bytes()), Some(Value::LongInteger("9".repeat(400).into())));
    }

    #[test]
    fn a_number_that_would_come_out_as_another_keeps_its_digits() {
        let long = |digits: &'static str| Some(Value::LongFraction(digits.into()));
        for digits in ["9007199254740993.0", "0.1234567890123456789", "12345678901234567890.12", "1e-999", "1e999"] {
            assert_eq!(value_of(digits.as_bytes()), long(digits), "{digits}");
        }
        for (digits, float) in
            [("0.1", 0.1), ("0.30000000000000004", 0.300_000_000_000_000_04), ("1e22", 1e22), ("1e23", 1e23)]
        {
            assert_eq!(value_of(digits.as_bytes()), Some(Value::Float(float)), "{digits}");
        }
        assert_eq!(value_of(b"-0"), Some(Value::Unsigned(0)));
        assert_eq!(value_of(b"1e99999999999"), None);
        // However deep it stands.
        for depth in [1, 100, 127] {
            let text = format!("{}12345678901234567890123{}", "[".repeat(depth), "]".repeat(depth));
            let mut value = value_of(text.as_bytes()).unwrap();
            while let Value::List(mut items) = value {
                value = items.remove(0);
            }
            assert_eq!(value, Value::LongInteger("12345678901234567890123".into()));
        }
    }

    #[test]
    fn a_string_ends_at_its_quote_wherever_that_stands() {
        for num_bytes in 0..100 {
            let text = format!("\"{}\"", "a".repeat(num_bytes));
            assert_eq!(value_of(text.as_bytes()), Some(Value::Text("a".repeat(num_bytes).into())));
            assert!(!is_read(&format!("\"{}\u{1f}\"", "a".repeat(num_bytes))));
        }
    }

    proptest! {
        #[test]
        fn a_value_is_that_of_serde_json(pieces in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\\n", "\\u0041", "\\ud83d", "a", "\"a\"", "\"k\": ", "1", "-1", "0", ".5", "e2", " ", "\n", "true", "null", "é", "\u{7f}",
        ]), 0..24)) {
            check(pieces.concat().as_bytes())?;
        }

        #[test]
        fn a_written_value_is_read(text in ".{0,80}", number: i64, float: f64, depth in 0_usize..40) {
            let written = serde_json::json!({ "text": text, "list": [number, float, null, { "k": text }] });
            let written = "[".repeat(depth) + &written.to_string() + &"]".repeat(depth);
            check(written.as_bytes())?;
            prop_assert!(value_of(written.as_bytes()).is_some());
        }
    }
}
