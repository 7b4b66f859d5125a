//! What is in a work directory, seen from outside: builds that are going on or were left, and what `clean` may remove.
//!
//! **Invariant:** looking changes nothing and waits for nobody.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use manyframe_base::files::{
    is_written_to, list_leftovers_of_the_dead, num_bytes_of, parent_directory, remove_any, work_directory,
};
use manyframe_base::{FileError, is_url};
use manyframe_dataset::{BuildFacts, DatasetError, MANIFEST_FILE};
use manyframe_plan::{Plan, TaskHeader};
use manyframe_storage::{LocalDirectory, Stores};
use manyframe_transfer::abandon;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::EngineError;
use crate::report::find_report;
use crate::shown_path;
use crate::store_output::journals;
use crate::work::{is_locked, try_lock};

/// Where a build puts its dataset, and where it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPlace {
    /// The directory or URL of the dataset.
    pub dataset: PathBuf,
    /// The work directory.
    pub work: PathBuf,
}

/// The work directory of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkState {
    /// Its path.
    #[serde(serialize_with = "shown_path::path")]
    pub directory: PathBuf,
    /// Bytes of its files.
    pub num_bytes: u64,
    /// Whether a build is going on.
    pub is_locked: bool,
    /// The process of that build, if it is one of this machine.
    pub process: Option<u32>,
    /// Plans of builds that were begun, the newest first.
    pub plans: Vec<PlanState>,
    /// What `manyframe clean` removes.
    pub leftovers: Vec<Leftover>,
}

/// A plan, and how far its tasks are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlanState {
    /// Its directory.
    #[serde(serialize_with = "shown_path::path")]
    pub directory: PathBuf,
    /// Number of tasks; `None` if another version of manyframe made it, or it is damaged.
    pub num_tasks: Option<u64>,
    /// Those that are done.
    pub num_done: u64,
    /// Whether its dataset was put together, and not published: it lost too many records, or failed its validation.
    pub is_kept_back: bool,
}

/// Something that nobody needs any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Leftover {
    /// Where it is.
    #[serde(serialize_with = "shown_path::path")]
    pub path: PathBuf,
    /// What it is.
    pub kind: LeftoverKind,
    /// Bytes of its files.
    pub num_bytes: u64,
}

/// What nobody needs any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeftoverKind {
    /// A file or directory that a killed process was writing.
    Unfinished,
    /// A plan without finished tasks that was followed by another one, or one whose dataset is published.
    SupersededPlan,
    /// A plan of an interrupted build, the newest one or one with finished tasks, whose samples the next build takes over.
    /// Removed only where that is asked for.
    InterruptedPlan,
}

/// Whether `clean` removes what it finds.
#[derive(Debug, Clone, Copy)]
pub enum CleanMode<'a> {
    /// It lists it.
    DryRun,
    /// It removes it, and what was sent of unfinished shards to stores that these reach.
    Remove(&'a Stores),
}

/// What `clean` removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanScope {
    /// What no build would use.
    Useless,
    /// Finished tasks of an interrupted build, too.
    Interrupted,
}

impl WorkState {
    /// The work directory of an output; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be listed.
    pub fn read(output: &OutputPlace) -> Result<Option<Self>, EngineError> {
        let directory = output.work.clone();
        if !directory.is_dir() {
            return Ok(None);
        }
        let lock = directory.join("lock");
        let is_locked = is_locked(&lock);
        let plans = list_plans(&directory)?;
        Ok(Some(Self {
            num_bytes: num_bytes_of(&directory),
            is_locked,
            process: if is_locked { process_that_locks(&lock) } else { None },
            plans: plans.iter().map(|plan| PlanState::read(plan)).collect(),
            leftovers: list_leftovers(output, CleanScope::Useless, is_locked)?,
            directory,
        }))
    }
}

impl PlanState {
    fn read(directory: &Path) -> Self {
        let plan = Plan::read(directory).ok();
        let is_sent = plan.as_ref().is_some_and(|plan| plan.pipeline.output.url().is_some());
        let is_done = |task: &&TaskHeader| {
            let found = find_report(directory, task.id).ok().flatten();
            found.is_some_and(|found| if is_sent { found.is_sent } else { found.is_here })
        };
        let num_done = plan.iter().flat_map(|plan| &plan.tasks).filter(is_done).count();
        Self {
            directory: directory.to_owned(),
            num_tasks: plan.map(|plan| plan.tasks.len() as u64),
            num_done: num_done as u64,
            is_kept_back: directory.join("dataset").join(MANIFEST_FILE).is_file(),
        }
    }
}

/// Removes what killed and superseded builds of a dataset left, unless a build is going on; returns what it was, or would be.
///
/// # Errors
///
/// If something cannot be listed or removed.
pub fn clean(output: &OutputPlace, scope: CleanScope, mode: CleanMode<'_>) -> Result<Vec<Leftover>, EngineError> {
    let lock = output.work.join("lock");
    // Nothing may be begun while it is removed.
    let is_removed = matches!(mode, CleanMode::Remove(_)) && output.work.is_dir();
    let locked = if is_removed { try_lock(&lock)? } else { None };
    let is_going_on = locked.is_none() && is_locked(&lock);
    let leftovers = list_leftovers(output, scope, is_going_on)?;
    if let CleanMode::Remove(stores) = mode {
        let sent = is_url(&output.dataset).then(|| stores.storage(&work_directory(&output.dataset)));
        let sent = sent.transpose().map_err(DatasetError::from)?;
        for leftover in &leftovers {
            sent.iter().try_for_each(|sent| abandon(&**sent, &journals(&leftover.path)))?;
            remove_any(&leftover.path)?;
        }
    }
    drop(locked);
    Ok(leftovers)
}

/// What is left of killed and superseded builds. Of a build that is going on, only what is no part of its work directory.
fn list_leftovers(output: &OutputPlace, scope: CleanScope, is_going_on: bool) -> Result<Vec<Leftover>, EngineError> {
    let OutputPlace { dataset, work } = output;
    let found = |kind| move |path: PathBuf| Leftover { num_bytes: num_bytes_of(&path), kind, path };
    let mut leftovers: Vec<Leftover> = Vec::new();
    let add_unfinished = |directory: &Path, leftovers: &mut Vec<Leftover>| -> Result<(), FileError> {
        leftovers.extend(list_leftovers_of_the_dead(directory)?.into_iter().map(found(LeftoverKind::Unfinished)));
        Ok(())
    };
    if !is_url(dataset) {
        add_unfinished(parent_directory(dataset), &mut leftovers)?;
    }
    if is_going_on || !work.is_dir() {
        return Ok(leftovers);
    }
    for directory in [work.clone(), work.join("index"), work.join("listings")] {
        add_unfinished(&directory, &mut leftovers)?;
    }
    let published = BuildFacts::read_from(&LocalDirectory::new(dataset)).ok().flatten().map(|facts| facts.plan_key);
    for (number, plan) in list_plans(work)?.into_iter().enumerate() {
        let is_published = Plan::read(&plan).is_ok_and(|plan| Some(plan.key) == published);
        let is_useful = !is_published && (number == 0 || PlanState::read(&plan).num_done > 0);
        let kind = match scope {
            _ if !is_useful => Some(LeftoverKind::SupersededPlan),
            CleanScope::Useless => None,
            CleanScope::Interrupted => Some(LeftoverKind::InterruptedPlan),
        };
        // Tasks run on other machines, too, and hold no lock.
        let parts = [plan.join("shards"), plan.join("done")];
        let mut is_in_use = false;
        for part in &parts {
            is_in_use |= is_written_to(part)?;
        }
        match kind {
            Some(kind) if !is_in_use => leftovers.push(found(kind)(plan)),
            _ => parts.iter().try_for_each(|part| add_unfinished(part, &mut leftovers))?,
        }
    }
    Ok(leftovers)
}

/// The directories of plans in a work directory, the newest first.
fn list_plans(work: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut plans: BTreeSet<(SystemTime, PathBuf)> = BTreeSet::new();
    for entry in fs::read_dir(work).map_err(FileError::read(work))? {
        let path = entry.map_err(FileError::read(work))?.path();
        let is_plan = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("plan-"));
        if is_plan && path.join("plan.json").is_file() {
            // A plan that is read for other settings is written again.
            let modified = fs::metadata(path.join("plan.json")).and_then(|metadata| metadata.modified());
            plans.insert((modified.unwrap_or(SystemTime::UNIX_EPOCH), path));
        }
    }
    Ok(plans.into_iter().rev().map(|(_, path)| path).collect())
}

/// The process of this machine that holds a lock on a file, as the kernel lists them.
fn process_that_locks(lock: &Path) -> Option<u32> {
    let inode = format!(":{}", fs::metadata(lock).ok()?.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let process = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [_, "FLOCK", _, "WRITE", process, file, ..] if file.ends_with(&inode) => process.parse::<u32>().ok(),
            _ => None,
        }
    };
    // Files of two file systems may have one number.
    let mut processes = locks.lines().filter_map(process).filter(|process| *process > 0);
    processes.next().filter(|_| processes.next().is_none())
}
