//! The shards of a dataset as tasks, so that other machines examine them.
//!
//! ```text
//! DIRECTORY/verify.json         the dataset, and which task of the plan wrote each shard
//! DIRECTORY/plan-KEY/           what its sources lead to
//! DIRECTORY/done/NNNNNN.json    what the file of a shard showed
//! ```
//!
//! What the shards showed is put together where the directory was made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_base::in_flight::InFlight;
use manyframe_base::{Executor, write_json};
use manyframe_core::Digest;
use manyframe_dataset::{DatasetReader, ShardEntry};
use manyframe_media::MediaLimits;
use manyframe_pipeline::absolute_path;
use manyframe_plan::{Attempt, Verdict};
use manyframe_storage::Stores;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::{Engine, TaskSet};
use crate::error::EngineError;
use crate::orders::{read_found, read_order, write_order};
use crate::report::report_path;
use crate::verify::guard::{CheckGuard, repeat_check};
use crate::verify::options::{VerifyOptions, Watch};
use crate::verify::shard::{ExaminedShard, Examiner};
use crate::verify::sources::Replanned;
use crate::verify::tokens::TokenCheck;

/// The tasks as plain data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct VerifyOrder {
    /// The program that wrote it: another one would find something else.
    pub(super) manyframe_version: String,
    /// Where the dataset is.
    pub(super) dataset: PathBuf,
    pub(super) manifest: Digest,
    /// Replace the variables of its build.
    pub(super) variables: BTreeMap<String, String>,
    /// The plan in the directory that its sources lead to; `None` if they are not compared.
    pub(super) plan: Option<String>,
    /// The task of that plan which wrote each file of a shard.
    pub(super) tasks: Vec<Option<u32>>,
    /// Whether its tokenizer is there.
    pub(super) has_tokenizer: bool,
    /// Whether the rows of its ledger are those of this version.
    pub(super) is_complete: bool,
}

/// Shards to be examined, with the dataset opened.
pub struct VerifyTasks {
    directory: PathBuf,
    order: VerifyOrder,
    dataset: DatasetReader,
    stores: Stores,
    tokens: TokenCheck,
    replanned: Option<Replanned>,
    limits: MediaLimits,
    watch: Option<Watch>,
}

/// The file of the order.
const ORDER_FILE: &str = "verify.json";

/// Whether a directory holds such tasks.
pub(crate) fn holds_verify_tasks(directory: &Path) -> bool {
    directory.join(ORDER_FILE).is_file()
}

impl VerifyOrder {
    /// What is to be done for a dataset; `of_plan` are the tasks of the new plan, if there is one, that wrote its shards.
    pub(super) fn of(
        dataset: &DatasetReader,
        options: &VerifyOptions,
        (replanned, of_plan): (Option<&Replanned>, Vec<Option<u32>>),
        (tokens, is_complete): (&TokenCheck, bool),
    ) -> Self {
        Self {
            manyframe_version: env!("CARGO_PKG_VERSION").to_owned(),
            dataset: absolute_path(dataset.location()),
            manifest: dataset.manifest_digest(),
            variables: options.variables.clone(),
            plan: replanned.map(Replanned::plan_name),
            tasks: of_plan,
            has_tokenizer: tokens.obstacle().is_none(),
            is_complete,
        }
    }

    /// Writes it. What was done of another one is forgotten.
    pub(super) fn write(&self, directory: &Path) -> Result<(), EngineError> {
        write_order(directory, ORDER_FILE, self)
    }
}

impl VerifyTasks {
    /// Reads what a verification wrote, and opens the dataset and what it is compared with on this machine, where variables may
    /// have other values.
    pub(crate) fn open(
        directory: &Path,
        variables: &BTreeMap<String, String>,
        stores: &Stores,
    ) -> Result<Self, EngineError> {
        let mut order = read_order::<VerifyOrder>(&directory.join(ORDER_FILE))?;
        order.variables.extend(variables.clone());
        let dataset = DatasetReader::open_at(&order.dataset, stores)?;
        let is_other = order.manifest != dataset.manifest_digest()
            || order.tasks.len() != dataset.manifest().shards.len()
            || order.manyframe_version != env!("CARGO_PKG_VERSION");
        if is_other {
            return Err(EngineError::OtherDataset { path: order.dataset });
        }
        let file = dataset.manifest().pipeline_with(&BTreeMap::new())?.file;
        let tokens = TokenCheck::open(&dataset, &file, &order.variables);
        // What could be compared where the tasks were made has to be compared here.
        if let Some(detail) = tokens.obstacle().filter(|_| order.has_tokenizer) {
            let (path, detail) = (order.dataset, detail.to_owned());
            return Err(EngineError::NoTokenizer { path, detail });
        }
        let open = |plan: &String| Replanned::open(&dataset, &order.variables, stores, &directory.join(plan));
        let replanned = order.plan.as_ref().map(open).transpose()?;
        let (directory, stores, limits) = (directory.to_owned(), stores.clone(), file.limits);
        Ok(Self { directory, order, dataset, stores, tokens, replanned, limits, watch: None })
    }

    pub(crate) fn watch(&mut self, in_flight: Arc<InFlight>, verdicts: &[Verdict]) -> Result<(), EngineError> {
        if let Some(replanned) = &mut self.replanned {
            replanned.watch(Arc::clone(&in_flight), verdicts)?;
        }
        self.watch = Some(Watch { in_flight, verdicts: verdicts.to_vec() });
        Ok(())
    }

    /// As [`repeat_check`].
    pub(crate) fn repeat(&self, attempt: &Attempt) -> Result<(), EngineError> {
        repeat_check(&self.dataset, &self.order.variables, &self.stores, attempt)
    }

    /// Runs the tasks that are not done.
    pub(super) fn run_on(&self, engine: &dyn Engine, executor: Executor<'_>) -> Result<(), EngineError> {
        let (done, unfinished): (Vec<u32>, Vec<u32>) = (0..self.num_tasks()).partition(|task| self.is_done(*task));
        for task in done {
            executor.progress.advance(self.num_records(task), self.size(task));
        }
        engine.run(self, &unfinished, executor)
    }

    /// What a task found.
    pub(super) fn examined(&self, task: u32) -> Result<ExaminedShard, EngineError> {
        read_found(&self.directory, task)
    }

    fn shard(&self, task: u32) -> Option<&ShardEntry> {
        self.dataset.manifest().shards.get(task as usize)
    }
}

impl TaskSet for VerifyTasks {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn num_tasks(&self) -> u32 {
        self.order.tasks.len() as u32
    }

    fn size(&self, task: u32) -> u64 {
        self.shard(task).map_or(0, |shard| shard.num_bytes)
    }

    fn num_records(&self, task: u32) -> u64 {
        self.shard(task).map_or(0, |shard| shard.total.num_samples)
    }

    fn is_done(&self, task: u32) -> bool {
        self.examined(task).is_ok()
    }

    fn run(&self, task: u32, executor: Executor<'_>) -> Result<Value, EngineError> {
        let last = self.num_tasks().saturating_sub(1);
        let shard = self.shard(task).ok_or(EngineError::NoSuchTask { task, last })?;
        if !self.is_done(task) {
            let examiner = Examiner {
                dataset: &self.dataset,
                tokens: &self.tokens,
                guard: CheckGuard::new(self.watch.as_ref(), &self.limits),
                replanned: self.replanned.as_ref(),
                is_complete: self.order.is_complete,
            };
            let of_plan = self.order.tasks.get(task as usize).copied().flatten();
            let found = examiner.examine(shard, of_plan, executor)?;
            write_json(&report_path(&self.directory, task), &found)?;
        }
        executor.progress.advance(self.num_records(task), self.size(task));
        Ok(serde_json::json!({ "task": task, "shard": shard.path.to_string() }))
    }
}
