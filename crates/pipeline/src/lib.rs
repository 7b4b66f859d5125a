//! Pipeline files: TOML to a checked [`Pipeline`]. All errors of a file are reported together.
//!
//! ```text
//! text ─parse─▶ document (values with locations) ─--set, ${vars}─▶ document ─check─▶ PipelineFile ─paths─▶ files of this machine
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `settings` | the tables of a pipeline file as types; their doc comments are the reference and the JSON Schema |
//! | `document` | a TOML text in which every value knows its location; `--set` and `${variables}` |
//! | `table_check`, `rules` | what one table allows, and what settings require of each other |
//! | `parse` | text to [`Pipeline`] |
//! | `variables` | what variables come to |
//! | `suggest` | what was probably meant by a mistyped name |
//! | `check` | that what files name is there and of the right kind |
//! | `differences` | what two pipeline files differ in |
//! | `occupant` | what is in a directory that a build would replace |
//! | `stages` | pipeline files that name other pipeline files |
//! | `pattern` | paths and patterns to the files and objects that they match |
//! | `portable` | paths of this machine, and as every machine writes them |
//! | `paths` | annotation files and media roots |
//!
//! **Invariant:** nothing here reads annotations or media.
//!
//! # Example
//!
//! Check a file:
//!
//! ```
//! use std::path::Path;
//!
//! use manyframe_pipeline::parse;
//!
//! let text = r#"
//!     name = "captions"
//!     [format]
//!     tokenizer = "tokenizer.model"
//!     [[source]]
//!     name = "mine"
//!     kind = "llava"
//!     annotations = "captions.json"
//!     media = "images"
//!     tak = 100
//! "#;
//! let problems = parse(text, Path::new("captions.toml"), &[]).unwrap_err();
//! assert_eq!(problems.len(), 1);
//! assert!(problems[0].to_string().contains(r#"source.mine.tak is not a setting; did you mean "take"?"#));
//!
//! let pipeline = parse(&text.replace("tak =", "take ="), Path::new("captions.toml"), &[]).unwrap();
//! assert!(Path::new(&pipeline.file.output.directory).ends_with("out/captions"));
//! assert_eq!(pipeline.portable.source[0].media.as_slice(), ["${here}/images"]);
//! ```

mod check;
mod differences;
mod document;
mod error;
mod license;
mod numbered;
mod occupant;
#[cfg(test)]
mod odd_values;
mod parse;
mod paths;
mod pattern;
mod portable;
mod problem;
mod rules;
mod settings;
mod stages;
mod suggest;
mod table_check;
#[cfg(test)]
mod tests;
mod variables;

pub use check::{CheckScope, Checked, check_files};
pub use differences::{SettingDifference, differences};
pub use document::Override;
pub use error::PipelineError;
pub use license::{LicenseTerms, is_license_among};
pub use numbered::missing_files;
pub use occupant::{Occupant, dataset_around};
pub use parse::{pack_table_with, parse};
pub use paths::{LocatedSource, annotation_files, media_roots, portable_settings, resolved_settings, resolved_source};
pub use pattern::{PatternError, expand_pattern, matches_name};
pub use portable::{LocatedPattern, Pipeline, PortablePath, absolute_path};
pub use problem::Problem;
pub use settings::file::{FormatTable, MediaFreshness, OutputTable, PipelineFile, ReuseTable, ShardSplit};
pub use settings::packing::{Audit, PackTable, SequenceParallel};
pub use settings::selection::{
    DecontaminationTable, DuplicateRule, DuplicateText, DuplicatesTable, MixTable, OverlengthPolicy, OverlengthTable,
};
pub use settings::source::{FilterTable, ImageShow, Kind, ReplayKind, SourceTable, StratifyBy};
pub use settings::validation::ValidateTable;
pub use settings::values::{OneOrMany, Share, Take, TokenColumns};
pub use settings::video::{SamplingRule, VideoDelivery, VideoTable};
pub use stages::{ReadPipeline, list_files, list_stages, overrides_for, read, read_stage};
pub use suggest::suggestion;
