//! How an overlong record is shortened: fewer frames, tiles or pixels, or its turns divided among several samples.
//!
//! The planner decides it once, and the worker applies it. Nothing is truncated silently: no cut goes through an image, and none
//! falls after a question.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use manyframe_core::{Part, PreparedClip, Record, Role, Turn, Visual};
use manyframe_media::{TilePolicy, spread};
use serde::{Deserialize, Serialize};

/// How a record is shortened. By default it is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LengthReduction {
    /// Maximum number of frames of each of its videos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_frames: Option<NonZeroU32>,
    /// Maximum number of tiles of each of its tiled images, the overview not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tiles: Option<NonZeroU32>,
    /// Maximum number of pixels of each of its images and frames, where the model sees them at a size of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pixels: Option<NonZeroU64>,
    /// The turns of it that are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<TurnSplit>,
}

/// One piece of a conversation that becomes several samples: some consecutive turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnSplit {
    /// Its number among the pieces of the record, from 0.
    pub piece: u32,
    /// Its first turn, from 0.
    pub first_turn: u32,
    /// Its number of turns.
    pub num_turns: u32,
}

impl LengthReduction {
    /// Whether the record is delivered as it is.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the record shows fewer frames, tiles or pixels than it has.
    pub(crate) fn shows_less(&self) -> bool {
        self.max_frames.is_some() || self.max_tiles.is_some() || self.max_pixels.is_some()
    }

    /// Maximum number of pixels of each image and frame.
    pub fn max_pixels(&self) -> Option<u64> {
        self.max_pixels.map(NonZeroU64::get)
    }

    /// A clip of an earlier build with no more frames than the reduction keeps, evenly spaced among those that were chosen then.
    pub(crate) fn shown_frames(&self, clip: &PreparedClip) -> PreparedClip {
        let Some(most) = self.max_frames else { return clip.clone() };
        let places: Vec<usize> = (0..clip.frames.frame_indices.len()).collect();
        clip.with_frames(&spread(&places, most.get()))
    }

    /// How images are cut so that none has more tiles than the reduction keeps.
    pub fn tile_policy(&self, tiles: &TilePolicy) -> TilePolicy {
        let max_tiles = match (tiles.max_tiles, self.max_tiles) {
            (Some(configured), Some(most)) => Some(configured.min(most)),
            (configured, most) => configured.or(most),
        };
        TilePolicy { max_tiles, ..*tiles }
    }
}

/// What the ledger says about it: empty if the record is delivered as it is.
impl fmt::Display for LengthReduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frames = self.max_frames.map(|most| format!("at most {most} frames per video"));
        let tiles = self.max_tiles.map(|most| format!("at most {most} tiles per image"));
        let pixels = self.max_pixels.map(|most| format!("at most {most} pixels per image and frame"));
        let split = self.split.map(|split| {
            let (first, last) = (split.first_turn + 1, split.first_turn + split.num_turns);
            format!("piece {} of the conversation: turns {first} to {last}", split.piece + 1)
        });
        f.write_str(&[pixels, frames, tiles, split].into_iter().flatten().collect::<Vec<_>>().join("; "))
    }
}

impl TurnSplit {
    /// The piece as a separate record, under the id of the whole record.
    ///
    /// Later pieces ask about visuals that were shown before: these are repeated at the beginning of the piece's first user
    /// turn. A system turn at the beginning of the record is part of every piece.
    #[must_use]
    pub fn apply(&self, record: &Record) -> Record {
        let Record { id, source, subset, upstream_id, turns, media, origin } = record;
        let turns = Conversation::of(turns).piece(self);
        let num_media = turns.iter().flat_map(Turn::visuals).count();
        Record {
            id: *id,
            source: Arc::clone(source),
            subset: Arc::clone(subset),
            upstream_id: upstream_id.clone(),
            turns,
            media: media.iter().take(num_media).cloned().collect(),
            origin: origin.clone(),
        }
    }
}

/// The turns of a record, of which pieces are made. Making one takes as long as the piece, and not as the whole.
pub(crate) struct Conversation<'r> {
    turns: &'r [Turn],
    /// The turn of each visual, in order.
    visuals: Vec<(usize, Visual)>,
}

impl<'r> Conversation<'r> {
    pub(crate) fn of(turns: &'r [Turn]) -> Self {
        let visuals_of = |(index, turn): (usize, &'r Turn)| turn.visuals().map(move |visual| (index, visual));
        Self { turns, visuals: turns.iter().enumerate().flat_map(visuals_of).collect() }
    }

    /// The turns of a piece, as [`TurnSplit::apply`] describes it.
    pub(crate) fn piece(&self, split: &TurnSplit) -> Vec<Turn> {
        let (first, num) = (split.first_turn as usize, split.num_turns as usize);
        let (before, rest) = self.turns.split_at(first.min(self.turns.len()));
        let mut turns: Vec<Turn> = before.iter().take_while(|turn| turn.role == Role::System).cloned().collect();
        let shown = self.visuals.iter().take_while(|(turn, _)| *turn < first);
        let mut shown: Vec<Part> = shown.map(|(_, visual)| Part::Visual(*visual)).collect();
        for turn in rest.iter().take(num) {
            let mut turn = turn.clone();
            if turn.role == Role::User && !shown.is_empty() {
                shown.append(&mut turn.parts);
                turn.parts = std::mem::take(&mut shown);
            }
            turns.push(turn);
        }
        turns
    }

    /// The pieces of the conversation, each as long as `fits` allows, which together have all of its turns. `None` if a single
    /// round does not fit, or if there is only one round.
    pub(crate) fn split(&self, mut fits: impl FnMut(&TurnSplit) -> bool) -> Option<Vec<TurnSplit>> {
        let starts = round_starts(self.turns);
        let ends = starts.iter().skip(1).copied().chain([self.turns.len()]);
        let rounds: Vec<(usize, usize)> = starts.iter().copied().zip(ends).collect();
        let split = |piece: usize, first: usize, end: usize| TurnSplit {
            piece: piece as u32,
            first_turn: first as u32,
            num_turns: (end - first) as u32,
        };
        let mut pieces: Vec<TurnSplit> = Vec::new();
        let mut rest = rounds.as_slice();
        while let Some(&(first, _)) = rest.first() {
            let num_fitting = num_first(rest, |&(_, end)| fits(&split(pieces.len(), first, end)));
            let (piece, later) = rest.split_at(num_fitting);
            let &(_, end) = piece.last()?;
            pieces.push(split(pieces.len(), first, end));
            rest = later;
        }
        (pieces.len() > 1).then_some(pieces)
    }
}

/// How many items at the beginning fit, where costs grow with every item. None is tried beyond twice as many.
fn num_first<T>(items: &[T], mut fits: impl FnMut(&T) -> bool) -> usize {
    let mut next = 1;
    while items.get(next - 1).is_some_and(&mut fits) {
        next *= 2;
    }
    let num_known = next / 2;
    let unknown = items.get(num_known..items.len().min(next - 1)).unwrap_or_default();
    num_known + unknown.partition_point(fits)
}

/// Where rounds begin: after the system turns at the beginning, and at each user turn that follows an answer.
fn round_starts(turns: &[Turn]) -> Vec<usize> {
    let first = turns.iter().take_while(|turn| turn.role == Role::System).count();
    let is_start =
        |pair: &[Turn]| matches!(pair, [before, turn] if before.role == Role::Assistant && turn.role == Role::User);
    let later = turns.windows(2).enumerate().filter(|(_, pair)| is_start(pair)).map(|(index, _)| index + 1);
    std::iter::once(first).chain(later.filter(|&start| start > first)).collect()
}

#[cfg(test)]
mod tests {
    use manyframe_core::{MediaKind, MediaLocation, MediaRef, Origin, Position, UncheckedRecord, VisualKind};
    use proptest::prelude::*;

    use super::*;

    fn record(num_rounds: usize) -> Record {
        let text = |role, text: String| Turn { role, parts: vec![Part::Text(text)] };
        let mut turns = vec![text(Role::System, "s".into())];
        for round in 0..num_rounds {
            turns.push(text(Role::User, format!("q{round}")));
            turns.push(text(Role::Assistant, format!("a{round}")));
        }
        turns[1].parts.insert(0, Part::Visual(Visual { kind: VisualKind::Image, media: 0 }));
        let medium =
            MediaRef { kind: MediaKind::Image, location: MediaLocation::Path("a.jpg".into()), clip: None, fps: None };
        let origin = Origin { file: "f".into(), position: Position::File };
        let (source, subset, media) = ("s".into(), "".into(), vec![medium]);
        Record::try_new(UncheckedRecord { source, subset, upstream_id: String::new(), turns, media, origin }).unwrap()
    }

    #[test]
    fn pieces_are_as_long_as_they_may_be_and_together_whole() {
        let record = record(5);
        let pieces = Conversation::of(&record.turns).split(|piece| piece.num_turns <= 4).unwrap();
        let ranges: Vec<_> = pieces.iter().map(|piece| (piece.piece, piece.first_turn, piece.num_turns)).collect();
        assert_eq!(ranges, [(0, 1, 4), (1, 5, 4), (2, 9, 2)]);
    }

    proptest! {
        #[test]
        fn pieces_fit_and_cover_every_turn_once(lengths in prop::collection::vec(1usize..50, 1..20), most in 1usize..120) {
            let record = record(lengths.len());
            let length = |piece: &TurnSplit| {
                let first = (piece.first_turn as usize - 1) / 2;
                lengths[first..first + piece.num_turns as usize / 2].iter().sum::<usize>()
            };
            match Conversation::of(&record.turns).split(|piece| length(piece) <= most) {
                Some(pieces) => {
                    prop_assert!(pieces.iter().all(|piece| length(piece) <= most));
                    // Without the system turn, and without what a later piece shows again.
                    let turns: Vec<Turn> = pieces.iter().flat_map(|piece| piece.apply(&record).turns.split_off(1)).collect();
                    let texts = |turns: &[Turn]| {
                        let parts = turns.iter().flat_map(|turn| turn.parts.clone());
                        parts.filter(|part| matches!(part, Part::Text(_))).collect::<Vec<_>>()
                    };
                    prop_assert_eq!(texts(&turns), texts(&record.turns[1..]));
                    for (number, piece) in pieces.iter().enumerate() {
                        prop_assert_eq!(piece.piece as usize, number);
                        prop_assert_eq!(piece.apply(&record).media.len(), 1);
                    }
                }
                None => prop_assert!(lengths.len() == 1 || lengths.iter().any(|&length| length > most) || lengths.iter().sum::<usize>() <= most),
            }
        }
    }

    #[test]
    fn of_a_long_conversation_no_more_is_tried_than_its_pieces_need() {
        let record = record(20_000);
        let mut num_turns_tried = 0;
        let pieces = Conversation::of(&record.turns).split(|piece| {
            num_turns_tried += piece.num_turns;
            piece.num_turns <= 14
        });
        assert_eq!(pieces.unwrap().len(), 2858);
        assert!(num_turns_tried < 10 * 40_000, "{num_turns_tried}");
    }

    #[test]
    fn a_round_that_does_not_fit_alone_cannot_be_split() {
        assert_eq!(Conversation::of(&record(3).turns).split(|piece| piece.first_turn != 3), None);
        assert_eq!(Conversation::of(&record(1).turns).split(|_| true), None);
    }

    #[test]
    fn later_pieces_begin_with_what_was_shown_before() {
        let turns = TurnSplit { piece: 1, first_turn: 3, num_turns: 2 }.apply(&record(2)).turns;
        assert_eq!(turns.len(), 3);
        assert_eq!(turns[0].role, Role::System);
        assert!(matches!(turns[1].parts[..], [Part::Visual(Visual { media: 0, .. }), Part::Text(_)]));
        assert_eq!(turns[2].parts, [Part::Text("a1".into())]);
        let first = TurnSplit { piece: 0, first_turn: 1, num_turns: 2 }.apply(&record(2));
        assert_eq!(first.turns, record(2).turns[..3]);
    }
}
