//! A visual whose images are known, because its frames were chosen or its tiles counted, and what the model makes of it.

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
}

impl ResolvedVisual {
    /// The visuals of a sample, in order.
    ///
    /// # Errors
    /// The reason why the family's processor refuses one of them.
    pub fn plan_all(family: &Family, shapes: &[VisualShape]) -> Result<Vec<Self>, Rejection> {
        let media: Vec<Geometry<'_>> = shapes.iter().map(geometry).collect();
        let plans = family.processor().plan(&media).map_err(|refused| rejection(&refused))?;
        let resolved =
            |(shape, plan): (&VisualShape, _)| Self { kind: shape.kind(), num_images: shape.num_images(), plan };
        Ok(shapes.iter().zip(plans).map(resolved).collect())
    }

    /// What a sample keeps of its visuals, in order.
    pub(crate) fn model_visuals(family: &Family, visuals: &[Self], shapes: &[VisualShape]) -> Vec<ModelVisual> {
        let media: Vec<Geometry<'_>> = shapes.iter().map(geometry).collect();
        let plans: Vec<VisualPlan> = visuals.iter().map(|visual| visual.plan.clone()).collect();
        let resizes_again = family.resizes_again(&media, &plans);
        let kept = plans.iter().zip(shapes).zip(resizes_again);
        kept.map(|((plan, shape), resizes_again)| model_visual(plan, shape, resizes_again)).collect()
    }

    /// A visual of which nothing is known but its kind, for texts that are only compared with each other.
    pub(crate) fn unknown(kind: VisualKind) -> Self {
        let markup = vec![Markup::Placeholders(1), Markup::Text("\n".into())];
        Self { kind, num_images: 1, plan: VisualPlan::of_markup("<image>", markup) }
    }
}

fn model_visual(plan: &VisualPlan, shape: &VisualShape, resizes_again: bool) -> ModelVisual {
    let (size_px, frames) = match shape {
        VisualShape::Image { size_px } => (*size_px, None),
        VisualShape::Tiled { .. } => ((0, 0), None),
        VisualShape::Video { size_px, frames } => (*size_px, Some(frames.clone())),
    };
    let resized = plan.layout.size();
    ModelVisual {
        size_px,
        frames,
        resized_px: (resized.width_px, resized.height_px),
        resizes_again,
        num_tokens: plan.num_tokens(),
        grid_thw: plan.grid.map(|grid| [grid.t, grid.h, grid.w]),
        seconds_per_step: plan.seconds_per_step,
    }
}

/// Which frames of a video a family's processor takes.
pub(crate) fn frames_by_law(
    family: &Family,
    (width_px, height_px): (u32, u32),
    num_frames: u32,
    fps: f64,
) -> Result<Vec<u32>, Rejection> {
    let clip = Clip::new(Size::new(height_px, width_px), num_frames, fps);
    let plans = family.processor().plan(&[Geometry::Video(clip)]).map_err(|refused| rejection(&refused))?;
    Ok(plans.into_iter().flat_map(|plan| plan.frames).collect())
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
        Refusal::SecondVideo | Refusal::Video | Refusal::Tiles | Refusal::NoLaw => RejectCode::UnsupportedMedia,
    };
    Rejection::new(code, format!("medium {}: {}", refused.medium_index + 1, refused.reason))
}
