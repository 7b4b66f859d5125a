//! Builds datasets: plans, runs tasks, commits; and works on datasets that were built.
//!
//! ```text
//! Build::open ──plan──▶ PlannedBuild ──run, on an Engine──▶ shards + reports ──commit──▶ dataset
//!                                                                                          ├── verify, validate
//!                                                                                          ├── repack, read_origin
//!                                                                                          └── Export ──▶ other trainers
//! ```
//!
//! **Invariant:** nothing is visible before commit; a later run never mistakes what a crash left for something finished.
//! **Invariant:** records in = delivered + rejected + duplicate + not drawn, or there is no commit.
//!
//! Tasks run anywhere, as long as they see the directory of their plan:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use manyframe_base::{Executor, NoProgress};
//! use manyframe_engine::{Build, BuildOptions, CommitOptions, OpenPlan, commit, run_task};
//! use manyframe_storage::Stores;
//!
//! # let directory = tempfile::tempdir()?;
//! # let annotations = directory.path().join("a.json");
//! # std::fs::write(&annotations, r#"[{"id": "1", "conversations": [
//! #     {"from": "human", "value": "What is two and two?"}, {"from": "gpt", "value": "Four."}]}]"#)?;
//! # let file = directory.path().join("pipeline.toml");
//! # let tokenizer = concat!(env!("CARGO_MANIFEST_DIR"), "/../format/tests/golden/jamba.model");
//! # std::fs::write(&file, format!(
//! #     "name = 'small'\n[output]\ndirectory = {:?}\n[format]\ntokenizer = {tokenizer:?}\n\
//! #      [[source]]\nname = 'a'\nkind = 'text'\nannotations = {annotations:?}\n",
//! #     directory.path().join("dataset"),
//! # ))?;
//! let pipeline = manyframe_pipeline::read(&file, &[])?.pipeline;
//! let pool = rayon::ThreadPoolBuilder::new().build()?;
//! let executor = Executor { pool: &pool, progress: &NoProgress };
//! let planned = Build::open(pipeline, BuildOptions::default())?.plan(executor)?;
//!
//! // On any machine: open the plan, run a task.
//! let open = OpenPlan::open(&planned.open_plan().directory, &Stores::default())?;
//! for task in open.unfinished_tasks() {
//!     let report = run_task(&open, task, executor)?;
//!     assert_eq!(report.outcomes.len(), 1);
//! }
//!
//! // Once, when all tasks are done. The closure could inspect the dataset before it is published.
//! let committed = commit(&open, CommitOptions::default(), executor, |_staged| Ok(()))?;
//! assert_eq!(committed.manifest.total.num_samples, 1);
//! assert!(committed.dataset.join("manifest.json").exists());
//! # Ok(())
//! # }
//! ```

mod account;
mod answers;
mod build;
mod cluster;
mod commit;
mod committed;
mod compose;
mod content_file;
mod current;
mod elsewhere;
mod encoded;
mod engine;
mod error;
mod export;
mod export_files;
mod exported;
mod failure;
mod forecast;
mod gone;
mod index_tasks;
mod local_place;
mod misfits;
mod needle_export;
mod needle_files;
mod needle_grid;
mod needles;
mod next_build;
mod open_plan;
mod orders;
mod origin;
mod pack_reader;
mod packed;
mod packs;
mod plan_at_store;
mod report;
mod reuse;
mod sample;
mod sha256sums;
mod shown_path;
mod slots;
mod store_output;
mod task;
mod task_range;
mod token_answer;
mod validate;
mod verify;
mod vlmevalkit;
mod work;
mod work_state;

pub use answers::{
    BuildAnswer, BuildForecast, CheckAnswer, CleanAnswer, ErrorAnswer, ExportAnswer, PackAnswer, PlanAnswer,
    SettingsAnswer, StatusAnswer, UploadAnswer, VerifyAnswer, WhyAnswer,
};
pub use build::{
    Build, BuildAction, BuildOptions, BuildOutcome, IndexedBuild, PlannedBuild, TimeEstimate, commit_plan,
};
pub use cluster::jobs::JobOptions;
pub use cluster::ray::RayEngine;
pub use cluster::slurm::SlurmEngine;
pub use commit::commit;
pub use committed::{CommitOptions, Committed};
pub use current::check_current;
pub use elsewhere::TasksElsewhere;
pub use engine::{Engine, LocalEngine, TaskSet, WorkerMachine, run_as_worker};
pub use error::EngineError;
pub use export::{Export, ExportFormat, ExportOptions};
pub use export_files::is_export;
pub use exported::Exported;
pub use forecast::{Bound, RunForecast, Workers};
pub use index_tasks::IndexTasks;
pub use needle_grid::{NeedleCell, needle_grid};
pub use next_build::{ChangedMediaOfSource, NextAction, NextBuild};
pub use open_plan::OpenPlan;
pub use origin::{DatasetSources, read_origin};
pub use pack_reader::{PackReader, decode_images};
pub use packs::repack;
pub use plan_at_store::{FetchedPlan, PlanAtStore};
pub use report::{OutcomeResult, RecordOutcome, ShardReport, TaskReport};
pub use sample::repeat;
pub use task::run_task;
pub use task_range::{NotTasks, TaskRanges};
pub use token_answer::{Becomes, MarkupAnswer, MediumAnswer, PlannedMedium, TokensAnswer};
pub use validate::tasks::ValidateTasks;
pub use validate::{
    DatasetQuestions, NeedleRequest, ValidateOn, ValidateRequest, finding_text, read_policy, score_needles, validate,
};
pub use verify::export::{list_of_export, verify_export};
pub use verify::tasks::VerifyTasks;
pub use verify::{Verification, VerifyOn, VerifyOptions, Watch, repeat_check, verify, verify_on};
pub use work::RateBasis;
pub use work_state::{CleanMode, CleanScope, Leftover, LeftoverKind, OutputPlace, PlanState, WorkState, clean};
