//! The formatter: from a record's turns and resolved visuals to messages, prompt, label spans and exact cost.

use std::num::NonZeroU32;
use std::sync::Arc;

use manyframe_core::{
    Cost, Digest, FrameChoice, Message, ModelVisual, Part, RejectCode, Rejection, Role, Sample, SampleTokens,
    SampleVisual, Signature, Turn, VisualKind, VisualShape, is_document,
};
use manyframe_vision::{Family, MediaToken};

use crate::compose::{Composed, Composer, VisualSpan};
use crate::encode::{LabelRules, PromptTokenizer};
use crate::error::FormatError;
use crate::jinja::{BuiltIn, JinjaChoice, JinjaRenderer, Rendered};
use crate::literals::Literals;
use crate::messages::{VisualRange, message_parts, write_bare};
use crate::placement::{Placement, has_tokenizer_of_llama};
use crate::prompt::Prompt;
use crate::resolved::{ResolvedVisual, fewer_frames_by_law, frames_by_law, tokens_of_frames};
use crate::spec::FormatSpec;
use crate::template::{ChatTemplate, Template, TemplateText, TurnEnd, special_markers};
use crate::tokenizer::Tokenizer;

/// Formats records for one model family in one template, and counts them with one tokenizer. Threads may share it.
///
/// ```
/// use std::sync::Arc;
/// use manyframe_core::{Part, Role, Turn, Visual, VisualKind, VisualShape};
/// use manyframe_format::{FormatSpec, Formatter, Tokenizer};
/// use manyframe_vision::Family;
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/jamba.model");
/// let tokenizer = Arc::new(Tokenizer::open(path.as_ref())?);
/// let formatter = Formatter::new(&FormatSpec::default(), &Family::default(), tokenizer)?;
/// let image = Part::Visual(Visual { kind: VisualKind::Image, media: 0 });
/// let turns = [
///     Turn { role: Role::User, parts: vec![Part::Text("What is it? ".into()), image] },
///     Turn { role: Role::Assistant, parts: vec![Part::Text("A cat.".into())] },
/// ];
/// let visuals = formatter.resolve(&[VisualShape::Image { size_px: (640, 480) }]).map_err(|rejection| rejection.to_string())?;
/// let sample = formatter.format(&turns, &visuals).map_err(|rejection| rejection.to_string())?;
/// assert_eq!(sample.messages[0].content, "<img><image></img>\nWhat is it?");
/// assert_eq!((sample.cost.num_images, sample.cost.visual_tokens), (1, 144));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Formatter {
    composer: Composer,
    template: PromptTemplate,
    prompts: PromptTokenizer,
    family: Family,
    /// The label of the newline that ends an answer, where a newline does.
    turn_end_label: Option<u32>,
}

/// What makes messages a prompt.
#[derive(Debug)]
enum PromptTemplate {
    /// Strings around turns.
    Strings(Box<ChatTemplate>),
    /// A program.
    Jinja(Box<JinjaRenderer>),
}

/// A record as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formatted {
    /// The conversation. Its placeholders show the images of the record, in order.
    pub messages: Vec<Message>,
    /// The conversation in the chat template, as a trainer tokenizes it.
    pub prompt: String,
    /// Where in `prompt` the loss is computed: (first, one past last) character of each answer with its end token. In
    /// order and disjoint.
    pub label_spans: Vec<(usize, usize)>,
    /// Where the visuals are in the messages, in order.
    pub visual_spans: Vec<VisualSpan>,
    /// The number of visual tokens of each placeholder of the prompt, in order.
    pub runs: Vec<u32>,
    /// Exact tokens and images.
    pub cost: Cost,
}

/// What the prompt of a record costs, and a short number for its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptMeasure {
    /// Exact tokens and images.
    pub cost: Cost,
    /// Equal for equal prompts.
    pub signature: Signature,
}

impl Formatter {
    /// A formatter with these settings. No text of a record may contain a special token of the tokenizer.
    ///
    /// # Errors
    /// If a custom template contains a placeholder, if the tokenizer lacks one that is to be written as a token, and if a
    /// template in Jinja cannot be read or used.
    pub fn new(spec: &FormatSpec, family: &Family, tokenizer: Arc<Tokenizer>) -> Result<Self, FormatError> {
        let family = spec.family(family);
        let tokens = family.processor().tokens();
        let template = PromptTemplate::open(spec, &family, &tokenizer)?;
        let reserved = tokens.iter().map(|token| &*token.text);
        let literals = Literals::new(reserved.chain(template.markers()).chain(tokenizer.specials()))?;
        let written = spec.placeholders(&family);
        let is_cut = !spec.needs_placeholders(&family);
        // Where every image costs the same, trainers write the tokens around a prompt with their template.
        let is_surrounded = family.constant().is_none();
        let of_processors = || Arc::new(tokenizer.of_processors(has_tokenizer_of_llama(&family)));
        let tokenizer = if is_surrounded { of_processors() } else { tokenizer };
        let prompts = PromptTokenizer::new(tokenizer, family.processor(), written, is_cut)?;
        let prompts = if is_surrounded { prompts.surrounded() } else { prompts };
        let (placement, turn_end_label) = match &template {
            PromptTemplate::Jinja(_) => (Placement::of_jinja(&family), None),
            PromptTemplate::Strings(template) => match template.turn_end {
                TurnEnd::Eos => (Placement::of(&family), None),
                TurnEnd::NewlineInEosLabel => (Placement::of(&family), prompts.special(&template.text.end)),
            },
        };
        let composer = Composer { placement, literals, literal_tags: spec.literal_tags };
        Ok(Self { composer, template, prompts, family, turn_end_label })
    }

    /// The digest of the template's file. `None` of a template that is built in, or in the pipeline file.
    pub fn template_digest(&self) -> Option<Digest> {
        match &self.template {
            PromptTemplate::Strings(_) => None,
            PromptTemplate::Jinja(template) => template.digest(),
        }
    }

    /// What looks like a special token in the template, `<|end|>` or `[INST]`, each once, in order.
    pub(crate) fn special_markers(&self) -> Vec<String> {
        match &self.template {
            PromptTemplate::Strings(template) => template.text.special_markers(),
            PromptTemplate::Jinja(template) => special_markers([template.tried()].into_iter()),
        }
    }

    /// Whether what ends an answer is trained, so that a model learns to end.
    pub(crate) fn trains_ends(&self) -> bool {
        match &self.template {
            PromptTemplate::Strings(template) => !template.text.end.is_empty(),
            PromptTemplate::Jinja(template) => template.trains_ends(),
        }
    }

    /// Whether a text is one token.
    pub(crate) fn is_one_token(&self, text: &str) -> bool {
        self.prompts.is_one_token(text)
    }

    /// What the model makes of the visuals of a sample, in order.
    ///
    /// # Errors
    /// The reason why its processor refuses one of them.
    pub fn resolve(&self, shapes: &[VisualShape]) -> Result<Vec<ResolvedVisual>, Rejection> {
        self.resolve_within(shapes, None)
    }

    /// What a sample keeps of what the model makes of its visuals, in order: nothing where every image costs the same.
    pub fn model_visuals(&self, visuals: &[ResolvedVisual], shapes: &[VisualShape]) -> Vec<Option<ModelVisual>> {
        if self.family.constant().is_some() {
            return vec![None; visuals.len()];
        }
        ResolvedVisual::model_visuals(&self.family, visuals, shapes).into_iter().map(Some).collect()
    }

    /// As [`Self::resolve`], with a limit on the pixels of each image and frame.
    ///
    /// # Errors
    /// The reason why its processor refuses one of them.
    pub fn resolve_within(
        &self,
        shapes: &[VisualShape],
        max_pixels: Option<u64>,
    ) -> Result<Vec<ResolvedVisual>, Rejection> {
        ResolvedVisual::plan_all(&self.family, shapes, max_pixels)
    }

    /// Which frames of a video of this size, number of frames and rate the model's processor takes.
    ///
    /// # Errors
    /// The reason why it refuses the video.
    pub fn frames_by_law(&self, size_px: (u32, u32), video: &FrameChoice) -> Result<Vec<u32>, Rejection> {
        frames_by_law(&self.family, size_px, video)
    }

    /// Which frames it takes if it is asked for `most`; fewer if its law does not allow that number.
    ///
    /// # Errors
    /// The reason why it refuses the video.
    pub fn fewer_frames_by_law(
        &self,
        size_px: (u32, u32),
        video: &FrameChoice,
        most: NonZeroU32,
    ) -> Result<Vec<u32>, Rejection> {
        fewer_frames_by_law(&self.family, size_px, video, most)
    }

    /// Whether the frames of a video share a budget of pixels, so that fewer can cost more each.
    pub fn frames_share_pixels(&self) -> bool {
        self.family.frames_share_pixels()
    }

    /// The visual tokens of `num_frames` frames of a video, where frames share a budget; `None` if the processor refuses them.
    pub fn tokens_of_frames(&self, size_px: (u32, u32), num_frames: u32, max_pixels: Option<u64>) -> Option<u64> {
        tokens_of_frames(&self.family, size_px, num_frames, max_pixels)
    }

    /// The model family.
    pub fn family(&self) -> &Family {
        &self.family
    }

    /// The cost of a record, exactly that of [`Self::format`], and the signature of its prompt.
    ///
    /// `visuals` are those of the turns, in order of appearance. Their kinds take precedence over the kinds in the turns.
    ///
    /// # Errors
    /// The reason to reject the record.
    pub fn measure(&self, turns: &[Turn], visuals: &[ResolvedVisual]) -> Result<PromptMeasure, Rejection> {
        self.ensure_labels(turns, visuals)?;
        let template = match &self.template {
            PromptTemplate::Strings(template) => template,
            PromptTemplate::Jinja(template) => return self.measure_jinja(template, turns, visuals),
        };
        let mut writer = self.composer.writer(turns, visuals)?;
        let roles = turns.iter().map(|turn| turn.role);
        let prompt = Prompt::with_capacity(turns.iter().map(num_text_bytes).sum(), turns.len());
        // No message is made: turns are written directly into the prompt.
        let rendered = template.render(roles, prompt, |index, text| writer.write(index, text, |_, _, _| {}));
        let prompt = match rendered {
            Ok(prompt) => prompt,
            Err(rejection) => {
                // Of two faults, that of a text comes first, as where messages are made.
                self.composer.compose(turns, visuals)?;
                return Err(rejection);
            }
        };
        let mut signature = Signature::default();
        signature.push(prompt.text.as_bytes());
        let bare = || self.count_bare_of(&self.composer.compose(turns, visuals)?);
        Ok(PromptMeasure { cost: self.cost_of(&prompt.text, visuals, bare)?, signature })
    }

    fn measure_jinja(
        &self,
        template: &JinjaRenderer,
        turns: &[Turn],
        visuals: &[ResolvedVisual],
    ) -> Result<PromptMeasure, Rejection> {
        let composed = self.composer.compose(turns, visuals)?;
        let rendered = template.render(&composed.messages, composed.ranges())?;
        let prompt = rendered.prompt().text;
        let mut signature = Signature::default();
        signature.push(prompt.as_bytes());
        Ok(PromptMeasure { cost: self.cost_of(&prompt, visuals, || self.count_bare_prompt(&rendered))?, signature })
    }

    /// A digest of the text of a record once it is formatted, and of the positions of its visuals, but not of what they
    /// show.
    ///
    /// # Errors
    /// The reason to reject the record.
    pub fn text_digest(&self, turns: &[Turn]) -> Result<Digest, Rejection> {
        let visuals = turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match part {
            Part::Visual(visual) => Some(ResolvedVisual::unknown(visual.kind)),
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
    ///
    /// # Errors
    /// The reason to reject the record.
    pub fn format(&self, turns: &[Turn], visuals: &[ResolvedVisual]) -> Result<Formatted, Rejection> {
        self.ensure_labels(turns, visuals)?;
        let composed = self.composer.compose(turns, visuals)?;
        let (prompt, cost) = match &self.template {
            PromptTemplate::Strings(template) => {
                let mut prompt = template.render_messages(&composed.messages)?;
                if is_document(turns.iter().map(|turn| turn.role)) {
                    prompt.leave_out(composed.visual_spans.iter().map(|span| (span.start, span.end)));
                }
                let cost = self.cost_of(&prompt.text, visuals, || self.count_bare_of(&composed))?;
                (prompt, cost)
            }
            PromptTemplate::Jinja(template) => {
                let rendered = template.render(&composed.messages, composed.ranges())?;
                let prompt = rendered.prompt();
                let cost = self.cost_of(&prompt.text, visuals, || self.count_bare_prompt(&rendered))?;
                (prompt, cost)
            }
        };
        Ok(Formatted {
            label_spans: prompt.label_spans(),
            prompt: prompt.text,
            messages: composed.messages,
            visual_spans: composed.visual_spans,
            runs: visuals.iter().flat_map(|visual| visual.plan.runs()).collect(),
            cost,
        })
    }

    /// The label of a newline at the end of answers would be that of texts before the images of a document.
    fn ensure_labels(&self, turns: &[Turn], visuals: &[ResolvedVisual]) -> Result<(), Rejection> {
        if self.turn_end_label.is_some() && !visuals.is_empty() && is_document(turns.iter().map(|turn| turn.role)) {
            let detail = "a document with images, where the newline after an answer has the label of an end token";
            return Err(Rejection::new(RejectCode::RefusedByTemplate, detail));
        }
        Ok(())
    }

    /// Tokenizes a formatted prompt. `label_spans` are characters of the prompt, in order and disjoint; `runs` are the numbers
    /// of visual tokens of its placeholders.
    ///
    /// A token is labelled if any part of it is in a span. A token can begin before a span: under Llama's tokenizers,
    /// the first token of an answer takes the space before it. It can end after a span: where the tokenizer reads an
    /// end token as text, the `>` of that token and the `<` of what the template writes next are one token. Under
    /// [`TurnEnd::NewlineInEosLabel`], the label of the last token of each span except the last is the template's end
    /// token, if that is a single special token.
    ///
    /// # Errors
    /// If the tokenizer cannot encode the prompt, or if it has another number of placeholders.
    pub fn encode(
        &self,
        prompt: &str,
        label_spans: &[(usize, usize)],
        runs: &[u32],
    ) -> Result<SampleTokens, FormatError> {
        self.prompts.encode(prompt, runs, LabelRules { spans: label_spans, turn_end_label: self.turn_end_label })
    }

    /// The numbers of visual tokens of the placeholders of a sample, in order.
    ///
    /// # Errors
    /// If the family has no plan for one of its visuals.
    pub fn runs_of(&self, sample: &Sample) -> Result<Vec<u32>, Rejection> {
        let shapes: Vec<VisualShape> = sample.visuals.iter().map(SampleVisual::shape).collect();
        let resolved = self.resolve_within(&shapes, sample.max_pixels())?;
        Ok(resolved.iter().flat_map(|visual| visual.plan.runs()).collect())
    }

    /// Tokenizes the prompt of a sample.
    ///
    /// # Errors
    /// If the tokenizer cannot encode the prompt, or if it does not have the placeholders of the sample's visuals.
    pub fn encode_sample(&self, sample: &Sample) -> Result<SampleTokens, Rejection> {
        let runs = self.runs_of(sample)?;
        let no_tokens = |error| Rejection::new(RejectCode::MalformedRecord, format!("the text has no tokens: {error}"));
        self.encode(&sample.prompt, &sample.label_spans, &runs).map_err(no_tokens)
    }

    /// Text tokens of a conversation with a bare placeholder in place of each visual.
    ///
    /// What the conversation has beyond that are its delimiter tokens. Tokens merge across tags, so the tokens of a
    /// delimiter cannot be counted by themselves.
    ///
    /// `visuals` are in order and disjoint.
    ///
    /// # Errors
    /// If a visual is not where it says, or if the conversation cannot be formatted.
    #[expect(clippy::indexing_slicing, reason = "a template writes each of the messages whose roles it has")]
    pub fn count_bare(
        &self,
        messages: &[Message],
        visuals: impl IntoIterator<Item = VisualRange>,
    ) -> Result<u64, Rejection> {
        let template = match &self.template {
            PromptTemplate::Strings(template) => template,
            PromptTemplate::Jinja(template) => {
                return self.count_bare_prompt(&template.render(messages, visuals)?);
            }
        };
        let parts = message_parts(messages, visuals)
            .map_err(|misplaced| Rejection::new(RejectCode::PlaceholderMismatch, misplaced.to_string()))?;
        let placeholder = self.prompts.bare_placeholder();
        let prompt = template.render_with(messages, |index, text| write_bare(&parts[index], placeholder, text))?;
        self.count_text(&prompt.text).map(|(num_tokens, _)| num_tokens)
    }

    fn count_bare_of(&self, composed: &Composed) -> Result<u64, Rejection> {
        self.count_bare(&composed.messages, composed.ranges())
    }

    fn count_bare_prompt(&self, rendered: &Rendered) -> Result<u64, Rejection> {
        let prompt = rendered.bare(self.prompts.bare_placeholder());
        self.count_text(&prompt).map(|(num_tokens, _)| num_tokens)
    }

    /// `bare` returns the tokens without delimiters. It is called only if there are visuals.
    fn cost_of(
        &self,
        prompt: &str,
        visuals: &[ResolvedVisual],
        bare: impl FnOnce() -> Result<u64, Rejection>,
    ) -> Result<Cost, Rejection> {
        let sum = |keep: fn(VisualKind) -> bool| -> u64 {
            visuals.iter().filter(|visual| keep(visual.kind)).map(|visual| visual.num_images).sum()
        };
        let num_images = sum(|_| true);
        let num_runs: u64 = visuals.iter().map(|visual| visual.plan.num_runs()).sum();
        let (text_tokens, num_placeholders) = self.count_text(prompt)?;
        if num_placeholders != num_runs {
            let detail = format!("the prompt has {num_placeholders} placeholders, expected {num_runs}");
            return Err(Rejection::new(RejectCode::LiteralTag, detail));
        }
        let delimiter_tokens = if num_images == 0 { 0 } else { text_tokens.saturating_sub(bare()?) };
        Ok(Cost {
            text_tokens,
            delimiter_tokens,
            visual_tokens: visuals.iter().map(|visual| visual.plan.num_tokens()).sum(),
            num_images,
            num_frames: sum(|kind| kind == VisualKind::Video),
        })
    }

    /// Text tokens of a conversation or document without visuals.
    pub(crate) fn count_messages(&self, messages: &[Message]) -> Result<u64, Rejection> {
        let prompt = match &self.template {
            PromptTemplate::Strings(template) => template.render_messages(messages)?,
            PromptTemplate::Jinja(template) => template.render(messages, [])?.prompt(),
        };
        self.count_text(&prompt.text).map(|(num_tokens, _)| num_tokens)
    }

    /// Text tokens and placeholders of a prompt.
    pub(crate) fn count_text(&self, prompt: &str) -> Result<(u64, u64), Rejection> {
        let no_tokens = |error| Rejection::new(RejectCode::MalformedRecord, format!("the text has no tokens: {error}"));
        self.prompts.count(prompt).map_err(no_tokens)
    }
}

impl PromptTemplate {
    fn open(spec: &FormatSpec, family: &Family, tokenizer: &Tokenizer) -> Result<Self, FormatError> {
        let template = spec.template(family);
        let choice = match &template {
            Template::Idefics3 => JinjaChoice::BuiltIn(BuiltIn::IDEFICS3),
            Template::Smolvlm => JinjaChoice::BuiltIn(BuiltIn::SMOLVLM),
            Template::Tokenizer => JinjaChoice::OfTokenizer,
            Template::Jinja(setting) => JinjaChoice::File(setting),
            strings => {
                let text = strings.text().unwrap_or_default();
                ensure_no_placeholder(&text, &family.processor().tokens())?;
                let (turn_end, thoughts) = (spec.turn_end, strings.thoughts());
                return Ok(Self::Strings(Box::new(ChatTemplate { text, turn_end, thoughts })));
            }
        };
        Ok(Self::Jinja(Box::new(JinjaRenderer::open(choice, family, tokenizer.directory())?)))
    }

    /// Strings besides special tokens that no text of a record may contain.
    fn markers(&self) -> Vec<&str> {
        match self {
            Self::Strings(template) => template.text.markers.iter().map(String::as_str).collect(),
            Self::Jinja(template) => template.reserved().collect(),
        }
    }
}

fn ensure_no_placeholder(template: &TemplateText, tokens: &[MediaToken]) -> Result<(), FormatError> {
    for MediaToken { text: placeholder, .. } in tokens.iter().filter(|token| token.is_placeholder) {
        if let Some((field, _)) = template.written().into_iter().find(|(_, text)| text.contains(&**placeholder)) {
            return Err(FormatError::PlaceholderInTemplate { field, placeholder: placeholder.to_string() });
        }
    }
    Ok(())
}

fn num_text_bytes(turn: &Turn) -> usize {
    turn.parts.iter().map(|part| if let Part::Text(text) = part { text.len() } else { 0 }).sum()
}
