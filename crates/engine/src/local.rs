//! The local engine: all tasks of a plan on this machine's cores.
//!
//! Samples of a task are made in parallel and written in order. A second task overlaps the end of the first, so that cores
//! do not wait for the last samples of a shard.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use manyframe_base::{Executor, Step};
use manyframe_plan::{Context, Plan};

use crate::{EngineError, run_task};

const TASKS_AT_ONCE: usize = 2;

/// Runs every task that is not done. Stops at the first error; what is done stays done.
pub fn run_all(context: &Context, plan: &Plan, directory: &Path, executor: Executor<'_>) -> Result<(), EngineError> {
    executor.progress.start(Step::Run, plan.tasks.iter().map(|task| task.num_samples).sum());
    let next = AtomicU32::new(0);
    let failure = Mutex::new(None);
    let work = || {
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task as usize >= plan.tasks.len() || has_failed(&failure) {
                return;
            }
            if let Err(error) = run_task(context, plan, directory, task, executor) {
                record_failure(&failure, error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..TASKS_AT_ONCE.min(plan.tasks.len()) {
            scope.spawn(work);
        }
    });
    executor.progress.finish(Step::Run);
    let failure = failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failure.map_or(Ok(()), Err)
}

fn has_failed(failure: &Mutex<Option<EngineError>>) -> bool {
    failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_some()
}

fn record_failure(failure: &Mutex<Option<EngineError>>, error: EngineError) {
    let mut failure = failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // The first error is the cause; later ones often follow from it.
    failure.get_or_insert(error);
}
