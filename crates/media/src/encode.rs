//! Pixels to JPEG, through libjpeg-turbo: baseline, Huffman tables as in the standard, accurate DCT.

use std::cell::RefCell;

use manyframe_core::RejectCode;
use turbojpeg::{Compressor, Image, OutputBuf, PixelFormat, Subsamp, YuvPlanesImage};

use crate::error::MediaError;
use crate::pixels::RgbView;
use crate::policy::{JpegOptions, Subsampling};
use crate::ycbcr::{Area, ChannelPart, Halved, Plane, WHITE, Ycbcr};

/// Longest side that libjpeg encodes, in pixels (`JPEG_MAX_DIMENSION`).
pub const MAX_JPEG_EDGE_PX: u32 = 65_500;

thread_local! {
    static ENCODER: RefCell<Option<JpegEncoder>> = const { RefCell::new(None) };
}

/// A compressor with its buffers, which grow to the largest image and are reused.
struct JpegEncoder {
    compressor: Compressor,
    output: OutputBuf<'static>,
    /// Channels at the resolution at which they are encoded.
    channels: [Vec<u8>; 3],
}

/// Encodes a view as a JPEG. The same pixels and options lead to the same bytes.
///
/// # Errors
/// A rejection if a side is longer than [`MAX_JPEG_EDGE_PX`].
pub fn encode_jpeg(view: RgbView<'_>, options: JpegOptions) -> Result<Vec<u8>, MediaError> {
    encode((view.width_px(), view.height_px()), |encoder| encoder.encode_rgb(view, options))
}

/// Encodes an area of an image as a JPEG: the bytes that [`encode_jpeg`] returns for the same pixels, without converting to RGB
/// and back.
pub(crate) fn encode_ycbcr(image: Ycbcr<'_>, area: Area, options: JpegOptions) -> Result<Vec<u8>, MediaError> {
    encode(area.size_px, |encoder| encoder.encode_ycbcr(image, area, options))
}

/// Encodes channels as a JPEG: each has the resolution at which it is encoded, that of [`encoded_sizes`].
pub(crate) fn encode_planes(planes: [&Plane; 3], options: JpegOptions) -> Result<Vec<u8>, MediaError> {
    encode(planes[0].size, |encoder| encoder.encode_planes(planes, options))
}

/// Columns and rows of the brightness of an encoded image, and of its colours. The last column or row of an odd number has a
/// colour of its own.
pub(crate) fn encoded_sizes((width_px, height_px): (u32, u32), subsampling: Subsampling) -> ((u32, u32), (u32, u32)) {
    let Halved { columns, rows } = halved(subsampling);
    let length = |length: u32, is_halved: bool| if is_halved { length.div_ceil(2) } else { length };
    ((width_px, height_px), (length(width_px, columns), length(height_px, rows)))
}

fn encode(
    (width_px, height_px): (u32, u32),
    work: impl FnOnce(&mut JpegEncoder) -> turbojpeg::Result<Vec<u8>>,
) -> Result<Vec<u8>, MediaError> {
    if width_px.max(height_px) > MAX_JPEG_EDGE_PX {
        let detail = format!("{width_px}×{height_px} pixels: a JPEG has at most {MAX_JPEG_EDGE_PX} on a side");
        return Err(MediaError::rejected(RejectCode::MediaTooLarge, detail));
    }
    ENCODER.with_borrow_mut(|slot| {
        let encoder = match slot {
            Some(encoder) => encoder,
            None => slot.insert(JpegEncoder::new().map_err(|error| not_encoded(width_px, height_px, &error))?),
        };
        work(encoder).map_err(|error| not_encoded(width_px, height_px, &error))
    })
}

impl JpegEncoder {
    fn new() -> turbojpeg::Result<Self> {
        Ok(Self { compressor: Compressor::new()?, output: OutputBuf::new_owned(), channels: Default::default() })
    }

    fn encode_rgb(&mut self, view: RgbView<'_>, options: JpegOptions) -> turbojpeg::Result<Vec<u8>> {
        self.compressor.set_quality(i32::from(options.quality.clamp(1, 100)))?;
        self.compressor.set_subsamp(subsamp(options.subsampling))?;
        let image = Image {
            pixels: view.bytes(),
            width: view.width_px() as usize,
            pitch: view.stride(),
            height: view.height_px() as usize,
            format: PixelFormat::RGB,
        };
        self.compressor.compress(image, &mut self.output)?;
        Ok(self.output.to_vec())
    }

    fn encode_ycbcr(&mut self, image: Ycbcr<'_>, area: Area, options: JpegOptions) -> turbojpeg::Result<Vec<u8>> {
        self.compressor.set_quality(i32::from(options.quality.clamp(1, 100)))?;
        let halved = halved(options.subsampling);
        let image_px = (image.width_px, image.height_px);
        let parts = image.channels.into_iter().zip(WHITE).enumerate().map(|(number, (channel, around))| ChannelPart {
            channel,
            image_px,
            area,
            halved,
            is_colour: number > 0,
            around,
        });
        let mut planes = [(&[][..], 0); 3];
        for ((part, memory), plane) in parts.zip(&mut self.channels).zip(&mut planes) {
            *plane = part.samples(memory);
        }
        self.compressor.compress_yuv_planes(&planes_image(planes, area.size_px, options), &mut self.output)?;
        Ok(self.output.to_vec())
    }

    fn encode_planes(&mut self, [y, cb, cr]: [&Plane; 3], options: JpegOptions) -> turbojpeg::Result<Vec<u8>> {
        self.compressor.set_quality(i32::from(options.quality.clamp(1, 100)))?;
        let halved = halved(options.subsampling);
        // Beside halved colours, brightness has even numbers of columns and rows.
        let brightness = ChannelPart {
            channel: y.channel(),
            image_px: y.size,
            area: Area { origin_px: (0, 0), size_px: y.size },
            halved,
            is_colour: false,
            around: 0,
        };
        let [first, second, third] = &mut self.channels;
        let planes = [brightness.samples(first), cb.samples(second), cr.samples(third)];
        self.compressor.compress_yuv_planes(&planes_image(planes, y.size, options), &mut self.output)?;
        Ok(self.output.to_vec())
    }
}

/// An image as libjpeg wants it: the samples of each channel, and the number of them from one row to the next.
fn planes_image(
    planes: [(&[u8], usize); 3],
    (width_px, height_px): (u32, u32),
    options: JpegOptions,
) -> YuvPlanesImage<&[u8]> {
    let [(y_plane, y_stride), (u_plane, u_stride), (v_plane, v_stride)] = planes;
    let (width, height) = (width_px as usize, height_px as usize);
    let subsamp = subsamp(options.subsampling);
    YuvPlanesImage { y_plane, u_plane, v_plane, width, height, y_stride, u_stride, v_stride, subsamp }
}

fn not_encoded(width_px: u32, height_px: u32, error: &turbojpeg::Error) -> MediaError {
    let detail = format!("cannot encode {width_px}×{height_px} pixels as JPEG: {error}");
    MediaError::rejected(RejectCode::MediaTooLarge, detail)
}

fn subsamp(subsampling: Subsampling) -> Subsamp {
    match subsampling {
        Subsampling::S420 => Subsamp::Sub2x2,
        Subsampling::S422 => Subsamp::Sub2x1,
        Subsampling::S444 => Subsamp::None,
    }
}

fn halved(subsampling: Subsampling) -> Halved {
    match subsampling {
        Subsampling::S420 => Halved { columns: true, rows: true },
        Subsampling::S422 => Halved { columns: true, rows: false },
        Subsampling::S444 => Halved::NOT,
    }
}

#[cfg(test)]
mod tests {
    use manyframe_core::Rejection;

    use super::*;
    use crate::pixels::RgbImage;

    #[test]
    fn encoding_is_reproducible_and_independent_of_what_came_before() {
        let noise: Vec<u8> = (0..90_u32 * 70 * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let noise = RgbImage::try_new(90, 70, noise).unwrap();
        let options = JpegOptions::default();
        let first = encode_jpeg(noise.view(), options).unwrap();
        encode_jpeg(RgbImage::gray(300, 200, 9).unwrap().view(), JpegOptions { quality: 5, ..options }).unwrap();
        assert_eq!(encode_jpeg(noise.view(), options).unwrap(), first);
    }

    #[test]
    fn a_view_is_encoded_like_its_copy() {
        let image = RgbImage::try_new(64, 48, (0..64 * 48 * 3).map(|i| (i % 251) as u8).collect()).unwrap();
        let view = image.crop((13, 5), (30, 20)).unwrap();
        let copy = view.to_image();
        let options = JpegOptions { quality: 80, subsampling: Subsampling::S444 };
        assert_eq!(encode_jpeg(view, options).unwrap(), encode_jpeg(copy.view(), options).unwrap());
    }

    #[test]
    fn an_edge_beyond_the_format_is_rejected() {
        let image = RgbImage::gray(MAX_JPEG_EDGE_PX + 1, 1, 0).unwrap();
        assert!(matches!(
            encode_jpeg(image.view(), JpegOptions::default()),
            Err(MediaError::Rejected(Rejection { code: RejectCode::MediaTooLarge, .. }))
        ));
    }
}
