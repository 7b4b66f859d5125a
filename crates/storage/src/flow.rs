//! What becomes of bytes that are sent: held back to a rate, and counted as they pass.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A rate that was not used for a moment may be made up for: between two requests, nothing passes.
const MADE_UP_FOR: Duration = Duration::from_secs(1);

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

#[cfg(test)]
mod tests {
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
}
