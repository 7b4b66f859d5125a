//! Questions for captions that have none, and answers of several people to one question.

use manyframe_core::Digest;

use crate::conversation::QUESTIONS;
use crate::reader::RecordContext;
use crate::syntax::object_of;
use crate::value::{Object, Value};

/// The fields with a caption, in order of preference.
pub(crate) const CAPTIONS: &[&str] = &["caption", "text", "txt", "description", "recaption", "captions"];

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

/// Where the answer of a record is that has a list of them beside its question, as the option `fields` names it: of VQAv2 the one that it
/// says is the most common, of others that one.
pub fn answer_in_list(record: &[u8]) -> Option<String> {
    answer_in(&object_of(record).ok()?)
}

/// As [`answer_in_list`].
pub(crate) fn answer_in(row: &Object<'_>) -> Option<String> {
    row.get_filled(QUESTIONS)?;
    let list = LISTS_OF_ANSWERS.iter().find_map(|name| match row.get(name)? {
        Value::List(items) => Some((name, items.first()?)),
        _ => None,
    });
    match list? {
        _ if row.get("multiple_choice_answer").is_some() => Some("multiple_choice_answer".to_owned()),
        (name, Value::Text(_)) => Some(format!("most_common({name})")),
        (name, Value::Object(first)) if first.get("answer").is_some() => Some(format!("most_common({name}.answer)")),
        _ => None,
    }
}
