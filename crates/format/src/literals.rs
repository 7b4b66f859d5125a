//! Literal tags: text that looks like a placeholder, a role marker or a special token stays text.
//!
//! A trainer splits a prompt at placeholders, and its tokenizer at special tokens, wherever they come from. A user who
//! writes about `<image>` would therefore shift every image after it. The literal is spelled in upper case (`<IMAGE>`),
//! as VILA does with web captions, or with a space after its first character if it has no lower-case letter
//! (`[ INST]`).
//!
//! **Invariant:** what [`Literals::neutralise`] returns contains no literal.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::FormatError;

/// What happens to a text that contains what only the dialect, the template or the tokenizer may write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LiteralTags {
    /// The literal is written in upper case (`<IMAGE>`), as VILA does with web captions. A literal without a lower-case
    /// letter gets a space after its first character (`[ INST]`).
    #[default]
    Uppercase,
    /// The record is rejected with the code `literal_tag`.
    Reject,
}

/// The strings that no text of a record may contain.
#[derive(Debug)]
pub(crate) struct Literals {
    matcher: AhoCorasick,
    /// What is written instead, by pattern of the matcher.
    replacements: Vec<String>,
}

/// A replacement can form a literal with the text around it, and is then replaced again. A text that still contains a
/// literal after this many rounds was made to, and its record is rejected.
const MAX_ROUNDS: usize = 8;

impl Literals {
    /// Literals without a letter, such as special tokens of spaces, cannot be spelled differently and are ignored.
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
    #[expect(clippy::string_slice, reason = "matches of whole strings begin and end between characters")]
    pub(crate) fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.matcher.find(text).map(|found| &text[found.range()])
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
    chars.next().map_or_else(String::new, |first| format!("{first} {}", chars.as_str()))
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
    fn a_literal_that_comes_back_is_replaced_in_eight_rounds_at_most() {
        // Each replacement is the next of these literals.
        let literals: Vec<String> = (0..9).map(|num_spaces| format!("A{}B", " ".repeat(num_spaces))).collect();
        let of_rounds = |num: usize| Literals::new(literals[..num].iter().map(String::as_str)).unwrap();
        assert_eq!(of_rounds(MAX_ROUNDS).neutralise("xAB").unwrap(), "xA        B");
        assert_eq!(of_rounds(MAX_ROUNDS + 1).neutralise("xAB").unwrap_err(), literals[MAX_ROUNDS]);
    }

    proptest! {
        #[test]
        fn a_neutralised_text_contains_no_literal(fragments in prop::collection::vec(
            prop::sample::select(vec!["<", "image", ">", "im", "age>", "<image", "[", "INST", "]", "</s", "|", "<|endoftext|>", " ", "s"]), 0..20,
        )) {
            let literals = literals();
            let text = fragments.concat();
            let neutral = literals.neutralise(&text).unwrap();
            prop_assert_eq!(literals.find(&neutral), None);
            prop_assert_eq!(neutral.to_lowercase().replace(' ', ""), text.to_lowercase().replace(' ', ""));
        }
    }
}
