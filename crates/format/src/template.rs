//! Chat templates: from messages to one prompt, with the spans on which the loss is computed.
//!
//! A template is a few strings around the texts of the turns, or around the text of a document. If a string contains a
//! special token of the tokenizer (`<|startoftext|>`, `</s>`), that is one token. Under a tokenizer without that token
//! it is text.
//!
//! | template | source |
//! |---|---|
//! | `longllava` | LongLLaVA (arXiv 2409.02889) on Jamba: no system prompt; a system turn begins the first user turn |
//! | `vicuna` | LLaVA-1.5's `v1` conversation, with its system sentence |
//! | `chatml` | `<|im_start|>role`, as Qwen and many others use it; no system turn unless the record has one |
//! | `qwen2.5-vl` | `chatml` with Qwen2.5-VL's system sentence; the newline after `<|im_end|>` is trained, too |
//! | `qwen3-vl` | the same without a system sentence |
//! | `qwen3.5` | the same, with a thought before each answer: that of the answer, `<think>…</think>`, or an empty one |
//! | `llava-1.5` | that of the checkpoints of `llava-hf`: without a system sentence, and a space ends an answer |
//! | `llava-next` | `[INST]`, as the checkpoints on Mistral |
//! | `idefics3`, `smolvlm` | in Jinja (`jinja`): a turn begins with a space, unless an image does |

use manyframe_core::{Message, RejectCode, Rejection, Role, is_document};
use memchr::memmem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::jinja::JinjaTemplate;
use crate::prompt::Prompt;
use crate::python_text::is_python_space;

/// How the turns of a conversation are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// LongLLaVA on Jamba.
    #[default]
    Longllava,
    /// LLaVA-1.5 on Vicuna.
    Vicuna,
    /// ChatML.
    Chatml,
    /// Qwen2.5-VL.
    #[serde(rename = "qwen2.5-vl")]
    Qwen25Vl,
    /// Qwen3-VL and InternVL.
    #[serde(rename = "qwen3-vl")]
    Qwen3Vl,
    /// Qwen3.5. An answer begins with its thought, `<think>…</think>`, or with an empty one.
    #[serde(rename = "qwen3.5")]
    Qwen35,
    /// LLaVA-1.5 as its checkpoints for `transformers` write it.
    #[serde(rename = "llava-1.5")]
    Llava15,
    /// LLaVA-NeXT on Mistral.
    #[serde(rename = "llava-next")]
    LlavaNext,
    /// Idefics3 on Llama 3.
    Idefics3,
    /// SmolVLM and SmolVLM2.
    Smolvlm,
    /// The chat template in the directory of the tokenizer: `chat_template.jinja`, else that of `chat_template.json` or of
    /// `tokenizer_config.json`.
    Tokenizer,
    /// A chat template in Jinja: `{ jinja = "chat_template.jinja" }`.
    Jinja(Box<JinjaTemplate>),
    /// Your own strings.
    Custom(Box<TemplateText>),
}

/// The strings of a template. Each is empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TemplateText {
    /// Written once, before everything else.
    pub start: String,
    /// Where a system turn goes.
    pub system: SystemPlacement,
    /// Before the text of a system turn.
    pub system_prefix: String,
    /// After the text of a system turn.
    pub system_suffix: String,
    /// The system text of records that have none. Default: nothing is written for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_system: Option<String>,
    /// Before the text of a user turn.
    pub user_prefix: String,
    /// After the text of a user turn.
    pub user_suffix: String,
    /// Before an answer. Not trained.
    pub assistant_prefix: String,
    /// Before the text of an answer, after `assistant_prefix`. Trained.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub answer_prefix: String,
    /// After an answer. Trained.
    pub end: String,
    /// After `end`. Not trained.
    pub after_end: String,
    /// Before the text of a document, after `start`. A document is a text without a conversation.
    pub document_prefix: String,
    /// After the text of a document. Trained. Default: `end`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document_end: Option<String>,
    /// Other strings by which a trainer or a model recognises turns. No text of a record may contain them. Special
    /// tokens of the tokenizer need not be listed.
    pub markers: Vec<String>,
}

/// Where the text of a system turn is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SystemPlacement {
    /// In a separate turn, before the first user turn.
    #[default]
    OwnTurn,
    /// In the first user turn, after `user_prefix` and before the user's own text.
    FirstUserTurn,
}

/// What follows an answer that is not the last one of its conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TurnEnd {
    /// The end token of the template, as after the last answer.
    #[default]
    Eos,
    /// A newline, which the trainer *feeds*, while the *label* at its position is the end token. LongLLaVA's released
    /// code does this. The label span of every answer except the last then ends with that newline, and a trainer that
    /// honours this setting puts the id of the end token there.
    NewlineInEosLabel,
}

/// A template and what follows its answers: makes turns into a prompt.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    pub(crate) text: TemplateText,
    pub(crate) turn_end: TurnEnd,
    pub(crate) thoughts: Thoughts,
}

/// What a template makes of a thought in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thoughts {
    /// It is text.
    AsWritten,
    /// It takes the place of the prefix of answers, which is an empty thought, and is spaced like it.
    InPrefix,
}

impl Template {
    /// The strings of the template. None of one in Jinja.
    pub fn text(&self) -> Option<TemplateText> {
        Some(match self {
            Self::Longllava => longllava(),
            Self::Vicuna => vicuna(),
            Self::Chatml => chatml(),
            Self::Qwen25Vl => TemplateText { default_system: Some("You are a helpful assistant.".into()), ..qwen() },
            Self::Qwen3Vl => qwen(),
            Self::Qwen35 => TemplateText { answer_prefix: "<think>\n\n</think>\n\n".into(), ..qwen() },
            Self::Llava15 => llava_1_5(),
            Self::LlavaNext => llava_next(),
            Self::Custom(text) => (**text).clone(),
            Self::Idefics3 | Self::Smolvlm | Self::Tokenizer | Self::Jinja(_) => return None,
        })
    }

    /// What it makes of thoughts.
    pub(crate) fn thoughts(&self) -> Thoughts {
        if *self == Self::Qwen35 { Thoughts::InPrefix } else { Thoughts::AsWritten }
    }

    /// The template as a dataset keeps it apart from its path: that is where the file is, which its bytes do not depend on.
    #[must_use]
    pub fn without_path(mut self) -> Self {
        if let Self::Jinja(template) = &mut self {
            template.path_mut().clear();
        }
        self
    }
}

impl TemplateText {
    /// What looks like a special token in its strings, `<|end|>` or `[INST]`, each once, in order.
    pub fn special_markers(&self) -> Vec<String> {
        let optional = [&self.default_system, &self.document_end].into_iter().flatten();
        let around = [
            &self.start,
            &self.system_prefix,
            &self.system_suffix,
            &self.user_prefix,
            &self.user_suffix,
            &self.assistant_prefix,
            &self.answer_prefix,
            &self.end,
            &self.after_end,
            &self.document_prefix,
        ];
        special_markers(around.into_iter().chain(optional).chain(&self.markers).map(String::as_str))
    }
}

/// What looks like a special token in some texts, each once, in order.
pub(crate) fn special_markers<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<String> {
    let mut markers: Vec<String> = Vec::new();
    for text in texts {
        for (open, close) in [('<', '>'), ('[', ']')] {
            for part in text.split(open).skip(1).filter_map(|after| Some(after.split_once(close)?.0)) {
                let marker = format!("{open}{part}{close}");
                if !part.is_empty() && !part.contains(char::is_whitespace) && !markers.contains(&marker) {
                    markers.push(marker);
                }
            }
        }
    }
    markers
}

fn longllava() -> TemplateText {
    TemplateText {
        system: SystemPlacement::FirstUserTurn,
        system_suffix: "\n".into(),
        user_prefix: "<|startoftext|><|User|>\n".into(),
        user_suffix: "\n".into(),
        assistant_prefix: "<|startoftext|><|Assistant|>\n".into(),
        end: "<|endoftext|>".into(),
        document_prefix: "<|startoftext|>".into(),
        markers: ["<|startoftext|>", "<|endoftext|>", "<|User|>", "<|Assistant|>"].map(String::from).into(),
        ..TemplateText::default()
    }
}

fn vicuna() -> TemplateText {
    let system = "A chat between a curious user and an artificial intelligence assistant. \
                  The assistant gives helpful, detailed, and polite answers to the user's questions.";
    TemplateText {
        start: "<s>".into(),
        system_suffix: " ".into(),
        default_system: Some(system.into()),
        user_prefix: "USER: ".into(),
        user_suffix: " ".into(),
        assistant_prefix: "ASSISTANT: ".into(),
        end: "</s>".into(),
        markers: ["<s>", "</s>", "USER:", "ASSISTANT:"].map(String::from).into(),
        ..TemplateText::default()
    }
}

fn chatml() -> TemplateText {
    TemplateText {
        system_prefix: "<|im_start|>system\n".into(),
        system_suffix: "<|im_end|>\n".into(),
        user_prefix: "<|im_start|>user\n".into(),
        user_suffix: "<|im_end|>\n".into(),
        assistant_prefix: "<|im_start|>assistant\n".into(),
        end: "<|im_end|>".into(),
        after_end: "\n".into(),
        document_end: Some("<|endoftext|>".into()),
        markers: ["<|im_start|>", "<|im_end|>", "<|endoftext|>"].map(String::from).into(),
        ..TemplateText::default()
    }
}

fn qwen() -> TemplateText {
    TemplateText { end: "<|im_end|>\n".into(), after_end: String::new(), ..chatml() }
}

fn llava_1_5() -> TemplateText {
    TemplateText {
        system_suffix: " ".into(),
        user_prefix: "USER: ".into(),
        user_suffix: " ".into(),
        assistant_prefix: "ASSISTANT: ".into(),
        end: " ".into(),
        document_end: Some("</s>".into()),
        markers: ["</s>", "USER:", "ASSISTANT:"].map(String::from).into(),
        ..TemplateText::default()
    }
}

fn llava_next() -> TemplateText {
    TemplateText {
        system_prefix: "<<SYS>>\n".into(),
        system_suffix: "\n<</SYS>>\n\n".into(),
        user_prefix: "[INST] ".into(),
        user_suffix: " [/INST]".into(),
        // The model writes the space: what it is asked ends before it.
        answer_prefix: " ".into(),
        end: "</s>".into(),
        after_end: " ".into(),
        markers: ["<<SYS>>", "<</SYS>>", "[INST]", "[/INST]", "</s>"].map(String::from).into(),
        ..TemplateText::default()
    }
}

impl TemplateText {
    /// The strings that are written into prompts, with the names of their fields.
    pub(crate) fn written(&self) -> [(&'static str, &str); 12] {
        [
            ("start", &self.start),
            ("system_prefix", &self.system_prefix),
            ("system_suffix", &self.system_suffix),
            ("default_system", self.default_system.as_deref().unwrap_or_default()),
            ("user_prefix", &self.user_prefix),
            ("user_suffix", &self.user_suffix),
            ("assistant_prefix", &self.assistant_prefix),
            ("answer_prefix", &self.answer_prefix),
            ("end", &self.end),
            ("after_end", &self.after_end),
            ("document_prefix", &self.document_prefix),
            ("document_end", self.document_end.as_deref().unwrap_or_default()),
        ]
    }
}

impl ChatTemplate {
    /// The prompt of messages.
    #[expect(clippy::indexing_slicing, reason = "a template writes each of the messages whose roles it has")]
    pub(crate) fn render_messages(&self, messages: &[Message]) -> Result<Prompt, Rejection> {
        self.render_with(messages, |index, text| text.push_str(&messages[index].content))
    }

    /// The prompt of messages. `write` appends the content of the message at a position.
    pub(crate) fn render_with(
        &self,
        messages: &[Message],
        write: impl Fn(usize, &mut String),
    ) -> Result<Prompt, Rejection> {
        let prompt = Prompt::with_capacity(messages.iter().map(|message| message.content.len()).sum(), messages.len());
        let roles = messages.iter().map(|message| message.role);
        self.render(roles, prompt, |index, text| {
            write(index, text);
            Ok(())
        })
    }

    /// The whole text of a conversation or document, appended to an empty prompt. `write` appends the message at a
    /// position.
    ///
    /// A system turn that no user turn follows is rejected if the template has no separate turn for it.
    pub(crate) fn render(
        &self,
        roles: impl ExactSizeIterator<Item = Role> + Clone,
        prompt: Prompt,
        write: impl FnMut(usize, &mut String) -> Result<(), Rejection>,
    ) -> Result<Prompt, Rejection> {
        let mut writer = PromptWriter { template: &self.text, thoughts: self.thoughts, prompt, write };
        writer.push(&self.text.start);
        if is_document(roles.clone()) {
            writer.push_document()?;
            return Ok(writer.prompt);
        }
        let num_messages = roles.len();
        let has_system = roles.clone().next() == Some(Role::System);
        let default_system = self.text.default_system.as_deref().filter(|_| !has_system);
        let mut pending = default_system.map(SystemText::Default);
        if self.text.system == SystemPlacement::OwnTurn {
            writer.push_system(pending.take())?;
        }
        for (index, role) in roles.enumerate() {
            match (role, self.text.system) {
                (Role::System, SystemPlacement::OwnTurn) => writer.push_system(Some(SystemText::Message(index)))?,
                (Role::System, SystemPlacement::FirstUserTurn) => pending = Some(SystemText::Message(index)),
                (Role::User, _) => writer.push_user(index, pending.take())?,
                (Role::Assistant, _) => {
                    let is_last = index + 1 == num_messages;
                    let ends_with_token = is_last || self.turn_end == TurnEnd::Eos;
                    writer.push_answer(index, if ends_with_token { &self.text.end } else { "\n" })?;
                }
            }
        }
        if pending.is_some() && has_system {
            return Err(Rejection::new(RejectCode::TurnOrder, "the system turn is not followed by a user turn"));
        }
        Ok(writer.prompt)
    }
}

/// The text of a system turn.
enum SystemText<'t> {
    Default(&'t str),
    /// The message at this position.
    Message(usize),
}

/// A prompt that is being written. `write` appends the message at a position.
struct PromptWriter<'t, Write> {
    template: &'t TemplateText,
    thoughts: Thoughts,
    prompt: Prompt,
    write: Write,
}

impl<Write: FnMut(usize, &mut String) -> Result<(), Rejection>> PromptWriter<'_, Write> {
    fn push(&mut self, text: &str) {
        self.prompt.text.push_str(text);
    }

    fn push_message(&mut self, index: usize) -> Result<(), Rejection> {
        (self.write)(index, &mut self.prompt.text)
    }

    fn push_document(&mut self) -> Result<(), Rejection> {
        self.push(&self.template.document_prefix);
        self.push_labelled(0, "", self.template.document_end.as_deref().unwrap_or(&self.template.end))
    }

    fn push_system(&mut self, system: Option<SystemText<'_>>) -> Result<(), Rejection> {
        let Some(system) = system else { return Ok(()) };
        self.push(&self.template.system_prefix);
        match system {
            SystemText::Default(text) => self.push(text),
            SystemText::Message(index) => self.push_message(index)?,
        }
        self.push(&self.template.system_suffix);
        Ok(())
    }

    fn push_user(&mut self, index: usize, system: Option<SystemText<'_>>) -> Result<(), Rejection> {
        self.push(&self.template.user_prefix);
        self.push_system(system)?;
        self.push_message(index)?;
        self.push(&self.template.user_suffix);
        Ok(())
    }

    fn push_answer(&mut self, index: usize, end: &str) -> Result<(), Rejection> {
        self.push(&self.template.assistant_prefix);
        self.push_labelled(index, &self.template.answer_prefix, end)?;
        self.push(&self.template.after_end);
        Ok(())
    }

    /// A message with its prefix and its end, on which the loss is computed.
    fn push_labelled(&mut self, index: usize, prefix: &str, end: &str) -> Result<(), Rejection> {
        let start = self.prompt.text.len();
        self.push(prefix);
        let joins = self.thoughts == Thoughts::InPrefix && !prefix.is_empty();
        let start_of_message = self.prompt.text.len();
        self.push_message(index)?;
        let message = self.prompt.text.get(start_of_message..).unwrap_or_default();
        if joins && let Some(spaced) = with_spaced_thought(message) {
            self.prompt.text.truncate(start);
            self.push(&spaced);
        }
        self.push(end);
        self.prompt.label_from(start);
        Ok(())
    }
}

/// An answer with a thought, spaced as Qwen3.5's chat template does it. `None` if it has none.
fn with_spaced_thought(answer: &str) -> Option<String> {
    const END: &str = "</think>";
    // Hardly any answer has one.
    memmem::find(answer.as_bytes(), END.as_bytes())?;
    let (before, _) = answer.split_once(END)?;
    let (_, after) = answer.rsplit_once(END)?;
    let before = before.trim_end_matches('\n');
    let thought = before.rsplit_once("<think>").map_or(before, |(_, thought)| thought);
    let thought = thought.trim_matches(is_python_space);
    Some(format!("<think>\n{thought}\n{END}\n\n{}", after.trim_start_matches('\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: Role, content: &str) -> Message {
        Message { role, content: content.into() }
    }

    fn two_rounds() -> Vec<Message> {
        vec![
            message(Role::User, "q1"),
            message(Role::Assistant, "é1"),
            message(Role::User, "q2"),
            message(Role::Assistant, "a2"),
        ]
    }

    fn with_system() -> Vec<Message> {
        [message(Role::System, "be kind")].into_iter().chain(two_rounds()).collect()
    }

    fn render(template: &Template, messages: &[Message], turn_end: TurnEnd) -> Result<Prompt, Rejection> {
        ChatTemplate { text: template.text().unwrap(), turn_end, thoughts: template.thoughts() }
            .render_messages(messages)
    }

    fn rendered(template: &Template, messages: &[Message]) -> String {
        render(template, messages, TurnEnd::Eos).unwrap().text
    }

    fn labelled(prompt: &Prompt) -> Vec<String> {
        let chars: Vec<char> = prompt.text.chars().collect();
        prompt.label_spans().into_iter().map(|(start, end)| chars[start..end].iter().collect()).collect()
    }

    #[test]
    fn longllava_opens_every_turn_with_the_start_token() {
        let expected = "<|startoftext|><|User|>\nq1\n<|startoftext|><|Assistant|>\né1<|endoftext|>\
                        <|startoftext|><|User|>\nq2\n<|startoftext|><|Assistant|>\na2<|endoftext|>";
        assert_eq!(rendered(&Template::Longllava, &two_rounds()), expected);
    }

    #[test]
    fn longllava_puts_a_system_turn_before_the_first_question() {
        let prompt = rendered(&Template::Longllava, &with_system());
        assert!(prompt.starts_with("<|startoftext|><|User|>\nbe kind\nq1\n<|startoftext|>"));
        assert_eq!(prompt.matches("be kind").count(), 1);
    }

    #[test]
    fn vicuna_is_the_v1_conversation_of_llava() {
        let expected = "<s>A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, \
                        detailed, and polite answers to the user's questions. USER: q1 ASSISTANT: é1</s>USER: q2 ASSISTANT: a2</s>";
        assert_eq!(rendered(&Template::Vicuna, &two_rounds()), expected);
    }

    #[test]
    fn a_system_turn_replaces_the_default_one() {
        assert!(rendered(&Template::Vicuna, &with_system()).starts_with("<s>be kind USER: q1"));
    }

    #[test]
    fn chatml_wraps_each_turn() {
        let expected = "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\né1<|im_end|>\n\
                        <|im_start|>user\nq2<|im_end|>\n<|im_start|>assistant\na2<|im_end|>\n";
        assert_eq!(rendered(&Template::Chatml, &with_system()), expected);
    }

    #[test]
    fn the_loss_falls_on_answers_and_their_end_tokens() {
        let prompt = render(&Template::Chatml, &with_system(), TurnEnd::Eos).unwrap();
        assert_eq!(labelled(&prompt), ["é1<|im_end|>", "a2<|im_end|>"]);
    }

    #[test]
    fn a_newline_may_end_all_answers_but_the_last() {
        let prompt = render(&Template::Longllava, &two_rounds(), TurnEnd::NewlineInEosLabel).unwrap();
        assert_eq!(labelled(&prompt), ["é1\n", "a2<|endoftext|>"]);
    }

    #[test]
    fn the_thought_of_an_answer_takes_the_place_of_the_empty_one() {
        let answer = |text: &str| {
            let messages = [message(Role::User, "q"), message(Role::Assistant, text)];
            labelled(&render(&Template::Qwen35, &messages, TurnEnd::Eos).unwrap()).concat()
        };
        assert_eq!(answer("2"), "<think>\n\n</think>\n\n2<|im_end|>\n");
        for written in
            ["<think>\nadd\n</think>\n\n2", "<think>add</think>2", "<think>\n\n add </think>\n2", "add</think>2"]
        {
            assert_eq!(answer(written), "<think>\nadd\n</think>\n\n2<|im_end|>\n", "{written}");
        }
    }

    #[test]
    fn a_system_turn_without_a_user_turn_is_rejected() {
        let messages = [message(Role::System, "be kind"), message(Role::Assistant, "a")];
        let rejection = render(&Template::Longllava, &messages, TurnEnd::Eos).unwrap_err();
        assert_eq!(rejection.code, RejectCode::TurnOrder);
    }
}
