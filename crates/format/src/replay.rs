//! Messages back to turns: what a delivered sample says, with its visuals typed again, so that it can be formatted anew.
//!
//! Formatting the turns in the same dialect gives the same messages. Under another one they are what the record would
//! have given there, except that literal tags stay as they were spelled and that texts which were trimmed stay trimmed.

use manyframe_core::{Message, Part, SampleVisual, Turn, Visual};

/// Why visuals do not fit the messages they are said to stand in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("visual {visual} does not stand at characters {start}..{end} of message {message}, after the one before it")]
pub struct ReplayError {
    /// Position of the visual, from 0.
    pub visual: usize,
    /// The message it should be in.
    pub message: usize,
    /// Its first character.
    pub start: usize,
    /// One past its last character.
    pub end: usize,
}

/// The turns of a sample: what lies outside of its visuals is text, and the visual at position n shows medium n.
///
/// `visuals` must be in order and disjoint.
pub fn turns_from_messages(messages: &[Message], visuals: &[SampleVisual]) -> Result<Vec<Turn>, ReplayError> {
    let mut remaining = visuals.iter().enumerate().peekable();
    let mut turns = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let mut parts = Vec::new();
        let mut rest = message.content.as_str();
        let mut num_chars_read = 0;
        while let Some((number, visual)) = remaining.next_if(|(_, visual)| visual.message == index) {
            let misplaced = || misplaced(number, visual);
            let num_chars_before = visual.start.checked_sub(num_chars_read).ok_or_else(misplaced)?;
            let num_chars = visual.end.checked_sub(visual.start).ok_or_else(misplaced)?;
            let (before, from_visual) = split_at_char(rest, num_chars_before).ok_or_else(misplaced)?;
            let (_, after) = split_at_char(from_visual, num_chars).ok_or_else(misplaced)?;
            push_text(before, &mut parts);
            parts.push(Part::Visual(Visual { kind: visual.kind, media: number }));
            rest = after;
            num_chars_read = visual.end;
        }
        push_text(rest, &mut parts);
        turns.push(Turn { role: message.role, parts });
    }
    match remaining.next() {
        Some((number, visual)) => Err(misplaced(number, visual)),
        None => Ok(turns),
    }
}

fn misplaced(number: usize, visual: &SampleVisual) -> ReplayError {
    ReplayError { visual: number, message: visual.message, start: visual.start, end: visual.end }
}

/// The newline after a visual belongs to it. A text that has one of its own gets that of the visual back, of which
/// formatting takes one away.
fn push_text(text: &str, parts: &mut Vec<Part>) {
    let follows_visual = matches!(parts.last(), Some(Part::Visual(_)));
    if follows_visual && (text.starts_with('\n') || text.starts_with("\r\n")) {
        parts.push(Part::Text(["\n", text].concat()));
    } else if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

pub(crate) fn split_at_char(text: &str, num_chars: usize) -> Option<(&str, &str)> {
    let mut bytes = text.char_indices().map(|(byte, _)| byte).chain([text.len()]);
    text.split_at_checked(bytes.nth(num_chars)?)
}

#[cfg(test)]
mod tests {
    use manyframe_core::{Role, VisualKind};

    use super::*;

    fn visual(message: usize, start: usize, end: usize) -> SampleVisual {
        SampleVisual {
            kind: VisualKind::Image,
            message,
            start,
            end,
            first_image: 0,
            num_images: 1,
            grid: None,
            times_s: Vec::new(),
            path: String::new(),
            width_px: 1,
            height_px: 1,
        }
    }

    fn messages() -> Vec<Message> {
        vec![
            Message { role: Role::User, content: "é <image>\n\nb".into() },
            Message { role: Role::Assistant, content: "c".into() },
        ]
    }

    #[test]
    fn what_is_not_a_visual_is_text() {
        let turns = turns_from_messages(&messages(), &[visual(0, 2, 10)]).unwrap();
        let image = Part::Visual(Visual { kind: VisualKind::Image, media: 0 });
        assert_eq!(turns[0].parts, [Part::Text("é ".into()), image, Part::Text("\n\nb".into())]);
        assert_eq!(turns[1].parts, [Part::Text("c".into())]);
    }

    #[test]
    fn visuals_that_do_not_fit_are_refused() {
        let wrong = [
            vec![visual(0, 2, 13)],
            vec![visual(0, 5, 4)],
            vec![visual(7, 0, 1)],
            vec![visual(0, 2, 10), visual(0, 9, 11)],
            vec![visual(1, 0, 1), visual(0, 2, 10)],
        ];
        for visuals in wrong {
            assert!(turns_from_messages(&messages(), &visuals).is_err(), "{visuals:?}");
        }
    }
}
