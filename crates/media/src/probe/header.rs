//! What the parsers of all formats share: their result, their errors, and reading bytes that may not have arrived yet.

use crate::sniff::SourceFormat;

/// Result of a header parser, before orientation is applied.
#[derive(Debug, Clone)]
pub(crate) struct ParsedHeader {
    pub format: SourceFormat,
    /// Width and height in pixels as stored.
    pub stored_px: (u32, u32),
    /// EXIF orientation, 1 to 8.
    pub orientation: u8,
    pub is_animated: bool,
    /// Whether the colours are such that every reader shows the same: at most 8 bits a channel, no transparency, no CMYK.
    pub is_plain: bool,
    pub jpeg: Option<JpegHeader>,
}

/// What the decoder needs to know of a JPEG.
#[derive(Debug, Clone)]
pub(crate) struct JpegHeader {
    /// How colours are coded.
    pub color: JpegColor,
    /// Bits of a sample; the decoder supports 8.
    pub precision_bits: u8,
    /// Position of the first scan's marker.
    pub scan_start: usize,
}

/// How the colours of a JPEG are coded, by libjpeg's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JpegColor {
    Gray,
    YCbCr,
    Rgb,
    /// CMYK or YCCK.
    Cmyk,
}

/// Why a header was not parsed.
#[derive(Debug)]
pub(crate) enum HeaderError {
    /// The bytes end inside the header.
    Incomplete,
    /// The bytes are not a header, and why.
    Bad(String),
    /// The header is of a kind that no decoder here supports, and which.
    Unsupported(String),
}

/// EXIF orientation of a TIFF structure; 1 if it cannot be read.
pub(super) fn orientation_from_exif(exif: &[u8]) -> u8 {
    // WebP and PNG writers add the prefix that only JPEG requires.
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    image::metadata::Orientation::from_exif_chunk(exif).map_or(1, image::metadata::Orientation::to_exif)
}

/// A range of a header; beyond the end it requests more bytes.
pub(super) fn part(bytes: &[u8], start: usize, length: usize) -> Result<&[u8], HeaderError> {
    start.checked_add(length).and_then(|end| bytes.get(start..end)).ok_or(HeaderError::Incomplete)
}

/// A fixed number of bytes of a header.
pub(super) fn array<const N: usize>(bytes: &[u8], start: usize) -> Result<[u8; N], HeaderError> {
    part(bytes, start, N)?.try_into().map_err(|_length| HeaderError::Incomplete)
}
