//! PNG to RGB, row by row, so that memory grows with the pixels and not with the bytes of a sample.
//!
//! A PNG has two kinds of checksum: of each chunk, and of the pixels before compression. One of them is enough to know that the
//! pixels are those that were stored; where both are wrong the file is damaged.

use std::io::{self, Cursor};

use png::{ColorType, DecodeOptions, Decoder, DecodingError, Transformations};

use crate::container::cleaned_png;
use crate::pixels::{RGB_BYTES, RgbImage, over_white};

/// Number of bytes that a decoder may allocate for tables, a row and chunks that it keeps.
const MAX_BYTES: usize = 64 << 20;

/// Whether the checksum of pixels is checked; those of the chunks that hold them always are.
#[derive(Clone, Copy, PartialEq)]
enum PixelChecksum {
    Checked,
    Ignored,
}

/// Decodes into an image of the size in the header, if either of the checksums is right.
pub(super) fn decode_into(bytes: &[u8], image: &mut RgbImage) -> Result<(), DecodingError> {
    let Err(error) = decode(bytes, image, PixelChecksum::Ignored) else { return Ok(()) };
    // In a cleaned file the checksums of chunks are right, and whatever is not pixels is gone.
    match cleaned_png(bytes).map(|cleaned| decode(&cleaned, image, PixelChecksum::Checked)) {
        Some(Ok(())) => Ok(()),
        _ => Err(error),
    }
}

/// Decodes into an image of the size in the header, if both of the checksums are right.
pub(super) fn decode_strictly_into(bytes: &[u8], image: &mut RgbImage) -> Result<(), DecodingError> {
    decode(bytes, image, PixelChecksum::Checked)
}

fn decode(bytes: &[u8], image: &mut RgbImage, checksum: PixelChecksum) -> Result<(), DecodingError> {
    let mut options = DecodeOptions::default();
    options.set_ignore_adler32(checksum == PixelChecksum::Ignored);
    options.set_skip_ancillary_crc_failures(true);
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    decoder.set_limits(png::Limits { bytes: MAX_BYTES });
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info()?;
    // The decoder would panic.
    if reader.info().palette.as_ref().is_some_and(|palette| palette.len() % RGB_BYTES != 0) {
        return Err(DecodingError::IoError(io::Error::new(io::ErrorKind::InvalidData, "a colour is cut short")));
    }
    let (color, depth) = reader.output_color_type();
    let layout = SampleLayout { color, is_sixteen_bit: depth == png::BitDepth::Sixteen };
    let stride = image.stride();
    // Of an interlaced image, whose passes have up to as many pixels.
    let mut row_in_rgb = vec![0; stride];
    let mut y = 0;
    while let Some(row) = reader.next_interlaced_row()? {
        match row.interlace() {
            png::InterlaceInfo::Null(_) => {
                let start = y * stride;
                if let Some(line) = image.pixels_mut().get_mut(start..start + stride) {
                    layout.convert(row.data(), line);
                }
                y += 1;
            }
            png::InterlaceInfo::Adam7(pass) => {
                layout.convert(row.data(), &mut row_in_rgb);
                png::expand_interlaced_row(image.pixels_mut(), stride, &row_in_rgb, pass, 8 * RGB_BYTES as u8);
            }
        }
    }
    Ok(())
}

/// How a decoder returns samples: at least 8 bits, palettes resolved.
#[derive(Clone, Copy)]
struct SampleLayout {
    color: ColorType,
    is_sixteen_bit: bool,
}

impl SampleLayout {
    /// Converts as many pixels as fit, transparency on white.
    fn convert(self, row: &[u8], rgb: &mut [u8]) {
        let (pixels, _) = rgb.as_chunks_mut::<RGB_BYTES>();
        match (self.color, self.is_sixteen_bit) {
            (ColorType::Rgb, false) => {
                pixels.iter_mut().zip(row.as_chunks().0).for_each(|(pixel, samples)| *pixel = *samples);
            }
            (_, false) => self.convert_samples::<1>(row, pixels, |[level]| level),
            // Rounded to 8 bits; 257 × 255 is 65,535.
            (_, true) => self
                .convert_samples::<2>(row, pixels, |level| ((u32::from(u16::from_be_bytes(level)) + 128) / 257) as u8),
        }
    }

    fn convert_samples<const BYTES: usize>(
        self,
        row: &[u8],
        pixels: &mut [[u8; RGB_BYTES]],
        level: impl Fn([u8; BYTES]) -> u8,
    ) {
        let (samples, _) = row.as_chunks::<BYTES>();
        let level = |&sample: &[u8; BYTES]| level(sample);
        let stored = samples.chunks_exact(self.color.samples());
        for (pixel, stored) in pixels.iter_mut().zip(stored) {
            *pixel = match stored {
                [gray] => [level(gray); 3],
                [gray, alpha] => [over_white(level(gray), level(alpha)); 3],
                [red, green, blue] => [level(red), level(green), level(blue)],
                [red, green, blue, alpha] => [red, green, blue].map(|color| over_white(level(color), level(alpha))),
                _ => [0; 3],
            };
        }
    }
}
