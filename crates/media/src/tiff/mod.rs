//! TIFF and BigTIFF: strips and tiles, interleaved and in planes, in every colour space and depth that occurs in photographs,
//! scans and drawings.
//!
//! One row is decoded at a time, so that memory grows with the pixels and not with the bytes of a sample.
//! The `image` crate reads fewer kinds, and one of them, with reversed bits, as noise.

mod chunk;
mod colors;
mod fax;
mod lab;
mod layout;

pub(crate) use self::chunk::JpegStrip;
use self::chunk::{ChunkRows, DecodeJpeg};
use self::colors::RowConverter;
pub(crate) use self::layout::{Layout, Undecodable};
use crate::pixels::{RGB_BYTES, RgbImage};

/// Decodes the pixels as stored into an image of the size that the layout states. The error says what is damaged.
pub(crate) fn decode_into(
    bytes: &[u8],
    layout: &Layout<'_>,
    image: &mut RgbImage,
    decode_jpeg: &DecodeJpeg<'_>,
) -> Result<(), String> {
    let (width, height) = layout.size_px;
    let (columns, rows) = layout.grid();
    let stride = image.stride();
    let mut converter = RowConverter::new(layout);
    for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
        let (left, top) = (column * layout.chunk_px.0, row * layout.chunk_px.1);
        let (shown_width, shown_height) = (layout.chunk_px.0.min(width - left), layout.chunk_px.1.min(height - top));
        let mut chunk = ChunkRows::open(bytes, layout, row * columns + column, shown_height, decode_jpeg)?;
        let lines = image.pixels_mut().chunks_exact_mut(stride).skip(top as usize).take(shown_height as usize);
        for (y, line) in lines.enumerate() {
            let (start, num_bytes) = (left as usize * RGB_BYTES, shown_width as usize * RGB_BYTES);
            let Some(line) = line.get_mut(start..start + num_bytes) else { continue };
            chunk.read_row(line, &mut converter).map_err(|error| {
                format!("strip or tile {} of {} ends in row {y}: {error}", row * columns + column, rows * columns)
            })?;
        }
        chunk.finish().map_err(|error| {
            format!("strip or tile {} of {} is damaged: {error}", row * columns + column, rows * columns)
        })?;
    }
    Ok(())
}
