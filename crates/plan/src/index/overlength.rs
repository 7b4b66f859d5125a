//! Shortens overlong records as the pipeline file asks, and makes the rows of records, shortened or not.
//!
//! Policies are tried in their order, each by itself, and the first that suffices is applied. If none does, they are combined in
//! their order: the first two, the first three …, where all but the last take away all that they may. A record that nothing makes
//! short enough keeps its full cost, and is rejected for it later.

use std::num::NonZeroU32;

use manyframe_core::{
    IndexRow, Layout, Record, RecordId, Rejection, Signature, SourceIndex, Turn, VisualKind, VisualShape,
};
use manyframe_format::{PromptMeasure, ResolvedVisual};
use manyframe_pipeline::OverlengthPolicy;

use crate::context::Context;
use crate::index::table::MeasuredRecord;
use crate::index::visuals::{MeasuredVisual, encoded_bytes};
use crate::reduction::{Conversation, LengthReduction};

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
        let whole = self.row(self.record.id, &self.record.turns, &self.visuals);
        let whole = whole.map(|row| MeasuredRecord { row, reduction: LengthReduction::default() });
        match &whole {
            Ok(measured) if !self.is_short_enough(measured) => {}
            _ => return vec![whole],
        }
        let overlong = OverlongRecord { whole: self, conversation: Conversation::of(&self.record.turns) };
        match overlong.reductions() {
            Some(reductions) => reductions.into_iter().map(|reduction| overlong.reduced(reduction)).collect(),
            None => vec![whole],
        }
    }

    fn is_short_enough(&self, measured: &MeasuredRecord) -> bool {
        measured.row.cost.num_tokens() <= self.context.pipeline.file.format.max_tokens
    }

    /// Bytes that the images of a record take in a shard, roughly.
    fn image_bytes(&self, visuals: &[MeasuredVisual], resolved: &[ResolvedVisual]) -> u64 {
        if !self.context.resizes() {
            return visuals.iter().map(|visual| visual.estimated_bytes).sum();
        }
        let of = |visual: &ResolvedVisual| encoded_bytes(visual.num_images * visual.plan.layout.size().num_pixels());
        resolved.iter().map(of).sum()
    }

    /// The row of the record, or of a piece of it, as it is shown.
    fn row(&self, id: RecordId, turns: &[Turn], visuals: &[MeasuredVisual]) -> Result<IndexRow, Rejection> {
        let formatter = &self.context.formatter;
        let shapes: Vec<VisualShape> = visuals.iter().map(|visual| visual.shape.clone()).collect();
        let resolved = formatter.resolve(&shapes)?;
        let PromptMeasure { cost, signature: text } = formatter.measure(turns, &resolved)?;
        let num_chars: u64 = turns.iter().map(|turn| turn.num_text_chars() as u64).sum();
        Ok(IndexRow {
            id,
            source: self.source,
            cost,
            layout: Layout::of(resolved.iter().map(|visual| visual.kind)),
            num_turns: turns.len() as u32,
            num_chars,
            // A shard contains the text about twice, with markup around it.
            estimated_bytes: self.image_bytes(visuals, &resolved) + 2 * num_chars + 1024,
            signature: signature(text, visuals),
        })
    }
}

/// A record that is too long.
struct OverlongRecord<'a> {
    whole: &'a ResolvedRecord<'a>,
    conversation: Conversation<'a>,
}

impl OverlongRecord<'_> {
    /// What makes the record short enough; `None` if nothing does.
    fn reductions(&self) -> Option<Vec<LengthReduction>> {
        let policies = &self.whole.context.pipeline.file.overlength.policy;
        let policies = policies.split(|policy| *policy == OverlengthPolicy::Reject).next().unwrap_or_default();
        let alone = policies.iter().find_map(|policy| self.shortened(&[], *policy));
        let combined = || {
            let with = |length: usize| self.shortened(policies.get(..length)?, *policies.get(length)?);
            (1..policies.len()).find_map(with)
        };
        alone.or_else(combined)
    }

    /// What makes the record short enough after all that the policies `before` may take away: the last policy. `None` if it does
    /// not suffice.
    fn shortened(&self, before: &[OverlengthPolicy], last: OverlengthPolicy) -> Option<Vec<LengthReduction>> {
        let taken = before.iter().fold(LengthReduction::default(), |taken, policy| match self.bounds(*policy) {
            Some((fewest, _)) => limited(taken, *policy, fewest),
            None => taken,
        });
        let Some((fewest, most)) = self.bounds(last) else {
            return if last == OverlengthPolicy::SplitTurns { self.pieces(taken) } else { None };
        };
        let fitting = largest(fewest, most, |number| self.suffices(limited(taken, last, number)));
        match fitting {
            Some(number) => Some(vec![limited(taken, last, number)]),
            None if before.contains(&OverlengthPolicy::SplitTurns) => self.pieces(limited(taken, last, fewest)),
            None => None,
        }
    }

    fn suffices(&self, reduction: LengthReduction) -> bool {
        self.reduced(reduction).is_ok_and(|measured| self.whole.is_short_enough(&measured))
    }

    /// The fewest frames or tiles of a visual that a policy keeps, and the most that there are. `None` if there are not more.
    fn bounds(&self, policy: OverlengthPolicy) -> Option<(NonZeroU32, u32)> {
        let table = &self.whole.context.pipeline.file.overlength;
        let least = match policy {
            OverlengthPolicy::FewerFrames => table.min_frames,
            OverlengthPolicy::FewerTiles => table.min_tiles,
            OverlengthPolicy::SplitTurns | OverlengthPolicy::Reject => return None,
        };
        let number = |visual: &MeasuredVisual| match (policy, &visual.shape) {
            (OverlengthPolicy::FewerFrames, VisualShape::Video { frames, .. }) => Some(frames.taken.len() as u32),
            (OverlengthPolicy::FewerTiles, VisualShape::Tiled { grid }) => {
                visual.cut_from_px.map(|_| grid.num_tiles() as u32)
            }
            _ => None,
        };
        let most = self.whole.visuals.iter().filter_map(number).max()?;
        (most > least.get()).then_some((least, most))
    }

    /// The pieces of the record after what is taken away from each.
    fn pieces(&self, taken: LengthReduction) -> Option<Vec<LengthReduction>> {
        let reduction = |split| LengthReduction { split: Some(split), ..taken };
        let pieces = self.conversation.split(|split| self.suffices(reduction(*split)))?;
        Some(pieces.into_iter().map(reduction).collect())
    }

    /// The record with a reduction. Each piece has a distinct id.
    fn reduced(&self, reduction: LengthReduction) -> MeasureResult {
        let ResolvedRecord { record, visuals, context, .. } = self.whole;
        let piece = reduction.split.map(|split| self.conversation.piece(&split));
        let turns = piece.as_ref().unwrap_or(&record.turns);
        let visuals = visuals.iter().take(turns.iter().flat_map(Turn::visuals).count());
        let visuals: Vec<MeasuredVisual> = visuals.map(|visual| visual.reduced(&reduction, &context.tiles)).collect();
        let id = reduction.split.map_or(record.id, |split| record.id.piece(u64::from(split.piece)));
        Ok(MeasuredRecord { row: self.whole.row(id, turns, &visuals)?, reduction })
    }
}

/// A reduction with this limit of a policy.
fn limited(taken: LengthReduction, policy: OverlengthPolicy, most: NonZeroU32) -> LengthReduction {
    match policy {
        OverlengthPolicy::FewerFrames => LengthReduction { max_frames: Some(most), ..taken },
        OverlengthPolicy::FewerTiles => LengthReduction { max_tiles: Some(most), ..taken },
        OverlengthPolicy::SplitTurns | OverlengthPolicy::Reject => taken,
    }
}

fn signature(mut signature: Signature, visuals: &[MeasuredVisual]) -> u64 {
    // An image shown whole and the same image cut into tiles are different samples.
    let shown = |visual: &MeasuredVisual| [u64::from(visual.shape.kind() == VisualKind::Tiled)];
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
