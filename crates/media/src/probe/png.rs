//! The header of a PNG: the chunks before the pixels.

use super::header::{HeaderError, ParsedHeader, array, orientation_from_exif, part};
use crate::sniff::SourceFormat;

const SIGNATURE_BYTES: usize = 8;

/// Length, type and checksum of a chunk.
const CHUNK_FRAME_BYTES: usize = 12;

pub(super) fn parse(bytes: &[u8]) -> Result<ParsedHeader, HeaderError> {
    let (length, kind) = chunk(bytes, SIGNATURE_BYTES)?;
    if &kind != b"IHDR" || length < 13 {
        return Err(HeaderError::Bad("the PNG does not start with its header chunk".to_owned()));
    }
    let start = SIGNATURE_BYTES + 8;
    let width_px = u32::from_be_bytes(array(bytes, start)?);
    let height_px = u32::from_be_bytes(array(bytes, start + 4)?);
    let [bit_depth, color_type] = array(bytes, start + 8)?;
    let has_alpha_channel = color_type & 4 != 0;

    let (mut orientation, mut is_animated, mut has_transparency) = (1, false, has_alpha_channel);
    let mut position = SIGNATURE_BYTES + CHUNK_FRAME_BYTES + length;
    // Chunks after the pixels are not read: an orientation there is ignored, here and by the decoder.
    loop {
        let (length, kind) = chunk(bytes, position)?;
        match &kind {
            b"IDAT" | b"IEND" => break,
            b"tRNS" => has_transparency = true,
            b"acTL" => is_animated = u32::from_be_bytes(array(bytes, position + 8)?) > 1,
            b"eXIf" => orientation = orientation_from_exif(part(bytes, position + 8, length)?),
            _ => {}
        }
        position = position
            .checked_add(CHUNK_FRAME_BYTES)
            .and_then(|end| end.checked_add(length))
            .ok_or_else(|| HeaderError::Bad("a PNG chunk claims an impossible length".to_owned()))?;
    }
    Ok(ParsedHeader {
        format: SourceFormat::Png,
        stored_px: (width_px, height_px),
        orientation,
        is_animated,
        is_plain: bit_depth <= 8 && !has_transparency,
        jpeg: None,
    })
}

/// Length and type of the chunk at a position.
fn chunk(bytes: &[u8], position: usize) -> Result<(usize, [u8; 4]), HeaderError> {
    let length = u32::from_be_bytes(array(bytes, position)?);
    if length > i32::MAX.cast_unsigned() {
        return Err(HeaderError::Bad(format!("a PNG chunk claims {length} bytes")));
    }
    Ok((length as usize, array(bytes, position + 4)?))
}
