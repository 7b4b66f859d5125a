//! What a sample costs in training: tokens by kind, images, frames.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The exact cost of a sample under one dialect and tokenizer. Costs can be added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Tokens of text: turns, template headers, end tokens, and the delimiters around visuals.
    pub text_tokens: u64,
    /// The part of `text_tokens` that is due to the delimiters of visuals: with bare placeholders, `text_tokens` would be
    /// smaller by this much.
    pub delimiter_tokens: u64,
    /// Tokens that are replaced with features of images.
    pub visual_tokens: u64,
    /// Encoded images: single images, frames, overviews and tiles alike.
    pub num_images: u64,
    /// The part of `num_images` that is frames of videos.
    pub num_frames: u64,
}

impl Cost {
    /// Length of the sequence in tokens. What is read from a file may be any number, so the sum saturates.
    pub fn num_tokens(&self) -> u64 {
        self.text_tokens.saturating_add(self.visual_tokens)
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

/// A number of samples and their cost together. Totals can be added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Total {
    /// Number of samples.
    pub num_samples: u64,
    /// Tokens and images.
    #[serde(flatten)]
    pub cost: Cost,
}

impl Total {
    /// Adds one sample.
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
