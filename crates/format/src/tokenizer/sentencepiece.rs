//! SentencePiece `.model` files, tokenized as by the sentencepiece library itself.
//!
//! As in sentencepiece, control pieces (`<s>`, `<|startoftext|>`, …) never come from text. A prompt is cut at them, and
//! each text between two of them is tokenized on its own, as Hugging Face's slow tokenizers do. User-defined pieces are
//! part of the model.
//!
//! Only BPE models that leave their text as it is can be read, such as those of Llama, Vicuna, Mistral and Jamba.
//! Models that normalise (`nmt_nfkc` …) or collapse white space, and Unigram models are refused. Use their `tokenizer.json`.

use std::path::Path;

use prost::Message as _;

use super::added::{AddedToken, AddedTokens, SpecialTokens};
use super::cuts::{Cuts, PairTable};
use super::extents::{Extents, PrefixedText};
use super::merges::{Fallback, Merges, Merging};
use super::model::{Model, ParsedTokenizer, Prefixes, TokenSpan, TokenizerFile, TokensAround, guarded};
use super::sentencepiece_file::{ModelType, NormalizerSpec, Piece, SentencePieceModel, TrainerSpec, Type};
use super::words::Words;
use crate::error::{Cause, FormatError};
use crate::snapshot::{ConfiguredToken, TokenizerConfig};

#[derive(Debug)]
struct SentencePiece {
    merges: Merges,
    /// Where texts are cut into words: no piece spans a cut.
    cuts: Cuts,
    /// Pieces that the user defined. They are found before anything is merged, the longest of several. `None` if there are none.
    defined: Option<AddedTokens>,
    control: AddedTokens,
    extents: Extents,
    /// What is put before each text: a space or nothing.
    prefix: &'static str,
}

pub(super) fn parse(path: &Path, bytes: &[u8], config: &TokenizerConfig) -> Result<ParsedTokenizer, FormatError> {
    let file = TokenizerFile { path, expected: "a SentencePiece model" };
    let unsupported = |property: String| file.unsupported(property);
    let proto = guarded(|| Ok(SentencePieceModel::decode(bytes)?)).map_err(|source| file.unreadable(source))?;
    check_settings(&proto).map_err(unsupported)?;
    check_lengths(&proto).map_err(unsupported)?;
    let merges = merges(&proto).map_err(unsupported)?;
    if merges.is_empty() {
        return Err(file.unreadable("it has no pieces"));
    }
    let prefix = if proto.normalizer.as_ref().is_some_and(NormalizerSpec::add_dummy_prefix) { " " } else { "" };
    let cuts = Cuts::Pairs(pairs(&proto));
    // Elsewhere counts of words do not add up: neighbouring unknown characters are one token.
    let words = falls_back_to_bytes(&proto).then(|| Words::new(cuts.clone(), prefix));
    let defined = defined_pieces(&proto)?;
    let configured = configured_tokens(&proto, config.added_tokens()?, config.list_name()).map_err(unsupported)?;
    let names = configured.iter().map(|token| format!("{} {} {}", token.id, token.is_special, token.text));
    let names: Vec<String> = names.collect();
    let control = AddedTokens::new(control_pieces(&proto).into_iter().chain(configured).collect())?;
    let extents = Extents::from_pieces(pieces(&proto).map(|(_, text, kind)| (text, kind)));
    let model = SentencePiece { merges, cuts, defined, control: control.clone(), extents, prefix };
    let num_pieces = u32::try_from(proto.pieces.len()).unwrap_or(u32::MAX);
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
        let mut merging = Merging::default();
        let mut marked = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (word, after) = self.cuts.split_word(rest);
            marked.clear();
            mark_spaces(word, &mut marked);
            if u32::try_from(marked.len()).is_err() {
                return Err("a word has 4 GiB or more".into());
            }
            self.encode_word(&marked, &mut merging);
            rest = after;
        }
        Ok(merging.ids)
    }

    /// Appends the tokens of a word in which spaces are marked.
    fn encode_word(&self, word: &str, merging: &mut Merging) {
        let Some(defined) = &self.defined else { return self.merges.encode(word, merging) };
        for (before, id) in defined.split(word, SpecialTokens::AsTokens) {
            self.merges.encode(before, merging);
            merging.ids.extend(id);
        }
    }
}

/// Appends a text with U+2581 in place of spaces.
fn mark_spaces(text: &str, marked: &mut String) {
    let mut parts = text.split(' ');
    marked.extend(parts.next());
    for part in parts {
        marked.push('\u{2581}');
        marked.push_str(part);
    }
}

/// Fails with the unsupported feature of the file, as a verb phrase.
fn check_settings(proto: &SentencePieceModel) -> Result<(), String> {
    // Whatever a file omits has the default of the format: it is Unigram and collapses white space.
    let trainer = proto.trainer.clone().unwrap_or_default();
    let normaliser = proto.normalizer.clone().unwrap_or_default();
    if trainer.model_type() != ModelType::Bpe {
        return Err(format!("is of the type {}", format!("{:?}", trainer.model_type()).to_uppercase()));
    }
    if !matches!(normaliser.name(), "" | "identity") || !normaliser.precompiled_charsmap().is_empty() {
        return Err(format!("normalises text by {:?}", normaliser.name()));
    }
    if normaliser.remove_extra_whitespaces() {
        return Err("collapses white space".into());
    }
    // They are made like others, and divided again at the end.
    if let Some((_, text, _)) = pieces(proto).find(|(.., kind)| *kind == Type::Unused) {
        return Err(format!("has the unused piece {text:?}"));
    }
    if !normaliser.escape_whitespaces() || trainer.treat_whitespace_as_suffix() {
        return Err("does not mark spaces in front of words".into());
    }
    Ok(())
}

/// Bytes of the longest piece that is read. Those of models in use have up to 100.
const MAX_PIECE_BYTES: usize = 512;

/// Fails if pieces are so long that looking them up would take minutes.
fn check_lengths(proto: &SentencePieceModel) -> Result<(), String> {
    let longest = pieces(proto).map(|(_, text, _)| text.len()).max().unwrap_or(0);
    if longest > MAX_PIECE_BYTES {
        return Err(format!("has a piece of {longest} bytes, more than {MAX_PIECE_BYTES}"));
    }
    Ok(())
}

/// The id of the unknown piece. Fails unless there is exactly one, as sentencepiece does.
fn unknown_piece(proto: &SentencePieceModel) -> Result<u32, String> {
    let unknown: Vec<u32> = pieces(proto).filter(|(.., kind)| *kind == Type::Unknown).map(|(id, ..)| id).collect();
    match unknown.as_slice() {
        [id] => Ok(*id),
        _ => Err(format!("has {} unknown pieces", unknown.len())),
    }
}

fn pieces(proto: &SentencePieceModel) -> impl Iterator<Item = (u32, &str, Type)> {
    (0..).zip(&proto.pieces).map(|(id, piece)| (id, piece.text(), piece.r#type()))
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
        let piece = proto.pieces.get(token.id as usize).map(Piece::text);
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

/// The pieces that texts are merged to, and the tokens of characters that are none. Unused pieces are none.
fn merges(proto: &SentencePieceModel) -> Result<Merges, String> {
    let unknown = unknown_piece(proto)?;
    let fallback = if falls_back_to_bytes(proto) {
        let mut of_bytes = Box::new([None; 256]);
        for (byte, id) in byte_pieces(proto) {
            if let Some(of_byte) = of_bytes.get_mut(usize::from(byte?)) {
                *of_byte = Some(id);
            }
        }
        if let Some(missing) = of_bytes.iter().position(Option::is_none) {
            return Err(format!("has no piece for the byte {missing}"));
        }
        Fallback::Bytes(Box::new(of_bytes.map(|id| id.unwrap_or(unknown))))
    } else {
        Fallback::Unknown(unknown)
    };
    let normal = proto.pieces.iter().zip(0..).filter(|(piece, _)| piece.r#type() == Type::Normal);
    Ok(Merges::new(normal.map(|(piece, id)| (piece.text(), piece.score(), id)), fallback))
}

/// Whether no text is unknown: there is a piece for every byte.
fn falls_back_to_bytes(proto: &SentencePieceModel) -> bool {
    proto.trainer.as_ref().is_some_and(TrainerSpec::byte_fallback)
}

/// The bytes that have pieces, spelled `<0x0A>`, with their ids. Fails for one that is spelled otherwise.
fn byte_pieces(proto: &SentencePieceModel) -> impl Iterator<Item = (Result<u8, String>, u32)> {
    pieces(proto).filter(|(.., kind)| *kind == Type::Byte).map(|(id, text, _)| {
        let digits =
            text.strip_prefix("<0x").and_then(|text| text.strip_suffix('>')).filter(|digits| digits.len() == 2);
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        (byte.ok_or_else(|| format!("has {text:?} as the piece of a byte")), id)
    })
}

/// The pieces that the user of the trainer defined.
fn defined_pieces(proto: &SentencePieceModel) -> Result<Option<AddedTokens>, FormatError> {
    let defined = pieces(proto).filter(|(_, text, kind)| *kind == Type::UserDefined && !text.is_empty());
    let defined = defined.map(|(id, text, _)| AddedToken { text: text.to_owned(), id, is_special: false });
    let defined: Vec<AddedToken> = defined.collect();
    (!defined.is_empty()).then(|| AddedTokens::new(defined)).transpose()
}

fn pairs(proto: &SentencePieceModel) -> PairTable {
    let texts = pieces(proto).filter(|(.., kind)| matches!(kind, Type::Normal | Type::UserDefined | Type::Unused));
    PairTable::from_tokens(texts.map(|(_, text, _)| text))
}
