//! Methods of Python's `str` that the engine lacks, or that take fewer arguments there.

use minijinja::value::{Kwargs, Rest, Tuple, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::arguments::{arguments, centred, missing};
use crate::python_text::is_python_space;

/// Calls a method of a value that is no method of the engine's own.
pub(super) fn call_method(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    given: &[Value],
) -> Result<Value, Error> {
    match value.as_str().map(|text| method_of(text, method, given)) {
        Some(Ok(Some(result))) => Ok(result),
        Some(Err(error)) => Err(error),
        Some(Ok(None)) | None => unknown_method_callback(state, value, method, given),
    }
}

/// `None` for a method that is not of this file.
fn method_of(text: &str, method: &str, given: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match method {
        "split" | "rsplit" => {
            let (given, named): (Rest<Value>, Kwargs) = from_args(given)?;
            let [separator, most] = arguments(&given, &named, ["sep", "maxsplit"])?;
            let most = most.map(i64::try_from).transpose()?;
            let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
            Value::from(split(text, separator.filter(|given| !given.is_none()).as_ref(), most, method == "rsplit")?)
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(given)?;
            let is_last = method == "rpartition";
            let found = if is_last { text.rsplit_once(separator) } else { text.split_once(separator) };
            let parts = match found {
                Some((before, after)) => [before, separator, after],
                None if is_last => ["", "", text],
                None => [text, "", ""],
            };
            Value::from(Tuple::from(parts.map(Value::from)))
        }
        "index" | "rindex" => {
            let (part,): (&str,) = from_args(given)?;
            let found = if method == "index" { text.find(part) } else { text.rfind(part) };
            let before = found.and_then(|found| text.get(..found));
            let before = before.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "substring not found"))?;
            Value::from(before.chars().count())
        }
        "swapcase" => {
            let () = from_args(given)?;
            Value::from(text.chars().map(swapped).collect::<String>())
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(given)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(given)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "zfill" | "ljust" | "rjust" | "center" => Value::from(padded(text, method, given)?),
        _ => return Ok(None),
    }))
}

/// A text with characters before or after it.
fn padded(text: &str, method: &str, given: &[Value]) -> Result<String, Error> {
    let (width, fill): (i64, Option<&str>) = from_args(given)?;
    let missing = missing(text, width)?;
    if method == "zfill" {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let sign = text.strip_suffix(digits).unwrap_or_default();
        return Ok(format!("{sign}{}{digits}", "0".repeat(missing)));
    }
    let fill = fill.unwrap_or(" ");
    if fill.chars().count() != 1 {
        let detail = "the fill character must be exactly one character long";
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    }
    Ok(match method {
        "ljust" => format!("{text}{}", fill.repeat(missing)),
        "rjust" => format!("{}{text}", fill.repeat(missing)),
        _ => centred(text, missing, fill),
    })
}

fn swapped(c: char) -> String {
    if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
}

/// The parts of a text, of which at most `most` separators are split at, from one end or the other. White space separates if
/// nothing else does.
fn split(text: &str, separator: Option<&Value>, most: usize, is_from_end: bool) -> Result<Vec<Value>, Error> {
    let count = most.saturating_add(1);
    let mut parts: Vec<&str> = match separator {
        Some(separator) => {
            let separator = separator.as_str().filter(|separator| !separator.is_empty());
            let separator = separator.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "empty separator"))?;
            if is_from_end { text.rsplitn(count, separator).collect() } else { text.splitn(count, separator).collect() }
        }
        None if is_from_end => words(text.trim_end_matches(is_python_space), most, |text| {
            let (rest, word) = text.rsplit_once(is_python_space).unwrap_or(("", text));
            (word, rest.trim_end_matches(is_python_space))
        }),
        None => words(text.trim_start_matches(is_python_space), most, |text| {
            let (word, rest) = text.split_once(is_python_space).unwrap_or((text, ""));
            (word, rest.trim_start_matches(is_python_space))
        }),
    };
    if is_from_end {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

/// Words of a text, and the rest of it after so many.
fn words<'t>(text: &'t str, most: usize, next: impl Fn(&'t str) -> (&'t str, &'t str)) -> Vec<&'t str> {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if words.len() == most {
            words.push(rest);
            break;
        }
        let (word, after) = next(rest);
        words.push(word);
        rest = after;
    }
    words
}
