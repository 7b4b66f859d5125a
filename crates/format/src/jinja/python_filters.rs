//! Filters and tests as Jinja2 has them, where the engine has none, or others.
//!
//! Source: `jinja2/filters.py` and `jinja2/tests.py` in Jinja2 3.1.

#![expect(clippy::needless_pass_by_value, reason = "the engine's way to get arguments")]

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value, escape_formatter};

use super::arguments::{arguments, centred, missing};
use super::{python_float, python_json};

/// Floats in lists that are this deep in each other are written as the engine writes them.
const MAX_NESTED: usize = 32;

/// Adds them to an engine.
pub(super) fn add_to(engine: &mut Environment<'_>) {
    engine.set_formatter(write);
    engine.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    engine.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
    });
    engine.add_filter("tojson", python_json::tojson);
    engine.add_filter("string", string);
    for name in ["default", "d"] {
        engine.add_filter(name, default);
    }
    engine.add_filter("int", int);
    engine.add_filter("float", float);
    engine.add_filter("wordcount", wordcount);
    engine.add_filter("center", center);
    engine.add_filter("truncate", truncate);
    engine.add_filter("urlencode", urlencode);
}

/// Writes what an expression gives. Floats are Python's.
fn write(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match text_with_floats(value, 0) {
        Some(text) => out.write_str(&text).map_err(Error::from),
        None => escape_formatter(out, state, value),
    }
}

/// `repr` of a float, and of a list, a tuple or a map with floats in it; `None` if there is none, so that the engine's text is right.
fn text_with_floats(value: &Value, depth: usize) -> Option<String> {
    if let Some(number) = float_of(value) {
        return Some(python_float::repr(number));
    }
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Map) || depth == MAX_NESTED {
        return None;
    }
    let mut has_float = false;
    let mut text = |value: &Value| {
        let of_floats = text_with_floats(value, depth + 1);
        has_float |= of_floats.is_some();
        of_floats.unwrap_or_else(|| format!("{value:?}"))
    };
    let items = value.try_iter().ok()?;
    let written = if value.kind() == ValueKind::Map {
        let mut entry = |key: Value| Some(format!("{}: {}", text(&key), text(&value.get_item(&key).ok()?)));
        format!("{{{}}}", items.map(&mut entry).collect::<Option<Vec<_>>>()?.join(", "))
    } else {
        let items: Vec<String> = items.map(|item| text(&item)).collect();
        match (value.is_tuple(), items.as_slice()) {
            (true, [single]) => format!("({single},)"),
            (true, _) => format!("({})", items.join(", ")),
            (false, _) => format!("[{}]", items.join(", ")),
        }
    };
    has_float.then_some(written)
}

fn float_of(value: &Value) -> Option<f64> {
    let is_float = value.kind() == ValueKind::Number && !value.is_integer();
    is_float.then(|| f64::try_from(value.clone()).ok()).flatten()
}

/// `str(value)`
fn text_of(value: &Value) -> String {
    text_with_floats(value, 0).unwrap_or_else(|| value.to_string())
}

fn string(value: &Value) -> Value {
    if value.kind() == ValueKind::String { value.clone() } else { Value::from(text_of(value)) }
}

fn default(value: Value, given: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [default, boolean] = arguments(&given, &named, ["default_value", "boolean"])?;
    let is_absent = value.is_undefined() || (boolean.is_some_and(|boolean| boolean.is_true()) && !value.is_true());
    Ok(if is_absent { default.unwrap_or_else(|| Value::from("")) } else { value })
}

fn int(value: &Value, given: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [default, base] = arguments(&given, &named, ["default", "base"])?;
    let base = base.map_or(Ok(10), u32::try_from)?;
    ensure_defined(value)?;
    let number = match value.as_str() {
        Some(text) => integer_of(text, base).or_else(|| truncated(float_of_text(text)?)),
        None => integer(value),
    };
    Ok(number.map_or_else(|| default.unwrap_or_else(|| Value::from(0)), Value::from))
}

fn float(value: &Value, given: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [default] = arguments(&given, &named, ["default"])?;
    ensure_defined(value)?;
    let number = match value.as_str() {
        Some(text) => float_of_text(text),
        None => float_of(value).or_else(|| integer(value).map(|number| number as f64)),
    };
    Ok(number.map_or_else(|| default.unwrap_or_else(|| Value::from(0.0)), Value::from))
}

fn ensure_defined(value: &Value) -> Result<(), Error> {
    if value.is_undefined() { Err(Error::from(ErrorKind::UndefinedError)) } else { Ok(()) }
}

/// `int` of a value that is no text.
fn integer(value: &Value) -> Option<i128> {
    match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        ValueKind::Number => float_of(value).map_or_else(|| i128::try_from(value.clone()).ok(), truncated),
        _ => None,
    }
}

fn truncated(number: f64) -> Option<i128> {
    number.is_finite().then_some(number.trunc() as i128)
}

/// `int(text, base)`
fn integer_of(text: &str, base: u32) -> Option<i128> {
    let text = without_underscores(text.trim())?.to_lowercase();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(&text)),
    };
    let prefixed =
        |prefix: &str, of: u32| digits.strip_prefix(prefix).filter(|_| base == of || base == 0).map(|rest| (rest, of));
    let (digits, base) =
        prefixed("0x", 16).or_else(|| prefixed("0o", 8)).or_else(|| prefixed("0b", 2)).unwrap_or((digits, base));
    let base = if base == 0 { 10 } else { base };
    let is_digits = digits.starts_with(char::is_alphanumeric) && (2..=36).contains(&base);
    if is_digits { i128::from_str_radix(&format!("{sign}{digits}"), base).ok() } else { None }
}

/// `float(text)`
fn float_of_text(text: &str) -> Option<f64> {
    without_underscores(text.trim())?.parse().ok()
}

/// A number without the underscores that Python allows between its digits.
fn without_underscores(text: &str) -> Option<String> {
    let is_misplaced = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    (!is_misplaced).then(|| text.replace('_', ""))
}

fn wordcount(value: &Value) -> usize {
    let text = text_of(value);
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()).count()
}

fn center(value: &Value, given: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let [width] = arguments(&given, &named, ["width"])?;
    let text = text_of(value);
    Ok(centred(&text, missing(&text, width.map_or(Ok(80), i64::try_from)?)?, " "))
}

fn truncate(value: &Value, given: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let [length, kills_words, end, leeway] = arguments(&given, &named, ["length", "killwords", "end", "leeway"])?;
    let length = length.map_or(Ok(255), usize::try_from)?;
    let kills_words = kills_words.is_some_and(|kills| kills.is_true());
    let end = end.map_or_else(|| "...".to_owned(), |end| end.to_string());
    let leeway = leeway.filter(|leeway| !leeway.is_none()).map_or(Ok(5), usize::try_from)?;
    let text = text_of(value);
    let num_kept = length.checked_sub(end.chars().count());
    let num_kept = num_kept.ok_or_else(|| {
        Error::new(ErrorKind::InvalidOperation, format!("expected length >= {}, got {length}", end.chars().count()))
    })?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text);
    }
    let kept: String = text.chars().take(num_kept).collect();
    let words = kept.rsplit_once(' ').map_or(kept.as_str(), |(words, _)| words);
    Ok(format!("{}{end}", if kills_words { &kept } else { words }))
}

fn urlencode(value: &Value) -> Result<String, Error> {
    let pairs: Vec<Value> = match value.kind() {
        ValueKind::Map => value
            .try_iter()?
            .map(|key| Ok(Value::from(vec![key.clone(), value.get_item(&key)?])))
            .collect::<Result<_, Error>>()?,
        ValueKind::Seq | ValueKind::Iterable => value.try_iter()?.collect(),
        _ => return Ok(quoted(&text_of(value), false)),
    };
    let pair = |pair: &Value| {
        let part = |index: usize| Ok::<_, Error>(quoted(&text_of(&pair.get_item_by_index(index)?), true));
        Ok(format!("{}={}", part(0)?, part(1)?))
    };
    Ok(pairs.iter().map(pair).collect::<Result<Vec<_>, Error>>()?.join("&"))
}

/// `urllib.parse.quote`; in a query, `/` is quoted, too, and a space is a plus.
fn quoted(text: &str, is_query: bool) -> String {
    let mut quoted = String::new();
    for &byte in text.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => quoted.push(byte.into()),
            b'/' if !is_query => quoted.push('/'),
            b' ' if is_query => quoted.push('+'),
            _ => quoted.push_str(&format!("%{byte:02X}")),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use minijinja::Value;

    use crate::jinja::environment::CompiledTemplate;

    fn written(expression: &str) -> Result<String, String> {
        let template = CompiledTemplate::new(&format!("{{{{ {expression} }}}}"), &BTreeMap::new())?;
        template.render(Value::from(())).map_err(|problem| problem.text)
    }

    #[test]
    fn expressions_are_what_transformers_renders() {
        // Written by `transformers` 5.23 with Jinja2 3.1.6.
        for (expression, expected) in [
            ("none is iterable", "False"),
            ("tools is iterable", "False"),
            ("5 is iterable", "False"),
            ("{} is iterable", "True"),
            (r#""ab" is iterable"#, "True"),
            ("none is sequence", "False"),
            (r#""abc" is sequence"#, "True"),
            (r#"{"a":1} is sequence"#, "True"),
            ("[1] is sequence", "True"),
            ("5 is sequence", "False"),
            ("1e16", "1e+16"),
            ("1e-7", "1e-07"),
            ("1.5", "1.5"),
            ("100.0", "100.0"),
            ("1e16|string", "1e+16"),
            ("0.1+0.2", "0.30000000000000004"),
            ("[1e16, 0.5, 1, \"a\", none]", "[1e+16, 0.5, 1, 'a', None]"),
            ("[[1e-7], []]", "[[1e-07], []]"),
            ("(1e16, 2)", "(1e+16, 2)"),
            ("(1e16,)", "(1e+16,)"),
            (r#"{"a": [1e22], "b": true}"#, "{'a': [1e+22], 'b': True}"),
            ("[1e16]|string", "[1e+16]"),
            ("[1e16]|string ~ 1.5", "[1e+16]1.5"),
            (r#""a-b-c".rsplit("-",1)"#, "['a-b', 'c']"),
            (r#""a-b-c".rsplit("-")"#, "['a', 'b', 'c']"),
            (r#"" a  b c ".rsplit(none,1)"#, "[' a  b', 'c']"),
            (r#"" a  b c ".split(none,1)"#, "['a', 'b c ']"),
            (r#""a,b,c".split(",",maxsplit=1)"#, "['a', 'b,c']"),
            (r#""a,b".split(sep=",")"#, "['a', 'b']"),
            (r#"" a  b ".split()"#, "['a', 'b']"),
            (r#""abcb".index("b")"#, "1"),
            (r#""abcb".rindex("b")"#, "3"),
            (r#""aXb".swapcase()"#, "AxB"),
            (r#""a.b.c".partition(".")"#, "('a', '.', 'b.c')"),
            (r#""a.b.c".rpartition(".")"#, "('a.b', '.', 'c')"),
            (r#""abc".partition("x")"#, "('abc', '', '')"),
            (r#""abc".rpartition("x")"#, "('', '', 'abc')"),
            (r#""42".zfill(5)"#, "00042"),
            (r#""-42".zfill(5)"#, "-0042"),
            (r#""abc".ljust(5,".")"#, "abc.."),
            (r#""abc".rjust(5)"#, "  abc"),
            (r#""abc".center(6,"*")"#, "*abc**"),
            (r#""abcd".center(7,"*")"#, "**abcd*"),
            (r#""lower".removeprefix("lo")"#, "wer"),
            (r#""lower".removesuffix("er")"#, "low"),
            (r#""lower".removesuffix("x")"#, "lower"),
            (r#""wrap me, please"|wordcount"#, "3"),
            (r#""abc"|center(9)"#, "   abc   "),
            (r#""abc"|center(width=6)"#, " abc  "),
            (r#""Joel is a slug of great length"|truncate(12)"#, "Joel is..."),
            (r#""Joel is a slug of great length"|truncate(12,true)"#, "Joel is a..."),
            (r#""Joel is"|truncate(4)"#, "Joel is"),
            (r#""foo bar baz qux"|truncate(11, false, "..", 0)"#, "foo bar.."),
            (r#""Joel is a slug of great length"|truncate(length=12,killwords=true,end="!")"#, "Joel is a s!"),
            (r#""x%y/z ~é"|urlencode"#, "x%25y/z%20~%C3%A9"),
            (r#"{"a b":"1/2"}|urlencode"#, "a+b=1%2F2"),
            (r#"""|default("b",boolean=true)"#, "b"),
            (r#"""|default("b",true)"#, "b"),
            (r#"""|default("b")"#, ""),
            (r#"foo|default("b")"#, "b"),
            ("foo|d", ""),
            (r#"none|default("x")"#, "None"),
            (r#""é<"|tojson"#, "\"é<\""),
            (r#""é😀"|tojson(ensure_ascii=true)"#, "\"\\u00e9\\ud83d\\ude00\""),
            (r#"{"a":[1,2.0,1e16]}|tojson(separators=(",",":"))"#, "{\"a\":[1,2.0,1e+16]}"),
            (r#"{"a":[1,{}],"b":[]}|tojson(indent=2)"#, "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}"),
            (r#"{"b":1,"a":{"d":1,"c":2}}|tojson(sort_keys=true)"#, "{\"a\": {\"c\": 2, \"d\": 1}, \"b\": 1}"),
            ("[1,2]|tojson(indent=none)", "[1, 2]"),
            ("[1,[2]]|tojson(indent=\"\t\")", "[\n\t1,\n\t[\n\t\t2\n\t]\n]"),
            (r#""12"|int"#, "12"),
            (r#""x"|int"#, "0"),
            (r#""x"|int(7)"#, "7"),
            (r#"" 3.7 "|int"#, "3"),
            ("3.7|int", "3"),
            ("-3.7|int", "-3"),
            (r#""0x1f"|int(0,16)"#, "31"),
            (r#""ff"|int(base=16)"#, "255"),
            (r#""1_000"|int"#, "1000"),
            (r#""1e3"|int"#, "1000"),
            ("none|int", "0"),
            ("true|int", "1"),
            ("[1]|int(default=4)", "4"),
            (r#""3.5"|float"#, "3.5"),
            (r#""x"|float"#, "0.0"),
            ("none|float(1.0)", "1.0"),
            ("7|float", "7.0"),
        ] {
            assert_eq!(written(expression).as_deref(), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (expression, problem) in [
            (r#""abc".encode()"#, "encode"),
            (r#""abc" | xmlattr"#, "xmlattr"),
            (r#""abc" is undeclared"#, "undeclared"),
            (r#""abc".index("x")"#, "substring not found"),
            (r#""abc".split("")"#, "empty separator"),
            (r#""abc".ljust(9999999)"#, "at most 1048576"),
            (r#""a" | center(9, 9)"#, "too many arguments"),
            (r#""a" | center(size=9)"#, "size"),
            ("foo | int", "undefined"),
        ] {
            let found = written(expression).unwrap_err();
            assert!(found.contains(problem), "{expression}: {found}");
        }
    }
}
