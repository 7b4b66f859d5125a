//! What a turn says: a string, or a list of typed parts as chat interfaces write it.

use std::borrow::Cow;

use manyframe_core::{MediaKind, RejectCode, Rejection};

use crate::draft::Piece;
use crate::fields::{medium, read_location};
use crate::reject::{quoted, unexpected_schema, wrong_type};
use crate::value::{Object, Value};

/// The pieces of a turn's content. `None` is a turn without content: it says nothing.
pub(crate) fn read_content<'r>(name: &str, content: Option<&'r Value<'_>>) -> Result<Vec<Piece<'r>>, Rejection> {
    match content {
        None => Ok(Vec::new()),
        Some(Value::Text(text)) => Ok(vec![Piece::Text(Cow::Borrowed(text))]),
        Some(Value::List(parts)) => parts.iter().map(|part| read_part(name, part)).collect(),
        Some(other) => Err(wrong_type(name, other, "a string or a list of parts")),
    }
}

fn read_part<'r>(name: &str, part: &'r Value<'_>) -> Result<Piece<'r>, Rejection> {
    let part = match part {
        Value::Text(text) => return Ok(Piece::Text(Cow::Borrowed(text))),
        Value::Object(part) => part,
        other => return Err(wrong_type(name, other, "a string or an object with a type")),
    };
    match part.get("type").and_then(Value::as_text) {
        Some("text" | "input_text" | "output_text") | None => read_text_part(name, part),
        Some("image" | "image_url" | "input_image") => {
            read_medium(part, MediaKind::Image, &["image", "image_url", "value", "url", "path"])
        }
        Some("video" | "video_url" | "input_video") => {
            read_medium(part, MediaKind::Video, &["video", "video_url", "value", "url", "path"])
        }
        Some(kind @ ("audio" | "audio_url" | "input_audio")) => {
            Err(Rejection::new(RejectCode::UnsupportedMedia, format!("a part of {name:?} is of type {kind:?}")))
        }
        Some(other) => {
            let found = format!("a part of {name:?} is of type {}, expected text, image or video", quoted(other));
            Err(unexpected_schema(found))
        }
    }
}

fn read_text_part<'r>(name: &str, part: &'r Object<'_>) -> Result<Piece<'r>, Rejection> {
    match part.get_any(&["text", "value", "content"]) {
        Some((_, Value::Text(text))) => Ok(Piece::Text(Cow::Borrowed(text))),
        Some((field, other)) => Err(wrong_type(field, other, "a string")),
        None => Err(unexpected_schema(format!("a part of {name:?} has no text"))),
    }
}

fn read_medium<'r>(part: &Object<'_>, kind: MediaKind, fields: &[&str]) -> Result<Piece<'r>, Rejection> {
    match part.get_any(fields) {
        Some((field, value)) => Ok(Piece::Medium(medium(kind, read_location(field, value, None)?))),
        None => Ok(Piece::Placeholder(kind)),
    }
}
