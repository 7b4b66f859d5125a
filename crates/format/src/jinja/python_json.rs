//! The filter `tojson` as `transformers` defines it: Python's `json.dumps`, with non-ASCII characters as they are.

use std::io;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::arguments::arguments;
use super::python_float;

/// The widest indentation.
const MAX_INDENT: usize = 16;

/// Python's `json.dumps(value, ensure_ascii=…, indent=…, separators=…, sort_keys=…)`.
#[expect(clippy::needless_pass_by_value, reason = "the engine's way to get arguments")]
pub(super) fn tojson(value: &Value, given: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let expected = ["ensure_ascii", "indent", "separators", "sort_keys"];
    let given = arguments(&given, &named, expected)?.map(|value| value.filter(|value| !value.is_none()));
    let [ensure_ascii, indent, separators, sort_keys] = given;
    let is_set = |value: Option<Value>| value.is_some_and(|value| value.is_true());
    let indent = indent.map(|indent| indent_of(&indent)).transpose()?;
    let separators = separators.map(|separators| separators_of(&separators)).transpose()?;
    let default = (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned());
    let (between, after_key) = separators.unwrap_or(default);
    let layout = Layout { indent, between, after_key, is_ascii: is_set(ensure_ascii), depth: 0, is_empty: true };
    let fails = |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let mut written = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut written, layout);
    if is_set(sort_keys) {
        sorted(serde_json::to_value(value).map_err(fails)?).serialize(&mut serializer).map_err(fails)?;
    } else {
        value.serialize(&mut serializer).map_err(fails)?;
    }
    String::from_utf8(written).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// A number of spaces, or a text.
fn indent_of(given: &Value) -> Result<String, Error> {
    if let Some(text) = given.as_str() {
        return Ok(text.to_owned());
    }
    Ok(" ".repeat(usize::try_from(given.clone())?.min(MAX_INDENT)))
}

/// What is between items, and what follows a key.
fn separators_of(given: &Value) -> Result<(String, String), Error> {
    let texts: Vec<Value> = given.try_iter()?.collect();
    match texts.as_slice() {
        [between, after_key] if given.kind() == ValueKind::Seq => Ok((between.to_string(), after_key.to_string())),
        _ => Err(Error::new(ErrorKind::InvalidOperation, "tojson: separators are two texts")),
    }
}

/// A value whose maps are in the order of their keys.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
        serde_json::Value::Object(map) => {
            let mut entries: Vec<(String, serde_json::Value)> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries.into_iter().map(|(key, value)| (key, sorted(value))).collect()
        }
        other => other,
    }
}

/// How Python lays out JSON.
struct Layout {
    /// What a level is indented by; `None` for one line.
    indent: Option<String>,
    between: String,
    after_key: String,
    is_ascii: bool,
    depth: usize,
    /// Whether the list or map that is written has no item yet.
    is_empty: bool,
}

impl Layout {
    fn begin(&mut self) {
        self.depth += 1;
        self.is_empty = true;
    }

    fn end<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        let has_items = !std::mem::replace(&mut self.is_empty, false);
        if has_items { self.new_line(writer) } else { Ok(()) }
    }

    fn begin_item<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(self.between.as_bytes())?;
        }
        self.is_empty = false;
        self.new_line(writer)
    }

    fn new_line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        let Some(indent) = &self.indent else { return Ok(()) };
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(indent.as_bytes()))
    }
}

impl Formatter for Layout {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(python_float::repr(value).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if !self.is_ascii {
            return writer.write_all(fragment.as_bytes());
        }
        for c in fragment.chars() {
            if (' '..='~').contains(&c) {
                write!(writer, "{c}")?;
            } else {
                c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(writer, "\\u{unit:04x}"))?;
            }
        }
        Ok(())
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin();
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer)?;
        writer.write_all(b"]")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.begin_item(writer, first)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin();
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer)?;
        writer.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.begin_item(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.after_key.as_bytes())
    }
}
