//! JPEG to RGB, or to its channels as they are stored, through libjpeg-turbo: accurate DCT and smooth upsampling, as libjpeg
//! and Pillow do it by default.
//!
//! libjpeg goes on after damage and only warns. Here a warning that means lost picture is an error, and so is a file
//! without its end marker; warnings about oddities that lose nothing are not.

use std::cell::RefCell;

use manyframe_core::RejectCode;
use turbojpeg::{Colorspace, DecompressHeader, Decompressor, Image, PixelFormat, Subsamp, YuvImage, yuv_pixels_len};

use crate::probe::{JpegHeader, has_end_of_image, without_application_data};
use crate::ycbcr::{Channel, Halved, Ycbcr};
use crate::{MediaError, RgbImage};

/// Most scans of a progressive file. Encoders write about ten; thousands are an attack on time.
const MAX_SCANS: u32 = 100;

const CMYK_BYTES: usize = 4;

thread_local! {
    static DECODER: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
}

/// Decodes into an image of the size that the header has.
pub(super) fn decode_rgb_into(bytes: &[u8], header: &JpegHeader, image: &mut RgbImage) -> Result<(), MediaError> {
    let (width, height, pitch) = (image.width_px() as usize, image.height_px() as usize, image.stride());
    decode_into(bytes, header, Image { pixels: image.pixels_mut(), width, pitch, height, format: PixelFormat::RGB })
}

/// Decodes CMYK and YCCK, and converts it as Pillow does: without a profile, and taken to be stored inverted, as Adobe
/// writes it, whether its marker is there or not.
pub(super) fn decode_cmyk(bytes: &[u8], header: &JpegHeader, size_px: (u32, u32)) -> Result<RgbImage, MediaError> {
    let (width, height) = (size_px.0 as usize, size_px.1 as usize);
    let pitch = width * CMYK_BYTES;
    let mut cmyk = vec![0; pitch * height];
    decode_into(bytes, header, Image { pixels: &mut cmyk, width, pitch, height, format: PixelFormat::CMYK })?;
    let (cmyk, _) = cmyk.as_chunks::<CMYK_BYTES>();
    let pixels = cmyk.iter().flat_map(|&[c, m, y, k]| [c, m, y].map(|ink| multiply(ink, k))).collect();
    RgbImage::try_new(size_px.0, size_px.1, pixels).ok_or_else(super::no_pixels)
}

/// Decodes brightness and colours as they are stored, which `memory` then holds. `None` if the picture is coded in another
/// way: in RGB, in CMYK, without loss, or with less than half the resolution of colours.
pub(super) fn decode_channels<'a>(
    bytes: &[u8],
    header: &JpegHeader,
    size_px: (u32, u32),
    memory: &'a mut Vec<u8>,
) -> Result<Option<Ycbcr<'a>>, MediaError> {
    let size = (size_px.0 as usize, size_px.1 as usize);
    let layout = decode(bytes, header, size, |decoder, bytes, found| {
        let DecompressHeader { width, height, subsamp, .. } = found;
        let is_ycbcr = matches!(found.colorspace, Colorspace::YCbCr | Colorspace::Gray);
        let Some(halved) = halved(subsamp).filter(|_| is_ycbcr && !found.is_lossless) else { return Ok(None) };
        memory.resize(yuv_pixels_len(width, 1, height, subsamp)?, 0);
        let image = YuvImage { pixels: &mut memory[..], width, align: 1, height, subsamp };
        let (y_size, colour_size) = (image.y_size(), image.uv_size());
        unless_harmless(decoder.decompress_to_yuv(bytes, image))?;
        Ok(Some((y_size, colour_size, halved)))
    })?;
    Ok(layout.map(|(y_size, colour_size, halved)| {
        let (y, colours) = memory.split_at_checked(y_size.0 * y_size.1).unwrap_or_default();
        let (cb, cr) = colours.split_at_checked(colour_size.0 * colour_size.1).unwrap_or_default();
        let [cb, cr] = [cb, cr].map(|samples| Channel { samples, width: colour_size.0, halved });
        let y = Channel { samples: y, width: y_size.0, halved: Halved::NOT };
        Ycbcr { width_px: size_px.0, height_px: size_px.1, channels: [y, cb, cr] }
    }))
}

/// How colours are stored; `None` if they have less than half the resolution.
fn halved(subsamp: Subsamp) -> Option<Halved> {
    let (columns, rows) = match subsamp {
        // There are none, so that their resolution does not matter.
        Subsamp::Gray | Subsamp::None => (false, false),
        Subsamp::Sub2x1 => (true, false),
        Subsamp::Sub1x2 => (false, true),
        Subsamp::Sub2x2 => (true, true),
        _ => return None,
    };
    Some(Halved { columns, rows })
}

fn decode_into(bytes: &[u8], header: &JpegHeader, target: Image<&mut [u8]>) -> Result<(), MediaError> {
    decode(bytes, header, (target.width, target.height), |decoder, bytes, _| {
        unless_harmless(decoder.decompress(bytes, target))
    })
}

/// Calls `decompress` with a file whose header causes no warning, and with what the header says: the binding would stop at
/// a warning, and leave its target as it was.
fn decode<T>(
    bytes: &[u8],
    header: &JpegHeader,
    size_px: (usize, usize),
    decompress: impl FnOnce(&mut Decompressor, &[u8], DecompressHeader) -> turbojpeg::Result<T>,
) -> Result<T, MediaError> {
    if header.precision_bits != 8 {
        let detail = format!("the JPEG has {} bits a channel, only 8 are supported", header.precision_bits);
        return Err(MediaError::rejected(RejectCode::MediaType, detail));
    }
    if !has_end_of_image(bytes, header.scan_start) {
        return Err(MediaError::rejected(RejectCode::MediaCorrupt, "the JPEG is cut short: it has no end marker"));
    }
    let outcome = DECODER.with_borrow_mut(|slot| {
        let decoder = match slot {
            Some(decoder) => decoder,
            None => slot.insert(new_decoder()?),
        };
        let plain;
        let (bytes, found) = match decoder.read_header(bytes) {
            Err(error) if is_harmless(&error) => {
                plain = without_application_data(bytes, header);
                (&plain[..], decoder.read_header(&plain)?)
            }
            found => (bytes, found?),
        };
        // Fewer pixels than the header parser saw would leave old ones in the target; more do not fit.
        if (found.width, found.height) != size_px {
            return Err(turbojpeg::Error::TurboJpegError("it has two different sizes".to_owned()));
        }
        decompress(decoder, bytes, found)
    });
    outcome
        .map_err(|error| MediaError::rejected(RejectCode::MediaCorrupt, format!("the JPEG cannot be decoded: {error}")))
}

/// Damage is an error; what loses nothing is not.
fn unless_harmless(outcome: turbojpeg::Result<()>) -> turbojpeg::Result<()> {
    match outcome {
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
