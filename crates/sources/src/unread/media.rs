//! A second field with media, such as `image2`, `depth`, or `images` beside `image`.
//!
//! A field that names a medium which is read is none: `file_name` beside `image`.

use std::path::Path;

use manyframe_core::{MediaLocation, Rejection};

use super::read_record::ReadRecord;
use super::texts::is_text;
use crate::draft::DraftPart;
use crate::fields::{FILES, IMAGES, VIDEOS, kind_of_path};
use crate::reject::unexpected_schema;
use crate::value::{Object, Value};

/// Fields that may look like the name of a file, and say which record it is, or where it comes from.
const NAMES: &[&str] =
    &["__key__", "alt", "alt_text", "data_source", "id", "idx", "key", "source", "title", "url", "uuid"];

pub(super) fn reject_other_media(record: &ReadRecord<'_, '_>) -> Result<(), Rejection> {
    let row = record.row;
    if [IMAGES, VIDEOS, FILES].iter().any(|names| record.is_decided(names)) {
        return Ok(());
    }
    [IMAGES, VIDEOS].iter().try_for_each(|names| reject_second(row, names))?;
    let known = || IMAGES.iter().chain(VIDEOS);
    let read = Read::of(record);
    // A document may say which file it is from; bytes, several files, and what is called a picture are its own.
    let is_from = record.draft.is_document && read.num_media == 0;
    let is_its_own =
        |name: &str| is_called_picture(name) || matches!(row.get(name), Some(Value::Object(_) | Value::List(_)));
    let is_other = |name: &&str| {
        !known().any(|known| known == name) && (!is_from || is_its_own(name)) && read.is_another(row, name)
    };
    match row.names().find(is_other) {
        Some(name) => Err(unexpected_schema(format!(
            "{name:?} names another medium; expected a list in one field, or fields = {{ image = … }}, which names the only one"
        ))),
        None => Ok(()),
    }
}

/// Of several names for the same kind of media, the first is read.
fn reject_second(row: &Object<'_>, names: &[&str]) -> Result<(), Rejection> {
    let filled: Vec<&&str> = names.iter().filter(|name| row.get_filled(&[name]).is_some()).collect();
    match filled.as_slice() {
        [first, second, ..] if row.get(first).map(only) != row.get(second).map(only) => {
            Err(unexpected_schema(format!(
                "{first:?} and {second:?} both name media; expected one of them, or fields = {{ {first} = {first:?} }}"
            )))
        }
        _ => Ok(()),
    }
}

/// The only element of a list; anything else as it is.
fn only<'v, 'r>(value: &'v Value<'r>) -> &'v Value<'r> {
    match value {
        Value::List(items) if items.len() == 1 => items.first().unwrap_or(value),
        value => value,
    }
}

fn is_called_picture(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["image", "img", "picture", "photo", "screenshot", "thumbnail", "figure", "video"]
        .iter()
        .any(|word| name.contains(word))
}

/// The media that are read.
struct Read<'a> {
    num_media: usize,
    /// Those that have paths.
    paths: Vec<&'a str>,
}

impl<'a> Read<'a> {
    fn of(record: &ReadRecord<'a, '_>) -> Self {
        let of_turns = record.draft.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match part {
            DraftPart::Medium(medium) => Some(medium),
            DraftPart::Text(_) | DraftPart::Placeholder { .. } => None,
        });
        let media = &record.draft.media;
        let locations: Vec<&MediaLocation> =
            of_turns.chain(&media.images).chain(&media.videos).map(|medium| &medium.location).collect();
        let path = |location: &&'a MediaLocation| match location {
            MediaLocation::Path(path) => Some(path.as_str()),
            _ => None,
        };
        Self { num_media: locations.len(), paths: locations.iter().filter_map(path).collect() }
    }

    /// Whether a field is a medium that is not read.
    fn is_another(&self, row: &Object<'_>, name: &str) -> bool {
        let is_like_one = ["image", "img", "video"].iter().any(|start| name.to_ascii_lowercase().starts_with(start));
        let is_name = NAMES.contains(&name) || name.ends_with("_id");
        let is_looked_at = is_like_one || !(is_name || is_text(name));
        is_looked_at && row.get(name).is_some_and(|value| self.is_another_medium(value, is_like_one))
    }

    fn is_another_medium(&self, value: &Value<'_>, is_like_one: bool) -> bool {
        match value {
            // Bytes in the file of the record may have names and addresses beside them.
            Value::Text(_) if self.num_media > self.paths.len() => false,
            Value::Text(text) => {
                let path = text.strip_prefix("file://").unwrap_or(&**text);
                // A URL says where a medium comes from, and `.ts` may be TypeScript.
                let is_elsewhere =
                    path.contains("://") || Path::new(path).extension().is_some_and(|ending| ending == "ts");
                kind_of_path(path).is_some() && (is_like_one || !is_elsewhere) && !self.has(path)
            }
            Value::List(items) => items.iter().any(|item| self.is_another_medium(item, is_like_one)),
            Value::Object(object) => {
                object.get("bytes") == Some(&Value::Bool(true))
                    || object.get("path").is_some_and(|path| self.is_another_medium(path, is_like_one))
            }
            _ => false,
        }
    }

    /// Whether a path is that of a medium, or its end, or says in full where it is.
    fn has(&self, path: &str) -> bool {
        let is_end = |end: &str, path: &str| {
            path.strip_suffix(end).is_some_and(|start| start.is_empty() || start.ends_with('/'))
        };
        let is_full = path.starts_with('/') || path.contains("://");
        self.paths.iter().any(|read| *read == path || is_end(path, read) || is_full && is_end(read, path))
    }
}
