//! A record half made: turns with their text as upstream has it, and media that are not yet placed.

use std::borrow::Cow;

use manyframe_core::{MediaKind, MediaRef, Role};

/// What a dataset's reader makes of a record.
#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    /// Part of the source, as the record itself tells; used where the file does not.
    pub(crate) subset: Option<String>,
    /// The conversation.
    pub(crate) turns: Vec<DraftTurn<'a>>,
    /// The media that placeholders in the turns stand for.
    pub(crate) media: DraftMedia,
    /// Whether it is no conversation but a text by itself, which is its only turn.
    pub(crate) is_document: bool,
}

/// Media of a record, in upstream's order.
#[derive(Debug, Default)]
pub(crate) struct DraftMedia {
    pub(crate) images: Vec<MediaRef>,
    pub(crate) videos: Vec<MediaRef>,
}

/// A turn whose text may hold placeholders.
#[derive(Debug, PartialEq)]
pub(crate) struct DraftTurn<'a> {
    pub(crate) role: Role,
    pub(crate) pieces: Vec<Piece<'a>>,
}

/// A piece of a turn.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece<'a> {
    /// Text; it may hold placeholders.
    Text(Cow<'a, str>),
    /// A medium that is named where it stands.
    Medium(MediaRef),
    /// Typed as a medium, but not named: the next one of the record.
    Placeholder(MediaKind),
}

impl<'a> DraftTurn<'a> {
    pub(crate) fn text(role: Role, text: impl Into<Cow<'a, str>>) -> Self {
        Self { role, pieces: vec![Piece::Text(text.into())] }
    }

    /// Whether it has nothing but white space.
    pub(crate) fn is_blank(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Text(text) if text.trim().is_empty()))
    }
}

impl DraftMedia {
    pub(crate) fn is_empty(&self) -> bool {
        self.images.is_empty() && self.videos.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.images.len() + self.videos.len()
    }
}
