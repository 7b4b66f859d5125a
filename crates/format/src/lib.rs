//! Typed visuals become text here, and only here: dialects, chat templates, literal tags, label spans, token counts.
//!
//! ```text
//! turns + resolved visuals ──compose──▶ messages ──template──▶ prompt ──split at placeholders──▶ tokens ──▶ cost
//!           ▲                              │
//!           └───── turns_from_messages ────┘
//! ```
//!
//! **Invariant:** a delivered text contains the placeholder exactly once per run of visual tokens: with LLaVA, per image.
//! Whatever else looks like a placeholder, a role marker or a special token is spelled differently, or the record is rejected.
//! **Invariant:** the cost that [`Formatter::measure`] returns is the length in tokens of what [`Formatter::format`]
//! returns.
//!
//! Nothing here decodes media, draws records or writes files. The only I/O is reading the files of a tokenizer and of a chat template.

mod compose;
mod encode;
mod error;
mod formatter;
mod jinja;
mod literals;
mod messages;
mod overhead;
mod placement;
mod prompt;
mod python_text;
mod resolved;
mod snapshot;
mod spec;
mod template;
mod tokenizer;
mod try_out;

pub use compose::VisualSpan;
pub use error::{FormatError, advice_on_hub};
pub use formatter::{Formatted, Formatter, PromptMeasure};
pub use jinja::{AnswerMarkers, JinjaTable, JinjaTemplate};
pub use literals::LiteralTags;
pub use messages::{MisplacedVisual, VisualRange, turns_from_messages};
pub use overhead::PromptOverhead;
pub use placement::VisualOrder;
pub use resolved::ResolvedVisual;
pub use spec::{FormatSpec, Placeholders};
pub use template::{SystemPlacement, Template, TemplateText, TurnEnd};
pub use tokenizer::{TokenSpan, Tokenizer};
pub use try_out::TryOut;
