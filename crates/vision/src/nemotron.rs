//! Nemotron 3 Nano Omni (Nemotron-H): images at their own size, in patches; videos in pairs of frames.
//!
//! Source, in `transformers` 5.23: `models/nemotron_h_omni/image_processing_nemotron_h_omni.py`,
//! `models/nemotron_h_omni/video_processing_nemotron_h_omni.py`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::geometry::{Clip, Geometry, Size};
use crate::number::{round, round_up};
use crate::plan::{Layout, Markup, VisualPlan};
use crate::processor::{MediaToken, VisionProcessor, plan_each};
use crate::refusal::{Refusal, Refused};
use crate::sampling::{self, Frames};

const PATCH_PX: u32 = 16;
/// Patches that become one token, on a side.
const MERGE: u32 = 2;
/// Frames that become one step.
const FRAMES_PER_STEP: usize = 2;
/// Tokens of the context that images leave free.
const RESERVED_TOKENS: u32 = 4;
const DEFAULT_PATCHES: NonZeroU32 = NonZeroU32::MIN.saturating_add(1023);

/// Nemotron 3 Nano Omni: patches of 16 px, two by two in one token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NemotronHOmni {
    /// The fewest patches of an image. Default: 1,024, which is 256 tokens.
    pub min_patches: NonZeroU32,
    /// The most patches of an image; 0: as many as the context holds. Default: 13,312, which is 3,328 tokens.
    pub max_patches: u32,
    /// The length of the context, in tokens. Default: 16,384.
    pub max_model_len: u32,
    /// How videos are read.
    pub video: NemotronVideo,
}

/// How Nemotron 3 Nano Omni reads videos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NemotronVideo {
    /// Which frames are taken. Default: 8, whatever its length.
    pub frames: Frames,
    /// Patches of a frame. Default: 1,024, which is 256 tokens.
    pub target_patches: NonZeroU32,
    /// Whether frames keep their shape; otherwise they are square. Default: true.
    pub keep_aspect_ratio: bool,
}

impl Default for NemotronHOmni {
    fn default() -> Self {
        Self {
            min_patches: DEFAULT_PATCHES,
            max_patches: 13_312,
            max_model_len: 16_384,
            video: NemotronVideo::default(),
        }
    }
}

impl Default for NemotronVideo {
    fn default() -> Self {
        Self { frames: Frames::count(8), target_patches: DEFAULT_PATCHES, keep_aspect_ratio: true }
    }
}

impl VisionProcessor for NemotronHOmni {
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        let mut videos = media.iter().enumerate().filter(|(_, medium)| matches!(medium, Geometry::Video(_)));
        if let Some((medium_index, _)) = videos.nth(1) {
            return Err(Refused { medium_index, reason: Refusal::SecondVideo });
        }
        let num_images = media.iter().filter(|medium| matches!(medium, Geometry::Image(_))).count();
        plan_each(media, |size| self.plan_image(size, num_images as u32), |clip| Ok(self.video.plan(clip)))
    }

    fn tokens(&self) -> Vec<MediaToken> {
        vec![
            MediaToken::image("<image>"),
            MediaToken::delimiter("<img>"),
            MediaToken::delimiter("</img>"),
            MediaToken::delimiter("<video>"),
        ]
    }
}

/// Rows and columns of patches.
type Patches = (u32, u32);

fn size((rows, columns): Patches) -> Size {
    Size::new(rows.saturating_mul(PATCH_PX), columns.saturating_mul(PATCH_PX))
}

fn num_tokens((rows, columns): Patches) -> u32 {
    rows.saturating_mul(columns) / (MERGE * MERGE)
}

impl NemotronHOmni {
    /// See `Family::pixels_per_token`.
    pub(crate) const PIXELS_PER_TOKEN: u64 = (PATCH_PX * PATCH_PX * MERGE * MERGE) as u64;

    /// Lowers the limit on the pixels of each image and frame, but not below the minimum.
    pub(crate) fn limit_pixels(&mut self, max_pixels: u64) {
        let patches = u32::try_from(max_pixels / u64::from(PATCH_PX * PATCH_PX)).unwrap_or(u32::MAX);
        let patches = NonZeroU32::new(patches).unwrap_or(NonZeroU32::MIN);
        let of_image = patches.max(self.min_patches).get();
        self.max_patches = if self.max_patches == 0 { of_image } else { self.max_patches.min(of_image) };
        self.video.target_patches = self.video.target_patches.min(patches);
    }

    fn plan_image(&self, image: Size, num_images: u32) -> Result<VisualPlan, Refusal> {
        let patches = self.patches(image, num_images)?;
        let markup = vec![Markup::text("<img>"), Markup::Placeholders(num_tokens(patches)), Markup::text("</img>")];
        Ok(VisualPlan::of_image("<image>", Layout::Stretch(size(patches)), markup))
    }

    /// `get_patch_grid_size`: at the image's own size, shrunk to the budget, raised to the minimum, made even.
    fn patches(&self, image: Size, num_images: u32) -> Result<Patches, Refusal> {
        let budget = self.budget(num_images);
        let min = u64::from(self.min_patches.get());
        // Half to even: an exact odd multiple of a patch gains one, an even one does not.
        let along = |side: f64| round(side / f64::from(PATCH_PX) + 0.5);
        let (rows, columns) = (along(image.height()), along(image.width()));
        let scale = (budget as f64 / (rows * columns)).sqrt().min(1.0);
        let (mut rows, mut columns) = ((scale * rows).floor(), (scale * columns).floor());
        if budget > min {
            if rows * columns == 0.0 {
                return Err(Refusal::VanishingSide { size: image, max_tokens: budget / u64::from(MERGE * MERGE) });
            }
            if rows * columns < min as f64 {
                let scale = (min as f64 / (rows * columns)).sqrt();
                (rows, columns) = ((scale * rows).ceil(), (scale * columns).ceil());
            }
        }
        let rows = made_even(rows as u32, columns as u32, budget);
        let columns = made_even(columns as u32, rows, budget);
        Ok((rows, columns))
    }

    /// Patches that an image may have.
    fn budget(&self, num_images: u32) -> u64 {
        let min = u64::from(self.min_patches.get());
        let context = u64::from(self.max_model_len.saturating_sub(RESERVED_TOKENS)) * u64::from(MERGE * MERGE);
        let budget = context.max(min * u64::from(num_images));
        let budget = if self.max_patches > 0 { budget.min(u64::from(self.max_patches)) } else { budget };
        budget.max(min)
    }
}

/// A side with one patch more if the budget allows it, else with one less.
fn made_even(side: u32, other: u32, budget: u64) -> u32 {
    let more = round_up(side, MERGE);
    if more == side || u64::from(more) * u64::from(other) <= budget { more } else { (side - side % MERGE).max(MERGE) }
}

impl NemotronVideo {
    fn plan(&self, clip: Clip<'_>) -> VisualPlan {
        let sampled = sampling::starts_of_shares(clip, self.frames);
        let patches = self.patches(clip.size);
        let mut markup = Vec::new();
        for (step, pair) in sampled.frames.chunks(FRAMES_PER_STEP).enumerate() {
            let before = if step == 0 { "" } else { "</img>\n" };
            markup.push(Markup::text(format!("{before}{}<img>", times(step, pair, clip.rate))));
            markup.push(Markup::Placeholders(num_tokens(patches)));
        }
        markup.push(Markup::text("</img>"));
        VisualPlan::of_image("<image>", Layout::Stretch(size(patches)), markup).with_frames(sampled)
    }

    /// `_compute_target_patches`.
    fn patches(&self, frame: Size) -> Patches {
        let target = f64::from(self.target_patches.get());
        if !self.keep_aspect_ratio {
            let side = (target.sqrt() as u32 / MERGE * MERGE).max(MERGE);
            return (side, side);
        }
        let ratio = frame.width() / frame.height();
        let rows = round((target / ratio).sqrt()).max(1.0) as u32;
        let columns = round((target * ratio).sqrt()).max(1.0) as u32;
        let more = (round_up(rows, MERGE), round_up(columns, MERGE));
        if u64::from(more.0) * u64::from(more.1) <= u64::from(self.target_patches.get()) {
            return more;
        }
        let fewer = |side: u32| (side - side % MERGE).max(MERGE);
        (fewer(rows), fewer(columns))
    }
}

/// `Frame 1 sampled at 0.00 seconds and frame 2 sampled at 0.25 seconds: `. The duration of a frame is cut to whole
/// milliseconds before it is multiplied.
fn times(step: usize, pair: &[u32], rate: f64) -> String {
    let frame_ms = (1000.0 / rate).trunc();
    let each = pair.iter().enumerate().map(|(place, &frame)| {
        let word = if place == 0 { "Frame" } else { "frame" };
        let number = step * FRAMES_PER_STEP + place + 1;
        format!("{word} {number} sampled at {:.2} seconds", f64::from(frame) * frame_ms / 1000.0)
    });
    each.collect::<Vec<_>>().join(" and ") + ": "
}
