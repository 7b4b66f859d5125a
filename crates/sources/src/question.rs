//! Questions for captions that have none.

use manyframe_core::Digest;

use crate::reader::RecordContext;

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
