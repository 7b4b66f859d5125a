//! Slurm: an array of jobs, each of which does a range of tasks.
//!
//! The array has a name that follows from the directory of the tasks. A driver that finds jobs of that name watches them instead
//! of submitting others: it may have been killed and started again.
//!
//! A job whose node dies goes back into the queue (`--requeue`), and so does one that ends with an exit code by which trying again
//! may help. What is left of an array, because jobs ran out of time or memory, is submitted again as long as that leads further.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use manyframe_base::{Executor, FileError};
use manyframe_core::Digest;
use manyframe_pipeline::absolute_path;

use crate::cluster::call::call;
use crate::cluster::jobs::JobOptions;
use crate::cluster::watch::{Pace, Watch};
use crate::engine::{Engine, TaskSet};
use crate::error::EngineError;

/// Arrays in a row that may end without one more task being done.
const MOST_FRUITLESS_ARRAYS: u32 = 2;

/// How often a job with a failure that may pass goes back into the queue.
const MOST_REQUEUES: u32 = 2;

/// Times in a row that the state of jobs may be unknown, such as while the controller of Slurm restarts: ten minutes.
const MOST_SILENT_LOOKS: u32 = 60;

/// `MaxArraySize` where Slurm does not say it: its default.
const USUAL_ARRAY_SIZE: usize = 1001;

/// Runs tasks as jobs of Slurm. The machine has to be one that may submit jobs, and jobs have to see the same files.
#[derive(Debug, Clone)]
pub struct SlurmEngine {
    /// How tasks become jobs.
    pub jobs: JobOptions,
    /// Options of `sbatch`, such as `--partition=cpu`.
    pub sbatch: Vec<String>,
}

impl Engine for SlurmEngine {
    fn run(&self, set: &dyn TaskSet, tasks: &[u32], executor: Executor<'_>) -> Result<(), EngineError> {
        self.jobs.ensure_reachable(set)?;
        let mut watch = Watch::new(set, tasks, executor.progress);
        let mut unfinished = watch.unfinished(tasks);
        let mut num_fruitless = 0;
        while !unfinished.is_empty() {
            let name = array_name(set);
            let found = list_arrays(&name)?;
            if found.is_empty() {
                watch.forget_failures(&unfinished)?;
                let array = self.submit(set, &unfinished)?;
                tracing::info!(%array, %name, num_tasks = unfinished.len(), "submitted; the jobs go on if this process ends");
            } else {
                let arrays = found.into_iter().collect::<Vec<_>>().join(", ");
                tracing::info!(%arrays, %name, "jobs of an earlier run are there; they are watched");
            }
            wait(&name, &mut watch)?;
            let left = watch.unfinished(&unfinished);
            num_fruitless = if left.len() < unfinished.len() { 0 } else { num_fruitless + 1 };
            if num_fruitless > MOST_FRUITLESS_ARRAYS {
                return Err(given_up(&watch, &self.logs(set), &left));
            }
            unfinished = left;
        }
        watch.look()
    }

    fn shares_disk(&self) -> bool {
        self.jobs.shares_disk
    }

    fn makes_indexes(&self) -> bool {
        self.jobs.makes_indexes()
    }
}

impl SlurmEngine {
    /// The script of an array that does these tasks.
    ///
    /// # Errors
    ///
    /// If the directory for the logs of jobs cannot be made.
    pub fn script(&self, set: &dyn TaskSet, tasks: &[u32]) -> Result<String, EngineError> {
        let logs = self.logs(set);
        std::fs::create_dir_all(&logs).map_err(FileError::write(&logs))?;
        let jobs = self.jobs.divide(tasks, most_jobs_of_an_array());
        let bound = self.jobs.most_jobs.map_or_else(String::new, |most| format!("%{most}"));
        let logs = logs.display().to_string().replace('%', "%%");
        let gpus = Some(self.jobs.gpus_of(set)).filter(|gpus| *gpus > 0).map(|gpus| format!("--gpus={gpus}"));
        let options = gpus.iter().chain(&self.sbatch).map(|option| format!("#SBATCH {option}"));
        let options = options.collect::<Vec<_>>().join("\n");
        let ranges = jobs.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let arguments = self.jobs.arguments(set);
        let command = std::iter::once(self.jobs.program.display().to_string()).chain(arguments);
        let command = command.map(|argument| quoted(&argument)).collect::<Vec<_>>().join(" ");
        Ok(format!(
            "#!/bin/bash\n\
             # Tasks of {directory:?}: each job does one line of the list. All of it may run twice.\n\
             #SBATCH --job-name={name}\n\
             #SBATCH --array=0-{last}{bound}\n\
             #SBATCH --requeue\n\
             #SBATCH --open-mode=append\n\
             #SBATCH --cpus-per-task={cpus}\n\
             #SBATCH --output=\"{logs}/manyframe-%A_%a.log\"\n\
             {options}\n\n\
             tasks=(\n{ranges}\n)\n\
             {command} \"${{tasks[$SLURM_ARRAY_TASK_ID]}}\"\n\
             code=$?\n\
             # 2: trying again does not help. Anything else may pass, or be the fault of this node.\n\
             if [ $code -ne 0 ] && [ $code -ne 2 ] && [ \"${{SLURM_RESTART_COUNT:-0}}\" -lt {MOST_REQUEUES} ]; then\n  \
               scontrol requeue \"${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}\"\n\
             fi\n\
             exit $code\n",
            directory = absolute_path(set.address()).display().to_string(),
            name = array_name(set),
            last = jobs.len().saturating_sub(1),
            cpus = self.jobs.cpus,
        ))
    }

    /// Where the logs of jobs are: on the disk of each node, unless there is one that all see.
    fn logs(&self, set: &dyn TaskSet) -> PathBuf {
        if self.jobs.shares_disk { absolute_path(set.directory()).join("slurm") } else { PathBuf::from("/tmp") }
    }

    /// Submits an array; returns its number.
    fn submit(&self, set: &dyn TaskSet, tasks: &[u32]) -> Result<String, EngineError> {
        let script = self.script(set, tasks)?;
        let answer = call("sbatch", &["--parsable"], &script)?;
        // On some sites, the name of the cluster follows.
        Ok(answer.trim().split(';').next().unwrap_or_default().to_owned())
    }
}

/// Waits until no job of this name is left. Jobs that remain after a failure that no attempt can mend are cancelled.
fn wait(name: &str, watch: &mut Watch<'_>) -> Result<(), EngineError> {
    let mut pace = Pace::default();
    let mut num_silent = 0;
    loop {
        // Asked before reports are looked for: what a job left is there once it is gone.
        let arrays = match list_arrays(name) {
            Ok(arrays) => {
                num_silent = 0;
                Some(arrays)
            }
            Err(error) if num_silent < MOST_SILENT_LOOKS => {
                num_silent += 1;
                tracing::debug!(%error, "Slurm does not say which jobs there are");
                None
            }
            Err(error) => return Err(error),
        };
        let is_over = arrays.as_ref().is_some_and(BTreeSet::is_empty);
        let looked = if is_over { watch.look_at_last() } else { watch.look() };
        if let Err(failure) = looked {
            let arrays: Vec<&str> = arrays.iter().flatten().map(String::as_str).collect();
            if !arrays.is_empty()
                && let Err(error) = call("scancel", &arrays, "")
            {
                tracing::warn!(%error, "the jobs that are left cannot be cancelled");
            }
            return Err(failure);
        }
        if is_over {
            return Ok(());
        }
        pace.wait();
    }
}

/// The arrays with jobs of this name that have not ended.
fn list_arrays(name: &str) -> Result<BTreeSet<String>, EngineError> {
    let answer = call("squeue", &["--noheader", "--me", "--name", name, "--format", "%F"], "")?;
    Ok(answer.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
}

/// The name of arrays that do tasks of a directory.
fn array_name(set: &dyn TaskSet) -> String {
    let digest = Digest::of(absolute_path(set.directory()).as_os_str().as_encoded_bytes()).to_string();
    format!("manyframe-{}", digest.get(..12).unwrap_or(&digest))
}

fn most_jobs_of_an_array() -> usize {
    let answer = call("scontrol", &["show", "config"], "").unwrap_or_default();
    let line = answer.lines().find_map(|line| line.trim().strip_prefix("MaxArraySize"));
    let size = line.and_then(|line| line.trim_start_matches([' ', '=']).trim().parse().ok());
    // The largest index is one less.
    size.filter(|size| *size > 1).unwrap_or(USUAL_ARRAY_SIZE)
}

fn given_up(watch: &Watch<'_>, logs: &Path, left: &[u32]) -> EngineError {
    if let Ok(Some(failure)) = watch.failure(|_| true) {
        return failure;
    }
    let first = left.first().copied().unwrap_or_default();
    let detail = format!(
        "{} tasks are not done, the first is task {first}, and jobs end without one more being done; their logs are in {}",
        left.len(),
        logs.display()
    );
    EngineError::Scheduler { program: "slurm".to_owned(), detail, may_be_retried: true }
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/._-+=:@%,".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use serde_json::Value;

    use super::*;

    struct Tasks(PathBuf);

    impl TaskSet for Tasks {
        fn directory(&self) -> &Path {
            &self.0
        }

        fn num_tasks(&self) -> u32 {
            10
        }

        fn size(&self, _: u32) -> u64 {
            1
        }

        fn num_records(&self, _: u32) -> u64 {
            1
        }

        fn is_done(&self, _: u32) -> bool {
            false
        }

        fn run(&self, task: u32, _: Executor<'_>) -> Result<Value, EngineError> {
            Err(EngineError::NoSuchTask { task, last: 0 })
        }
    }

    /// Runs the script of an array as job number 1; returns its exit code and what it printed.
    fn run_job(directory: &Path, program: &str, restarts: &str) -> (Option<i32>, String) {
        let jobs = JobOptions {
            program: program.into(),
            cpus: NonZeroU32::new(2).unwrap(),
            gpus: 1,
            tasks_per_job: NonZeroU32::new(3),
            most_jobs: NonZeroU32::new(4),
            variables: BTreeMap::from([("data".to_owned(), "/a disk/it's".to_owned())]),
            shares_disk: true,
            endpoint: Some("http://store:9000".to_owned()),
        };
        let engine = SlurmEngine { jobs, sbatch: vec!["--partition=cpu".to_owned()] };
        let script = engine.script(&Tasks(directory.to_owned()), &[0, 1, 2, 5, 6, 8, 9]).unwrap();
        for line in
            ["#SBATCH --array=0-2%4", "#SBATCH --requeue", "#SBATCH --cpus-per-task=2", "#SBATCH --partition=cpu"]
        {
            assert!(script.contains(&format!("\n{line}\n")), "{script}");
        }
        let job = ["SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_JOB_ID"].map(|name| (name, "1"));
        // `scontrol` of the shell itself: nothing is installed.
        let script = format!("scontrol() {{ echo \"scontrol $*\"; }}\n{script}");
        let mut command = Command::new("bash");
        let output = command.args(["-c", &script]).envs(job).env("SLURM_RESTART_COUNT", restarts).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn a_job_does_its_line_of_the_list() {
        let directory = tempfile::tempdir().unwrap();
        let (code, stdout) = run_job(directory.path(), "echo", "0");
        let path = directory.path().display();
        let expected =
            format!("task {path} --quiet --threads 2 --set data=/a disk/it's --endpoint http://store:9000 5-6,8\n");
        assert_eq!((code, stdout), (Some(0), expected));
        assert!(directory.path().join("slurm").is_dir(), "for the logs");
    }

    #[test]
    fn a_job_goes_back_into_the_queue_only_if_that_may_help() {
        let directory = tempfile::tempdir().unwrap();
        let program = |code: i32| {
            let path = directory.path().join(format!("end-with-{code}"));
            manyframe_base::write_atomic(&path, format!("#!/bin/sh\nexit {code}\n").as_bytes()).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&path, mode).unwrap();
            path.display().to_string()
        };
        let requeue = "scontrol requeue 1_1\n".to_owned();
        for (code, restarts, printed) in
            [(1, "0", requeue.clone()), (143, "1", requeue), (1, "2", String::new()), (2, "0", String::new())]
        {
            assert_eq!(run_job(directory.path(), &program(code), restarts), (Some(code), printed), "{code}");
        }
    }
}
