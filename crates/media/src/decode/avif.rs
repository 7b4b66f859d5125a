//! AVIF to RGB: its images are decoded by FFmpeg's AV1 decoder, put together, and shown on white.
//!
//! The container is read by code of our own: FFmpeg 5 and 6 neither put tiles together nor find transparency.

use manyframe_core::RejectCode;

use crate::avif::{AvifImage, Coded, NotRead, Tiles};
use crate::error::MediaError;
use crate::pixels::{RGB_BYTES, RgbImage, over_white};
use crate::video::{YuvCanvas, YuvView, decode_av1, merge_rgb};

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
    let size_px = (image.width_px(), image.height_px());
    let merge = |view: &YuvView<'_>, image: &mut RgbImage| {
        merge_rgb(view, image, &merge)
            .map_err(|why| MediaError::rejected(RejectCode::MediaType, format!("the AVIF {why}")))
    };
    if let [whole] = &tiles.images[..] {
        check_tiles(tiles, whole, size_px)?;
        return decode_tile(whole, tiles, |view| merge(view, image));
    }
    let mut canvas: Option<YuvCanvas> = None;
    for (index, tile) in tiles.images.iter().enumerate() {
        check_tiles(tiles, tile, size_px)?;
        let (column, row) = ((index % tiles.columns) as u32, (index / tiles.columns) as u32);
        decode_tile(tile, tiles, |view| {
            let canvas = canvas.get_or_insert_with(|| YuvCanvas::new(view, size_px));
            let is_alike = canvas.place(view, (column * tile.size_px.0, row * tile.size_px.1));
            if is_alike { Ok(()) } else { Err(damaged("has tiles that are coded differently")) }
        })?;
    }
    match canvas {
        Some(canvas) => merge(&canvas.view(), image),
        None => Err(damaged("has no tiles")),
    }
}

/// Checks that tiles are as large as the first one, and cover the image.
fn check_tiles(tiles: &Tiles, tile: &Coded, size_px: (u32, u32)) -> Result<(), MediaError> {
    let covers = |tile: u32, number: usize, length: u32| tile as usize * number >= length as usize;
    if tiles.images.first().is_some_and(|first| first.size_px != tile.size_px) {
        return Err(damaged("has tiles of different sizes"));
    }
    if !covers(tile.size_px.0, tiles.columns, size_px.0) || !covers(tile.size_px.1, tiles.rows, size_px.1) {
        let (width, height) = tile.size_px;
        return Err(damaged(&format!("has tiles of {width}×{height} pixels that do not cover it")));
    }
    Ok(())
}

fn decode_tile<T>(
    tile: &Coded,
    tiles: &Tiles,
    show: impl FnOnce(&YuvView<'_>) -> Result<T, MediaError>,
) -> Result<T, MediaError> {
    decode_av1(&tile.bytes, tile.size_px, tiles.colors, |view| {
        if view.size_px != tile.size_px {
            let (width, height) = view.size_px;
            return Err(damaged(&format!("holds {width}×{height} pixels, not what its header says")));
        }
        show(view)
    })
}

fn damaged(why: &str) -> MediaError {
    MediaError::rejected(RejectCode::MediaCorrupt, format!("the AVIF {why}"))
}

fn not_read(error: NotRead) -> MediaError {
    let (code, why) = match error {
        NotRead::Incomplete => (RejectCode::MediaCorrupt, "ends inside its description".to_owned()),
        NotRead::Damaged(why) => (RejectCode::MediaCorrupt, why),
        NotRead::Unsupported(why) => (RejectCode::MediaType, why),
    };
    MediaError::rejected(code, format!("the AVIF {why}"))
}
