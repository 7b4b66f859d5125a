//! Reads upstream datasets: one file per dataset in `kinds/`, each making a [`Record`](manyframe_core::Record) or a
//! [`RejectedRecord`](manyframe_core::RejectedRecord).
//!
//! ```text
//! annotation files ── containers/ ──▶ Raw ── value, fields, conversation, kinds/ ──▶ Draft ── placement ──▶ Record
//!  JSON, CSV, tar …    bytes, origin          fields                                  visuals in turns
//! ```
//!
//! Media are not touched: a record refers to them by the path that upstream wrote, or by a cell of the table that
//! contains it.
//!
//! **Invariant:** no placeholder string leaves this crate as a placeholder. One without a medium remains text.
//!
//! **Invariant:** a bad record is rejected with a reason. Only storage errors and files without any record are errors.

mod artefact;
mod condition;
mod containers;
mod conversation;
mod draft;
mod error;
mod fields;
mod interleaved;
mod json;
mod kinds;
mod lookup;
mod merge;
mod needles;
mod number;
mod options;
mod placeholders;
mod placement;
mod question;
mod raw;
mod reader;
mod record;
mod reject;
mod side;
mod source;
mod syntax;
mod unread;
mod value;

pub use condition::Condition;
pub use containers::{expect_records, is_dataset_or_work, walk_samples};
pub use error::SourceError;
pub use fields::kind_of_path;
pub use json::{MAX_HEAD_BYTES, MAX_RECORD_BYTES};
pub use kinds::SourceKind;
pub use needles::{NeedleOptions, NeedlePlace, Permutations, UnequalOptions};
pub use options::{
    Captions, JoinOptions, LeadingAnswer, Merge, MissingPlaceholders, OptionProblem, SourceOptions, SwappedRoles,
};
pub use question::choice_in_list;
pub use raw::{AnnotationFile, Member, Raw, RawBody, Split};
pub use side::AskedFields;
pub use source::{RawRecords, Source, SourceSpec, open, open_with};
