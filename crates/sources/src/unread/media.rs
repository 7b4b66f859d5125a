//! A second field with media, such as `image2`, `depth`, or `images` beside `image`, and one with bytes that nothing reads.
//!
//! A field that names a medium which is read is none: `file_name` beside `image`.

use std::collections::BTreeSet;
use std::path::Path;

use manyframe_core::{MediaLocation, Rejection};

use super::read_record::ReadRecord;
use super::texts::is_text;
use super::turns::{has_more, turns_of};
use crate::conversation::{CONTENTS, ROLES};
use crate::draft::DraftPart;
use crate::fields::{FILES, IMAGES, VIDEOS, is_base64, kind_of_ending};
use crate::reject::unexpected_schema;
use crate::value::{Object, Value};

/// Fields that may look like the name of a file, and say which record it is.
const NAMES: &[&str] = &["__key__", "alt", "alt_text", "id", "idx", "key", "title", "uuid"];
/// Those that say where it comes from, or what it shows.
const ORIGINS: &[&str] = &["data_source", "source", "url"];
/// Endings of sound, which nothing here reads.
const SOUNDS: &[&str] = &["aac", "aif", "aiff", "flac", "m4a", "mp3", "oga", "ogg", "opus", "wav", "wma"];

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
    let is_its_own = |name: &str| {
        is_called_picture(name) || row.get(name).is_some_and(|value| value.as_text().is_none() || has_base64(value))
    };
    let is_other = |name: &&str| {
        !known().any(|known| known == name) && (!is_from || is_its_own(name)) && read.is_another(row, name)
    };
    match row.names().find(is_other) {
        Some(name) if read.num_media == 0 && read.is_bytes(row, name) => Err(unexpected_schema(format!(
            "{name:?} has bytes that would be lost; fields = {{ image = {name:?} }} shows them, and kind \"text\" leaves them out"
        ))),
        Some(name) => Err(unexpected_schema(format!(
            "{name:?} names another medium; expected a list in one field, or fields = {{ image = … }}, which names the only one"
        ))),
        None => Ok(()),
    }
}

/// Of a turn, or of a part of one, media in fields that are not read, and the text of a part that is a medium.
pub(super) fn reject_media_of_turns(record: &ReadRecord<'_, '_>) -> Result<(), Rejection> {
    let parts_of = |turn| match Object::get_any(turn, CONTENTS) {
        Some((_, Value::List(parts))) => parts.as_slice(),
        _ => &[],
    };
    let mut turns = turns_of(record.row).filter(|turn| has_more(turn) || !parts_of(turn).is_empty()).peekable();
    if turns.peek().is_none() {
        return Ok(());
    }
    let read = Read::of(record);
    let is_lost = |fields: &Object<'_>, name: &str| {
        ![CONTENTS, ROLES, &["type"]].iter().any(|names| names.contains(&name)) && read.is_another(fields, name)
    };
    for turn in turns {
        let has_role = turn.get_any(ROLES).is_some();
        if let Some(name) = turn.names().find(|name| has_role && is_lost(turn, name)) {
            let expected = "expected media in the parts of a turn, or beside the turns";
            return Err(unexpected_schema(format!("a turn has {name:?}, which would be lost; {expected}")));
        }
        let parts = parts_of(turn).iter().filter_map(|part| match part {
            Value::Object(part) => Some(part),
            _ => None,
        });
        for part in parts {
            let lost = match part.get("type").and_then(Value::as_text) {
                Some("text" | "input_text" | "output_text") | None => part.names().find(|name| is_lost(part, name)),
                Some(_) => part.get_filled(&["text"]).filter(|(_, text)| is_said(text)).map(|(name, _)| name),
            };
            if let Some(name) = lost {
                let expected = "expected a part of its own";
                return Err(unexpected_schema(format!(
                    "a part of a turn has {name:?}, which would be lost; {expected}"
                )));
            }
        }
    }
    Ok(())
}

/// Whether a text is more than a placeholder.
fn is_said(text: &Value<'_>) -> bool {
    text.as_text().is_some_and(|text| !["", "<image>", "<video>"].contains(&text.trim()))
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

/// Whether a field of this name has a picture of whoever made the record.
fn is_called_ornament(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["avatar", "icon", "logo"].iter().any(|word| name.contains(word))
}

fn is_called_picture(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["image", "img", "picture", "photo", "screenshot", "thumbnail", "figure", "video"]
        .iter()
        .any(|word| name.contains(word))
}

/// Whether a field of this name has what was computed of a medium, and shows nothing.
fn is_called_digest(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["hash", "md5", "sha1", "sha256", "sha512", "digest", "checksum", "crc", "embed", "vector"]
        .iter()
        .any(|word| name.contains(word))
}

/// Whether a value of a column with bytes has any, which records show as `true`.
fn has_bytes(value: &Value<'_>) -> bool {
    match value {
        Value::Bool(is_there) => *is_there,
        Value::List(items) => items.iter().any(has_bytes),
        Value::Object(object) => object.names().filter_map(|name| object.get(name)).any(has_bytes),
        _ => false,
    }
}

/// Whether a value has a file in base64 at any depth. An ordinary text may begin with "data:", too.
fn has_base64(value: &Value<'_>) -> bool {
    match value {
        Value::Text(text) if text.starts_with("data:") => {
            text.split_once(',').is_some_and(|(head, _)| head.ends_with(";base64"))
        }
        Value::Text(text) => is_base64(text),
        Value::List(items) => items.iter().any(has_base64),
        Value::Object(object) => object.names().filter_map(|name| object.get(name)).any(has_base64),
        _ => false,
    }
}

/// Whether a value is a conversation: texts or turns. Fields such as `data` may have one, or a medium.
fn has_texts(value: &Value<'_>) -> bool {
    match value {
        Value::Text(_) => true,
        Value::List(items) => items.iter().all(has_texts),
        Value::Object(turn) => turn.get_any(CONTENTS).is_some(),
        _ => false,
    }
}

/// The media that are read.
struct Read<'a> {
    columns_with_bytes: Option<&'a BTreeSet<String>>,
    num_media: usize,
    /// Whether only turns are read, and no medium: a path or address of one, anywhere, is then what they are about.
    is_text_only: bool,
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
        let paths = locations.iter().filter_map(path).collect();
        let num_media = locations.len();
        let is_text_only = num_media == 0 && !record.draft.is_document;
        Self { columns_with_bytes: record.columns_with_bytes, num_media, is_text_only, paths }
    }

    /// Whether a field is a medium that is not read.
    fn is_another(&self, row: &Object<'_>, name: &str) -> bool {
        let is_like_one = ["image", "img", "video"].iter().any(|start| name.to_ascii_lowercase().starts_with(start));
        let is_name = NAMES.contains(&name) || name.ends_with("_id") || !self.is_text_only && ORIGINS.contains(&name);
        let is_name = is_name || self.is_text_only && is_called_ornament(name);
        row.get(name).is_some_and(|value| {
            let is_text = is_text(name) && (name != "data" || has_texts(value));
            let is_looked_at = is_like_one || !(is_name || is_text);
            is_looked_at && (self.is_another_medium(value, is_like_one) || self.is_bytes(row, name))
                || !is_text && has_base64(value)
        })
    }

    /// Whether a field has bytes in the file of the record; only that file tells them from truth values.
    fn is_bytes(&self, row: &Object<'_>, name: &str) -> bool {
        let is_there = self.columns_with_bytes.is_some_and(|columns| columns.contains(name));
        is_there && !is_called_digest(name) && row.get(name).is_some_and(has_bytes)
    }

    fn is_another_medium(&self, value: &Value<'_>, is_like_one: bool) -> bool {
        match value {
            // Bytes in the file of the record may have names and addresses beside them.
            Value::Text(_) if self.num_media > self.paths.len() => false,
            Value::Text(text) => {
                let path = text.strip_prefix("file://").unwrap_or(&**text);
                let is_url = path.contains("://");
                let file = Path::new(path.split(['?', '#']).next().filter(|_| is_url).unwrap_or(path));
                let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
                // A URL says where a medium comes from, and `.ts` may be TypeScript.
                let is_elsewhere = is_url && !self.is_text_only || ending == "ts";
                let is_medium = || kind_of_ending(ending).is_some() || SOUNDS.contains(&&*ending.to_ascii_lowercase());
                (is_like_one || !is_elsewhere) && is_medium() && !self.has(path)
            }
            Value::List(items) => items.iter().any(|item| self.is_another_medium(item, is_like_one)),
            Value::Object(object) => {
                let is_looked_at =
                    |name: &&str| self.is_text_only && !is_text(name) && !is_called_ornament(name) || *name == "path";
                object.get("bytes") == Some(&Value::Bool(true))
                    || object
                        .names()
                        .filter(is_looked_at)
                        .filter_map(|name| object.get(name))
                        .any(|value| self.is_another_medium(value, is_like_one))
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
