//! Upstream datasets as records: one file per dataset in `kinds/`, all giving [`Record`](manyframe_core::Record) or
//! [`RejectedRecord`](manyframe_core::RejectedRecord).
//!
//! ```text
//! annotation files ── json/ | columnar ──▶ Raw ── value, fields, conversation, kinds/ ──▶ Draft ── placement ──▶ Record
//!  array, lines, Parquet    where it is            what it says                            which visual goes where
//! ```
//!
//! Media are not touched: a record refers to them by the path that upstream wrote, or by a cell of its own table.
//!
//! **Invariant:** placeholder strings end here. Text that looks like one but stands for nothing stays text.
//!
//! **Invariant:** a record that is bad is a reject with a reason; only failing storage, and files that hold no records
//! at all, are errors.

mod artefact;
mod content;
mod conversation;
mod draft;
mod error;
mod fields;
mod json;
mod kinds;
mod options;
mod placement;
mod record;
mod reject;
mod source;
mod spec;
mod syntax;
mod value;

pub use error::SourceError;
pub use json::{MAX_HEAD_BYTES, MAX_RECORD_BYTES};
pub use options::{Captions, LeadingAnswer, MissingPlaceholders, OptionProblem, SourceOptions, SwappedRoles};
pub use source::{RawRecords, Source, open};
pub use spec::{AnnotationFile, Raw, RawBody, SourceKind, SourceSpec, Split};
