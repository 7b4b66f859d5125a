//! Conversations without images and videos, for replay: ShareGPT, UltraChat, Magpie, Evol-Instruct, Alpaca and the
//! like, in every shape of `conversation.rs`.
//!
//! * A placeholder in the text is text: the record has nothing that it could stand for.
//! * A record that does have images, videos or audio is rejected: name the file as another kind of source.
//! * A conversation that starts with an answer, as ShareGPT's often do, is rejected unless the option
//!   `leading_answer = "drop"` leaves that answer out.

use manyframe_core::RejectCode;

use super::{Reader, Setting};
use crate::conversation::read_turns;
use crate::draft::{Draft, DraftMedia, Piece};
use crate::fault::Fault;
use crate::placement::Unplaced;
use crate::value::Object;

pub(crate) const READER: Reader = Reader {
    ids: &["id", "idx", "uuid", "conversation_id", "prompt_id", "sample_id", "question_id"],
    unplaced: Unplaced::IsMismatch,
    draft,
};

const MEDIA: &[&str] = &["image", "images", "video", "videos", "audio", "audios"];

fn draft<'r>(row: &'r Object<'_>, _: &Setting<'_>) -> Result<Draft<'r>, Fault> {
    if let Some((name, _)) = row.get_filled(MEDIA) {
        return Err(Fault::new(RejectCode::UnsupportedMedia, format!("a text source, but the record has {name:?}")));
    }
    let turns = read_turns(row)?;
    let is_text = turns.iter().flat_map(|turn| &turn.pieces).all(|piece| matches!(piece, Piece::Text(_)));
    if !is_text {
        return Err(Fault::new(RejectCode::UnsupportedMedia, "a text source, but a turn has an image or video"));
    }
    Ok(Draft { subset: None, turns, media: DraftMedia::default() })
}
