//! Fields with ids, images and videos. In upstream files each can be a string, a list, an object, a number, null or
//! absent.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use manyframe_core::{BlobRef, Clip, MediaKind, MediaLocation, MediaRef, RejectCode, Rejection};

use crate::draft::DraftMedia;
use crate::lookup::entry_of_list;
use crate::raw::Member;
use crate::reject::{unexpected_schema, wrong_type};
use crate::syntax::value_of;
use crate::value::{Object, Value};

/// The fields with images under the names that people give them, in order of preference; the others likewise.
pub(crate) const IMAGES: &[&str] =
    &["image", "images", "image_path", "image_paths", "image_file", "img", "img_path", "jpg", "jpeg", "png", "webp"];
pub(crate) const VIDEOS: &[&str] = &["video", "videos", "video_path", "video_paths", "video_file", "mp4"];
/// Fields that name media of either kind.
pub(crate) const FILES: &[&str] = &["file_name", "filename", "file", "path", "file_names"];

/// The file of a record that holds its media, too: a table, or an archive.
#[derive(Debug, Clone)]
pub(crate) struct Embedded<'a> {
    pub(crate) file: Arc<str>,
    pub(crate) place: EmbeddedPlace<'a>,
    /// Columns under other names.
    pub(crate) fields: &'a BTreeMap<String, String>,
}

/// Where in its file the media of a record are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum EmbeddedPlace<'a> {
    /// Cells of this row.
    Row(u64),
    /// Members.
    Members(&'a [Member]),
}

impl Embedded<'_> {
    /// The bytes that a field was read from; `None` if an archive has no member for it.
    pub(crate) fn bytes(&self, field: &str, index: usize) -> Option<BlobRef> {
        let column = self.fields.get(field).map_or(field, String::as_str);
        let (column, index) = entry_of_list(column).unwrap_or((column, index));
        let file = || Arc::clone(&self.file);
        match self.place {
            EmbeddedPlace::Row(row) => {
                Some(BlobRef::Cell { file: file(), column: column.into(), row, index: index as u32 })
            }
            EmbeddedPlace::Members(members) => {
                let member = members.iter().find(|member| member.field == column && member.index == index)?;
                Some(BlobRef::Range { file: file(), offset: member.offset, num_bytes: member.num_bytes })
            }
        }
    }
}

impl Embedded<'_> {
    /// The bytes in a column of the nth row of a record that has several, from 0.
    pub(crate) fn bytes_of_row(&self, nth: usize, column: &str) -> Option<BlobRef> {
        let EmbeddedPlace::Row(first) = self.place else { return None };
        let (file, row) = (Arc::clone(&self.file), first + nth as u64);
        Some(BlobRef::Cell { file, column: column.into(), row, index: 0 })
    }
}

/// The upstream id of a record: the first of these fields that is present, a string or a number; otherwise empty.
pub(crate) fn read_id(row: &Object<'_>, names: &[&str]) -> Result<String, Rejection> {
    match row.get_any(names) {
        None => Ok(String::new()),
        Some((_, Value::Text(id) | Value::LongInteger(id) | Value::LongFraction(id))) => Ok(id.clone().into_owned()),
        Some((_, Value::Unsigned(id))) => Ok(id.to_string()),
        Some((_, Value::Negative(id))) => Ok(id.to_string()),
        // As the integer that it equals; zero has no sign then.
        Some((_, Value::Float(id))) => Ok((id + 0.0).to_string()),
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

/// A number that may be absent, or be written as a string.
pub(crate) fn read_number(row: &Object<'_>, name: &str) -> Result<Option<f64>, Rejection> {
    let Some(value) = row.get(name) else { return Ok(None) };
    let number = value.as_f64().or_else(|| value.as_text()?.trim().parse().ok());
    number.map(Some).ok_or_else(|| wrong_type(name, value, "a number"))
}

/// The images and videos of a record in the usual fields: `image` or `images`, `video` or `videos`.
pub(crate) fn read_media(row: &Object<'_>, table: Option<&Embedded<'_>>) -> Result<DraftMedia, Rejection> {
    reject_audio(row)?;
    Ok(DraftMedia {
        images: MediaFields::images(&["image", "images"]).read(row, table)?,
        videos: MediaFields::videos(&["video", "videos"]).read(row, table)?,
    })
}

/// Fields that name media of one kind, in order of preference.
pub(crate) struct MediaFields<'n> {
    names: &'n [&'n str],
    kind: MediaKind,
}

impl<'n> MediaFields<'n> {
    pub(crate) fn images(names: &'n [&'n str]) -> Self {
        Self { names, kind: MediaKind::Image }
    }

    pub(crate) fn videos(names: &'n [&'n str]) -> Self {
        Self { names, kind: MediaKind::Video }
    }

    /// The media of the first of these fields that is not blank. Without a `table`, embedded bytes are rejected.
    pub(crate) fn read(&self, row: &Object<'_>, table: Option<&Embedded<'_>>) -> Result<Vec<MediaRef>, Rejection> {
        let Some((name, value)) = row.get_filled(self.names) else { return Ok(Vec::new()) };
        let items = items_of(value);
        let located = items.iter().enumerate().map(|(index, item)| {
            let cell = table.and_then(|table| table.bytes(name, index));
            read_location(name, item, cell).map(|location| medium(self.kind, location))
        });
        located.collect()
    }
}

/// The field that names the files of a record, whatever they are. Those of a name that any record could have, as image folders of Hugging
/// Face `datasets` have it (`images_file_names`), are media by their endings.
pub(crate) fn files_of<'r, 'a>(row: &'r Object<'a>) -> Option<(&'r str, &'r Value<'a>)> {
    let is_medium = |item: &Value<'_>| item.as_text().and_then(kind_of_path).is_some();
    let names_media = |name: &&str| {
        let is_named = name.ends_with("_file_name") || name.ends_with("_file_names");
        is_named && row.get(name).is_some_and(|value| !value.is_blank() && items_of(value).iter().all(is_medium))
    };
    let known =
        row.get_filled(FILES).filter(|(name, value)| *name != "file_names" || items_of(value).iter().all(is_medium));
    known.or_else(|| row.names().find(names_media).and_then(|name| Some((name, row.get(name)?))))
}

/// The items of a list, or of a text that is one, as a table of text has it: `["a.jpg", "b.jpg"]`, or `['a.jpg', 'b.jpg']` of pandas.
pub(crate) fn items_of<'v, 'a: 'v>(value: &'v Value<'a>) -> Cow<'v, [Value<'v>]> {
    match value {
        Value::List(items) => Cow::Borrowed(items.as_slice()),
        Value::Text(text) => match list_in(text) {
            Some(items) => Cow::Owned(items),
            None => Cow::Borrowed(std::slice::from_ref(value)),
        },
        other => Cow::Borrowed(std::slice::from_ref(other)),
    }
}

fn list_in(text: &str) -> Option<Vec<Value<'_>>> {
    let inside = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let is_text = |item: &Value<'_>| item.as_text().is_some_and(|text| !text.is_empty());
    if let Some(Value::List(items)) = value_of(text.as_bytes()) {
        return (!items.is_empty() && items.iter().all(is_text)).then_some(items);
    }
    // Texts without quotes in them, between single quotes. NumPy leaves out the commas.
    let mut parts = inside.split('\'');
    let mut items = Vec::new();
    loop {
        let between = parts.next()?;
        if !between.chars().all(|character| character.is_whitespace() || character == ',') {
            return None;
        }
        let Some(item) = parts.next() else { break };
        items.push(Value::Text(Cow::Borrowed(item)));
    }
    (!items.is_empty() && items.iter().all(is_text)).then_some(items)
}

/// A whole medium.
pub(crate) fn medium(kind: MediaKind, location: MediaLocation) -> MediaRef {
    MediaRef { kind, location, clip: None, fps: None }
}

/// One item: a path, an object with a path, or bytes in the annotation file itself (represented by `true`).
pub(crate) fn read_location(name: &str, item: &Value<'_>, cell: Option<BlobRef>) -> Result<MediaLocation, Rejection> {
    match (item, cell) {
        (Value::Text(text), _) if !text.is_empty() => named_location(name, text),
        (Value::Bool(true), Some(cell)) => Ok(MediaLocation::Blob(cell)),
        (Value::Object(object), cell) => match (object.get("bytes"), cell) {
            (Some(Value::Bool(true)), Some(cell)) => Ok(MediaLocation::Blob(cell)),
            (Some(bytes), _) => Err(wrong_type(name, bytes, "a path, or bytes in a Parquet file or tar")),
            (None, _) => match object.get_any(&["path", "url", "image", "video", "file"]) {
                Some((_, Value::Text(text))) if !text.is_empty() => named_location(name, text),
                _ => Err(unexpected_schema(format!("an entry of {name:?} has neither bytes nor a path"))),
            },
        },
        (Value::List(_), _) => Err(unexpected_schema(format!(
            "{name:?} has a list in place of a path; of a video in frames, name the directory that has them"
        ))),
        (Value::Null, _) => Err(unexpected_schema(format!("an entry of {name:?} is null, expected a path"))),
        (Value::Text(_), _) => Err(unexpected_schema(format!("an entry of {name:?} is empty, expected a path"))),
        (other, _) => Err(wrong_type(name, other, "a path, a list of paths, or objects with a path")),
    }
}

/// What a text names: a path, or the URL of a file, which is an absolute path.
fn named_location(name: &str, text: &str) -> Result<MediaLocation, Rejection> {
    if is_base64(text) {
        let detail =
            format!("{name:?} is an image in base64, which is not read: write it to a file, or to Parquet as bytes");
        return Err(Rejection::new(RejectCode::UnsupportedMedia, detail));
    }
    let of_file = text.strip_prefix("file://localhost").or_else(|| text.strip_prefix("file://"));
    let path = of_file.filter(|path| path.starts_with('/')).unwrap_or(text);
    Ok(MediaLocation::Path(path.to_owned()))
}

/// Whether a text is the bytes of a file, and not its path.
pub(crate) fn is_base64(text: &str) -> bool {
    /// Longer than any path.
    const MIN_BYTES: usize = 4096;
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=-_\r\n".contains(&byte);
    text.starts_with("data:") || (text.len() >= MIN_BYTES && text.bytes().all(is_digit))
}

pub(crate) fn reject_audio(row: &Object<'_>) -> Result<(), Rejection> {
    match row.get_filled(&["audio", "audios"]) {
        Some((name, _)) => Err(Rejection::new(RejectCode::UnsupportedMedia, format!("the record has {name:?}"))),
        None => Ok(()),
    }
}

/// The part of a video that a record is about, in seconds, from two fields.
pub(crate) fn read_clip(row: &Object<'_>, [start, end]: [&str; 2]) -> Result<Option<Clip>, Rejection> {
    let (start, end) = (read_number(row, start)?, read_number(row, end)?);
    if start.is_none() && end.is_none() {
        return Ok(None);
    }
    let start_s = start.unwrap_or(0.0);
    let is_in_order = start_s.is_finite() && start_s >= 0.0 && end.is_none_or(|end| end.is_finite() && end > start_s);
    if !is_in_order {
        let end = end.map_or_else(|| "the end".to_owned(), |end| end.to_string());
        return Err(Rejection::new(RejectCode::ClipRange, format!("the clip goes from {start_s} to {end} seconds")));
    }
    Ok(Some(Clip { start_s, end_s: end }))
}

/// What the ending of a path says that it is.
pub fn kind_of_path(path: &str) -> Option<MediaKind> {
    kind_of_ending(Path::new(path).extension()?.to_str()?)
}

/// What an ending says that a file is.
pub(crate) fn kind_of_ending(ending: &str) -> Option<MediaKind> {
    // Also those that no decoder here reads: a record without its image says something else.
    const IMAGES: &[&str] = &[
        "jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "pbm", "pgm", "pnm", "ppm", "heic", "heif",
        "jxl", "jp2",
    ];
    const VIDEOS: &[&str] = &[
        "mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "m2ts", "wmv", "asf", "flv", "ts", "ogv", "3gp",
        "3g2",
    ];
    let ending = ending.to_ascii_lowercase();
    let is_any = |endings: &[&str]| endings.contains(&ending.as_str());
    if is_any(VIDEOS) { Some(MediaKind::Video) } else { is_any(IMAGES).then_some(MediaKind::Image) }
}
