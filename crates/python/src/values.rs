//! What pixel values consist of: numbers, how they are divided among images, and the number of each level; and of which images they
//! are.

use std::ops::Range;

use manyframe_core::{Sample, SampleVisual};
use manyframe_media::RgbView;
use manyframe_vision::Normalisation;

/// Values of images and of videos.
#[derive(Default)]
pub(crate) struct PixelValues {
    pub(crate) images: Vec<f32>,
    pub(crate) videos: Vec<f32>,
    /// The shape of one image, tile or patch.
    pub(crate) shape: Vec<usize>,
    /// Which of them are of which image and which video, where they are tiles.
    pub(crate) parts: Option<TileParts>,
    /// Where they are patches: those of each image and each video that is here.
    pub(crate) grids: Option<PatchGrids>,
}

/// Patches in time, height and width of each image and each video, or of the part of it that is here.
#[derive(Default)]
pub(crate) struct PatchGrids {
    pub(crate) images: Vec<i64>,
    pub(crate) videos: Vec<i64>,
}

/// How tiles and frames are divided among images and videos.
#[derive(Default)]
pub(crate) struct TileParts {
    /// Tiles of each image, its overview included.
    pub(crate) image_tiles: Vec<i64>,
    /// Height and width of each image as it is delivered.
    pub(crate) image_sizes: Vec<i64>,
    /// Frames of each video.
    pub(crate) video_frames: Vec<i64>,
}

/// The value of each level of each channel.
pub(crate) struct Levels([[f32; 256]; 3]);

impl Levels {
    pub(crate) fn of(Normalisation { mean, deviation }: &Normalisation) -> Self {
        let level_values = std::array::from_fn(|level| level as f32 / 255.0);
        let channel = |(mean, deviation): (f32, f32)| level_values.map(|value: f32| (value - mean) / deviation);
        let ([red, green, blue], [red_deviation, green_deviation, blue_deviation]) = (*mean, *deviation);
        Self([(red, red_deviation), (green, green_deviation), (blue, blue_deviation)].map(channel))
    }

    /// Appends the values of levels of a channel.
    pub(crate) fn append<'l>(&self, channel: usize, levels: impl Iterator<Item = &'l u8>, target: &mut Vec<f32>) {
        let Some(of_level) = self.0.get(channel) else { return };
        target.extend(levels.map(|level| of_level.get(usize::from(*level)).copied().unwrap_or_default()));
    }

    /// Appends the values of pixels: of each channel, its rows.
    pub(crate) fn append_planes(&self, pixels: RgbView<'_>, target: &mut Vec<f32>) {
        for channel in 0..3 {
            for row in pixels.rows() {
                self.append(channel, row.iter().skip(channel).step_by(3), target);
            }
        }
    }
}

/// The visuals of a sample, and which of their images are within a range of the sample's. Frames of its video files count among
/// these.
pub(crate) fn visuals_within(
    sample: &Sample,
    range: Range<usize>,
) -> impl Iterator<Item = (&SampleVisual, Range<usize>)> {
    sample.visuals.iter().scan(0, move |end, visual| {
        let start = *end;
        *end += visual.num_images;
        Some((visual, start.max(range.start)..(*end).min(range.end)))
    })
}
