//! Pixel values: images as the vision tower of a model family is given them.
//!
//! | family | values |
//! |---|---|
//! | `longllava` | padded to a square with CLIP's mean colour, 336 px, less CLIP's mean, over its deviation: `[images, 3, 336, 336]` |
//! | `qwen2.5-vl`, `qwen3-vl`, `qwen3.5` | patches in the order of `image_grid_thw`, images first, then videos: `[patches, 3 · 2 · side²]` |
//! | `llava-1.5`, `llava-next`, `llava-onevision`, `internvl`, `idefics3`, `smolvlm`, `nvila`, `longvila` | the image, or its overview and tiles, one after another: `[tiles, 3, side, side]` |
//!
//! Every value is the one that the family's own processor in `transformers` computes of an image at that size.

use std::ops::Range;

use manyframe_core::{Sample, SampleVisual, VisualKind};
use manyframe_media::RgbImage;
use manyframe_validate::preprocess;
use manyframe_vision::{Family, PixelForm};

use crate::patches::PatchCut;
use crate::tiles::{self, TileCut};
use crate::values::{Levels, PatchGrids, PixelValues, TileParts, visuals_within};

/// How the pixels of a family become values.
#[derive(Debug, Clone)]
pub(crate) struct PixelLaw {
    family: Family,
    form: PixelForm,
    /// The shape of one image, tile or patch.
    shape: Vec<usize>,
}

impl PixelLaw {
    /// The law of a family; an error if it is not known here.
    pub(crate) fn of(family: Family) -> Result<Self, String> {
        let Some(form) = family.pixel_form() else {
            let name = family.name();
            return Err(format!(
                "pixel values for the family {name:?} with its settings are not made here; take images=\"pixels\" and the model's \
                 own processor"
            ));
        };
        let shape = match form {
            PixelForm::Square { side_px, .. } => vec![3, side_px as usize, side_px as usize],
            PixelForm::Patches { side_px, frames_per_step, .. } => {
                vec![3 * frames_per_step as usize * (side_px as usize).pow(2)]
            }
            PixelForm::Tiles { .. } => tiles::shape(&family)?,
        };
        Ok(Self { family, form, shape })
    }

    /// The values of no image.
    pub(crate) fn nothing(&self) -> PixelValues {
        let parts = matches!(self.form, PixelForm::Tiles { .. }).then(TileParts::default);
        let grids = matches!(self.form, PixelForm::Patches { .. }).then(PatchGrids::default);
        PixelValues { shape: self.shape.clone(), parts, grids, ..PixelValues::default() }
    }

    /// About how many bytes the values of samples take.
    pub(crate) fn num_bytes(&self, samples: &[Sample]) -> u64 {
        let num_values = |sample: &Sample| match self.form {
            PixelForm::Square { side_px, .. } => sample.cost.num_images * 3 * u64::from(side_px).pow(2),
            PixelForm::Patches { frames_per_step, .. } => {
                let of_visual = |visual: &SampleVisual| {
                    let (width, height) = resized_px(visual);
                    let num_frames = if visual.kind == VisualKind::Video { visual.num_images as u64 } else { 1 };
                    3 * u64::from(width) * u64::from(height) * num_frames.next_multiple_of(u64::from(frames_per_step))
                };
                sample.visuals.iter().map(of_visual).sum()
            }
            PixelForm::Tiles { .. } => tiles::num_values(&self.family, sample),
        };
        4 * samples.iter().map(num_values).sum::<u64>()
    }

    /// The first of a pack's images from which on a rank can make values: `image`, or where the next step of its video begins. Frames
    /// of a step make values only together.
    pub(crate) fn next_step(&self, samples: &[Sample], image: u64) -> u64 {
        let PixelForm::Patches { frames_per_step, .. } = self.form else { return image };
        let mut first = 0;
        for visual in samples.iter().flat_map(|sample| &sample.visuals) {
            let end = first + visual.num_images as u64;
            if visual.kind == VisualKind::Video && (first..end).contains(&image) {
                return (first + (image - first).next_multiple_of(u64::from(frames_per_step))).min(end);
            }
            first = end;
        }
        image
    }

    /// Appends the values of some images of a sample, which are these.
    pub(crate) fn extend(
        &self,
        values: &mut PixelValues,
        sample: &Sample,
        images: &[RgbImage],
        range: Range<usize>,
    ) -> Result<(), String> {
        match self.form {
            PixelForm::Square { side_px, normalisation } => {
                let levels = Levels::of(&normalisation);
                for image in images {
                    let square = RgbImage::try_new(side_px, side_px, preprocess(image, side_px));
                    let square = square.ok_or_else(|| format!("{side_px} px is no side of a square"))?;
                    levels.append_planes(square.view(), &mut values.images);
                }
                Ok(())
            }
            PixelForm::Patches { side_px, merge, frames_per_step, normalisation } => {
                let cut = PatchCut {
                    side: side_px as usize,
                    merge: merge as usize,
                    num_frames: frames_per_step as usize,
                    levels: Levels::of(&normalisation),
                };
                extend_with_patches(&cut, values, sample, images, range)
            }
            PixelForm::Tiles { fit, normalisation } => {
                let cut = TileCut { fit, levels: Levels::of(&normalisation), padding: normalisation.mean_colour() };
                cut.extend(&self.family, values, sample, images, range)
            }
        }
    }
}

fn extend_with_patches(
    cut: &PatchCut,
    values: &mut PixelValues,
    sample: &Sample,
    images: &[RgbImage],
    range: Range<usize>,
) -> Result<(), String> {
    let PixelValues { images: of_images, videos: of_videos, grids, .. } = values;
    let grids = grids.get_or_insert_default();
    for (visual, shown) in visuals_within(sample, range.clone()).filter(|(_, shown)| !shown.is_empty()) {
        let frames = images.get(shown.start - range.start..shown.end - range.start);
        let frames = frames.ok_or_else(|| format!("sample {} lacks images", sample.id))?;
        let (target, grids) = match visual.kind {
            VisualKind::Video => (&mut *of_videos, &mut grids.videos),
            VisualKind::Image | VisualKind::Tiled => (&mut *of_images, &mut grids.images),
        };
        grids.extend(cut.append(frames, resized_px(visual), target)?);
    }
    Ok(())
}

/// The size that the family's processor brings a visual to.
fn resized_px(visual: &SampleVisual) -> (u32, u32) {
    visual.model.as_ref().map_or((visual.width_px, visual.height_px), |model| model.resized_px)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn law(name: &str) -> Result<PixelLaw, String> {
        PixelLaw::of(Family::named(name).unwrap())
    }

    #[test]
    fn the_shape_of_what_a_tower_sees_is_that_of_the_family() {
        let sides = [
            ("longllava", 336),
            ("longvila", 384),
            ("llava-1.5", 336),
            ("llava-next", 336),
            ("llava-onevision", 384),
            ("idefics3", 364),
            ("smolvlm", 512),
            ("internvl", 448),
            ("nvila", 448),
        ];
        for (name, side) in sides {
            assert_eq!(law(name).unwrap().nothing().shape, [3, side, side], "{name}");
        }
        assert_eq!(law("qwen3-vl").unwrap().nothing().shape, [3 * 2 * 16 * 16]);
    }

    #[test]
    fn a_family_whose_values_are_not_known_is_named() {
        for name in ["nemotron-3-nano-omni", "nemotron-nano-vl", "granite-4-vision", "custom"] {
            let error = law(name).unwrap_err();
            assert!(error.contains(&format!("{name:?}")) && error.contains("images=\"pixels\""), "{error}");
        }
    }
}
