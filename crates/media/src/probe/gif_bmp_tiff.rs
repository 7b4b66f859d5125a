//! The headers of GIF, BMP, TIFF and PNM, which are always converted to JPEG.

use super::header::{HeaderError, ParsedHeader, Source, array};
use crate::metadata::Ifd;
use crate::pnm::{PnmError, PnmHeader};
use crate::sniff::SourceFormat;
use crate::tiff::{Layout, Undecodable};

/// The byte that ends a GIF.
const GIF_TRAILER: u8 = b';';

/// How many bytes between blocks may belong to none. Of more, one would soon look like an image.
const MAX_STRAY_BYTES: usize = 64;

/// GIF: the logical screen, the first image, which may be larger, and whether a second one follows.
pub(super) fn parse_gif(source: &Source<'_>) -> Result<ParsedHeader, HeaderError> {
    let bytes = source.head;
    let [w0, w1, h0, h1, flags] = array(bytes, 6)?;
    let mut canvas_px = (u16_from([w0, w1]), u16_from([h0, h1]));
    let mut position = 13 + color_table_bytes(flags);
    let (mut num_images, mut num_stray) = (0, 0);
    while num_images < 2 {
        match bytes.get(position) {
            // Extension: label, then sub-blocks.
            Some(0x21) => position = skip_sub_blocks(bytes, position + 2)?,
            // Image: position, own colours, code size, then sub-blocks.
            Some(0x2c) => {
                num_images += 1;
                let [x0, x1, y0, y1, w0, w1, h0, h1, flags] = array(bytes, position + 1)?;
                if num_images == 1 {
                    let (right, bottom) =
                        (u16_from([x0, x1]) + u16_from([w0, w1]), u16_from([y0, y1]) + u16_from([h0, h1]));
                    canvas_px = (canvas_px.0.max(right), canvas_px.1.max(bottom));
                }
                position = match skip_sub_blocks(bytes, position + 11 + color_table_bytes(flags)) {
                    // What is missing at the end need not be pixels.
                    Err(HeaderError::Incomplete) if source.is_whole() => break,
                    next => next?,
                };
            }
            None if num_images == 0 => return Err(HeaderError::Incomplete),
            Some(byte) if num_images == 0 && *byte != GIF_TRAILER && num_stray < MAX_STRAY_BYTES => {
                num_stray += 1;
                position += 1;
            }
            // The trailer, its absence, or garbage that readers treat like it.
            _ => break,
        }
    }
    if num_images == 0 {
        return Err(HeaderError::Bad("the GIF holds no image".to_owned()));
    }
    Ok(ParsedHeader { is_animated: num_images > 1, ..converted(SourceFormat::Gif, canvas_px, 1) })
}

/// The file without bytes between its blocks that belong to none, up to its first image, as Pillow reads it. `None` if it has none.
pub(crate) fn gif_without_stray_bytes(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut position = 13 + color_table_bytes(*bytes.get(10)?);
    let mut kept = bytes.get(..position)?.to_vec();
    loop {
        match bytes.get(position)? {
            0x21 => {
                let end = skip_sub_blocks(bytes, position + 2).ok()?;
                kept.extend(bytes.get(position..end)?);
                position = end;
            }
            0x2c => break,
            &GIF_TRAILER => return None,
            _ => position += 1,
        }
    }
    let has_stray_bytes = kept.len() < position;
    kept.extend(bytes.get(position..)?);
    has_stray_bytes.then_some(kept)
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
pub(super) fn parse_tiff(source: &Source<'_>) -> Result<ParsedHeader, HeaderError> {
    let bad = || HeaderError::Bad("the TIFF has no directory where its header points".to_owned());
    let ifd = match Ifd::parse(source.head) {
        Some(ifd) if ifd.is_sound() || source.is_whole() => ifd,
        None if source.is_whole() => return Err(bad()),
        _ => return Err(HeaderError::Incomplete),
    };
    let layout = Layout::of(&ifd).map_err(|why| match why {
        Undecodable::Damaged(why) => HeaderError::Bad(format!("the TIFF {why}")),
        Undecodable::Unsupported(why) => HeaderError::Unsupported(format!("the TIFF {why}")),
    })?;
    let pixel_bits = Some((layout.samples_per_pixel * layout.sample_bits) as u64);
    Ok(ParsedHeader { pixel_bits, ..converted(SourceFormat::Tiff, layout.size_px, layout.orientation) })
}

/// PNM: the numbers after the signature.
pub(super) fn parse_pnm(source: &Source<'_>) -> Result<ParsedHeader, HeaderError> {
    let header = PnmHeader::parse(source.head).map_err(|error| match error {
        PnmError::Incomplete => HeaderError::Incomplete,
        PnmError::Damaged(why) => HeaderError::Bad(format!("the PNM {why}")),
    })?;
    Ok(converted(SourceFormat::Pnm, header.size_px, 1))
}

fn u16_from(bytes: [u8; 2]) -> u32 {
    u32::from(u16::from_le_bytes(bytes))
}

fn converted(format: SourceFormat, stored_px: (u32, u32), orientation: u8) -> ParsedHeader {
    ParsedHeader { format, stored_px, orientation, is_animated: false, is_plain: false, jpeg: None, pixel_bits: None }
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
