//! JPEG to RGB through libjpeg-turbo: accurate DCT and smooth upsampling, as libjpeg and Pillow do it by default.
//!
//! libjpeg goes on after damage and only warns. Here a warning that means lost picture is an error, and so is a file
//! without its end marker; warnings about oddities that lose nothing are not.

use std::cell::RefCell;

use manyframe_core::RejectCode;
use turbojpeg::{Decompressor, Image, PixelFormat};

use crate::probe::{JpegHeader, has_end_of_image, without_application_data};
use crate::{MediaError, RgbImage};

/// Most scans of a progressive file. Encoders write about ten; thousands are an attack on time.
const MAX_SCANS: u32 = 100;

const CMYK_BYTES: usize = 4;

thread_local! {
    static DECODER: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
}

/// Decodes into rows of `stride` bytes. The target holds at least the image, as the header has its size.
pub(super) fn decode_rgb_into(
    bytes: &[u8],
    header: &JpegHeader,
    size_px: (u32, u32),
    target: &mut [u8],
    stride: usize,
) -> Result<(), MediaError> {
    decode(
        bytes,
        header,
        size_px,
        Image { pixels: target, width: 0, pitch: stride, height: 0, format: PixelFormat::RGB },
    )
}

/// Decodes CMYK and YCCK, and converts it as Pillow does: without a profile, and taken to be stored inverted, as Adobe
/// writes it, whether its marker is there or not.
pub(super) fn decode_cmyk(bytes: &[u8], header: &JpegHeader, size_px: (u32, u32)) -> Result<RgbImage, MediaError> {
    let (width_px, height_px) = size_px;
    let stride = width_px as usize * CMYK_BYTES;
    let mut cmyk = vec![0; stride * height_px as usize];
    let image = Image { pixels: &mut cmyk[..], width: 0, pitch: stride, height: 0, format: PixelFormat::CMYK };
    decode(bytes, header, size_px, image)?;
    let (cmyk, _) = cmyk.as_chunks::<CMYK_BYTES>();
    let pixels = cmyk.iter().flat_map(|&[c, m, y, k]| [c, m, y].map(|ink| multiply(ink, k))).collect();
    RgbImage::try_new(width_px, height_px, pixels).ok_or_else(super::no_pixels)
}

fn decode(
    bytes: &[u8],
    header: &JpegHeader,
    (width_px, height_px): (u32, u32),
    target: Image<&mut [u8]>,
) -> Result<(), MediaError> {
    if header.precision_bits != 8 {
        let detail = format!("the JPEG has {} bits a channel, only 8 are supported", header.precision_bits);
        return Err(MediaError::bad(RejectCode::MediaType, detail));
    }
    if !has_end_of_image(bytes, header.scan_start) {
        return Err(MediaError::bad(RejectCode::MediaCorrupt, "the JPEG is cut short: it has no end marker"));
    }
    let target = Image { width: width_px as usize, height: height_px as usize, ..target };
    let outcome = DECODER.with_borrow_mut(|slot| {
        let decoder = match slot {
            Some(decoder) => decoder,
            None => slot.insert(new_decoder()?),
        };
        match decoder.read_header(bytes) {
            Err(error) if is_harmless(&error) => decompress(decoder, &without_application_data(bytes, header), target),
            _ => decompress(decoder, bytes, target),
        }
    });
    outcome.map_err(|error| MediaError::bad(RejectCode::MediaCorrupt, format!("the JPEG cannot be decoded: {error}")))
}

/// Decodes a file whose header causes no warning: the binding would stop there, and leave the target as it was.
fn decompress(decoder: &mut Decompressor, bytes: &[u8], target: Image<&mut [u8]>) -> turbojpeg::Result<()> {
    let found = decoder.read_header(bytes)?;
    // Fewer pixels than the header parser saw would leave old ones in the target; more do not fit.
    if (found.width, found.height) != (target.width, target.height) {
        return Err(turbojpeg::Error::TurboJpegError("it has two different sizes".to_owned()));
    }
    match decoder.decompress(bytes, target) {
        Err(error) if is_harmless(&error) => Ok(()),
        outcome => outcome,
    }
}

fn new_decoder() -> turbojpeg::Result<Decompressor> {
    let mut decoder = Decompressor::new()?;
    decoder.set_scan_limit(MAX_SCANS)?;
    Ok(decoder)
}

/// Whether an error is one of libjpeg's warnings (`jerror.h`, `JWRN_…`) after which the picture is whole.
fn is_harmless(error: &turbojpeg::Error) -> bool {
    const WARNINGS: [&str; 6] = [
        "extraneous bytes before marker",
        "bad ICC marker",
        "Unknown Adobe color transform code",
        "Inconsistent progression sequence",
        "unknown JFIF revision number",
        "Invalid SOS parameters for sequential JPEG",
    ];
    match error {
        turbojpeg::Error::TurboJpegError(message) => WARNINGS.iter().any(|warning| message.contains(warning)),
        _ => false,
    }
}

/// `a × b ÷ 255`, rounded.
fn multiply(a: u8, b: u8) -> u8 {
    ((u16::from(a) * u16::from(b) + 127) / 255) as u8
}
