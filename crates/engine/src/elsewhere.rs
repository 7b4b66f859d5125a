//! A directory with tasks, opened by a worker that knows nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use manyframe_base::in_flight::InFlight;
use manyframe_plan::{Attempt, Context, Verdict};
use manyframe_storage::Stores;

use crate::engine::TaskSet;
use crate::error::EngineError;
use crate::index_tasks::{IndexTasks, holds_index_tasks};
use crate::open_plan::OpenPlan;
use crate::sample::repeat;
use crate::verify::tasks::{VerifyTasks, holds_verify_tasks};

/// Tasks of a directory, on a machine that may not be the one that made it.
pub enum TasksElsewhere {
    /// The samples of a plan.
    Plan(Box<OpenPlan>),
    /// The index files that a build lacks.
    Index(Box<IndexTasks<Context>>),
    /// The shards of a dataset that is verified.
    Verify(Box<VerifyTasks>),
}

impl TasksElsewhere {
    /// Opens the tasks of a directory. Variables of the pipeline file may have other values on this machine; `stores` reach what
    /// its URLs name.
    ///
    /// # Errors
    ///
    /// Those of [`OpenPlan::open_elsewhere`].
    pub fn open(directory: &Path, variables: &BTreeMap<String, String>, stores: &Stores) -> Result<Self, EngineError> {
        if holds_index_tasks(directory) {
            return Ok(Self::Index(Box::new(IndexTasks::open(directory, stores)?)));
        }
        if holds_verify_tasks(directory) {
            return Ok(Self::Verify(Box::new(VerifyTasks::open(directory, variables, stores)?)));
        }
        Ok(Self::Plan(Box::new(OpenPlan::open_elsewhere(directory, variables, stores)?)))
    }

    /// As [`crate::Build::watch`].
    ///
    /// # Errors
    ///
    /// [`EngineError::Plan`] if what is rejected cannot be kept.
    pub fn watch(&mut self, in_flight: Arc<InFlight>, verdicts: &[Verdict]) -> Result<(), EngineError> {
        let context = match self {
            Self::Plan(open) => &mut open.context,
            Self::Index(tasks) => &mut tasks.context,
            Self::Verify(tasks) => return tasks.watch(in_flight, verdicts),
        };
        Ok(manyframe_plan::watch(context, in_flight, verdicts)?)
    }

    /// Does one thing again that a worker did not survive; only whether this process does matters.
    ///
    /// # Errors
    ///
    /// If what is needed for it cannot be read.
    pub fn repeat(&self, attempt: &Attempt) -> Result<(), EngineError> {
        match self {
            Self::Plan(open) => repeat(&open.context, attempt),
            Self::Index(tasks) => repeat(&tasks.context, attempt),
            Self::Verify(tasks) => tasks.repeat(attempt),
        }
    }

    /// The tasks.
    pub fn as_set(&self) -> &dyn TaskSet {
        match self {
            Self::Plan(open) => open.as_ref(),
            Self::Index(tasks) => tasks.as_ref(),
            Self::Verify(tasks) => tasks.as_ref(),
        }
    }
}
