//! Tokens that stand outside of a tokenizer's model: special tokens, and others that were added to it.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, MatchKind};

use super::Specials;
use crate::FormatError;

/// A token that is found in a text before the model sees it.
#[derive(Debug, Clone)]
pub(super) struct AddedToken {
    pub(super) text: String,
    pub(super) id: u32,
    pub(super) is_special: bool,
}

/// The added tokens of a tokenizer, and a matcher that finds the leftmost, then longest of them.
#[derive(Debug, Clone)]
pub(super) struct AddedTokens {
    matcher: AhoCorasick,
    /// In the order of the matcher's patterns.
    tokens: Vec<AddedToken>,
    specials: BTreeMap<String, u32>,
}

/// A stretch of a prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gap<'t> {
    /// An added token.
    Token,
    /// Text between added tokens, not empty.
    Text(&'t str),
}

impl AddedTokens {
    pub(super) fn new(tokens: Vec<AddedToken>) -> Result<Self, FormatError> {
        let matcher = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|token| &token.text))
            .map_err(|source| FormatError::BuildMatcher { num_literals: tokens.len(), source })?;
        let specials =
            tokens.iter().filter(|token| token.is_special).map(|token| (token.text.clone(), token.id)).collect();
        Ok(Self { matcher, tokens, specials })
    }

    pub(super) fn special(&self, token: &str) -> Option<u32> {
        self.specials.get(token).copied()
    }

    pub(super) fn specials(&self) -> impl Iterator<Item = &str> {
        self.specials.keys().map(String::as_str)
    }

    /// A text cut at its added tokens, each given with its id by [`Self::parts`].
    pub(super) fn gaps<'t>(&self, text: &'t str, specials: Specials) -> impl Iterator<Item = Gap<'t>> {
        self.parts(text, specials).flat_map(|(before, token)| {
            let before = (!before.is_empty()).then_some(Gap::Text(before));
            before.into_iter().chain(token.map(|_id| Gap::Token))
        })
    }

    /// Texts, which may be empty, each with the id of the added token that follows it.
    pub(super) fn parts<'t>(&self, text: &'t str, specials: Specials) -> impl Iterator<Item = (&'t str, Option<u32>)> {
        let mut end_of_last = 0;
        let matches = self.matcher.find_iter(text).filter_map(move |found| {
            let token = self.tokens.get(found.pattern().as_usize())?;
            (specials == Specials::Tokens || !token.is_special).then_some((found.range(), Some(token.id)))
        });
        matches.chain([(text.len()..text.len(), None)]).map(move |(range, id)| {
            let before = text.get(end_of_last..range.start).unwrap_or_default();
            end_of_last = range.end;
            (before, id)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added() -> AddedTokens {
        let token = |text: &str, id, is_special| AddedToken { text: text.into(), id, is_special };
        AddedTokens::new(vec![token("<s>", 1, true), token("</s>", 2, true), token(",", 9, false)]).unwrap()
    }

    #[test]
    fn a_prompt_is_cut_at_its_added_tokens() {
        let gaps: Vec<_> = added().gaps("<s>a,b</s>", Specials::Tokens).collect();
        assert_eq!(gaps, [Gap::Token, Gap::Text("a"), Gap::Token, Gap::Text("b"), Gap::Token]);
    }

    #[test]
    fn special_tokens_can_be_text() {
        let added = added();
        let parts: Vec<_> = added.parts("<s>a,b", Specials::Text).collect();
        assert_eq!(parts, [("<s>a", Some(9)), ("b", None)]);
    }
}
