//! M4-Instruct: interleaved images, videos and views from many datasets.
//!
//! ```json
//! {"sample_id": 1, "image": ["MagicBrush/images/1.jpg", "MagicBrush/images/2.jpg"], "choice_list": null,
//!  "metadata": {"dataset": "MagicBrush", …}, "conversations": [{"from": "human", "value": "Source: <image>\n…"}, …]}
//! ```
//!
//! * `sample_id` counts within a dataset; `metadata.dataset` is the subset, unless the file decides it.
//! * Some records have fewer placeholders than images: a mismatch.
//! * In `twitter_post`, user and assistant are swapped, and placeholders are in answers: the option
//!   `swapped_roles = "fix"` swaps them back.

use manyframe_core::Rejection;

use crate::conversation::read_turns;
use crate::draft::Draft;
use crate::fields::{read_media, read_text};
use crate::reader::{KindReader, RecordContext};
use crate::reject::wrong_type;
use crate::value::{Object, Value};

pub(crate) const READER: KindReader = KindReader::new(&["sample_id", "id"], draft);

fn draft<'r>(row: &'r Object<'_>, context: &RecordContext<'_>) -> Result<Draft<'r>, Rejection> {
    let subset = match row.get("metadata") {
        None => None,
        Some(Value::Object(metadata)) => read_text(metadata, "dataset")?,
        Some(other) => return Err(wrong_type("metadata", other, "an object")),
    };
    Ok(Draft { subset, turns: read_turns(row)?, media: read_media(row, context.table)?, ..Draft::default() })
}
