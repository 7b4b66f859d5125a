//! Where tasks run. An engine decides when and on which machine; what a task does is the same everywhere.
//!
//! ```text
//! TaskSet: a directory with numbered tasks ──▶ Engine ──▶ DIRECTORY/done/NNNNNN.json, the reports
//!                                                │
//!                    LocalEngine: in this process; others: `manyframe task DIRECTORY 0-99`, in a process on some machine
//! ```
//!
//! Every engine can rely on this contract:
//!
//! * A task is plain data: its directory and its number are all that a worker is told.
//! * It is idempotent and atomic: it may run twice, at the same time, on any machine that sees its directory and its inputs. What
//!   it makes appears whole, with the same bytes each time, and its report last.
//! * Its exit code says whether to try again: 0 done, 2 never, anything else may help. Why it failed is noted beside it, in
//!   `DIRECTORY/failed/NNNNNN.json`.
//!
//! Machines that share no disk find a plan at a URL, and leave all of this there (`plan_at_store.rs`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

use manyframe_base::Executor;
use manyframe_storage::Stores;
use manyframe_validate::measure::Meter;
use serde_json::Value;

use crate::error::EngineError;
use crate::failure::{forget_failure, note_failure};

/// Tasks that are described in one directory, numbered from 0.
pub trait TaskSet: Sync {
    /// The directory: besides numbers, all that a worker is told.
    fn directory(&self) -> &Path;

    /// Where workers on other machines find the tasks: a path, or a URL. Default: the directory, which they have to see.
    fn address(&self) -> &Path {
        self.directory()
    }

    /// How many tasks there are.
    fn num_tasks(&self) -> u32;

    /// How far progress advances when a task is done, in the units of its step.
    fn size(&self, task: u32) -> u64;

    /// The records of a task that is done, for progress.
    fn num_records(&self, task: u32) -> u64;

    /// Whether the report of a task is there, and what it made is as it says.
    fn is_done(&self, task: u32) -> bool;

    /// How many tasks a process with so many threads may be about at the same time.
    fn num_at_once(&self, num_threads: usize) -> usize {
        tasks_at_once(num_threads)
    }

    /// Whether its tasks run a model, so that a job of them is given GPUs. Default: no.
    fn runs_model(&self) -> bool {
        false
    }

    /// Brings reports and failures into the directory that workers left elsewhere. Default: they leave them in the directory.
    ///
    /// # Errors
    ///
    /// If these cannot be read; asking again may help.
    fn gather(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// Notes why a task failed on this machine. What cannot be noted is logged: the exit code says the rest.
    fn note_failure(&self, task: u32, error: &EngineError) {
        note_failure(self.directory(), task, error);
    }

    /// Forgets the failure of a task, if there is one.
    ///
    /// # Errors
    ///
    /// If it cannot be reached.
    fn forget_failure(&self, task: u32) -> Result<(), EngineError> {
        forget_failure(self.directory(), task);
        Ok(())
    }

    /// Runs a task, unless it is done; progress advances by its size. Returns what it came to, for people and programs.
    ///
    /// # Errors
    ///
    /// Why it cannot be done; [`EngineError::may_be_retried`] says whether another attempt may succeed.
    fn run(&self, task: u32, executor: Executor<'_>) -> Result<Value, EngineError>;
}

/// Runs tasks.
pub trait Engine {
    /// Runs these tasks, none of which is done, and returns when all of them are.
    ///
    /// Progress advances by the size of each task; the caller starts and finishes the step.
    ///
    /// # Errors
    ///
    /// The first error of a task that trying again did not mend. Finished tasks stay finished; a call with the remaining tasks
    /// continues from there.
    fn run(&self, set: &dyn TaskSet, tasks: &[u32], executor: Executor<'_>) -> Result<(), EngineError>;

    /// Whether the threads of the executor do all the work, so that the time of a run is their speed. It is kept for the
    /// time estimates of later builds. Default: no.
    fn works_on_executor(&self) -> bool {
        false
    }

    /// Whether its machines see the directory of the tasks. Default: yes. Otherwise they are told a URL, where the dataset goes.
    fn shares_disk(&self) -> bool {
        true
    }

    /// Whether it also makes the index, one annotation file or part of one after the other, each as a task: it has more machines
    /// than this one, and they see all files under the same paths. Default: no.
    fn makes_indexes(&self) -> bool {
        false
    }
}

/// Runs tasks on the cores of this machine.
///
/// Samples of a task are made in parallel and written in order. A second task overlaps the end of the first, so that cores
/// do not wait for the last samples of a shard. More of them write at the same time where many threads make samples.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalEngine;

/// Tasks that are made at the same time by so many threads. Each is written by a thread of its own, which is busy with what a few
/// threads make if that is copied rather than encoded (`tests/bench/cores.py`).
pub(crate) fn tasks_at_once(num_threads: usize) -> usize {
    (num_threads / THREADS_PER_TASK).max(2)
}

const THREADS_PER_TASK: usize = 4;

impl Engine for LocalEngine {
    fn run(&self, set: &dyn TaskSet, tasks: &[u32], executor: Executor<'_>) -> Result<(), EngineError> {
        let num_at_once = set.num_at_once(executor.pool.current_num_threads());
        overlap(tasks, num_at_once, |task| set.run(task, executor).map(drop))
    }

    fn works_on_executor(&self) -> bool {
        true
    }
}

/// What a worker knows of its machine.
#[derive(Clone, Copy)]
pub struct WorkerMachine<'a> {
    /// Values of variables of the pipeline file that are others here.
    pub variables: &'a BTreeMap<String, String>,
    /// Reach what URLs of the pipeline file name.
    pub stores: &'a Stores,
    /// Measures time and memory of the process.
    pub meter: &'a dyn Meter,
    /// A directory of this machine for tasks of a plan at a URL.
    pub scratch: &'a Path,
}

/// Runs tasks as a worker of some engine does: `report` gets what each of them came to, and a failure is noted for the engine.
///
/// # Errors
///
/// The first error of a task. The tasks that are not done by then are not begun.
pub fn run_as_worker(
    set: &dyn TaskSet,
    tasks: &[u32],
    executor: Executor<'_>,
    report: &(dyn Fn(&Value) + Sync),
) -> Result<(), EngineError> {
    let num_at_once = set.num_at_once(executor.pool.current_num_threads());
    overlap(tasks, num_at_once, |task| match set.run(task, executor) {
        Ok(summary) => {
            if let Err(error) = set.forget_failure(task) {
                tracing::warn!(task, %error, "an earlier failure of the task is still noted");
            }
            report(&summary);
            Ok(())
        }
        Err(error) => {
            set.note_failure(task, &error);
            Err(error)
        }
    })
}

/// Does a few tasks at a time, in order, until one fails.
fn overlap(
    tasks: &[u32],
    num_at_once: usize,
    act: impl Fn(u32) -> Result<(), EngineError> + Sync,
) -> Result<(), EngineError> {
    let next = AtomicUsize::new(0);
    let failure = FirstFailure::default();
    let work = || {
        while !failure.is_set() {
            let Some(&task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            if let Err(error) = act(task) {
                failure.set(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..num_at_once.min(tasks.len()) {
            // One that the system does not start leaves its work to this one.
            if Builder::new().spawn_scoped(scope, work).is_err() {
                work();
            }
        }
    });
    failure.into_result()
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
