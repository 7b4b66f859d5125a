//! Maps a stream in parallel and passes the results on in order, in bounded memory.
//!
//! ```text
//! items (calling thread) ──▶ pool: map, out of order ──▶ reorder ──▶ sink (calling thread, in order)
//!        └──────────── at most `window` items between the two ─────────────┘
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crossbeam_channel::unbounded;

use crate::progress::Progress;

/// What work is done with: threads, and someone to report progress to.
#[derive(Clone, Copy)]
pub struct Executor<'a> {
    /// The threads.
    pub pool: &'a rayon::ThreadPool,
    /// Receives how far the work has come.
    pub progress: &'a dyn Progress,
}

impl fmt::Debug for Executor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl<'a> Executor<'a> {
    /// A map on the threads that holds up to `items_per_thread` items for each of them at a time.
    pub fn ordered_map(self, items_per_thread: usize) -> OrderedMap<'a> {
        OrderedMap { pool: self.pool, window: self.pool.current_num_threads() * items_per_thread }
    }
}

/// A parallel map whose results come in the order of its items.
#[derive(Debug, Clone, Copy)]
pub struct OrderedMap<'a> {
    /// The threads.
    pub pool: &'a rayon::ThreadPool,
    /// Maximum number of items that are held at a time, including results that wait for their turn; at least 1.
    pub window: usize,
}

impl OrderedMap<'_> {
    /// Applies `map` to every item on the pool and passes the results to `sink` in the order of the items.
    ///
    /// # Errors
    ///
    /// Stops at the first error of `items` or `sink`. Items that have been started are still mapped.
    ///
    /// # Panics
    ///
    /// If `map` panics, on the calling thread.
    pub fn run<T, U, E>(
        self,
        mut items: impl Iterator<Item = Result<T, E>>,
        map: impl Fn(T) -> U + Sync,
        mut sink: impl FnMut(U) -> Result<(), E>,
    ) -> Result<(), E>
    where
        T: Send,
        U: Send,
    {
        let (sender, receiver) = unbounded();
        let map = &map;
        self.pool.in_place_scope(|scope| {
            let mut waiting = BTreeMap::new();
            let (mut num_started, mut num_done) = (0_usize, 0_usize);
            let mut is_exhausted = false;
            loop {
                while !is_exhausted && num_started - num_done < self.window.max(1) {
                    let Some(item) = items.next().transpose()? else {
                        is_exhausted = true;
                        break;
                    };
                    let (sender, position) = (sender.clone(), num_started);
                    // A panic is carried over to the calling thread, which would otherwise wait for the result forever.
                    // The receiver outlives the scope; a failed send can only mean that the run is over.
                    scope.spawn(move |_| {
                        let result = catch_unwind(AssertUnwindSafe(|| map(item)));
                        _ = sender.send((position, result));
                    });
                    num_started += 1;
                }
                if num_done == num_started {
                    return Ok(());
                }
                match receiver.recv() {
                    Ok((position, Ok(result))) => _ = waiting.insert(position, result),
                    Ok((_, Err(panic))) => resume_unwind(panic),
                    Err(_) => {}
                }
                while let Some(result) = waiting.remove(&num_done) {
                    num_done += 1;
                    sink(result)?;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(num_threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap()
    }

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for num_threads in [1, 2, 4] {
            let mut results = Vec::new();
            let items = (0..500_u64).map(Ok::<_, ()>);
            // Early items take longest.
            let map = |n: u64| (0..(500 - n) * 50).fold(n, |sum, i| std::hint::black_box(sum ^ i ^ i));
            let push = |n| {
                results.push(n);
                Ok(())
            };
            OrderedMap { pool: &pool(num_threads), window: 16 }.run(items, map, push).unwrap();
            assert_eq!(results, (0..500).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_more_than_a_window_of_items_is_held() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let (num_held, most_held) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items = (0..200).map(|n| {
            most_held.fetch_max(num_held.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            Ok::<_, ()>(n)
        });
        let release = |_| {
            num_held.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        };
        OrderedMap { pool: &pool(3), window: 5 }.run(items, |n| n, release).unwrap();
        assert_eq!((num_held.into_inner(), most_held.into_inner()), (0, 5));
    }

    #[test]
    fn the_first_error_of_items_or_sink_ends_the_run() {
        let items = (0..10).map(|n| if n == 5 { Err("broken") } else { Ok(n) });
        let mut num_seen = 0;
        let count = |_| {
            num_seen += 1;
            Ok(())
        };
        assert_eq!(OrderedMap { pool: &pool(2), window: 4 }.run(items, |n| n, count), Err("broken"));
        assert!(num_seen <= 5);
        let items = (0..10).map(Ok);
        let refuse = |n| if n == 3 { Err("full") } else { Ok(()) };
        assert_eq!(OrderedMap { pool: &pool(2), window: 4 }.run(items, |n| n, refuse), Err("full"));
    }

    #[test]
    #[should_panic(expected = "item 7")]
    fn a_panic_reaches_the_caller() {
        let items = (0..10).map(Ok::<_, ()>);
        let map = |n| assert!(n != 7, "item {n}");
        _ = OrderedMap { pool: &pool(2), window: 4 }.run(items, map, Ok);
    }
}
