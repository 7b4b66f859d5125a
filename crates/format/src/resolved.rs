//! A visual whose images are known, because its frames were chosen or its tiles counted, and what the model makes of it.

use std::num::{NonZeroU16, NonZeroU32};

use manyframe_core::{FrameChoice, Grid, ModelVisual, RejectCode, Rejection, VisualKind, VisualShape};
use manyframe_vision::{Clip, Family, Geometry, Markup, Refusal, Refused, Size, VisualPlan};

/// A visual and what the model's processor makes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedVisual {
    /// How it is shown.
    pub kind: VisualKind,
    /// How many images it consists of: frames, or the overview and all tiles.
    pub num_images: u64,
    /// Its markup, its tokens and its size.
    pub plan: VisualPlan,
    /// The most pixels that an image or frame of the sample has, where it was shortened to fewer than the family's own maximum.
    max_pixels: Option<u64>,
}

impl ResolvedVisual {
    /// The visuals of a sample, in order. `max_pixels` limits each image and frame, if the family has such a limit.
    ///
    /// # Errors
    /// The reason why the family's processor refuses one of them.
    pub fn plan_all(family: &Family, shapes: &[VisualShape], max_pixels: Option<u64>) -> Result<Vec<Self>, Rejection> {
        let media: Vec<Geometry<'_>> = shapes.iter().map(geometry).collect();
        let plans = match max_pixels {
            None => family.processor().plan(&media),
            Some(most) => family.clone().with_max_pixels(most).processor().plan(&media),
        };
        let plans = plans.map_err(|refused| rejection(&refused))?;
        let resolved = |(shape, plan): (&VisualShape, VisualPlan)| Self {
            kind: shape.kind(),
            num_images: shape.num_images(),
            plan,
            max_pixels,
        };
        Ok(shapes.iter().zip(plans).map(resolved).collect())
    }

    /// What a sample keeps of its visuals, in order.
    pub(crate) fn model_visuals(family: &Family, visuals: &[Self], shapes: &[VisualShape]) -> Vec<ModelVisual> {
        let media: Vec<Geometry<'_>> = shapes.iter().map(geometry).collect();
        let plans: Vec<VisualPlan> = visuals.iter().map(|visual| visual.plan.clone()).collect();
        let resizes_again = family.resizes_again(&media, &plans);
        let kept = visuals.iter().zip(shapes).zip(resizes_again);
        kept.map(|((visual, shape), resizes_again)| visual.model_visual(shape, resizes_again)).collect()
    }

    fn model_visual(&self, shape: &VisualShape, resizes_again: bool) -> ModelVisual {
        let (size_px, frames) = match shape {
            VisualShape::Image { size_px } => (*size_px, None),
            VisualShape::Tiled { .. } => ((0, 0), None),
            VisualShape::Video { size_px, frames } => (*size_px, Some(frames.clone())),
        };
        let resized = self.plan.layout.size();
        ModelVisual {
            size_px,
            frames,
            resized_px: (resized.width_px, resized.height_px),
            resizes_again,
            num_tokens: self.plan.num_tokens(),
            grid_thw: self.plan.grid.map(|grid| [grid.t, grid.h, grid.w]),
            seconds_per_step: self.plan.seconds_per_step,
            max_pixels: self.max_pixels,
        }
    }

    /// A visual of which nothing is known but its kind, for texts that are only compared with each other.
    pub(crate) fn unknown(kind: VisualKind) -> Self {
        let markup = vec![Markup::Placeholders(1), Markup::Text("\n".into())];
        Self { kind, num_images: 1, plan: VisualPlan::of_markup("<image>", markup), max_pixels: None }
    }
}

/// Which frames of a video a family's processor takes. `video.taken` is not read.
pub(crate) fn frames_by_law(
    family: &Family,
    (width_px, height_px): (u32, u32),
    video: &FrameChoice,
) -> Result<Vec<u32>, Rejection> {
    let clip = Clip::new(Size::new(height_px, width_px), video.num_frames, video.fps);
    let plans = family.processor().plan(&[Geometry::Video(clip)]).map_err(|refused| rejection(&refused))?;
    Ok(plans.into_iter().flat_map(|plan| plan.frames).collect())
}

/// As [`frames_by_law`], of a processor that is asked for so many frames, or for the next smaller number that its law knows.
pub(crate) fn fewer_frames_by_law(
    family: &Family,
    size_px: (u32, u32),
    video: &FrameChoice,
    most: NonZeroU32,
) -> Result<Vec<u32>, Rejection> {
    let numbers = (1..=most.get()).rev().filter_map(|number| NonZeroU16::new(u16::try_from(number).ok()?));
    for number in numbers {
        let frames = frames_by_law(&family.clone().with_num_frames(number), size_px, video)?;
        if frames.len() <= most.get() as usize {
            return Ok(frames);
        }
    }
    Err(Rejection::new(RejectCode::NoFrames, format!("{} takes more than {most} frames of a video", family.name())))
}

/// The visual tokens of `num_frames` frames of a video, where frames share a budget; `None` if the processor refuses them.
pub(crate) fn tokens_of_frames(
    family: &Family,
    (width_px, height_px): (u32, u32),
    num_frames: u32,
    max_pixels: Option<u64>,
) -> Option<u64> {
    let size = Size::new(height_px, width_px);
    match max_pixels {
        None => family.processor().tokens_of_frames(size, num_frames),
        Some(most) => family.clone().with_max_pixels(most).processor().tokens_of_frames(size, num_frames),
    }
}

/// What a processor is told of a visual.
fn geometry(shape: &VisualShape) -> Geometry<'_> {
    let size = |(width_px, height_px): (u32, u32)| Size::new(height_px, width_px);
    match shape {
        VisualShape::Image { size_px } => Geometry::Image(size(*size_px)),
        VisualShape::Tiled { grid: Grid { rows, columns } } => Geometry::Tiles { rows: *rows, columns: *columns },
        VisualShape::Video { size_px, frames: FrameChoice { num_frames, fps, taken } } => {
            Geometry::Video(Clip::new(size(*size_px), *num_frames, *fps).with_frames(taken))
        }
    }
}

fn rejection(refused: &Refused) -> Rejection {
    let code = match refused.reason {
        Refusal::Empty { .. } | Refusal::TooNarrow { .. } | Refusal::VanishingSide { .. } => RejectCode::MediaShape,
        Refusal::NoFrame { .. }
        | Refusal::TooFewFrames { .. }
        | Refusal::FrameBeyondEnd { .. }
        | Refusal::SingleFrame
        | Refusal::NoRate { .. } => RejectCode::NoFrames,
        Refusal::TooManyImages { .. } => RejectCode::TooLong,
        Refusal::SecondVideo | Refusal::UnlikeVideos { .. } | Refusal::Video | Refusal::Tiles | Refusal::NoLaw => {
            RejectCode::UnsupportedMedia
        }
    };
    Rejection::new(code, format!("medium {}: {}", refused.medium_index + 1, refused.reason))
}
