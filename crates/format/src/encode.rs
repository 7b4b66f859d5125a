//! A prompt as a trainer feeds it: token ids, images marked, and labels.

use crate::dialect::PLACEHOLDER;
use crate::formatter::texts_between_images;
use crate::{FormatError, Formatter, TurnEnd};

/// The token ids of a prompt, an image taking one place, and the label at each place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Ids of tokens; [`Encoded::IMAGE`] for each image, whatever its number of tokens.
    pub input_ids: Vec<i64>,
    /// The id that is to be predicted at each place of `input_ids`, not shifted; [`Encoded::IGNORED`] where there is no loss.
    pub labels: Vec<i64>,
}

impl Encoded {
    /// Stands for an image among ids: −200, the number that LLaVA uses.
    pub const IMAGE: i64 = -200;
    /// Stands for "no loss" among labels: −100, the number that PyTorch uses.
    pub const IGNORED: i64 = -100;
}

impl Formatter {
    /// Tokenises a formatted prompt. `label_spans` are characters of the prompt, in order.
    ///
    /// A token that begins before a span and ends in it is labelled: with Llama's tokenizers that is the first token of an
    /// answer, which takes the space before it. Under [`TurnEnd::NewlineInEosLabel`] the label of the last token of each
    /// span but the last is the template's end token, if that is a single special token.
    ///
    /// Meant for checks and previews: the text before each end of a span is tokenised once more.
    pub fn encode(&self, prompt: &str, label_spans: &[(usize, usize)]) -> Result<Encoded, FormatError> {
        let mut spans = byte_spans(prompt, label_spans).into_iter().peekable();
        let end_id = self.tokenizer.special(&self.template.end).filter(|_| self.turn_end == TurnEnd::NewlineInEosLabel);
        let mut encoded = Encoded { input_ids: Vec::new(), labels: Vec::new() };
        let mut text_start = 0;
        for (text, image) in texts_between_images(prompt) {
            let first_place = encoded.input_ids.len();
            let ids = self.tokenizer.encode_prompt(text)?;
            encoded.input_ids.extend(ids.iter().copied().map(i64::from));
            encoded.labels.resize(encoded.input_ids.len(), Encoded::IGNORED);
            while let Some((start, end)) = spans.next_if(|(start, _)| *start < text_start + text.len()) {
                let first = first_place + self.num_tokens_before(text, start.saturating_sub(text_start), &ids)?;
                let last = first_place + self.num_tokens_before(text, end.saturating_sub(text_start), &ids)?;
                copy_range(&encoded.input_ids, &mut encoded.labels, first, last);
                let is_last_span = spans.peek().is_none();
                if let (Some(id), false, Some(label)) =
                    (end_id, is_last_span, last.checked_sub(1).and_then(|place| encoded.labels.get_mut(place)))
                {
                    *label = i64::from(id);
                }
            }
            if let Some(image) = image {
                encoded.input_ids.push(Encoded::IMAGE);
                encoded.labels.push(Encoded::IGNORED);
                text_start = image + PLACEHOLDER.len();
            }
        }
        Ok(encoded)
    }

    /// How many of a text's tokens do not depend on what comes after its first `num_bytes` bytes.
    fn num_tokens_before(&self, text: &str, num_bytes: usize, ids: &[u32]) -> Result<usize, FormatError> {
        let Some(before) = text.get(..num_bytes).filter(|before| before.len() < text.len()) else {
            return Ok(ids.len());
        };
        let before = self.tokenizer.encode_prompt(before)?;
        Ok(before.iter().zip(ids).take_while(|(left, right)| left == right).count())
    }
}

fn copy_range(from: &[i64], to: &mut [i64], first: usize, last: usize) {
    if let (Some(from), Some(to)) = (from.get(first..last), to.get_mut(first..last)) {
        to.copy_from_slice(from);
    }
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
