//! Fields that name things: ids, images, videos. Each is met as a string, a list, an object, a number, null or not at
//! all.

use std::sync::Arc;

use manyframe_core::{BlobRef, MediaKind, MediaLocation, MediaRef, RejectCode, Rejection};

use crate::draft::DraftMedia;
use crate::reject::{unexpected_schema, wrong_type};
use crate::value::{Object, Value};

/// Where a record stands in a Parquet file, so that its media can be cells of it.
#[derive(Debug, Clone)]
pub(crate) struct TableRow {
    pub(crate) file: Arc<str>,
    pub(crate) row: u64,
}

/// The id that upstream gave a record: the first of these fields that is there, a string or a number. Else empty.
pub(crate) fn read_id(row: &Object<'_>, names: &[&str]) -> Result<String, Rejection> {
    match row.get_any(names) {
        None => Ok(String::new()),
        Some((_, Value::Text(id))) => Ok(id.clone().into_owned()),
        Some((_, Value::Unsigned(id))) => Ok(id.to_string()),
        Some((_, Value::Negative(id))) => Ok(id.to_string()),
        Some((_, Value::Float(id))) => Ok(id.to_string()),
        Some((name, other)) => Err(wrong_type(name, other, "a string or a number")),
    }
}

/// A string that may be absent.
pub(crate) fn read_text(row: &Object<'_>, name: &str) -> Result<Option<String>, Rejection> {
    match row.get(name) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.clone().into_owned())),
        Some(other) => Err(wrong_type(name, other, "a string")),
    }
}

/// A number that may be absent; a string that holds one is as good.
pub(crate) fn read_number(row: &Object<'_>, name: &str) -> Result<Option<f64>, Rejection> {
    let Some(value) = row.get(name) else { return Ok(None) };
    let number = value.as_f64().or_else(|| value.as_text()?.trim().parse().ok());
    number.map(Some).ok_or_else(|| wrong_type(name, value, "a number"))
}

/// All images and videos that a record names in `image` or `images`, and in `video` or `videos`.
pub(crate) fn read_media(row: &Object<'_>, table: Option<&TableRow>) -> Result<DraftMedia, Rejection> {
    refuse_audio(row)?;
    Ok(DraftMedia {
        images: read_media_of_kind(row, &["image", "images"], MediaKind::Image, table)?,
        videos: read_media_of_kind(row, &["video", "videos"], MediaKind::Video, table)?,
    })
}

/// The media of the first of these fields that is not blank.
pub(crate) fn read_media_of_kind(
    row: &Object<'_>,
    names: &[&str],
    kind: MediaKind,
    table: Option<&TableRow>,
) -> Result<Vec<MediaRef>, Rejection> {
    let Some((name, value)) = row.get_filled(names) else { return Ok(Vec::new()) };
    let items = if let Value::List(items) = value { items.as_slice() } else { std::slice::from_ref(value) };
    let located = items.iter().enumerate().map(|(index, item)| {
        let cell = table.map(|table| BlobRef::Cell {
            file: Arc::clone(&table.file),
            column: name.into(),
            row: table.row,
            index: index as u32,
        });
        read_location(name, item, cell).map(|location| medium(kind, location))
    });
    located.collect()
}

/// A whole medium.
pub(crate) fn medium(kind: MediaKind, location: MediaLocation) -> MediaRef {
    MediaRef { kind, location, clip: None, fps: None }
}

/// One entry: a path, an object with one, or bytes that are in the table itself (`true` stands for them).
pub(crate) fn read_location(name: &str, item: &Value<'_>, cell: Option<BlobRef>) -> Result<MediaLocation, Rejection> {
    match (item, cell) {
        (Value::Text(path), _) if !path.is_empty() => Ok(MediaLocation::Path(path.clone().into_owned())),
        (Value::Bool(true), Some(cell)) => Ok(MediaLocation::Blob(cell)),
        (Value::Object(object), cell) => match (object.get("bytes"), cell) {
            (Some(Value::Bool(true)), Some(cell)) => Ok(MediaLocation::Blob(cell)),
            (Some(bytes), _) => Err(wrong_type(name, bytes, "a path, or bytes in a Parquet file")),
            (None, _) => match object.get_any(&["path", "url", "image", "video", "file"]) {
                Some((_, Value::Text(path))) if !path.is_empty() => Ok(MediaLocation::Path(path.clone().into_owned())),
                _ => Err(unexpected_schema(format!("an entry of {name:?} has neither bytes nor a path"))),
            },
        },
        (Value::Null, _) => Err(unexpected_schema(format!("an entry of {name:?} is null, expected a path"))),
        (Value::Text(_), _) => Err(unexpected_schema(format!("an entry of {name:?} is empty, expected a path"))),
        (other, _) => Err(wrong_type(name, other, "a path, a list of paths, or objects with a path")),
    }
}

fn refuse_audio(row: &Object<'_>) -> Result<(), Rejection> {
    match row.get_filled(&["audio", "audios"]) {
        Some((name, _)) => Err(Rejection::new(RejectCode::UnsupportedMedia, format!("the record has {name:?}"))),
        None => Ok(()),
    }
}
