//! SentencePiece `.model` files, tokenised by kitoken with the counts of the sentencepiece library itself.
//!
//! Control pieces (`<s>`, `<|startoftext|>`, …) never come from text, as in sentencepiece; a prompt is cut at them, and
//! each text between is tokenised on its own, as Hugging Face's slow tokenizers do. User-defined pieces are part of the
//! model.
//!
//! Only BPE models that leave their text as it is are read, which those of Llama, Vicuna, Mistral and Jamba are. Models
//! that normalise (`nmt_nfkc` …) or collapse white space, and Unigram models, are refused: kitoken's results for them
//! differ from sentencepiece's in corner cases. Their `tokenizer.json` can be used.

use std::path::Path;

use kitoken::convert::convert_sentencepiece;
use kitoken::{Definition, Fallback, Kitoken, Normalization, Processing, SpecialTokenKind};
use sentencepiece_model::{ModelType, SentencePieceModel, TrainerSpec, Type};

use super::added::{AddedToken, AddedTokens};
use super::cuts::{Cuts, PairTable};
use super::words::Words;
use super::{Cause, Model, Parsed, Specials};
use crate::FormatError;

#[derive(Debug)]
struct SentencePiece {
    kitoken: Kitoken,
    control: AddedTokens,
    /// What is put before each text, if kitoken does not do it: a space or nothing.
    prefix: &'static str,
}

const EXPECTED: &str = "a SentencePiece model";

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Parsed, FormatError> {
    let unreadable = |source: Cause| FormatError::ParseTokenizer { path: path.to_owned(), expected: EXPECTED, source };
    let unsupported = |property: String| FormatError::UnsupportedTokenizer { path: path.to_owned(), property };
    let file = SentencePieceModel::from_slice(bytes).map_err(|source| unreadable(source.into()))?;
    check_supported(&file).map_err(unsupported)?;
    let mut definition = convert_sentencepiece(bytes).map_err(|source| unreadable(Box::new(source)))?;
    if definition.model.vocab().is_empty() {
        return Err(unreadable("it has no pieces".into()));
    }
    let control = AddedTokens::new(control_pieces(&file))?;
    let cuts = cuts(&file, &definition);
    // From here on a text reaches kitoken without the space in front, so that a word can be tokenised by itself.
    let has_prefix = definition.config.normalization.iter().any(|step| matches!(step, Normalization::Extend { .. }));
    let prefix = if has_prefix && cuts.is_some() { " " } else { "" };
    adapt(&mut definition, &file, cuts.is_some());
    let kitoken = Kitoken::from_definition(definition).map_err(|source| unreadable(Box::new(source)))?;
    Ok(Parsed {
        model: Box::new(SentencePiece { kitoken, control: control.clone(), prefix }),
        added: control,
        words: cuts.map(|cuts| Words::new(cuts, prefix)),
        num_ids: u32::try_from(file.pieces().len()).unwrap_or(u32::MAX),
    })
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
fn check_supported(file: &SentencePieceModel) -> Result<(), String> {
    let kind = file.trainer().map_or(ModelType::Unigram, TrainerSpec::model_type);
    if kind != ModelType::Bpe {
        return Err(format!("is of the type {}", kind.as_str_name()));
    }
    // An absent specification means the defaults of the format, which collapse white space.
    let normaliser = file.normalizer().cloned().unwrap_or_default();
    if !matches!(normaliser.name(), "" | "identity") || !normaliser.precompiled_charsmap().is_empty() {
        return Err(format!("normalises text by {:?}", normaliser.name()));
    }
    if normaliser.remove_extra_whitespaces() {
        return Err("collapses white space".into());
    }
    if !normaliser.escape_whitespaces() {
        return Err("leaves spaces as they are".into());
    }
    Ok(())
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

/// Cuts are exact if every text has tokens of its own: no text is normalised, and none is unknown.
fn cuts(file: &SentencePieceModel, definition: &Definition) -> Option<Cuts> {
    let steps = &definition.config.normalization;
    let is_plain = steps.iter().all(|step| match step {
        Normalization::Replace { .. } => true,
        Normalization::Extend { left, right, .. } => (*left, *right) == (1, 0),
        _ => false,
    });
    let vocab = definition.model.vocab();
    let num_bytes = vocab.iter().filter(|token| token.bytes.len() == 1).count();
    let has_bytes = definition.config.fallback.first() == Some(&Fallback::Bytes) && num_bytes == 256;
    let texts = pieces(file).filter(|(_, _, kind)| matches!(kind, Type::Normal | Type::UserDefined | Type::Unused));
    (is_plain && has_bytes).then(|| Cuts::Pairs(PairTable::from_tokens(texts.map(|(_, text, _)| text))))
}

/// Takes from kitoken's reading of the file what is done here, and corrects it where sentencepiece differs.
fn adapt(definition: &mut Definition, file: &SentencePieceModel, is_cut: bool) {
    let config = &mut definition.config;
    if is_cut {
        config.normalization.retain(|step| !matches!(step, Normalization::Extend { .. }));
    }
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
