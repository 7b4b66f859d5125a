//! From the text of a record to a [`Record`] or a [`RejectedRecord`]: the part that all datasets share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use manyframe_core::{
    MediaKind, MediaLocation, MediaRef, Origin, Position, Record, RejectCode, RejectedRecord, Rejection, Role,
    UncheckedRecord,
};

use crate::artefact::Artefacts;
use crate::conversation::write_out_answer;
use crate::draft::{Draft, DraftPart};
use crate::fields::{Embedded, EmbeddedPlace, FILES, IMAGES, MediaFields, VIDEOS, read_id};
use crate::json::{joined, may_be_several, overwritten};
use crate::kinds::SourceKind;
use crate::options::{LeadingAnswer, SourceOptions};
use crate::placement::{Placement, place};
use crate::raw::{Raw, RawBody};
use crate::reader::RecordContext;
use crate::reject::{names_of, quoted, unexpected_schema};
use crate::side::{AskedFields, Sides};
use crate::syntax;
use crate::value::{Object, Value};

/// What the readers of a source's records share.
pub(crate) struct ParseContext<'a> {
    /// Name of the source.
    pub(crate) name: &'a Arc<str>,
    pub(crate) kind: SourceKind,
    pub(crate) options: &'a SourceOptions,
    pub(crate) artefacts: &'a Artefacts,
    /// Tables beside the annotations, once they are read.
    pub(crate) sides: Option<&'a Sides>,
    /// Path of the annotation file: if it is a table or an archive, media can be in it.
    pub(crate) table: Option<&'a Arc<str>>,
    /// Columns of the annotation file whose bytes are `true` in its records.
    pub(crate) columns_with_bytes: Option<&'a BTreeSet<String>>,
}

/// Understands a record.
pub(crate) fn parse(raw: &Raw, context: &ParseContext<'_>) -> Result<Record, RejectedRecord> {
    let mut upstream_id = String::new();
    record_of(raw, context, &mut upstream_id).map_err(|rejection| RejectedRecord {
        rejection,
        subset: raw.subset.to_string(),
        upstream_id,
        origin: raw.origin.clone(),
    })
}

/// Sets `upstream_id` as soon as it is known, so that a rejected record has it.
fn record_of(raw: &Raw, context: &ParseContext<'_>, upstream_id: &mut String) -> Result<Record, Rejection> {
    let reader = context.kind.reader();
    if let RawBody::Broken { head, .. } = &raw.body
        && let Some(Value::Object(known)) = syntax::value_of(head)
    {
        *upstream_id = read_id(&known, reader.ids).unwrap_or_default();
    }
    let mut row = read_object(raw)?;
    if let Some(sides) = context.sides.filter(|sides| sides.has_joins()) {
        *upstream_id = read_id(&row, reader.ids)?;
        sides.join(&mut row)?;
    }
    rename(&mut row, &context.options.fields)?;
    *upstream_id = read_id(&row, reader.ids)?;
    if let Some(sides) = context.sides {
        sides.select(&row, upstream_id)?;
    }
    write_out_answer(&mut row, !matches!((&raw.body, raw.origin.position), (RawBody::Json(_), Position::Row(_))));
    let table = embedded(raw, context);
    let record_context = RecordContext {
        options: context.options,
        table: table.as_ref(),
        columns_with_bytes: context.columns_with_bytes,
        subset: &raw.subset,
        upstream_id,
    };
    let mut draft = (reader.draft)(&row, &record_context)?;
    tidy(&mut draft, context.options);
    context.artefacts.reject_in(&draft.turns)?;
    let placement = Placement {
        unplaced: reader.unplaced,
        missing: context.options.missing_placeholders,
        swapped: context.options.swapped_roles,
    };
    let (turns, media) = place(&draft, placement)?;
    let subset = match draft.subset {
        Some(subset) if raw.subset.is_empty() => subset.into(),
        _ => Arc::clone(&raw.subset),
    };
    let record = UncheckedRecord {
        source: Arc::clone(context.name),
        subset,
        upstream_id: upstream_id.clone(),
        turns,
        media,
        origin: raw.origin.clone(),
    };
    Ok(if draft.is_document { Record::try_document(record)? } else { Record::try_new(record)? })
}

/// What the condition of the source asks for, of a record; `None` if there is none, or the record cannot be read.
pub(crate) fn asked_fields(raw: &Raw, context: &ParseContext<'_>) -> Option<AskedFields> {
    let sides = context.sides?;
    let ids = context.kind.reader().ids;
    let mut row = read_object(raw).ok()?;
    // What else is wrong with it is no matter here.
    _ = sides.join(&mut row);
    _ = rename(&mut row, &context.options.fields);
    sides.asked_fields(&row, &read_id(&row, ids).unwrap_or_default())
}

/// The images that a record names in fields, as far as these can be read.
pub(crate) fn named_images(raw: &Raw, context: &ParseContext<'_>) -> Vec<MediaRef> {
    let Ok(mut row) = read_object(raw) else { return Vec::new() };
    // What else is wrong with it is no matter here.
    _ = rename(&mut row, &context.options.fields);
    let table = embedded(raw, context);
    let mut images = MediaFields::images(IMAGES).read(&row, table.as_ref()).unwrap_or_default();
    for image in &mut images {
        shorten(image, &context.options.media_prefix);
    }
    images
}

/// Where the media of a record are, if its file has them.
fn embedded<'a>(raw: &'a Raw, context: &ParseContext<'a>) -> Option<Embedded<'a>> {
    let place = match (&raw.body, raw.origin.position) {
        (RawBody::Sample { members, .. }, _) => EmbeddedPlace::Members(members),
        (_, Position::Row(row)) => EmbeddedPlace::Row(row),
        _ => return None,
    };
    Some(Embedded { file: Arc::clone(context.table?), place, fields: &context.options.fields })
}

/// Gives fields the names of the option `fields`. A record has all of them, or it is not what was meant: another field would take
/// their place. Of those with images and videos, one is enough.
fn rename(row: &mut Object<'_>, fields: &BTreeMap<String, String>) -> Result<(), Rejection> {
    let is_medium = |name: &str| [IMAGES, VIDEOS, FILES].iter().any(|names| names.contains(&name));
    let lacking: Vec<_> = fields.iter().filter_map(|(name, found)| Some((name, row.lacks(found)?))).collect();
    if !lacking.is_empty() {
        let num_media = fields.keys().filter(|name| is_medium(name)).count();
        let has_medium = lacking.iter().filter(|(name, _)| is_medium(name)).count() < num_media;
        if let Some((_, found)) = lacking.iter().find(|(name, _)| !has_medium || !is_medium(name)) {
            let has = names_of(row);
            return Err(unexpected_schema(format!("`fields` names {found:?}, which the record lacks; it has {has}")));
        }
    }
    // All are looked up before any is set, so that two can have each other's name.
    let values: Vec<_> = fields.iter().map(|(name, found)| (name, row.looked_up(found))).collect();
    for (name, value) in values {
        row.set(name, value);
    }
    Ok(())
}

fn read_object(raw: &Raw) -> Result<Object<'_>, Rejection> {
    let malformed = |detail| Rejection::new(RejectCode::MalformedRecord, detail);
    let text = match &raw.body {
        RawBody::Json(text) | RawBody::Sample { text, .. } => text,
        RawBody::Broken { rejection, .. } => return Err(rejection.clone()),
        RawBody::Merged(_) => return Err(unexpected_schema("several records where one is expected")),
    };
    match syntax::value_of(text).map_or_else(|| serde_json::from_slice(text), Ok) {
        Ok(Value::Object(object)) => match joined_in_file(raw) {
            Some(rejection) => Err(rejection),
            None => Ok(object),
        },
        Ok(Value::List(items)) if matches!(raw.origin.position, Position::Bytes { .. }) => {
            let num_items = items.len();
            let detail = format!(
                "the record is a list of {num_items} values, expected an object; this is one reject for all of them"
            );
            Err(unexpected_schema(detail))
        }
        Ok(other) => Err(unexpected_schema(format!("the record is {}, expected an object", other.kind()))),
        Err(error) => Err(overwritten(text).unwrap_or_else(|| malformed(describe(&error, text, &raw.origin)))),
    }
}

/// What is wrong with a record of a JSON file whose bytes were written over.
fn joined_in_file(raw: &Raw) -> Option<Rejection> {
    match (&raw.body, raw.origin.position) {
        (RawBody::Json(text), Position::Bytes { offset, .. }) => joined(text, offset),
        _ => None,
    }
}

/// The parser's message, with the line of the file instead of the line of the record.
fn describe(error: &serde_json::Error, text: &[u8], origin: &Origin) -> String {
    let message = error.to_string();
    let reason = message.split_once(" at line ").map_or(message.as_str(), |(reason, _)| reason);
    let line_of_record = text.split(|&byte| byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let start = error.column().saturating_sub(20);
    let near = line_of_record.get(start..(start + 40).min(line_of_record.len())).unwrap_or_default();
    let near = quoted(&String::from_utf8_lossy(near));
    // An array with other entries has them in one piece, up to the next object.
    let is_between = reason == "trailing characters" && !text.trim_ascii_start().starts_with(b"{");
    let reason = if is_between { "an entry of the array is not an object" } else { reason };
    match origin.position {
        Position::Bytes { line, .. } => {
            let line = line + (error.line() as u64).saturating_sub(1);
            let number = if may_be_several(text) { "; it may have been several records" } else { "" };
            format!("not valid JSON: {reason}, in line {line} of the file, near {near}{number}")
        }
        Position::Row(_) | Position::File => format!("not valid JSON: {reason}, near {near}"),
    }
}

/// Applies the options that change turns and media, and drops empty system turns.
fn tidy(draft: &mut Draft<'_>, options: &SourceOptions) {
    draft.turns.retain(|turn| turn.role != Role::System || !turn.is_blank());
    if options.leading_answer == LeadingAnswer::Drop && !draft.is_document {
        let mut is_asked = false;
        draft.turns.retain(|turn| {
            is_asked |= turn.role == Role::User;
            is_asked || turn.role != Role::Assistant
        });
    }
    for medium in media_of(draft) {
        if medium.kind == MediaKind::Video {
            medium.fps = medium.fps.or(options.fps);
        }
        shorten(medium, &options.media_prefix);
    }
}

fn media_of<'d>(draft: &'d mut Draft<'_>) -> impl Iterator<Item = &'d mut MediaRef> {
    let in_turns = draft.turns.iter_mut().flat_map(|turn| &mut turn.parts).filter_map(|part| match part {
        DraftPart::Medium(medium) => Some(medium),
        DraftPart::Text(_) | DraftPart::Placeholder { .. } => None,
    });
    in_turns.chain(&mut draft.media.images).chain(&mut draft.media.videos)
}

/// Leaves whole names out of a path, if it begins with them.
fn shorten(medium: &mut MediaRef, prefix: &str) {
    let is_separator = |character: char| matches!(character, '/' | '\\');
    let MediaLocation::Path(path) = &mut medium.location else { return };
    let Some(rest) = path.strip_prefix(prefix).filter(|_| !prefix.is_empty()) else { return };
    if prefix.ends_with(is_separator) || rest.starts_with(is_separator) {
        *path = rest.trim_start_matches(is_separator).to_owned();
    }
}
