//! Pixel values: images as the vision tower of a model family is given them.
//!
//! | family | values |
//! |---|---|
//! | `longllava` | padded to a square with CLIP's mean colour, 336 px, less CLIP's mean, over its deviation: `[images, 3, 336, 336]` |
//! | `qwen2.5-vl`, `qwen3-vl`, `qwen3.5` | patches in the order of `image_grid_thw`, images first, then videos: `[patches, 3 · 2 · side²]` |
//!
//! Every value is the one that the family's own processor in `transformers` computes of an image at that size.

use std::ops::Range;

use manyframe_core::{Sample, SampleVisual, VisualKind};
use manyframe_media::{RgbImage, resize};
use manyframe_validate::preprocess;
use manyframe_vision::{Family, PixelForm};

/// How the pixels of a family become values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PixelLaw(PixelForm);

/// Values of images and of videos.
#[derive(Default)]
pub(crate) struct PixelValues {
    pub(crate) images: Vec<f32>,
    pub(crate) videos: Vec<f32>,
    /// The shape of one image, or of one patch.
    pub(crate) shape: Vec<usize>,
}

impl PixelLaw {
    /// The law of a family; an error if it is not known here.
    pub(crate) fn of(family: &Family) -> Result<Self, String> {
        let unknown = || {
            let name = family.name();
            format!(
                "pixel values for the family {name:?} are not made here; take images=\"pixels\" and its own processor"
            )
        };
        family.pixel_form().map(Self).ok_or_else(unknown)
    }

    /// About how many bytes the values of samples take.
    pub(crate) fn num_bytes(self, samples: &[Sample]) -> u64 {
        let num_values = |sample: &Sample| match self.0 {
            PixelForm::Square { side_px, .. } => sample.cost.num_images * 3 * u64::from(side_px).pow(2),
            PixelForm::Patches { frames_per_step, .. } => {
                let of_visual = |visual: &SampleVisual| {
                    let (width, height) = resized_px(visual);
                    let num_frames = if visual.kind == VisualKind::Video { visual.num_images as u64 } else { 1 };
                    3 * u64::from(width) * u64::from(height) * num_frames.next_multiple_of(u64::from(frames_per_step))
                };
                sample.visuals.iter().map(of_visual).sum()
            }
        };
        4 * samples.iter().map(num_values).sum::<u64>()
    }

    /// Appends the values of some images of a sample, which are these.
    pub(crate) fn extend(
        self,
        values: &mut PixelValues,
        sample: &Sample,
        images: &[RgbImage],
        range: Range<usize>,
    ) -> Result<(), String> {
        match self.0 {
            PixelForm::Square { side_px, normalisation } => {
                let side = side_px as usize;
                values.shape = vec![3, side, side];
                for image in images {
                    let square = preprocess(image, side_px);
                    for channel in 0..3 {
                        let level = Levels::of(&normalisation, channel);
                        values.images.extend(square.iter().skip(channel).step_by(3).map(|byte| level.value(*byte)));
                    }
                }
                Ok(())
            }
            PixelForm::Patches { side_px, merge, frames_per_step, normalisation } => {
                let cut = PatchCut {
                    side: side_px as usize,
                    merge: merge as usize,
                    num_frames: frames_per_step as usize,
                    levels: [0, 1, 2].map(|channel| Levels::of(&normalisation, channel)),
                };
                values.shape = vec![3 * cut.num_frames * cut.side * cut.side];
                for visual in &sample.visuals {
                    let of_visual = visual.first_image..visual.first_image + visual.num_images;
                    if of_visual.end <= range.start || of_visual.start >= range.end {
                        continue;
                    }
                    if of_visual.start < range.start || of_visual.end > range.end {
                        let id = sample.id;
                        return Err(format!(
                            "a video of sample {id} is divided between ranks; its frames make pixel values only together"
                        ));
                    }
                    let frames = images.get(of_visual.start - range.start..of_visual.end - range.start);
                    let frames = frames.ok_or_else(|| format!("sample {} lacks images", sample.id))?;
                    let target = if visual.kind == VisualKind::Video { &mut values.videos } else { &mut values.images };
                    cut.append(frames, resized_px(visual), target)?;
                }
                Ok(())
            }
        }
    }
}

/// The size that the family's processor brings a visual to.
fn resized_px(visual: &SampleVisual) -> (u32, u32) {
    visual.model.as_ref().map_or((visual.width_px, visual.height_px), |model| model.resized_px)
}

/// The value of each level of a channel.
struct Levels([f32; 256]);

impl Levels {
    fn of(normalisation: &manyframe_vision::Normalisation, channel: usize) -> Self {
        let mean = normalisation.mean.get(channel).copied().unwrap_or_default();
        let deviation = normalisation.deviation.get(channel).copied().unwrap_or(1.0);
        let mut level = 0.0_f32;
        Self([(); 256].map(|()| {
            let value = (level / 255.0 - mean) / deviation;
            level += 1.0;
            value
        }))
    }

    fn value(&self, level: u8) -> f32 {
        self.0.get(usize::from(level)).copied().unwrap_or_default()
    }
}

/// How images are cut into patches.
struct PatchCut {
    side: usize,
    merge: usize,
    num_frames: usize,
    levels: [Levels; 3],
}

impl PatchCut {
    /// Appends the patches of an image, or of the frames of a video.
    fn append(&self, frames: &[RgbImage], (width, height): (u32, u32), target: &mut Vec<f32>) -> Result<(), String> {
        let block = self.side * self.merge;
        if !(width as usize).is_multiple_of(block) || !(height as usize).is_multiple_of(block) {
            return Err(format!("{width} × {height} px are no whole patches"));
        }
        let scaled = frames.iter().map(|frame| {
            if (frame.width_px(), frame.height_px()) == (width, height) {
                return Ok(frame.clone());
            }
            resize(frame.view(), width, height).map_err(|error| error.to_string())
        });
        let scaled = scaled.collect::<Result<Vec<_>, String>>()?;
        for step in scaled.chunks(self.num_frames) {
            for top in (0..height as usize).step_by(block) {
                for left in (0..width as usize).step_by(block) {
                    for patch in 0..self.merge * self.merge {
                        let (row, column) = (patch / self.merge * self.side, patch % self.merge * self.side);
                        self.append_patch(step, (left + column, top + row), target);
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends a patch: of each channel, its rows in each frame.
    fn append_patch(&self, step: &[RgbImage], (left, top): (usize, usize), target: &mut Vec<f32>) {
        for (channel, levels) in self.levels.iter().enumerate() {
            let repeated = step.last().into_iter().cycle();
            for frame in step.iter().chain(repeated).take(self.num_frames) {
                for row in top..top + self.side {
                    let start = row * frame.stride() + 3 * left + channel;
                    let pixels = frame.pixels().iter().skip(start).step_by(3).take(self.side);
                    target.extend(pixels.map(|level| levels.value(*level)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image whose red is the column, green the row, blue the number of the frame.
    fn frame(number: u8) -> RgbImage {
        let pixels = (0..8).flat_map(|row| (0..12).flat_map(move |column| [column, row, number])).collect();
        RgbImage::try_new(12, 8, pixels).unwrap()
    }

    #[test]
    fn patches_that_become_a_token_are_neighbours_and_channels_come_first() {
        let plain = manyframe_vision::Normalisation { mean: [0.0; 3], deviation: [1.0 / 255.0; 3] };
        let cut = PatchCut { side: 2, merge: 2, num_frames: 2, levels: [0, 1, 2].map(|c| Levels::of(&plain, c)) };
        let mut values = Vec::new();
        cut.append(&[frame(0), frame(1), frame(2)], (12, 8), &mut values).unwrap();
        let values: Vec<u8> = values.iter().map(|value| value.round() as u8).collect();
        let patches: Vec<&[u8]> = values.chunks(3 * 2 * 4).collect();
        assert_eq!(patches.len(), 2 * 6 * 4);
        let top_left = |patch: &[u8]| (patch[0], patch[8]);
        let starts: Vec<(u8, u8)> = patches.iter().map(|patch| top_left(patch)).collect();
        assert_eq!(starts[..6], [(0, 0), (2, 0), (0, 2), (2, 2), (4, 0), (6, 0)]);
        // Of the first patch: red of frame 0 and 1, rows within; then green, then blue.
        assert_eq!(patches[0], [0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]);
        // The third frame is alone in its step.
        assert_eq!(patches[24][16..], [2; 8]);
    }
}
