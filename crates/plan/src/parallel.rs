//! Maps a stream in parallel and hands the results on in order, in bounded memory.
//!
//! ```text
//! items (calling thread) ──▶ pool: map, out of order ──▶ reorder ──▶ sink (calling thread, in order)
//!        └──────────── at most `window` items between the two ─────────────┘
//! ```

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crossbeam_channel::unbounded;

/// Applies `map` to every item on the pool and gives the results to `sink` in the order of the items.
///
/// At most `window` items are held at a time. Stops at the first error of `items` or `sink`.
pub fn ordered_map<T, U, E>(
    pool: &rayon::ThreadPool,
    window: usize,
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
    pool.in_place_scope(|scope| {
        let mut waiting = BTreeMap::new();
        let (mut num_started, mut num_done) = (0_usize, 0_usize);
        let mut is_exhausted = false;
        loop {
            while !is_exhausted && num_started - num_done < window.max(1) {
                let Some(item) = items.next().transpose()? else {
                    is_exhausted = true;
                    break;
                };
                let (sender, position) = (sender.clone(), num_started);
                // A panic is carried over to the calling thread, which would otherwise wait for the result for ever.
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
            ordered_map(&pool(num_threads), 16, items, map, push).unwrap();
            assert_eq!(results, (0..500).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_ends_the_run() {
        let items = (0..10).map(|n| if n == 5 { Err("broken") } else { Ok(n) });
        let mut num_seen = 0;
        assert_eq!(
            ordered_map(
                &pool(2),
                4,
                items,
                |n| n,
                |_| {
                    num_seen += 1;
                    Ok(())
                }
            ),
            Err("broken")
        );
        assert!(num_seen <= 5);
    }
}
