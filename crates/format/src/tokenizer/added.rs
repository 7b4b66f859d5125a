//! Tokens that are not part of a tokenizer's model: special tokens, and others that were added to it.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::error::FormatError;

/// How strings that spell special tokens are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpecialTokens {
    /// As one token each, the way a trainer's tokenizer reads them in a prompt.
    AsTokens,
    /// As text like any other.
    AsText,
}

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
    /// By pattern of the matcher.
    tokens: Vec<AddedToken>,
    specials: BTreeMap<String, u32>,
}

/// A part of a prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PromptPart<'t> {
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

    /// The id of a token, special or not.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.tokens.iter().find(|added| added.text == token).map(|added| added.id)
    }

    /// The length of the text of a token; 0 of others.
    pub(super) fn num_bytes(&self, id: u32) -> usize {
        self.tokens.iter().find(|token| token.id == id).map_or(0, |token| token.text.len())
    }

    /// One more than the largest id.
    pub(super) fn num_ids(&self) -> u32 {
        self.tokens.iter().map(|token| token.id.saturating_add(1)).max().unwrap_or(0)
    }

    pub(super) fn specials(&self) -> impl Iterator<Item = &str> {
        self.specials.keys().map(String::as_str)
    }

    /// A text cut at its added tokens.
    pub(super) fn parts<'t>(&self, text: &'t str, specials: SpecialTokens) -> impl Iterator<Item = PromptPart<'t>> {
        self.split(text, specials).flat_map(|(before, token)| {
            let before = (!before.is_empty()).then_some(PromptPart::Text(before));
            before.into_iter().chain(token.map(|_id| PromptPart::Token))
        })
    }

    /// The texts between added tokens, which may be empty, each with the id of the added token that follows it.
    #[expect(
        clippy::indexing_slicing,
        clippy::string_slice,
        reason = "there is a token for each pattern; strings match strings"
    )]
    pub(super) fn split<'t>(
        &self,
        text: &'t str,
        specials: SpecialTokens,
    ) -> impl Iterator<Item = (&'t str, Option<u32>)> {
        let mut end_of_last = 0;
        let matches = self.matcher.find_iter(text).filter_map(move |found| {
            let token = &self.tokens[found.pattern().as_usize()];
            let is_token = specials == SpecialTokens::AsTokens || !token.is_special;
            is_token.then_some((found.range(), Some(token.id)))
        });
        matches.chain([(text.len()..text.len(), None)]).map(move |(range, id)| {
            let before = &text[end_of_last..range.start];
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
        let parts: Vec<_> = added().parts("<s>a,b</s>", SpecialTokens::AsTokens).collect();
        assert_eq!(
            parts,
            [PromptPart::Token, PromptPart::Text("a"), PromptPart::Token, PromptPart::Text("b"), PromptPart::Token]
        );
    }

    #[test]
    fn special_tokens_can_be_text() {
        let added = added();
        let parts: Vec<_> = added.split("<s>a,b", SpecialTokens::AsText).collect();
        assert_eq!(parts, [("<s>a", Some(9)), ("b", None)]);
    }
}
