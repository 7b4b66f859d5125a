//! The formatter: a record's turns and resolved visuals to messages, prompt, label spans and exact cost.

use std::sync::Arc;

use manyframe_core::{Cost, Digest, Message, Part, RejectCode, Rejection, Role, Signature, Turn, VisualKind};
use memchr::memmem;

use crate::compose::{Composed, Composer};
use crate::dialect::PLACEHOLDER;
use crate::literals::Literals;
use crate::template::{Prompt, TemplateText};
use crate::{FormatError, FormatSpec, ResolvedVisual, Tokenizer, TurnEnd};

/// Formats records in one dialect and template, and counts them with one tokenizer. It may be shared by threads.
#[derive(Debug)]
pub struct Formatter {
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) template: TemplateText,
    pub(crate) turn_end: TurnEnd,
    composer: Composer,
    /// Finds placeholders; made once.
    images: memmem::Finder<'static>,
    tokens_per_image: u32,
}

/// A record as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formatted {
    /// The conversation; each placeholder stands for the next image.
    pub messages: Vec<Message>,
    /// The conversation in the chat template, as a trainer tokenises it.
    pub prompt: String,
    /// Where in `prompt` the loss falls: (first, one past last) character of each answer with its end token. In order and
    /// disjoint.
    pub label_spans: Vec<(usize, usize)>,
    /// Where the visuals stand in the messages, in order.
    pub visual_spans: Vec<VisualSpan>,
    /// Exact tokens and images.
    pub cost: Cost,
}

/// What a record costs, and a short number for what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// Exact tokens and images.
    pub cost: Cost,
    /// A signature of the prompt.
    pub signature: Signature,
}

/// Where a visual stands in the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisualSpan {
    /// Position of its message.
    pub message: usize,
    /// First character of its text in the message.
    pub start: usize,
    /// One past the last character, the newline that the dialect put there included.
    pub end: usize,
    /// Its first image.
    pub first_image: usize,
    /// How many images it shows.
    pub num_images: usize,
}

impl Formatter {
    /// A formatter for these settings. Special tokens of the tokenizer become literals that no text may contain.
    pub fn new(spec: &FormatSpec, tokenizer: Arc<Tokenizer>) -> Result<Self, FormatError> {
        let template = spec.template.text();
        if let Some((field, _)) = template.written().into_iter().find(|(_, text)| text.contains(PLACEHOLDER)) {
            return Err(FormatError::PlaceholderInTemplate { field, placeholder: PLACEHOLDER });
        }
        let markers = template.markers.iter().map(String::as_str);
        let reserved = spec.dialect.reserved().iter().copied();
        let literals = Literals::new(reserved.chain(markers).chain(tokenizer.specials()))?;
        Ok(Self {
            composer: Composer { dialect: spec.dialect, literals, literal_tags: spec.literal_tags },
            tokenizer,
            template,
            turn_end: spec.turn_end,
            images: memmem::Finder::new(PLACEHOLDER),
            tokens_per_image: spec.tokens_per_image,
        })
    }

    /// The tokens and images of a record, exactly those of [`Self::format`], and a signature of its prompt: equal for records
    /// that come to say the same.
    ///
    /// `visuals` are those of the turns, in order of appearance; their kinds prevail over the kinds in the turns.
    pub fn measure(&self, turns: &[Turn], visuals: &[ResolvedVisual]) -> Result<Measure, Rejection> {
        let mut writer = self.composer.writer(turns, visuals)?;
        let roles = turns.iter().map(|turn| turn.role);
        let prompt = Prompt::with_capacity(turns.iter().map(num_text_bytes).sum(), turns.len());
        // No message is needed by itself: what turns say is written where it stands in the prompt.
        let prompt = self
            .template
            .render(roles, self.turn_end, prompt, |index, text| writer.write(index, text, |_, _, _| {}))?;
        let mut signature = Signature::default();
        signature.push(prompt.text.as_bytes());
        let bare = || self.count_bare_of(&self.composer.compose(turns, visuals)?);
        Ok(Measure { cost: self.cost_of(&prompt.text, visuals, bare)?, signature })
    }

    /// A digest of what a record says once it is formatted, and of where its visuals stand; not of what they show.
    pub fn text_digest(&self, turns: &[Turn]) -> Result<Digest, Rejection> {
        let visuals = turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match part {
            Part::Visual(visual) if visual.kind == VisualKind::Video => Some(ResolvedVisual::Video { num_frames: 1 }),
            Part::Visual(_) => Some(ResolvedVisual::Image),
            Part::Text(_) => None,
        });
        let composed = self.composer.compose(turns, &visuals.collect::<Vec<_>>())?;
        let roles_and_texts = composed.messages.iter().flat_map(|message| {
            let role: &[u8] = match message.role {
                Role::System => b"system",
                Role::User => b"user",
                Role::Assistant => b"assistant",
            };
            [role, message.content.as_bytes()]
        });
        Ok(Digest::of_fields(roles_and_texts))
    }

    /// A record as text. `visuals` as in [`Self::measure`].
    pub fn format(&self, turns: &[Turn], visuals: &[ResolvedVisual]) -> Result<Formatted, Rejection> {
        let composed = self.composer.compose(turns, visuals)?;
        let prompt = self.render(&composed.messages)?;
        let cost = self.cost_of(&prompt.text, visuals, || self.count_bare_of(&composed))?;
        Ok(Formatted {
            messages: composed.messages,
            label_spans: prompt.label_spans(),
            prompt: prompt.text,
            visual_spans: composed.visual_spans,
            cost,
        })
    }

    /// The prompt of messages.
    pub(crate) fn render(&self, messages: &[Message]) -> Result<Prompt, Rejection> {
        let prompt = Prompt::with_capacity(messages.iter().map(|message| message.content.len()).sum(), messages.len());
        let roles = messages.iter().map(|message| message.role);
        self.template.render(roles, self.turn_end, prompt, |index, text| {
            text.push_str(messages.get(index).map_or("", |message| &message.content));
            Ok(())
        })
    }

    fn count_bare_of(&self, composed: &Composed) -> Result<u64, Rejection> {
        let places = composed.visual_spans.iter().map(|span| (span.message, span.start, span.end));
        self.count_bare(&composed.messages, places)
    }

    /// `bare` gives the tokens without delimiters, which are counted if there are visuals.
    fn cost_of(
        &self,
        prompt: &str,
        visuals: &[ResolvedVisual],
        bare: impl FnOnce() -> Result<u64, Rejection>,
    ) -> Result<Cost, Rejection> {
        let sum = |keep: fn(VisualKind) -> bool| -> u64 {
            visuals.iter().filter(|visual| keep(visual.kind())).map(|visual| visual.num_images()).sum()
        };
        let num_images = sum(|_| true);
        let (text_tokens, num_placeholders) = self.count_text(prompt)?;
        if num_placeholders != num_images {
            let detail = format!("the prompt has {num_placeholders} placeholders for {num_images} images");
            return Err(Rejection::new(RejectCode::LiteralTag, detail));
        }
        let delimiter_tokens = if num_images == 0 { 0 } else { text_tokens.saturating_sub(bare()?) };
        Ok(Cost {
            text_tokens,
            delimiter_tokens,
            visual_tokens: num_images * u64::from(self.tokens_per_image),
            num_images,
            num_frames: sum(|kind| kind == VisualKind::Video),
        })
    }

    /// The texts of a prompt, each with the byte at which the placeholder that follows it starts.
    pub(crate) fn texts_between_images<'p>(&self, prompt: &'p str) -> impl Iterator<Item = (&'p str, Option<usize>)> {
        let images = self.images.find_iter(prompt.as_bytes()).map(Some);
        let mut start = 0;
        images.chain([None]).map(move |image| {
            let end = image.unwrap_or(prompt.len());
            let text = prompt.get(start..end).unwrap_or_default();
            start = end + PLACEHOLDER.len();
            (text, image)
        })
    }
}

fn num_text_bytes(turn: &Turn) -> usize {
    turn.parts.iter().map(|part| if let Part::Text(text) = part { text.len() } else { 0 }).sum()
}
