//! Conversations without images and videos, for replay: ShareGPT, UltraChat, Magpie, Evol-Instruct, Alpaca and others,
//! in every shape of `conversation.rs`. And documents for language modelling: SlimPajama, FineWeb, Dolma and others.
//!
//! * A record without a conversation and with a string `text` is a document. SlimPajama names its subset in `meta`.
//! * A placeholder in the text is text, because there is no medium for it.
//! * A record with images, videos or audio is rejected: read the file as another kind of source.
//! * A record is rejected if a turn has something beside what it says that would be lost: a thought (`reasoning_content`), calls of
//!   tools, or a mark that the answer is not to be learned.
//! * A conversation that starts with an answer, as ShareGPT's often do, is rejected unless the option
//!   `leading_answer = "drop"` removes that answer.

use manyframe_core::{RejectCode, Rejection, Role};

use crate::conversation::{has_conversation, read_turns_or};
use crate::draft::{Draft, DraftPart, DraftTurn};
use crate::reader::{KindReader, RecordContext};
use crate::reject::wrong_type;
use crate::unread::reject_lost_of_turns;
use crate::value::{Object, Value};

pub(crate) const READER: KindReader =
    KindReader::new(&["id", "idx", "uuid", "conversation_id", "prompt_id", "sample_id", "question_id"], draft);

const MEDIA: &[&str] = &["image", "images", "video", "videos", "audio", "audios"];

fn draft<'r>(row: &'r Object<'_>, _: &RecordContext<'_>) -> Result<Draft<'r>, Rejection> {
    if let Some((name, _)) = row.get_filled(MEDIA) {
        return Err(Rejection::new(
            RejectCode::UnsupportedMedia,
            format!("a text source, but the record has {name:?}"),
        ));
    }
    if let Some(document) = document(row)? {
        let subset = subset_of_document(row);
        return Ok(Draft { subset, turns: vec![document], is_document: true, ..Draft::default() });
    }
    let turns = read_turns_or(row, ", or a document (text)")?;
    reject_lost_of_turns(row)?;
    let is_text = turns.iter().flat_map(|turn| &turn.parts).all(|part| matches!(part, DraftPart::Text(_)));
    if !is_text {
        return Err(Rejection::new(RejectCode::UnsupportedMedia, "a text source, but a turn has an image or video"));
    }
    Ok(Draft { turns, ..Draft::default() })
}

/// The text of a document; `None` if the record is a conversation.
fn document<'r>(row: &'r Object<'_>) -> Result<Option<DraftTurn<'r>>, Rejection> {
    if has_conversation(row) {
        return Ok(None);
    }
    match row.get("text") {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(DraftTurn::text(Role::Assistant, text.as_ref()))),
        Some(other) => Err(wrong_type("text", other, "a string")),
    }
}

fn subset_of_document(row: &Object<'_>) -> Option<String> {
    match row.get("meta") {
        Some(Value::Object(meta)) => meta.get("redpajama_set_name")?.as_text().map(str::to_owned),
        _ => None,
    }
}
