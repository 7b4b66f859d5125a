//! How much is under way at a time: no more than helps, and no faster than is allowed.
//!
//! How many requests a line and a store can take is found out: one more at a time, as long as that makes it faster.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Requests at a time to begin with.
const FIRST: usize = 4;

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
    pace: Pace,
    state: Mutex<State>,
    freed: Condvar,
}

struct State {
    limit: usize,
    in_use: usize,
    /// When the bytes that were let through last are sent, at the rate that is allowed.
    next: Instant,
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
    /// Waits until so many bytes may be sent.
    pub(crate) fn pace(&mut self, num_bytes: u64) {
        self.num_bytes = num_bytes;
        let Some(rate) = self.gate.pace.bytes_per_second else { return };
        let mut state = self.gate.state();
        let now = Instant::now();
        let begin = state.next.max(now);
        state.next = begin + Duration::from_secs_f64(num_bytes as f64 / rate.get() as f64);
        drop(state);
        std::thread::sleep(begin.saturating_duration_since(now));
    }
}

impl Gate {
    pub(crate) fn new(pace: Pace) -> Self {
        let state = State {
            limit: FIRST.min(pace.concurrency.get()),
            in_use: 0,
            next: Instant::now(),
            window: Window::start(),
            rate: 0.0,
            is_growing: true,
        };
        Self { pace, state: Mutex::new(state), freed: Condvar::new() }
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
        self.limit = if self.is_growing { self.limit + 1 } else { self.limit - 1 }.clamp(1, most);
        self.window = Window::start();
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.in_use -= 1;
        if self.num_bytes > 0 {
            state.count(self.num_bytes, self.gate.pace.concurrency.get());
        }
        drop(state);
        self.gate.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

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
                        permit.pace(1);
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
            gate.enter().pace(50_000);
        }
        assert!(started.elapsed() >= Duration::from_millis(149), "{:?}", started.elapsed());
    }

    #[test]
    fn the_limit_grows_while_that_makes_it_faster() {
        let mut state =
            State { limit: 4, in_use: 0, next: Instant::now(), window: Window::start(), rate: 0.0, is_growing: true };
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
}
