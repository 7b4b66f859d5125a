//! What workers on other machines have left in the directory of their tasks.

use std::collections::BTreeSet;
use std::time::Duration;

use manyframe_base::Progress;

use crate::engine::TaskSet;
use crate::error::EngineError;
use crate::failure::{list_failures, list_numbered};

/// The tasks that some workers are to do.
pub(crate) struct Watch<'a> {
    set: &'a dyn TaskSet,
    progress: &'a dyn Progress,
    /// The tasks whose reports were not seen yet.
    unseen: BTreeSet<u32>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(set: &'a dyn TaskSet, tasks: &[u32], progress: &'a dyn Progress) -> Self {
        Self { set, progress, unseen: tasks.iter().copied().collect() }
    }

    /// Forgets earlier failures of tasks that are about to be tried again.
    pub(crate) fn forget_failures(&self, tasks: &[u32]) -> Result<(), EngineError> {
        self.set.gather()?;
        let failed = list_failures(self.set.directory())?.into_iter().map(|failure| failure.task);
        failed.filter(|task| tasks.contains(task)).try_for_each(|task| self.set.forget_failure(task))
    }

    /// Advances progress by the tasks whose reports have appeared.
    ///
    /// # Errors
    ///
    /// If a task failed, or what the workers have done cannot be read, and trying again would not help.
    pub(crate) fn look(&mut self) -> Result<(), EngineError> {
        match self.set.gather() {
            Err(error) if error.may_be_retried() => {
                tracing::warn!(%error, "what the workers have done cannot be read at this moment");
            }
            gathered => gathered?,
        }
        self.take_stock()
    }

    /// As [`Self::look`], once the workers have ended: what they have done is then all that counts.
    ///
    /// # Errors
    ///
    /// If a task failed and trying again would not help, or what the workers have done cannot be read.
    pub(crate) fn look_at_last(&mut self) -> Result<(), EngineError> {
        self.set.gather()?;
        self.take_stock()
    }

    fn take_stock(&mut self) -> Result<(), EngineError> {
        for task in list_numbered(&self.set.directory().join("done"))?.into_keys() {
            if self.unseen.remove(&task) {
                self.progress.advance(self.set.num_records(task), self.set.size(task));
            }
        }
        match self.failure(|may_be_retried| !may_be_retried)? {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// The first failure of a task that is not done, among those that may be retried or those that may not.
    pub(crate) fn failure(&self, is_wanted: impl Fn(bool) -> bool) -> Result<Option<EngineError>, EngineError> {
        let failures = list_failures(self.set.directory())?;
        let mut wanted = failures.into_iter().filter(|failure| is_wanted(failure.may_be_retried));
        Ok(wanted.find(|failure| self.unseen.contains(&failure.task)).map(EngineError::from))
    }

    /// Those of some tasks that are not done. A report alone is not enough: what it names has to be there.
    pub(crate) fn unfinished(&self, tasks: &[u32]) -> Vec<u32> {
        tasks.iter().copied().filter(|task| !self.set.is_done(*task)).collect()
    }
}

/// The time between two looks: short at first, so that a short run ends soon, and long in a long run.
pub(crate) struct Pace(Duration);

impl Default for Pace {
    fn default() -> Self {
        Self(Duration::from_millis(500))
    }
}

impl Pace {
    const LONGEST: Duration = Duration::from_secs(10);

    pub(crate) fn wait(&mut self) {
        std::thread::sleep(self.0);
        self.0 = self.0.mul_f64(1.05).min(Self::LONGEST);
    }
}
