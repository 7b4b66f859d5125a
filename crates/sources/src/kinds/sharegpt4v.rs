//! ShareGPT4V: captions by GPT-4V and by the captioner trained on them, in LLaVA's format.
//!
//! ```json
//! {"id": "000000000009", "image": "coco/train2017/000000000009.jpg",
//!  "conversations": [{"from": "human", "value": "What do you see happening in this image?\n<image>"}, …]}
//! ```
//!
//! The placeholder is at the end of the question as often as at its start, and stays there.
//! Its mixes contain text-only records, as LLaVA's do. The images are in eight or more other downloads.

use crate::kinds::llava;
use crate::placement::Unplaced;
use crate::reader::KindReader;

pub(crate) const READER: KindReader =
    KindReader { unplaced: Unplaced::OneComesFirst, ..KindReader::new(&["id"], llava::draft) };
