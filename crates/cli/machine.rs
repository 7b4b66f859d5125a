//! What the program uses of this machine: worker threads, a clock, and memory.

use std::fs;
use std::num::NonZeroUsize;
use std::time::Instant;

use anyhow::{Context as _, Result};
use manyframe_validate::measure::Meter;

use crate::args::Threads;
use crate::exit::UsageError;

/// Threads may outnumber cores, to wait for slow disks; but each holds samples in memory.
const MOST_THREADS_PER_CORE: usize = 4;

/// Allowed on machines with few cores, too.
const THREADS_ALWAYS_ALLOWED: usize = 64;

/// The worker threads of the arguments.
pub(crate) fn thread_pool(threads: &Threads) -> Result<rayon::ThreadPool> {
    let num_cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let num_threads = threads.threads.map_or(num_cores, NonZeroUsize::get);
    let most = (num_cores * MOST_THREADS_PER_CORE).max(THREADS_ALWAYS_ALLOWED);
    if num_threads > most {
        let message = format!("--threads {num_threads}: at most {most} threads are useful on {num_cores} cores");
        return Err(UsageError(message).into());
    }
    let builder = rayon::ThreadPoolBuilder::new().num_threads(num_threads);
    builder.thread_name(|number| format!("worker-{number}")).build().context("cannot start worker threads")
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
}

fn process_status(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
    kib.parse::<u64>().ok().map(|kib| kib << 10)
}
