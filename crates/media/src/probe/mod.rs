//! Reading the header of an image, without decoding a pixel.

mod avif;
mod gif_bmp_tiff;
mod header;
mod jpeg;
mod png;
mod webp;

use manyframe_core::RejectCode;

pub(crate) use self::gif_bmp_tiff::gif_without_stray_bytes;
use self::header::Source;
pub(crate) use self::header::{HeaderError, JpegColor, JpegHeader, ParsedHeader, ReadAt};
pub(crate) use self::jpeg::{add_exif, for_each_segment, has_end_of_image, with_usual_scans, without_application_data};
pub(crate) use self::png::{PNG_SIGNATURE_BYTES, Text, inflated};
pub(crate) use self::webp::{WEBP_FIRST_CHUNK, hides_alpha, webp_chunks, webp_end};
use crate::error::MediaError;
use crate::limits::MediaLimits;
use crate::sniff::{SourceFormat, sniff};

/// Facts from the header of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageHeader {
    /// Encoding, by its first bytes.
    pub format: SourceFormat,
    /// Width in pixels, as shown: orientation applied.
    pub width_px: u32,
    /// Height in pixels, as shown: orientation applied.
    pub height_px: u32,
    /// How it is turned, 1 to 8 as in EXIF: by its EXIF wherever that is, otherwise by its XMP; 1 if neither says so.
    pub orientation: u8,
    /// Size of the encoded image in bytes.
    pub num_bytes: u64,
    /// Whether there is more than one frame; only the first is used.
    pub is_animated: bool,
    /// Whether the bytes can be delivered unchanged, judging by the header: JPEG, PNG or still WebP, at most 8 bits per
    /// channel, no transparency, orientation 1, colours that every reader understands.
    pub deliverable_as_is: bool,
}

/// Number of bytes read first; they contain the header of nearly every image.
const HEAD_BYTES: u64 = 64 << 10;

/// Factor by which more is read each time the header turns out to be longer.
const HEAD_GROWTH: u64 = 8;

/// Parses the header of an encoded image and checks it against the limits.
pub fn probe_image_bytes(bytes: &[u8], limits: &MediaLimits) -> Result<ImageHeader, MediaError> {
    probe_whole(bytes, limits).map(|image| image.header)
}

/// An encoded image whose header was parsed and is within the limits.
pub(crate) struct ProbedImage<'a> {
    pub bytes: &'a [u8],
    pub header: ImageHeader,
    pub parsed: ParsedHeader,
}

/// Parses the header of a whole image.
pub(crate) fn probe_whole<'a>(bytes: &'a [u8], limits: &MediaLimits) -> Result<ProbedImage<'a>, MediaError> {
    let num_bytes = bytes.len() as u64;
    limits.check_bytes(num_bytes)?;
    let format = sniff(bytes)?;
    match parse(format, &Source::whole(bytes)) {
        Ok(parsed) => Ok(ProbedImage { bytes, header: checked(&parsed, num_bytes, limits)?, parsed }),
        Err(error) => Err(rejected(error, format, num_bytes)),
    }
}

/// Parses the header of an image of `num_bytes` bytes; `read_at` reads from its start, growing numbers of bytes, and then
/// what a parser needs from elsewhere.
pub(crate) fn probe_growing(
    num_bytes: u64,
    limits: &MediaLimits,
    read_at: &ReadAt<'_>,
) -> Result<ImageHeader, MediaError> {
    let mut head_bytes = HEAD_BYTES;
    loop {
        let head = read_at(0, head_bytes.min(num_bytes))?;
        let format = sniff(&head)?;
        match parse(format, &Source::growing(&head, num_bytes, read_at)) {
            Ok(parsed) => return checked(&parsed, num_bytes, limits),
            Err(HeaderError::Incomplete) if head_bytes < num_bytes => head_bytes *= HEAD_GROWTH,
            Err(error) => return Err(rejected(error, format, num_bytes)),
        }
    }
}

fn parse(format: SourceFormat, source: &Source<'_>) -> Result<ParsedHeader, HeaderError> {
    match format {
        SourceFormat::Jpeg => jpeg::parse(source.head),
        SourceFormat::Png => png::parse(source),
        SourceFormat::Webp => webp::parse(source),
        SourceFormat::Gif => gif_bmp_tiff::parse_gif(source),
        SourceFormat::Bmp => gif_bmp_tiff::parse_bmp(source.head),
        SourceFormat::Tiff => gif_bmp_tiff::parse_tiff(source),
        SourceFormat::Avif => avif::parse(source),
        SourceFormat::Pnm => gif_bmp_tiff::parse_pnm(source),
    }
}

fn checked(parsed: &ParsedHeader, num_bytes: u64, limits: &MediaLimits) -> Result<ImageHeader, MediaError> {
    let (stored_width, stored_height) = parsed.stored_px;
    limits.check_dimensions(stored_width, stored_height)?;
    if let Some(pixel_bits) = parsed.pixel_bits {
        limits.check_samples(parsed.stored_px, pixel_bits)?;
    }
    let is_on_its_side = parsed.orientation >= 5;
    let (width_px, height_px) =
        if is_on_its_side { (stored_height, stored_width) } else { (stored_width, stored_height) };
    Ok(ImageHeader {
        format: parsed.format,
        width_px,
        height_px,
        orientation: parsed.orientation,
        num_bytes,
        is_animated: parsed.is_animated,
        deliverable_as_is: parsed.is_plain && !parsed.is_animated && parsed.orientation == 1,
    })
}

fn rejected(error: HeaderError, format: SourceFormat, num_bytes: u64) -> MediaError {
    match error {
        HeaderError::Incomplete => {
            let detail = format!("the {format:?} image ends inside its header, after {num_bytes} bytes");
            MediaError::rejected(RejectCode::MediaCorrupt, detail)
        }
        HeaderError::Bad(why) => MediaError::rejected(RejectCode::MediaCorrupt, why),
        HeaderError::Unsupported(why) => MediaError::rejected(RejectCode::MediaType, why),
        HeaderError::Unread(error) => error,
    }
}
