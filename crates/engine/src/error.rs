//! What keeps a task or a commit from being done. A bad record is never an error.

use std::path::PathBuf;

use manyframe_base::FileError;
use manyframe_dataset::DatasetError;
use manyframe_validate::measure::Report;

/// Why a task, a commit or a look at a dataset failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The plan cannot be used.
    #[error("the plan cannot be used")]
    Plan(#[from] manyframe_plan::PlanError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A shard cannot be written or read.
    #[error("shard {path:?} cannot be used")]
    Shard {
        /// The shard.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: manyframe_shards::ShardError,
    },
    /// A dataset, or a part of it, cannot be read or written.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The plan has no such task.
    #[error("the plan has no task {task}; its tasks are 0 to {last}")]
    NoSuchTask {
        /// The number asked for.
        task: u32,
        /// The last task there is.
        last: u32,
    },
    /// A record is not where it was when the plan was made.
    #[error("the annotations have changed since the plan was made: record {id} of {origin}; plan again")]
    SourceChanged {
        /// The record.
        id: String,
        /// Where it stood.
        origin: String,
    },
    /// Tasks are missing, so nothing can be committed.
    #[error("{num_missing} of {num_tasks} tasks are not done, the first is task {first}; run them, then commit again")]
    Unfinished {
        /// How many are missing.
        num_missing: usize,
        /// How many there are.
        num_tasks: usize,
        /// The first one missing.
        first: u32,
    },
    /// The account of records does not add up; nothing was committed.
    #[error("the ledger does not add up: {detail}")]
    Unaccounted {
        /// What is missing or too much.
        detail: String,
    },
    /// The policy of a validation says that a dataset must not be used.
    #[error("the validation fails: {findings}; nothing was replaced, the dataset is in {path:?}")]
    Invalid {
        /// What is over its limit.
        findings: String,
        /// All that was measured.
        report: Box<Report>,
        /// Where the dataset is that was not published, with `validation.json` in it.
        path: PathBuf,
    },
    /// Another process builds the same output.
    #[error("another build of {dataset:?} is running")]
    Locked {
        /// The output.
        dataset: PathBuf,
    },
    /// The pipeline file names a model for its validation that is not there.
    #[error("validate.model: {path:?} holds no config.json")]
    NoModel {
        /// The model's directory.
        path: PathBuf,
    },
    /// The file with the limits of a validation has an error.
    #[error("the policy {path:?} cannot be used")]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        source: toml::de::Error,
    },
    /// The output directory holds something else.
    #[error("{path:?} exists and is not a dataset of manyframe; move it away or choose another --output")]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// There is something already where something new should be made.
    #[error("{path:?} exists; move it away or choose another --output")]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// The dataset has no such source.
    #[error("the dataset has no source {name:?}; its sources are {known}")]
    NoSuchSource {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A model cannot be used, or cannot run a sample.
    #[error("the model cannot be used")]
    Model(#[from] manyframe_validate::ValidateError),
    /// The ids of samples cannot be made.
    #[error("the samples of {path:?} have no token ids, and none can be made: {detail}")]
    NoTokens {
        /// The dataset.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// A file of the work directory does not hold what it should.
    #[error("{path:?} is not what this version of manyframe writes: {detail}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        detail: String,
    },
}
