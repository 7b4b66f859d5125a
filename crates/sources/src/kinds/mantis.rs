//! Mantis-Instruct: conversations about several images, as Parquet or JSON.
//!
//! ```json
//! {"id": "nlvr2_1", "images": [{"bytes": null, "path": "a.png"}, …], "source": "nlvr2",
//!  "conversation": [{"role": "user", "content": "<image> <image> Is …?"}, {"role": "assistant", "content": "…"}]}
//! ```
//!
//! * `images` is null in text-only records; in JSON it is a list of paths. Bytes in the table are used where they are
//!   there.
//! * Placeholders stand anywhere. Records cut from longer ones (`…_partN`) keep all images but not all placeholders:
//!   a mismatch, unless the option `missing_placeholders = "prepend"` does what Mantis' own loader does.
//! * `source` names the subset, sometimes by an older name; the subset given with the file has precedence.

use manyframe_core::{MediaKind, Rejection};

use super::{Reader, Setting};
use crate::conversation::read_turns;
use crate::draft::{Draft, DraftMedia};
use crate::fields::{read_media_of_kind, read_text};
use crate::placement::Unplaced;
use crate::value::Object;

pub(crate) const READER: Reader = Reader { ids: &["id"], unplaced: Unplaced::IsMismatch, draft };

fn draft<'r>(row: &'r Object<'_>, setting: &Setting<'_>) -> Result<Draft<'r>, Rejection> {
    let turns = read_turns(row)?;
    let images = read_media_of_kind(row, &["images", "image"], MediaKind::Image, setting.table)?;
    Ok(Draft {
        subset: read_text(row, "source")?,
        turns,
        media: DraftMedia { images, videos: Vec::new() },
        ..Draft::default()
    })
}
