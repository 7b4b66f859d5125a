//! Which part of a text each token of a SentencePiece model represents.
//!
//! The library returns ids only. In a model that leaves its text as it is, a token has as many characters as its piece, a
//! byte piece is one byte, and the unknown piece is the characters that no piece spells. So ids and text are walked side by
//! side, and nothing is tokenized a second time.

use rustc_hash::FxHashSet;

use super::model::TokenSpan;
use super::sentencepiece_file::Type;

/// What the pieces of a model represent.
#[derive(Debug)]
pub(super) struct Extents {
    /// By id.
    pieces: Vec<PieceExtent>,
    /// The characters that are pieces by themselves. Any other character is unknown if there are no byte pieces.
    chars: FxHashSet<char>,
}

/// A text with the prefix that the model puts before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct PrefixedText<'t> {
    pub(super) prefix: &'t str,
    pub(super) text: &'t str,
}

#[derive(Debug, Clone, Copy)]
struct PieceExtent {
    /// Bytes of the piece as it is spelled.
    num_bytes: usize,
    unit: ExtentUnit,
}

#[derive(Debug, Clone, Copy)]
enum ExtentUnit {
    /// This many characters. U+2581 represents a space.
    Chars(usize),
    /// One byte of a character.
    Byte,
    /// All characters up to the next one that is known.
    Unknown,
}

impl Extents {
    /// The extents of all pieces of a model, in the order of their ids.
    pub(super) fn from_pieces<'a>(pieces: impl IntoIterator<Item = (&'a str, Type)>) -> Self {
        let mut chars: FxHashSet<char> = [' '].into_iter().collect();
        let pieces = pieces.into_iter().map(|(text, kind)| {
            let unit = match kind {
                Type::Byte => ExtentUnit::Byte,
                Type::Unknown => ExtentUnit::Unknown,
                _ => ExtentUnit::Chars(text.chars().count()),
            };
            if let (ExtentUnit::Chars(1), Some(char)) = (unit, text.chars().next()) {
                chars.insert(char);
            }
            PieceExtent { num_bytes: text.len(), unit }
        });
        Self { pieces: pieces.collect(), chars }
    }

    /// Bytes of a piece as it is spelled. `None` if it is none.
    pub(super) fn num_bytes(&self, id: u32) -> Option<usize> {
        self.pieces.get(id as usize).map(|piece| piece.num_bytes)
    }

    /// The tokens of a text, with their spans in it. The prefix has no bytes there.
    pub(super) fn spans(&self, ids: &[u32], input: PrefixedText<'_>) -> impl Iterator<Item = TokenSpan> {
        let in_text = move |position: usize| position.saturating_sub(input.prefix.len()).min(input.text.len());
        let mut position = 0;
        ids.iter().map(move |&id| {
            let start = position;
            position += self.len_at(id, input, position);
            TokenSpan { id, start: in_text(start), end: in_text(position) }
        })
    }

    /// How many bytes a token takes that begins at this position of prefix and text.
    fn len_at(&self, id: u32, input: PrefixedText<'_>, position: usize) -> usize {
        // Inside a character that is cut into bytes there is no text to read; all its tokens are bytes.
        let of_prefix = input.prefix.get(position..).unwrap_or_default();
        let of_text = input.text.get(position.saturating_sub(input.prefix.len())..).unwrap_or_default();
        let chars = || of_prefix.chars().chain(of_text.chars());
        match self.piece(id).unit {
            ExtentUnit::Byte => 1,
            ExtentUnit::Chars(num_chars) => chars().take(num_chars).map(char::len_utf8).sum(),
            ExtentUnit::Unknown => chars().take_while(|char| !self.chars.contains(char)).map(char::len_utf8).sum(),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "ids of a model are those of its pieces")]
    fn piece(&self, id: u32) -> PieceExtent {
        self.pieces[id as usize]
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

    fn spans(ids: &[u32], prefix: &str, text: &str) -> Vec<(usize, usize)> {
        let extents = Extents::from_pieces(PIECES);
        extents.spans(ids, PrefixedText { prefix, text }).map(|span| (span.start, span.end)).collect()
    }

    #[test]
    fn a_token_takes_the_characters_of_its_piece() {
        assert_eq!(spans(&[5, 4, 2, 3], "", "aé a \u{2581}"), [(0, 3), (3, 5), (5, 6), (6, 9)]);
    }

    #[test]
    fn each_byte_of_a_character_has_a_span() {
        assert_eq!(spans(&[3, 1, 1, 3], "", "aña"), [(0, 1), (1, 2), (2, 3), (3, 4)]);
    }

    #[test]
    fn the_prefix_takes_nothing_of_the_text() {
        assert_eq!(spans(&[2, 3], " ", "a"), [(0, 0), (0, 1)]);
        assert_eq!(spans(&[4, 3], " ", "aa"), [(0, 1), (1, 2)]);
    }

    #[test]
    fn unknown_characters_are_one_token() {
        assert_eq!(spans(&[3, 0, 3], "", "a日本a"), [(0, 1), (1, 7), (7, 8)]);
    }
}
