//! From a decoded frame to a delivered image: upright, scaled, encoded.
//!
//! ```text
//! frame ──channels──▶ upright ──▶ scaled ──▶ JPEG      brightness and colours, each converted and scaled once
//! frame ──swscale──▶ RGB ──▶ upright ──▶ scaled ──▶ JPEG      frames that are stored in another way: RGB, palettes
//! ```

use ffmpeg_next::{Error, frame};
use manyframe_core::{RejectCode, SampleImage};

use super::channels::ChannelConverter;
use super::orientation::Orientation;
use super::rgb::RgbConverter;
use crate::error::MediaError;
use crate::pixels::RgbImage;
use crate::policy::ImagePolicy;
use crate::prepare::{prepare_pixels, prepare_planes};

/// Converts the frames of one video.
pub(super) struct FrameConverter {
    orientation: Orientation,
    channels: ChannelConverter,
    rgb: RgbConverter,
}

impl FrameConverter {
    pub(super) fn new(orientation: Orientation) -> Self {
        Self { orientation, channels: ChannelConverter::default(), rgb: RgbConverter::new() }
    }

    /// Converts and encodes a frame for delivery.
    pub(super) fn encode(&mut self, frame: &frame::Video, policy: &ImagePolicy) -> Result<SampleImage, MediaError> {
        let (width_px, height_px) = self.orientation.upright_px(frame.width(), frame.height());
        policy.limits.check_dimensions(width_px, height_px)?;
        if let Some(channels) = self.channels.convert(frame, self.orientation) {
            return prepare_planes(channels, policy);
        }
        let image = self.rgb(frame).map_err(|error| {
            let (width, height, format) = (frame.width(), frame.height(), frame.format());
            let detail = format!("cannot convert a frame of {width}×{height} pixels ({format:?}): {error}");
            MediaError::rejected(RejectCode::MediaCorrupt, detail)
        })?;
        prepare_pixels(&image, policy)
    }

    /// Converts a frame to upright RGB.
    pub(super) fn rgb(&mut self, frame: &frame::Video) -> Result<RgbImage, Error> {
        Ok(self.orientation.upright(self.rgb.convert(frame)?))
    }
}
