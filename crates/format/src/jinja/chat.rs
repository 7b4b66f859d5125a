//! A conversation as a template sees it: messages whose contents are lists of parts, or texts.
//!
//! A template that writes the texts of such lists gets lists, as the processors of `transformers` give them. Another one gets
//! texts in which the family's own tokens stand where visuals are. It is tried with a conversation: which roles get what is the
//! first of [`ContentForms::ALL`] with which the template writes every text.

use std::borrow::Cow;

use manyframe_core::{Message, Role, VisualKind};
use manyframe_vision::MediaMarks;
use minijinja::Value;

use super::environment::{SPAN_END, SPAN_START};
use crate::messages::{MessagePart, VisualRange};

/// A conversation without the markup of its visuals.
#[derive(Debug, Clone)]
pub(super) struct Chat<'m> {
    pub(super) turns: Vec<ChatTurn<'m>>,
}

#[derive(Debug, Clone)]
pub(super) struct ChatTurn<'m> {
    pub(super) role: Role,
    pub(super) parts: Vec<ChatPart<'m>>,
}

#[derive(Debug, Clone)]
pub(super) enum ChatPart<'m> {
    Text(Cow<'m, str>),
    Visual(VisualKind),
}

/// How the content of a message is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentForm {
    /// `[{"type": "image"}, {"type": "text", "text": "…"}]`
    Parts,
    /// `"<image>…"`
    Text,
}

/// How the contents of the messages of each role are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentForms {
    system: ContentForm,
    user: ContentForm,
    assistant: ContentForm,
}

impl ContentForms {
    /// In the order in which they are tried.
    pub(super) const ALL: [Self; 5] = {
        use ContentForm::{Parts, Text};
        [
            Self::new(Parts, Parts, Parts),
            Self::new(Text, Parts, Parts),
            Self::new(Text, Parts, Text),
            Self::new(Parts, Parts, Text),
            Self::new(Text, Text, Text),
        ]
    };

    const fn new(system: ContentForm, user: ContentForm, assistant: ContentForm) -> Self {
        Self { system, user, assistant }
    }

    fn of(self, role: Role) -> ContentForm {
        match role {
            Role::System => self.system,
            Role::User => self.user,
            Role::Assistant => self.assistant,
        }
    }
}

/// What a template writes for a visual of a kind.
pub(super) fn mark_of(marks: &MediaMarks, kind: VisualKind) -> &str {
    let marks = match kind {
        VisualKind::Image | VisualKind::Tiled => &marks.image,
        VisualKind::Video => &marks.video,
    };
    marks.first().map_or("", |mark| mark)
}

impl<'m> Chat<'m> {
    /// The conversation of messages whose parts are known.
    pub(super) fn of(messages: &[Message], parts: &'m [Vec<MessagePart<'m, VisualRange>>]) -> Self {
        let part = |part: &MessagePart<'m, VisualRange>| match part {
            MessagePart::Text(text) => ChatPart::Text(Cow::Borrowed(*text)),
            MessagePart::Visual { visual, .. } => ChatPart::Visual(visual.kind),
        };
        let turn = |(message, parts): (&Message, &'m Vec<_>)| {
            // A message without parts has an empty text.
            let empty = parts.is_empty().then_some(ChatPart::Text(Cow::Borrowed("")));
            ChatTurn { role: message.role, parts: parts.iter().map(part).chain(empty).collect() }
        };
        Self { turns: messages.iter().zip(parts).map(turn).collect() }
    }

    /// A conversation of texts.
    pub(super) fn of_texts(turns: &[(Role, &'m str)]) -> Self {
        let turn =
            |&(role, text): &(Role, &'m str)| ChatTurn { role, parts: vec![ChatPart::Text(Cow::Borrowed(text))] };
        Self { turns: turns.iter().map(turn).collect() }
    }

    pub(super) fn has(&self, role: Role) -> bool {
        self.turns.iter().any(|turn| turn.role == role)
    }

    /// Whether a text contains what marks spans.
    pub(super) fn has_span_marks(&self) -> bool {
        let mut parts = self.turns.iter().flat_map(|turn| &turn.parts);
        parts.any(|part| matches!(part, ChatPart::Text(text) if text.contains([SPAN_START, SPAN_END])))
    }

    /// As the template gets it.
    pub(super) fn value(&self, forms: ContentForms, marks: &MediaMarks) -> Value {
        let message = |turn: &ChatTurn<'_>| {
            let role = match turn.role {
                Role::System => "system",
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            let content = match forms.of(turn.role) {
                ContentForm::Parts => turn.as_parts(),
                ContentForm::Text => turn.as_text(marks),
            };
            Value::from_pairs([("role", Value::from(role)), ("content", content)])
        };
        self.turns.iter().map(message).collect()
    }
}

impl ChatTurn<'_> {
    fn as_parts(&self) -> Value {
        let of_text = |text: &str| Value::from_pairs([("type", Value::from("text")), ("text", Value::from(text))]);
        let part = |part: &ChatPart<'_>| match part {
            ChatPart::Text(text) => of_text(text),
            ChatPart::Visual(VisualKind::Video) => Value::from_pairs([("type", "video")]),
            ChatPart::Visual(VisualKind::Image | VisualKind::Tiled) => Value::from_pairs([("type", "image")]),
        };
        self.parts.iter().map(part).collect()
    }

    fn as_text(&self, marks: &MediaMarks) -> Value {
        let part = |part: &ChatPart<'_>| match part {
            ChatPart::Text(text) => text.to_string(),
            ChatPart::Visual(kind) => mark_of(marks, *kind).to_owned(),
        };
        Value::from(self.parts.iter().map(part).collect::<String>())
    }
}
