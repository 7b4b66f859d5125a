//! A prompt as a list of tokens and images, which can be compared with other prompts, entry by entry, without pixels.

use std::ops::Range;

use crate::sequence::{IMAGE, SequenceSizes, Unusable};

/// A part of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PromptEntry {
    /// A token of text.
    Token(u32),
    /// An image, by the first 64 bits of a digest of it: equal keys are the same image.
    Image(u64),
}

/// The entries of a prompt, from its ids and the keys of its images.
///
/// # Errors
///
/// Why it cannot be run: it is empty, has an id that the model does not know, or more or fewer images than image ids.
pub fn prompt_entries(
    input_ids: &[i64],
    image_keys: &[u64],
    sizes: SequenceSizes,
) -> Result<Vec<PromptEntry>, Unusable> {
    if input_ids.is_empty() {
        return Err(Unusable::Empty);
    }
    let mut keys = image_keys.iter();
    let entries = input_ids.iter().map(|&id| match u32::try_from(id) {
        _ if id == IMAGE => keys.next().copied().map(PromptEntry::Image).ok_or(Unusable::ImageCount),
        Ok(id) if (id as usize) < sizes.vocab_size => Ok(PromptEntry::Token(id)),
        _ => Err(Unusable::UnknownId),
    });
    let entries = entries.collect::<Result<_, _>>()?;
    if keys.next().is_some() { Err(Unusable::ImageCount) } else { Ok(entries) }
}

impl PromptEntry {
    /// Whether it is an image.
    pub fn is_image(&self) -> bool {
        matches!(self, Self::Image(_))
    }

    /// The id of a token of text; `None` of an image.
    pub(crate) fn token(&self) -> Option<u32> {
        match self {
            Self::Token(id) => Some(*id),
            Self::Image(_) => None,
        }
    }

    /// Tokens that it takes in a model.
    pub fn num_tokens(&self, tokens_per_image: usize) -> usize {
        if self.is_image() { tokens_per_image } else { 1 }
    }
}

/// Consecutive entries of at most `max_tokens` tokens, images whole; a larger image is alone.
pub(crate) fn windows(entries: &[PromptEntry], tokens_per_image: usize, max_tokens: usize) -> Vec<Range<usize>> {
    let mut windows: Vec<Range<usize>> = Vec::new();
    let mut num_tokens = 0_usize;
    for (index, entry) in entries.iter().enumerate() {
        num_tokens = num_tokens.saturating_add(entry.num_tokens(tokens_per_image));
        match windows.last_mut() {
            Some(window) if num_tokens <= max_tokens => window.end = index + 1,
            _ => {
                windows.push(index..index + 1);
                num_tokens = entry.num_tokens(tokens_per_image);
            }
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;
    use PromptEntry::{Image, Token};

    const SIZES: SequenceSizes = SequenceSizes { tokens_per_image: 3, vocab_size: 10 };

    #[test]
    fn each_image_id_has_a_key() {
        let entries = |ids: &[i64], keys: &[u64]| prompt_entries(ids, keys, SIZES);
        assert_eq!(entries(&[5, IMAGE, 6, IMAGE], &[70, 71]), Ok(vec![Token(5), Image(70), Token(6), Image(71)]));
        assert_eq!(entries(&[5, IMAGE], &[]), Err(Unusable::ImageCount));
        assert_eq!(entries(&[5], &[70]), Err(Unusable::ImageCount));
        assert_eq!(entries(&[10], &[]), Err(Unusable::UnknownId));
        assert_eq!(entries(&[-1], &[]), Err(Unusable::UnknownId));
        assert_eq!(entries(&[], &[]), Err(Unusable::Empty));
    }

    #[test]
    fn no_window_cuts_an_image() {
        let entries = [Token(1), Image(1), Image(2), Token(2), Token(3), Token(4), Image(3)];
        assert_eq!(windows(&entries, 3, 5), [0..2, 2..5, 5..7]);
        assert_eq!(windows(&entries, 3, 1), [0..1, 1..2, 2..3, 3..4, 4..5, 5..6, 6..7]);
        assert_eq!(windows(&entries, 3, usize::MAX), vec![0..entries.len()]);
        assert!(windows(&[], 3, 5).is_empty());
    }
}
