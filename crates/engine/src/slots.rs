//! A bound on how many threads do something at the same time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// So many threads may be in.
pub(crate) struct Slots {
    num_free: Mutex<usize>,
    freed: Condvar,
}

/// A thread is in until this is dropped.
pub(crate) struct Slot<'s>(&'s Slots);

impl Slots {
    pub(crate) fn new(number: usize) -> Self {
        Self { num_free: Mutex::new(number), freed: Condvar::new() }
    }

    /// Waits until there is room.
    pub(crate) fn enter(&self) -> Slot<'_> {
        let mut num_free = self.num_free();
        while *num_free == 0 {
            num_free = self.freed.wait(num_free).unwrap_or_else(PoisonError::into_inner);
        }
        *num_free -= 1;
        Slot(self)
    }

    fn num_free(&self) -> MutexGuard<'_, usize> {
        self.num_free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.num_free() += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_threads_are_in_than_there_are_slots() {
        let (slots, now, most) = (Slots::new(2), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _slot = slots.enter();
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
