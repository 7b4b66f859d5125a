//! Values by the words of settings: `meta.a` in an object, `answers[0]` in a list, `most_common(answers)` of a list, and texts that are
//! put together of fields.
//!
//! A field that has the whole name comes first: columns of tables of text are called anything.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::value::{Object, Value};

impl<'a> Object<'a> {
    /// The value that a setting names: a path, `most_common(…)` of a list, or a text with paths in braces. Null if there is none.
    pub(crate) fn looked_up(&self, found: &str) -> Value<'a> {
        let value = if found.contains('{') { self.composed(found) } else { self.named(found).cloned() };
        value.unwrap_or(Value::Null)
    }

    /// The first part of what [`Object::looked_up`] would need and that is absent, which null is not.
    pub(crate) fn lacks<'n>(&self, found: &'n str) -> Option<&'n str> {
        let is_absent = |name: &str| match self.list_of_most_common(name) {
            Some(list) => self.entries(list).is_none(),
            None => self.find(name).is_none(),
        };
        if !found.contains('{') {
            return is_absent(found).then_some(found);
        }
        let parts = pattern_parts(found).unwrap_or_default();
        parts.into_iter().find_map(|part| match part {
            PatternPart::Field { name, .. } if is_absent(name) => Some(name),
            PatternPart::Field { .. } | PatternPart::Text(_) => None,
        })
    }

    /// The value where a path leads, unless it is absent or null: a dot leads into an object, `[0]` to the first entry of a list.
    pub(crate) fn get_at(&self, path: &str) -> Option<&Value<'a>> {
        self.find(path).filter(|value| **value != Value::Null)
    }

    /// As [`Object::get_at`]; null where the path leads to null, or into it.
    pub(crate) fn find(&self, path: &str) -> Option<&Value<'a>> {
        if let Some(value) = self.get_or_null(path) {
            return Some(value);
        }
        let (first, rest) = path.split_at(path.find(['.', '['])?);
        self.get_or_null(first)?.find(rest)
    }

    fn named(&self, name: &str) -> Option<&Value<'a>> {
        match self.list_of_most_common(name) {
            Some(list) => most_common(&self.entries(list)?),
            None => self.get_at(name),
        }
    }

    /// The path in `most_common(path)`.
    fn list_of_most_common<'n>(&self, name: &'n str) -> Option<&'n str> {
        let list = name.strip_prefix("most_common(")?.strip_suffix(')')?.trim();
        self.get_or_null(name).is_none().then_some(list)
    }

    /// The entries of a list, or of objects in a list the values in the field that the last dot leads to.
    fn entries(&self, path: &str) -> Option<Vec<&Value<'a>>> {
        match self.find(path) {
            Some(Value::List(items)) => return Some(items.iter().collect()),
            Some(Value::Null) => return Some(Vec::new()),
            Some(_) => return None,
            None => {}
        }
        let (list, field) = path.rsplit_once('.')?;
        match self.find(list)? {
            Value::List(items) => items.iter().map(|item| item.find(&format!(".{field}"))).collect(),
            _ => None,
        }
    }

    /// A text in which fields take the place of their names in braces; `{name:012}` has at least 12 digits.
    fn composed(&self, pattern: &str) -> Option<Value<'a>> {
        let mut text = String::new();
        for part in pattern_parts(pattern).ok()? {
            match part {
                PatternPart::Text(part) => text.push_str(part),
                PatternPart::Field { name, num_digits } => {
                    let value = match self.named(name)? {
                        Value::Text(value) | Value::LongInteger(value) => value.to_string(),
                        Value::Unsigned(value) => value.to_string(),
                        Value::Negative(value) => value.to_string(),
                        // pandas writes whole numbers so beside absent ones.
                        Value::Float(value) if value.fract() == 0.0 && value.abs() < 1e15 => {
                            format!("{:.0}", value + 0.0)
                        }
                        _ => return None,
                    };
                    text.push_str(&"0".repeat(num_digits.saturating_sub(value.len())));
                    text.push_str(&value);
                }
            }
        }
        Some(Value::Text(Cow::Owned(text)))
    }
}

impl<'a> Value<'a> {
    /// The value where the rest of a path leads from here: empty, or from its dot or bracket on.
    fn find(&self, rest: &str) -> Option<&Value<'a>> {
        match self {
            Value::Null => Some(self),
            _ if rest.is_empty() => Some(self),
            Value::Object(object) => object.find(rest.strip_prefix('.')?),
            Value::List(items) => {
                let (index, rest) = entry(rest)?;
                items.get(index)?.find(rest)
            }
            _ => None,
        }
    }
}

/// The list and the position in it that a name such as `images[0]` names.
pub(crate) fn entry_of_list(name: &str) -> Option<(&str, usize)> {
    let (list, bracket) = name.split_at(name.find('[')?);
    let (index, rest) = entry(bracket)?;
    rest.is_empty().then_some((list, index))
}

/// The number in the brackets that a text begins with, and what follows them.
fn entry(text: &str) -> Option<(usize, &str)> {
    let (index, rest) = text.strip_prefix('[')?.split_once(']')?;
    Some((index.trim().parse().ok()?, rest))
}

/// What occurs most often in a list; of several, the one that occurs first.
fn most_common<'v, 'a>(entries: &[&'v Value<'a>]) -> Option<&'v Value<'a>> {
    let mut counts: HashMap<Cow<'v, str>, usize> = HashMap::new();
    for entry in entries {
        *counts.entry(text_of(entry)).or_default() += 1;
    }
    // Of equals, the last one is the greatest.
    entries.iter().rev().copied().max_by_key(|entry| counts.get(&text_of(entry)).copied())
}

fn text_of<'v>(value: &'v Value<'_>) -> Cow<'v, str> {
    match value {
        Value::Text(text) => Cow::Borrowed(text.as_ref()),
        other => Cow::Owned(other.to_json().to_string()),
    }
}

/// A part of a text that is put together of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatternPart<'p> {
    Text(&'p str),
    Field { name: &'p str, num_digits: usize },
}

/// The parts of a text with names in braces.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn pattern_parts(pattern: &str) -> Result<Vec<PatternPart<'_>>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some((text, field)) = rest.split_once('{') {
        let (field, after) = field.split_once('}').ok_or("has a brace that is not closed")?;
        let (name, digits) = field.split_once(':').unwrap_or((field, "0"));
        let num_digits =
            digits.parse().ok().filter(|digits| *digits <= 64).ok_or("has no number of digits after a colon")?;
        if name.is_empty() {
            return Err("has braces without a name");
        }
        parts.extend([PatternPart::Text(text), PatternPart::Field { name, num_digits }]);
        rest = after;
    }
    parts.push(PatternPart::Text(rest));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object<'_> {
        let Value::Object(object) = serde_json::from_str(text).unwrap() else { panic!("not an object") };
        object
    }

    #[test]
    fn paths_lead_into_objects_and_lists() {
        let object =
            object(r#"{"q": 2, "meta": {"a": {"b": 3}}, "meta.c": 4, "list": [5, {"d": [6]}], "x[0]": 7, "n": null}"#);
        for (path, value) in
            [("q", 2), ("meta.a.b", 3), ("meta.c", 4), ("list[0]", 5), ("list[1].d[0]", 6), ("x[0]", 7)]
        {
            assert_eq!(object.looked_up(path), Value::Unsigned(value), "{path}");
            assert_eq!(object.lacks(path), None, "{path}");
        }
        for absent in ["absent", "q.x", "meta.a.x", "list[2]", "list[x]", "list[0].d", "list.d", "q[0]", "[0]", "list["]
        {
            assert_eq!(object.looked_up(absent), Value::Null, "{absent}");
            assert_eq!(object.lacks(absent), Some(absent));
        }
        assert_eq!([object.lacks("n"), object.lacks("n.x"), object.lacks("n[0]")], [None; 3]);
        assert_eq!(entry_of_list("images[12]"), Some(("images", 12)));
        assert_eq!([entry_of_list("images"), entry_of_list("a[0].b"), entry_of_list("a[b]")], [None; 3]);
    }

    #[test]
    fn the_most_common_entry_is_the_first_of_those_that_occur_most_often() {
        let object = object(
            r#"{"answers": ["red", "blue", "blue", "red", 1], "people": [{"answer": "no"}, {"answer": "yes"}, {"answer": "yes"}],
                "none": [], "null": null, "text": "red", "most_common(x)": 8, "mixed": [{"answer": "a"}, {}]}"#,
        );
        let text = |name: &str| object.looked_up(name).as_text().map(str::to_owned);
        assert_eq!(text("most_common(answers)").unwrap(), "red");
        assert_eq!(text("most_common( people.answer )").unwrap(), "yes");
        assert_eq!(text("{most_common(answers)}, {answers[1]}").unwrap(), "red, blue");
        assert_eq!(object.looked_up("most_common(x)"), Value::Unsigned(8));
        assert_eq!([object.lacks("most_common(none)"), object.lacks("most_common(null)")], [None; 2]);
        assert_eq!([text("most_common(none)"), text("most_common(null)")], [None, None]);
        for absent in
            ["most_common(text)", "most_common(nothing)", "most_common(people.age)", "most_common(mixed.answer)"]
        {
            assert_eq!(object.lacks(absent), Some(absent));
        }
    }

    #[test]
    fn a_text_is_put_together_of_fields() {
        let object = object(r#"{"q": 2, "meta": {"a": {"b": 3}}}"#);
        assert_eq!(object.looked_up("a_{meta.a.b:04}_{q}.jpg").as_text(), Some("a_0003_2.jpg"));
        assert_eq!(object.looked_up("{absent}.jpg"), Value::Null);
        assert_eq!(object.lacks("{q}_{nobody}.jpg"), Some("nobody"));
        assert!(pattern_parts("{a").is_err() && pattern_parts("{a:x}").is_err() && pattern_parts("{}").is_err());
    }
}
