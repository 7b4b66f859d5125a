//! Mantis-Instruct: conversations about several images, as Parquet or JSON.
//!
//! ```json
//! {"id": "nlvr2_1", "images": [{"bytes": null, "path": "a.png"}, …], "source": "nlvr2",
//!  "conversation": [{"role": "user", "content": "<image> <image> Is …?"}, {"role": "assistant", "content": "…"}]}
//! ```
//!
//! * `images` is null in text-only records; in JSON it is a list of paths. Bytes in the table are used if there
//!   are any.
//! * Placeholders can be anywhere. Records cut from longer ones (`…_partN`) keep all images but not all placeholders:
//!   a mismatch, unless the option `missing_placeholders = "prepend"` does what Mantis' own loader does.
//! * `source` names the subset, sometimes by an older name; a subset that the file decides has precedence.

use manyframe_core::Rejection;

use crate::conversation::read_turns;
use crate::draft::{Draft, DraftMedia};
use crate::fields::{MediaFields, read_text};
use crate::reader::{KindReader, RecordContext};
use crate::value::Object;

pub(crate) const READER: KindReader = KindReader::new(&["id"], draft);

fn draft<'r>(row: &'r Object<'_>, context: &RecordContext<'_>) -> Result<Draft<'r>, Rejection> {
    let turns = read_turns(row)?;
    let images = MediaFields::images(&["images", "image"]).read(row, context.table)?;
    Ok(Draft {
        subset: read_text(row, "source")?,
        turns,
        media: DraftMedia { images, videos: Vec::new() },
        ..Draft::default()
    })
}
