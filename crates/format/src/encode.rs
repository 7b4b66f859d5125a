//! A prompt as it is fed to the model: token ids, with images marked, and labels.
//!
//! LLaVA and its descendants cut a prompt at placeholders, and tokenize each text between two of them on its own. The
//! processors of `transformers` tokenize it whole: their placeholders are tokens. Labels follow from the positions of tokens in
//! the prompt. Nothing here writes or changes a prompt.

use std::ops::Range;
use std::sync::Arc;

use manyframe_core::SampleTokens;
use manyframe_vision::{ImageText, MediaToken, VisionProcessor};
use memchr::memmem;

use crate::error::FormatError;
use crate::spec::Placeholders;
use crate::tokenizer::{TokenSpan, Tokenizer};

/// Tokenizes prompts that contain placeholders.
#[derive(Debug)]
pub(crate) struct PromptTokenizer {
    tokenizer: Arc<Tokenizer>,
    /// The placeholders of runs of visual tokens.
    placeholders: Vec<Placeholder>,
    /// Tokens that have a type, by id.
    typed: Vec<(u32, i8)>,
    /// Texts of which every token is part of an image.
    image_text: Option<ImageText>,
    written: Placeholders,
    /// Whether the tokens that the tokenizer puts around a text are added to prompts, as the processors of `transformers` do.
    is_surrounded: bool,
}

/// A placeholder of runs of visual tokens.
#[derive(Debug)]
struct Placeholder {
    text: String,
    /// Finds it. Made once.
    finder: memmem::Finder<'static>,
    /// `None` if a prompt is cut at it.
    id: Option<u32>,
}

/// The loss of a prompt: where it is computed, and the label of a newline that ends an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LabelRules<'a> {
    /// Characters of the prompt (first, one past last), in order and disjoint.
    pub(crate) spans: &'a [(usize, usize)],
    /// The label of the last token of every span except the last, if it is not the token itself.
    pub(crate) turn_end_label: Option<u32>,
}

/// A token or a run of visual tokens, and the bytes of the prompt that it is made of. Starts and ends never decrease along a
/// prompt.
struct PromptToken {
    /// `None` for a run that is written as one id that no token has.
    id: Option<u32>,
    start: usize,
    end: usize,
    is_run: bool,
}

impl PromptTokenizer {
    /// # Errors
    /// If placeholders are to be written as tokens, and the tokenizer does not have them.
    pub(crate) fn new(
        tokenizer: Arc<Tokenizer>,
        processor: &dyn VisionProcessor,
        written: Placeholders,
        is_cut: bool,
    ) -> Result<Self, FormatError> {
        let tokens = processor.tokens();
        let id_of = |token: &MediaToken| match tokenizer.added(&token.text) {
            _ if is_cut => Ok(None),
            Some(id) => Ok(Some(id)),
            None => Err(FormatError::NoPlaceholder { placeholder: token.text.to_string() }),
        };
        let placeholder = |token: &MediaToken| {
            let finder = memmem::Finder::new(&*token.text).into_owned();
            Ok(Placeholder { text: token.text.to_string(), finder, id: id_of(token)? })
        };
        let placeholders =
            tokens.iter().filter(|token| token.is_placeholder).map(placeholder).collect::<Result<_, _>>()?;
        let typed = tokens.iter().filter(|token| token.type_id != 0);
        let typed = typed.filter_map(|token| Some((tokenizer.added(&token.text)?, token.type_id)));
        let typed = if written == Placeholders::Expanded { typed.collect() } else { Vec::new() };
        let image_text = processor.image_text();
        Ok(Self { tokenizer, placeholders, typed, image_text, written, is_surrounded: false })
    }

    /// With the tokens that the tokenizer puts around a text.
    pub(crate) fn surrounded(self) -> Self {
        Self { is_surrounded: true, ..self }
    }

    /// The id of a special token.
    pub(crate) fn special(&self, token: &str) -> Option<u32> {
        self.tokenizer.special(token)
    }

    /// Whether a text is one token.
    pub(crate) fn is_one_token(&self, text: &str) -> bool {
        self.tokenizer.encode_prompt(text).is_ok_and(|ids| ids.len() == 1)
    }

    /// A placeholder, which does not count as text.
    pub(crate) fn bare_placeholder(&self) -> &str {
        self.placeholders.first().map_or("", |placeholder| placeholder.text.as_str())
    }

    /// The number of text tokens of a prompt, and of its placeholders.
    pub(crate) fn count(&self, prompt: &str) -> Result<(u64, u64), FormatError> {
        if let Some(cut) = self.cut() {
            let mut num_placeholders = 0;
            let texts = texts_between(prompt, cut)
                .inspect(|(_, placeholder)| num_placeholders += u64::from(placeholder.is_some()));
            let num_tokens = self.tokenizer.count_prompt(texts.map(|(text, _)| text))?;
            return Ok((num_tokens, num_placeholders));
        }
        let found = self.placeholders.iter().map(|placeholder| placeholder.finder.find_iter(prompt.as_bytes()).count());
        let num_placeholders = found.sum::<usize>() as u64;
        let (before, after) = self.around(prompt);
        let num_tokens = self.tokenizer.count_prompt([prompt])? + (before.len() + after.len()) as u64;
        Ok((num_tokens.saturating_sub(num_placeholders), num_placeholders))
    }

    /// The tokens of a prompt with their labels. A token is labelled if any part of it is in a span. `runs` are the tokens of
    /// each placeholder, in order.
    ///
    /// # Errors
    /// If the text has no tokens, or not as many placeholders as there are runs.
    pub(crate) fn encode(
        &self,
        prompt: &str,
        runs: &[u32],
        labels: LabelRules<'_>,
    ) -> Result<SampleTokens, FormatError> {
        let tokens = self.tokens(prompt)?;
        let labels = labels_of(&tokens, prompt, labels);
        let num_placeholders = tokens.iter().filter(|token| token.is_run).count();
        if num_placeholders != runs.len() {
            return Err(FormatError::Placeholders { found: num_placeholders, expected: runs.len() });
        }
        let mut encoded = SampleTokens::default();
        let mut runs = runs.iter();
        let (before, after) = self.around(prompt);
        let image_texts = self.image_texts(prompt);
        self.push_unlabelled(before, &mut encoded);
        for (token, label) in tokens.iter().zip(labels) {
            let length = match self.written {
                Placeholders::Expanded if token.is_run => runs.next().map_or(1, |run| *run as usize),
                _ => 1,
            };
            if token.is_run {
                encoded.image_positions.push(encoded.input_ids.len() as u32);
            }
            let is_marked = token.is_run && self.written == Placeholders::One;
            let id = token.id.filter(|_| !is_marked).map_or(SampleTokens::IMAGE, u32::cast_signed);
            encoded.input_ids.extend(std::iter::repeat_n(id, length));
            encoded.labels.extend(std::iter::repeat_n(label, length));
            if !self.typed.is_empty() {
                encoded.type_ids.extend(std::iter::repeat_n(self.type_of(token, &image_texts), length));
            }
        }
        self.push_unlabelled(after, &mut encoded);
        Ok(encoded)
    }

    /// The tokens before and after a prompt.
    fn around(&self, prompt: &str) -> (&[u32], &[u32]) {
        let around = self.tokenizer.around();
        if self.is_surrounded && around.are_added_to(prompt) { (&around.before, &around.after) } else { (&[], &[]) }
    }

    fn push_unlabelled(&self, ids: &[u32], encoded: &mut SampleTokens) {
        encoded.input_ids.extend(ids.iter().map(|id| id.cast_signed()));
        encoded.labels.extend(ids.iter().map(|_| SampleTokens::IGNORED));
        if !self.typed.is_empty() {
            encoded.type_ids.extend(ids.iter().map(|_| 0));
        }
    }

    /// The bytes of a prompt that are written in place of images, if every token there counts as part of them.
    fn image_texts(&self, prompt: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let Some(ImageText { first, last }) = self.image_text.as_ref().filter(|_| !self.typed.is_empty()) else {
            return found;
        };
        let mut at = 0;
        let find = |text: &str, from: usize| Some(from + prompt.get(from..)?.find(text)?);
        while let Some(start) = find(first, at)
            && let Some(end) = find(last, start + first.len())
        {
            at = end + last.len();
            found.push(start..at);
        }
        found
    }

    fn type_of(&self, token: &PromptToken, image_texts: &[Range<usize>]) -> i8 {
        let next = image_texts.get(image_texts.partition_point(|text| text.end <= token.start));
        if next.is_some_and(|text| text.start < token.end) {
            return 1;
        }
        let typed = self.typed.iter().find(|(id, _)| Some(*id) == token.id);
        typed.map_or(0, |(_, type_id)| *type_id)
    }

    /// The placeholder at which prompts are cut.
    fn cut(&self) -> Option<&memmem::Finder<'static>> {
        self.placeholders.first().filter(|placeholder| placeholder.id.is_none()).map(|placeholder| &placeholder.finder)
    }

    /// The tokens and images of a prompt.
    fn tokens(&self, prompt: &str) -> Result<Vec<PromptToken>, FormatError> {
        let Some(cut) = self.cut() else { return self.tokens_of_whole(prompt) };
        let mut tokens = Vec::new();
        let mut text_start = 0;
        for (text, image) in texts_between(prompt, cut) {
            let spans = self.tokenizer.encode_prompt_spans(text)?;
            tokens.extend(spans.into_iter().map(|TokenSpan { id, start, end }| PromptToken {
                id: Some(id),
                start: text_start + start,
                end: text_start + end,
                is_run: false,
            }));
            if let Some(start) = image {
                text_start = start + cut.needle().len();
                tokens.push(PromptToken { id: None, start, end: text_start, is_run: true });
            }
        }
        Ok(tokens)
    }

    fn tokens_of_whole(&self, prompt: &str) -> Result<Vec<PromptToken>, FormatError> {
        let spans = self.tokenizer.encode_prompt_spans(prompt)?;
        let is_placeholder = |id: u32| self.placeholders.iter().any(|placeholder| placeholder.id == Some(id));
        let token = |TokenSpan { id, start, end }| PromptToken { id: Some(id), start, end, is_run: is_placeholder(id) };
        Ok(spans.into_iter().map(token).collect())
    }
}

/// The texts of a prompt, each with the byte at which the placeholder that follows it starts.
#[expect(
    clippy::string_slice,
    reason = "a placeholder is found between characters, and begins after the one before it"
)]
fn texts_between<'p>(
    prompt: &'p str,
    placeholder: &memmem::Finder<'_>,
) -> impl Iterator<Item = (&'p str, Option<usize>)> {
    let images = placeholder.find_iter(prompt.as_bytes()).map(Some);
    let mut start = 0;
    images.chain([None]).map(move |image| {
        let text = &prompt[start..image.unwrap_or(prompt.len())];
        start += text.len() + placeholder.needle().len();
        (text, image)
    })
}

fn labels_of(tokens: &[PromptToken], prompt: &str, rules: LabelRules<'_>) -> Vec<i32> {
    let mut labels = vec![SampleTokens::IGNORED; tokens.len()];
    let spans = byte_spans(prompt, rules.spans);
    for (index, &(start, end)) in spans.iter().enumerate() {
        let first = tokens.partition_point(|token| token.end <= start && token.start < start);
        let past_last = tokens.partition_point(|token| token.start < end);
        // Slices: skipping over an iterator would cost as many steps as there are tokens before the span.
        let range = first..past_last.max(first);
        let inside = tokens.get(range.clone()).into_iter().flatten().zip(labels.get_mut(range).into_iter().flatten());
        let mut last_label = None;
        let is_text = |(token, label): (&PromptToken, _)| token.id.filter(|_| !token.is_run).zip(Some(label));
        for (id, label) in inside.filter_map(is_text) {
            *label = id.cast_signed();
            last_label = Some(label);
        }
        if let (Some(id), Some(label), true) = (rules.turn_end_label, last_label, index + 1 < spans.len()) {
            *label = id.cast_signed();
        }
    }
    labels
}

/// Spans of characters as spans of bytes. Characters past the end are at the end.
fn byte_spans(text: &str, spans: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut bytes = text.char_indices().map(|(byte, _)| byte).enumerate().peekable();
    let mut byte_of = |char_index: usize| {
        while bytes.next_if(|(index, _)| *index < char_index).is_some() {}
        bytes.peek().map_or(text.len(), |(_, byte)| *byte)
    };
    spans.iter().map(|&(start, end)| (byte_of(start), byte_of(end))).collect()
}
