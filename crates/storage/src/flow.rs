//! Bytes of a request while they are on their way: held back to a rate, and counted as they pass.
//!
//! ```text
//! whoever waits ── Flow ──▶ watch ── METER ──▶ Connection: piece by piece ──▶ store
//!       ◀── so many have passed, a few times a second ──┘
//! ```
//!
//! A piece has passed when the connection takes it. The machine may still hold it back in buffers of a few hundred KiB and more.

use std::future::Future;
use std::num::NonZeroU64;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two looks at what has passed.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// A rate that was not used for a moment may be made up for: between two requests, nothing passes.
const MADE_UP_FOR: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// Of the request that the task waits for.
    static METER: Arc<Meter>;
}

/// Most bytes per second, but for what is made up for of the last second, for all whose flows share it.
#[derive(Debug)]
pub struct Rate {
    bytes_per_second: NonZeroU64,
    /// When the bytes are sent that had their turn last.
    next: Mutex<Instant>,
}

impl Rate {
    /// A rate of which nothing is used.
    pub fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, next: Mutex::new(Instant::now()) }
    }

    /// The most bytes per second.
    pub fn bytes_per_second(&self) -> NonZeroU64 {
        self.bytes_per_second
    }

    /// How long so many bytes take.
    pub fn time_of(&self, num_bytes: u64) -> Duration {
        Duration::from_secs_f64(num_bytes as f64 / self.bytes_per_second.get() as f64)
    }

    /// Takes a turn for so many bytes, and returns how long it is until then.
    pub fn reserve(&self, num_bytes: u64) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let turn = now.checked_sub(MADE_UP_FOR).map_or(*next, |earliest| earliest.max(*next));
        *next = turn + self.time_of(num_bytes);
        turn.saturating_duration_since(now)
    }
}

/// What becomes of bytes that are sent.
#[derive(Clone, Copy)]
pub struct Flow<'a> {
    /// Holds them back.
    pub rate: Option<&'a Arc<Rate>>,
    /// Is told, by the thread that waits, how many more have passed. What is sent again is not told again. The last ones may not
    /// be told of.
    pub on_passed: &'a dyn Fn(u64),
}

impl Flow<'_> {
    /// As fast as they go, and nobody is told.
    pub const fn free() -> Self {
        Self { rate: None, on_passed: &|_| {} }
    }

    /// Waits for the turn of so many bytes.
    pub fn hold(&self, num_bytes: u64) {
        if let Some(rate) = self.rate {
            std::thread::sleep(rate.reserve(num_bytes));
        }
    }
}

/// Counts what passes of a request.
#[derive(Debug)]
pub(crate) struct Meter {
    rate: Option<Arc<Rate>>,
    /// Of the attempt that is made.
    num_passed: AtomicU64,
}

impl Meter {
    /// The meter of the request that this task waits for.
    pub(crate) fn of_task() -> Option<Arc<Self>> {
        METER.try_with(Arc::clone).ok()
    }

    /// An attempt begins, maybe another one; returns how long it is held back at least, if it has so many bytes.
    pub(crate) fn begin(&self, num_bytes: u64) -> Duration {
        self.num_passed.store(0, Ordering::Relaxed);
        self.rate.as_ref().map_or(Duration::ZERO, |rate| rate.time_of(num_bytes))
    }

    /// Lets so many bytes pass, in their turn.
    pub(crate) async fn pass(&self, num_bytes: u64) {
        let wait = self.rate.as_ref().map_or(Duration::ZERO, |rate| rate.reserve(num_bytes));
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        self.num_passed.fetch_add(num_bytes, Ordering::Relaxed);
    }
}

/// Waits for an answer, whose request is in a flow.
pub(crate) async fn watch<T>(flow: &Flow<'_>, answer: impl Future<Output = T>) -> T {
    let meter = Arc::new(Meter { rate: flow.rate.cloned(), num_passed: AtomicU64::new(0) });
    let mut answer = pin!(METER.scope(Arc::clone(&meter), answer));
    let mut num_told = 0;
    loop {
        let ended = tokio::time::timeout(LOOK_INTERVAL, answer.as_mut()).await;
        let num_passed = meter.num_passed.load(Ordering::Relaxed);
        if num_passed > num_told {
            (flow.on_passed)(num_passed - num_told);
            num_told = num_passed;
        }
        if let Ok(answer) = ended {
            return answer;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn turns_follow_each_other_at_the_rate() {
        let rate = Rate::new(NonZeroU64::new(1_000_000).unwrap());
        assert_eq!(rate.reserve(500_000), Duration::ZERO);
        let wait = rate.reserve(1).as_secs_f64();
        assert!((0.4..=0.5).contains(&wait), "{wait}");
        let before = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
        *rate.next.lock().unwrap() = before;
        assert_eq!([rate.reserve(900_000), rate.reserve(1)], [Duration::ZERO; 2]);
        assert!(rate.reserve(1_000_000) < Duration::from_millis(1) && !rate.reserve(1).is_zero());
    }

    #[test]
    fn whoever_waits_is_told_of_what_passes_and_not_again_of_what_is_sent_again() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let told = RefCell::new(Vec::new());
        let flow = Flow { on_passed: &|num_bytes| told.borrow_mut().push(num_bytes), ..Flow::free() };
        let pause = || tokio::time::sleep(LOOK_INTERVAL * 3 / 2);
        let sent = runtime.block_on(watch(&flow, async {
            let meter = Meter::of_task().unwrap();
            assert_eq!(meter.begin(20), Duration::ZERO);
            meter.pass(10).await;
            pause().await;
            // The connection broke.
            meter.begin(20);
            meter.pass(8).await;
            pause().await;
            meter.pass(7).await;
            "sent"
        }));
        assert_eq!((sent, told.into_inner()), ("sent", vec![10, 5]));
        assert!(Meter::of_task().is_none());
    }
}
