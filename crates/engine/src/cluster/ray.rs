//! Ray: a driver in Python of a page (`ray_driver.py`), which submits jobs to a cluster that is there.
//!
//! The driver ends with this process, and its jobs end with it. Started again, it does what is left.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use manyframe_base::{Executor, FileError, write_atomic};

use crate::cluster::jobs::JobOptions;
use crate::cluster::watch::{Pace, Watch};
use crate::engine::{Engine, TaskSet};
use crate::error::EngineError;
use crate::task_range::TaskRanges;

const DRIVER: &str = include_str!("ray_driver.py");

/// What the text of the driver has in place of what it is to do.
const ORDER: &str = "\"ORDER GOES HERE\"";

/// The exit code of the driver, and of the program, by which trying again will not help.
const WRONG: i32 = 2;

/// Runs tasks as jobs on a Ray cluster, whose nodes have to see the same files.
#[derive(Debug, Clone)]
pub struct RayEngine {
    /// How tasks become jobs.
    pub jobs: JobOptions,
    /// The address of the cluster. Default: `RAY_ADDRESS`, or the cluster of this machine.
    pub address: Option<String>,
    /// A Python with the package `ray` of the cluster's version.
    pub python: PathBuf,
}

impl Engine for RayEngine {
    fn run(&self, set: &dyn TaskSet, tasks: &[u32], executor: Executor<'_>) -> Result<(), EngineError> {
        self.jobs.ensure_reachable(set)?;
        let mut watch = Watch::new(set, tasks, executor.progress);
        watch.forget_failures(tasks)?;
        let path = set.directory().join("ray_driver.py");
        write_atomic(&path, self.script(set, tasks)?.as_bytes())?;
        let mut command = Command::new(&self.python);
        // The driver ends when the other end of its stdin closes: when this process ends, however it ends.
        command.arg(&path).arg("--with-parent").stdin(Stdio::piped()).stdout(Stdio::null());
        let mut driver = command.spawn().map_err(|error| self.failed(error.to_string(), false))?;
        let mut pace = Pace::default();
        let status = loop {
            watch.look()?;
            let ended = driver.try_wait().map_err(FileError::read(&path))?;
            if let Some(status) = ended {
                break status;
            }
            pace.wait();
        };
        watch.look_at_last()?;
        self.conclude(status, &watch, &watch.unfinished(tasks))
    }

    fn shares_disk(&self) -> bool {
        self.jobs.shares_disk
    }

    fn makes_indexes(&self) -> bool {
        self.jobs.makes_indexes()
    }
}

impl RayEngine {
    /// The driver in Python that does these tasks.
    ///
    /// # Errors
    ///
    /// If the order to it cannot be written as JSON.
    pub fn script(&self, set: &dyn TaskSet, tasks: &[u32]) -> Result<String, EngineError> {
        let jobs: Vec<String> = self.jobs.divide(tasks, usize::MAX).iter().map(TaskRanges::to_string).collect();
        let order = serde_json::json!({
            "jobs": jobs,
            "program": self.jobs.program,
            "arguments": self.jobs.arguments(set),
            "cpus": self.jobs.cpus,
            "gpus": self.jobs.gpus_of(set),
            "most_jobs": self.jobs.most_jobs,
            "address": self.address,
        });
        // A string of JSON is one of Python, too.
        Ok(DRIVER.replacen(ORDER, &serde_json::json!(order.to_string()).to_string(), 1))
    }

    fn conclude(&self, status: ExitStatus, watch: &Watch<'_>, unfinished: &[u32]) -> Result<(), EngineError> {
        if unfinished.is_empty() {
            return Ok(());
        }
        if let Some(failure) = watch.failure(|_| true)? {
            return Err(failure);
        }
        let detail = format!("the driver ended with {status}, and {} tasks are not done", unfinished.len());
        Err(self.failed(detail, status.code() != Some(WRONG)))
    }

    fn failed(&self, detail: String, may_be_retried: bool) -> EngineError {
        EngineError::Scheduler { program: self.python.display().to_string(), detail, may_be_retried }
    }
}
