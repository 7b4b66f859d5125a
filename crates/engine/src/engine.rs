//! Where the tasks of a plan run. An engine decides when and on which machine; what a task does is the same everywhere.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use manyframe_base::Executor;

use crate::error::EngineError;
use crate::open_plan::OpenPlan;
use crate::task::run_task;

/// Runs the tasks of a plan.
///
/// Tasks are independent, idempotent and atomic: they may run in any order, at the same time, twice, and on any machine that
/// sees the directory of the plan and its inputs under the same paths. There, `manyframe task DIRECTORY ID` runs one.
pub trait Engine {
    /// Runs these tasks, none of which is done, and returns when all of them are.
    ///
    /// Progress advances by the samples of each task; the caller starts and finishes the step.
    ///
    /// # Errors
    ///
    /// The first error of a task. Finished tasks stay finished; a call with the remaining tasks continues from there.
    fn run(&self, plan: &OpenPlan, tasks: &[u32], executor: Executor<'_>) -> Result<(), EngineError>;

    /// Whether the threads of the executor do all the work, so that the time of a run is their speed. It is kept for the
    /// time estimates of later builds. Default: no.
    fn works_on_executor(&self) -> bool {
        false
    }
}

/// Runs tasks on the cores of this machine.
///
/// Samples of a task are made in parallel and written in order. A second task overlaps the end of the first, so that cores
/// do not wait for the last samples of a shard.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalEngine;

/// Tasks that are not done at the same time.
pub(crate) const TASKS_AT_ONCE: usize = 2;

impl Engine for LocalEngine {
    fn run(&self, plan: &OpenPlan, tasks: &[u32], executor: Executor<'_>) -> Result<(), EngineError> {
        let next = AtomicUsize::new(0);
        let failure = FirstFailure::default();
        let work = || {
            while !failure.is_set() {
                let Some(&task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                if let Err(error) = run_task(plan, task, executor) {
                    failure.set(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..TASKS_AT_ONCE.min(tasks.len()) {
                scope.spawn(work);
            }
        });
        failure.into_result()
    }

    fn works_on_executor(&self) -> bool {
        true
    }
}

/// The first error is the cause; later ones often follow from it.
#[derive(Default)]
struct FirstFailure(Mutex<Option<EngineError>>);

impl FirstFailure {
    fn is_set(&self) -> bool {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_some()
    }

    fn set(&self, error: EngineError) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
    }

    fn into_result(self) -> Result<(), EngineError> {
        self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
    }
}
