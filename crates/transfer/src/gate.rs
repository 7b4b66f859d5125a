//! How much is under way at a time: no more than helps, and no faster than is allowed.
//!
//! How many requests a line and a store can take is found out: one more at a time, as long as that makes it faster.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use manyframe_storage::{Flow, Rate};

/// Requests at a time to begin with.
const FIRST: usize = 4;

/// Over a slow line there are so few requests at a time that each takes no longer than this, in seconds: whoever is interrupted
/// loses what they have sent.
const LONGEST_SECONDS: f64 = 10.0;

/// The same at a rate that was asked for, which a few requests reach.
const LONGEST_SECONDS_AT_RATE: f64 = 1.0;

/// Bytes of most requests.
const USUAL_BYTES: f64 = (8 << 20) as f64;

/// Limits of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Most requests at a time. Each has up to 8 MiB in memory.
    pub concurrency: NonZeroUsize,
    /// Most bytes per second; `None` for all there is.
    pub bytes_per_second: Option<NonZeroU64>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { concurrency: NonZeroUsize::new(12).unwrap_or(NonZeroUsize::MIN), bytes_per_second: None }
    }
}

/// Lets requests through.
pub(crate) struct Gate {
    /// Requests at a time at most.
    most: usize,
    rate: Option<Arc<Rate>>,
    state: Mutex<State>,
    freed: Condvar,
}

struct State {
    limit: usize,
    in_use: usize,
    window: Window,
    /// Bytes per second of the window before.
    rate: f64,
    is_growing: bool,
}

/// Some requests with the same limit.
struct Window {
    started: Instant,
    num_bytes: u64,
    num_requests: usize,
}

impl Window {
    fn start() -> Self {
        Self { started: Instant::now(), num_bytes: 0, num_requests: 0 }
    }
}

/// A request that is under way. It ends when this is dropped.
pub(crate) struct Permit<'g> {
    gate: &'g Gate,
    num_bytes: u64,
}

impl Permit<'_> {
    /// Notes how many bytes the request has.
    pub(crate) fn count(&mut self, num_bytes: u64) {
        self.num_bytes = num_bytes;
    }
}

impl Gate {
    pub(crate) fn new(pace: Pace) -> Self {
        let at_rate = |rate: NonZeroU64| most_at(rate.get() as f64 * LONGEST_SECONDS_AT_RATE, USUAL_BYTES);
        let most = pace.concurrency.get().min(pace.bytes_per_second.map_or(usize::MAX, at_rate));
        let state = State { limit: FIRST.min(most), in_use: 0, window: Window::start(), rate: 0.0, is_growing: true };
        let rate = pace.bytes_per_second.map(|rate| Arc::new(Rate::new(rate)));
        Self { most, rate, state: Mutex::new(state), freed: Condvar::new() }
    }

    /// A flow at the rate that is allowed.
    pub(crate) fn flow<'f>(&'f self, on_passed: &'f dyn Fn(u64)) -> Flow<'f> {
        Flow { rate: self.rate.as_ref(), on_passed }
    }

    /// Waits until there is room for a request.
    pub(crate) fn enter(&self) -> Permit<'_> {
        let mut state = self.state();
        while state.in_use >= state.limit {
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.in_use += 1;
        Permit { gate: self, num_bytes: 0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, num_bytes: u64, most: usize) {
        self.window.num_bytes += num_bytes;
        self.window.num_requests += 1;
        if self.window.num_requests < 2 * self.limit {
            return;
        }
        let rate = self.window.num_bytes as f64 / self.window.started.elapsed().as_secs_f64().max(1e-6);
        if rate < self.rate * 0.95 {
            self.is_growing = !self.is_growing;
        }
        self.rate = rate;
        let usual = self.window.num_bytes as f64 / self.window.num_requests as f64;
        let most = most.min(most_at(rate * LONGEST_SECONDS, usual));
        self.limit = if self.is_growing { self.limit + 1 } else { self.limit - 1 }.clamp(1, most);
        self.window = Window::start();
    }
}

/// How many requests of so many bytes are ended in the time in which `passed` bytes pass; one at least.
fn most_at(passed: f64, num_bytes: f64) -> usize {
    ((passed / num_bytes.max(1.0)) as usize).max(1)
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.in_use -= 1;
        if self.num_bytes > 0 {
            state.count(self.num_bytes, self.gate.most);
        }
        drop(state);
        self.gate.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_more_requests_are_under_way_than_are_allowed() {
        let gate = Gate::new(Pace { concurrency: NonZeroUsize::new(3).unwrap(), bytes_per_second: None });
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let mut permit = gate.enter();
                        permit.count(1);
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
    }

    #[test]
    fn bytes_pass_at_the_rate_that_is_allowed() {
        let rate = NonZeroU64::new(1_000_000);
        let gate = Gate::new(Pace { bytes_per_second: rate, ..Pace::default() });
        let started = Instant::now();
        for _ in 0..4 {
            gate.flow(&|_| {}).hold(50_000);
        }
        assert!(started.elapsed() >= Duration::from_millis(149), "{:?}", started.elapsed());
    }

    #[test]
    fn the_limit_grows_while_that_makes_it_faster() {
        let mut state = State { limit: 4, in_use: 0, window: Window::start(), rate: 0.0, is_growing: true };
        let window = |state: &mut State, rate: f64| {
            state.window.started = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
            let requests = 2 * state.limit;
            state.window.num_requests = requests - 1;
            state.window.num_bytes = rate as u64;
            state.count(0, 8);
            state.limit
        };
        let limits: Vec<usize> = [1e6, 2e6, 3e6, 1e6, 9e5].iter().map(|rate| window(&mut state, *rate)).collect();
        assert_eq!(limits, [5, 6, 7, 6, 7]);
        assert_eq!((0..9).map(|_| window(&mut state, 1e7)).last(), Some(8));
    }

    #[test]
    fn over_a_slow_line_there_are_few_requests_at_a_time() {
        let of_rate = |mib: u64| Gate::new(Pace { bytes_per_second: NonZeroU64::new(mib << 20), ..Pace::default() });
        assert_eq!(
            [1, 12, 50, 1000].map(|mib| (of_rate(mib).most, of_rate(mib).state().limit)),
            [(1, 1), (1, 1), (6, 4), (12, 4)]
        );
        let mut state = State { limit: 6, in_use: 0, window: Window::start(), rate: 0.0, is_growing: true };
        state.window.started = Instant::now().checked_sub(Duration::from_secs(32)).unwrap();
        for _ in 0..12 {
            state.count(8 << 20, 12);
        }
        assert_eq!(state.limit, 3, "a line of 3 MiB/s");
    }
}
