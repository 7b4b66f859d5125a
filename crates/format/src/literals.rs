//! Literal tags: text that looks like a placeholder, a role marker or a special token stays text.
//!
//! A trainer splits a prompt at placeholders, and its tokenizer at special tokens, wherever they come from. So a user who
//! writes about `<image>` would move every image after it. The literal is spelled in upper case (`<IMAGE>`), the way VILA
//! treats web captions, or with a space after its first character where there is nothing to change (`[ INST]`).
//!
//! **Invariant:** what [`Literals::neutralise`] gives holds no literal, whatever it was given.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::FormatError;

/// The strings that no text of a record may contain.
#[derive(Debug)]
pub(crate) struct Literals {
    matcher: AhoCorasick,
    /// What is written instead, in the order of the matcher's patterns.
    replacements: Vec<String>,
}

/// A replacement can itself form a literal with what stands around it; texts that still do after this many rounds are
/// made for it, and are given up.
const MAX_ROUNDS: usize = 8;

impl Literals {
    /// Literals without a letter cannot be spelled differently, and are left out: `special` tokens such as runs of spaces.
    pub(crate) fn new<'a>(literals: impl IntoIterator<Item = &'a str>) -> Result<Self, FormatError> {
        let mut literals: Vec<&str> =
            literals.into_iter().filter(|literal| literal.len() > 1 && literal.contains(char::is_alphabetic)).collect();
        literals.sort_unstable();
        literals.dedup();
        let matcher = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&literals)
            .map_err(|source| FormatError::BuildMatcher { num_literals: literals.len(), source })?;
        Ok(Self { matcher, replacements: literals.into_iter().map(respelled).collect() })
    }

    /// The first literal in a text.
    pub(crate) fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.matcher.find(text).and_then(|found| text.get(found.range()))
    }

    /// The text without literals, or the literal that could not be removed.
    pub(crate) fn neutralise<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, String> {
        let mut text = Cow::Borrowed(text);
        for _round in 0..MAX_ROUNDS {
            if !self.matcher.is_match(&*text) {
                return Ok(text);
            }
            text = Cow::Owned(self.matcher.replace_all(&text, &self.replacements));
        }
        match self.find(&text) {
            Some(literal) => Err(literal.to_owned()),
            None => Ok(text),
        }
    }
}

fn respelled(literal: &str) -> String {
    if literal.contains(char::is_lowercase) {
        return literal.to_uppercase();
    }
    let mut chars = literal.chars();
    let first = chars.next().map(String::from).unwrap_or_default();
    format!("{first} {}", chars.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn literals() -> Literals {
        Literals::new(["<image>", "<IMAGE>", "[INST]", "</s>", "<|endoftext|>", "  ", "\n"]).unwrap()
    }

    #[test]
    fn a_literal_is_written_in_upper_case() {
        let text = "the </s> and <|endoftext|> tags";
        assert_eq!(literals().neutralise(text).unwrap(), "the </S> and <|ENDOFTEXT|> tags");
    }

    #[test]
    fn a_literal_without_lower_case_gets_a_space() {
        assert_eq!(literals().neutralise("[INST]").unwrap(), "[ INST]");
    }

    #[test]
    fn a_replacement_that_is_a_literal_is_replaced_again() {
        assert_eq!(literals().neutralise("an <image>").unwrap(), "an < IMAGE>");
    }

    #[test]
    fn other_text_is_not_copied() {
        assert!(matches!(literals().neutralise("<img> a  b\n</img>"), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn a_literal_that_always_comes_back_is_given_up() {
        let endless =
            Literals::new(["AB", "A B", "A  B", "A   B", "A    B", "A     B", "A      B", "A       B"]).unwrap();
        assert_eq!(endless.neutralise("xAB").unwrap(), "xA        B");
        let endless = Literals::new(["A A", "AA"]).unwrap();
        assert!(endless.neutralise("AA").is_ok());
    }

    proptest! {
        #[test]
        fn nothing_neutral_contains_a_literal(pieces in prop::collection::vec(
            prop::sample::select(vec!["<", "image", ">", "im", "age>", "<image", "[", "INST", "]", "</s", "|", "<|endoftext|>", " ", "s"]), 0..20,
        )) {
            let literals = literals();
            let text = pieces.concat();
            let neutral = literals.neutralise(&text).unwrap();
            prop_assert_eq!(literals.find(&neutral), None);
            prop_assert_eq!(neutral.to_lowercase().replace(' ', ""), text.to_lowercase().replace(' ', ""));
        }
    }
}
