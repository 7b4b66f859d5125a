//! What an over-long record gives up so that it fits: fewer frames, fewer sub-images, or its turns in several samples.
//!
//! Decided once, by the planner; the worker applies what was decided. Nothing is cut silently, nothing through an image or
//! past the last answer.

use std::num::NonZeroU32;

use manyframe_core::{Part, Record, Role, Turn};
use serde::{Deserialize, Serialize};

/// What a record gives up. Nothing, by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fit {
    /// Most frames of each of its videos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_frames: Option<NonZeroU32>,
    /// Most sub-images of each of its tiled images, the overview not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tiles: Option<NonZeroU32>,
    /// The turns of it that are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub piece: Option<Piece>,
}

/// Some consecutive turns of a record that is delivered as several samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Its number among the pieces of the record, from 0.
    pub number: u32,
    /// Its first turn, from 0.
    pub first_turn: u32,
    /// How many turns it has.
    pub num_turns: u32,
}

impl Fit {
    /// Whether the record is delivered whole.
    pub fn is_whole(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it shows fewer frames or sub-images than it has.
    pub(crate) fn is_shortened(&self) -> bool {
        self.max_frames.is_some() || self.max_tiles.is_some()
    }

    /// The record without the turns that are given up; frames and sub-images are given up when they are made.
    #[must_use]
    pub fn cut(&self, record: Record) -> Record {
        match self.piece {
            Some(piece) => piece.cut(record),
            None => record,
        }
    }

    /// What is given up, in words; empty if nothing is.
    pub fn in_words(&self) -> String {
        let frames = self.max_frames.map(|most| format!("at most {most} frames a video"));
        let tiles = self.max_tiles.map(|most| format!("at most {most} sub-images an image"));
        let piece = self.piece.map(|piece| {
            let (first, last) = (piece.first_turn + 1, piece.first_turn + piece.num_turns);
            format!("piece {} of the conversation: turns {first} to {last}", piece.number + 1)
        });
        [frames, tiles, piece].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

impl Piece {
    /// The piece as a record of its own, under the id of the whole.
    ///
    /// Questions of later pieces are about visuals that were shown before: these stand at the beginning of the piece's first
    /// user turn. A system turn at the beginning of the record belongs to every piece.
    #[must_use]
    pub fn cut(&self, mut record: Record) -> Record {
        record.turns = self.turns(&record.turns);
        let num_media = record.visuals().count();
        record.media.truncate(num_media);
        record
    }

    fn turns(&self, all: &[Turn]) -> Vec<Turn> {
        let (first, num) = (self.first_turn as usize, self.num_turns as usize);
        let (before, rest) = all.split_at(first.min(all.len()));
        let mut turns: Vec<Turn> = before.iter().take_while(|turn| turn.role == Role::System).cloned().collect();
        let shown = before.iter().flat_map(|turn| &turn.parts).filter(|part| matches!(part, Part::Visual(_)));
        let mut shown: Vec<Part> = shown.cloned().collect();
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
}

/// The pieces of a record, each as long as `fits` allows, together all of its turns. `None` if a single round does not fit,
/// or if there is only one round.
pub(crate) fn split_turns(record: &Record, mut fits: impl FnMut(&Piece) -> bool) -> Option<Vec<Piece>> {
    let starts = round_starts(&record.turns);
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([record.turns.len()]).collect();
    let piece = |number: usize, first: usize, end: usize| Piece {
        number: number as u32,
        first_turn: first as u32,
        num_turns: (end - first) as u32,
    };
    let mut pieces: Vec<Piece> = Vec::new();
    let mut round = 0;
    while round < starts.len() {
        let first = *starts.get(round)?;
        let fitting = |&end: &usize| fits(&piece(pieces.len(), first, end));
        // Costs grow with every round: the longest piece that fits is found by halving.
        let num_fitting = ends.get(round..)?.partition_point(fitting);
        let last = round.checked_add(num_fitting).filter(|_| num_fitting > 0)?;
        pieces.push(piece(pieces.len(), first, *ends.get(last - 1)?));
        round = last;
    }
    (pieces.len() > 1).then_some(pieces)
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
    use manyframe_core::{MediaKind, MediaLocation, MediaRef, Origin, Position, UncheckedRecord, Visual, VisualKind};
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
        let pieces = split_turns(&record, |piece| piece.num_turns <= 4).unwrap();
        let ranges: Vec<_> = pieces.iter().map(|piece| (piece.number, piece.first_turn, piece.num_turns)).collect();
        assert_eq!(ranges, [(0, 1, 4), (1, 5, 4), (2, 9, 2)]);
    }

    proptest! {
        #[test]
        fn pieces_fit_and_cover_every_turn_once(lengths in prop::collection::vec(1usize..50, 1..20), most in 1usize..120) {
            let record = record(lengths.len());
            let length = |piece: &Piece| {
                let first = (piece.first_turn as usize - 1) / 2;
                lengths[first..first + piece.num_turns as usize / 2].iter().sum::<usize>()
            };
            match split_turns(&record, |piece| length(piece) <= most) {
                Some(pieces) => {
                    prop_assert!(pieces.iter().all(|piece| length(piece) <= most));
                    // Without the system turn, and without what a later piece shows again.
                    let turns: Vec<Turn> = pieces.iter().flat_map(|piece| piece.cut(record.clone()).turns.split_off(1)).collect();
                    let texts = |turns: &[Turn]| {
                        let parts = turns.iter().flat_map(|turn| turn.parts.clone());
                        parts.filter(|part| matches!(part, Part::Text(_))).collect::<Vec<_>>()
                    };
                    prop_assert_eq!(texts(&turns), texts(&record.turns[1..]));
                    for (number, piece) in pieces.iter().enumerate() {
                        prop_assert_eq!(piece.number as usize, number);
                        prop_assert_eq!(piece.cut(record.clone()).media.len(), 1);
                    }
                }
                None => prop_assert!(lengths.len() == 1 || lengths.iter().any(|&length| length > most) || lengths.iter().sum::<usize>() <= most),
            }
        }
    }

    #[test]
    fn a_round_that_does_not_fit_alone_cannot_be_split() {
        assert_eq!(split_turns(&record(3), |piece| piece.first_turn != 3), None);
        assert_eq!(split_turns(&record(1), |_| true), None);
    }

    #[test]
    fn later_pieces_begin_with_what_was_shown_before() {
        let turns = Piece { number: 1, first_turn: 3, num_turns: 2 }.cut(record(2)).turns;
        assert_eq!(turns.len(), 3);
        assert_eq!(turns[0].role, Role::System);
        assert!(matches!(turns[1].parts[..], [Part::Visual(Visual { media: 0, .. }), Part::Text(_)]));
        assert_eq!(turns[2].parts, [Part::Text("a1".into())]);
        let first = Piece { number: 0, first_turn: 1, num_turns: 2 }.cut(record(2));
        assert_eq!(first.turns, record(2).turns[..3]);
    }
}
