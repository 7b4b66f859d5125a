//! Threads that make things ahead of whoever takes them, in order, within a bound on their bytes.
//!
//! ```text
//! jobs ─▶ threads: wait for room ─ prepare (reads; says how many bytes it takes) ─ finish (decodes) ─▶ taken in order
//! ```
//!
//! How many bytes a job takes is known when it was read. Until then, room is kept for as many as the largest took so far; the first
//! is read alone. One that takes more waits for the rest of its room.
//!
//! **Invariant:** results are taken in the order of their jobs.
//! **Invariant:** what is next to be taken never waits for room, so that the bound cannot stop everything: one result may exceed it.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use manyframe_core::contained;

/// How a thing is made.
pub(crate) trait Work: Send + Sync + 'static {
    /// What is read.
    type Prepared;
    /// What is made of it.
    type Made: Send;

    /// Reads what a job needs, and tells how many bytes that and its result take.
    fn prepare(&self, job: u64) -> Result<(Self::Prepared, u64), String>;

    /// Makes it.
    fn finish(&self, prepared: Self::Prepared) -> Result<Self::Made, String>;
}

/// What is ready.
pub(crate) enum Next<T> {
    /// The next result.
    Made(Result<T, String>),
    /// It is not ready yet.
    Later,
    /// There are no more.
    End,
}

/// Results that are made ahead.
pub(crate) struct Prefetch<T> {
    shared: Arc<Shared<T>>,
    threads: Vec<JoinHandle<()>>,
    /// The process that started the threads: after a fork, the child has none of them.
    process: u32,
}

struct Shared<T> {
    jobs: Vec<u64>,
    most_bytes: u64,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    /// The first job that no thread has begun.
    next_begun: usize,
    /// The job whose result is taken next.
    next_taken: usize,
    /// What is made and not taken, and its bytes.
    made: BTreeMap<usize, (Result<T, String>, u64)>,
    /// Bytes of what is made, being made, or being read.
    num_bytes: u64,
    /// The most bytes that a job took; `None` until one was read.
    largest: Option<u64>,
    is_stopped: bool,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts threads on jobs.
    pub(crate) fn start<W: Work<Made = T>>(work: &Arc<W>, jobs: Vec<u64>, num_threads: usize, most_bytes: u64) -> Self {
        let num_threads = num_threads.min(jobs.len());
        let state = State {
            next_begun: 0,
            next_taken: 0,
            made: BTreeMap::new(),
            num_bytes: 0,
            largest: None,
            is_stopped: false,
        };
        let shared = Arc::new(Shared { jobs, most_bytes, state: Mutex::new(state), changed: Condvar::new() });
        let start_thread = |_| {
            let (work, shared) = (Arc::clone(work), Arc::clone(&shared));
            std::thread::spawn(move || shared.run(&*work))
        };
        let threads = (0..num_threads).map(start_thread).collect();
        Self { shared, threads, process: std::process::id() }
    }

    /// The next result, if it is ready within a time.
    pub(crate) fn next(&self, patience: Duration) -> Next<T> {
        let shared = &self.shared;
        let state = shared.lock();
        let is_missing =
            |state: &mut State<T>| state.next_taken < shared.jobs.len() && !state.made.contains_key(&state.next_taken);
        let waited = shared.changed.wait_timeout_while(state, patience, is_missing);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.next_taken >= shared.jobs.len() {
            return Next::End;
        }
        let next = state.next_taken;
        let Some((result, num_bytes)) = state.made.remove(&next) else { return Next::Later };
        state.next_taken += 1;
        state.num_bytes -= num_bytes;
        shared.changed.notify_all();
        Next::Made(result)
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run<W: Work<Made = T>>(&self, work: &W) {
        while let Some(begun) = self.begin() {
            let prepared = flattened(contained(|| work.prepare(begun.job)));
            let num_bytes = prepared.as_ref().map_or(0, |(_, num_bytes)| *num_bytes);
            if !self.reserve(&begun, num_bytes) {
                return;
            }
            let made = prepared.and_then(|(prepared, _)| flattened(contained(|| work.finish(prepared))));
            self.lock().made.insert(begun.number, (made, num_bytes));
            self.changed.notify_all();
        }
    }

    /// Waits for room for the next job; `None` if there is none, or nobody wants it any more.
    fn begin(&self) -> Option<Begun> {
        let has_no_room = |state: &mut State<T>| {
            let is_wanted = !state.is_stopped && state.next_begun < self.jobs.len();
            let has_room = state.largest.is_some_and(|largest| state.num_bytes + largest <= self.most_bytes);
            is_wanted && state.next_begun != state.next_taken && !has_room
        };
        let waited = self.changed.wait_while(self.lock(), has_no_room);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let number = state.next_begun;
        let job = self.jobs.get(number).copied().filter(|_| !state.is_stopped)?;
        let num_reserved = state.largest.unwrap_or(0);
        state.next_begun += 1;
        state.num_bytes += num_reserved;
        Some(Begun { number, job, num_reserved })
    }

    /// Waits until there is room for all bytes of a job that was read; `false` if nobody wants the result any more.
    fn reserve(&self, begun: &Begun, num_bytes: u64) -> bool {
        let mut state = self.lock();
        state.largest = state.largest.max(Some(num_bytes));
        state.num_bytes -= begun.num_reserved.saturating_sub(num_bytes);
        self.changed.notify_all();
        let num_more = num_bytes.saturating_sub(begun.num_reserved);
        let has_no_room = |state: &mut State<T>| {
            let has_room = num_more == 0 || state.num_bytes + num_more <= self.most_bytes;
            !state.is_stopped && begun.number != state.next_taken && !has_room
        };
        let waited = self.changed.wait_while(state, has_no_room);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.num_bytes += num_more;
        !state.is_stopped
    }
}

/// A job that a thread has begun, and the bytes that are reserved for it.
struct Begun {
    number: usize,
    job: u64,
    num_reserved: u64,
}

fn flattened<T>(outcome: Result<Result<T, String>, String>) -> Result<T, String> {
    outcome.unwrap_or_else(|panic| Err(format!("a bug of manyframe: {panic}")))
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            // Neither the threads nor, perhaps, whoever holds the lock exist in this process.
            self.threads.drain(..).for_each(std::mem::forget);
            return;
        }
        self.shared.lock().is_stopped = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // Its panics are contained.
            _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Makes the number of the job, which takes as many bytes; counts what is made and not taken.
    struct Numbers(AtomicU64, AtomicU64);

    impl Work for Numbers {
        type Prepared = u64;
        type Made = u64;

        fn prepare(&self, job: u64) -> Result<(u64, u64), String> {
            if job == 13 { Err("unlucky".to_owned()) } else { Ok((job, job)) }
        }

        fn finish(&self, job: u64) -> Result<u64, String> {
            let held = self.0.fetch_add(job, Ordering::SeqCst) + job;
            self.1.fetch_max(held, Ordering::SeqCst);
            assert_ne!(job, 17);
            Ok(job)
        }
    }

    fn taken(prefetch: &Prefetch<u64>, work: &Numbers) -> Vec<Result<u64, String>> {
        let mut taken = Vec::new();
        loop {
            match prefetch.next(Duration::from_millis(10)) {
                Next::Made(made) => {
                    work.0.fetch_sub(*made.as_ref().unwrap_or(&17), Ordering::SeqCst);
                    taken.push(made);
                }
                Next::Later => {}
                Next::End => return taken,
            }
        }
    }

    #[test]
    fn results_come_in_order_within_the_bound() {
        let work = Arc::new(Numbers(AtomicU64::new(0), AtomicU64::new(0)));
        let jobs: Vec<u64> = (0..12).chain(50..400).collect();
        let prefetch = Prefetch::start(&work, jobs.clone(), 5, 1000);
        let taken = taken(&prefetch, &work);
        assert_eq!(taken, jobs.into_iter().map(Ok).collect::<Vec<_>>());
        // What is taken is counted a moment longer here than there.
        let most = work.1.load(Ordering::SeqCst);
        assert!((500..=1800).contains(&most), "{most}");
    }

    /// Reads as many bytes as the job says, and keeps the most that were held at a time.
    #[derive(Default)]
    struct Reads {
        held: AtomicU64,
        most: AtomicU64,
    }

    impl Work for Reads {
        type Prepared = u64;
        type Made = u64;

        fn prepare(&self, job: u64) -> Result<(u64, u64), String> {
            let held = self.held.fetch_add(job, Ordering::SeqCst) + job;
            self.most.fetch_max(held, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
            Ok((job, job))
        }

        fn finish(&self, job: u64) -> Result<u64, String> {
            Ok(job)
        }
    }

    #[test]
    fn what_threads_read_is_within_the_bound() {
        let work = Arc::new(Reads::default());
        let prefetch = Prefetch::start(&work, vec![100; 60], 16, 350);
        let mut num_taken = 0;
        loop {
            match prefetch.next(Duration::from_millis(10)) {
                Next::Made(made) => num_taken += work.held.fetch_sub(made.unwrap(), Ordering::SeqCst).min(1),
                Next::Later => {}
                Next::End => break,
            }
        }
        // Three are within it; one more is taken, and counted a moment longer here than there.
        let most = work.most.load(Ordering::SeqCst);
        assert!(num_taken == 60 && (200..=400).contains(&most), "{num_taken} {most}");
    }

    #[test]
    fn what_is_larger_than_the_bound_comes_alone() {
        let work = Arc::new(Numbers(AtomicU64::new(0), AtomicU64::new(0)));
        let prefetch = Prefetch::start(&work, vec![5, 5000, 7], 3, 10);
        assert_eq!(taken(&prefetch, &work), [Ok(5), Ok(5000), Ok(7)]);
    }

    #[test]
    fn errors_and_panics_are_those_of_their_job() {
        let work = Arc::new(Numbers(AtomicU64::new(0), AtomicU64::new(0)));
        let prefetch = Prefetch::start(&work, vec![12, 13, 17, 18], 2, 1000);
        let taken = taken(&prefetch, &work);
        assert_eq!(taken[1], Err("unlucky".to_owned()));
        assert!(taken[2].as_ref().unwrap_err().starts_with("a bug of manyframe: "));
        assert_eq!((&taken[0], &taken[3]), (&Ok(12), &Ok(18)));
    }

    #[test]
    fn one_that_is_dropped_half_way_ends_its_threads() {
        let work = Arc::new(Numbers(AtomicU64::new(0), AtomicU64::new(0)));
        let prefetch = Prefetch::start(&work, (20..90).collect(), 4, 50);
        assert!(matches!(prefetch.next(Duration::from_mins(1)), Next::Made(Ok(20))));
        drop(prefetch);
        assert_eq!(Arc::strong_count(&work), 1);
    }
}
