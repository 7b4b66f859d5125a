//! What `manyframe tokens` answers with `--json`.

use manyframe_vision::{Family, Markup, VisualPlan};
use schemars::JsonSchema;
use serde::Serialize;

/// `manyframe tokens`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TokensAnswer {
    /// The model family with its settings, as `[model]` has them.
    pub settings: Family,
    /// The images and videos, in the order of the command.
    pub media: Vec<MediumAnswer>,
}

/// An image or video, and what the processor makes of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct MediumAnswer {
    /// The size or path that the command names.
    pub medium: String,
    /// Its height in pixels; absent if it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height_px: Option<u32>,
    /// Its width in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width_px: Option<u32>,
    /// How many frames a video has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_frames: Option<u32>,
    /// How many of them are shown in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames_per_second: Option<f64>,
    /// Why the processor refuses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// What becomes of it, unless it is refused or cannot be read.
    #[serde(flatten)]
    pub planned: Option<PlannedMedium>,
}

/// What a processor makes of an image or video.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PlannedMedium {
    /// The size of the image, or of each frame.
    pub becomes: Becomes,
    /// Patches in time, height and width, where the model is told.
    pub grid_thw: Option<[u32; 3]>,
    /// Seconds between two steps of the grid in time, where the model is told.
    pub seconds_per_step: Option<f64>,
    /// Tokens in place of it.
    pub num_tokens: u64,
    /// What is in its place, in order.
    pub markup: Vec<MarkupAnswer>,
    /// The frames of a video that are taken, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<Vec<u32>>,
    /// Why the processor of `transformers` itself ends with an error where it takes these frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor_error: Option<String>,
}

/// The size at which something is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Becomes {
    /// Height in pixels.
    pub height_px: u32,
    /// Width in pixels.
    pub width_px: u32,
    /// How many tiles it is cut into, with the overview; 1 if it is not cut.
    pub num_tiles: u64,
}

/// Text, or a token and how often it is repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum MarkupAnswer {
    /// Text, which the tokenizer divides into tokens.
    Text(String),
    /// A token and its number.
    Placeholders(String, u64),
}

impl PlannedMedium {
    /// What a plan says; its frames if it is one of a video.
    pub fn of(plan: &VisualPlan, is_video: bool) -> Self {
        let size = plan.layout.size();
        let markup = |part: &Markup| match part {
            Markup::Text(text) => MarkupAnswer::Text(text.to_string()),
            Markup::Placeholders(count) => MarkupAnswer::Placeholders(plan.placeholder.to_string(), (*count).into()),
        };
        Self {
            becomes: Becomes { height_px: size.height_px, width_px: size.width_px, num_tiles: plan.layout.num_tiles() },
            grid_thw: plan.grid.map(|grid| [grid.t, grid.h, grid.w]),
            seconds_per_step: plan.seconds_per_step,
            num_tokens: plan.num_tokens(),
            markup: plan.markup.iter().map(markup).collect(),
            frames: is_video.then(|| plan.frames.clone()),
            processor_error: plan.processor_error.as_ref().map(ToString::to_string),
        }
    }
}
