//! A record before its visuals are placed: turns with upstream's text, and media.

use std::borrow::Cow;

use manyframe_core::{MediaKind, MediaRef, Role};

/// What a dataset's reader makes of a record.
#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    /// Part of the source according to the record itself; used if the file does not decide it.
    pub(crate) subset: Option<String>,
    /// The conversation.
    pub(crate) turns: Vec<DraftTurn<'a>>,
    /// The media to which placeholders in the turns refer.
    pub(crate) media: DraftMedia,
    /// Whether it is a document, which is its only turn, and not a conversation.
    pub(crate) is_document: bool,
}

/// Media of a record, in upstream's order.
#[derive(Debug, Default)]
pub(crate) struct DraftMedia {
    pub(crate) images: Vec<MediaRef>,
    pub(crate) videos: Vec<MediaRef>,
}

/// A turn whose text may contain placeholders.
#[derive(Debug, PartialEq)]
pub(crate) struct DraftTurn<'a> {
    pub(crate) role: Role,
    pub(crate) parts: Vec<DraftPart<'a>>,
}

/// A part of a turn.
#[derive(Debug, PartialEq)]
pub(crate) enum DraftPart<'a> {
    /// Text, which may contain placeholders.
    Text(Cow<'a, str>),
    /// A medium that is named at its position in the text.
    Medium(MediaRef),
    /// A part that is typed as a medium but has none: the medium of the record at this index, or the next one.
    Placeholder { kind: MediaKind, index: Option<usize> },
}

impl<'a> DraftTurn<'a> {
    pub(crate) fn text(role: Role, text: impl Into<Cow<'a, str>>) -> Self {
        Self { role, parts: vec![DraftPart::Text(text.into())] }
    }

    /// Whether there is only white space in it.
    pub(crate) fn is_blank(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, DraftPart::Text(text) if text.trim().is_empty()))
    }
}

impl DraftMedia {
    pub(crate) fn is_empty(&self) -> bool {
        self.images.is_empty() && self.videos.is_empty()
    }
}
