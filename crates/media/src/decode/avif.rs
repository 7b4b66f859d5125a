//! AVIF to RGB: its images are decoded by FFmpeg's AV1 decoder, put together, and shown on white.
//!
//! The container is read by code of our own: FFmpeg 5 and 6 neither put tiles together nor find transparency.

use manyframe_core::RejectCode;

use crate::avif::{AvifImage, Coded, NotRead, Tiles};
use crate::error::MediaError;
use crate::pixels::{RGB_BYTES, RgbImage, over_white};
use crate::video::decode_av1;

/// Decodes into an image of the size in the header.
pub(super) fn decode_into(bytes: &[u8], image: &mut RgbImage) -> Result<(), MediaError> {
    let avif = AvifImage::parse(bytes).map_err(not_read)?;
    let colors = avif.color_tiles(bytes).map_err(not_read)?;
    compose(&colors, image, |color, decoded| *color = decoded)?;
    let Some((alphas, is_premultiplied)) = avif.alpha_tiles(bytes).map_err(not_read)? else { return Ok(()) };
    compose(&alphas, image, |color, [alpha, ..]| {
        *color = if is_premultiplied {
            color.map(|level| level.saturating_add(255 - alpha))
        } else {
            color.map(|level| over_white(level, alpha))
        };
    })
}

/// Decodes tiles and calls `merge` with each pixel of the image and the decoded one.
fn compose(
    tiles: &Tiles,
    image: &mut RgbImage,
    merge: impl Fn(&mut [u8; RGB_BYTES], [u8; RGB_BYTES]),
) -> Result<(), MediaError> {
    let damaged = |why: String| MediaError::rejected(RejectCode::MediaCorrupt, format!("the AVIF {why}"));
    let tile_px = tiles.images.first().map_or((0, 0), |tile| tile.size_px);
    let covers = |tile: u32, number: usize, length: u32| tile as usize * number >= length as usize;
    if !covers(tile_px.0, tiles.columns, image.width_px()) || !covers(tile_px.1, tiles.rows, image.height_px()) {
        return Err(damaged(format!("has tiles of {}×{} pixels that do not cover it", tile_px.0, tile_px.1)));
    }
    let (stride, width) = (image.stride(), image.width_px() as usize);
    for (index, tile) in tiles.images.iter().enumerate() {
        let decoded = decode_tile(tile, tile_px)?;
        let (left, top) = (index % tiles.columns * tile_px.0 as usize, index / tiles.columns * tile_px.1 as usize);
        let lines = image.pixels_mut().chunks_exact_mut(stride).skip(top);
        for (line, row) in lines.zip(decoded.view().rows()) {
            let pixels = line.as_chunks_mut::<RGB_BYTES>().0.iter_mut().take(width).skip(left);
            pixels.zip(row.as_chunks().0).for_each(|(pixel, decoded)| merge(pixel, *decoded));
        }
    }
    Ok(())
}

fn decode_tile(tile: &Coded, tile_px: (u32, u32)) -> Result<RgbImage, MediaError> {
    let damaged = |why: String| MediaError::rejected(RejectCode::MediaCorrupt, format!("the AVIF {why}"));
    if tile.size_px != tile_px {
        return Err(damaged("has tiles of different sizes".to_owned()));
    }
    let decoded = decode_av1(&tile.bytes, tile_px)?;
    if (decoded.width_px(), decoded.height_px()) != tile_px {
        let (width, height) = (decoded.width_px(), decoded.height_px());
        return Err(damaged(format!("holds {width}×{height} pixels, not what its header says")));
    }
    Ok(decoded)
}

fn not_read(error: NotRead) -> MediaError {
    let (code, why) = match error {
        NotRead::Incomplete => (RejectCode::MediaCorrupt, "ends inside its description".to_owned()),
        NotRead::Damaged(why) => (RejectCode::MediaCorrupt, why),
        NotRead::Unsupported(why) => (RejectCode::MediaType, why),
    };
    MediaError::rejected(code, format!("the AVIF {why}"))
}
