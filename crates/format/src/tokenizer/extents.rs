//! Which part of a text each token of a SentencePiece model stands for.
//!
//! The library gives ids only. A model that leaves its text as it is makes a token of as many characters as its piece has,
//! a byte piece of one byte, and the unknown piece of the characters that no piece spells: so ids and text are walked side
//! by side, and nothing is tokenised a second time.

use rustc_hash::FxHashSet;
use sentencepiece_model::Type;

use super::TokenSpan;

/// What the pieces of a model stand for.
#[derive(Debug)]
pub(super) struct Extents {
    /// By id.
    pieces: Vec<Piece>,
    /// The characters that have a piece of their own. Any other is unknown, where there are no byte pieces.
    chars: FxHashSet<char>,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    num_bytes: usize,
    extent: Extent,
}

#[derive(Debug, Clone, Copy)]
enum Extent {
    /// As many characters; U+2581 stands for a space, too.
    Chars(usize),
    /// One byte of a character.
    Byte,
    /// All characters up to the next that is known.
    Unknown,
}

impl Extents {
    /// The extents of all pieces of a model, in the order of their ids.
    pub(super) fn from_pieces<'a>(pieces: impl IntoIterator<Item = (&'a str, Type)>) -> Self {
        let mut chars: FxHashSet<char> = [' '].into_iter().collect();
        let pieces = pieces.into_iter().map(|(text, kind)| {
            let extent = match kind {
                Type::Byte => Extent::Byte,
                Type::Unknown => Extent::Unknown,
                _ => Extent::Chars(text.chars().count()),
            };
            if let (Extent::Chars(1), Some(char)) = (extent, text.chars().next()) {
                chars.insert(char);
            }
            Piece { num_bytes: text.len(), extent }
        });
        Self { pieces: pieces.collect(), chars }
    }

    /// Bytes of a piece as it is written.
    pub(super) fn num_bytes(&self, id: u32) -> usize {
        self.pieces.get(id as usize).map_or(0, |piece| piece.num_bytes)
    }

    /// The tokens of a prefix and a text, with their places in the text.
    pub(super) fn place(&self, ids: &[u32], prefix: &str, text: &str) -> impl Iterator<Item = TokenSpan> {
        let at = |position: usize| position.saturating_sub(prefix.len()).min(text.len());
        let mut position = 0;
        ids.iter().map(move |&id| {
            let start = position;
            position += self.len_of(id, prefix, text, position);
            TokenSpan { id, start: at(start), end: at(position) }
        })
    }

    /// How many bytes of prefix and text a token takes that begins at a byte of them.
    fn len_of(&self, id: u32, prefix: &str, text: &str, position: usize) -> usize {
        let before = prefix.get(position..).unwrap_or_default();
        let rest = text.get(position.saturating_sub(prefix.len())..).unwrap_or_default();
        let chars = || before.chars().chain(rest.chars());
        let extent = self.pieces.get(id as usize).map_or(Extent::Unknown, |piece| piece.extent);
        match extent {
            Extent::Byte => 1,
            Extent::Chars(num_chars) => chars().take(num_chars).map(char::len_utf8).sum(),
            Extent::Unknown => chars().take_while(|char| !self.chars.contains(char)).map(char::len_utf8).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: [(&str, Type); 6] = [
        ("<unk>", Type::Unknown),
        ("<0xC3>", Type::Byte),
        ("\u{2581}", Type::Normal),
        ("a", Type::Normal),
        ("\u{2581}a", Type::Normal),
        ("aé", Type::Normal),
    ];

    fn places(ids: &[u32], prefix: &str, text: &str) -> Vec<(usize, usize)> {
        Extents::from_pieces(PIECES).place(ids, prefix, text).map(|span| (span.start, span.end)).collect()
    }

    #[test]
    fn a_token_takes_the_characters_of_its_piece() {
        assert_eq!(places(&[5, 4, 2, 3], "", "aé a \u{2581}"), [(0, 3), (3, 5), (5, 6), (6, 9)]);
    }

    #[test]
    fn bytes_of_a_character_are_parted() {
        assert_eq!(places(&[3, 1, 1, 3], "", "aña"), [(0, 1), (1, 2), (2, 3), (3, 4)]);
    }

    #[test]
    fn the_prefix_takes_nothing_of_the_text() {
        assert_eq!(places(&[2, 3], " ", "a"), [(0, 0), (0, 1)]);
        assert_eq!(places(&[4, 3], " ", "aa"), [(0, 1), (1, 2)]);
    }

    #[test]
    fn unknown_characters_are_one_token() {
        assert_eq!(places(&[3, 0, 3], "", "a日本a"), [(0, 1), (1, 7), (7, 8)]);
    }
}
