//! The planes of a decoded frame, read in place: how FFmpeg stores brightness and colours.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame;

use super::ffi;
use super::yuv::{YuvFormat, YuvView};
use crate::avif::ColorCode;
use crate::ycbcr::Halved;

/// Primaries that nothing is said about, as a number of ITU-T H.273.
const UNSPECIFIED: u16 = 2;

const BOTH: Option<Halved> = Some(Halved { columns: true, rows: true });
const COLUMNS: Option<Halved> = Some(Halved { columns: true, rows: false });
const ROWS: Option<Halved> = Some(Halved { columns: false, rows: true });
const NONE: Option<Halved> = Some(Halved::NOT);

/// The planes of a frame; those of RGB are green, blue and red, and have the matrix 0. `None` if it is stored in another way.
pub(super) fn planes(frame: &frame::Video) -> Option<YuvView<'_>> {
    let format = format(frame.format())?;
    let colours = ffi::stated_colours(frame);
    let code = ColorCode {
        primaries: UNSPECIFIED,
        // RGB has no matrix, whatever it states.
        matrix: if is_rgb(frame.format()) { 0 } else { colours.matrix() },
        is_full_range: colours.is_full_range().unwrap_or_else(|| is_full_range_by_itself(frame.format())),
    };
    let num_planes = if format.colors.is_some() { 3 } else { 1 };
    let mut planes = [(&[][..], 0); 3];
    for (number, plane) in planes.iter_mut().enumerate().take(num_planes) {
        // A negative distance between rows, which are then stored from the bottom, is returned as a large number.
        let stride = frame.stride(number);
        if number >= frame.planes() || i32::try_from(stride).is_err() {
            return None;
        }
        *plane = (frame.data(number), stride);
    }
    Some(YuvView { format, size_px: (frame.width(), frame.height()), code, planes })
}

pub(super) fn is_rgb(pixel: Pixel) -> bool {
    matches!(pixel, Pixel::GBRP | Pixel::GBRP10LE | Pixel::GBRP12LE)
}

/// Whether all levels are used where a frame says nothing about it, as in swscale.
fn is_full_range_by_itself(pixel: Pixel) -> bool {
    let is_gray = format(pixel).is_some_and(|format| format.colors.is_none());
    is_gray || matches!(pixel, Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ440P | Pixel::YUVJ444P)
}

/// Bits of a sample, and the resolution of colours. Transparency, which follows in planes of its own, is left out.
fn format(pixel: Pixel) -> Option<YuvFormat> {
    let (depth_bits, colors) = match pixel {
        Pixel::GRAY8 => (8, None),
        Pixel::GRAY9LE => (9, None),
        Pixel::GRAY10LE => (10, None),
        Pixel::GRAY12LE => (12, None),
        Pixel::GRAY14LE => (14, None),
        Pixel::GRAY16LE => (16, None),
        Pixel::YUV420P | Pixel::YUVJ420P | Pixel::YUVA420P => (8, BOTH),
        Pixel::YUV420P9LE | Pixel::YUVA420P9LE => (9, BOTH),
        Pixel::YUV420P10LE | Pixel::YUVA420P10LE => (10, BOTH),
        Pixel::YUV420P12LE => (12, BOTH),
        Pixel::YUV420P14LE => (14, BOTH),
        Pixel::YUV420P16LE | Pixel::YUVA420P16LE => (16, BOTH),
        Pixel::YUV422P | Pixel::YUVJ422P | Pixel::YUVA422P => (8, COLUMNS),
        Pixel::YUV422P9LE | Pixel::YUVA422P9LE => (9, COLUMNS),
        Pixel::YUV422P10LE | Pixel::YUVA422P10LE => (10, COLUMNS),
        Pixel::YUV422P12LE | Pixel::YUVA422P12LE => (12, COLUMNS),
        Pixel::YUV422P14LE => (14, COLUMNS),
        Pixel::YUV422P16LE | Pixel::YUVA422P16LE => (16, COLUMNS),
        Pixel::YUV440P | Pixel::YUVJ440P => (8, ROWS),
        Pixel::YUV440P10LE => (10, ROWS),
        Pixel::YUV440P12LE => (12, ROWS),
        Pixel::YUV444P | Pixel::YUVJ444P | Pixel::YUVA444P | Pixel::GBRP => (8, NONE),
        Pixel::YUV444P9LE | Pixel::YUVA444P9LE => (9, NONE),
        Pixel::YUV444P10LE | Pixel::YUVA444P10LE | Pixel::GBRP10LE => (10, NONE),
        Pixel::YUV444P12LE | Pixel::YUVA444P12LE | Pixel::GBRP12LE => (12, NONE),
        Pixel::YUV444P14LE => (14, NONE),
        Pixel::YUV444P16LE | Pixel::YUVA444P16LE => (16, NONE),
        _ => return None,
    };
    Some(YuvFormat { depth_bits, colors })
}
