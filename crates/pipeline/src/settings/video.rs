//! Which frames of videos are shown. The tables of images, tiles and limits are types of [`manyframe_media`].

use manyframe_media::DamageRule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which frames of videos are shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VideoTable {
    /// How frames are chosen. Default: `interval` for the families `longllava` and `longvila`, otherwise `processor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingRule>,
    /// Seconds between frames, with `interval`. Default: 1.
    #[schemars(range(min = 0.001))]
    pub interval_s: f64,
    /// Maximum number of frames of a video, with `interval`. Default: 128.
    #[schemars(range(min = 1, max = 65536))]
    pub max_frames: u32,
    /// Frames of a video, with `uniform`. Default: 8.
    #[schemars(range(min = 1, max = 65536))]
    pub num_frames: u32,
    /// Longest side of a frame in pixels; larger frames are scaled down, unless `images.resize = "processor"`. Default: 336, the
    /// input size of LongLLaVA's vision tower.
    #[schemars(range(min = 14, max = 65500))]
    pub max_edge_px: u32,
    /// What becomes of a video with frames that are missing or damaged. Default: `reject`.
    pub damage: DamageRule,
    /// Share of the chosen frames that may be missing, with `reject`. Default: 0.1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_missing: f64,
    /// What is delivered of a video: images of the frames that are shown, or a video file.
    #[serde(skip_serializing_if = "VideoDelivery::is_frames")]
    #[schemars(extend("default" = VideoDelivery::default()))]
    pub deliver: VideoDelivery,
}

impl Default for VideoTable {
    fn default() -> Self {
        Self {
            sampling: None,
            interval_s: 1.0,
            max_frames: 128,
            num_frames: 8,
            max_edge_px: 336,
            damage: DamageRule::default(),
            max_missing: 0.1,
            deliver: VideoDelivery::default(),
        }
    }
}

/// How frames of a video are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SamplingRule {
    /// One frame every `interval_s`. If these are more than `max_frames`, that many of them, evenly spaced.
    Interval,
    /// `num_frames` frames, evenly spaced over the whole video.
    Uniform,
    /// As the processor of the model family takes them, with the settings of `[model]`.
    Processor,
}

/// What is delivered of a video.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VideoDelivery {
    /// An image of each frame that is shown.
    #[default]
    Frames,
    /// The original file, or, of a record about a part of it, that part of its stream, cut without encoding; with the positions of
    /// the frames that are shown: a trainer decodes exactly these. Costs and texts are those of `frames`. What cannot be cut is
    /// delivered whole; a directory of frames, a damaged video, a haystack with needles and a file over `limits.max_bytes` as `frames`. A video that readers
    /// do not all see alike is rejected: one that is turned for display, joined files, frames of several sizes.
    Clip,
}

impl VideoDelivery {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_frames(&self) -> bool {
        *self == Self::Frames
    }
}
