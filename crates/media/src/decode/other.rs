//! PNG, WebP, GIF, BMP, TIFF, AVIF and PNM to RGB as stored.

use std::io::Cursor;

use image::codecs::webp::WebPDecoder;
use image::error::{ImageError, ImageResult};
use image::{DynamicImage, ImageDecoder, Limits};
use manyframe_core::RejectCode;
use png::DecodingError;

use super::jpeg::decode_strip;
use super::{avif, bmp, gif, png as png_rows};
use crate::container::{cleaned_webp, has_sound_header};
use crate::error::MediaError;
use crate::metadata::Ifd;
use crate::pixels::{RGB_BYTES, RgbImage, over_white};
use crate::pnm::{PnmError, PnmHeader};
use crate::probe::{WEBP_FIRST_CHUNK, hides_alpha, webp_chunks};
use crate::sniff::SourceFormat;
use crate::tiff::{self, Layout};
use crate::vp8;

/// Number of bytes that a decoder may allocate per pixel: RGBA, twice.
const MAX_BYTES_PER_PIXEL: u64 = 8;

/// Number of bytes that a decoder may allocate besides pixels, for tables and colour profiles.
const MAX_EXTRA_BYTES: u64 = 32 << 20;

/// Decodes the pixels as stored into an image of the size in the header.
pub(super) fn decode_stored_into(bytes: &[u8], format: SourceFormat, image: &mut RgbImage) -> Result<(), MediaError> {
    let failed = |why: &dyn std::fmt::Display| not_decoded(format, RejectCode::MediaCorrupt, why);
    match format {
        SourceFormat::Png => png_rows::decode_into(bytes, image).map_err(|error| match error {
            DecodingError::LimitsExceeded => not_decoded(format, RejectCode::MediaTooLarge, &error),
            error => failed(&error),
        }),
        SourceFormat::Gif => gif::decode_into(bytes, image).map_err(|error| failed(&error)),
        SourceFormat::Tiff => decode_tiff(bytes, image).map_err(|error| failed(&error)),
        SourceFormat::Avif => avif::decode_into(bytes, image),
        // The decoder would show what is there of an image that is cut short.
        SourceFormat::Webp if !has_whole_image(bytes) => Err(failed(&"it is cut short")),
        SourceFormat::Webp if lossy_image(bytes).is_some_and(|lossy| !has_sound_header(lossy)) => {
            Err(failed(&"its image has a version or a first part that it cannot have"))
        }
        // Where they end early, the decoder may go on with zeros; libwebp refuses the image.
        SourceFormat::Webp if lossy_image(bytes).is_some_and(|lossy| !vp8::is_whole(lossy)) => {
            Err(failed(&"its bytes end before its pixels"))
        }
        SourceFormat::Webp => copy(decode_webp(bytes, image), format, image),
        SourceFormat::Bmp => decode_bmp(bytes, image),
        SourceFormat::Pnm => decode_pnm(bytes, image).map_err(|error| failed(&error.why())),
        SourceFormat::Jpeg => Err(failed(&"a JPEG has a decoder of its own")),
    }
}

/// Checks that a PNG is intact: both kinds of its checksums.
pub(super) fn check_png(bytes: &[u8], image: &mut RgbImage) -> Result<(), MediaError> {
    png_rows::decode_strictly_into(bytes, image)
        .map_err(|error| not_decoded(SourceFormat::Png, RejectCode::MediaCorrupt, &error))
}

/// The bytes of the first image of a WebP, if that is lossy.
fn lossy_image(bytes: &[u8]) -> Option<&[u8]> {
    /// What precedes the chunks of a frame of an animation, less what precedes those of a file.
    const FRAME_BYTES: usize = 16 - WEBP_FIRST_CHUNK;
    let image_in = |bytes| {
        let mut chunks = webp_chunks(bytes, bytes.len()).map_while(Result::ok);
        chunks.find(|(kind, _)| matches!(kind, b"VP8 " | b"VP8L" | b"ANMF"))
    };
    let found = match image_in(bytes)? {
        (kind, frame) if &kind == b"ANMF" => image_in(frame.get(FRAME_BYTES..)?)?,
        found => found,
    };
    Some(found).filter(|(kind, _)| kind == b"VP8 ").map(|(_, image)| image)
}

/// The decoder refuses a file without the metadata that it announces; the image alone announces nothing.
fn decode_webp(bytes: &[u8], image: &RgbImage) -> ImageResult<DynamicImage> {
    let decode = |bytes: &[u8]| WebPDecoder::new(Cursor::new(bytes)).and_then(|decoder| pixels(decoder, image));
    // The decoder goes by the file, and other readers by its image, which is all that is in the simple form.
    let alone = hides_alpha(bytes).then(|| cleaned_webp(bytes)).flatten();
    decode(alone.as_deref().unwrap_or(bytes)).or_else(|error| {
        let mut chunks = webp_chunks(bytes, bytes.len()).map_while(Result::ok);
        let is_more_than_an_image = chunks.any(|(kind, _)| matches!(&kind, b"ALPH" | b"ANMF"));
        match cleaned_webp(bytes).filter(|_| !is_more_than_an_image) {
            Some(alone) => decode(&alone).map_err(|_also_damaged| error),
            None => Err(error),
        }
    })
}

/// Whether every byte of the first image of a WebP is there. Behind a frame, something has to be that can be a chunk, or the end:
/// otherwise bytes of the frame are missing, or there are others among them.
fn has_whole_image(bytes: &[u8]) -> bool {
    let mut position = WEBP_FIRST_CHUNK;
    for (kind, content) in webp_chunks(bytes, bytes.len()).map_while(Result::ok) {
        position += 8 + content.len().next_multiple_of(2);
        let behind = || bytes.get(position..).unwrap_or_default().iter().take(kind.len());
        match &kind {
            b"VP8 " | b"VP8L" => return true,
            b"ANMF" => return behind().all(|byte| byte.is_ascii_alphanumeric() || *byte == b' '),
            _ => {}
        }
    }
    false
}

fn decode_bmp(bytes: &[u8], image: &mut RgbImage) -> Result<(), MediaError> {
    let decode = |bytes: &[u8]| bmp::decoder(bytes).and_then(|decoder| pixels(decoder, image));
    let decoded = match bmp::without_runs(bytes, (image.width_px(), image.height_px())) {
        Some(usual) => usual.and_then(|usual| decode(&usual)),
        None => decode(bytes).or_else(|error| match bmp::as_windows_writes(bytes) {
            Some(usual) => decode(&usual),
            None => Err(error),
        }),
    };
    copy(decoded.map(opaque_if_unseen), SourceFormat::Bmp, image)
}

/// Without its transparency, if that hides every pixel: Windows draws on bitmaps without writing any, and readers show what is drawn.
fn opaque_if_unseen(decoded: DynamicImage) -> DynamicImage {
    match decoded {
        DynamicImage::ImageRgba8(pixels) if pixels.pixels().all(|pixel| pixel[3] == 0) => {
            DynamicImage::ImageRgba8(pixels).into_rgb8().into()
        }
        decoded => decoded,
    }
}

fn decode_pnm(bytes: &[u8], image: &mut RgbImage) -> Result<(), PnmError> {
    let header = PnmHeader::parse(bytes)?;
    let stride = image.stride();
    let mut lines = image.pixels_mut().chunks_exact_mut(stride);
    header.for_each_row(bytes, |row| {
        let pixels = lines.next().unwrap_or_default().as_chunks_mut::<RGB_BYTES>().0.iter_mut();
        if header.num_channels == RGB_BYTES {
            pixels.zip(row.as_chunks().0).for_each(|(pixel, color)| *pixel = *color);
        } else {
            pixels.zip(row).for_each(|(pixel, &level)| *pixel = [level; RGB_BYTES]);
        }
    })
}

fn decode_tiff(bytes: &[u8], image: &mut RgbImage) -> Result<(), String> {
    let ifd = Ifd::parse(bytes).ok_or("it has no directory")?;
    let layout = Layout::of(&ifd).map_err(|error| format!("{error:?}"))?;
    tiff::decode_into(bytes, &layout, image, &|strip| decode_strip(strip).map_err(|error| error.to_string()))
}

fn pixels(mut decoder: impl ImageDecoder, image: &RgbImage) -> ImageResult<DynamicImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(image.width_px());
    limits.max_image_height = Some(image.height_px());
    let num_pixels = u64::from(image.width_px()) * u64::from(image.height_px());
    limits.max_alloc = Some(num_pixels * MAX_BYTES_PER_PIXEL + MAX_EXTRA_BYTES);
    decoder.set_limits(limits)?;
    DynamicImage::from_decoder(decoder)
}

fn copy(decoded: ImageResult<DynamicImage>, format: SourceFormat, image: &mut RgbImage) -> Result<(), MediaError> {
    let decoded = decoded.map_err(|error| {
        let code = match error {
            ImageError::Unsupported(_) => RejectCode::MediaType,
            ImageError::Limits(_) => RejectCode::MediaTooLarge,
            _ => RejectCode::MediaCorrupt,
        };
        not_decoded(format, code, &error)
    })?;
    if (decoded.width(), decoded.height()) != (image.width_px(), image.height_px()) {
        let detail =
            format!("the {format:?} holds {}×{} pixels, not what its header says", decoded.width(), decoded.height());
        return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
    }
    if decoded.color().has_alpha() {
        let decoded = decoded.into_rgba8();
        let pixels = decoded.as_raw().as_chunks::<4>().0.iter();
        let shown = pixels.map(|&[r, g, b, alpha]| [r, g, b].map(|level| over_white(level, alpha)));
        image.pixels_mut().as_chunks_mut::<RGB_BYTES>().0.iter_mut().zip(shown).for_each(|(to, from)| *to = from);
    } else {
        image.pixels_mut().copy_from_slice(decoded.into_rgb8().as_raw());
    }
    Ok(())
}

fn not_decoded(format: SourceFormat, code: RejectCode, why: &dyn std::fmt::Display) -> MediaError {
    MediaError::rejected(code, format!("the {format:?} cannot be decoded: {why}"))
}
