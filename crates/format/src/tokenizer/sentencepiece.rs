//! SentencePiece `.model` files, tokenized by kitoken with the counts of the sentencepiece library itself.
//!
//! As in sentencepiece, control pieces (`<s>`, `<|startoftext|>`, …) never come from text. A prompt is cut at them, and
//! each text between two of them is tokenized on its own, as Hugging Face's slow tokenizers do. User-defined pieces are
//! part of the model.
//!
//! Only BPE models that leave their text as it is can be read, such as those of Llama, Vicuna, Mistral and Jamba.
//! Models that normalise (`nmt_nfkc` …) or collapse white space, Unigram models, and vocabularies that were put
//! together by hand are refused, because kitoken's results for them differ from sentencepiece's in corner cases. Use
//! their `tokenizer.json`.

use std::path::Path;

use aho_corasick::AhoCorasick;
use kitoken::convert::convert_sentencepiece;
use kitoken::{Definition, Fallback, Kitoken, Normalization, Processing, SpecialTokenKind};
use sentencepiece_model::{ModelType, NormalizerSpec, SentencePieceModel, Type};

use super::added::{AddedToken, AddedTokens, SpecialTokens};
use super::cuts::{Cuts, PairTable};
use super::extents::{Extents, PrefixedText};
use super::model::{Model, ParsedTokenizer, Prefixes, TokenSpan, TokenizerFile, TokensAround, guarded};
use super::words::Words;
use crate::error::{Cause, FormatError};
use crate::snapshot::{ConfiguredToken, TokenizerConfig};

#[derive(Debug)]
struct SentencePiece {
    kitoken: Kitoken,
    control: AddedTokens,
    extents: Extents,
    /// What is put before each text: a space or nothing.
    prefix: &'static str,
}

pub(super) fn parse(path: &Path, bytes: &[u8], config: &TokenizerConfig) -> Result<ParsedTokenizer, FormatError> {
    let file = TokenizerFile { path, expected: "a SentencePiece model" };
    let unsupported = |property: String| file.unsupported(property);
    let proto = guarded(|| Ok(SentencePieceModel::from_slice(bytes)?)).map_err(|source| file.unreadable(source))?;
    check_settings(&proto).map_err(unsupported)?;
    check_lengths(&proto).map_err(unsupported)?;
    check_scores(&proto).map_err(unsupported)?;
    let unknown_id = unknown_piece(&proto).map_err(unsupported)?;
    let mut definition = guarded(|| Ok(convert_sentencepiece(bytes)?)).map_err(|source| file.unreadable(source))?;
    if definition.model.vocab().is_empty() {
        return Err(file.unreadable("it has no pieces"));
    }
    let prefix = if proto.normalizer().is_some_and(NormalizerSpec::add_dummy_prefix) { " " } else { "" };
    let words = has_all_bytes(&definition).then(|| Words::new(Cuts::Pairs(pairs(&proto)), prefix));
    adapt(&mut definition, &proto, unknown_id);
    let kitoken = guarded(|| Ok(Kitoken::from_definition(definition)?)).map_err(|source| file.unreadable(source))?;
    let configured = configured_tokens(&proto, config.added_tokens()?, config.list_name()).map_err(unsupported)?;
    let names = configured.iter().map(|token| format!("{} {} {}", token.id, token.is_special, token.text));
    let names: Vec<String> = names.collect();
    let control = AddedTokens::new(control_pieces(&proto).into_iter().chain(configured).collect())?;
    let extents = Extents::from_pieces(pieces(&proto).map(|(_, text, kind)| (text, kind)));
    let model = SentencePiece { kitoken, control: control.clone(), extents, prefix };
    check_pieces(&proto, &model).map_err(unsupported)?;
    let num_pieces = u32::try_from(proto.pieces().len()).unwrap_or(u32::MAX);
    let num_ids = control.num_ids().max(num_pieces);
    let around = tokens_around(config, &control);
    // `legacy` of Llama's tokenizers (`models/llama/tokenization_llama.py`).
    let legacy = config.flag("legacy").filter(|_| !prefix.is_empty());
    let stated = legacy.map(|legacy| format!("legacy {legacy}"));
    let configured = around.names().chain(names).chain(stated).collect();
    let prefixes = match legacy {
        Some(false) => [Prefixes::First; 2],
        Some(true) => [Prefixes::All, Prefixes::WithoutSpace],
        None => [Prefixes::All, Prefixes::First],
    };
    Ok(ParsedTokenizer { model: Box::new(model), added: control, words, num_ids, around, prefixes, configured })
}

impl Model for SentencePiece {
    fn encode(&self, text: &str, specials: SpecialTokens, prefixes: Prefixes) -> Result<Vec<u32>, Cause> {
        if specials == SpecialTokens::AsText {
            return self.encode_text(text, self.prefix);
        }
        let mut ids = Vec::new();
        for (index, (before, control)) in self.control.split(text, specials).enumerate() {
            ids.extend(self.encode_text(before, self.prefix_of(prefixes, before, index))?);
            ids.extend(control);
        }
        Ok(ids)
    }

    fn encode_prompt_spans(&self, text: &str, prefixes: Prefixes) -> Result<Vec<TokenSpan>, Cause> {
        let mut spans = Vec::new();
        let mut start = 0;
        for (before, control) in self.control.split(text, SpecialTokens::AsTokens) {
            let prefix = self.prefix_of(prefixes, before, start);
            let ids = self.encode_text(before, prefix)?;
            let of_text = self.extents.spans(&ids, PrefixedText { prefix, text: before });
            spans.extend(of_text.map(|span| TokenSpan { start: start + span.start, end: start + span.end, ..span }));
            start += before.len();
            if let Some(id) = control {
                // Tokens that a configuration adds are no pieces.
                let num_bytes = self.extents.num_bytes(id).unwrap_or_else(|| self.control.num_bytes(id));
                let end = start + num_bytes;
                spans.push(TokenSpan { id, start, end });
                start = end;
            }
        }
        Ok(spans)
    }

    fn count_word(&self, word: &str) -> Result<usize, Cause> {
        Ok(self.encode_as_is(word)?.len())
    }
}

impl SentencePiece {
    /// The prefix of the text at a byte of a prompt.
    fn prefix_of(&self, prefixes: Prefixes, text: &str, start: usize) -> &'static str {
        if prefixes.is_before(text, start) { self.prefix } else { "" }
    }

    fn encode_text(&self, text: &str, prefix: &str) -> Result<Vec<u32>, Cause> {
        match text {
            "" => Ok(Vec::new()),
            _ if prefix.is_empty() => self.encode_as_is(text),
            _ => self.encode_as_is(&[prefix, text].concat()),
        }
    }

    fn encode_as_is(&self, text: &str) -> Result<Vec<u32>, Cause> {
        // User-defined pieces only: a string that spells a control piece is text.
        let kinds: &[SpecialTokenKind] = &[SpecialTokenKind::Priority];
        guarded(|| Ok(self.kitoken.encode(text, kinds)?))
    }
}

/// Fails with the unsupported feature of the file, as a verb phrase.
fn check_settings(proto: &SentencePieceModel) -> Result<(), String> {
    // Whatever a file omits has the default of the format: it is Unigram and collapses white space.
    let trainer = proto.trainer().cloned().unwrap_or_default();
    let normaliser = proto.normalizer().cloned().unwrap_or_default();
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

/// Bytes of the longest piece that is read. Those of models in use have up to 100.
const MAX_PIECE_BYTES: usize = 512;
/// Sum over all pieces of the square of their bytes, to which the time to read them is proportional. 256,000 pieces of
/// 60 bytes are within it.
const MAX_PIECE_WORK: u64 = 1 << 30;

/// Fails if pieces are so long that reading the model would take minutes.
fn check_lengths(proto: &SentencePieceModel) -> Result<(), String> {
    let longest = pieces(proto).map(|(_, text, _)| text.len()).max().unwrap_or(0);
    if longest > MAX_PIECE_BYTES {
        return Err(format!("has a piece of {longest} bytes, more than {MAX_PIECE_BYTES}"));
    }
    let work: u64 = pieces(proto).map(|(_, text, _)| (text.len() as u64).pow(2)).sum();
    if work > MAX_PIECE_WORK {
        return Err("has too many long pieces".to_owned());
    }
    Ok(())
}

/// Fails if two pieces have the same score: of two such merges, sentencepiece makes the left one first, kitoken the one
/// with the smaller id.
///
/// Pieces of spaces only are exempt: in Jamba they all have one score. Runs of more than 35 spaces can therefore be divided
/// differently (16 + 20 spaces, not 32 + 4), into the same number of tokens.
fn check_scores(proto: &SentencePieceModel) -> Result<(), String> {
    let is_spaces = |text: &str| text.chars().all(|c| c == '\u{2581}');
    let words =
        proto.pieces().iter().filter(|piece| is_merged(piece.piece(), piece.r#type()) && !is_spaces(piece.piece()));
    let mut scores: Vec<f32> = words.map(sentencepiece_model::SentencePiece::score).collect();
    scores.sort_unstable_by(f32::total_cmp);
    match scores.array_windows().find(|[left, right]| left.total_cmp(right).is_eq()) {
        Some([score, _]) => Err(format!("has two pieces of the score {score}")),
        None => Ok(()),
    }
}

/// The id of the unknown piece. Fails unless there is exactly one, as sentencepiece does.
fn unknown_piece(proto: &SentencePieceModel) -> Result<u32, String> {
    let unknown: Vec<u32> = pieces(proto).filter(|(.., kind)| *kind == Type::Unknown).map(|(id, ..)| id).collect();
    match unknown.as_slice() {
        [id] => Ok(*id),
        _ => Err(format!("has {} unknown pieces", unknown.len())),
    }
}

/// Fails if there is a piece to which no merges lead: kitoken takes a word with its spelling for that piece,
/// sentencepiece does not. Vocabularies that were trained have no such piece.
fn check_pieces(proto: &SentencePieceModel, model: &SentencePiece) -> Result<(), String> {
    let defined = pieces(proto).filter(|(.., kind)| *kind == Type::UserDefined).map(|(_, text, _)| text);
    let defined =
        AhoCorasick::new(defined).map_err(|error| format!("has user-defined pieces that cannot be found: {error}"))?;
    for (id, text) in merged_pieces(proto).filter(|(_, text)| !defined.is_match(*text)) {
        // With a character that is in no piece, the word itself is no piece.
        let word = [text, "\0"].concat();
        let ids = model.encode_as_is(&word).map_err(|cause| format!("cannot encode {text:?}: {cause}"))?;
        if ids.first() != Some(&id) {
            return Err(format!("has the piece {text:?}, to which no merges lead"));
        }
    }
    Ok(())
}

/// The pieces that can result from merging others.
fn merged_pieces(proto: &SentencePieceModel) -> impl Iterator<Item = (u32, &str)> {
    pieces(proto).filter(move |(_, text, kind)| is_merged(text, *kind)).map(|(id, text, _)| (id, text))
}

fn is_merged(text: &str, kind: Type) -> bool {
    kind == Type::Normal && text.chars().nth(1).is_some()
}

fn pieces(proto: &SentencePieceModel) -> impl Iterator<Item = (u32, &str, Type)> {
    (0..).zip(proto.pieces()).map(|(id, piece)| (id, piece.piece(), piece.r#type()))
}

/// The pieces that never come from text. Hugging Face's tokenizers find their spellings in prompts.
fn control_pieces(proto: &SentencePieceModel) -> Vec<AddedToken> {
    pieces(proto)
        .filter(|(_, text, kind)| matches!(kind, Type::Control | Type::Unknown) && !text.is_empty())
        .map(|(id, text, _)| AddedToken { text: text.to_owned(), id, is_special: true })
        .collect()
}

/// The tokens of a configuration that the model does not have. Fails if one has the id of a piece.
fn configured_tokens(
    proto: &SentencePieceModel,
    listed: Vec<ConfiguredToken>,
    list: &str,
) -> Result<Vec<AddedToken>, String> {
    let mut configured = Vec::new();
    for token in listed {
        let piece = proto.pieces().get(token.id as usize).map(sentencepiece_model::SentencePiece::piece);
        match piece {
            Some(piece) if piece == token.content => {}
            Some(piece) => {
                return Err(format!("has {piece:?} as {}, not {:?} as {list} says", token.id, token.content));
            }
            None if token.is_plain() => {
                configured.push(AddedToken { text: token.content, id: token.id, is_special: token.special });
            }
            None => {
                return Err(format!("lacks the token {:?}, which {list} adds with the text around it", token.content));
            }
        }
    }
    Ok(configured)
}

/// The tokens that the tokenizers of `transformers` put around a text: `add_bos_token` and `add_eos_token`
/// (`tokenization_utils_tokenizers.py`). Where nothing is said, `<s>` may be before it.
fn tokens_around(config: &TokenizerConfig, control: &AddedTokens) -> TokensAround {
    let adds_bos = config.flag("add_bos_token");
    let is_stated = adds_bos.is_some();
    let bos = config.special_token("bos_token").or(Some("<s>")).filter(|_| adds_bos != Some(false));
    let eos = config.special_token("eos_token").or(Some("</s>"));
    let eos = eos.filter(|_| config.flag("add_eos_token") == Some(true));
    let id = |token: Option<&str>| token.and_then(|token| control.special(token)).into_iter().collect();
    TokensAround { before: id(bos), after: id(eos), start: bos.unwrap_or_default().to_owned(), is_stated }
}

/// Whether no text is unknown. Only then are cuts exact, because neighbouring unknown characters are one token.
fn has_all_bytes(definition: &Definition) -> bool {
    let num_bytes = definition.model.vocab().iter().filter(|token| token.bytes.len() == 1).count();
    definition.config.fallback.first() == Some(&Fallback::Bytes) && num_bytes == 256
}

fn pairs(proto: &SentencePieceModel) -> PairTable {
    let texts = pieces(proto).filter(|(.., kind)| matches!(kind, Type::Normal | Type::UserDefined | Type::Unused));
    PairTable::from_tokens(texts.map(|(_, text, _)| text))
}

/// Removes from kitoken's reading of the file what is done here, and corrects it where sentencepiece differs.
fn adapt(definition: &mut Definition, proto: &SentencePieceModel, unknown_id: u32) {
    let config = &mut definition.config;
    // A text has its prefix before it reaches kitoken, so that a word can be tokenized by itself.
    config.normalization.retain(|step| !matches!(step, Normalization::Extend { .. }));
    // kitoken starts a new word at each run of spaces. A model with a piece across such a position does not.
    let spans_words = |text: &str| text.trim_start_matches('\u{2581}').contains('\u{2581}');
    if pieces(proto).any(|(_, text, kind)| kind != Type::Control && spans_words(text)) {
        config.split.clear();
    }
    // Control pieces are found here. Finding them would cost kitoken a search in every word.
    definition.specials.retain(|special| special.kind != SpecialTokenKind::Control);
    for special in &mut definition.specials {
        if special.kind == SpecialTokenKind::Unknown {
            // kitoken searches for the *surface* of the unknown token (" ⁇ ") in texts; sentencepiece does not.
            special.bytes = "\u{10FFFF}\u{10FFFE}".into();
            // kitoken takes the id from the settings of the trainer, which need not be that of a piece.
            special.id = unknown_id;
            if !config.fallback.contains(&Fallback::Bytes) {
                config.processing = vec![Processing::Collapse { id: special.id }];
            }
        }
    }
    // Of several user-defined pieces, the longest wins.
    definition.specials.sort_by_key(|special| std::cmp::Reverse(special.bytes.len()));
}
