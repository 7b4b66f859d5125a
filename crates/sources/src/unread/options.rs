//! Options beside the question, which the model would not see.

use std::borrow::Cow;

use manyframe_core::Rejection;

use super::read_record::ReadRecord;
use super::texts::has_words;
use crate::conversation::{LISTS, QUESTIONS};
use crate::fields::items_of;
use crate::reject::unexpected_schema;
use crate::value::{Object, Value};

/// Fields of an option that are not its text.
const LABELS: &[&str] = &["finish_reason", "index", "key", "label", "labels", "letter"];

/// Rejects a record with options that no turn has: a list, an object, a text that is a list, or a field for each of them.
pub(super) fn reject_options_beside_the_question(record: &ReadRecord<'_, '_>) -> Result<(), Rejection> {
    let row = record.row;
    if row.get_filled(QUESTIONS).is_none() || row.get_filled(LISTS).is_some() {
        return Ok(());
    }
    let has_letters = ["A", "B"].iter().all(|name| row.get_filled(&[name]).is_some());
    // A letter or a number is in many words.
    let is_in = |text: &str, option: &str| option.len() > 3 && text.contains(option) || has_words(text, option);
    let is_lost = |option: &str| !record.texts().any(|text| is_in(text, option));
    let mut names = row.names().filter(|name| is_called_options(name) || has_letters && is_letter(name));
    match names.find(|name| row.get(name).is_some_and(|value| texts_of(value).iter().any(|option| is_lost(option)))) {
        Some(name) => {
            Err(unexpected_schema(format!("{name:?} are not in the question, where the model would see them")))
        }
        None => Ok(()),
    }
}

/// Whether a field has options, or one of them: `options`, `option_a`, `choice1`.
fn is_called_options(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let rest = name.strip_prefix("option").or_else(|| name.strip_prefix("choice"));
    rest.is_some_and(|rest| {
        let rest = rest.trim_start_matches('s').trim_start_matches(['_', ' ']);
        rest.chars().all(char::is_alphanumeric) && rest.len() <= 1
    })
}

/// Whether a column has an option under its letter, as in tables of multiple-choice questions.
fn is_letter(name: &str) -> bool {
    matches!(name.as_bytes(), [b'A'..=b'H'])
}

/// The texts of options.
fn texts_of<'v>(value: &'v Value<'_>) -> Vec<Cow<'v, str>> {
    match value {
        Value::Text(text) => match items_of(value) {
            Cow::Owned(items) => {
                items.iter().filter_map(|item| Some(Cow::Owned(item.as_text()?.trim().to_owned()))).collect()
            }
            Cow::Borrowed(_) => vec![Cow::Borrowed(text.trim())],
        },
        Value::List(items) => items.iter().flat_map(texts_of).collect(),
        Value::Object(object) => texts_of_fields(object),
        number => number.as_number().map(|number| number.to_string().into()).into_iter().collect(),
    }
}

/// Of an object: a number under a longer name than a letter is a setting.
fn texts_of_fields<'v>(object: &'v Object<'_>) -> Vec<Cow<'v, str>> {
    let names = object.names().filter(|name| !LABELS.contains(name));
    let fields = names.filter_map(|name| Some((name, object.get(name)?)));
    fields
        .filter(|(name, value)| name.len() == 1 || value.as_number().is_none())
        .flat_map(|(_, value)| texts_of(value))
        .collect()
}
