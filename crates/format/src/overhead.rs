//! What a prompt has besides the texts of its turns: the template, and the places of its images.
//!
//! A packer that was released counts each text by itself. Under a tokenizer of which no token spans the ends of a turn,
//! such as Jamba's, that follows exactly from what is known of a sample without its text.

use manyframe_core::{Message, RejectCode, Rejection, Role, VisualShape};

use crate::formatter::Formatter;

/// Tokens of a prompt that are not those of its turns, each text by itself and without placeholders.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PromptOverhead {
    /// Once in a conversation.
    pub start_tokens: u64,
    /// For each question and its answer.
    pub round_tokens: u64,
    /// For a document.
    pub document_tokens: u64,
    /// For each image: its delimiters are more tokens on both sides of a placeholder than without one.
    pub image_tokens: u64,
}

impl PromptOverhead {
    /// What a formatter adds to the texts of turns.
    ///
    /// # Errors
    /// If the tokenizer has no tokens for a letter, or if images do not all cost the same: that packer knows no other models.
    pub fn of(formatter: &Formatter) -> Result<Self, Rejection> {
        const TEXT: &str = "a";
        let family = formatter.family();
        if family.constant().is_none() {
            let detail = format!("LongLLaVA's packer cannot count images of {}", family.name());
            return Err(Rejection::new(RejectCode::UnsupportedMedia, detail));
        }
        let message = |role| Message { role, content: TEXT.to_owned() };
        let round = [message(Role::User), message(Role::Assistant)];
        let of_text = formatter.count_text(TEXT)?.0;
        let (one, two) =
            (formatter.count_messages(&round)?, formatter.count_messages(&[round.clone(), round].concat())?);
        let document = formatter.count_messages(&[message(Role::Assistant)])?;
        let (mut image, mut without) = (String::new(), String::new());
        for visual in formatter.resolve(&[VisualShape::Image { size_px: (336, 336) }])? {
            visual.plan.write(&mut image);
            without.push_str(&image.replace(&*visual.plan.placeholder, ""));
        }
        let of_image = formatter.count_text(&image)?.0;
        let without = formatter.count_text(&without)?.0;
        Ok(Self {
            start_tokens: (2 * one).saturating_sub(two),
            round_tokens: two.saturating_sub(one + 2 * of_text),
            document_tokens: document.saturating_sub(of_text),
            image_tokens: of_image.saturating_sub(without),
        })
    }

    /// The number of turns of a conversation or document in which a system text is part of the first question.
    pub fn num_turns(num_turns: u32) -> u32 {
        if num_turns == 1 { 1 } else { num_turns / 2 * 2 }
    }

    /// Tokens of the texts of a sample with this many text tokens, turns and images.
    pub fn turn_tokens(&self, text_tokens: u64, num_turns: u32, num_images: u64) -> u64 {
        let of_template = match num_turns {
            1 => self.document_tokens,
            _ => self.start_tokens.saturating_add(u64::from(num_turns / 2).saturating_mul(self.round_tokens)),
        };
        text_tokens.saturating_sub(of_template.saturating_add(num_images.saturating_mul(self.image_tokens)))
    }
}
