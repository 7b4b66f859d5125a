//! What the header of an image says, without decoding a pixel.

mod jpeg;
mod png;
mod simple;
mod webp;

use manyframe_core::RejectCode;

pub(crate) use self::jpeg::{JpegColor, JpegHeader, has_end_of_image, without_application_data};
use crate::sniff::{SourceFormat, sniff};
use crate::{MediaError, MediaLimits};

/// What the header of an image says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageHeader {
    /// Encoding, by its first bytes.
    pub format: SourceFormat,
    /// Width in pixels, as shown: orientation applied.
    pub width_px: u32,
    /// Height in pixels, as shown: orientation applied.
    pub height_px: u32,
    /// EXIF orientation, 1 to 8; 1 if there is none, or none that can be read.
    pub orientation: u8,
    /// Size of the encoded image.
    pub num_bytes: u64,
    /// Whether there is more than one frame; the first is the one that is used.
    pub is_animated: bool,
    /// Whether the bytes can be delivered as they are, as far as the header tells: JPEG, PNG or still WebP, at most
    /// 8 bits a channel, no transparency, orientation 1, colours that every reader understands.
    pub deliverable_as_is: bool,
}

/// What a header parser finds, before orientation is applied.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    pub format: SourceFormat,
    pub stored_px: (u32, u32),
    pub orientation: u8,
    pub is_animated: bool,
    pub is_plain: bool,
    pub jpeg: Option<JpegHeader>,
}

/// Why a header was not parsed.
#[derive(Debug)]
pub(crate) enum HeaderError {
    /// The bytes end inside of the header.
    Incomplete,
    /// They are not a header; what is wrong, in words.
    Bad(String),
    /// They are a header of a kind that no decoder here understands.
    Unsupported(String),
}

/// Bytes that are read first; they hold the header of nearly every image.
const HEAD_BYTES: u64 = 64 << 10;

/// How much more is read each time the header turns out to be longer.
const HEAD_GROWTH: u64 = 8;

/// What the header of an encoded image says, checked against the limits.
pub fn probe_image_bytes(bytes: &[u8], limits: &MediaLimits) -> Result<ImageHeader, MediaError> {
    probe_whole(bytes, limits).map(|(header, _)| header)
}

/// The header of a whole image, with what the decoders need to know of it.
pub(crate) fn probe_whole(bytes: &[u8], limits: &MediaLimits) -> Result<(ImageHeader, Parsed), MediaError> {
    let num_bytes = bytes.len() as u64;
    limits.check_bytes(num_bytes)?;
    let format = sniff(bytes)?;
    match parse(format, bytes) {
        Ok(parsed) => checked(parsed, num_bytes, limits),
        Err(error) => Err(reject(error, format, num_bytes)),
    }
}

/// The header of an image of `num_bytes`, read in growing heads.
pub(crate) fn probe_growing(
    num_bytes: u64,
    limits: &MediaLimits,
    read_head: impl Fn(u64) -> Result<Vec<u8>, MediaError>,
) -> Result<ImageHeader, MediaError> {
    let mut head_bytes = HEAD_BYTES;
    loop {
        let head = read_head(head_bytes.min(num_bytes))?;
        let format = sniff(&head)?;
        match parse(format, &head) {
            Ok(parsed) => return checked(parsed, num_bytes, limits).map(|(header, _)| header),
            Err(HeaderError::Incomplete) if head_bytes < num_bytes => head_bytes *= HEAD_GROWTH,
            Err(error) => return Err(reject(error, format, num_bytes)),
        }
    }
}

fn parse(format: SourceFormat, bytes: &[u8]) -> Result<Parsed, HeaderError> {
    match format {
        SourceFormat::Jpeg => jpeg::parse(bytes),
        SourceFormat::Png => png::parse(bytes),
        SourceFormat::Webp => webp::parse(bytes),
        SourceFormat::Gif => simple::parse_gif(bytes),
        SourceFormat::Bmp => simple::parse_bmp(bytes),
        SourceFormat::Tiff => simple::parse_tiff(bytes),
    }
}

fn checked(parsed: Parsed, num_bytes: u64, limits: &MediaLimits) -> Result<(ImageHeader, Parsed), MediaError> {
    let (stored_width, stored_height) = parsed.stored_px;
    limits.check_dimensions(stored_width, stored_height)?;
    let is_on_its_side = parsed.orientation >= 5;
    let (width_px, height_px) =
        if is_on_its_side { (stored_height, stored_width) } else { (stored_width, stored_height) };
    let header = ImageHeader {
        format: parsed.format,
        width_px,
        height_px,
        orientation: parsed.orientation,
        num_bytes,
        is_animated: parsed.is_animated,
        deliverable_as_is: parsed.is_plain && !parsed.is_animated && parsed.orientation == 1,
    };
    Ok((header, parsed))
}

fn reject(error: HeaderError, format: SourceFormat, num_bytes: u64) -> MediaError {
    match error {
        HeaderError::Incomplete => {
            let detail = format!("the {format:?} image ends inside of its header, after {num_bytes} bytes");
            MediaError::rejected(RejectCode::MediaCorrupt, detail)
        }
        HeaderError::Bad(what) => MediaError::rejected(RejectCode::MediaCorrupt, what),
        HeaderError::Unsupported(what) => MediaError::rejected(RejectCode::MediaType, what),
    }
}

/// EXIF orientation of a TIFF structure; 1 if it cannot be read.
fn orientation_from_exif(exif: &[u8]) -> u8 {
    // WebP and PNG writers add the prefix that only JPEG asks for.
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    image::metadata::Orientation::from_exif_chunk(exif).map_or(1, image::metadata::Orientation::to_exif)
}

/// A part of a header; a part beyond the end asks for more bytes.
fn part(bytes: &[u8], start: usize, length: usize) -> Result<&[u8], HeaderError> {
    start.checked_add(length).and_then(|end| bytes.get(start..end)).ok_or(HeaderError::Incomplete)
}

/// A fixed number of bytes of a header.
fn array<const N: usize>(bytes: &[u8], start: usize) -> Result<[u8; N], HeaderError> {
    part(bytes, start, N)?.try_into().map_err(|_length| HeaderError::Incomplete)
}
