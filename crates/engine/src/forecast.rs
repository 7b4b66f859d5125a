//! How long the tasks of a plan take on a cluster, and where that is bound: arithmetic over sizes and measured speeds.
//!
//! One worker is one process, as of `manyframe run`: it starts once, and all of its cores work on each task. Of several workers,
//! each does one task per core at a time, in a process of its own, as jobs do, and shares its connection to storage among them.
//! Tasks are begun in order, as engines do. Publishing is part of it. Planning is not, nor is the time that a scheduler takes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Serialize;

/// Machines that run tasks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Workers {
    /// Number of machines.
    pub num_workers: NonZeroU32,
    /// Cores of each.
    pub cores: NonZeroU32,
    /// What each reads and writes in a second, in MB. `None`: more than it needs.
    pub mb_per_second: Option<f64>,
}

/// What was measured of builds like this one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Speeds {
    /// Bytes of shards, in one format, that one core makes in a second.
    pub(crate) bytes_per_core_second: f64,
    /// Bytes that are read for each of them.
    pub(crate) read_per_byte: f64,
    /// Bytes that are written for each of them: one for each format.
    pub(crate) written_per_byte: f64,
    /// Seconds from the start of a process to its first sample: its libraries, tokenizer, and listings of archives.
    pub(crate) start_s: f64,
    /// Seconds that publishing takes when all tasks are done.
    pub(crate) publish_s: f64,
}

/// What bounds the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The cores: more of them make it shorter.
    Cores,
    /// Reading and writing: faster or more connections make it shorter.
    Storage,
    /// The number of tasks: there are fewer than cores, or the last ones are waited for. Smaller shards make it shorter.
    Tasks,
}

/// A forecast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct RunForecast {
    /// The machines.
    pub workers: Workers,
    /// From the start of the first process to the published dataset, in seconds.
    pub seconds: f64,
    /// What bounds it.
    pub bound: Bound,
    /// The share of that time for which cores work.
    pub utilization: f64,
    /// Bytes that are read from storage.
    pub read_bytes: f64,
    /// Bytes that are written to it, which is the size of the dataset.
    pub written_bytes: f64,
}

/// A time that is longer than what cores and storage need by more than this is bound by the number of tasks.
const SLACK: f64 = 1.1;

/// Forecasts tasks, given by the bytes of their shards in one format.
pub(crate) fn forecast(task_bytes: &[u64], speeds: Speeds, workers: Workers) -> RunForecast {
    let num_slots = workers.num_workers.get() as usize * workers.cores.get() as usize;
    let total_bytes = task_bytes.iter().sum::<u64>() as f64;
    let (read_bytes, written_bytes) = (total_bytes * speeds.read_per_byte, total_bytes * speeds.written_per_byte);
    let compute_s = |bytes: f64| bytes / speeds.bytes_per_core_second;
    let bytes_per_byte = speeds.read_per_byte + speeds.written_per_byte;
    let storage_s = |bytes: f64, num_sharing: f64| {
        workers.mb_per_second.map_or(0.0, |rate| bytes * bytes_per_byte * num_sharing / (rate * 1e6))
    };
    let is_one_process = workers.num_workers.get() == 1;
    // While all cores of a worker work, each has its share of the connection.
    let num_busy = num_slots.min(task_bytes.len()).max(1) as f64;
    let num_sharing = num_busy / num_busy.min(f64::from(workers.num_workers.get()));
    let num_starts = if is_one_process { task_bytes.len().min(1) } else { task_bytes.len() } as f64;
    let cores_s = (compute_s(total_bytes) + speeds.start_s * num_starts) / num_slots as f64;
    let storage_total_s = storage_s(total_bytes, 1.0) / f64::from(workers.num_workers.get());
    let run_s = if is_one_process {
        speeds.start_s * num_starts + (compute_s(total_bytes) / num_slots as f64).max(storage_total_s)
    } else {
        let durations = task_bytes.iter().map(|&bytes| {
            let bytes = bytes as f64;
            speeds.start_s + compute_s(bytes).max(storage_s(bytes, num_sharing))
        });
        makespan(durations, num_slots)
    };
    let bound = match cores_s.max(storage_total_s) {
        least if run_s > SLACK * least + speeds.start_s => Bound::Tasks,
        _ if storage_total_s > cores_s => Bound::Storage,
        _ if task_bytes.len() < num_slots && !is_one_process => Bound::Tasks,
        _ => Bound::Cores,
    };
    let seconds = run_s + if task_bytes.is_empty() { 0.0 } else { speeds.publish_s };
    let utilization = if seconds > 0.0 { compute_s(total_bytes) / (seconds * num_slots as f64) } else { 0.0 };
    RunForecast { workers, seconds, bound, utilization, read_bytes, written_bytes }
}

/// When the last task ends if each goes to the slot that is free first. Times are in microseconds, which can be ordered.
fn makespan(durations: impl Iterator<Item = f64>, num_slots: usize) -> f64 {
    let mut free_at: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
    let mut last = 0;
    for duration in durations {
        let start = if free_at.len() < num_slots { 0 } else { free_at.pop().map_or(0, |Reverse(time)| time) };
        let end = start + (duration * 1e6) as u64;
        last = last.max(end);
        free_at.push(Reverse(end));
    }
    last as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEEDS: Speeds =
        Speeds { bytes_per_core_second: 1e6, read_per_byte: 1.5, written_per_byte: 0.5, start_s: 0.5, publish_s: 0.25 };

    fn of(num_tasks: usize, num_workers: u32, cores: u32, mb_per_second: Option<f64>) -> RunForecast {
        let number = |number| NonZeroU32::new(number).unwrap();
        let workers = Workers { num_workers: number(num_workers), cores: number(cores), mb_per_second };
        forecast(&vec![100_000_000; num_tasks], SPEEDS, workers)
    }

    #[test]
    fn one_worker_starts_once_and_all_of_its_cores_work_on_each_task() {
        let one = of(16, 1, 1, None);
        assert_eq!((one.seconds, one.bound), (0.5 + 1600.0 + 0.25, Bound::Cores));
        let three = of(1, 1, 4, None);
        assert_eq!((three.seconds, three.bound), (0.5 + 25.0 + 0.25, Bound::Cores));
        let slow = of(16, 1, 4, Some(4.0));
        assert_eq!((slow.seconds, slow.bound), (0.5 + 800.0 + 0.25, Bound::Storage));
    }

    #[test]
    fn more_cores_help_until_there_are_as_many_as_tasks() {
        // A task takes 100 s and half a second to begin.
        let eight = of(16, 2, 4, None);
        assert_eq!((eight.seconds, eight.bound), (2.0 * 100.5 + 0.25, Bound::Cores));
        let twelve = of(16, 3, 4, None);
        assert_eq!((twelve.seconds, twelve.bound), (2.0 * 100.5 + 0.25, Bound::Tasks));
        let many = of(16, 64, 64, None);
        assert_eq!((many.seconds, many.bound), (100.5 + 0.25, Bound::Tasks));
        assert!(many.utilization < 0.01 && eight.utilization > 0.98, "{many:?} {eight:?}");
    }

    #[test]
    fn a_slow_connection_is_shared_by_the_cores_of_a_worker() {
        // Four tasks on each worker read and write 2 MB for each of 4 MB/s.
        let slow = of(16, 2, 4, Some(4.0));
        assert_eq!((slow.seconds, slow.bound), (2.0 * 200.5 + 0.25, Bound::Storage));
        assert_eq!((slow.read_bytes, slow.written_bytes), (2.4e9, 0.8e9));
        let more_workers = of(16, 8, 1, Some(4.0));
        assert_eq!((more_workers.seconds, more_workers.bound), (2.0 * 100.5 + 0.25, Bound::Cores));
    }

    #[test]
    fn without_tasks_there_is_nothing_to_wait_for() {
        assert!(of(0, 4, 4, Some(1.0)).seconds.abs() < f64::EPSILON);
        assert!(of(0, 1, 4, None).seconds.abs() < f64::EPSILON);
    }
}
