//! From a decoded frame to a delivered image: RGB as `ffmpeg -pix_fmt rgb24` returns it, upright, scaled, encoded.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::software::scaling::{Context, Flags};
use ffmpeg_next::{Error, frame};
use manyframe_core::{RejectCode, SampleImage};

use super::ffi::{self, Colours};
use super::orientation::Orientation;
use crate::error::MediaError;
use crate::pixels::RgbImage;
use crate::policy::ImagePolicy;
use crate::prepare::prepare_pixels;

/// Bytes of a pixel in RGB24.
const RGB_BYTES: usize = 3;

/// Converts the frames of one video; the scaler is set up once per format.
pub(super) struct FrameConverter {
    orientation: Orientation,
    scaler: Option<(FrameFormat, Context)>,
    rgb: frame::Video,
}

/// Everything that the set-up of the scaler depends on.
#[derive(Clone, Copy, PartialEq)]
struct FrameFormat {
    pixel: Pixel,
    width_px: u32,
    height_px: u32,
    colours: Colours,
}

impl FrameConverter {
    pub(super) fn new(orientation: Orientation) -> Self {
        Self { orientation, scaler: None, rgb: frame::Video::empty() }
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
    #[expect(clippy::indexing_slicing, reason = "FFmpeg's rows are at least as long as the pixels in them")]
    pub(super) fn rgb(&mut self, frame: &frame::Video) -> Result<RgbImage, Error> {
        let format = FrameFormat {
            pixel: frame.format(),
            width_px: frame.width(),
            height_px: frame.height(),
            colours: ffi::stated_colours(frame),
        };
        let scaler = match &mut self.scaler {
            Some((known, scaler)) if *known == format => scaler,
            slot => {
                let (width, height) = (format.width_px, format.height_px);
                let mut scaler =
                    Context::get(format.pixel, width, height, Pixel::RGB24, width, height, Flags::BICUBIC)?;
                ffi::set_source_colours(&mut scaler, format.colours);
                self.rgb = frame::Video::empty();
                &mut slot.insert((format, scaler)).1
            }
        };
        scaler.run(frame, &mut self.rgb)?;
        // If memory ran out, the frame has no plane, and accessing one would panic.
        if self.rgb.planes() == 0 {
            return Err(Error::Other { errno: ffmpeg_next::error::ENOMEM });
        }
        let row_bytes = format.width_px as usize * RGB_BYTES;
        let rows = self.rgb.data(0).chunks(self.rgb.stride(0)).take(format.height_px as usize);
        let mut pixels = Vec::with_capacity(row_bytes * format.height_px as usize);
        rows.for_each(|row| pixels.extend_from_slice(&row[..row_bytes]));
        let image = RgbImage::try_new(format.width_px, format.height_px, pixels).ok_or(Error::InvalidData)?;
        Ok(self.orientation.upright(image))
    }
}
