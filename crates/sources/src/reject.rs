//! Rejections that many readers need, and how details quote upstream text.

use manyframe_core::{RejectCode, Rejection};

use crate::value::{Object, Value};

/// Longest part of upstream text that a detail quotes, in characters.
const MAX_QUOTED_CHARS: usize = 80;

/// A field has a type that is not known there.
pub(crate) fn wrong_type(field: &str, found: &Value<'_>, expected: &str) -> Rejection {
    unexpected_schema(format!("{field:?} is {}, expected {expected}", found.kind()))
}

/// The record lacks something that its dataset always has.
pub(crate) fn unexpected_schema(detail: impl Into<String>) -> Rejection {
    Rejection::new(RejectCode::UnexpectedSchema, detail)
}

/// Upstream text as a detail quotes it: escaped, and cut if it is long.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{:?}…", text.split_at(end).0),
        None => format!("{text:?}"),
    }
}

/// The names of an object's first fields, as a detail lists them.
pub(crate) fn names_of(object: &Object<'_>) -> String {
    quoted(&object.names().take(12).collect::<Vec<_>>().join(", "))
}
