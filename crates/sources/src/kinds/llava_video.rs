//! LLaVA-Video-178K, and the LongVILA fine-tuning set: conversations about a video.
//!
//! ```json
//! {"id": "1006-8968804598", "data_source": "0_30_s_nextqa", "video": "NextQA/NExTVideo/1006/8968804598.mp4",
//!  "conversations": [{"from": "human", "value": "<image>\nWhat …?"}, {"from": "gpt", "value": "…"}]}
//! ```
//!
//! * One `<image>` or `<video>` marks the position of the video; without either, the video comes first.
//! * LongVILA names the video in `video_id` where `video` is absent, and may have `fps`, for extracted
//!   frames.
//! * `data_source` is the subset, unless the file decides it.

use manyframe_core::Rejection;

use crate::conversation::read_turns;
use crate::draft::Draft;
use crate::fields::{MediaFields, read_media, read_number, read_text};
use crate::placement::Unplaced;
use crate::reader::{KindReader, RecordContext};
use crate::reject::unexpected_schema;
use crate::value::Object;

pub(crate) const READER: KindReader =
    KindReader { unplaced: Unplaced::AllComeFirst, ..KindReader::new(&["id", "sample_id", "video_id"], draft) };

fn draft<'r>(row: &'r Object<'_>, context: &RecordContext<'_>) -> Result<Draft<'r>, Rejection> {
    let turns = read_turns(row)?;
    let mut media = read_media(row, context.table)?;
    if media.is_empty() {
        media.videos = MediaFields::videos(&["video_id"]).read(row, None)?;
    }
    if let Some(fps) = read_number(row, "fps")? {
        if !fps.is_finite() || fps <= 0.0 {
            return Err(unexpected_schema(format!("\"fps\" is {fps}, expected more than 0")));
        }
        media.videos.iter_mut().for_each(|video| video.fps = Some(fps));
    }
    Ok(Draft { subset: read_text(row, "data_source")?, turns, media, ..Draft::default() })
}
