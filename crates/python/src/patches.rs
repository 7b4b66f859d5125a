//! Pixel values as patches: an image, or a step of a video, cut into squares that the vision tower takes one by one.

use manyframe_media::{RgbImage, resize};

use crate::values::Levels;

/// How images are cut into patches.
pub(crate) struct PatchCut {
    /// Side of a patch, in pixels.
    pub(crate) side: usize,
    /// Patches along a side of a token.
    pub(crate) merge: usize,
    /// Frames of a patch.
    pub(crate) num_frames: usize,
    pub(crate) levels: Levels,
}

impl PatchCut {
    /// Appends the patches of an image, or of the frames of a video; returns their number in time, height and width.
    pub(crate) fn append(
        &self,
        frames: &[RgbImage],
        (width, height): (u32, u32),
        target: &mut Vec<f32>,
    ) -> Result<[i64; 3], String> {
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
        let num_rows = |px: u32| (px as usize / self.side).cast_signed() as i64;
        let num_steps = frames.len().div_ceil(self.num_frames).cast_signed() as i64;
        Ok([num_steps, num_rows(height), num_rows(width)])
    }

    /// Appends a patch: of each channel, its rows in each frame.
    fn append_patch(&self, step: &[RgbImage], (left, top): (usize, usize), target: &mut Vec<f32>) {
        for channel in 0..3 {
            let repeated = step.last().into_iter().cycle();
            for frame in step.iter().chain(repeated).take(self.num_frames) {
                for row in top..top + self.side {
                    let start = row * frame.stride() + 3 * left + channel;
                    let pixels = frame.pixels().get(start..).unwrap_or_default();
                    self.levels.append(channel, pixels.iter().step_by(3).take(self.side), target);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use manyframe_vision::Normalisation;

    use super::*;

    /// An image whose red is the column, green the row, blue the number of the frame.
    fn frame(number: u8) -> RgbImage {
        let pixels = (0..8).flat_map(|row| (0..12).flat_map(move |column| [column, row, number])).collect();
        RgbImage::try_new(12, 8, pixels).unwrap()
    }

    #[test]
    fn patches_that_become_a_token_are_neighbours_and_channels_come_first() {
        let plain = Normalisation { mean: [0.0; 3], deviation: [1.0 / 255.0; 3] };
        let cut = PatchCut { side: 2, merge: 2, num_frames: 2, levels: Levels::of(&plain) };
        let mut values = Vec::new();
        let grid = cut.append(&[frame(0), frame(1), frame(2)], (12, 8), &mut values).unwrap();
        assert_eq!(grid, [2, 4, 6]);
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
