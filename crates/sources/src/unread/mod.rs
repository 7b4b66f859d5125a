//! What `auto` would lose: a record that has it is rejected, and not delivered without it. For `text`, that are thoughts and calls
//! of tools beside what is said, and answers that are not to be learned.
//!
//! The option `fields` decides between media, and between texts: what it names is read, and others beside it are not.

mod media;
mod options;
mod read_record;
mod texts;
mod turns;

use manyframe_core::{RejectCode, Rejection};

pub(crate) use self::read_record::ReadRecord;
pub(crate) use self::turns::reject_lost_of_turns;
use crate::draft::DraftPart;
use crate::reject::unexpected_schema;

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
pub(crate) fn reject_lost(record: &ReadRecord<'_, '_>) -> Result<(), Rejection> {
    reject_placeholders_without_media(record)?;
    media::reject_other_media(record)?;
    let segment = record.row.get_filled(SEGMENTS);
    if let Some((name, _)) = segment.filter(|_| !record.draft.media.videos.is_empty()) {
        let known = "start and end, in seconds";
        return Err(unexpected_schema(format!("{name:?} may be a part of its video, which is read from {known}")));
    }
    options::reject_options_beside_the_question(record)?;
    reject_lost_of_turns(record.row)?;
    media::reject_media_of_turns(record)?;
    texts::reject_other_texts(record)
}

fn reject_placeholders_without_media(record: &ReadRecord<'_, '_>) -> Result<(), Rejection> {
    let draft = record.draft;
    let has_own = draft.turns.iter().flat_map(|turn| &turn.parts).any(|part| !matches!(part, DraftPart::Text(_)));
    if draft.is_document || has_own || !draft.media.is_empty() {
        return Ok(());
    }
    let placeholders = ["<image>", "<video>"];
    if let Some(found) = placeholders.iter().find(|found| record.texts().any(|text| text.contains(**found))) {
        let detail = format!("a turn has {found}, but the record has no image and no video");
        return Err(Rejection::new(RejectCode::PlaceholderMismatch, detail));
    }
    if record.texts().any(|text| text.contains("<img>") && text.contains("</img>")) {
        return Err(unexpected_schema(
            "a turn names its image between <img> and </img>, which is not read; use \"images\"",
        ));
    }
    Ok(())
}
