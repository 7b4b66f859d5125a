//! A second text that could be trained, such as `caption` beside `conversations`, unless a turn has it, too.

use std::collections::HashSet;

use manyframe_core::Rejection;

use super::read_record::ReadRecord;
use super::turns::THOUGHTS;
use crate::conversation::{ANSWERS, CONTENTS, LISTS, QUESTIONS};
use crate::question::CAPTIONS;
use crate::reject::unexpected_schema;
use crate::value::Value;

/// The fields with texts of which records consist, in about the order in which they are preferred.
const MAIN: &[&[&str]] = &[LISTS, &["texts", "text_list"], QUESTIONS, ANSWERS, CAPTIONS];
/// Fields with what belongs to such a text.
const BESIDE: &[&str] = &["history", "system", "system_message", "system_prompt", "input", "context"];
/// Further fields with what a question is about.
const CONTEXTS: &[&str] = &["article", "background", "hint", "lecture", "paragraph", "passage", "story"];

/// How a field that thoughts may be in says how much was thought.
const SWITCHES: &[&str] = &["auto", "high", "low", "medium", "none", "off", "on"];

/// Whether a field of this name has texts.
pub(super) fn is_text(name: &str) -> bool {
    is_main(name) || BESIDE.contains(&name) || THOUGHTS.contains(&name)
}

fn is_main(name: &str) -> bool {
    MAIN.iter().any(|names| names.contains(&name))
}

/// Whether a name is that of one caption among several, such as `long_caption`.
fn is_other_caption(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    (name.ends_with("caption") || name.ends_with("captions")) && !CAPTIONS.contains(&name.as_str())
}

pub(super) fn reject_other_texts(record: &ReadRecord<'_, '_>) -> Result<(), Rejection> {
    let is_asked = record.row.get_filled(QUESTIONS).is_some();
    let contexts = if is_asked { CONTEXTS } else { &[] };
    let names = || MAIN.iter().flat_map(|names| names.iter()).chain(BESIDE).chain(contexts).chain(&THOUGHTS).copied();
    let is_filled = |name: &&str| record.row.get_filled(&[*name]).is_some();
    let mut filled: Vec<&str> = names().filter(is_filled).collect();
    filled.extend(record.row.names().filter(|name| is_other_caption(name)).filter(is_filled));
    let [_, _, ..] = filled.as_slice() else { return Ok(()) };
    let said = Said::of(record);
    let (read, lost): (Vec<&str>, Vec<&str>) =
        filled.into_iter().partition(|name| record.row.get(name).is_none_or(|value| said.has_all_of(name, value)));
    if let Some(named) = lost.iter().find(|name| record.is_decided(&[name])) {
        return Err(unexpected_schema(format!("`fields` names {named:?}, which would be lost beside {read:?}")));
    }
    let Some(lost) = lost.first() else { return Ok(()) };
    let mut main = read.iter().filter(|name| is_main(name));
    if main.clone().any(|name| record.is_decided(&[name])) {
        return Ok(());
    }
    Err(unexpected_schema(match main.next() {
        Some(read) if (["input", "context"].contains(lost) || CONTEXTS.contains(lost)) && QUESTIONS.contains(read) => {
            format!(
                "{read:?} is read, and {lost:?} beside it would be lost; fields = {{ input = {lost:?} }} adds it to the question"
            )
        }
        Some(read) => format!(
            "{read:?} is read, and {lost:?} beside it would be lost; fields = {{ {read} = {read:?} }} takes the first alone"
        ),
        None => format!("{lost:?} would be lost"),
    }))
}

/// The texts of turns.
struct Said<'a> {
    all: Vec<&'a str>,
    /// Those, each without what is around it.
    whole: HashSet<&'a str>,
}

impl<'a> Said<'a> {
    fn of(record: &ReadRecord<'a, '_>) -> Self {
        let all: Vec<&str> = record.texts().collect();
        Self { whole: all.iter().map(|text| bare(text)).collect(), all }
    }

    fn has_all_of(&self, name: &str, value: &Value<'_>) -> bool {
        match value {
            Value::Text(text) if THOUGHTS.contains(&name) && SWITCHES.contains(&text.trim()) => true,
            Value::Text(text) if name == "text" && self.is_all_in(text) => true,
            Value::Text(text) => {
                let text = bare(text);
                self.whole.contains(text) || self.all.iter().any(|said| has_words(said, text))
            }
            // There may be thousands: only whole texts are looked for.
            Value::List(items) => items.iter().all(|item| self.has_whole(item)),
            // Numbers are no texts.
            _ => true,
        }
    }

    /// Whether a text is all turns, one after the other, in some template.
    fn is_all_in(&self, text: &str) -> bool {
        self.all.len() > 1 && self.all.iter().all(|said| text.contains(bare(said)))
    }

    fn has_whole(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Text(text) => bare(text).is_empty() || self.whole.contains(bare(text)),
            Value::List(items) => items.iter().all(|item| self.has_whole(item)),
            Value::Object(turn) => {
                let of_turn = CONTENTS.iter().chain(&["human", "user", "assistant", "gpt"]);
                of_turn.filter_map(|name| turn.get(name)).all(|content| self.has_whole(content))
            }
            _ => true,
        }
    }
}

/// Whether a text has another one in it, which neither begins nor ends inside of a word.
pub(super) fn has_words(said: &str, text: &str) -> bool {
    let is_apart = |(at, found): (usize, &str)| {
        let (before, rest) = said.split_at(at);
        let after = rest.strip_prefix(found).unwrap_or_default();
        !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
    };
    text.is_empty() || said.match_indices(text).any(is_apart)
}

/// A text without the placeholders and the white space at its ends.
fn bare(text: &str) -> &str {
    let mut text = text.trim();
    for placeholder in ["<image>", "<video>"] {
        text = text.trim_start_matches(placeholder).trim_end_matches(placeholder).trim();
    }
    text
}
