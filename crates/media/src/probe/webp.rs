//! The header of a WebP: its first chunk and, in the extended format, EXIF and XMP, wherever they are.

use super::header::{HeaderError, ParsedHeader, Source, array, part};
use crate::metadata::Metadata;
use crate::sniff::SourceFormat;

/// First byte of the first chunk.
pub(crate) const WEBP_FIRST_CHUNK: usize = 12;

const FLAG_ANIMATION: u8 = 0x02;
const FLAG_XMP: u8 = 0x04;
const FLAG_EXIF: u8 = 0x08;
const FLAG_ALPHA: u8 = 0x10;

/// A bit behind the sizes of a lossless image: it has transparency.
const ALPHA_OF_LOSSLESS: u32 = 1 << 28;

pub(super) fn parse(source: &Source<'_>) -> Result<ParsedHeader, HeaderError> {
    let bytes = source.head;
    let kind: [u8; 4] = array(bytes, WEBP_FIRST_CHUNK)?;
    let start = WEBP_FIRST_CHUNK + 8;
    match &kind {
        b"VP8 " => {
            let [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1] = array(bytes, start)? else {
                return Err(HeaderError::Bad("the WebP does not start with a key frame".to_owned()));
            };
            // The two highest bits are a scaling that no decoder applies.
            let size = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
            Ok(still((size(w0, w1), size(h0, h1)), true))
        }
        b"VP8L" => {
            let [signature, size @ ..] = array::<5>(bytes, start)?;
            if signature != 0x2f {
                return Err(HeaderError::Bad("the lossless WebP has a wrong signature".to_owned()));
            }
            let size = u32::from_le_bytes(size);
            Ok(still(((size & 0x3fff) + 1, ((size >> 14) & 0x3fff) + 1), !has_alpha(bytes, start)?))
        }
        b"VP8X" => parse_extended(source, start),
        _ => Err(HeaderError::Bad(format!("the WebP starts with chunk {:?}", String::from_utf8_lossy(&kind)))),
    }
}

fn parse_extended(source: &Source<'_>, start: usize) -> Result<ParsedHeader, HeaderError> {
    let [flags, _, _, _, w0, w1, w2, h0, h1, h2] = array(source.head, start)?;
    let stored_px = (u32::from_le_bytes([w0, w1, w2, 0]) + 1, u32::from_le_bytes([h0, h1, h2, 0]) + 1);
    let is_animated = flags & FLAG_ANIMATION != 0;
    let orientation = if flags & (FLAG_EXIF | FLAG_XMP) == 0 { 1 } else { orientation(source, flags)? };
    let is_plain = flags & FLAG_ALPHA == 0 && (is_animated || !is_lossless_with_alpha(source.head)?);
    Ok(ParsedHeader { orientation, is_animated, ..still(stored_px, is_plain) })
}

/// Whether the image of an extended file is lossless and says that it has transparency, by which readers go, whatever the file says.
fn is_lossless_with_alpha(bytes: &[u8]) -> Result<bool, HeaderError> {
    let mut position = WEBP_FIRST_CHUNK;
    let end = webp_end(bytes)?;
    while position.saturating_add(8) <= end {
        let kind: [u8; 4] = array(bytes, position)?;
        let length = u32::from_le_bytes(array(bytes, position + 4)?) as usize;
        match &kind {
            b"VP8L" => return has_alpha(bytes, position + 8),
            b"VP8 " | b"ALPH" => return Ok(false),
            _ => position = position.saturating_add(8).saturating_add(length.next_multiple_of(2)),
        }
    }
    Ok(false)
}

/// Whether a lossless image, whose content begins there, says that it has transparency.
fn has_alpha(bytes: &[u8], start: usize) -> Result<bool, HeaderError> {
    let [_signature, bits @ ..] = array::<5>(bytes, start)?;
    Ok(u32::from_le_bytes(bits) & ALPHA_OF_LOSSLESS != 0)
}

/// Whether a file says that it has no transparency, and its image says that it has.
pub(crate) fn hides_alpha(bytes: &[u8]) -> bool {
    let flags = bytes.get(WEBP_FIRST_CHUNK..).filter(|chunk| chunk.starts_with(b"VP8X")).and_then(|chunk| chunk.get(8));
    flags.is_some_and(|flags| flags & (FLAG_ALPHA | FLAG_ANIMATION) == 0)
        && is_lossless_with_alpha(bytes).unwrap_or_default()
}

/// Orientation by the EXIF and XMP chunks that the flags announce. They come last; a file may not have what it announces.
fn orientation(source: &Source<'_>, flags: u8) -> Result<u8, HeaderError> {
    let mut metadata = Metadata::default();
    let stated_end = webp_end(source.head)?;
    let end = if source.is_whole() { stated_end.min(source.head.len()) } else { stated_end };
    for chunk in webp_chunks(source.head, end) {
        let (kind, chunk) = chunk?;
        match &kind {
            b"EXIF" if flags & FLAG_EXIF != 0 => metadata.exif = metadata.exif.or(Some(chunk)),
            b"XMP " if flags & FLAG_XMP != 0 => metadata.xmp = metadata.xmp.or(Some(chunk)),
            _ => {}
        }
    }
    Ok(metadata.orientation())
}

/// Where the file ends by its own account.
pub(crate) fn webp_end(bytes: &[u8]) -> Result<usize, HeaderError> {
    Ok((u32::from_le_bytes(array(bytes, 4)?) as usize).saturating_add(8))
}

/// Type and content of every chunk before `end`.
pub(crate) fn webp_chunks(bytes: &[u8], end: usize) -> impl Iterator<Item = Result<([u8; 4], &[u8]), HeaderError>> {
    let mut position = WEBP_FIRST_CHUNK;
    std::iter::from_fn(move || {
        // A last odd byte, and less than the frame of a chunk, is padding.
        if position.saturating_add(8) > end {
            return None;
        }
        let chunk = read_chunk(bytes, position);
        // Chunks have an even number of bytes.
        position = chunk.as_ref().map_or(end, |(_, chunk)| position + 8 + chunk.len() + chunk.len() % 2);
        Some(chunk)
    })
}

fn read_chunk(bytes: &[u8], position: usize) -> Result<([u8; 4], &[u8]), HeaderError> {
    let length = u32::from_le_bytes(array(bytes, position + 4)?) as usize;
    Ok((array(bytes, position)?, part(bytes, position + 8, length)?))
}

fn still(stored_px: (u32, u32), is_plain: bool) -> ParsedHeader {
    ParsedHeader {
        format: SourceFormat::Webp,
        stored_px,
        orientation: 1,
        is_animated: false,
        is_plain,
        jpeg: None,
        pixel_bits: None,
    }
}
