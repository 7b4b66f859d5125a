//! `OUTPUT.work`: the directory that a build keeps beside its dataset (or where `output.work` says, for one at a URL), used by one
//! process at a time.
//!
//! ```text
//! OUTPUT.work/lock          held while a build is open
//! OUTPUT.work/index/        what was read of annotations, and of which media; outlives builds
//! OUTPUT.work/index-tasks/  what workers of a cluster are to index, while they do
//! OUTPUT.work/media-*       which versions of media the samples of the dataset were made of
//! OUTPUT.work/listings/     the members of tars that hold media; outlives builds
//! OUTPUT.work/plan-KEY/     a plan, its finished tasks and the unfinished dataset; removed once it is committed
//! OUTPUT.work/crashes.json  the records that a decoder did not survive; outlives builds
//! OUTPUT.work/rate.json     how fast the last build was
//! OUTPUT.work/shards.json   what the shards are that were written or read last; outlives builds
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use manyframe_base::files::{remove_leftovers, remove_leftovers_of_the_dead};
use manyframe_base::{FileAction, FileError, write_json};
use manyframe_pipeline::OutputTable;
use manyframe_plan::crashes_path;

use crate::error::EngineError;
use crate::index_tasks::index_tasks_directory;
use crate::misfits::remove_misfits;

/// The work directory of a dataset, locked. The system unlocks it when the process ends, however it ends.
pub(crate) struct WorkDirectory {
    path: PathBuf,
    _lock: fs::File,
}

/// Bytes of shards that one thread makes in a second, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    pub(crate) bytes_per_thread_second: f64,
    /// Bytes that are read for each byte of a shard.
    pub(crate) read_per_byte: f64,
    /// Bytes of a shard for each that was estimated.
    pub(crate) made_per_estimated: f64,
    /// Seconds of publishing for each sample.
    pub(crate) publish_per_sample_s: f64,
    pub(crate) basis: RateBasis,
}

/// What an estimate of time rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateBasis {
    /// The speed of the last build of this output.
    LastBuild,
    /// A constant: nothing was built here yet.
    RoughGuess,
}

/// Tiles of photographs from a fast disk, measured once on one core; videos are slower, text is faster.
const ROUGH_BYTES_PER_THREAD_SECOND: f64 = 8e6;

/// As if media were delivered as they are.
pub(crate) const ROUGH_READ_PER_BYTE: f64 = 1.0;

/// The ledger, the manifest and what is beside the shards, on a fast disk.
const ROUGH_PUBLISH_PER_SAMPLE_S: f64 = 0.2e-3;

const LOCK_PATIENCE: Duration = Duration::from_secs(1);

impl WorkDirectory {
    /// Creates and locks the work directory of a dataset, and removes what killed processes left in it. Does not wait for
    /// another process that holds it, except for one that is about to end.
    pub(crate) fn lock(output: &OutputTable) -> Result<Self, EngineError> {
        let path = output.work_directory();
        fs::create_dir_all(&path).map_err(FileError::write(&path))?;
        // Without a lock, whatever it is, no build was here: what is in it is somebody else's.
        if fs::symlink_metadata(path.join("lock")).is_ok() {
            remove_misfits(&path)?;
        }
        let lock = try_lock(&path.join("lock"))?;
        let lock = lock.ok_or_else(|| EngineError::Locked { dataset: output.location().to_owned() })?;
        remove_leftovers(&path)?;
        if index_tasks_directory(&path).exists() {
            // Workers may be writing index files.
            remove_leftovers_of_the_dead(&path.join("index"))?;
        } else {
            remove_leftovers(&path.join("index"))?;
        }
        let work = Self { path, _lock: lock };
        // Tasks may run at the same time and on other machines, and hold no lock.
        for plan in work.plans()? {
            for directory in ["shards", "done"] {
                remove_leftovers_of_the_dead(&plan.join(directory))?;
            }
        }
        Ok(work)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the index, listings, all plans and their finished tasks, and what decoders did not survive.
    pub(crate) fn clear(&self) -> Result<(), EngineError> {
        let crashes = crashes_path(&self.path);
        if crashes.is_file() {
            fs::remove_file(&crashes).map_err(FileError::when(FileAction::Remove, &crashes))?;
        }
        remove_directories(self.directories(|_name| true)?)
    }

    /// Removes plans and their finished tasks; the index stays for the next build.
    pub(crate) fn remove_plans(&self) -> Result<(), EngineError> {
        remove_directories(self.plans()?)
    }

    pub(crate) fn plans(&self) -> Result<Vec<PathBuf>, EngineError> {
        self.directories(|name| {
            let key =
                name.trim_start_matches('.').strip_prefix("plan-").map(|rest| rest.split('.').next().unwrap_or(rest));
            key.is_some_and(|key| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_hexdigit()))
        })
    }

    fn directories(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, EngineError> {
        let mut directories = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(FileError::read(&self.path))? {
            let entry = entry.map_err(FileError::read(&self.path))?;
            let path = entry.path();
            if path.is_dir() && is_wanted(&entry.file_name().to_string_lossy()) {
                directories.push(path);
            }
        }
        Ok(directories)
    }

    /// The rate of the last build, or a rough guess if there was none.
    pub(crate) fn rate(&self) -> Rate {
        let text = fs::read(self.rate_path()).ok();
        let value = text.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        let known = |name: &str| value.as_ref()?.get(name)?.as_f64().filter(|rate| *rate > 0.0);
        let read_per_byte = known("read_per_byte").unwrap_or(ROUGH_READ_PER_BYTE);
        // Estimates are taken as they are until a build was measured.
        let made_per_estimated = known("made_per_estimated").unwrap_or(1.0);
        let publish_per_sample_s = known("publish_per_sample_s").unwrap_or(ROUGH_PUBLISH_PER_SAMPLE_S);
        let (bytes_per_thread_second, basis) = match known("bytes_per_thread_second") {
            Some(rate) => (rate, RateBasis::LastBuild),
            None => (ROUGH_BYTES_PER_THREAD_SECOND, RateBasis::RoughGuess),
        };
        Rate { bytes_per_thread_second, read_per_byte, made_per_estimated, publish_per_sample_s, basis }
    }

    /// Keeps a rate for the estimates of later plans.
    pub(crate) fn write_rate(&self, rate: Rate) -> Result<(), EngineError> {
        let Rate { bytes_per_thread_second, read_per_byte, made_per_estimated, publish_per_sample_s, basis: _ } = rate;
        let value = serde_json::json!({
            "bytes_per_thread_second": bytes_per_thread_second,
            "read_per_byte": read_per_byte,
            "made_per_estimated": made_per_estimated,
            "publish_per_sample_s": publish_per_sample_s,
        });
        write_json(&self.rate_path(), &value)?;
        Ok(())
    }

    fn rate_path(&self) -> PathBuf {
        self.path.join("rate.json")
    }
}

/// Makes and locks a file, until it is dropped; `None` if another process holds it, and does not end soon.
pub(crate) fn try_lock(path: &Path) -> Result<Option<fs::File>, FileError> {
    let lock = fs::File::create(path).map_err(FileError::write(path))?;
    let started = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Some(lock)),
            // The worker of a build that was killed ends right after it.
            Err(fs::TryLockError::WouldBlock) if started.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(FileError::write(path)(error)),
        }
    }
}

/// Whether a process has locked a file. A build that begins in this moment waits for the answer.
pub(crate) fn is_locked(path: &Path) -> bool {
    let lock = fs::File::open(path);
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

fn remove_directories(directories: Vec<PathBuf>) -> Result<(), EngineError> {
    for path in directories {
        fs::remove_dir_all(&path).map_err(FileError::when(FileAction::Remove, &path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output_in(directory: &Path) -> OutputTable {
        OutputTable { directory: directory.join("out").display().to_string(), ..OutputTable::default() }
    }

    #[test]
    fn a_second_build_of_one_output_is_refused_until_the_first_ends() {
        let directory = tempfile::tempdir().unwrap();
        let output = output_in(directory.path());
        let first = WorkDirectory::lock(&output).unwrap();
        assert!(matches!(WorkDirectory::lock(&output), Err(EngineError::Locked { .. })));
        drop(first);
        WorkDirectory::lock(&output).unwrap();
    }

    #[test]
    fn what_a_killed_build_left_half_written_is_removed_by_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let output = output_in(directory.path());
        let index = directory.path().join("out.work/index");
        fs::create_dir_all(&index).unwrap();
        let leftover = index.join(".split-0.parquet.host-1-1.tmp");
        fs::File::create(&leftover).unwrap();
        fs::File::create(index.join("split-1.parquet")).unwrap();
        WorkDirectory::lock(&output).unwrap();
        assert!(!leftover.exists() && index.join("split-1.parquet").exists());
    }

    #[test]
    fn removing_plans_keeps_the_index_and_the_rate() {
        let directory = tempfile::tempdir().unwrap();
        let work = WorkDirectory::lock(&output_in(directory.path())).unwrap();
        for name in ["index", "plan-0123", ".plan-77"] {
            fs::create_dir(work.path().join(name)).unwrap();
        }
        let (bytes_per_thread_second, read_per_byte, made_per_estimated) = (5.0, 0.5, 0.75);
        let (publish_per_sample_s, basis) = (0.25, RateBasis::LastBuild);
        let rate = Rate { bytes_per_thread_second, read_per_byte, made_per_estimated, publish_per_sample_s, basis };
        work.write_rate(rate).unwrap();
        work.remove_plans().unwrap();
        let exists = |name: &str| work.path().join(name).exists();
        assert!(exists("index") && !exists("plan-0123") && !exists(".plan-77"));
        assert_eq!(work.rate(), rate);
        work.clear().unwrap();
        assert!(!exists("index"));
    }

    #[test]
    fn without_a_readable_rate_there_is_a_guess() {
        let directory = tempfile::tempdir().unwrap();
        let work = WorkDirectory::lock(&output_in(directory.path())).unwrap();
        assert_eq!(work.rate().basis, RateBasis::RoughGuess);
        work.write_rate(Rate { bytes_per_thread_second: -1.0, ..work.rate() }).unwrap();
        assert_eq!(work.rate().basis, RateBasis::RoughGuess);
    }
}
