//! Questions for captions that have none, and answers of several people to one question.

use manyframe_core::Digest;

use crate::conversation::QUESTIONS;
use crate::reader::RecordContext;
use crate::syntax::object_of;
use crate::value::{Object, Value};

/// The fields with a caption, in order of preference.
pub(crate) const CAPTIONS: &[&str] = &["caption", "text", "txt", "description", "recaption", "captions", "caption_str"];

/// One of the questions of the options, chosen by the identity of the record: the same in every run and every subset. `default`
/// if there are none.
pub(crate) fn question_of(path: &str, default: &str, context: &RecordContext<'_>) -> String {
    let questions = &context.options.questions;
    let digest = Digest::of_fields([&b"question"[..], context.upstream_id.as_bytes(), path.as_bytes()]);
    let [first, second, third, fourth, ..] = digest.0;
    let number = u32::from_le_bytes([first, second, third, fourth]) as usize;
    let Some(index) = number.checked_rem(questions.len()) else { return default.to_owned() };
    #[expect(clippy::indexing_slicing, reason = "a remainder is less than its divisor")]
    let question = questions[index].clone();
    question
}

/// Lists with answers to the question of a record, as VQA has them.
const LISTS_OF_ANSWERS: &[&str] = &["answers", "direct_answers", "label"];

/// Of a record with several answers or captions, the name of what is one of them, and the one that is usual, as the option `fields` names
/// them: the most common answer, of VQAv2 the one that it says is that; the first caption.
pub fn choice_in_list(record: &[u8]) -> Option<(&'static str, String)> {
    choice_in(&object_of(record).ok()?)
}

/// As [`choice_in_list`].
pub(crate) fn choice_in(row: &Object<'_>) -> Option<(&'static str, String)> {
    let first = |name: &str| match row.get(name)? {
        Value::List(items) => items.first(),
        _ => None,
    };
    if row.get_filled(QUESTIONS).is_none() {
        let (name, _) = row.get_any(CAPTIONS)?;
        return first(name)?.as_text().map(|_| ("caption", format!("{name}[0]")));
    }
    let answer = match LISTS_OF_ANSWERS.iter().find_map(|name| Some((name, first(name)?)))? {
        _ if row.get("multiple_choice_answer").is_some() => "multiple_choice_answer".to_owned(),
        (name, Value::Text(_)) => format!("most_common({name})"),
        (name, Value::Object(entry)) if entry.get("answer").is_some() => format!("most_common({name}.answer)"),
        _ => return None,
    };
    Some(("answer", answer))
}
