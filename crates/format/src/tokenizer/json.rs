//! Hugging Face `tokenizer.json` files, tokenized by the `tokenizers` crate.

use std::path::Path;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Value, json};
use tokenizers::models::bpe::BPE;
use tokenizers::{
    AddedToken, Model as _, ModelWrapper, NormalizedString, Normalizer as _, OffsetReferential, OffsetType,
    PostProcessorWrapper, PreTokenizedString, PreTokenizer as _,
};

use super::added::{self, AddedTokens, SpecialTokens};
use super::cuts::{Cuts, PairTable};
use super::growth::{check_growth, check_tables};
use super::model::{Model, ParsedTokenizer, Prefixes, TokenSpan, TokenizerFile, TokensAround, guarded};
use super::words::Words;
use crate::error::{Cause, FormatError};
use crate::snapshot::{ConfiguredToken, TokenizerConfig};

#[derive(Debug)]
struct TokenizerJson {
    tokenizer: tokenizers::Tokenizer,
    /// The same, but it reads special tokens as text. Made when it is first needed.
    specials_as_text: OnceLock<Box<tokenizers::Tokenizer>>,
    word_encoding: WordEncoding,
}

/// What is checked of a file before the library reads it.
#[derive(Deserialize)]
struct Steps {
    #[serde(default)]
    normalizer: Value,
}

/// How a word that was cut off a text is tokenized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WordEncoding {
    /// By normaliser, pre-tokenizer and model, as the library tokenizes texts between added tokens.
    FullPipeline,
    /// By the model alone. The two steps of the normaliser, a prefix and a mark for spaces, are done here.
    ModelOnly,
}

/// How texts are cut into words for counting.
struct WordRules {
    encoding: WordEncoding,
    cuts: Cuts,
    prefix: &'static str,
}

/// The regular expressions of Llama 3 and of Qwen. That of GPT-2 is built into the byte-level pre-tokenizer.
const WORD_REGEXES: [&str; 2] = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];

pub(super) fn parse(path: &Path, bytes: &[u8], config: &TokenizerConfig) -> Result<ParsedTokenizer, FormatError> {
    let file = TokenizerFile { path, expected: "a tokenizer.json" };
    let steps: Steps = serde_json::from_slice(bytes).map_err(|source| file.unreadable(source))?;
    check_tables(&steps.normalizer).map_err(|property| file.unsupported(property))?;
    let mut tokenizer =
        guarded(|| tokenizers::Tokenizer::from_bytes(bytes)).map_err(|source| file.unreadable(source))?;
    if let ModelWrapper::BPE(bpe) = tokenizer.get_model()
        && bpe.dropout.is_some_and(|rate| rate > 0.0)
    {
        return Err(file.unsupported("drops merges at random".to_owned()));
    }
    let configured = add_configured(&mut tokenizer, config.added_tokens()?, config.list_name())
        .map_err(|property| file.unsupported(property))?;
    let step = |step: Result<Value, serde_json::Error>| step.map_err(|source| file.unreadable(source));
    let normaliser = step(serde_json::to_value(tokenizer.get_normalizer()))?;
    let pre_tokenizer = step(serde_json::to_value(tokenizer.get_pre_tokenizer()))?;
    check_growth(&normaliser, &pre_tokenizer).map_err(|property| file.unsupported(property))?;
    tokenizer.with_truncation(None).map_err(|source| file.unreadable(source))?;
    tokenizer.with_padding(None);
    let around = tokens_around(&tokenizer).map_err(|source| file.unreadable(source))?;
    // It would add them to every text, and remove white space from the spans of tokens.
    tokenizer.with_post_processor(None::<PostProcessorWrapper>);
    // A model that cannot express unknown characters fails here, not in the middle of a dataset.
    guarded(|| tokenizer.encode_fast("\u{E000}\0a", false)).map_err(|source| file.unreadable(source))?;
    let num_ids = tokenizer.get_vocab(true).into_values().max().map_or(0, |largest| largest.saturating_add(1));
    let (word_encoding, words) = match word_rules(&tokenizer) {
        Some(WordRules { encoding, cuts, prefix }) => (encoding, Some(Words::new(cuts, prefix))),
        None => (WordEncoding::FullPipeline, None),
    };
    let added = AddedTokens::new(added_tokens(&tokenizer))?;
    let model = TokenizerJson { tokenizer, specials_as_text: OnceLock::new(), word_encoding };
    Ok(ParsedTokenizer {
        model: Box::new(model),
        added,
        words,
        num_ids,
        around,
        prefixes: [Prefixes::All; 2],
        configured,
    })
}

impl Model for TokenizerJson {
    fn encode(&self, text: &str, specials: SpecialTokens, _: Prefixes) -> Result<Vec<u32>, Cause> {
        let tokenizer = match specials {
            SpecialTokens::AsTokens => &self.tokenizer,
            SpecialTokens::AsText => self.specials_as_text.get_or_init(|| {
                let mut tokenizer = self.tokenizer.clone();
                tokenizer.set_encode_special_tokens(true);
                Box::new(tokenizer)
            }),
        };
        guarded(|| Ok(tokenizer.encode_fast(text, false)?.get_ids().to_vec()))
    }

    fn encode_prompt_spans(&self, text: &str, _: Prefixes) -> Result<Vec<TokenSpan>, Cause> {
        let encoding = guarded(|| self.tokenizer.encode(text, false))?;
        let spans = encoding.get_ids().iter().zip(encoding.get_offsets());
        Ok(spans.map(|(&id, &(start, end))| TokenSpan { id, start, end }).collect())
    }

    fn count_word(&self, word: &str) -> Result<usize, Cause> {
        guarded(|| match (self.word_encoding, self.tokenizer.get_model()) {
            (WordEncoding::ModelOnly, model) => Ok(model.tokenize(&word.replace(' ', "\u{2581}"))?.len()),
            (WordEncoding::FullPipeline, model) => {
                let mut normalised = NormalizedString::from(word);
                if let Some(normaliser) = self.tokenizer.get_normalizer() {
                    normaliser.normalize(&mut normalised)?;
                }
                let mut splits = PreTokenizedString::from(normalised);
                if let Some(pre_tokenizer) = self.tokenizer.get_pre_tokenizer() {
                    pre_tokenizer.pre_tokenize(&mut splits)?;
                }
                let splits = splits.get_splits(OffsetReferential::Original, OffsetType::Byte);
                splits.into_iter().map(|(split, _, _)| Ok(model.tokenize(split)?.len())).sum()
            }
        })
    }
}

/// What the post-processor adds to a text.
fn tokens_around(tokenizer: &tokenizers::Tokenizer) -> Result<TokensAround, Cause> {
    let ids = |is_added| guarded(|| Ok(tokenizer.encode_fast("a", is_added)?.get_ids().to_vec()));
    let (text, whole) = (ids(false)?, ids(true)?);
    let place = whole.windows(text.len().max(1)).position(|ids| ids == text);
    let Some((before, rest)) = place.and_then(|place| whole.split_at_checked(place)) else {
        return Ok(TokensAround { is_stated: true, ..TokensAround::default() });
    };
    let start = before.first().and_then(|id| tokenizer.id_to_token(*id)).unwrap_or_default();
    let after = rest.get(text.len()..).unwrap_or_default();
    Ok(TokensAround { before: before.to_vec(), after: after.to_vec(), start, is_stated: true })
}

/// Adds the tokens that a configuration lists and the file does not have. Fails if one takes white space or words around it, or gets
/// another id than it has there.
fn add_configured(
    tokenizer: &mut tokenizers::Tokenizer,
    listed: Vec<ConfiguredToken>,
    list: &str,
) -> Result<Vec<String>, String> {
    let mut configured = Vec::new();
    for token in listed {
        if tokenizer.token_to_id(&token.content).is_none() {
            let added = AddedToken::from(token.content.clone(), token.special).normalized(false);
            if !token.is_plain() {
                return Err(format!("lacks the token {:?}, which {list} adds with the text around it", token.content));
            }
            let added =
                if token.special { tokenizer.add_special_tokens([added]) } else { tokenizer.add_tokens([added]) };
            added.map_err(|error| format!("cannot have the token {:?}: {error}", token.content))?;
            configured.push(format!("{} {} {}", token.id, token.special, token.content));
        }
        let id = tokenizer.token_to_id(&token.content);
        if id != Some(token.id) {
            return Err(format!("has {:?} as {id:?}, not as {} as {list} says", token.content, token.id));
        }
    }
    Ok(configured)
}

fn added_tokens(tokenizer: &tokenizers::Tokenizer) -> Vec<added::AddedToken> {
    let mut tokens: Vec<_> = tokenizer.get_added_tokens_decoder().into_iter().collect();
    tokens.sort_by_key(|(id, _)| *id);
    tokens
        .into_iter()
        .filter(|(_, token)| !token.content.is_empty())
        .map(|(id, token)| added::AddedToken { text: token.content, id, is_special: token.special })
        .collect()
}

/// How texts are cut for counting, if the tokenizer is of a family for which that is known to be exact.
#[expect(clippy::indexing_slicing, reason = "a JSON value without the key is null")]
fn word_rules(tokenizer: &tokenizers::Tokenizer) -> Option<WordRules> {
    let ModelWrapper::BPE(bpe) = tokenizer.get_model() else { return None };
    let normaliser = serde_json::to_value(tokenizer.get_normalizer()).ok()?;
    let marks_words = [&bpe.continuing_subword_prefix, &bpe.end_of_word_suffix];
    if marks_words.into_iter().flatten().any(|mark| !mark.is_empty()) || !added_tokens_are_plain(tokenizer, &normaliser)
    {
        return None;
    }
    let pre_tokenizer = serde_json::to_value(tokenizer.get_pre_tokenizer()).ok()?;
    if pre_tokenizer.is_null() {
        let prefix = marking_prefix(&normaliser)?;
        let cuts = Cuts::Pairs(byte_fallback_pairs(bpe)?);
        return Some(WordRules { encoding: WordEncoding::ModelOnly, cuts, prefix });
    }
    let keeps_spaces = normaliser.is_null() || normaliser["type"] == "NFC";
    let cuts = byte_level_cuts(&pre_tokenizer).filter(|_| keeps_spaces)?;
    Some(WordRules { encoding: WordEncoding::FullPipeline, cuts, prefix: "" })
}

/// Whether added tokens are found as they are written, in one search, and take nothing of the text around them.
fn added_tokens_are_plain(tokenizer: &tokenizers::Tokenizer, normaliser: &Value) -> bool {
    let tokens = tokenizer.get_added_tokens_decoder();
    let all = |is_plain: fn(&AddedToken) -> bool| tokens.values().all(is_plain);
    let is_one_search = all(|token| !token.normalized) || (normaliser.is_null() && all(|token| token.normalized));
    is_one_search && all(|token| !token.lstrip && !token.rstrip && !token.single_word)
}

/// The prefix of a normaliser that only puts a mark before the text and in place of spaces.
fn marking_prefix(normaliser: &Value) -> Option<&'static str> {
    let mark = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "\u{2581}" });
    let prepend = json!({ "type": "Prepend", "prepend": "\u{2581}" });
    if *normaliser == mark || *normaliser == json!({ "type": "Sequence", "normalizers": [mark] }) {
        return Some("");
    }
    (*normaliser == json!({ "type": "Sequence", "normalizers": [prepend, mark] })).then_some(" ")
}

/// The pairs of a model that has tokens for all bytes, never merges those, and makes every word by merging.
fn byte_fallback_pairs(bpe: &BPE) -> Option<PairTable> {
    let vocab = bpe.get_vocab();
    let has_bytes = bpe.byte_fallback && (0..=255).all(|byte| vocab.contains_key(&format!("<0x{byte:02X}>")));
    let merges_bytes = vocab.keys().any(|token| token.contains("<0x") && token.len() > 6);
    (has_bytes && !merges_bytes && !bpe.ignore_merges).then(|| PairTable::from_tokens(vocab.keys().map(String::as_str)))
}

#[expect(clippy::indexing_slicing, reason = "a JSON value without the key is null")]
fn byte_level_cuts(pre_tokenizer: &Value) -> Option<Cuts> {
    let is_bytes = |step: &Value, uses_regex: bool| {
        step["type"] == "ByteLevel" && step["add_prefix_space"] == false && step["use_regex"] == uses_regex
    };
    let is_words = |step: &Value| {
        let is_known = step["pattern"]["Regex"].as_str().is_some_and(|regex| WORD_REGEXES.contains(&regex));
        is_known && step["type"] == "Split" && step["behavior"] == "Isolated" && step["invert"] == false
    };
    match pre_tokenizer["pretokenizers"].as_array().map(Vec::as_slice) {
        Some([words, bytes]) => (is_words(words) && is_bytes(bytes, false)).then_some(Cuts::SpacesAndLines),
        Some(_) => None,
        None => is_bytes(pre_tokenizer, true).then_some(Cuts::Spaces),
    }
}
