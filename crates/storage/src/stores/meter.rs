//! Bytes of a request while they are on their way.
//!
//! ```text
//! whoever waits ── Flow ──▶ watch ── METER ──▶ Connection: piece by piece ──▶ store
//!       ◀── so many have passed, a few times a second ──┘
//! ```
//!
//! A piece has passed when the connection takes it. The machine may still hold it back in buffers of a few hundred KiB and more.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::flow::{Flow, Rate};

/// Time between two looks at what has passed.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

tokio::task_local! {
    /// Of the request that the task waits for.
    static METER: Arc<Meter>;
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
