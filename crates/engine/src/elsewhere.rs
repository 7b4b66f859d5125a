//! A directory with tasks, opened by a worker that knows nothing else.

use std::path::Path;
use std::sync::Arc;

use manyframe_base::in_flight::InFlight;
use manyframe_base::is_url;
use manyframe_plan::{Attempt, Context, Verdict};

use crate::engine::{TaskSet, WorkerMachine};
use crate::error::EngineError;
use crate::failure::{Failure, note_failure};
use crate::index_tasks::{IndexTasks, holds_index_tasks};
use crate::open_plan::OpenPlan;
use crate::plan_at_store::{FetchedPlan, note_failure_at};
use crate::sample::repeat;
use crate::validate::tasks::{ValidateTasks, holds_validate_tasks};
use crate::verify::tasks::{VerifyTasks, holds_verify_tasks};

/// Tasks of a directory, on a machine that may not be the one that made it.
pub enum TasksElsewhere<'a> {
    /// The samples of a plan.
    Plan(Box<OpenPlan>),
    /// The same, of a plan at a URL.
    Fetched(Box<FetchedPlan>),
    /// The index files that a build lacks.
    Index(Box<IndexTasks<Context>>),
    /// The shards of a dataset that is verified.
    Verify(Box<VerifyTasks>),
    /// The samples of a dataset that is validated.
    Validate(Box<ValidateTasks<'a>>),
}

impl<'a> TasksElsewhere<'a> {
    /// Opens the tasks of a directory, or of a plan at a URL. Why that is not possible is noted there, as a failure of task
    /// `first`.
    ///
    /// # Errors
    ///
    /// Those of [`OpenPlan::open_elsewhere`], and of the store of a URL.
    pub fn open_noting(location: &Path, machine: WorkerMachine<'a>, first: u32) -> Result<Self, EngineError> {
        Self::open(location, machine).inspect_err(|error| {
            if is_url(location) {
                note_failure_at(location, machine.stores, &Failure::of(first, error));
            } else {
                note_failure(location, first, error);
            }
        })
    }

    /// As [`Self::open_noting`], noting nothing.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open(location: &Path, machine: WorkerMachine<'a>) -> Result<Self, EngineError> {
        let (WorkerMachine { variables, stores, .. }, directory) = (machine, location);
        if is_url(location) {
            return Ok(Self::Fetched(Box::new(FetchedPlan::open(location, machine)?)));
        }
        if holds_index_tasks(directory) {
            return Ok(Self::Index(Box::new(IndexTasks::open(directory, stores)?)));
        }
        if holds_verify_tasks(directory) {
            return Ok(Self::Verify(Box::new(VerifyTasks::open(directory, variables, stores)?)));
        }
        if holds_validate_tasks(directory) {
            return Ok(Self::Validate(Box::new(ValidateTasks::open(directory, machine)?)));
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
            Self::Fetched(fetched) => &mut fetched.open.context,
            Self::Index(tasks) => &mut tasks.context,
            Self::Verify(tasks) => return tasks.watch(in_flight, verdicts),
            // Its images were decoded when they were delivered.
            Self::Validate(_) => return Ok(()),
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
            Self::Fetched(fetched) => repeat(&fetched.open.context, attempt),
            Self::Index(tasks) => repeat(&tasks.context, attempt),
            Self::Verify(tasks) => tasks.repeat(attempt),
            Self::Validate(_) => Ok(()),
        }
    }

    /// The tasks.
    pub fn as_set(&self) -> &dyn TaskSet {
        match self {
            Self::Plan(open) => open.as_ref(),
            Self::Fetched(fetched) => fetched.as_ref(),
            Self::Index(tasks) => tasks.as_ref(),
            Self::Verify(tasks) => tasks.as_ref(),
            Self::Validate(tasks) => tasks.as_ref(),
        }
    }
}
