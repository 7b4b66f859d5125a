//! SentencePiece `.model` files, tokenised by kitoken with the counts of the sentencepiece library itself.
//!
//! Control pieces (`<s>`, `<|startoftext|>`, …) never come from text, as in sentencepiece; a prompt is cut at them, and
//! each text between is tokenised on its own, as Hugging Face's slow tokenizers do. User-defined pieces are part of the
//! model.
//!
//! Only BPE models that leave their text as it is are read, which those of Llama, Vicuna, Mistral and Jamba are. Models
//! that normalise (`nmt_nfkc` …) or collapse white space, Unigram models, and vocabularies that were put together by hand
//! are refused: kitoken's results for them differ from sentencepiece's in corner cases. Their `tokenizer.json` can be used.

use std::path::Path;

use kitoken::convert::convert_sentencepiece;
use kitoken::{Definition, Fallback, Kitoken, Normalization, Processing, SpecialTokenKind};
use sentencepiece_model::{ModelType, NormalizerSpec, SentencePieceModel, Type};

use super::added::{AddedToken, AddedTokens};
use super::cuts::{Cuts, PairTable};
use super::extents::Extents;
use super::words::Words;
use super::{Cause, Model, Parsed, Specials, TokenSpan};
use crate::FormatError;

#[derive(Debug)]
struct SentencePiece {
    kitoken: Kitoken,
    control: AddedTokens,
    extents: Extents,
    /// What is put before each text: a space or nothing.
    prefix: &'static str,
}

const EXPECTED: &str = "a SentencePiece model";

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Parsed, FormatError> {
    let unreadable = |source: Cause| FormatError::ParseTokenizer { path: path.to_owned(), expected: EXPECTED, source };
    let unsupported = |property: String| FormatError::UnsupportedTokenizer { path: path.to_owned(), property };
    let file = SentencePieceModel::from_slice(bytes).map_err(|source| unreadable(source.into()))?;
    check_settings(&file).map_err(unsupported)?;
    check_scores(&file).map_err(unsupported)?;
    let mut definition = convert_sentencepiece(bytes).map_err(|source| unreadable(Box::new(source)))?;
    if definition.model.vocab().is_empty() {
        return Err(unreadable("it has no pieces".into()));
    }
    let prefix = if file.normalizer().is_some_and(NormalizerSpec::add_dummy_prefix) { " " } else { "" };
    let words = has_all_bytes(&definition).then(|| Words::new(Cuts::Pairs(pairs(&file)), prefix));
    adapt(&mut definition, &file);
    let kitoken = Kitoken::from_definition(definition).map_err(|source| unreadable(Box::new(source)))?;
    let control = AddedTokens::new(control_pieces(&file))?;
    let extents = Extents::from_pieces(pieces(&file).map(|(_, text, kind)| (text, kind)));
    let model = SentencePiece { kitoken, control: control.clone(), extents, prefix };
    check_pieces(&file, &model).map_err(unsupported)?;
    let num_ids = u32::try_from(file.pieces().len()).unwrap_or(u32::MAX);
    Ok(Parsed { model: Box::new(model), added: control, words, num_ids })
}

impl Model for SentencePiece {
    fn encode(&self, text: &str, specials: Specials) -> Result<Vec<u32>, Cause> {
        if specials == Specials::Text {
            return self.encode_text(text);
        }
        let mut ids = Vec::new();
        for (before, control) in self.control.parts(text, specials) {
            ids.extend(self.encode_text(before)?);
            ids.extend(control);
        }
        Ok(ids)
    }

    fn encode_prompt_spans(&self, text: &str) -> Result<Vec<TokenSpan>, Cause> {
        let mut spans = Vec::new();
        let mut start = 0;
        for (before, control) in self.control.parts(text, Specials::Tokens) {
            let ids = self.encode_text(before)?;
            spans.extend(self.extents.place(&ids, self.prefix, before).map(|span| TokenSpan {
                start: start + span.start,
                end: start + span.end,
                ..span
            }));
            start += before.len();
            if let Some(id) = control {
                let end = start + self.extents.num_bytes(id);
                spans.push(TokenSpan { id, start, end });
                start = end;
            }
        }
        Ok(spans)
    }

    fn count_word(&self, word: &str) -> Result<usize, Cause> {
        Ok(self.encode_pieces(word)?.len())
    }
}

impl SentencePiece {
    fn encode_text(&self, text: &str) -> Result<Vec<u32>, Cause> {
        match text {
            "" => Ok(Vec::new()),
            _ if self.prefix.is_empty() => self.encode_pieces(text),
            _ => self.encode_pieces(&[self.prefix, text].concat()),
        }
    }

    fn encode_pieces(&self, text: &str) -> Result<Vec<u32>, Cause> {
        // User-defined pieces only: a string that spells a control piece is text.
        let kinds: &[SpecialTokenKind] = &[SpecialTokenKind::Priority];
        self.kitoken.encode(text, kinds).map_err(|source| Box::new(source) as Cause)
    }
}

/// What the file does that is not supported, as a verb phrase.
fn check_settings(file: &SentencePieceModel) -> Result<(), String> {
    // What a file leaves out has the default of the format: Unigram, and white space is collapsed.
    let trainer = file.trainer().cloned().unwrap_or_default();
    let normaliser = file.normalizer().cloned().unwrap_or_default();
    if trainer.model_type() != ModelType::Bpe {
        return Err(format!("is of the type {}", trainer.model_type().as_str_name()));
    }
    if !matches!(normaliser.name(), "" | "identity") || !normaliser.precompiled_charsmap().is_empty() {
        return Err(format!("normalises text by {:?}", normaliser.name()));
    }
    if normaliser.remove_extra_whitespaces() {
        return Err("collapses white space".into());
    }
    if !normaliser.escape_whitespaces() || trainer.treat_whitespace_as_suffix() {
        return Err("does not mark spaces in front of words".into());
    }
    Ok(())
}

/// Of two merges of equal score sentencepiece makes the left one first, kitoken the one with the smaller id.
///
/// Jamba's runs of spaces have one score for all. Runs of more than 35 spaces can thus be divided differently (16 + 20
/// spaces, not 32 + 4), into as many tokens.
fn check_scores(file: &SentencePieceModel) -> Result<(), String> {
    let is_spaces = |text: &str| text.chars().all(|c| c == '\u{2581}');
    let words = merged_pieces(file).filter(|(_, text)| !is_spaces(text));
    let mut scores: Vec<f32> = words.filter_map(|(id, _)| Some(file.pieces().get(id as usize)?.score())).collect();
    scores.sort_unstable_by(f32::total_cmp);
    match scores.array_windows().find(|[left, right]| left.total_cmp(right).is_eq()) {
        Some([score, _]) => Err(format!("has two pieces of the score {score}")),
        None => Ok(()),
    }
}

/// kitoken takes a word that is a piece for that piece; sentencepiece only if merging leads there. In a vocabulary that was
/// trained, it always does.
fn check_pieces(file: &SentencePieceModel, model: &SentencePiece) -> Result<(), String> {
    let defined: Vec<&str> =
        pieces(file).filter(|(.., kind)| *kind == Type::UserDefined).map(|(_, text, _)| text).collect();
    for (id, text) in merged_pieces(file).filter(|(_, text)| !defined.iter().any(|defined| text.contains(defined))) {
        // With a character that is in no piece, the word itself is none.
        let word = [text, "\0"].concat();
        let ids = model.encode_pieces(&word).map_err(|cause| format!("cannot encode {text:?}: {cause}"))?;
        if ids.first() != Some(&id) {
            return Err(format!("has the piece {text:?}, to which no merges lead"));
        }
    }
    Ok(())
}

/// The pieces that can come of merging others.
fn merged_pieces(file: &SentencePieceModel) -> impl Iterator<Item = (u32, &str)> {
    let is_merged = |text: &str, kind| kind == Type::Normal && text.chars().nth(1).is_some();
    pieces(file).filter(move |(_, text, kind)| is_merged(text, *kind)).map(|(id, text, _)| (id, text))
}

fn pieces(file: &SentencePieceModel) -> impl Iterator<Item = (u32, &str, Type)> {
    (0..).zip(file.pieces()).map(|(id, piece)| (id, piece.piece(), piece.r#type()))
}

/// The pieces that text is never made of. Hugging Face's tokenizers find their spellings in prompts.
fn control_pieces(file: &SentencePieceModel) -> Vec<AddedToken> {
    pieces(file)
        .filter(|(_, text, kind)| matches!(kind, Type::Control | Type::Unknown) && !text.is_empty())
        .map(|(id, text, _)| AddedToken { text: text.to_owned(), id, is_special: true })
        .collect()
}

/// Cuts are exact if no text is unknown: neighbouring unknown characters are one token.
fn has_all_bytes(definition: &Definition) -> bool {
    let num_bytes = definition.model.vocab().iter().filter(|token| token.bytes.len() == 1).count();
    definition.config.fallback.first() == Some(&Fallback::Bytes) && num_bytes == 256
}

fn pairs(file: &SentencePieceModel) -> PairTable {
    let texts = pieces(file).filter(|(.., kind)| matches!(kind, Type::Normal | Type::UserDefined | Type::Unused));
    PairTable::from_tokens(texts.map(|(_, text, _)| text))
}

/// Takes from kitoken's reading of the file what is done here, and corrects it where sentencepiece differs.
fn adapt(definition: &mut Definition, file: &SentencePieceModel) {
    let config = &mut definition.config;
    // A text reaches kitoken with its prefix, so that a word can be tokenised by itself.
    config.normalization.retain(|step| !matches!(step, Normalization::Extend { .. }));
    // kitoken starts a new word at each run of spaces. A model with a piece across such a place does not.
    let spans_words = |text: &str| text.trim_start_matches('\u{2581}').contains('\u{2581}');
    if pieces(file).any(|(_, text, kind)| kind != Type::Control && spans_words(text)) {
        config.split.clear();
    }
    // Control pieces are found here, and cost kitoken a search in every word.
    definition.specials.retain(|special| special.kind != SpecialTokenKind::Control);
    for special in &mut definition.specials {
        if special.kind == SpecialTokenKind::Unknown {
            // kitoken looks for the *surface* of the unknown token (" ⁇ ") in texts; sentencepiece does not.
            special.bytes = "\u{10FFFF}\u{10FFFE}".into();
            if !config.fallback.contains(&Fallback::Bytes) {
                config.processing = vec![Processing::Collapse { id: special.id }];
            }
        }
    }
    // Of user-defined pieces the longest counts.
    definition.specials.sort_by_key(|special| std::cmp::Reverse(special.bytes.len()));
}
