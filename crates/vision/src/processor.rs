//! The trait that every model family implements.

use crate::geometry::Geometry;
use crate::plan::VisualPlan;
use crate::refusal::{Refusal, Refused};

/// What a model's processor makes of the media of one sample, computed from their headers.
pub trait VisionProcessor: Send + Sync {
    /// The plan of each medium, in order. Some models show an image of a sample with several images in another way.
    ///
    /// # Errors
    /// The first medium that the processor refuses, and why.
    fn plan(&self, media: &[Geometry]) -> Result<Vec<VisualPlan>, Refused>;
}

/// Plans each medium by itself, after a look at what no processor can show.
pub(crate) fn plan_each(
    media: &[Geometry],
    plan: impl Fn(Geometry) -> Result<VisualPlan, Refusal>,
) -> Result<Vec<VisualPlan>, Refused> {
    let plan_one = |(medium_index, &medium): (usize, &Geometry)| {
        ensure_visible(medium).and_then(|()| plan(medium)).map_err(|reason| Refused { medium_index, reason })
    };
    media.iter().enumerate().map(plan_one).collect()
}

fn ensure_visible(medium: Geometry) -> Result<(), Refusal> {
    let size = medium.size();
    if size.num_pixels() == 0 {
        return Err(Refusal::Empty { size });
    }
    if let Geometry::Video(clip) = medium {
        if clip.num_frames == 0 {
            return Err(Refusal::NoFrame { num_frames: 0 });
        }
        if !(clip.rate.is_finite() && clip.rate > 0.0) {
            return Err(Refusal::NoRate { rate: clip.rate });
        }
    }
    Ok(())
}
