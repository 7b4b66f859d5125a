//! ALLaVA-4V: captions and instructions for images of LAION and Vision-FLAN, and Evol-Instruct texts.
//!
//! ```json
//! {"id": "allava_laion_cap_100277305", "image": "allava_laion/images/100277305.jpeg", "original_caption": "…", "url": "…",
//!  "conversations": [{"from": "human", "value": "<image>\nPlease depict the image in words."}, …]}
//! {"idx": "heR0vZB", "conversations": […]}
//! ```
//!
//! * Texts have `idx` instead of `id`, and no image.
//! * An older revision lost the `image` field of its image records: a question that begins or ends with a placeholder,
//!   in a record without image, is a mismatch here and not text.

use manyframe_core::{RejectCode, Rejection, Role};

use crate::draft::{Draft, DraftPart};
use crate::kinds::llava;
use crate::placement::Unplaced;
use crate::reader::{KindReader, RecordContext};
use crate::value::Object;

pub(crate) const READER: KindReader =
    KindReader { unplaced: Unplaced::OneComesFirst, ..KindReader::new(&["id", "idx"], draft) };

fn draft<'r>(row: &'r Object<'_>, context: &RecordContext<'_>) -> Result<Draft<'r>, Rejection> {
    let draft = llava::draft(row, context)?;
    if draft.media.is_empty() && asks_about_an_image(&draft) {
        let detail = "the question has an image placeholder, but the record has no image";
        return Err(Rejection::new(RejectCode::PlaceholderMismatch, detail));
    }
    Ok(draft)
}

fn asks_about_an_image(draft: &Draft<'_>) -> bool {
    let first = draft.turns.iter().find(|turn| turn.role == Role::User);
    first.is_some_and(|turn| match turn.parts.as_slice() {
        [DraftPart::Text(text)] => text.trim_start().starts_with("<image>\n") || text.trim_end().ends_with("\n<image>"),
        _ => false,
    })
}
