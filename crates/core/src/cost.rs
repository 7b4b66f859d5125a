//! What a sample costs a trainer: tokens by kind, images, frames.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The exact cost of a sample under one dialect and tokenizer. Costs add up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Tokens of text: turns, template headers, end tokens, and the delimiters around visuals.
    pub text_tokens: u64,
    /// Those of `text_tokens` that the delimiters of visuals add: what the text with bare placeholders has fewer.
    pub delimiter_tokens: u64,
    /// Tokens that stand for images: images × tokens per image.
    pub visual_tokens: u64,
    /// Placeholders, which is encoded images: single images, frames, overviews and sub-images alike.
    pub num_images: u64,
    /// Those of `num_images` that are frames of videos.
    pub num_frames: u64,
}

impl Cost {
    /// Length of the sequence in tokens.
    pub fn num_tokens(&self) -> u64 {
        self.text_tokens + self.visual_tokens
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.text_tokens += other.text_tokens;
        self.delimiter_tokens += other.delimiter_tokens;
        self.visual_tokens += other.visual_tokens;
        self.num_images += other.num_images;
        self.num_frames += other.num_frames;
    }
}

/// Samples and what they cost together. Totals add up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Total {
    /// Number of samples.
    pub num_samples: u64,
    /// Tokens and images.
    #[serde(flatten)]
    pub cost: Cost,
}

impl Total {
    /// Counts one sample more.
    pub fn count(&mut self, cost: Cost) {
        self.num_samples += 1;
        self.cost += cost;
    }
}

impl std::ops::AddAssign for Total {
    fn add_assign(&mut self, other: Self) {
        self.num_samples += other.num_samples;
        self.cost += other.cost;
    }
}
