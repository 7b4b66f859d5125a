//! Why a record is rejected, before it is known which record it is.

use manyframe_core::{RecordError, RejectCode};

use crate::value::{Object, Value};

/// Longest piece of upstream text that a detail quotes, in characters.
const MAX_QUOTED_CHARS: usize = 80;

/// A reason, and what was found and expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: RejectCode,
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn new(code: RejectCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// A field has another type than any that is known there.
    pub(crate) fn wrong_type(field: &str, found: &Value<'_>, expected: &str) -> Self {
        Self::new(RejectCode::UnexpectedSchema, format!("{field:?} is {}, expected {expected}", found.kind()))
    }

    /// The record lacks something.
    pub(crate) fn unexpected(detail: impl Into<String>) -> Self {
        Self::new(RejectCode::UnexpectedSchema, detail)
    }
}

impl From<RecordError> for Fault {
    fn from(error: RecordError) -> Self {
        let code = match error {
            RecordError::NoTurns => RejectCode::EmptyConversation,
            RecordError::TurnOrder { .. } => RejectCode::TurnOrder,
            RecordError::EmptyTurn { .. } => RejectCode::EmptyTurn,
            RecordError::VisualOutsideUserTurn { .. } => RejectCode::PlaceholderOutsideUserTurn,
            RecordError::VisualsAndMedia { .. } => RejectCode::PlaceholderMismatch,
            RecordError::VisualKind { .. } => RejectCode::UnexpectedSchema,
        };
        Self::new(code, error.to_string())
    }
}

/// Upstream text as a detail quotes it: escaped, and cut if it is long.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// The names of an object's first fields, as a detail lists them.
pub(crate) fn names_of(object: &Object<'_>) -> String {
    quoted(&object.names().take(12).collect::<Vec<_>>().join(", "))
}
