//! Qwen2.5-VL (and Qwen2-VL), Qwen3-VL and Qwen3.5: images and frames at their own size, in patches.
//!
//! Sizes are those of `patches.rs`. A video's area is limited by one of three laws ([`VideoBudget`]), which users meet as three different token counts.
//!
//! Sources, in `transformers` 5.23: `models/qwen2_vl/image_processing_qwen2_vl.py`, `models/qwen2_vl/video_processing_qwen2_vl.py`,
//! `models/qwen3_vl/video_processing_qwen3_vl.py`, `models/qwen3_vl/processing_qwen3_vl.py`; and `qwen_vl_utils/vision_process.py` 0.0.14.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::geometry::{Clip, Geometry, Size};
use crate::patches::{Area, FRAMES_PER_STEP, Patch, Shared};
use crate::plan::{Layout, Markup, VisualPlan};
use crate::problem::{SettingsProblem, crossed};
use crate::processor::{MediaMarks, MediaToken, VisionProcessor, plan_each};
use crate::refusal::{Refusal, Refused};
use crate::sampling::{self, FrameLimits, Frames};

const START: &str = "<|vision_start|>";
const END: &str = "<|vision_end|>";
const IMAGE: &str = "<|image_pad|>";
const VIDEO: &str = "<|video_pad|>";

fn tokens() -> Vec<MediaToken> {
    vec![MediaToken::image(IMAGE), MediaToken::video(VIDEO), MediaToken::delimiter(START), MediaToken::delimiter(END)]
}

/// Templates write the tokens around a placeholder, too, and so does the markup.
fn marks() -> MediaMarks {
    MediaMarks {
        image: vec!["<|vision_start|><|image_pad|><|vision_end|>".into()],
        video: vec!["<|vision_start|><|video_pad|><|vision_end|>".into()],
    }
}

/// Patches that become one token, on a side.
const MERGE: u32 = 2;

/// How the area of a video's frames is limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VideoBudget {
    /// `transformers` with `cap_pixels_per_frame=False`. Qwen2.5-VL limits each frame; Qwen3-VL limits the sum over all frames.
    #[default]
    Uncapped,
    /// `transformers` with `cap_pixels_per_frame=True`: each frame also has its share of `max_video_tokens` (Qwen2.5-VL), or
    /// at most `max_video_tokens` (Qwen3-VL).
    Capped,
    /// `qwen-vl-utils`: each frame has at most 768 tokens and its share of 128,000 tokens × 0.9.
    QwenVlUtils,
}

/// Who resizes images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImageResize {
    /// The processor of `transformers`.
    #[default]
    Transformers,
    /// `qwen_vl_utils.fetch_image`, which differs for strips.
    QwenVlUtils,
}

/// Which release of `transformers` renders a Qwen3-VL video.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VideoWrapping {
    /// From `transformers` 5.10: another pair of vision tokens around all steps.
    #[default]
    Outer,
    /// Until `transformers` 5.9, and in LLaMA-Factory and ms-swift: a pair of vision tokens for each step, and none around them.
    None,
}

/// Qwen2.5-VL and Qwen2-VL: patches of 14 px, two by two in one token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Qwen25Vl {
    /// The smallest area of an image. Default: 3,136, which is 4 tokens.
    pub min_pixels: u64,
    /// The largest area of an image. Default: 12,845,056, which is 16,384 tokens.
    pub max_pixels: u64,
    /// Who resizes images. Default: `transformers`.
    pub resize: ImageResize,
    /// How videos are read.
    pub video: Qwen25Video,
}

/// How Qwen2.5-VL reads videos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Qwen25Video {
    /// Which frames are taken. Default: 2 per second.
    pub frames: Frames,
    /// The fewest frames, where they are taken by rate. Default: 4.
    pub min_frames: u32,
    /// The most frames, where they are taken by rate. Default: 768.
    pub max_frames: u32,
    /// The smallest area of a frame. Default: 100,352, which is 128 tokens.
    pub min_pixels: u64,
    /// The largest area of a frame. Default: 602,112, which is 768 tokens.
    pub max_pixels: u64,
    /// How the area of all frames is limited. Default: `uncapped`.
    pub budget: VideoBudget,
    /// Tokens that a video may take, if `budget = "capped"`. Default: 128,000.
    pub max_video_tokens: u64,
    /// The area that all frames share, if `budget = "qwen-vl-utils"`. Default: that of 115,200 tokens.
    pub total_pixels: Option<u64>,
}

/// Qwen3-VL and Qwen3.5: patches of 16 px, two by two in one token; every two frames have a timestamp.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Qwen3Vl {
    /// The smallest area of an image. Default: 65,536, which is 64 tokens.
    pub min_pixels: u64,
    /// The largest area of an image. Default: 16,777,216, which is 16,384 tokens.
    pub max_pixels: u64,
    /// Who resizes images. Default: `transformers`.
    pub resize: ImageResize,
    /// How videos are read.
    pub video: Qwen3Video,
}

/// How Qwen3-VL reads videos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Qwen3Video {
    /// Which frames are taken. Default: 2 per second.
    pub frames: Frames,
    /// The fewest frames, where they are taken by rate. Default: 4.
    pub min_frames: u32,
    /// The most frames, where they are taken by rate. Default: 768.
    pub max_frames: u32,
    /// The smallest area of all frames together; with `budget = "qwen-vl-utils"`, of each. Default: 4,096; then 131,072,
    /// which is 128 tokens.
    pub min_pixels: Option<u64>,
    /// The largest area of all frames together; with `budget = "qwen-vl-utils"`, of each. Default: 25,165,824.
    pub max_pixels: Option<u64>,
    /// How the area of each frame is limited. Default: `uncapped`.
    pub budget: VideoBudget,
    /// Tokens that a frame may take, if `budget = "capped"`. Default: 768.
    pub max_video_tokens: u64,
    /// The area that all frames share, if `budget = "qwen-vl-utils"`. Default: that of 115,200 tokens.
    pub total_pixels: Option<u64>,
    /// What is written around all steps of a video. Default: `outer`, as the newest `transformers` does.
    pub wrapping: VideoWrapping,
}

impl Default for Qwen25Vl {
    fn default() -> Self {
        Self { min_pixels: 3136, max_pixels: 12_845_056, resize: ImageResize::default(), video: Qwen25Video::default() }
    }
}

impl Default for Qwen25Video {
    fn default() -> Self {
        Self {
            frames: Frames::Fps(2.0),
            min_frames: 4,
            max_frames: 768,
            min_pixels: 128 * 28 * 28,
            max_pixels: 768 * 28 * 28,
            budget: VideoBudget::default(),
            max_video_tokens: 128_000,
            total_pixels: None,
        }
    }
}

impl Default for Qwen3Vl {
    fn default() -> Self {
        Self {
            min_pixels: 65_536,
            max_pixels: 16_777_216,
            resize: ImageResize::default(),
            video: Qwen3Video::default(),
        }
    }
}

impl Default for Qwen3Video {
    fn default() -> Self {
        Self {
            frames: Frames::Fps(2.0),
            min_frames: 4,
            max_frames: 768,
            min_pixels: None,
            max_pixels: None,
            budget: VideoBudget::default(),
            max_video_tokens: 768,
            total_pixels: None,
            wrapping: VideoWrapping::default(),
        }
    }
}

/// Lowers a maximum, but not below its minimum.
fn lower(max: &mut u64, min: u64, most: u64) {
    *max = (*max).min(most.max(min));
}

impl Qwen25Vl {
    const PATCH: Patch = Patch { side_px: 14, merge: MERGE };
    /// See `Family::pixels_per_token`.
    pub(crate) const PIXELS_PER_TOKEN: u64 = Self::PATCH.pixels_per_token();

    /// The side of a patch in pixels, and of a token in patches.
    pub(crate) fn patch_sides() -> (u32, u32) {
        (Self::PATCH.side_px, Self::PATCH.merge)
    }

    /// A minimum above its maximum.
    pub(crate) fn problem(&self) -> Option<SettingsProblem> {
        let video = &self.video;
        crossed("min_pixels", self.min_pixels, ("max_pixels", self.max_pixels))
            .or_else(|| crossed("video.min_frames", video.min_frames, ("max_frames", video.max_frames)))
            .or_else(|| crossed("video.min_pixels", video.min_pixels, ("max_pixels", video.max_pixels)))
    }

    /// Lowers the limit on the pixels of each image and frame, but not below the minimum.
    pub(crate) fn limit_pixels(&mut self, max_pixels: u64) {
        lower(&mut self.max_pixels, self.min_pixels, max_pixels);
        lower(&mut self.video.max_pixels, self.video.min_pixels, max_pixels);
    }
}

impl Qwen3Vl {
    const PATCH: Patch = Patch { side_px: 16, merge: MERGE };
    /// See `Family::pixels_per_token`.
    pub(crate) const PIXELS_PER_TOKEN: u64 = Self::PATCH.pixels_per_token();

    /// The side of a patch in pixels, and of a token in patches.
    pub(crate) fn patch_sides() -> (u32, u32) {
        (Self::PATCH.side_px, Self::PATCH.merge)
    }

    /// A minimum above its maximum.
    pub(crate) fn problem(&self) -> Option<SettingsProblem> {
        let video = &self.video;
        let Area { min, max } = video.area(Self::PATCH);
        crossed("min_pixels", self.min_pixels, ("max_pixels", self.max_pixels))
            .or_else(|| crossed("video.min_frames", video.min_frames, ("max_frames", video.max_frames)))
            .or_else(|| crossed("video.min_pixels", min, ("max_pixels", max)))
    }

    /// Lowers the limit on the pixels of each image and frame, but not below the minimum.
    pub(crate) fn limit_pixels(&mut self, max_pixels: u64) {
        lower(&mut self.max_pixels, self.min_pixels, max_pixels);
        let video = &mut self.video;
        let tokens = (max_pixels / Self::PIXELS_PER_TOKEN).max(1);
        match video.budget {
            VideoBudget::Uncapped => (video.budget, video.max_video_tokens) = (VideoBudget::Capped, tokens),
            VideoBudget::Capped => video.max_video_tokens = video.max_video_tokens.min(tokens),
            VideoBudget::QwenVlUtils => {
                let Area { min, mut max } = video.area(Self::PATCH);
                lower(&mut max, min, max_pixels);
                video.max_pixels = Some(max);
            }
        }
    }
}

impl VisionProcessor for Qwen25Vl {
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        let area = Area { min: self.min_pixels, max: self.max_pixels };
        plan_each(
            media,
            |size| plan_image(Self::PATCH, size, (area, self.resize)),
            |clip| self.video.plan(Self::PATCH, clip),
        )
    }

    fn tokens_of_frames(&self, size: Size, num_frames: u32) -> Option<u64> {
        let resized = self.video.resized(Self::PATCH, size, num_frames).ok()?;
        Some(Self::PATCH.tokens_of_steps(resized, num_frames))
    }

    fn tokens(&self) -> Vec<MediaToken> {
        tokens()
    }

    fn marks(&self) -> MediaMarks {
        marks()
    }
}

impl VisionProcessor for Qwen3Vl {
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        let area = Area { min: self.min_pixels, max: self.max_pixels };
        plan_each(
            media,
            |size| plan_image(Self::PATCH, size, (area, self.resize)),
            |clip| self.video.plan(Self::PATCH, clip),
        )
    }

    fn tokens_of_frames(&self, size: Size, num_frames: u32) -> Option<u64> {
        let resized = self.video.resized(Self::PATCH, size, num_frames).ok()?;
        Some(Self::PATCH.tokens_of_steps(resized, num_frames))
    }

    fn tokens(&self) -> Vec<MediaToken> {
        tokens()
    }

    fn marks(&self) -> MediaMarks {
        marks()
    }
}

impl Qwen25Video {
    fn plan(&self, patch: Patch, clip: Clip<'_>) -> Result<VisualPlan, Refusal> {
        let limits = FrameLimits { min: self.min_frames, max: self.max_frames };
        let sampled = match self.budget {
            VideoBudget::QwenVlUtils => sampling::qwen_vl_utils(clip, self.frames, limits),
            VideoBudget::Uncapped | VideoBudget::Capped => sampling::qwen2(clip, self.frames, limits, FRAMES_PER_STEP),
        };
        let num_frames = sampled.frames.len() as u32;
        let resized = self.resized(patch, clip.size, num_frames)?;
        let grid = patch.grid(resized, sampled.frames.len().div_ceil(FRAMES_PER_STEP as usize));
        // The rate of the frames that are taken, as `transformers` computes it.
        let rate = f64::from(num_frames) / f64::from(clip.num_frames) * clip.rate;
        let num_tokens = grid.t.saturating_mul(patch.tokens_per_step(grid));
        let markup = vec![Markup::text(START), Markup::Placeholders(num_tokens), Markup::text(END)];
        let plan = VisualPlan::of_image(VIDEO, Layout::Stretch(resized), markup).with_frames(sampled);
        let seconds_per_step = Some(f64::from(FRAMES_PER_STEP) / rate);
        Ok(VisualPlan { grid: Some(grid), seconds_per_step, ..plan })
    }

    /// The size of each frame of a video of which `num_frames` are taken.
    fn resized(&self, patch: Patch, size: Size, num_frames: u32) -> Result<Size, Refusal> {
        let num_frames = u64::from(num_frames.max(1));
        let area = Area { min: self.min_pixels, max: self.max_pixels };
        match self.budget {
            VideoBudget::Uncapped => patch.smart_resize(size, area),
            VideoBudget::Capped => {
                let tokens_px = (self.max_video_tokens * patch.pixels_per_token()) as f64 * 0.9;
                let share = tokens_px as u64 * u64::from(FRAMES_PER_STEP) / num_frames;
                patch.smart_resize(size, Area { max: area.max.min(share).max(area.floor()), ..area })
            }
            VideoBudget::QwenVlUtils => {
                patch.qwen_vl_utils_frame(size, Shared { area, total: self.total_pixels, num_frames })
            }
        }
    }
}

impl Qwen3Video {
    /// The limits of all frames together; those of `qwen-vl-utils` are of each.
    fn area(&self, patch: Patch) -> Area {
        let min_pixels = match self.budget {
            VideoBudget::Uncapped | VideoBudget::Capped => 4096,
            VideoBudget::QwenVlUtils => 128 * patch.pixels_per_token(),
        };
        Area { min: self.min_pixels.unwrap_or(min_pixels), max: self.max_pixels.unwrap_or(25_165_824) }
    }

    fn plan(&self, patch: Patch, clip: Clip<'_>) -> Result<VisualPlan, Refusal> {
        let limits = FrameLimits { min: self.min_frames, max: self.max_frames };
        let sampled = match self.budget {
            VideoBudget::QwenVlUtils => sampling::qwen_vl_utils(clip, self.frames, limits),
            VideoBudget::Uncapped | VideoBudget::Capped => sampling::qwen3(clip, self.frames, limits),
        };
        let resized = self.resized(patch, clip.size, sampled.frames.len() as u32)?;
        let grid = patch.grid(resized, sampled.frames.len().div_ceil(FRAMES_PER_STEP as usize));
        let markup = self.markup(patch.tokens_per_step(grid), &sampled.frames, clip.rate);
        let plan = VisualPlan::of_image(VIDEO, Layout::Stretch(resized), markup).with_frames(sampled);
        Ok(VisualPlan { grid: Some(grid), ..plan })
    }

    /// The size of each frame of a video of which `num_frames` are taken.
    fn resized(&self, patch: Patch, size: Size, num_frames: u32) -> Result<Size, Refusal> {
        let area = self.area(patch);
        let shared_by = u64::from(num_frames.max(1));
        match self.budget {
            VideoBudget::Uncapped => patch.smart_resize_clip(size, area, num_frames),
            VideoBudget::Capped => {
                let per_frame = (self.max_video_tokens * patch.pixels_per_token()).min(area.max / shared_by);
                let max = per_frame.max(area.floor()) * shared_by;
                patch.smart_resize_clip(size, Area { max, ..area }, num_frames)
            }
            VideoBudget::QwenVlUtils => {
                let shared = Shared { area, total: self.total_pixels, num_frames: shared_by };
                patch.qwen_vl_utils_frame(size, shared)
            }
        }
    }

    /// A timestamp, which is the mean of the times of two frames, and the tokens of these two.
    fn markup(&self, tokens_per_step: u32, frames: &[u32], rate: f64) -> Vec<Markup> {
        let time_s = |frame: &u32| f64::from(*frame) / rate;
        let steps = frames.chunks(FRAMES_PER_STEP as usize).flat_map(|step| {
            let first = step.first().map_or(0.0, time_s);
            let last = step.last().map_or(0.0, time_s);
            let mean = f64::midpoint(first, last);
            [
                Markup::text(format!("<{mean:.1} seconds>{START}")),
                Markup::Placeholders(tokens_per_step),
                Markup::text(END),
            ]
        });
        match self.wrapping {
            VideoWrapping::None => steps.collect(),
            VideoWrapping::Outer => [Markup::text(START)].into_iter().chain(steps).chain([Markup::text(END)]).collect(),
        }
    }
}

fn plan_image(patch: Patch, size: Size, (area, resize): (Area, ImageResize)) -> Result<VisualPlan, Refusal> {
    let resized = match resize {
        ImageResize::Transformers => patch.smart_resize(size, area)?,
        ImageResize::QwenVlUtils => patch.qwen_vl_utils_resize(size, area.min as f64, area.max as f64)?,
    };
    let grid = patch.grid(resized, 1);
    let markup = vec![Markup::text(START), Markup::Placeholders(patch.tokens_per_step(grid)), Markup::text(END)];
    Ok(VisualPlan { grid: Some(grid), ..VisualPlan::of_image(IMAGE, Layout::Stretch(resized), markup) })
}
