//! Where a text can be cut so that no token spans the cut.
//!
//! A BPE or Unigram model only ever makes tokens that are in its vocabulary. If no token of the vocabulary holds two
//! characters side by side, then no token spans a place where they meet, and the texts on both sides can be tokenised
//! on their own. In vocabularies that split words this holds before every run of spaces, around newlines and digits, and
//! in many other places; it is read off the vocabulary, not assumed.

/// Which pairs of neighbouring characters some token holds. All characters beyond ASCII count as one.
#[derive(Clone)]
pub(super) struct PairTable {
    /// `CLASSES` rows of `CLASSES`: is there a token with a character of the row, then one of the column?
    is_joined: Vec<bool>,
}

/// Where texts are cut.
#[derive(Debug, Clone)]
pub(super) enum Cuts {
    /// Where two characters meet that no token holds side by side.
    Pairs(PairTable),
    /// Before each run of spaces that follows something else: for byte-level models, whose pre-tokenizer starts a new
    /// word there.
    Spaces,
}

/// ASCII, and everything else.
const CLASSES: usize = 129;

impl PairTable {
    pub(super) fn from_tokens<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Self {
        let mut is_joined = vec![false; CLASSES * CLASSES];
        for token in tokens {
            for (left, right) in token.chars().zip(token.chars().skip(1)) {
                if let Some(entry) = is_joined.get_mut(class(left) * CLASSES + class(right)) {
                    *entry = true;
                }
            }
        }
        Self { is_joined }
    }

    fn is_joined(&self, left: usize, right: usize) -> bool {
        self.is_joined.get(left * CLASSES + right).copied().unwrap_or(true)
    }
}

impl std::fmt::Debug for PairTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let num_joined = self.is_joined.iter().filter(|&&joined| joined).count();
        write!(f, "PairTable({num_joined} of {} pairs)", self.is_joined.len())
    }
}

impl Cuts {
    /// The text up to the first cut, and the rest. The first part is empty only if the text is.
    pub(super) fn split_word<'t>(&self, text: &'t str) -> (&'t str, &'t str) {
        let mut chars = text.char_indices();
        let Some((_, mut last)) = chars.next() else { return ("", "") };
        match self {
            Self::Pairs(pairs) => {
                let mut left = class(last);
                for (index, c) in chars {
                    let right = class(c);
                    if !pairs.is_joined(left, right) {
                        return text.split_at(index);
                    }
                    left = right;
                }
            }
            Self::Spaces => {
                for (index, c) in chars {
                    if c == ' ' && !last.is_whitespace() {
                        return text.split_at(index);
                    }
                    last = c;
                }
            }
        }
        (text, "")
    }
}

/// The class of a character. The mark that stands for a space in vocabularies (U+2581) is a space.
fn class(c: char) -> usize {
    match c {
        '\u{2581}' => ' ' as usize,
        _ if c.is_ascii() => c as usize,
        _ => CLASSES - 1,
    }
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
    }
}
