//! What `auto` would lose: a record that has it is rejected, and not delivered without it.

use manyframe_core::{RejectCode, Rejection, Role};

use crate::conversation::role_of;
use crate::draft::{Draft, DraftPart};
use crate::fields::kind_of_path;
use crate::options::SourceOptions;
use crate::reject::unexpected_schema;
use crate::value::{Object, Value};

/// Parts of a video, in forms that are not read.
const SEGMENTS: &[&str] = &[
    "clip",
    "clip_end",
    "clip_start",
    "segment",
    "segments",
    "time_range",
    "timestamp",
    "timestamps",
    "video_end",
    "video_start",
];

/// Rejects a record with something that no turn and no medium of the draft has.
pub(crate) fn reject_lost(
    row: &Object<'_>,
    draft: &Draft<'_>,
    known_media: &[&str],
    options: &SourceOptions,
) -> Result<(), Rejection> {
    reject_placeholders_without_media(draft)?;
    // Where fields were named, somebody has decided.
    if options.fields.is_empty() {
        reject_other_media(row, known_media)?;
    }
    if let Some((name, _)) = row.get_filled(SEGMENTS).filter(|_| !draft.media.videos.is_empty()) {
        let known = "start and end, in seconds";
        return Err(unexpected_schema(format!("{name:?} may be a part of its video, which is read from {known}")));
    }
    reject_options_beside_the_question(row)?;
    reject_untrained(row)
}

fn texts<'d>(draft: &'d Draft<'_>) -> impl Iterator<Item = &'d str> {
    draft.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match part {
        DraftPart::Text(text) => Some(&**text),
        DraftPart::Medium(_) | DraftPart::Placeholder(_) => None,
    })
}

fn reject_placeholders_without_media(draft: &Draft<'_>) -> Result<(), Rejection> {
    let has_own = draft.turns.iter().flat_map(|turn| &turn.parts).any(|part| !matches!(part, DraftPart::Text(_)));
    if draft.is_document || has_own || !draft.media.is_empty() {
        return Ok(());
    }
    let placeholders = ["<image>", "<video>"];
    if let Some(found) = placeholders.iter().find(|found| texts(draft).any(|text| text.contains(**found))) {
        let detail = format!("a turn has {found}, but the record has no image and no video");
        return Err(Rejection::new(RejectCode::PlaceholderMismatch, detail));
    }
    if texts(draft).any(|text| text.contains("<img>") && text.contains("</img>")) {
        return Err(unexpected_schema(
            "a turn names its image between <img> and </img>, which is not read; use \"images\"",
        ));
    }
    Ok(())
}

/// A second field with media, such as `image2`, or `images` beside `image`.
fn reject_other_media(row: &Object<'_>, known: &[&str]) -> Result<(), Rejection> {
    let filled = |name: &&str| row.get_filled(&[name]).is_some();
    let images: Vec<&str> = row.names().filter(|name| known.contains(name)).filter(filled).collect();
    if let [first, second, ..] = images.as_slice()
        && row.get(first) != row.get(second)
    {
        return Err(unexpected_schema(format!("{first:?} and {second:?} both name media; expected one of them")));
    }
    let names_medium = |name: &&str| {
        let is_path = row.get(name).and_then(Value::as_text).and_then(kind_of_path).is_some();
        let is_like_one = ["image", "img", "video"].iter().any(|start| name.to_ascii_lowercase().starts_with(start));
        is_like_one && is_path && !known.contains(name)
    };
    match row.names().filter(|_| !images.is_empty()).find(names_medium) {
        Some(name) => Err(unexpected_schema(format!("{name:?} names another medium; expected a list in one field"))),
        None => Ok(()),
    }
}

/// Options that the question does not have itself.
fn reject_options_beside_the_question(row: &Object<'_>) -> Result<(), Rejection> {
    let Some((name, Value::List(options))) = row.get_filled(&["options", "choices"]) else { return Ok(()) };
    let Some(question) = row.get("question").and_then(Value::as_text) else { return Ok(()) };
    if options.iter().filter_map(Value::as_text).all(|option| question.contains(option)) {
        return Ok(());
    }
    Err(unexpected_schema(format!("{name:?} are not in the question, where the model would see them")))
}

/// Answers that are not to be learned.
fn reject_untrained(row: &Object<'_>) -> Result<(), Rejection> {
    let is_bad = row.get("label") == Some(&Value::Bool(false)) && row.get("completion").is_some();
    let turns = match row.get_any(&["messages", "conversations", "conversation"]) {
        Some((_, Value::List(turns))) => turns.as_slice(),
        _ => &[],
    };
    let is_left_out = |turn: &Value<'_>| match turn {
        Value::Object(turn) => {
            let role = turn.get_any(&["role", "from"]).and_then(|(_, role)| role.as_text());
            let is_assistant = role.is_some_and(|role| role_of(role).ok() == Some(Role::Assistant));
            // As ms-swift, Axolotl and OpenAI say it.
            let is_off = ["loss", "train"].iter().any(|name| turn.get(name) == Some(&Value::Bool(false)));
            is_assistant && (is_off || turn.get("weight").and_then(Value::as_f64) == Some(0.0))
        }
        _ => false,
    };
    if is_bad || turns.iter().any(is_left_out) {
        return Err(unexpected_schema(
            "an answer is marked as one that is not to be learned, which cannot be left out yet",
        ));
    }
    Ok(())
}
