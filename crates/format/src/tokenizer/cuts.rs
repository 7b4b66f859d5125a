//! Where a text can be cut so that no token spans the cut.
//!
//! A BPE model only makes tokens that are in its vocabulary. If no token of the vocabulary contains two characters side by
//! side, then no token spans a position where they meet, and the texts on both sides can be tokenized on their own. In
//! vocabularies that split words this is true before every run of spaces, around newlines and digits, and in many other
//! positions. It is derived from the vocabulary, not assumed.

/// The pairs of neighbouring characters that some token contains. All characters beyond ASCII count as one.
#[derive(Clone)]
pub(super) struct PairTable {
    /// By the last byte of the first character and the first byte of the second. The bytes within a character are joined.
    is_joined: Box<[[bool; 256]; 256]>,
}

/// Where texts are cut.
#[derive(Debug, Clone)]
pub(super) enum Cuts {
    /// Where two characters meet that no token contains side by side.
    Pairs(PairTable),
    /// Before each run of spaces that follows something else: where GPT-2's pre-tokenizer starts a new word.
    Spaces,
    /// As [`Self::Spaces`], and after each newline that is followed by something other than white space: where the
    /// pre-tokenizers of Llama 3 and Qwen start a word.
    SpacesAndLines,
}

/// The class of all characters beyond ASCII, and of DEL. The class of any other character is its code.
const BEYOND_ASCII: usize = 127;

impl PairTable {
    #[expect(clippy::indexing_slicing, reason = "classes are at most that of characters beyond ASCII")]
    pub(super) fn from_tokens<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Self {
        // A bit per class of the right character, by the class of the left one.
        let mut joined_classes = [0_u128; BEYOND_ASCII + 1];
        for token in tokens {
            for (left, right) in token.chars().zip(token.chars().skip(1)) {
                for left in [class(left), spelled(left)] {
                    joined_classes[left] |= (1 << class(right)) | (1 << spelled(right));
                }
            }
        }
        #[expect(clippy::large_stack_arrays, reason = "64 KiB, once per tokenizer")]
        let mut is_joined = Box::new([[true; 256]; 256]);
        for (left, row) in is_joined.iter_mut().enumerate() {
            for (right, entry) in row.iter_mut().enumerate().filter(|(right, _)| !(0x80..0xC0).contains(right)) {
                *entry = joined_classes[left.min(BEYOND_ASCII)] >> right.min(BEYOND_ASCII) & 1 == 1;
            }
        }
        Self { is_joined }
    }

    /// Whether some token contains a character that ends with `left` before one that begins with `right`.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the table has an element for every two bytes")]
    fn joins(&self, left: u8, right: u8) -> bool {
        self.is_joined[usize::from(left)][usize::from(right)]
    }
}

impl std::fmt::Debug for PairTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let num_joined = self.is_joined.as_flattened().iter().filter(|&&joined| joined).count();
        write!(f, "PairTable({num_joined} pairs)")
    }
}

impl Cuts {
    /// The first word of a text, and the rest. The word is empty only if the text is.
    pub(super) fn split_word<'t>(&self, text: &'t str) -> (&'t str, &'t str) {
        text.split_at(self.word_len(text))
    }

    /// The length of the first word of a text in bytes. 0 only if the text is empty.
    pub(super) fn word_len(&self, text: &str) -> usize {
        let cut = match self {
            Self::Pairs(pairs) => {
                let mut neighbours = text.as_bytes().array_windows();
                neighbours.position(|&[left, right]| !pairs.joins(left, right))
            }
            Self::Spaces => position_between(text, starts_spaces),
            Self::SpacesAndLines => {
                position_between(text, |last, c| starts_spaces(last, c) || (last == '\n' && !c.is_whitespace()))
            }
        };
        cut.map_or(text.len(), |last_byte| last_byte + 1)
    }

    /// Whether a space or line end starts a word after a character that ends with byte `last`. False where that depends on
    /// the whole character, or on what follows.
    pub(super) fn are_before(&self, stop: u8, last: u8) -> bool {
        match self {
            Self::Pairs(pairs) => !pairs.joins(last, stop),
            Self::Spaces | Self::SpacesAndLines => last.is_ascii() && starts_spaces(char::from(last), char::from(stop)),
        }
    }
}

/// The byte before the first position where two characters meet that are to be separated.
fn position_between(text: &str, is_cut: impl Fn(char, char) -> bool) -> Option<usize> {
    let mut pairs = text.chars().zip(text.char_indices().skip(1));
    pairs.find(|&(last, (_, c))| is_cut(last, c)).map(|(_, (index, _))| index - 1)
}

fn starts_spaces(last: char, c: char) -> bool {
    c == ' ' && !last.is_whitespace()
}

/// The class of a character of a token as it appears in texts: U+2581 is a space.
fn class(c: char) -> usize {
    if c == '\u{2581}' { usize::from(b' ') } else { spelled(c) }
}

/// The class of a character as it is written. Texts may contain U+2581 itself.
fn spelled(c: char) -> usize {
    (c as usize).min(BEYOND_ASCII)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<'t>(cuts: &Cuts, mut text: &'t str) -> Vec<&'t str> {
        let mut words = Vec::new();
        while !text.is_empty() {
            let (word, rest) = cuts.split_word(text);
            words.push(word);
            text = rest;
        }
        words
    }

    #[test]
    fn a_cut_falls_where_no_token_has_the_pair() {
        let cuts = Cuts::Pairs(PairTable::from_tokens(["▁a", "ab", "▁▁", "b.", "éa", "日本"]));
        assert_eq!(words(&cuts, "ab ab  ab.b"), ["ab", " ab", "  ab.", "b"]);
        assert_eq!(words(&cuts, "a\n\nab"), ["a", "\n", "\n", "ab"]);
        assert_eq!(words(&cuts, "▁ab▁ ab"), ["▁ab", "▁ ab"]);
        assert_eq!(words(&cuts, "aé日éa"), ["a", "é日éa"]);
    }

    #[test]
    fn a_byte_level_word_starts_with_its_spaces() {
        assert_eq!(words(&Cuts::Spaces, "a b  c\n d\u{3000} e"), ["a", " b", "  c\n d\u{3000} e"]);
        assert_eq!(words(&Cuts::SpacesAndLines, "a\n\nb\n c"), ["a\n\n", "b\n c"]);
    }
}
