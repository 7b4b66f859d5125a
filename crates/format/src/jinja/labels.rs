//! Which parts of a prompt are answers, and so trained.
//!
//! | the template | what is trained |
//! |---|---|
//! | has `{% generation %}` | what is between it and `{% endgeneration %}` |
//! | has none, and the pipeline file says what is around answers | what is between these texts, the second one included |
//! | has none | each answer, and what follows it both before the next question and at the end of the prompt |
//!
//! In the last case answers are found by marks around them, which do not reach the prompt: the template is rendered twice, and
//! both times have to write the same. A template that trims answers gets its marks inside of their white space.

use manyframe_core::Role;

use super::chat::{Chat, ChatPart, ChatTurn};
use super::environment::{SPAN_END, SPAN_START};
use super::rendered::Rendered;
use super::setting::AnswerMarkers;

/// How the answers of a prompt are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LabelRule {
    /// The template says.
    Generation,
    /// The pipeline file says what is around them.
    Markers(AnswerMarkers),
    /// They are marked before the template writes them.
    Marked {
        wrap: Wrap,
        /// What the template writes after every answer.
        end: String,
    },
}

/// Where the marks of an answer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wrap {
    /// The template removes white space before it; the mark comes after that.
    trims_start: bool,
    /// The template removes white space after it; the mark comes before that.
    trims_end: bool,
}

impl Wrap {
    /// In the order in which they are tried.
    pub(super) const ALL: [Self; 4] = [
        Self { trims_start: false, trims_end: false },
        Self { trims_start: true, trims_end: false },
        Self { trims_start: false, trims_end: true },
        Self { trims_start: true, trims_end: true },
    ];

    /// The conversation with its answers marked.
    pub(super) fn marked<'m>(self, chat: &Chat<'m>) -> Chat<'m> {
        let turn = |turn: &ChatTurn<'m>| match turn.role {
            Role::Assistant => ChatTurn { role: turn.role, parts: self.marked_parts(&turn.parts) },
            Role::System | Role::User => turn.clone(),
        };
        Chat { turns: chat.turns.iter().map(turn).collect() }
    }

    fn marked_parts<'m>(self, parts: &[ChatPart<'m>]) -> Vec<ChatPart<'m>> {
        let mut parts = parts.to_vec();
        let mut texts = parts.iter_mut().filter_map(|part| match part {
            ChatPart::Text(text) => Some(text),
            ChatPart::Visual(_) => None,
        });
        if let Some(first) = texts.next() {
            let last_is_first = match texts.next_back() {
                Some(last) => {
                    *last = self.with_end(last).into();
                    false
                }
                None => true,
            };
            *first = self.with_start(first).into();
            if last_is_first {
                *first = self.with_end(first).into();
            }
        }
        parts
    }

    fn with_start(self, text: &str) -> String {
        let kept = if self.trims_start { text.trim_start() } else { text };
        let (space, kept) = text.split_at(text.len() - kept.len());
        format!("{space}{SPAN_START}{kept}")
    }

    fn with_end(self, text: &str) -> String {
        let kept = if self.trims_end { text.trim_end() } else { text };
        let (kept, space) = text.split_at(kept.len());
        format!("{kept}{SPAN_END}{space}")
    }
}

/// The spans of answers that were marked, with what follows each. `None` if something else follows one.
pub(super) fn with_ends(marked: &Rendered, end: &str) -> Option<Vec<(usize, usize)>> {
    let with_end = |&(start, until): &(usize, usize)| {
        marked.text.get(until..)?.starts_with(end).then_some((start, until + end.len()))
    };
    marked.spans.iter().map(with_end).collect()
}

/// The spans that the pipeline file's markers are around.
pub(super) fn between_markers(text: &str, markers: &AnswerMarkers) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let mut position = 0;
    while let Some(found) = text.get(position..).and_then(|rest| rest.find(&markers.after)) {
        let start = position + found + markers.after.len();
        let Some(until) = text.get(start..).and_then(|rest| rest.find(&markers.until)) else { break };
        position = start + until + markers.until.len();
        spans.push((start, position));
    }
    spans
}

/// What follows an answer both in the middle and at the end of a prompt.
pub(super) fn shared_start(middle: &str, end: &str) -> String {
    middle.chars().zip(end.chars()).take_while(|(left, right)| left == right).map(|(c, _)| c).collect()
}
