//! Jobs: what a scheduler is asked to run, each a few tasks in one process.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use manyframe_base::is_url;
use manyframe_pipeline::absolute_path;

use crate::engine::TaskSet;
use crate::error::EngineError;
use crate::task_range::TaskRanges;

/// How tasks become jobs.
#[derive(Debug, Clone)]
pub struct JobOptions {
    /// The program `manyframe` on the machines that run jobs.
    pub program: PathBuf,
    /// Cores of a job, which are also its threads.
    pub cpus: NonZeroU32,
    /// GPUs of a job that runs a model.
    pub gpus: u32,
    /// Number of tasks that a job does. Default: 1, or more if the scheduler takes fewer jobs than there are tasks.
    pub tasks_per_job: Option<NonZeroU32>,
    /// Number of jobs at the same time. Default: as many as fit.
    pub most_jobs: Option<NonZeroU32>,
    /// Values of variables of the pipeline file on the machines that run jobs, where they differ.
    pub variables: BTreeMap<String, String>,
    /// Whether the machines see the directory of the tasks.
    pub shares_disk: bool,
    /// Address of an object store that is not its provider's, as `--endpoint` takes it.
    pub endpoint: Option<String>,
}

impl JobOptions {
    /// Divides tasks among at most this many jobs, in order.
    pub(crate) fn divide(&self, tasks: &[u32], most_jobs: usize) -> Vec<TaskRanges> {
        let least = tasks.len().div_ceil(most_jobs.max(1)).max(1);
        let tasks_per_job = self.tasks_per_job.map_or(1, |number| number.get() as usize).max(least);
        tasks.chunks(tasks_per_job).map(|job| TaskRanges::of(job.iter().copied())).collect()
    }

    /// Whether workers see annotation files as this machine does, and the directory of index files.
    pub(crate) fn makes_indexes(&self) -> bool {
        self.variables.is_empty() && self.shares_disk
    }

    /// Makes sure that the machines can find these tasks.
    pub(crate) fn ensure_reachable(&self, set: &dyn TaskSet) -> Result<(), EngineError> {
        if self.shares_disk || is_url(set.address()) {
            return Ok(());
        }
        Err(EngineError::NeedsSharedDisk { directory: set.directory().to_owned() })
    }

    /// GPUs of a job of these tasks.
    pub(crate) fn gpus_of(&self, set: &dyn TaskSet) -> u32 {
        if set.runs_model() { self.gpus } else { 0 }
    }

    /// The arguments of the program for a job, but for its tasks.
    pub(crate) fn arguments(&self, set: &dyn TaskSet) -> Vec<String> {
        let address = absolute_path(set.address()).display().to_string();
        let mut arguments = vec!["task".to_owned(), address];
        arguments.extend(["--quiet".to_owned(), "--threads".to_owned(), self.cpus.to_string()]);
        for (name, value) in &self.variables {
            arguments.extend(["--set".to_owned(), format!("{name}={value}")]);
        }
        arguments.extend(self.endpoint.iter().flat_map(|endpoint| ["--endpoint".to_owned(), endpoint.clone()]));
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_divided_in_order_and_within_what_a_scheduler_takes() {
        let options = |tasks_per_job| JobOptions {
            program: "manyframe".into(),
            cpus: NonZeroU32::MIN,
            gpus: 0,
            tasks_per_job: NonZeroU32::new(tasks_per_job),
            most_jobs: None,
            variables: BTreeMap::new(),
            shares_disk: true,
            endpoint: None,
        };
        let jobs = |tasks_per_job, most_jobs| -> Vec<String> {
            let tasks = [0, 1, 2, 5, 6, 9, 10];
            options(tasks_per_job).divide(&tasks, most_jobs).iter().map(ToString::to_string).collect()
        };
        assert_eq!(jobs(0, 7), ["0", "1", "2", "5", "6", "9", "10"]);
        assert_eq!(jobs(3, 7), ["0-2", "5-6,9", "10"]);
        assert_eq!(jobs(0, 2), ["0-2,5", "6,9-10"]);
        assert_eq!(options(0).divide(&[], 5), []);
    }
}
