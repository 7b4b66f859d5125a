//! A dataset that goes to an object store: shards are sent when their tasks are done, and get their names when all are there.
//!
//! ```text
//! URL.work/plan-KEY/NNNNNN-FORMAT.EXT   a shard of a finished task, which is no longer on this machine
//! URL.work/plan-KEY/NNNNNN.json         its report, written when its shards are there
//! URL.work/plan-KEY/…                   and the plan itself, for machines that share no disk (`plan_at_store.rs`)
//! URL.work/media-SHARDS.parquet         which versions of media the samples of the dataset were made of
//!         └── commit: copied by the store to URL/FORMAT/LAYOUT/NNNNNN.EXT; then the manifest; then removed here
//! ```
//!
//! **Invariant:** before commit nothing changes at the URL. **Invariant:** a shard leaves this machine when it was compared at the
//! store, and its task is done when its report says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use manyframe_base::files::{parent_directory, work_directory, write_atomic};
use manyframe_base::{FileAction, FileError, Progress, on_threads};
use manyframe_core::Digest;
use manyframe_dataset::{DatasetError, DatasetReader};
use manyframe_pipeline::{Pipeline, PipelineFile};
use manyframe_storage::{Storage, is_below_bucket};
use manyframe_transfer::{
    Outbox, Pace, ReplacedUploads, SentFile, StagedShards, TransferError, Upload, UploadOptions, Uploaded, abandon,
    settle,
};

use crate::committed::CommitOptions;
use crate::error::EngineError;
use crate::failure::{failure_name, failure_path};
use crate::report::{
    FinishedTask, FoundReport, ShardReport, TaskReport, find_report, remove_report, report_path, shard_name,
};
use crate::slots::Slots;

/// Tasks whose shards are sent while others are made.
pub(crate) const TASKS_SENT_AT_ONCE: usize = 2;

/// Requests at a time, for all shards together.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// Stores that speak S3 copy no larger object in one request.
const MAX_COPIED_BYTES: u64 = 5 << 30;

/// Where the shards and the dataset of a plan go.
pub(crate) struct StoreOutput {
    dataset: Arc<dyn Storage>,
    work: Arc<dyn Storage>,
    outbox: Outbox,
    /// Makes shards wait for those that are sent.
    pub(crate) making: Slots,
    /// The shards of the dataset that is replaced, by their digests.
    before: OnceLock<BTreeMap<Digest, PathBuf>>,
    /// The tasks whose reports were brought here: these are not read again.
    gathered: Mutex<BTreeSet<u32>>,
}

impl StoreOutput {
    /// The store of a pipeline's output, if it goes to one. Nothing is asked of it yet.
    pub(crate) fn of(pipeline: &Pipeline) -> Result<Option<Self>, EngineError> {
        let Some(url) = pipeline.file.output.url() else { return Ok(None) };
        if !is_below_bucket(url) {
            return Err(EngineError::WholeBucket { url: url.to_owned() });
        }
        let storage = |location: &Path| pipeline.stores.storage(location).map_err(DatasetError::from);
        let work = storage(&work_directory(url))?;
        Ok(Some(Self {
            dataset: storage(url)?,
            outbox: Outbox::new(Arc::clone(&work), Pace { concurrency: CONCURRENCY, ..Pace::default() }),
            work,
            making: Slots::default(),
            before: OnceLock::new(),
            gathered: Mutex::default(),
        }))
    }

    /// Makes sure that the URL is free, or has a dataset that one of this name may replace, and that no upload of another one to it
    /// is unfinished.
    pub(crate) fn ensure_replaceable(&self, pipeline: &Pipeline, options: CommitOptions) -> Result<(), EngineError> {
        let PipelineFile { name, output, .. } = &pipeline.file;
        let asked = (!options.replaces_other_name).then_some(name.as_str());
        manyframe_transfer::ensure_replaceable(&*self.dataset, asked)?;
        if !options.takes_over {
            manyframe_transfer::ensure_unclaimed(&*self.dataset, name, &output.work_directory())?;
        }
        Ok(())
    }

    /// Sends the shards of a task and then its report, and removes them here. Of a shard that the store has, nothing is sent.
    pub(crate) fn send(&self, plan: &Path, report: &TaskReport) -> Result<(), EngineError> {
        if let Some(large) = report.shards.iter().find(|shard| shard.num_bytes > MAX_COPIED_BYTES) {
            let path = plan.join("shards").join(shard_name(report.id, large.format));
            return Err(EngineError::LargeShard { path, num_bytes: large.num_bytes });
        }
        let files: Vec<SentFile> = report.shards.iter().map(|shard| self.sent_file(plan, report.id, shard)).collect();
        let journal = journals(plan).join(format!("{:06}.jsonl", report.id));
        self.outbox.send(&plan.join("shards"), &files, &journal)?;
        let text = report.text_of_sent();
        at_store(self.work.write(&report_name(plan, report.id), &text))?;
        write_atomic(&report_path(plan, report.id), &text)?;
        remove_shards(plan, report)
    }

    fn sent_file(&self, plan: &Path, task: u32, shard: &ShardReport) -> SentFile {
        let path = shard_name(task, shard.format);
        let name = format!("{}/{path}", plan_name(plan));
        let ShardReport { num_bytes, digest, .. } = *shard;
        SentFile { path, name, num_bytes, digest, copy_of: self.before().get(&digest).cloned() }
    }

    /// The shards that the URL has: what is the same again is copied by the store.
    fn before(&self) -> &BTreeMap<Digest, PathBuf> {
        self.before.get_or_init(|| {
            let Ok(dataset) = DatasetReader::open_in(Arc::clone(&self.dataset)) else { return BTreeMap::new() };
            let shards = dataset.manifest().shards.iter();
            shards.map(|shard| (shard.digest, dataset.shard_location(shard))).collect()
        })
    }

    /// Makes a plan agree with what the store has: finds tasks that were done elsewhere, forgets those whose shards are gone,
    /// and removes what no plan of the work directory has sent.
    pub(crate) fn prepare(&self, plan: &Path, num_tasks: u32) -> Result<(), EngineError> {
        let listed = at_store(self.work.list(""))?.into_iter();
        let there: BTreeMap<String, u64> = listed.map(|file| (file.path, file.num_bytes)).collect();
        let work = parent_directory(plan);
        let is_orphan = |path: &&String| plan_of(path).is_some_and(|name| !work.join(name).is_dir());
        self.remove(&there.keys().filter(is_orphan).cloned().collect::<Vec<_>>())?;
        let tasks: Vec<u32> = (0..num_tasks).collect();
        on_threads(CONCURRENCY, &tasks, |task| self.prepare_task(plan, *task, &there))?;
        Ok(())
    }

    fn prepare_task(&self, plan: &Path, task: u32, there: &BTreeMap<String, u64>) -> Result<(), EngineError> {
        let name = report_name(plan, task);
        match find_report(plan, task)? {
            Some(FoundReport { report, is_sent: true, .. }) if self.has_shards(plan, &report, there)? => {
                remove_shards(plan, &report)
            }
            Some(FoundReport { is_sent: true, .. }) => {
                tracing::info!(task, "its shards are no longer at the store; the task is done again");
                at_store(self.work.remove(&name))?;
                Ok(remove_report(plan, task)?)
            }
            _ if there.contains_key(&name) => match self.take_report(plan, task, there)? {
                Some(report) => remove_shards(plan, &report),
                None => Ok(at_store(self.work.remove(&name))?),
            },
            _ => Ok(()),
        }
    }

    /// Brings the report at the store here; `None` if there is none whose shards are there, too.
    fn take_report(
        &self,
        plan: &Path,
        task: u32,
        there: &BTreeMap<String, u64>,
    ) -> Result<Option<TaskReport>, EngineError> {
        let Some(text) = self.read_if_there(&report_name(plan, task))? else { return Ok(None) };
        let Some(report) = TaskReport::of_sent(&text).filter(|report| report.id == task) else { return Ok(None) };
        if !self.has_shards(plan, &report, there)? {
            return Ok(None);
        }
        write_atomic(&report_path(plan, task), &text)?;
        Ok(Some(report))
    }

    /// A small file of the store; `None` if it was removed since it was listed.
    fn read_if_there(&self, name: &str) -> Result<Option<Vec<u8>>, EngineError> {
        match self.work.read(name) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
            text => Ok(Some(at_store(text)?)),
        }
    }

    /// Whether report and shards of a task are at the store.
    pub(crate) fn has_done(&self, plan: &Path, report: &TaskReport) -> Result<bool, EngineError> {
        let is_reported = at_store(self.work.num_bytes(&report_name(plan, report.id)))?.is_some();
        Ok(is_reported && self.has_shards(plan, report, &BTreeMap::new())?)
    }

    /// Whether the shards of a task are at the store, with their sizes. The store is asked for what is not listed as `there`: it may
    /// have been sent since.
    fn has_shards(&self, plan: &Path, report: &TaskReport, there: &BTreeMap<String, u64>) -> Result<bool, EngineError> {
        for shard in &report.shards {
            let name = format!("{}/{}", plan_name(plan), shard_name(report.id, shard.format));
            let is_listed = there.get(&name) == Some(&shard.num_bytes);
            if !is_listed && at_store(self.work.num_bytes(&name))? != Some(shard.num_bytes) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes sure that the shards of finished tasks are at the store: publishing a dataset replaces the one before, file by file.
    pub(crate) fn ensure_sent(&self, plan: &Path, tasks: &[FinishedTask]) -> Result<(), EngineError> {
        let there = self.files_of(plan)?;
        for FinishedTask { report, .. } in tasks {
            for shard in &report.shards {
                let name = format!("{}/{}", plan_name(plan), shard_name(report.id, shard.format));
                let found = there.get(&name);
                if found != Some(&shard.num_bytes) {
                    return Err(TransferError::Altered {
                        path: self.work.full_path(&name),
                        found: found.map_or("it is not there".to_owned(), |num_bytes| format!("{num_bytes} bytes")),
                        expected: format!("{} bytes", shard.num_bytes),
                    }
                    .into());
                }
            }
        }
        Ok(())
    }

    /// Where workers find what was sent of a plan, and the storage that has it.
    pub(crate) fn address_of(&self, plan: &Path) -> (PathBuf, &dyn Storage) {
        (self.work.full_path(&plan_name(plan)), &*self.work)
    }

    /// The files that were sent of a plan, with their sizes, by their paths below the work of the store.
    pub(crate) fn files_of(&self, plan: &Path) -> Result<BTreeMap<String, u64>, EngineError> {
        let listed = at_store(self.work.list(&plan_name(plan)))?;
        Ok(listed.into_iter().map(|file| (file.path, file.num_bytes)).collect())
    }

    /// Brings the reports and failures of tasks that other machines did into the directory of their plan.
    pub(crate) fn gather(&self, plan: &Path) -> Result<(), EngineError> {
        let there = self.files_of(plan)?;
        let below_plan = format!("{}/", plan_name(plan));
        let names: Vec<&str> = there.keys().filter_map(|file| file.strip_prefix(&below_plan)).collect();
        let task_of = |name: &str| name.strip_suffix(".json")?.parse::<u32>().ok();
        let gather = |name: &&str| match (task_of(name), name.strip_prefix("failed/").and_then(task_of)) {
            (Some(task), _) => self.gather_report(plan, task, &there),
            (None, Some(task)) => self.gather_failure(plan, task),
            (None, None) => Ok(()),
        };
        on_threads(CONCURRENCY, &names, gather)?;
        Ok(())
    }

    fn gather_report(&self, plan: &Path, task: u32, there: &BTreeMap<String, u64>) -> Result<(), EngineError> {
        if self.gathered().contains(&task) && report_path(plan, task).exists() {
            return Ok(());
        }
        // One that is here may be of shards that were never sent.
        let is_here = find_report(plan, task)?.is_some_and(|found| found.is_sent);
        if is_here || self.take_report(plan, task, there)?.is_some() {
            self.gathered().insert(task);
        }
        Ok(())
    }

    fn gathered(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task may fail again, for another reason: its last note counts.
    fn gather_failure(&self, plan: &Path, task: u32) -> Result<(), EngineError> {
        if let Some(text) = self.read_if_there(&format!("{}/{}", plan_name(plan), failure_name(task)))? {
            write_atomic(&failure_path(plan, task), &text)?;
        }
        Ok(())
    }

    /// Removes the note about a failure that a worker left.
    pub(crate) fn forget_failure(&self, plan: &Path, task: u32) -> Result<(), EngineError> {
        Ok(at_store(self.work.remove(&format!("{}/{}", plan_name(plan), failure_name(task))))?)
    }

    /// Where the shards of finished tasks are, by their paths in the dataset.
    pub(crate) fn staged(&self, plan: &Path, tasks: &[FinishedTask]) -> StagedShards {
        let of_task = |FinishedTask { report, shard: name }: &FinishedTask| {
            let place = |shard: &ShardReport| {
                let file = format!("{}/{}", plan_name(plan), shard_name(report.id, shard.format));
                Some((name.as_ref()?.path(shard.format).to_string(), self.work.full_path(&file)))
            };
            report.shards.iter().filter_map(place).collect::<Vec<_>>()
        };
        tasks.iter().flat_map(of_task).collect()
    }

    /// Publishes a dataset whose files are in a directory, but for its shards. `media` is the table of its media, which goes
    /// beside it.
    pub(crate) fn publish(
        &self,
        (directory, staged): (&Path, &StagedShards),
        media: &Path,
        options: CommitOptions,
        progress: &dyn Progress,
    ) -> Result<Uploaded, EngineError> {
        let media_name = media.file_name().unwrap_or_default().to_string_lossy().into_owned();
        at_store(self.work.copy_in(media, &media_name))?;
        let options = UploadOptions {
            pace: Pace { concurrency: CONCURRENCY, ..Pace::default() },
            deletes: true,
            replaces_other_name: options.replaces_other_name,
            replaced: if options.takes_over { ReplacedUploads::Any } else { ReplacedUploads::Own },
            ..UploadOptions::default()
        };
        let (dataset, notes) = (directory, parent_directory(media));
        let uploaded = Upload { dataset, staged, notes, storage: &*self.dataset, options, progress }.run()?;
        self.remove_all_but(&media_name)?;
        Ok(uploaded)
    }

    /// Ends what a killed build left after its manifest was there: this one. Of what was sent, only that of the plans of this
    /// machine is removed: another one may be building the next dataset.
    pub(crate) fn settle(&self, manifest: Digest, plans: &[PathBuf]) -> Result<(), EngineError> {
        settle(&*self.dataset, manifest)?;
        for plan in plans {
            let sent = at_store(self.work.list(&plan_name(plan)))?;
            self.remove(&sent.into_iter().map(|file| file.path).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Has the store forget what was sent of unfinished shards of plans of this machine, before these are removed.
    pub(crate) fn abandon(&self, plans: &[PathBuf]) -> Result<(), EngineError> {
        for plan in plans {
            abandon(&*self.work, &journals(plan))?;
        }
        Ok(())
    }

    /// Removes what was sent of plans.
    pub(crate) fn remove_plans(&self) -> Result<(), EngineError> {
        let of_plans = at_store(self.work.list(""))?.into_iter().filter(|file| plan_of(&file.path).is_some());
        self.remove(&of_plans.map(|file| file.path).collect::<Vec<_>>())
    }

    fn remove_all_but(&self, kept: &str) -> Result<(), EngineError> {
        let others = at_store(self.work.list(""))?.into_iter().filter(|file| file.path != kept);
        self.remove(&others.map(|file| file.path).collect::<Vec<_>>())
    }

    fn remove(&self, paths: &[String]) -> Result<(), EngineError> {
        on_threads(CONCURRENCY, paths, |path| at_store(self.work.remove(path)))?;
        Ok(())
    }
}

/// What failed at a store: some of that cannot be mended by trying again, such as missing rights.
pub(crate) fn at_store<T>(result: Result<T, FileError>) -> Result<T, TransferError> {
    result.map_err(TransferError::from)
}

/// Removes the shards of a task from this machine.
fn remove_shards(plan: &Path, report: &TaskReport) -> Result<(), EngineError> {
    for shard in &report.shards {
        let path = plan.join("shards").join(shard_name(report.id, shard.format));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FileError::when(FileAction::Remove, path)(error).into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// What was sent of the shards of tasks that are not done.
pub(crate) fn journals(plan: &Path) -> PathBuf {
    plan.join("sending")
}

fn plan_name(plan: &Path) -> String {
    plan.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The report of a task, below the work of the store.
fn report_name(plan: &Path, task: u32) -> String {
    format!("{}/{task:06}.json", plan_name(plan))
}

/// The plan that an object was sent for.
fn plan_of(path: &str) -> Option<&str> {
    path.split_once('/').map(|(directory, _)| directory).filter(|directory| directory.starts_with("plan-"))
}
