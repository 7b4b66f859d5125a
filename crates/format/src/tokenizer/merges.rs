//! The pieces of a SentencePiece model of the type BPE, and the merging of texts to pieces (`bpe_model.cc` of sentencepiece).
//!
//! ```text
//! l o w e r     each character is a symbol
//! l ow e r      of all neighbours that are a piece together, those whose piece has the best score are joined; the left ones first
//! l ow er
//! low er        until no neighbours are a piece. A symbol that is none is its bytes, or unknown
//! ```
//!
//! There is no table of merges: neighbours are looked up by their text, so that a model is ready as soon as it is read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

/// The pieces of a model that come from text, except for those that its user defined.
#[derive(Debug)]
pub(super) struct Merges {
    pieces: FxHashMap<Box<str>, Piece>,
    /// Bytes of the longest piece.
    max_bytes: usize,
    fallback: Fallback,
}

/// What becomes of a character that is no piece.
#[derive(Debug)]
pub(super) enum Fallback {
    /// The ids of its bytes, by byte.
    Bytes(Box<[u32; 256]>),
    /// One token for it and all such characters beside it.
    Unknown(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    /// Ascends where scores descend.
    rank: u32,
    id: u32,
}

/// Tokens of words, and what is kept in memory from one word to the next.
#[derive(Debug, Default)]
pub(super) struct Merging {
    /// The tokens of all words.
    pub(super) ids: Vec<u32>,
    symbols: Vec<Symbol>,
    candidates: BinaryHeap<Reverse<Candidate>>,
}

/// A part of a word, and its neighbours. One that was joined to the symbol before it has no bytes.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: u32,
    num_bytes: u32,
    /// `NONE` before the first symbol.
    before: u32,
    /// The number of symbols after the last one.
    after: u32,
    /// Its id, if it was made of others.
    id: Option<u32>,
}

const NONE: u32 = u32::MAX;

/// Two neighbours that are a piece together, or were when they were found. What is joined first is smallest: the best score, and of
/// equal ones the left one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    left: u32,
    num_bytes: u32,
    id: u32,
}

impl Merges {
    /// Pieces with their scores and ids. Of equal ones the last counts.
    pub(super) fn new<'a>(pieces: impl IntoIterator<Item = (&'a str, f32, u32)>, fallback: Fallback) -> Self {
        let pieces: FxHashMap<Box<str>, Piece> =
            pieces.into_iter().map(|(text, score, id)| (text.into(), Piece { rank: rank(score), id })).collect();
        let max_bytes = pieces.keys().map(|text| text.len()).max().unwrap_or(0);
        Self { pieces, max_bytes, fallback }
    }

    /// Whether there is no piece but for bytes.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Appends the tokens of a word of less than 4 GiB, in which spaces are marked.
    pub(super) fn encode(&self, word: &str, merging: &mut Merging) {
        merging.start(word);
        for left in 0..merging.symbols.len() as u32 {
            self.propose(word, left, merging);
        }
        while let Some(Reverse(candidate)) = merging.candidates.pop() {
            if let Some(before) = merging.join(candidate) {
                self.propose(word, before, merging);
                self.propose(word, candidate.left, merging);
            }
        }
        let Merging { ids, symbols, .. } = merging;
        for symbol in symbols.iter().filter(|symbol| symbol.num_bytes > 0) {
            match symbol.id {
                Some(id) => ids.push(id),
                None => self.push_char(symbol.text(word), ids),
            }
        }
    }

    /// Notes a symbol and the next one as candidates, if they are a piece together.
    fn propose(&self, word: &str, left: u32, merging: &mut Merging) {
        let Some((symbol, next)) = merging.pair(left) else { return };
        let num_bytes = symbol.num_bytes + next.num_bytes;
        if num_bytes as usize <= self.max_bytes
            && let Some(&Piece { rank, id }) = self.pieces.get(Symbol { num_bytes, ..symbol }.text(word))
        {
            merging.candidates.push(Reverse(Candidate { rank, left, num_bytes, id }));
        }
    }

    #[expect(clippy::indexing_slicing, reason = "there is an id for every byte")]
    fn push_char(&self, char: &str, ids: &mut Vec<u32>) {
        match (self.pieces.get(char), &self.fallback) {
            (Some(piece), _) => ids.push(piece.id),
            (None, Fallback::Bytes(of_bytes)) => ids.extend(char.bytes().map(|byte| of_bytes[usize::from(byte)])),
            (None, Fallback::Unknown(id)) if ids.last() == Some(id) => {}
            (None, Fallback::Unknown(id)) => ids.push(*id),
        }
    }
}

#[expect(clippy::indexing_slicing, reason = "symbols refer to each other")]
impl Merging {
    /// Makes each character of a word a symbol.
    fn start(&mut self, word: &str) {
        self.symbols.clear();
        self.candidates.clear();
        self.symbols.extend((0..).zip(word.char_indices()).map(|(number, (start, char)): (u32, _)| Symbol {
            start: start as u32,
            num_bytes: char.len_utf8() as u32,
            before: number.checked_sub(1).unwrap_or(NONE),
            after: number + 1,
            id: None,
        }));
    }

    /// A symbol and the one after it.
    fn pair(&self, left: u32) -> Option<(Symbol, Symbol)> {
        let symbol = *self.symbols.get(left as usize)?;
        Some((symbol, *self.symbols.get(symbol.after as usize)?))
    }

    /// Joins two neighbours; returns the symbol before them, which may be none. `None` if one of the two is not any more what it was.
    fn join(&mut self, candidate: Candidate) -> Option<u32> {
        let (left, right) = self.pair(candidate.left)?;
        if left.num_bytes == 0 || left.num_bytes + right.num_bytes != candidate.num_bytes {
            return None;
        }
        let (num_bytes, id) = (candidate.num_bytes, Some(candidate.id));
        self.symbols[candidate.left as usize] = Symbol { num_bytes, id, after: right.after, ..left };
        self.symbols[left.after as usize].num_bytes = 0;
        if let Some(next) = self.symbols.get_mut(right.after as usize) {
            next.before = candidate.left;
        }
        Some(left.before)
    }
}

impl Symbol {
    fn text(self, word: &str) -> &str {
        let start = self.start as usize;
        word.get(start..start + self.num_bytes as usize).unwrap_or_default()
    }
}

/// A number that is smaller for larger scores. The two zeros are equal.
fn rank(score: f32) -> u32 {
    let score = score + 0.0;
    let bits = score.to_bits();
    let ascending = if score.is_sign_negative() { !bits } else { bits | 1 << 31 };
    !ascending
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition of merging, taken literally.
    fn encode_literally(pieces: &[(String, f32)], text: &str) -> Vec<String> {
        let mut symbols: Vec<String> = text.chars().map(String::from).collect();
        loop {
            let joined = symbols.array_windows().map(|[left, right]| [left.as_str(), right].concat());
            let scored = joined.enumerate().filter_map(|(at, joined)| {
                let piece = pieces.iter().position(|(text, _)| *text == joined)?;
                Some((pieces[piece].1, piece, at, joined))
            });
            let order = |a: &(f32, usize, usize, String), b: &(f32, usize, usize, String)| {
                b.0.total_cmp(&a.0).then(a.2.cmp(&b.2))
            };
            let Some((_, _, at, joined)) = scored.min_by(order) else { return symbols };
            symbols.splice(at..at + 2, [joined]);
        }
    }

    fn encoded(merges: &Merges, text: &str) -> Vec<u32> {
        let mut merging = Merging::default();
        merges.encode(text, &mut merging);
        merging.ids
    }

    proptest! {
        #[test]
        fn texts_are_merged_as_defined(
            texts in prop::collection::btree_set("[abé]{1,5}", 1..40),
            scores in prop::collection::vec(-4_i8..4, 40),
            text in "[abéx]{0,60}",
        ) {
            let pieces: Vec<(String, f32)> = texts.into_iter().zip(scores.into_iter().map(f32::from)).collect();
            let with_ids = pieces.iter().zip(0..).map(|((text, score), id)| (text.as_str(), *score, id));
            let of_bytes = Box::new(std::array::from_fn(|byte| 1000 + byte as u32));
            let merges = Merges::new(with_ids, Fallback::Bytes(of_bytes));
            let expected: Vec<u32> = encode_literally(&pieces, &text)
                .iter()
                .flat_map(|symbol| match pieces.iter().position(|(text, _)| text == symbol) {
                    Some(id) => vec![id as u32],
                    None => symbol.bytes().map(|byte| 1000 + u32::from(byte)).collect(),
                })
                .collect();
            prop_assert_eq!(encoded(&merges, &text), expected);
        }

        #[test]
        fn ranks_are_the_order_of_scores(left: f32, right: f32) {
            prop_assert_eq!(rank(left).cmp(&rank(right)), (right + 0.0).total_cmp(&(left + 0.0)));
        }
    }

    #[test]
    fn unknown_neighbours_are_one_token() {
        let merges = Merges::new([("a", 0.0, 1)], Fallback::Unknown(0));
        assert_eq!(encoded(&merges, "éxaxa"), [0, 1, 0, 1]);
        assert!(encoded(&merges, "").is_empty());
    }

    #[test]
    fn of_equal_scores_the_left_one_is_joined() {
        let merges = Merges::new([("bc", -0.0, 0), ("ab", 0.0, 1), ("a", 0.0, 2), ("c", 0.0, 3)], Fallback::Unknown(9));
        assert_eq!(encoded(&merges, "abc"), [1, 3]);
    }

    #[test]
    fn a_merge_that_is_outdated_is_not_made() {
        // After "bc", neither "ab" nor "cd" is there any more.
        let pieces = [
            ("a", 0.0, 0),
            ("b", 0.0, 1),
            ("c", 0.0, 2),
            ("d", 0.0, 3),
            ("bc", 3.0, 4),
            ("ab", 2.0, 5),
            ("cd", 1.0, 6),
        ];
        let merges = Merges::new(pieces, Fallback::Unknown(9));
        assert_eq!(encoded(&merges, "abcd"), [0, 4, 3]);
        assert_eq!(encoded(&merges, "abd"), [5, 3]);
    }
}
