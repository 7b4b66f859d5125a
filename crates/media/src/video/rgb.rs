//! A decoded frame as RGB: what `ffmpeg -pix_fmt rgb24` returns.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::software::scaling::{Context, Flags};
use ffmpeg_next::{Error, frame};

use super::ffi::{self, Colours};
use crate::pixels::{RGB_BYTES, RgbImage};

/// Converts frames; the scaler is set up once per format.
pub(super) struct RgbConverter {
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

impl RgbConverter {
    pub(super) fn new() -> Self {
        Self { scaler: None, rgb: frame::Video::empty() }
    }

    /// Converts a frame as it was decoded.
    #[expect(clippy::indexing_slicing, reason = "FFmpeg's rows are at least as long as the pixels in them")]
    pub(super) fn convert(&mut self, frame: &frame::Video) -> Result<RgbImage, Error> {
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
        RgbImage::try_new(format.width_px, format.height_px, pixels).ok_or(Error::InvalidData)
    }
}
