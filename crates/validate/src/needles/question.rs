//! A question about a haystack, as it is asked: prompts, options and pictures.

use manyframe_core::{Digest, RecordId};
use manyframe_media::{MediaLimits, RgbImage, decode_rgb};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a needle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Cell {
    /// Frames or images of the haystack.
    pub length: u64,
    /// Depth of the needle, per mille from 0 to 1000; absent where needles are at several places.
    pub depth: Option<u32>,
}

/// What identifies a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuestionFacts {
    /// The sample that asks it.
    pub id: RecordId,
    /// Name of its source.
    pub source: String,
    /// Its task, such as `v_niah`.
    pub task: String,
    /// Where its needle is.
    pub cell: Cell,
    /// Questions of a group are one question with its options in another order.
    pub group: String,
    /// How far the options are rotated, from 0.
    pub permutation: u64,
    /// Questions that the group has if none was rejected.
    pub num_permutations: u64,
    /// Number of options; 0 of a question with a free answer.
    pub num_options: u64,
    /// Position of the right one among them; 0 of a free answer.
    pub right: u64,
}

/// A question with everything that a model needs.
#[derive(Debug, Clone)]
pub struct NeedleSample {
    /// What identifies it.
    pub facts: QuestionFacts,
    /// What is forced on the model, option by option; of a free answer, the answer alone.
    pub prompts: Vec<OptionPrompt>,
    /// The same without any visual.
    pub blind: Vec<OptionPrompt>,
    /// The images of the prompts, in order.
    pub images: Vec<QuestionImage>,
}

/// A prompt, and the answer that is forced after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionPrompt {
    /// Ids up to the answer; one [`IMAGE`](crate::IMAGE) for each image.
    pub input_ids: Vec<i64>,
    /// Ids of the answer.
    pub answer: Vec<i64>,
}

/// The file of an image of a question. It is decoded when the model is due to see it, and not kept.
#[derive(Debug, Clone)]
pub struct QuestionImage(pub Vec<u8>);

impl QuestionImage {
    /// Identifies the image among others: the first 64 bits of a digest of the file.
    pub fn key(&self) -> u64 {
        Digest::of(&self.0).first_bits()
    }

    /// Its pixels; `None` if it cannot be decoded.
    pub fn decode(&self) -> Option<RgbImage> {
        decode_rgb(&self.0, &MediaLimits::default()).ok()
    }
}
