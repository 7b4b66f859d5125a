//! Sizes of images and frames that are seen in patches, at a size of their own, as Qwen's processors find them.
//!
//! Both sides are rounded to multiples of a factor (patch × merge), then scaled until the area is within limits.

use crate::geometry::Size;
use crate::number::round;
use crate::plan::PatchGrid;
use crate::refusal::Refusal;

/// Frames that become one step of the grid.
pub(crate) const FRAMES_PER_STEP: u32 = 2;
/// The most that one side may be longer than the other.
const MAX_RATIO: f64 = 200.0;

/// Limits of an area, in pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Area {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

impl Area {
    /// What a share of the budget never falls below.
    pub(crate) fn floor(self) -> u64 {
        (self.min as f64 * 1.05) as u64
    }
}

/// The patches of a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patch {
    pub(crate) side_px: u32,
    /// Patches that become one token, on a side.
    pub(crate) merge: u32,
}

impl Patch {
    /// Sides are multiples of it.
    pub(crate) const fn factor(self) -> u32 {
        self.side_px * self.merge
    }

    /// Pixels that become one token.
    pub(crate) const fn pixels_per_token(self) -> u64 {
        self.factor() as u64 * self.factor() as u64
    }

    pub(crate) fn grid(self, resized: Size, num_steps: usize) -> PatchGrid {
        PatchGrid { t: num_steps as u32, h: resized.height_px / self.side_px, w: resized.width_px / self.side_px }
    }

    pub(crate) fn tokens_per_step(self, grid: PatchGrid) -> u32 {
        grid.h.saturating_mul(grid.w) / (self.merge * self.merge)
    }

    /// The tokens of `num_frames` frames of that size.
    pub(crate) fn tokens_of_steps(self, resized: Size, num_frames: u32) -> u64 {
        u64::from(num_frames.div_ceil(FRAMES_PER_STEP)) * u64::from(self.tokens_per_step(self.grid(resized, 1)))
    }

    /// `smart_resize` of an image or a single frame.
    pub(crate) fn smart_resize(self, size: Size, area: Area) -> Result<Size, Refusal> {
        ensure_not_too_narrow(size)?;
        let multiples = Multiples { factor: f64::from(self.factor()) };
        let rounded = (multiples.nearest(size.height()), multiples.nearest(size.width()));
        let extent = Extent { rounded: rounded.0 * rounded.1, exact: size.pixels() };
        let resized = multiples.within(size, extent, area).unwrap_or_else(|| pixels(rounded));
        self.visible(size, resized, area.max)
    }

    /// `smart_resize` of Qwen3-VL, which limits all frames together. A frame smaller than the factor is enlarged before.
    pub(crate) fn smart_resize_clip(self, size: Size, area: Area, num_frames: u32) -> Result<Size, Refusal> {
        if num_frames < FRAMES_PER_STEP {
            return Err(Refusal::SingleFrame);
        }
        let multiples = Multiples { factor: f64::from(self.factor()) };
        let mut size = size;
        if size.height_px < self.factor() || size.width_px < self.factor() {
            let scale = (multiples.factor / size.height()).max(multiples.factor / size.width());
            size = pixels((size.height() * scale, size.width() * scale));
        }
        ensure_not_too_narrow(size)?;
        let rounded = (multiples.nearest(size.height()), multiples.nearest(size.width()));
        let even_frames = round(f64::from(num_frames) / f64::from(FRAMES_PER_STEP)) * f64::from(FRAMES_PER_STEP);
        // The comparison takes an even number of frames, and the scale the true one.
        let extent =
            Extent { rounded: even_frames * rounded.0 * rounded.1, exact: f64::from(num_frames) * size.pixels() };
        let resized = multiples.within(size, extent, area).unwrap_or_else(|| pixels(rounded));
        self.visible(size, resized, area.max)
    }

    /// The resized medium, if something is left of it.
    fn visible(self, size: Size, resized: Size, max_pixels: u64) -> Result<Size, Refusal> {
        if resized.num_pixels() == 0 {
            let factor = u64::from(self.factor());
            return Err(Refusal::VanishingSide { size, max_tokens: max_pixels / (factor * factor) });
        }
        Ok(resized)
    }

    /// `qwen_vl_utils.vision_process.smart_resize` with the budget of `fetch_video`.
    pub(crate) fn qwen_vl_utils_frame(
        self,
        size: Size,
        Shared { area, total, num_frames }: Shared,
    ) -> Result<Size, Refusal> {
        const TOKENS_PER_FRAME: f64 = 768.0;
        const TOKENS: f64 = 128_000.0;
        let token_px = f64::from(self.factor()) * f64::from(self.factor());
        let total = total.map_or(TOKENS * token_px * 0.9, |total| total as f64);
        let share = total / num_frames as f64 * f64::from(FRAMES_PER_STEP);
        let budget = (TOKENS_PER_FRAME * token_px).min(share).max(area.floor() as f64);
        self.qwen_vl_utils_resize(size, area.min as f64, budget.min(area.max as f64))
    }

    /// Unlike `transformers`, it keeps at least one factor when it rounds, and may lose a side when it shrinks.
    pub(crate) fn qwen_vl_utils_resize(self, size: Size, min: f64, max: f64) -> Result<Size, Refusal> {
        ensure_not_too_narrow(size)?;
        let multiples = Multiples { factor: f64::from(self.factor()) };
        let nearest = |side: f64| multiples.nearest(side).max(multiples.factor);
        let (height, width) = (nearest(size.height()), nearest(size.width()));
        if height * width > max {
            let scale = (size.pixels() / max).sqrt();
            let shrunk = pixels((multiples.below(size.height() / scale), multiples.below(size.width() / scale)));
            return self.visible(size, shrunk, max as u64);
        }
        if height * width < min {
            let scale = (min / size.pixels()).sqrt();
            return Ok(pixels((multiples.above(size.height() * scale), multiples.above(size.width() * scale))));
        }
        Ok(pixels((height, width)))
    }
}

/// An area that frames share.
pub(crate) struct Shared {
    /// The limits of each.
    pub(crate) area: Area,
    /// The area of all.
    pub(crate) total: Option<u64>,
    pub(crate) num_frames: u64,
}

/// What is compared with the limits, and what the scale is computed from.
#[derive(Clone, Copy)]
struct Extent {
    rounded: f64,
    exact: f64,
}

/// Multiples of the factor.
#[derive(Clone, Copy)]
struct Multiples {
    factor: f64,
}

impl Multiples {
    fn nearest(self, side: f64) -> f64 {
        round(side / self.factor) * self.factor
    }

    fn below(self, side: f64) -> f64 {
        (side / self.factor).floor() * self.factor
    }

    fn above(self, side: f64) -> f64 {
        (side / self.factor).ceil() * self.factor
    }

    /// The size that is within the limits, unless the rounded one is.
    fn within(self, size: Size, extent: Extent, area: Area) -> Option<Size> {
        if extent.rounded > area.max as f64 {
            let scale = (extent.exact / area.max as f64).sqrt();
            let shrunk = |side: f64| self.below(side / scale).max(self.factor);
            return Some(pixels((shrunk(size.height()), shrunk(size.width()))));
        }
        if extent.rounded < area.min as f64 {
            let scale = (area.min as f64 / extent.exact).sqrt();
            return Some(pixels((self.above(size.height() * scale), self.above(size.width() * scale))));
        }
        None
    }
}

fn pixels((height, width): (f64, f64)) -> Size {
    Size::new(height as u32, width as u32)
}

fn ensure_not_too_narrow(size: Size) -> Result<(), Refusal> {
    let ratio = size.height().max(size.width()) / size.height().min(size.width());
    if ratio > MAX_RATIO {
        return Err(Refusal::TooNarrow { size, ratio });
    }
    Ok(())
}
