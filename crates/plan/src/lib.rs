//! Pipeline to plan: everything that is decided before a sample is made.
//!
//! ```text
//! Pipeline ──Context::open──▶ Context ──make──▶ index/ ──▶ decisions/ ──▶ Plan, records, tasks
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `context`, `media`, `composed`, `replay` | opens what a pipeline file names: readers, media, tokenizer, datasets to replay |
//! | `index/` | one row per record, from annotations and media headers; kept and reused |
//! | `index_tasks` | the parts of an index, and of what images look like, that are made on other machines |
//! | `journal` | what was decoded so far of what takes long, for the next process if this one is ended |
//! | `inputs` | what changed among the inputs since the index was made |
//! | `reduction` | how an overlong record is shortened |
//! | `decisions/` | filters, decontamination, duplicates, draw, order, tasks |
//! | `plan`, `records`, `make` | the plan as plain data, and how it is made and found again |
//! | `packing` | the forecast of packs |
//! | `attempt`, `guard`, `retry` | work that a process may not survive: noted, tried again alone, rejected |
//! | `seal` | notices that a file of a plan was damaged |
//! | `survey/` | what is in directories: for a pipeline file that a program writes |
//! | `reuse`, `reused`, `sample_media` | samples of an earlier build that are reused, and which media they were made of |
//! | `shard_digests` | whether shards that are reused, replayed or exported are those that their manifest names |
//!
//! **Invariant:** a plan is a function of the pipeline file, the inputs and this program's version.
//! **Invariant:** no image and no frame is decoded here, unless the pipeline file asks for fingerprints or for a check of all media.
//! Media are read whole only to find duplicates.
//!
//! # Example
//!
//! Plan a file:
//!
//! ```
//! use std::path::Path;
//!
//! use manyframe_base::{Executor, NoProgress};
//! use manyframe_plan::{Context, LeftByPlan, PlanRequest, Reuse, make, make_index};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let annotations = folder.path().join("questions.json");
//! let conversation = r#"[{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]"#;
//! manyframe_base::write_atomic(
//!     &annotations,
//!     format!(r#"[{{"id": "1", "conversations": {conversation}}}]"#).as_bytes(),
//! )?;
//! let text = format!(
//!     r#"
//!     name = "questions"
//!     [format]
//!     tokenizer = "{tokenizer}"
//!     [[source]]
//!     name = "mine"
//!     kind = "text"
//!     annotations = {annotations:?}
//!     "#,
//!     tokenizer = concat!(env!("CARGO_MANIFEST_DIR"), "/../format/tests/golden/llama.model"),
//! );
//! let pipeline = manyframe_pipeline::parse(&text, "questions.toml".as_ref(), &[]).map_err(|problems| format!("{problems:?}"))?;
//!
//! let context = Context::open(pipeline)?;
//! let pool = rayon::ThreadPoolBuilder::new().build()?;
//! let executor = Executor { pool: &pool, progress: &NoProgress };
//! let work = folder.path().join("questions.work");
//! let index = make_index(&context, &work, executor)?;
//! let left_by = |_: &Path| LeftByPlan::default();
//! let request = PlanRequest { work: &work, reuse: Reuse::Unchanged, left_by, memory_bytes: None };
//! let made = make(&context, &index, request, executor)?;
//! assert_eq!(made.plan.total().num_samples, 1);
//! assert_eq!(made.plan.tasks.len(), 1);
//! # Ok(())
//! # }
//! ```

mod attempt;
mod composed;
mod context;
mod decisions;
mod doubts;
mod error;
mod guard;
mod haystacks;
mod index;
mod index_tasks;
mod inputs;
mod journal;
mod make;
mod media;
mod open_files;
mod packing;
mod plan;
mod records;
mod reduction;
mod replay;
mod retry;
mod reuse;
mod reused;
mod sample_media;
mod seal;
mod shard_digests;
mod source_reader;
mod survey;

pub use attempt::{Attempt, Verdict, guarded};
pub use composed::{ComposedFrames, HaystackCache, HaystackFrame};
pub use context::{Context, OpenSource};
pub use decisions::unwanted::UnwantedPlace;
pub use doubts::{Doubt, doubts};
pub use error::PlanError;
pub use guard::crashes_path;
pub use index::refresh::ChangedMedia;
pub use index::visuals::{in_visual, measure_shapes};
pub use index_tasks::{IndexTask, list_missing_index};
pub use inputs::InputChanges;
pub use journal::{Journal, KeptFrames, Payload};
pub use make::{BuildKeys, Index, MadePlan, PlanRequest, make, make_index};
pub use media::{ChosenFrames, SourceMedia};
pub use packing::{PackSample, PackSamples, Packing, pack_samples};
pub use plan::{
    PLAN_VERSION, Plan, PlannedSample, TaskHeader, plan_path, read_sequences, read_task, records_path, task_path,
};
pub use records::{Decision, PlannedRecord, read_records};
pub use reduction::{LengthReduction, TurnSplit};
pub use retry::{repeat, watch};
pub use reuse::{LeftByPlan, Reuse};
pub use reused::{MadeBecause, MadeSamples, ReusedSample, SourceReuse};
pub use sample_media::{keep_sample_media, remove_other_sample_media};
pub use shard_digests::{ShardDigests, StatedShard, keep_shard_digests};
pub use source_reader::SourceReader;
pub use survey::{FoundSource, Survey, survey};
