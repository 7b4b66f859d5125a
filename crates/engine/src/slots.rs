//! A bound on how many threads do something at the same time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Counts the threads that are in.
#[derive(Default)]
pub(crate) struct Slots {
    num_in: Mutex<usize>,
    freed: Condvar,
}

/// A thread is in until this is dropped.
pub(crate) struct Slot<'s>(&'s Slots);

impl Slots {
    /// Waits until fewer than `most` threads are in.
    pub(crate) fn enter(&self, most: usize) -> Slot<'_> {
        let mut num_in = self.num_in();
        while *num_in >= most {
            num_in = self.freed.wait(num_in).unwrap_or_else(PoisonError::into_inner);
        }
        *num_in += 1;
        Slot(self)
    }

    fn num_in(&self) -> MutexGuard<'_, usize> {
        self.num_in.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.num_in() -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_threads_are_in_than_there_are_slots() {
        let (slots, now, most) = (Slots::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _slot = slots.enter(2);
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    }
}
