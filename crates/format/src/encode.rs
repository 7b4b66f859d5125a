//! A prompt as it is fed to the model: token ids, with images marked, and labels.
//!
//! Each text between images is tokenized once, on its own, as LLaVA and its descendants do. Labels follow from the
//! positions of its tokens in the prompt. Nothing here writes or changes a prompt.

use std::sync::Arc;

use manyframe_core::SampleTokens;
use memchr::memmem;

use crate::dialect::PLACEHOLDER;
use crate::error::FormatError;
use crate::tokenizer::{TokenSpan, Tokenizer};

/// Tokenizes prompts that contain placeholders.
#[derive(Debug)]
pub(crate) struct PromptTokenizer {
    tokenizer: Arc<Tokenizer>,
    /// Finds placeholders. Made once.
    images: memmem::Finder<'static>,
}

/// The loss of a prompt: where it is computed, and the label of a newline that ends an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LabelRules<'a> {
    /// Characters of the prompt (first, one past last), in order and disjoint.
    pub(crate) spans: &'a [(usize, usize)],
    /// The label of the last token of every span except the last, if it is not the token itself.
    pub(crate) turn_end_label: Option<u32>,
}

/// A token or an image, and the bytes of the prompt that it is made of. Starts and ends never decrease along a prompt.
struct PromptToken {
    /// `None` for an image.
    id: Option<u32>,
    start: usize,
    end: usize,
}

impl PromptTokenizer {
    pub(crate) fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self { tokenizer, images: memmem::Finder::new(PLACEHOLDER) }
    }

    /// The id of a special token.
    pub(crate) fn special(&self, token: &str) -> Option<u32> {
        self.tokenizer.special(token)
    }

    /// The number of text tokens of a prompt, and of its placeholders.
    pub(crate) fn count(&self, prompt: &str) -> Result<(u64, u64), FormatError> {
        let mut num_placeholders = 0;
        let texts =
            self.texts_between_images(prompt).inspect(|(_, image)| num_placeholders += u64::from(image.is_some()));
        let num_tokens = self.tokenizer.count_prompt(texts.map(|(text, _)| text))?;
        Ok((num_tokens, num_placeholders))
    }

    /// The tokens of a prompt with their labels. A token is labelled if any part of it is in a span.
    pub(crate) fn encode(&self, prompt: &str, labels: LabelRules<'_>) -> Result<SampleTokens, FormatError> {
        let tokens = self.tokens(prompt)?;
        let input_ids = tokens.iter().map(|token| token.id.map_or(SampleTokens::IMAGE, u32::cast_signed)).collect();
        let images = (0..).zip(&tokens).filter(|(_, token)| token.id.is_none());
        let image_positions = images.map(|(position, _)| position).collect();
        Ok(SampleTokens { input_ids, labels: labels_of(&tokens, prompt, labels), image_positions })
    }

    /// The tokens and images of a prompt.
    fn tokens(&self, prompt: &str) -> Result<Vec<PromptToken>, FormatError> {
        let mut tokens = Vec::new();
        let mut text_start = 0;
        for (text, image) in self.texts_between_images(prompt) {
            let spans = self.tokenizer.encode_prompt_spans(text)?;
            tokens.extend(spans.into_iter().map(|TokenSpan { id, start, end }| PromptToken {
                id: Some(id),
                start: text_start + start,
                end: text_start + end,
            }));
            if let Some(start) = image {
                text_start = start + PLACEHOLDER.len();
                tokens.push(PromptToken { id: None, start, end: text_start });
            }
        }
        Ok(tokens)
    }

    /// The texts of a prompt, each with the byte at which the placeholder that follows it starts.
    #[expect(
        clippy::string_slice,
        reason = "a placeholder is found between characters, and begins after the one before it"
    )]
    fn texts_between_images<'p>(&self, prompt: &'p str) -> impl Iterator<Item = (&'p str, Option<usize>)> {
        let images = self.images.find_iter(prompt.as_bytes()).map(Some);
        let mut start = 0;
        images.chain([None]).map(move |image| {
            let text = &prompt[start..image.unwrap_or(prompt.len())];
            start += text.len() + PLACEHOLDER.len();
            (text, image)
        })
    }
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
        for (id, label) in inside.filter_map(|(token, label)| token.id.zip(Some(label))) {
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
