//! What the program uses of this machine: worker threads, a clock, and memory.

use std::fs;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context as _, Result};
use manyframe_base::memory_bytes;
use manyframe_validate::measure::Meter;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};

use crate::args::Threads;
use crate::exit::UsageError;

/// Threads may outnumber cores, to wait for slow disks; but each holds samples in memory.
const MOST_THREADS_PER_CORE: usize = 4;

/// Allowed on machines with few cores, too.
const THREADS_ALWAYS_ALLOWED: usize = 64;

/// The worker threads of the arguments.
pub(crate) fn thread_pool(threads: &Threads) -> Result<rayon::ThreadPool> {
    bounded_thread_pool(threads, None)
}

/// The worker threads of the arguments, or fewer.
pub(crate) fn bounded_thread_pool(threads: &Threads, bound: Option<NonZeroUsize>) -> Result<rayon::ThreadPool> {
    let num_cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let num_threads = threads.threads.map_or(num_cores, NonZeroUsize::get);
    let most = (num_cores * MOST_THREADS_PER_CORE).max(THREADS_ALWAYS_ALLOWED);
    let bounded = bound.map_or(num_threads, |bound| bound.get().min(num_threads));
    if num_threads > most {
        let message = format!("--threads {num_threads}: at most {most} threads are useful on {num_cores} cores");
        return Err(UsageError(message).into());
    }
    let builder = rayon::ThreadPoolBuilder::new().num_threads(bounded);
    builder.thread_name(|number| format!("worker-{number}")).build().context("cannot start worker threads")
}

/// A file that grows beyond a limit of the system is an error of writing it, not the end of the process.
pub(crate) fn survive_file_size_limits() {
    // The flag is not read: that the signal has a handler is enough. Without one, the process ends as it would anyway.
    _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// The process ends, as if it were asked to, when the one that started it does.
pub(crate) fn end_with_parent() {
    // Where that is impossible, it ends with its work.
    _ = set_parent_process_death_signal(Some(Signal::TERM));
}

/// Whether whoever started this process wants it to ignore a signal, as `nohup` does.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal - 1)) != 0
}

/// Lets this process have as many files open as the system allows: every annotation file of a source stays open.
pub(crate) fn allow_many_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where that is refused, the limit is as it was, and a file too many is an error of opening it.
    _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Lets allocations of this process fail before the system runs out of memory. It leaves no core file either.
pub(crate) fn limit_memory() {
    let limit = |bytes| Rlimit { current: bytes, maximum: bytes };
    // A limit that cannot be set is one that was set before, and is lower.
    _ = setrlimit(Resource::Core, limit(Some(0)));
    if let Some(bytes) = memory_bytes() {
        _ = setrlimit(Resource::Data, limit(Some(bytes)));
    }
}

/// This process since some moment.
pub(crate) struct Machine(Instant);

impl Machine {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }
}

impl Meter for Machine {
    fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    fn memory_bytes(&self) -> Option<u64> {
        process_status("VmRSS:")
    }

    fn peak_memory_bytes(&self) -> Option<u64> {
        process_status("VmHWM:")
    }

    fn read_bytes(&self) -> Option<u64> {
        number_after("/proc/self/io", "rchar:")
    }
}

fn process_status(name: &str) -> Option<u64> {
    number_after("/proc/self/status", name).map(|kib| kib << 10)
}

fn number_after(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}
