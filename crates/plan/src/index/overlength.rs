//! Shortens overlong records as the pipeline file asks, and makes the rows of records, shortened or not.
//!
//! Policies are tried in their order, each by itself, and the first that suffices is applied. If none does, they are combined in
//! their order: the first two, the first three …, where all but the last take away all that they may. A record that nothing makes
//! short enough keeps its full cost, and is rejected for it later.
//!
//! Tiles and pixels cost more the more there are, and the most that fit are found by halving. So do frames, unless they share a
//! budget of pixels, as Qwen's: then fewer can cost more each, and [`FrameSearch`] looks at every number.

use std::num::{NonZeroU32, NonZeroU64};

use manyframe_core::{
    Cost, IndexRow, Layout, Record, RecordId, Rejection, Signature, SourceIndex, Turn, VisualKind, VisualShape,
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
        let reduction = LengthReduction::default();
        let whole = self.measured(self.record.id, &self.record.turns, Shown { visuals: &self.visuals, reduction });
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
        measured.row.cost.num_tokens() <= self.max_tokens()
    }

    fn max_tokens(&self) -> u64 {
        self.context.pipeline.file.format.max_tokens
    }

    /// What the model makes of some visuals.
    fn resolve(&self, shown: Shown<'_>) -> Result<Vec<ResolvedVisual>, Rejection> {
        let shapes: Vec<VisualShape> = shown.visuals.iter().map(|visual| visual.shape.clone()).collect();
        self.context.formatter.resolve_within(&shapes, shown.reduction.max_pixels())
    }

    /// Bytes that the images of a record take in a shard, roughly.
    fn image_bytes(&self, visuals: &[MeasuredVisual], resolved: &[ResolvedVisual]) -> u64 {
        if !self.context.resizes() {
            return visuals.iter().map(|visual| visual.estimated_bytes).sum();
        }
        let of = |visual: &ResolvedVisual| encoded_bytes(visual.num_images * visual.plan.layout.size().num_pixels());
        resolved.iter().map(of).sum()
    }

    /// The measures of the record, or of a piece of it, as it is shown.
    fn measured(&self, id: RecordId, turns: &[Turn], shown: Shown<'_>) -> MeasureResult {
        let Shown { visuals, reduction } = shown;
        let resolved = self.resolve(shown)?;
        let PromptMeasure { cost, signature: text } = self.context.formatter.measure(turns, &resolved)?;
        let num_chars: u64 = turns.iter().map(|turn| turn.num_text_chars() as u64).sum();
        let row = IndexRow {
            id,
            source: self.source,
            cost,
            layout: Layout::of(resolved.iter().map(|visual| visual.kind)),
            num_turns: turns.len() as u32,
            num_chars,
            // A shard contains the text about twice, with markup around it.
            estimated_bytes: self.image_bytes(visuals, &resolved) + 2 * num_chars + 1024,
            media: media_signature(visuals),
        };
        Ok(MeasuredRecord { row, signature: signature(text, visuals), reduction })
    }
}

/// Visuals, and how many pixels of them are shown.
#[derive(Clone, Copy)]
struct Shown<'v> {
    visuals: &'v [MeasuredVisual],
    reduction: LengthReduction,
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
            Some(bounds) => limited(taken, *policy, bounds.least),
            None => taken,
        });
        let Some(bounds) = self.bounds(last) else {
            return if last == OverlengthPolicy::SplitTurns { self.pieces(taken) } else { None };
        };
        let fitting = match self.visual_tokens_by_frames(taken, last, bounds) {
            Some(visual_tokens) => {
                let cost = |number| self.reduced(limited(taken, last, number)).ok().map(|measured| measured.row.cost);
                FrameSearch { visual_tokens, least: bounds.least, max_tokens: self.whole.max_tokens(), cost }.largest()
            }
            None => largest(bounds, |number| self.suffices(limited(taken, last, number))),
        };
        match fitting {
            Some(number) => Some(vec![limited(taken, last, number)]),
            None if before.contains(&OverlengthPolicy::SplitTurns) => self.pieces(limited(taken, last, bounds.least)),
            None => None,
        }
    }

    /// The visual tokens of the record with each number of frames, from the fewest on, if frames share a budget. They are
    /// `u64::MAX` with a number that the model's processor refuses.
    fn visual_tokens_by_frames(
        &self,
        taken: LengthReduction,
        policy: OverlengthPolicy,
        bounds: Bounds,
    ) -> Option<Vec<u64>> {
        let whole = self.whole;
        let formatter = &whole.context.formatter;
        if policy != OverlengthPolicy::FewerFrames || !formatter.frames_share_pixels() {
            return None;
        }
        let resolved = whole.resolve(Shown { visuals: &whole.visuals, reduction: taken }).ok()?;
        let visual_tokens = |most: u64| {
            let of = |(visual, resolved): (&MeasuredVisual, &ResolvedVisual)| match &visual.shape {
                VisualShape::Video { size_px, frames } if frames.taken.len() as u64 > most => {
                    formatter.tokens_of_frames(*size_px, u32::try_from(most).ok()?, taken.max_pixels())
                }
                _ => Some(resolved.plan.num_tokens()),
            };
            whole.visuals.iter().zip(&resolved).map(of).sum::<Option<u64>>().unwrap_or(u64::MAX)
        };
        Some((bounds.least..bounds.most).map(visual_tokens).collect())
    }

    fn suffices(&self, reduction: LengthReduction) -> bool {
        self.reduced(reduction).is_ok_and(|measured| self.whole.is_short_enough(&measured))
    }

    /// What a policy leaves of a visual at least, and what there is. `None` if there is not more.
    fn bounds(&self, policy: OverlengthPolicy) -> Option<Bounds> {
        let table = &self.whole.context.pipeline.file.overlength;
        let (least, unit) = match policy {
            OverlengthPolicy::FewerFrames => (u64::from(table.min_frames.get()), 1),
            OverlengthPolicy::FewerTiles => (u64::from(table.min_tiles.get()), 1),
            OverlengthPolicy::FewerPixels => {
                let unit = self.whole.context.formatter.family().pixels_per_token()?;
                (table.min_pixels.get().checked_next_multiple_of(unit)?, unit)
            }
            OverlengthPolicy::SplitTurns | OverlengthPolicy::Reject => return None,
        };
        let most = self.most_shown(policy)?.checked_next_multiple_of(unit)?;
        (most > least).then_some(Bounds { least, most, unit })
    }

    /// The most frames, tiles or pixels of any visual.
    fn most_shown(&self, policy: OverlengthPolicy) -> Option<u64> {
        let whole = self.whole;
        if policy == OverlengthPolicy::FewerPixels {
            let shown = Shown { visuals: &whole.visuals, reduction: LengthReduction::default() };
            return whole.resolve(shown).ok()?.iter().map(|visual| visual.plan.layout.size().num_pixels()).max();
        }
        let number = |visual: &MeasuredVisual| match (policy, &visual.shape) {
            (OverlengthPolicy::FewerFrames, VisualShape::Video { frames, .. }) => Some(frames.taken.len() as u64),
            (OverlengthPolicy::FewerTiles, VisualShape::Tiled { grid }) => visual.cut_from_px.map(|_| grid.num_tiles()),
            _ => None,
        };
        whole.visuals.iter().filter_map(number).max()
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
        let visuals: Vec<MeasuredVisual> =
            visuals.map(|visual| visual.reduced(&reduction, context)).collect::<Result<_, _>>()?;
        let id = reduction.split.map_or(record.id, |split| record.id.piece(u64::from(split.piece)));
        self.whole.measured(id, turns, Shown { visuals: &visuals, reduction })
    }
}

/// What a policy may leave of a visual: frames, tiles or pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    /// The least, a multiple of the unit.
    least: u64,
    /// What there is.
    most: u64,
    /// Anything between two multiples of it makes no difference.
    unit: u64,
}

/// A reduction with this limit of a policy.
fn limited(taken: LengthReduction, policy: OverlengthPolicy, most: u64) -> LengthReduction {
    let number = || NonZeroU32::new(u32::try_from(most).unwrap_or(u32::MAX));
    match policy {
        OverlengthPolicy::FewerFrames => LengthReduction { max_frames: number(), ..taken },
        OverlengthPolicy::FewerTiles => LengthReduction { max_tiles: number(), ..taken },
        OverlengthPolicy::FewerPixels => LengthReduction { max_pixels: NonZeroU64::new(most), ..taken },
        OverlengthPolicy::SplitTurns | OverlengthPolicy::Reject => taken,
    }
}

/// The largest number of frames with which a record fits, where fewer frames can cost more each.
struct FrameSearch<C> {
    /// The visual tokens with each number of frames, from the least on.
    visual_tokens: Vec<u64>,
    least: u64,
    max_tokens: u64,
    /// What the record costs with a number of frames, which takes as long as tokenizing it. `None` if it is refused.
    cost: C,
}

impl<C: Fn(u64) -> Option<Cost>> FrameSearch<C> {
    /// More frames have at least as many tokens of text, but for some digits of their times.
    const DIGITS: u64 = 16;

    fn largest(&self) -> Option<u64> {
        let all: Vec<(u64, u64)> = (self.least..).zip(self.visual_tokens.iter().copied()).collect();
        self.largest_among(&all, 0)
    }

    /// The largest of these numbers of frames that fits. Each comes with its visual tokens, in ascending order; `text_tokens` is
    /// a lower bound on the text.
    fn largest_among(&self, numbers: &[(u64, u64)], text_tokens: u64) -> Option<u64> {
        let is_possible = |(_, visual): &&(u64, u64)| visual.saturating_add(text_tokens) <= self.max_tokens;
        let possible: Vec<(u64, u64)> = numbers.iter().filter(is_possible).copied().collect();
        let (below, from_middle) = possible.split_at(possible.len() / 2);
        let (&(middle, _), above) = from_middle.split_first()?;
        let cost = (self.cost)(middle);
        let of_text = cost.map_or(0, |cost| cost.text_tokens.saturating_sub(Self::DIGITS)).max(text_tokens);
        let fits = cost.is_some_and(|cost| cost.num_tokens() <= self.max_tokens);
        self.largest_among(above, of_text)
            .or_else(|| fits.then_some(middle))
            .or_else(|| self.largest_among(below, text_tokens))
    }
}

fn signature(mut signature: Signature, visuals: &[MeasuredVisual]) -> u64 {
    // An image shown whole and the same image cut into tiles are different samples.
    let shown = |visual: &MeasuredVisual| [u64::from(visual.shape.kind() == VisualKind::Tiled)];
    let sizes = visuals.iter().flat_map(|visual| visual.signature.into_iter().chain(shown(visual)));
    sizes.for_each(|size| signature.push_number(size));
    signature.bits()
}

/// Equal for the same images and videos, however they are shown.
fn media_signature(visuals: &[MeasuredVisual]) -> u64 {
    let mut signature = Signature::default();
    visuals.iter().flat_map(|visual| visual.signature).for_each(|size| signature.push_number(size));
    if visuals.is_empty() { 0 } else { signature.bits() }
}

/// The largest multiple of the unit, from the least to below the most, that fits, where costs grow with the number.
fn largest(Bounds { least, most, unit }: Bounds, fits: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (least / unit, most / unit);
    if low >= high || !fits(low * unit) {
        return None;
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        if fits(middle * unit) { low = middle } else { high = middle }
    }
    Some(low * unit)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_largest_number_of_frames_is_found_whatever_the_budget_law(
            per_frame in prop::collection::vec(1u64..60, 1..120),
            text_per_frame in 0u64..9,
            max_tokens in 0u64..4000,
        ) {
            let least = 4;
            let numbered = || (least..).zip(&per_frame).map(|(number, tokens)| (number, number * tokens));
            let cost = |number: u64| {
                let text_tokens = 50 + text_per_frame * number - number % 3;
                let visual_tokens = numbered().find(|(other, _)| *other == number)?.1;
                Some(Cost { text_tokens, visual_tokens, ..Cost::default() })
            };
            let visual_tokens = numbered().map(|(_, tokens)| tokens).collect();
            let found = FrameSearch { visual_tokens, least, max_tokens, cost }.largest();
            let fits = |number: &u64| cost(*number).is_some_and(|cost| cost.num_tokens() <= max_tokens);
            prop_assert_eq!(found, (least..least + per_frame.len() as u64).rev().find(fits));
        }
    }

    #[test]
    fn few_numbers_are_tried_of_many_frames() {
        let num_tried = Cell::new(0);
        let cost = |number: u64| {
            num_tried.set(num_tried.get() + 1);
            Some(Cost { text_tokens: 200 + 4 * number, visual_tokens: 64 * number, ..Cost::default() })
        };
        let visual_tokens = (8..768).map(|number| 64 * number).collect();
        let search = FrameSearch { visual_tokens, least: 8, max_tokens: 20_000, cost };
        assert_eq!(search.largest(), Some(291));
        assert!(num_tried.get() < 20, "{}", num_tried.get());
    }

    #[test]
    fn the_most_pixels_are_a_multiple_of_a_token() {
        let bounds = Bounds { least: 2048, most: 9216, unit: 1024 };
        assert_eq!(largest(bounds, |pixels| pixels <= 5000), Some(4096));
        assert_eq!(largest(bounds, |_| true), Some(8192));
        assert_eq!(largest(bounds, |pixels| pixels < 2048), None);
    }
}
