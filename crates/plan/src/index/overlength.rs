//! Shortens overlong records as the pipeline file asks, and makes the rows of records, shortened or not.
//!
//! Policies are tried in their order, each by itself, and the first that suffices is applied. A record that no policy makes short
//! enough keeps its full cost, and is rejected for it later.

use std::num::NonZeroU32;

use manyframe_core::{IndexRow, Layout, Record, Rejection, Signature, SourceIndex, VisualKind};
use manyframe_format::{PromptMeasure, ResolvedVisual};
use manyframe_pipeline::OverlengthPolicy;

use crate::context::Context;
use crate::index::table::MeasuredRecord;
use crate::index::visuals::MeasuredVisual;
use crate::reduction::{LengthReduction, split_into_pieces};

type MeasureResult = Result<MeasuredRecord, Rejection>;

/// A record whose visuals are measured: all that its rows are made from.
pub(super) struct ResolvedRecord<'a> {
    pub(super) context: &'a Context,
    pub(super) source: SourceIndex,
    pub(super) record: &'a Record,
    /// One for each visual, in order.
    pub(super) visuals: Vec<MeasuredVisual>,
}

impl ResolvedRecord<'_> {
    /// The record as it is, shortened, or in pieces that are short enough.
    pub(super) fn measure(&self) -> Vec<MeasureResult> {
        let whole = self.reduced(LengthReduction::default());
        match &whole {
            Ok(measured) if !self.is_short_enough(measured) => {}
            _ => return vec![whole],
        }
        for policy in &self.context.pipeline.file.overlength.policy {
            let reductions = match policy {
                OverlengthPolicy::Reject => break,
                OverlengthPolicy::FewerFrames => self.fewer_frames().map(|reduction| vec![reduction]),
                OverlengthPolicy::FewerTiles => self.fewer_tiles().map(|reduction| vec![reduction]),
                OverlengthPolicy::SplitTurns => self.pieces(),
            };
            if let Some(reductions) = reductions {
                return reductions.into_iter().map(|reduction| self.reduced(reduction)).collect();
            }
        }
        vec![whole]
    }

    fn is_short_enough(&self, measured: &MeasuredRecord) -> bool {
        measured.row.cost.num_tokens() <= self.context.pipeline.file.format.max_tokens
    }

    fn suffices(&self, reduction: LengthReduction) -> bool {
        self.reduced(reduction).is_ok_and(|measured| self.is_short_enough(&measured))
    }

    fn fewer_frames(&self) -> Option<LengthReduction> {
        let frames = self.visuals.iter().filter_map(|visual| match visual.resolved {
            ResolvedVisual::Video { num_frames } => Some(num_frames),
            _ => None,
        });
        let reduction = |most| LengthReduction { max_frames: Some(most), ..LengthReduction::default() };
        let least = self.context.pipeline.file.overlength.min_frames;
        largest(least, frames.max()?, |most| self.suffices(reduction(most))).map(reduction)
    }

    fn fewer_tiles(&self) -> Option<LengthReduction> {
        let tiles = self.visuals.iter().filter_map(|visual| match visual.resolved {
            ResolvedVisual::Tiled { grid } => visual.cut_from_px.map(|_| grid.num_tiles() as u32),
            _ => None,
        });
        let reduction = |most| LengthReduction { max_tiles: Some(most), ..LengthReduction::default() };
        let least = self.context.pipeline.file.overlength.min_tiles;
        largest(least, tiles.max()?, |most| self.suffices(reduction(most))).map(reduction)
    }

    fn pieces(&self) -> Option<Vec<LengthReduction>> {
        let reduction = |split| LengthReduction { split: Some(split), ..LengthReduction::default() };
        let pieces = split_into_pieces(self.record, |split| self.suffices(reduction(*split)))?;
        Some(pieces.into_iter().map(reduction).collect())
    }

    /// The record with a reduction. Each piece has a distinct id.
    fn reduced(&self, reduction: LengthReduction) -> MeasureResult {
        if reduction.is_none() {
            return Ok(MeasuredRecord { row: self.row(self.record, &self.visuals)?, reduction });
        }
        let record = reduction.split_turns(self.record.clone());
        let visuals = self.visuals.iter().take(record.media.len());
        let visuals: Vec<MeasuredVisual> =
            visuals.map(|visual| visual.reduced(&reduction, &self.context.tiles)).collect();
        let mut row = self.row(&record, &visuals)?;
        if let Some(split) = reduction.split {
            row.id = self.record.id.piece(u64::from(split.piece));
        }
        Ok(MeasuredRecord { row, reduction })
    }

    /// The row of a record as it is shown.
    fn row(&self, record: &Record, visuals: &[MeasuredVisual]) -> Result<IndexRow, Rejection> {
        let resolved: Vec<ResolvedVisual> = visuals.iter().map(|visual| visual.resolved).collect();
        let PromptMeasure { cost, signature: text } = self.context.formatter.measure(&record.turns, &resolved)?;
        let num_chars = record.num_text_chars() as u64;
        Ok(IndexRow {
            id: record.id,
            source: self.source,
            cost,
            layout: Layout::of(resolved.iter().map(|visual| visual.kind())),
            num_turns: record.turns.len() as u32,
            num_chars,
            // A shard contains the text about twice, with markup around it.
            estimated_bytes: visuals.iter().map(|visual| visual.estimated_bytes).sum::<u64>() + 2 * num_chars + 1024,
            signature: signature(text, visuals),
        })
    }
}

fn signature(mut signature: Signature, visuals: &[MeasuredVisual]) -> u64 {
    // An image shown whole and the same image cut into tiles are different samples.
    let shown = |visual: &MeasuredVisual| [u64::from(visual.resolved.kind() == VisualKind::Tiled)];
    let sizes = visuals.iter().flat_map(|visual| visual.signature.into_iter().chain(shown(visual)));
    sizes.for_each(|size| signature.push_number(size));
    signature.bits()
}

/// The largest number from `least` to below `most` that fits, where costs grow with the number.
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
