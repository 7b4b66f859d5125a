//! Messages split at their visuals: back to turns, so that a delivered sample can be formatted again, and with bare
//! placeholders, so that its delimiters can be counted.
//!
//! Turns that are formatted in the same dialect become the same messages. In another dialect they become what the record
//! would have become there, except that literal tags keep their spelling and that texts that were trimmed stay trimmed.

use manyframe_core::{Message, Part, SampleVisual, Turn, Visual, VisualKind};

/// Where a visual is in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisualRange {
    /// How it is shown.
    pub kind: VisualKind,
    /// Position of its message.
    pub message: usize,
    /// First character of its text in the message.
    pub start: usize,
    /// One past the last character.
    pub end: usize,
}

/// A visual has an impossible position: its range does not exist, or begins before the end of the previous visual.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "visual {visual} is not at characters {start}..{end} of message {message}, after the one before it",
    start = .range.start, end = .range.end, message = .range.message
)]
pub struct MisplacedVisual {
    /// Position of the visual, from 0.
    pub visual: usize,
    /// Where it should be.
    pub range: VisualRange,
}

impl From<&SampleVisual> for VisualRange {
    fn from(visual: &SampleVisual) -> Self {
        Self { kind: visual.kind, message: visual.message, start: visual.start, end: visual.end }
    }
}

/// A part of a message: a text, which is not empty, or a visual with its number and its markup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessagePart<'m, V> {
    Text(&'m str),
    Visual { number: usize, visual: V, markup: &'m str },
}

/// The turns of a sample: the ranges of its visuals are visuals, and everything else is text. The visual at position n
/// shows medium n.
///
/// `visuals` are in order and disjoint.
///
/// # Errors
/// If a visual is not where it says: the sample is damaged.
pub fn turns_from_messages(messages: &[Message], visuals: &[SampleVisual]) -> Result<Vec<Turn>, MisplacedVisual> {
    let parts = message_parts(messages, visuals)?;
    let turn = |(message, parts): (&Message, Vec<MessagePart<'_, &SampleVisual>>)| {
        let mut follows_visual = false;
        let part = |part: MessagePart<'_, &SampleVisual>| {
            let (part, is_visual) = match part {
                MessagePart::Text(text) => (Part::Text(text_of_turn(text, follows_visual)), false),
                MessagePart::Visual { number: media, visual, .. } => {
                    (Part::Visual(Visual { kind: visual.kind, media }), true)
                }
            };
            follows_visual = is_visual;
            part
        };
        Turn { role: message.role, parts: parts.into_iter().map(part).collect() }
    };
    Ok(messages.iter().zip(parts).map(turn).collect())
}

/// The parts of each message. `visuals` are in order and disjoint.
pub(crate) fn message_parts<V: Copy + Into<VisualRange>>(
    messages: &[Message],
    visuals: impl IntoIterator<Item = V>,
) -> Result<Vec<Vec<MessagePart<'_, V>>>, MisplacedVisual> {
    let mut remaining = visuals.into_iter().map(|visual| (visual, visual.into())).enumerate().peekable();
    let mut of_messages = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let mut parts = Vec::new();
        let (mut rest, mut num_chars_read) = (message.content.as_str(), 0);
        while let Some((number, (visual, range))) = remaining.next_if(|(_, (_, range))| range.message == index) {
            let (before, markup, after) =
                cut_out(rest, num_chars_read, range).ok_or(MisplacedVisual { visual: number, range })?;
            parts.extend((!before.is_empty()).then_some(MessagePart::Text(before)));
            parts.push(MessagePart::Visual { number, visual, markup });
            (rest, num_chars_read) = (after, range.end);
        }
        parts.extend((!rest.is_empty()).then_some(MessagePart::Text(rest)));
        of_messages.push(parts);
    }
    match remaining.next() {
        Some((visual, (_, range))) => Err(MisplacedVisual { visual, range }),
        None => Ok(of_messages),
    }
}

/// Appends a message to a text, with a bare placeholder in place of each visual.
pub(crate) fn write_bare<V>(parts: &[MessagePart<'_, V>], placeholder: &str, text: &mut String) {
    for part in parts {
        text.push_str(match part {
            MessagePart::Text(of_message) => of_message,
            MessagePart::Visual { .. } => placeholder,
        });
    }
}

/// The text before a range, in it and after it. `rest` is the text from character `num_chars_read` on.
fn cut_out(rest: &str, num_chars_read: usize, range: VisualRange) -> Option<(&str, &str, &str)> {
    let (before, from_visual) = split_at_char(rest, range.start.checked_sub(num_chars_read)?)?;
    let (markup, after) = split_at_char(from_visual, range.end.checked_sub(range.start)?)?;
    Some((before, markup, after))
}

fn split_at_char(text: &str, num_chars: usize) -> Option<(&str, &str)> {
    let mut bytes = text.char_indices().map(|(byte, _)| byte).chain([text.len()]);
    text.split_at_checked(bytes.nth(num_chars)?)
}

/// The newline after a visual belongs to the visual. A text that begins with another one gets that of the visual back,
/// because formatting removes one.
fn text_of_turn(text: &str, follows_visual: bool) -> String {
    if follows_visual && (text.starts_with('\n') || text.starts_with("\r\n")) {
        ["\n", text].concat()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use manyframe_core::Role;

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
            cut: None,
            times_s: Vec::new(),
            path: String::new(),
            width_px: 1,
            height_px: 1,
            model: None,
            clip: None,
        }
    }

    fn messages() -> Vec<Message> {
        vec![
            Message { role: Role::User, content: "é <image>\n\nb".into() },
            Message { role: Role::Assistant, content: "c".into() },
        ]
    }

    fn bare(content: &str, visuals: &[(usize, usize)]) -> Result<String, MisplacedVisual> {
        let messages = [Message { role: Role::User, content: content.into() }];
        let ranges =
            visuals.iter().map(|&(start, end)| VisualRange { kind: VisualKind::Image, message: 0, start, end });
        let mut text = String::new();
        for parts in message_parts(&messages, ranges)? {
            write_bare(&parts, "<image>", &mut text);
        }
        Ok(text)
    }

    #[test]
    fn what_is_not_a_visual_is_text() {
        let turns = turns_from_messages(&messages(), &[visual(0, 2, 10)]).unwrap();
        let image = Part::Visual(Visual { kind: VisualKind::Image, media: 0 });
        assert_eq!(turns[0].parts, [Part::Text("é ".into()), image, Part::Text("\n\nb".into())]);
        assert_eq!(turns[1].parts, [Part::Text("c".into())]);
    }

    #[test]
    fn the_first_misplaced_visual_is_named() {
        let misplaced = [
            (vec![visual(0, 2, 13)], 0),
            (vec![visual(0, 5, 4)], 0),
            (vec![visual(7, 0, 1)], 0),
            (vec![visual(0, 2, 10), visual(0, 9, 11)], 1),
            (vec![visual(1, 0, 1), visual(0, 2, 10)], 1),
        ];
        for (visuals, number) in misplaced {
            let error = turns_from_messages(&messages(), &visuals).unwrap_err();
            assert_eq!(error, MisplacedVisual { visual: number, range: VisualRange::from(&visuals[number]) });
        }
    }

    #[test]
    fn a_bare_placeholder_takes_the_place_of_each_visual() {
        let text = "é <img><image></img>\nand <vid>…</vid>\n!";
        assert_eq!(bare(text, &[(2, 21), (25, 38)]).unwrap(), "é <image>and <image>!");
        assert_eq!(bare("a", &[]).unwrap(), "a");
        assert!(bare("a", &[(0, 2)]).is_err());
    }
}
