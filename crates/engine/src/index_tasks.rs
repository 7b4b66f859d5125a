//! The index files that a build lacks, as tasks: the headers of media are read on other machines.
//!
//! ```text
//! WORK/index-tasks/index.json   the pipeline, and the index files to be made in WORK/index, each a task
//! WORK/index-tasks/done/        reports; the directory is removed once all are made
//! ```

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use manyframe_base::files::parent_directory;
use manyframe_base::{Executor, FileAction, FileError, write_json};
use manyframe_pipeline::{Pipeline, PipelineFile};
use manyframe_plan::{Context, IndexTask, list_missing_index};
use manyframe_storage::Stores;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::TaskSet;
use crate::error::EngineError;
use crate::report::report_path;

/// Where the tasks are, below a work directory.
const DIRECTORY: &str = "index-tasks";

/// The tasks as plain data.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct IndexOrder {
    /// The program that wrote it: another one would make other rows.
    manyframe_version: String,
    file: PipelineFile,
    portable: PipelineFile,
    variables: BTreeMap<String, String>,
    tasks: Vec<IndexTask>,
}

/// Index files to be made, with the pipeline opened.
pub struct IndexTasks<C> {
    /// The opened pipeline.
    pub(crate) context: C,
    directory: PathBuf,
    tasks: Vec<IndexTask>,
}

/// Where the index files of a work directory are described while they are made elsewhere.
pub(crate) fn index_tasks_directory(work: &Path) -> PathBuf {
    work.join(DIRECTORY)
}

fn order_path(directory: &Path) -> PathBuf {
    directory.join("index.json")
}

impl<'c> IndexTasks<&'c Context> {
    /// The index files that a work directory lacks; `None` if it lacks none. Those of an interrupted build keep their numbers.
    pub(crate) fn of_work(context: &'c Context, work: &Path) -> Result<Option<Self>, EngineError> {
        let missing = list_missing_index(context, work)?;
        if missing.is_empty() {
            return Ok(None);
        }
        let directory = index_tasks_directory(work);
        let names: BTreeSet<&str> = missing.iter().map(IndexTask::file).collect();
        if let Ok(order) = IndexOrder::read(&directory) {
            let known: BTreeSet<&str> = order.tasks.iter().map(IndexTask::file).collect();
            if names.is_subset(&known) {
                return Ok(Some(Self { context, directory, tasks: order.tasks }));
            }
        }
        remove_index_tasks(work)?;
        let Pipeline { file, portable, variables, stores: _ } = context.pipeline.clone();
        let manyframe_version = env!("CARGO_PKG_VERSION").to_owned();
        let order = IndexOrder { manyframe_version, file, portable, variables, tasks: missing };
        write_json(&order_path(&directory), &order)?;
        Ok(Some(Self { context, directory, tasks: order.tasks }))
    }
}

impl IndexTasks<Context> {
    /// Reads what [`IndexTasks::of_work`] wrote, and opens the pipeline on this machine.
    pub(crate) fn open(directory: &Path, stores: &Stores) -> Result<Self, EngineError> {
        let IndexOrder { file, portable, variables, tasks, .. } = IndexOrder::read(directory)?;
        let pipeline = Pipeline { file, portable, variables, stores: stores.clone() };
        let context = Context::open(pipeline).map_err(EngineError::NotHere)?;
        Ok(Self { context, directory: directory.to_owned(), tasks })
    }
}

impl<C: Borrow<Context> + Sync> IndexTasks<C> {
    /// The tasks that are not done.
    pub(crate) fn unfinished(&self) -> Vec<u32> {
        let numbered = (0..).zip(&self.tasks);
        let work = parent_directory(&self.directory);
        numbered.filter(|(_, task)| !task.is_done(work)).map(|(number, _)| number).collect()
    }

    /// The index files to be made.
    pub(crate) fn tasks(&self) -> &[IndexTask] {
        &self.tasks
    }

    fn task(&self, number: u32) -> Result<&IndexTask, EngineError> {
        let last = self.num_tasks().saturating_sub(1);
        self.tasks.get(number as usize).ok_or(EngineError::NoSuchTask { task: number, last })
    }
}

impl<C: Borrow<Context> + Sync> TaskSet for IndexTasks<C> {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn num_tasks(&self) -> u32 {
        self.tasks.len() as u32
    }

    fn size(&self, task: u32) -> u64 {
        self.tasks.get(task as usize).map_or(0, IndexTask::num_bytes)
    }

    fn num_records(&self, task: u32) -> u64 {
        self.tasks.get(task as usize).map_or(0, |task| task.num_records(parent_directory(&self.directory)))
    }

    fn is_done(&self, task: u32) -> bool {
        self.tasks.get(task as usize).is_some_and(|task| task.is_done(parent_directory(&self.directory)))
    }

    fn run(&self, task: u32, executor: Executor<'_>) -> Result<Value, EngineError> {
        let index = self.task(task)?;
        index.run(self.context.borrow(), parent_directory(&self.directory), executor)?;
        let summary = serde_json::json!({ "task": task, "index": index.file() });
        write_json(&report_path(&self.directory, task), &summary)?;
        Ok(summary)
    }
}

/// Removes the tasks in a work directory whose index files are all made.
pub(crate) fn remove_index_tasks(work: &Path) -> Result<(), FileError> {
    let directory = index_tasks_directory(work);
    if directory.exists() {
        fs::remove_dir_all(&directory).map_err(FileError::when(FileAction::Remove, &directory))?;
    }
    Ok(())
}

/// Whether a directory holds such tasks.
pub(crate) fn holds_index_tasks(directory: &Path) -> bool {
    order_path(directory).is_file()
}

impl IndexOrder {
    fn read(directory: &Path) -> Result<Self, EngineError> {
        let path = order_path(directory);
        let text = fs::read(&path).map_err(FileError::read(&path))?;
        let damaged =
            |detail: String| EngineError::Plan(manyframe_plan::PlanError::Damaged { path: path.clone(), detail });
        let order: Self = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        let (found, expected) = (&order.manyframe_version, env!("CARGO_PKG_VERSION"));
        if found == expected {
            Ok(order)
        } else {
            Err(damaged(format!("it is of version {found}, expected {expected}")))
        }
    }
}
