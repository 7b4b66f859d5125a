//! Chat templates in Jinja: those of checkpoints, and some that are built in.
//!
//! ```text
//! messages ── without markup ──▶ template ──▶ text ── marks of visuals replaced ──▶ prompt
//!                                  ▲            └─ spans ─▶ labels
//!            source ── compiled ───┘
//! ```
//!
//! A template is tried with a conversation when it is opened: which form of contents it takes, whether it writes system turns,
//! and how answers are found in what it writes. What cannot be found out is an error then, not a guess later.

mod arguments;
mod built_in;
mod chat;
mod environment;
mod labels;
mod python_filters;
mod python_float;
mod python_json;
mod python_str;
mod rendered;
mod setting;
mod source;
mod trial;

use std::path::Path;

use manyframe_core::{Digest, Message, RejectCode, Rejection, Role, VisualKind, is_document};
use manyframe_vision::{Family, MediaMarks};
use serde_json::Value;

use crate::error::FormatError;
use crate::messages::{MessagePart, VisualRange, message_parts};
use chat::{Chat, ChatPart, ContentForms, mark_of};
use environment::CompiledTemplate;
use labels::{LabelRule, between_markers, with_ends};
use rendered::MarkFinder;
use source::TemplateSource;
use trial::{Accepted, Trial};

pub(crate) use built_in::BuiltIn;
pub(crate) use rendered::Rendered;
pub use setting::{AnswerMarkers, JinjaTable, JinjaTemplate};

/// A template that is ready to write prompts. Threads may share it.
#[derive(Debug)]
pub(crate) struct JinjaRenderer {
    template: CompiledTemplate,
    marks: MediaMarks,
    finder: MarkFinder,
    forms: ContentForms,
    writes_system: bool,
    labels: LabelRule,
    /// What ends a document.
    eos: Option<String>,
    digest: Option<Digest>,
    /// What it wrote of the conversation with which it was tried.
    tried: String,
}

/// Which template is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum JinjaChoice<'s> {
    /// One that is built in.
    BuiltIn(BuiltIn),
    /// That of a file.
    File(&'s JinjaTemplate),
    /// That in the directory of the tokenizer.
    OfTokenizer,
}

impl JinjaRenderer {
    /// Reads, compiles and tries a template. `tokenizer` is the directory of the tokenizer.
    ///
    /// # Errors
    /// If it cannot be read or compiled, if it writes no conversation, or if its answers cannot be found.
    pub(crate) fn open(choice: JinjaChoice<'_>, family: &Family, tokenizer: &Path) -> Result<Self, FormatError> {
        let (source, answers) = match choice {
            JinjaChoice::BuiltIn(template) => (TemplateSource::built_in(template), None),
            JinjaChoice::File(setting) => (TemplateSource::open(setting, tokenizer)?, setting.answers()),
            JinjaChoice::OfTokenizer => (TemplateSource::of_tokenizer(tokenizer)?, None),
        };
        let name = source.name();
        let fails = |detail: String| FormatError::Template { name: name.clone(), detail };
        let template = CompiledTemplate::new(&source.text, &source.variables).map_err(fails)?;
        let marks = family.processor().marks();
        let finder = MarkFinder::new(&marks)?;
        let trial = Trial { template: &template, marks: &marks, finder: &finder };
        let Accepted { forms, writes_system, written } = trial.forms().map_err(fails)?;
        let labels = trial.labels(forms, answers).map_err(fails)?;
        let eos = source.variables.get("eos_token").and_then(Value::as_str).map(str::to_owned);
        let digest = source.digest();
        Ok(Self { template, marks, finder, forms, writes_system, labels, eos, digest, tried: written })
    }

    /// The prompt of messages whose visuals are known.
    ///
    /// # Errors
    /// If a visual is not where it says; if the template refuses the messages, does not show each visual, or does not write
    /// each answer so that it is found.
    pub(crate) fn render(
        &self,
        messages: &[Message],
        visuals: impl IntoIterator<Item = VisualRange>,
    ) -> Result<Rendered, Rejection> {
        let parts = message_parts(messages, visuals)
            .map_err(|misplaced| Rejection::new(RejectCode::PlaceholderMismatch, misplaced.to_string()))?;
        let chat = Chat::of(messages, &parts);
        if chat.has_span_marks() {
            return Err(Rejection::new(RejectCode::LiteralTag, "a text contains the noncharacter U+FDD0 or U+FDD1"));
        }
        let refused = |detail: String| Rejection::new(RejectCode::RefusedByTemplate, detail);
        let rendered = if is_document(messages.iter().map(|message| message.role)) {
            self.document(&chat)
        } else {
            self.conversation(&chat)
        };
        let markup = |part: &MessagePart<'_, _>| match part {
            MessagePart::Visual { markup, .. } => Some((*markup).to_owned()),
            MessagePart::Text(_) => None,
        };
        let mut rendered = rendered.map_err(refused)?;
        rendered.markups = parts.iter().flatten().filter_map(markup).collect();
        Ok(rendered)
    }

    /// The digest of the template and its variables. `None` of one that is built in.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What it wrote of the conversation with which it was tried.
    pub(crate) fn tried(&self) -> &str {
        &self.tried
    }

    /// Texts by which visuals and answers are found. No text of a record may contain them.
    pub(crate) fn reserved(&self) -> impl Iterator<Item = &str> {
        let markers = match &self.labels {
            LabelRule::Markers(markers) => [markers.after.trim(), markers.until.trim()],
            LabelRule::Generation | LabelRule::Marked { .. } => [""; 2],
        };
        let marks = self.marks.image.iter().chain(&self.marks.video).map(|mark| &**mark);
        marks.chain(markers).filter(|marker| !marker.is_empty())
    }

    /// Whether what ends an answer is trained.
    pub(crate) fn trains_ends(&self) -> bool {
        !matches!(&self.labels, LabelRule::Marked { end, .. } if end.is_empty())
    }

    fn conversation(&self, chat: &Chat<'_>) -> Result<Rendered, String> {
        if chat.has(Role::System) && !self.writes_system {
            return Err("the template does not write system turns".to_owned());
        }
        let mut plain = self.written(chat)?;
        match &self.labels {
            LabelRule::Generation => {}
            LabelRule::Markers(markers) => plain.spans = between_markers(&plain.text, markers),
            LabelRule::Marked { wrap, end } => {
                let marked = self.written(&wrap.marked(chat))?;
                let is_same = marked.text == plain.text;
                let spans = with_ends(&marked, end).filter(|_| is_same);
                plain.spans = spans.ok_or(
                    "the template changes an answer, which cannot be found then; put {% generation %} around answers, or \
                     say in `answers` what they are after and until",
                )?;
            }
        }
        let num_answers = chat.turns.iter().filter(|turn| turn.role == Role::Assistant).count();
        let has_span_of_each = self.labels == LabelRule::Generation || plain.spans.len() == num_answers;
        if !has_span_of_each {
            return Err(format!("{} answers are found in the prompt, expected {num_answers}", plain.spans.len()));
        }
        Ok(plain)
    }

    fn document(&self, chat: &Chat<'_>) -> Result<Rendered, String> {
        let eos = self.eos.as_ref().ok_or("the template has no eos_token, which ends a document")?;
        let mut text = String::new();
        for part in chat.turns.iter().flat_map(|turn| &turn.parts) {
            match part {
                ChatPart::Text(of_document) => text.push_str(of_document),
                ChatPart::Visual(kind) => text.push_str(mark_of(&self.marks, *kind)),
            }
        }
        text.push_str(eos);
        let mut rendered = self.finder.read(&text, &kinds_of(chat))?;
        rendered.train_texts();
        Ok(rendered)
    }

    fn written(&self, chat: &Chat<'_>) -> Result<Rendered, String> {
        let text = self.template.render(chat.value(self.forms, &self.marks)).map_err(|problem| problem.text)?;
        self.finder.read(&text, &kinds_of(chat))
    }
}

/// The kinds of the visuals of a conversation, in order.
fn kinds_of(chat: &Chat<'_>) -> Vec<VisualKind> {
    let parts = chat.turns.iter().flat_map(|turn| &turn.parts);
    let kind = |part: &ChatPart<'_>| match part {
        ChatPart::Visual(kind) => Some(*kind),
        ChatPart::Text(_) => None,
    };
    parts.filter_map(kind).collect()
}
