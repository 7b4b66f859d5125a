//! Makes an over-long record fit, in the way that the pipeline file states.
//!
//! Ways are tried in their order, each by itself; the first that suffices is taken. A record that no way makes fit keeps its
//! full cost, and is rejected for it later.

use std::num::NonZeroU32;

use manyframe_core::{Grid, Record, Rejection, SourceIndex};
use manyframe_format::ResolvedVisual;
use manyframe_media::{TilePolicy, plan_tiles};

use super::measure::{Measured, Measurement, row_from_parts};
use crate::Context;
use crate::fit::{Fit, split_turns};
use manyframe_pipeline::OverlengthPolicy;

type Outcome = Result<Measurement, Rejection>;

/// The record as it is, made to fit, or in pieces that fit.
pub(super) fn fitted(context: &Context, source: SourceIndex, record: &Record, visuals: &[Measured]) -> Vec<Outcome> {
    let whole = measurement(context, source, record, visuals, Fit::default());
    match &whole {
        Ok(measured) if measured.row.cost.num_tokens() > context.pipeline.file.format.max_tokens => {}
        _ => return vec![whole],
    }
    for policy in &context.pipeline.file.overlength.policy {
        let pieces = match policy {
            OverlengthPolicy::Reject => None,
            OverlengthPolicy::FewerFrames => fewer_frames(context, source, record, visuals).map(|fit| vec![fit]),
            OverlengthPolicy::FewerTiles => fewer_tiles(context, source, record, visuals).map(|fit| vec![fit]),
            OverlengthPolicy::SplitTurns => pieces(context, source, record, visuals),
        };
        if let Some(fits) = pieces {
            return fits.into_iter().map(|fit| measurement(context, source, record, visuals, fit)).collect();
        }
        if *policy == OverlengthPolicy::Reject {
            break;
        }
    }
    vec![whole]
}

/// The row of a record that gives something up. A piece has an id of its own.
fn measurement(context: &Context, source: SourceIndex, record: &Record, visuals: &[Measured], fit: Fit) -> Outcome {
    if fit == Fit::default() {
        let row = row_from_parts(context, source, record, visuals)?;
        return Ok(Measurement { row, fit });
    }
    let cut = fit.cut(record.clone());
    let limited: Vec<Measured> =
        visuals.iter().take(cut.media.len()).map(|visual| limited(visual, &fit, &context.tiles)).collect();
    let mut row = row_from_parts(context, source, &cut, &limited)?;
    if let Some(piece) = fit.piece {
        row.id = record.id.piece(u64::from(piece.number));
    }
    Ok(Measurement { row, fit })
}

fn does_fit(context: &Context, source: SourceIndex, record: &Record, visuals: &[Measured], fit: Fit) -> bool {
    let measured = measurement(context, source, record, visuals, fit);
    measured.is_ok_and(|measured| measured.row.cost.num_tokens() <= context.pipeline.file.format.max_tokens)
}

fn fewer_frames(context: &Context, source: SourceIndex, record: &Record, visuals: &[Measured]) -> Option<Fit> {
    let frames = visuals.iter().filter_map(|visual| match visual.resolved {
        ResolvedVisual::Video { num_frames } => Some(num_frames),
        _ => None,
    });
    let fit = |max_frames| Fit { max_frames: Some(max_frames), ..Fit::default() };
    let fits = |max_frames| does_fit(context, source, record, visuals, fit(max_frames));
    largest(context.pipeline.file.overlength.min_frames, frames.max()?, fits).map(fit)
}

fn fewer_tiles(context: &Context, source: SourceIndex, record: &Record, visuals: &[Measured]) -> Option<Fit> {
    let tiles = visuals.iter().filter_map(|visual| match visual.resolved {
        ResolvedVisual::Tiled { grid } => visual.cut_from_px.map(|_| grid.num_tiles() as u32),
        _ => None,
    });
    let fit = |max_tiles| Fit { max_tiles: Some(max_tiles), ..Fit::default() };
    let fits = |max_tiles| does_fit(context, source, record, visuals, fit(max_tiles));
    largest(context.pipeline.file.overlength.min_tiles, tiles.max()?, fits).map(fit)
}

fn pieces(context: &Context, source: SourceIndex, record: &Record, visuals: &[Measured]) -> Option<Vec<Fit>> {
    let fit = |piece| Fit { piece: Some(piece), ..Fit::default() };
    let pieces = split_turns(record, |piece| does_fit(context, source, record, visuals, fit(*piece)))?;
    Some(pieces.into_iter().map(fit).collect())
}

/// The largest number from `least` to below `most` that fits, costs growing with the number.
fn largest(least: NonZeroU32, most: u32, fits: impl Fn(NonZeroU32) -> bool) -> Option<NonZeroU32> {
    let (mut low, mut high) = (least.get(), most);
    let fits = |number: u32| NonZeroU32::new(number).is_some_and(&fits);
    if low >= high || !fits(low) {
        return None;
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        if fits(middle) { low = middle } else { high = middle }
    }
    NonZeroU32::new(low)
}

fn limited(visual: &Measured, fit: &Fit, tiles: &TilePolicy) -> Measured {
    let mut limited = visual.clone();
    limited.resolved = match (visual.resolved, fit.max_frames, fit.max_tiles, visual.cut_from_px) {
        (ResolvedVisual::Video { num_frames }, Some(most), ..) => {
            ResolvedVisual::Video { num_frames: num_frames.min(most.get()) }
        }
        (ResolvedVisual::Tiled { .. }, _, Some(most), Some((width_px, height_px))) => {
            ResolvedVisual::Tiled { grid: limited_grid(width_px, height_px, most, tiles) }
        }
        (as_it_is, ..) => as_it_is,
    };
    let (before, after) = (visual.resolved.num_images().max(1), limited.resolved.num_images());
    limited.estimated_bytes = visual.estimated_bytes * after / before;
    limited
}

fn limited_grid(width_px: u32, height_px: u32, most: NonZeroU32, tiles: &TilePolicy) -> Grid {
    plan_tiles(width_px, height_px, &fewest_tiles(tiles, Some(most))).grid
}

/// The policy under which an image has no more than `most` sub-images.
pub fn fewest_tiles(tiles: &TilePolicy, most: Option<NonZeroU32>) -> TilePolicy {
    let max_tiles = match (tiles.max_tiles, most) {
        (Some(stated), Some(most)) => Some(stated.min(most)),
        (stated, most) => stated.or(most),
    };
    TilePolicy { max_tiles, ..*tiles }
}
