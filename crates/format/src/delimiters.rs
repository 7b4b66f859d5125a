//! Tokens that are there for visuals alone: what their delimiters add to the text of a conversation.
//!
//! Tokens merge across tags, so a delimiter has no number of its own. A conversation is counted a second time, with a bare
//! placeholder in the place of each visual; what it has fewer are its delimiter tokens.

use manyframe_core::{Message, RejectCode, Rejection};

use crate::Formatter;
use crate::dialect::PLACEHOLDER;
use crate::replay::split_at_char;

/// Where a visual stands: the position of its message, its first character there, and one past its last.
pub type VisualPlace = (usize, usize, usize);

impl Formatter {
    /// Tokens of the text of a conversation without what its visuals are written with. `places` are in order and disjoint.
    pub fn count_bare(
        &self,
        messages: &[Message],
        places: impl IntoIterator<Item = VisualPlace>,
    ) -> Result<u64, Rejection> {
        let mut bare = messages.to_vec();
        let mut places = places.into_iter().peekable();
        for (index, message) in bare.iter_mut().enumerate() {
            let of_message = std::iter::from_fn(|| places.next_if(|(of, ..)| *of == index));
            if let Some(content) = without_visuals(&message.content, of_message) {
                message.content = content;
            }
        }
        let prompt = self.render(&bare)?;
        self.count_text(&prompt.text).map(|(num_tokens, _)| num_tokens)
    }

    /// The tokens of the text of a prompt, and the number of its placeholders. Each stretch of text between placeholders is
    /// tokenised on its own, as LLaVA and its descendants do.
    pub(crate) fn count_text(&self, prompt: &str) -> Result<(u64, u64), Rejection> {
        let mut num_placeholders = 0;
        let texts =
            self.texts_between_images(prompt).inspect(|(_, image)| num_placeholders += u64::from(image.is_some()));
        let num_tokens = self
            .tokenizer
            .count_prompt(texts.map(|(text, _)| text))
            .map_err(|error| Rejection::new(RejectCode::MalformedRecord, format!("the text has no tokens: {error}")))?;
        Ok((num_tokens, num_placeholders))
    }
}

/// A text with placeholders in some places; `None` if there is nothing to change, or a place is not in it.
fn without_visuals(text: &str, places: impl Iterator<Item = VisualPlace>) -> Option<String> {
    let (mut bare, mut rest, mut num_chars_read) = (String::new(), text, 0);
    for (_, start, end) in places {
        let (before, visual) = split_at_char(rest, start.checked_sub(num_chars_read)?)?;
        (_, rest) = split_at_char(visual, end.checked_sub(start)?)?;
        bare.push_str(before);
        bare.push_str(PLACEHOLDER);
        num_chars_read = end;
    }
    (num_chars_read > 0).then(|| bare + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_takes_the_place_of_each_visual() {
        let text = "é <img><image></img>\nand <vid>…</vid>\n!";
        let places = [(0, 2, 21), (0, 25, 38)];
        assert_eq!(without_visuals(text, places.into_iter()).unwrap(), "é <image>and <image>!");
        assert_eq!(without_visuals("a", std::iter::empty()), None);
        assert_eq!(without_visuals("a", [(0, 0, 2)].into_iter()), None);
    }
}
