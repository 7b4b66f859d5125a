//! Typed visuals become text here, and only here: dialects, chat templates, literal tags, label spans, token counts.
//!
//! ```text
//! turns + resolved visuals ──compose──▶ messages ──template──▶ prompt ──split at placeholders──▶ tokens ──▶ cost
//!           ▲                              │
//!           └────────── replay ────────────┘
//! ```
//!
//! **Invariant:** a delivered text holds the dialect's placeholder exactly once per image; what merely looks like a
//! placeholder, a role marker or a special token is spelled differently, or the record is rejected.
//! **Invariant:** the cost in [`Formatter::measure`] is the length of what [`Formatter::format`] gives, in tokens.
//!
//! Nothing here decodes media, draws records or writes files; the only I/O is reading a tokenizer's file.

mod compose;
mod delimiters;
mod dialect;
mod encode;
mod error;
mod formatter;
mod literals;
mod replay;
mod spec;
mod template;
mod tokenizer;

pub use delimiters::VisualPlace;
pub use dialect::{Dialect, ResolvedVisual};
pub use error::FormatError;
pub use formatter::{Formatted, Formatter, Measure, VisualSpan};
pub use replay::{ReplayError, turns_from_messages};
pub use spec::{FormatSpec, LiteralTags, TurnEnd};
pub use template::{SystemPlace, Template, TemplateText};
pub use tokenizer::{TokenSpan, Tokenizer};
