//! A prompt as a trainer feeds it: token ids, images marked, and labels.
//!
//! Each text between images is tokenised once; the labels follow from the places of its tokens in the prompt. Nothing here
//! writes or changes a prompt.

use manyframe_core::SampleTokens;

use crate::dialect::PLACEHOLDER;
use crate::tokenizer::TokenSpan;
use crate::{FormatError, Formatter, TurnEnd};

impl Formatter {
    /// Tokenises a formatted prompt. `label_spans` are characters of the prompt, in order and disjoint.
    ///
    /// A token is labelled if anything of it lies in a span. One that begins before a span is the first token of an answer
    /// under Llama's tokenizers: it takes the space before it. One that goes on after a span is the last of an end token
    /// that the tokenizer takes for text: its `>` and the `<` of what the template writes next are one.
    /// Under [`TurnEnd::NewlineInEosLabel`] the label of the last token of each span but the last is the template's end
    /// token, if that is a single special token.
    pub fn encode(&self, prompt: &str, label_spans: &[(usize, usize)]) -> Result<SampleTokens, FormatError> {
        let end_id = self.tokenizer.special(&self.template.end).filter(|_| self.turn_end == TurnEnd::NewlineInEosLabel);
        let places = self.places(prompt)?;
        let input_ids: Vec<i32> =
            places.iter().map(|place| place.id.map_or(SampleTokens::IMAGE, u32::cast_signed)).collect();
        let mut labels = vec![SampleTokens::IGNORED; input_ids.len()];
        let spans = byte_spans(prompt, label_spans);
        for (index, &(start, end)) in spans.iter().enumerate() {
            let first = places.partition_point(|place| place.end <= start && place.start < start);
            let last = places.partition_point(|place| place.start < end);
            let inside = places.iter().zip(&mut labels).take(last).skip(first);
            let mut last_label = None;
            for (id, label) in inside.filter_map(|(place, label)| place.id.zip(Some(label))) {
                *label = id.cast_signed();
                last_label = Some(label);
            }
            if let (Some(id), Some(label), true) = (end_id, last_label, index + 1 < spans.len()) {
                *label = id.cast_signed();
            }
        }
        let images = (0..).zip(&places).filter(|(_, place)| place.id.is_none());
        let image_positions = images.map(|(position, _)| position).collect();
        Ok(SampleTokens { input_ids, labels, image_positions })
    }

    /// The tokens and images of a prompt.
    fn places(&self, prompt: &str) -> Result<Vec<Place>, FormatError> {
        let mut places = Vec::new();
        let mut text_start = 0;
        for (text, image) in self.texts_between_images(prompt) {
            let spans = self.tokenizer.encode_prompt_spans(text)?;
            places.extend(spans.into_iter().map(|TokenSpan { id, start, end }| Place {
                id: Some(id),
                start: text_start + start,
                end: text_start + end,
            }));
            if let Some(start) = image {
                text_start = start + PLACEHOLDER.len();
                places.push(Place { id: None, start, end: text_start });
            }
        }
        Ok(places)
    }
}

/// A token or an image, and the bytes of the prompt that it stands for. Starts and ends never decrease along a prompt.
struct Place {
    /// `None` for an image.
    id: Option<u32>,
    start: usize,
    end: usize,
}

/// Spans of characters as spans of bytes; characters past the end are at the end.
fn byte_spans(text: &str, spans: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut bytes = text.char_indices().map(|(byte, _)| byte).enumerate().peekable();
    let mut byte_of = |char_index: usize| {
        while bytes.next_if(|(index, _)| *index < char_index).is_some() {}
        bytes.peek().map_or(text.len(), |(_, byte)| *byte)
    };
    spans.iter().map(|&(start, end)| (byte_of(start), byte_of(end))).collect()
}
