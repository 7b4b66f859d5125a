//! LLaVA's format: LLaVA-1.5 mix665k, LLaVA-Pretrain, LLaVA-NeXT-Data, and the many files written in it.
//!
//! ```json
//! {"id": "000000033471", "image": "coco/train2017/000000033471.jpg",
//!  "conversations": [{"from": "human", "value": "<image>\nWhat …?"}, {"from": "gpt", "value": "…"}]}
//! ```
//!
//! * `id` is a string or a number, and repeats across the sets that a mix is made of.
//! * Text-only records have no `image` (or null, or `""`), and may have a `model`, which is not used.
//! * In records with one image, `<image>` comes first, last, or not at all; elsewhere its absence is a mismatch.
//! * `image` may be a list, an object with a path, or bytes of a Parquet file; `images`, `video` and `videos` are read
//!   too.
//! * LLaVA-NeXT's `data_source` is the subset, unless the file decides it.
//!
//! LLaVA-Pretrain's `…_meta.json` has no conversations: each of its records is rejected with the reason.

use manyframe_core::Rejection;

use crate::conversation::read_turns;
use crate::draft::Draft;
use crate::fields::{read_media, read_text};
use crate::placement::Unplaced;
use crate::reader::{KindReader, RecordContext};
use crate::value::Object;

pub(crate) const READER: KindReader =
    KindReader { unplaced: Unplaced::OneComesFirst, ..KindReader::new(&["id", "idx", "sample_id", "uuid"], draft) };

/// A conversation, and media under their usual names.
pub(crate) fn draft<'r>(row: &'r Object<'_>, context: &RecordContext<'_>) -> Result<Draft<'r>, Rejection> {
    let turns = read_turns(row)?;
    Ok(Draft {
        subset: read_text(row, "data_source")?,
        turns,
        media: read_media(row, context.table)?,
        ..Draft::default()
    })
}
