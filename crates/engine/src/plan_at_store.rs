//! A plan for machines that share no disk: what they are told, and what they say, is at the store that the dataset goes to.
//!
//! ```text
//! URL.work/plan-KEY/plan.json            sent before the tasks begin        ──▶ SCRATCH/DIGEST/plan-KEY/, on each worker
//! URL.work/plan-KEY/tasks/NNNNNN.jsonl   the samples of a task                  the same, when it begins
//! URL.work/plan-KEY/NNNNNN.json          its report, sent after its shards  ──▶ PLAN/done/, where the plan was made
//! URL.work/plan-KEY/failed/NNNNNN.json   why it failed on some machine      ──▶ PLAN/failed/
//! ```
//!
//! **Invariant:** a worker takes a task for done only if report and shards are at the store, whatever its disk says. Shards that
//! are whole on its disk, and were not sent, are sent.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_base::files::parent_directory;
use manyframe_base::{Executor, FileError, on_threads, write_atomic};
use manyframe_core::Digest;
use manyframe_plan::{plan_path, task_path};
use manyframe_storage::{Storage, Stores};
use serde_json::Value;

use crate::engine::{TaskSet, WorkerMachine};
use crate::error::EngineError;
use crate::failure::{Failure, failure_name, forget_failure};
use crate::open_plan::OpenPlan;
use crate::report::{find_report, remove_report};
use crate::store_output::{StoreOutput, at_store};

/// Lists of samples that are sent at a time.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// A plan whose tasks other machines find at the store, on the machine where it was made.
pub struct PlanAtStore<'a> {
    open: &'a OpenPlan,
    store: &'a StoreOutput,
    address: PathBuf,
}

impl<'a> PlanAtStore<'a> {
    /// Sends what machines need for these tasks.
    ///
    /// # Errors
    ///
    /// [`EngineError::NeedsSharedDisk`] if the dataset of the plan goes to a directory, [`EngineError::Transfer`] if the store fails.
    pub fn send(open: &'a OpenPlan, tasks: &[u32]) -> Result<Self, EngineError> {
        let needs_disk = || EngineError::NeedsSharedDisk { directory: open.directory.clone() };
        let store = open.store.as_ref().ok_or_else(needs_disk)?;
        let (address, work) = store.address_of(&open.directory);
        on_threads(CONCURRENCY, tasks, |task| send_file(work, open, &task_path(&open.directory, *task)))?;
        send_file(work, open, &plan_path(&open.directory))?;
        Ok(Self { open, store, address })
    }
}

/// Sends a file of the plan. What an interrupted build sent under its name may be of other reused samples.
fn send_file(work: &dyn Storage, open: &OpenPlan, path: &Path) -> Result<(), EngineError> {
    let below_work = path.strip_prefix(parent_directory(&open.directory)).unwrap_or(path);
    Ok(at_store(work.copy_in(path, &below_work.display().to_string()))?)
}

impl TaskSet for PlanAtStore<'_> {
    fn directory(&self) -> &Path {
        &self.open.directory
    }

    fn address(&self) -> &Path {
        &self.address
    }

    fn num_tasks(&self) -> u32 {
        self.open.num_tasks()
    }

    fn size(&self, task: u32) -> u64 {
        self.open.size(task)
    }

    fn num_records(&self, task: u32) -> u64 {
        self.open.num_records(task)
    }

    fn is_done(&self, task: u32) -> bool {
        self.open.has_done(task)
    }

    fn gather(&self) -> Result<(), EngineError> {
        self.store.gather(&self.open.directory)
    }

    fn forget_failure(&self, task: u32) -> Result<(), EngineError> {
        forget_failure(&self.open.directory, task);
        self.store.forget_failure(&self.open.directory, task)
    }

    fn run(&self, task: u32, executor: Executor<'_>) -> Result<Value, EngineError> {
        self.open.run(task, executor)
    }
}

/// A plan at a store, on a machine that does tasks of it.
pub struct FetchedPlan {
    pub(crate) open: OpenPlan,
    at: Arc<dyn Storage>,
}

impl FetchedPlan {
    /// Fetches the plan at a URL, and opens what its pipeline names.
    ///
    /// # Errors
    ///
    /// [`EngineError::Transfer`] if it is not there, and those of [`OpenPlan::open_elsewhere`].
    pub(crate) fn open(url: &Path, machine: WorkerMachine<'_>) -> Result<Self, EngineError> {
        let at = storage_at(url, machine.stores)?;
        let of_url = Digest::of(url.as_os_str().as_encoded_bytes()).to_string();
        let work = machine.scratch.join(of_url.get(..16).unwrap_or(&of_url));
        let directory = work.join(url.file_name().unwrap_or_default());
        // Listings of archives outlive the process.
        fs::create_dir_all(&directory).map_err(FileError::write(&directory))?;
        fetch(&*at, &directory, &plan_path(&directory))?;
        let open = OpenPlan::open_elsewhere(&directory, machine.variables, machine.stores)?;
        Ok(Self { open, at })
    }
}

/// Fetches a file of a plan into its directory.
fn fetch(at: &dyn Storage, directory: &Path, path: &Path) -> Result<(), EngineError> {
    let name = path.strip_prefix(directory).unwrap_or(path).display().to_string();
    let text = at_store(at.read(&name))?;
    Ok(write_atomic(path, &text)?)
}

fn storage_at(url: &Path, stores: &Stores) -> Result<Arc<dyn Storage>, EngineError> {
    Ok(stores.storage(url).map_err(manyframe_dataset::DatasetError::from)?)
}

impl TaskSet for FetchedPlan {
    fn directory(&self) -> &Path {
        &self.open.directory
    }

    fn num_tasks(&self) -> u32 {
        self.open.num_tasks()
    }

    fn size(&self, task: u32) -> u64 {
        self.open.size(task)
    }

    fn num_records(&self, task: u32) -> u64 {
        self.open.num_records(task)
    }

    fn is_done(&self, task: u32) -> bool {
        self.open.has_done(task)
    }

    fn num_at_once(&self, num_threads: usize) -> usize {
        self.open.num_at_once(num_threads)
    }

    fn run(&self, task: u32, executor: Executor<'_>) -> Result<Value, EngineError> {
        let directory = &self.open.directory;
        if let (Some(store), Some(found)) = (&self.open.store, find_report(directory, task)?)
            && found.is_sent
            && !store.has_done(directory, &found.report)?
        {
            remove_report(directory, task)?;
        }
        fetch(&*self.at, directory, &task_path(directory, task))?;
        self.open.run(task, executor)
    }

    fn note_failure(&self, task: u32, error: &EngineError) {
        write_failure(&*self.at, &Failure::of(task, error));
    }

    fn forget_failure(&self, task: u32) -> Result<(), EngineError> {
        Ok(at_store(self.at.remove(&failure_name(task)))?)
    }
}

/// Notes why a task failed at a URL. What cannot be noted is logged.
pub(crate) fn note_failure_at(url: &Path, stores: &Stores, failure: &Failure) {
    match storage_at(url, stores) {
        Ok(at) => write_failure(&*at, failure),
        Err(error) => tracing::warn!(task = failure.task, %error, "why the task failed cannot be noted"),
    }
}

fn write_failure(at: &dyn Storage, failure: &Failure) {
    let text = serde_json::json!(failure).to_string();
    if let Err(error) = at.write(&failure_name(failure.task), text.as_bytes()) {
        tracing::warn!(task = failure.task, %error, "why the task failed cannot be noted");
    }
}
