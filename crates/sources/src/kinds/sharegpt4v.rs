//! ShareGPT4V: captions by GPT-4V and by the captioner trained on them, in LLaVA's format.
//!
//! ```json
//! {"id": "000000000009", "image": "coco/train2017/000000000009.jpg",
//!  "conversations": [{"from": "human", "value": "What do you see happening in this image?\n<image>"}, …]}
//! ```
//!
//! The placeholder stands at the end of the question as often as at its start; it stays where it is.
//! Its mixes hold text-only records as LLaVA's do. The images come from eight and more other downloads.

use super::{Reader, llava};
use crate::placement::Unplaced;

pub(crate) const READER: Reader = Reader { ids: &["id"], unplaced: Unplaced::OneComesFirst, draft: llava::draft };
