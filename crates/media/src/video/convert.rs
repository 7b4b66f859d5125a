//! From a decoded frame to a delivered image: upright, scaled, encoded.

use ffmpeg_next::{Error, frame};
use manyframe_core::{RejectCode, SampleImage};

use super::orientation::Orientation;
use super::rgb::RgbConverter;
use crate::error::MediaError;
use crate::pixels::RgbImage;
use crate::policy::ImagePolicy;
use crate::prepare::prepare_pixels;

/// Converts the frames of one video.
pub(super) struct FrameConverter {
    orientation: Orientation,
    converter: RgbConverter,
}

impl FrameConverter {
    pub(super) fn new(orientation: Orientation) -> Self {
        Self { orientation, converter: RgbConverter::new() }
    }

    /// Converts and encodes a frame for delivery.
    pub(super) fn encode(&mut self, frame: &frame::Video, policy: &ImagePolicy) -> Result<SampleImage, MediaError> {
        let image = self.rgb(frame).map_err(|error| {
            let (width, height, format) = (frame.width(), frame.height(), frame.format());
            let detail = format!("cannot convert a frame of {width}×{height} pixels ({format:?}): {error}");
            MediaError::rejected(RejectCode::MediaCorrupt, detail)
        })?;
        policy.limits.check_dimensions(image.width_px(), image.height_px())?;
        prepare_pixels(&image, policy)
    }

    /// Converts a frame to upright RGB.
    pub(super) fn rgb(&mut self, frame: &frame::Video) -> Result<RgbImage, Error> {
        Ok(self.orientation.upright(self.converter.convert(frame)?))
    }
}
