//! A directory with tasks, opened by a worker that knows nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use manyframe_base::in_flight::InFlight;
use manyframe_plan::{Context, Verdict};
use manyframe_storage::Stores;

use crate::engine::TaskSet;
use crate::error::EngineError;
use crate::index_tasks::{IndexTasks, holds_index_tasks};
use crate::open_plan::OpenPlan;

/// Tasks of a directory, on a machine that may not be the one that made it.
pub enum TasksElsewhere {
    /// The samples of a plan.
    Plan(Box<OpenPlan>),
    /// The index files that a build lacks.
    Index(Box<IndexTasks<Context>>),
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
        };
        Ok(manyframe_plan::watch(context, in_flight, verdicts)?)
    }

    /// Its sources, media and tokenizer.
    pub fn context(&self) -> &Context {
        match self {
            Self::Plan(open) => &open.context,
            Self::Index(tasks) => &tasks.context,
        }
    }

    /// The tasks.
    pub fn as_set(&self) -> &dyn TaskSet {
        match self {
            Self::Plan(open) => open.as_ref(),
            Self::Index(tasks) => tasks.as_ref(),
        }
    }
}
