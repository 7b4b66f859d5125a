//! The header of a WebP: its first chunk and, in the extended format, the EXIF chunk, wherever it is.

use super::header::{HeaderError, ParsedHeader, array, orientation_from_exif, part};
use crate::sniff::SourceFormat;

/// First byte of the first chunk.
const FIRST_CHUNK: usize = 12;

const FLAG_ANIMATION: u8 = 0x02;
const FLAG_EXIF: u8 = 0x08;
const FLAG_ALPHA: u8 = 0x10;

pub(super) fn parse(bytes: &[u8]) -> Result<ParsedHeader, HeaderError> {
    let kind: [u8; 4] = array(bytes, FIRST_CHUNK)?;
    let start = FIRST_CHUNK + 8;
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
            let [signature, bits @ ..] = array::<5>(bytes, start)?;
            if signature != 0x2f {
                return Err(HeaderError::Bad("the lossless WebP has a wrong signature".to_owned()));
            }
            let bits = u32::from_le_bytes(bits);
            let has_alpha = bits & (1 << 28) != 0;
            Ok(still(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1), !has_alpha))
        }
        b"VP8X" => parse_extended(bytes, start),
        _ => Err(HeaderError::Bad(format!("the WebP starts with chunk {:?}", String::from_utf8_lossy(&kind)))),
    }
}

fn parse_extended(bytes: &[u8], start: usize) -> Result<ParsedHeader, HeaderError> {
    let [flags, _, _, _, w0, w1, w2, h0, h1, h2] = array(bytes, start)?;
    let stored_px = (u32::from_le_bytes([w0, w1, w2, 0]) + 1, u32::from_le_bytes([h0, h1, h2, 0]) + 1);
    let is_animated = flags & FLAG_ANIMATION != 0;
    let orientation = if flags & FLAG_EXIF == 0 { 1 } else { exif_orientation(bytes)? };
    Ok(ParsedHeader { orientation, is_animated, ..still(stored_px, flags & FLAG_ALPHA == 0) })
}

/// Orientation in the EXIF chunk, which comes last; 1 if the file announces one but has none.
fn exif_orientation(bytes: &[u8]) -> Result<u8, HeaderError> {
    let riff_bytes = u32::from_le_bytes(array(bytes, 4)?) as usize;
    let mut position = FIRST_CHUNK;
    while position < riff_bytes {
        let kind: [u8; 4] = array(bytes, position)?;
        let length = u32::from_le_bytes(array(bytes, position + 4)?) as usize;
        if &kind == b"EXIF" {
            return Ok(orientation_from_exif(part(bytes, position + 8, length)?));
        }
        // Chunks have an even number of bytes.
        position += 8 + length + length % 2;
    }
    Ok(1)
}

fn still(stored_px: (u32, u32), is_plain: bool) -> ParsedHeader {
    ParsedHeader { format: SourceFormat::Webp, stored_px, orientation: 1, is_animated: false, is_plain, jpeg: None }
}
