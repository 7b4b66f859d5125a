//! Templates that no strings around turns can write: a turn of Idefics3 and SmolVLM begins with a space, unless an image does.
//!
//! Sources, in `transformers` 5.23: `models/smolvlm/processing_smolvlm.py`, `DEFAULT_CHAT_TEMPLATE`; the converter of Idefics3.

/// A template that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BuiltIn {
    /// Its text.
    pub(super) text: &'static str,
    /// What ends a document.
    pub(super) eos: &'static str,
}

/// The turns of Idefics3 and SmolVLM.
macro_rules! turns {
    ($start:literal) => {
        concat!(
            "{{ '",
            $start,
            "' }}{%- for message in messages -%}{{ message.role | capitalize ~ ':' }}",
            "{%- set turn -%}{{ '' if message.content[0].type == 'image' else ' ' }}{%- for part in message.content -%}",
            "{{ '<image>' if part.type == 'image' else '<video>' if part.type == 'video' else part.text }}{%- endfor -%}",
            "{{ '<end_of_utterance>\n' }}{%- endset -%}",
            "{%- if message.role == 'assistant' -%}{% generation %}{{ turn }}{% endgeneration %}",
            "{%- else -%}{{ turn }}{%- endif -%}{%- endfor -%}"
        )
    };
}

impl BuiltIn {
    /// Idefics3 on Llama 3.
    pub(crate) const IDEFICS3: Self = Self { text: turns!("<|begin_of_text|>"), eos: END };
    /// SmolVLM and SmolVLM2.
    pub(crate) const SMOLVLM: Self = Self { text: turns!("<|im_start|>"), eos: END };
}

const END: &str = "<end_of_utterance>";
