//! One object around the list of records, such as `{"version": 1, "data": [{…}, …]}`: where its lists of objects begin.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::json::grammar::{Grammar, ScanStep, is_space};

/// Names of the list of turns or images that a record has, of any kind of source. An object with one of them is a record.
const TURNS: &[&str] =
    &["conversations", "conversation", "messages", "QA", "captions", "texts", "prompt", "completion", "image_info"];

/// Names of the lists of media that a record can have.
const MEDIA: &[&str] = &["images", "image", "videos"];

/// The lists of objects among the fields of an object, as far as a text shows them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OuterLists {
    /// Each with its name, and the position after its bracket.
    pub(crate) lists: Vec<(String, usize)>,
    /// The position after the object's closing brace, if the text has it.
    pub(crate) end: Option<usize>,
}

/// What an object at the start of a file is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outer {
    /// A record.
    Record,
    /// An object around the records, which begin at this position.
    Wrapper { start: usize },
    /// An object around several lists of objects, any of which could be the records.
    SeveralLists { names: Vec<String> },
}

/// What the object is that a text begins with.
pub(crate) fn outer_of(text: &[u8]) -> Outer {
    let found = lists_of(text, 1);
    let is_only = found.end.is_none_or(|end| text.split_at(end).1.trim_ascii().is_empty());
    let has_turns = found.lists.iter().any(|(name, _)| TURNS.contains(&name.as_str()));
    match found.lists.as_slice() {
        _ if has_turns || !is_only => Outer::Record,
        [(name, start)] if !MEDIA.contains(&name.as_str()) => Outer::Wrapper { start: *start },
        [] | [_] => Outer::Record,
        lists => Outer::SeveralLists { names: lists.iter().map(|(name, _)| name.clone()).collect() },
    }
}

/// The name of the list in an object at the start of a text, if another object behind it has no name in common with it: then the
/// items of the list are records, or what is behind them, and whatever is chosen loses the others.
pub(crate) fn list_before_others(text: &[u8]) -> Option<String> {
    let found = lists_of(text, 1);
    let [(name, _)] = found.lists.as_slice() else { return None };
    let is_of_record = TURNS.contains(&name.as_str()) || MEDIA.contains(&name.as_str());
    let (first, behind) = text.split_at_checked(found.end.filter(|_| !is_of_record)?)?;
    let start = behind.iter().position(|byte| !(is_space(*byte) || *byte == b','))?;
    let behind = behind.split_at(start).1;
    let ScanStep::Complete(end) = Grammar::new().advance(behind) else { return None };
    let (of_first, of_second) = (fields_of(first)?, fields_of(behind.split_at_checked(end)?.0)?);
    of_second.keys().all(|name| !of_first.contains_key(name)).then(|| name.clone())
}

fn fields_of(object: &[u8]) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_slice(object).ok()
}

/// The lists of objects among the fields that begin at a position of a text.
pub(crate) fn lists_of(text: &[u8], mut at: usize) -> OuterLists {
    let mut found = OuterLists::default();
    loop {
        at = after_space(text, at);
        match text.get(at) {
            Some(b'}') => {
                found.end = Some(at + 1);
                return found;
            }
            Some(b',') => {
                at += 1;
                continue;
            }
            _ => {}
        }
        let Some((name, end)) = value_at::<String>(text, at) else { return found };
        let colon = after_space(text, end);
        if text.get(colon) != Some(&b':') {
            return found;
        }
        let value = after_space(text, colon + 1);
        if text.get(value) == Some(&b'[') && text.get(after_space(text, value + 1)) == Some(&b'{') {
            found.lists.push((name, value + 1));
        }
        let Some((IgnoredAny, end)) = value_at(text, value) else { return found };
        at = end;
    }
}

fn after_space(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|&&byte| is_space(byte)).count()
}

/// The value at a position, and the position after it. `None` if it goes on after the text.
fn value_at<'a, T: Deserialize<'a>>(text: &'a [u8], at: usize) -> Option<(T, usize)> {
    let mut values = serde_json::Deserializer::from_slice(text.get(at..)?).into_iter::<T>();
    let value = values.next()?.ok()?;
    Some((value, at + values.byte_offset()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outer(text: &str) -> Outer {
        outer_of(text.as_bytes())
    }

    #[test]
    fn the_only_list_of_objects_holds_the_records() {
        let text = r#"{"version": 1, "tags": ["a"], "info": {"a": [{}]}, "data": [{"id": 1}], "n": 1}"#;
        let start = text.find("{\"id").unwrap();
        assert_eq!(outer(text), Outer::Wrapper { start });
        assert_eq!(
            outer(&text[..start + 3]),
            Outer::Wrapper { start },
            "the list may be longer than what is looked at"
        );
        for (first, second) in [("train", "test"), ("images", "annotations")] {
            let text = format!(r#"{{"{first}": [{{"id": 1}}], "{second}": [{{"id": 2}}]}}"#);
            assert_eq!(outer(&text), Outer::SeveralLists { names: vec![first.to_owned(), second.to_owned()] });
        }
    }

    #[test]
    fn a_record_is_no_wrapper() {
        for text in [
            r#"{"tools": [{"name": "x"}], "messages": [{"role": "user"}]}"#,
            r#"{"images": [{"path": "a.jpg"}], "instruction": "x"}"#,
            r#"{"data": ["a", "b"]}"#,
            r#"{"data": []}"#,
            "{}",
            "{",
            r#"{"data": [{"id": 1}]} {"data": [{"id": 2}]}"#,
            r#"{"id": 1, {"data": [{"#,
        ] {
            assert_eq!(outer(text), Outer::Record, "{text}");
        }
    }
}
