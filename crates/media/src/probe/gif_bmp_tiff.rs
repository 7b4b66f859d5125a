//! The headers of GIF, BMP and TIFF, which are always converted to JPEG.

use std::io::Cursor;

use image::ImageDecoder;
use image::codecs::tiff::TiffDecoder;

use super::header::{HeaderError, ParsedHeader, array};
use crate::sniff::SourceFormat;

/// GIF: the logical screen, and whether a second image follows.
pub(super) fn parse_gif(bytes: &[u8]) -> Result<ParsedHeader, HeaderError> {
    let [w0, w1, h0, h1, flags] = array(bytes, 6)?;
    let mut position = 13 + color_table_bytes(flags);
    let mut num_images = 0;
    while num_images < 2 {
        match bytes.get(position) {
            // Extension: label, then sub-blocks.
            Some(0x21) => position = skip_sub_blocks(bytes, position + 2)?,
            // Image: position, own colours, code size, then sub-blocks.
            Some(0x2c) => {
                num_images += 1;
                let [flags] = array(bytes, position + 9)?;
                position = skip_sub_blocks(bytes, position + 11 + color_table_bytes(flags))?;
            }
            None if num_images == 0 => return Err(HeaderError::Incomplete),
            // The trailer, its absence, or garbage that readers treat like it.
            _ => break,
        }
    }
    if num_images == 0 {
        return Err(HeaderError::Bad("the GIF holds no image".to_owned()));
    }
    Ok(gif([w0, w1, h0, h1], num_images))
}

/// BMP: the size; a negative height means that rows come from the top.
pub(super) fn parse_bmp(bytes: &[u8]) -> Result<ParsedHeader, HeaderError> {
    let header_bytes = u32::from_le_bytes(array(bytes, 14)?);
    let stored_px = if header_bytes == 12 {
        let [w0, w1, h0, h1] = array(bytes, 18)?;
        (u32::from(u16::from_le_bytes([w0, w1])), u32::from(u16::from_le_bytes([h0, h1])))
    } else {
        let (width, height) = (i32::from_le_bytes(array(bytes, 18)?), i32::from_le_bytes(array(bytes, 22)?));
        let width =
            u32::try_from(width).map_err(|_sign| HeaderError::Bad(format!("the BMP has a width of {width}")))?;
        (width, height.unsigned_abs())
    };
    Ok(converted(SourceFormat::Bmp, stored_px, 1))
}

/// TIFF: the first directory, which may be anywhere in the file.
pub(super) fn parse_tiff(bytes: &[u8]) -> Result<ParsedHeader, HeaderError> {
    let mut decoder = TiffDecoder::new(Cursor::new(bytes)).map_err(|error| match error {
        image::ImageError::IoError(_) => HeaderError::Incomplete,
        image::ImageError::Unsupported(error) => HeaderError::Unsupported(format!("the TIFF cannot be read: {error}")),
        error => HeaderError::Bad(format!("the TIFF cannot be read: {error}")),
    })?;
    let orientation = decoder.orientation().map_or(1, image::metadata::Orientation::to_exif);
    Ok(converted(SourceFormat::Tiff, decoder.dimensions(), orientation))
}

fn gif([w0, w1, h0, h1]: [u8; 4], num_images: u32) -> ParsedHeader {
    let stored_px = (u32::from(u16::from_le_bytes([w0, w1])), u32::from(u16::from_le_bytes([h0, h1])));
    ParsedHeader { is_animated: num_images > 1, ..converted(SourceFormat::Gif, stored_px, 1) }
}

fn converted(format: SourceFormat, stored_px: (u32, u32), orientation: u8) -> ParsedHeader {
    ParsedHeader { format, stored_px, orientation, is_animated: false, is_plain: false, jpeg: None }
}

/// Number of bytes of the colour table that a GIF flag byte announces.
fn color_table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// The position after a run of GIF sub-blocks.
fn skip_sub_blocks(bytes: &[u8], mut position: usize) -> Result<usize, HeaderError> {
    loop {
        let [length] = array(bytes, position)?;
        position += 1 + usize::from(length);
        if length == 0 {
            return Ok(position);
        }
    }
}
