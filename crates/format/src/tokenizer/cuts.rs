//! Where a text can be cut so that no token spans the cut.
//!
//! A BPE or Unigram model only ever makes tokens that are in its vocabulary. If no token of the vocabulary holds two
//! characters side by side, then no token spans a place where they meet, and the texts on both sides can be tokenised
//! on their own. In vocabularies that split words this holds before every run of spaces, around newlines and digits, and
//! in many other places; it is read off the vocabulary, not assumed.

/// Which pairs of neighbouring characters some token holds. All characters beyond ASCII count as one.
#[derive(Clone)]
pub(super) struct PairTable {
    /// Is there a token with a character of the row's class, then one of the column's? As large as a byte can point.
    is_joined: Box<[[bool; 256]; 256]>,
}

/// Where texts are cut.
#[derive(Debug, Clone)]
pub(super) enum Cuts {
    /// Where two characters meet that no token holds side by side.
    Pairs(PairTable),
    /// Before each run of spaces that follows something else: where GPT-2's pre-tokenizer starts a new word.
    Spaces,
    /// There, and after each newline that something other than white space follows: where the pre-tokenizers of GPT-4,
    /// Llama 3 and Qwen start one.
    SpacesAndLines,
}

impl PairTable {
    pub(super) fn from_tokens<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Self {
        let mut is_joined = Box::new([[false; 256]; 256]);
        for token in tokens {
            for (left, right) in token.chars().zip(token.chars().skip(1)) {
                is_joined[class(left)][class(right)] = true;
            }
        }
        Self { is_joined }
    }
}

impl std::fmt::Debug for PairTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let num_joined = self.is_joined.as_flattened().iter().filter(|&&joined| joined).count();
        write!(f, "PairTable({num_joined} pairs)")
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
                    if !pairs.is_joined[left][right] {
                        return text.split_at(index);
                    }
                    left = right;
                }
            }
            Self::Spaces | Self::SpacesAndLines => {
                let cuts_lines = matches!(self, Self::SpacesAndLines);
                for (index, c) in chars {
                    let starts_spaces = c == ' ' && !last.is_whitespace();
                    let starts_line = cuts_lines && last == '\n' && !c.is_whitespace();
                    if starts_spaces || starts_line {
                        return text.split_at(index);
                    }
                    last = c;
                }
            }
        }
        (text, "")
    }
}

/// The class of a character: below 256. The mark that stands for a space in vocabularies (U+2581) is a space.
fn class(c: char) -> usize {
    match u8::try_from(c) {
        Ok(ascii) if ascii.is_ascii() => usize::from(ascii),
        _ if c == '\u{2581}' => usize::from(b' '),
        _ => 128,
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
        assert_eq!(words(&Cuts::SpacesAndLines, "a\n\nb\n c"), ["a\n\n", "b\n c"]);
    }
}
