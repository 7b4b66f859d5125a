//! Calls that wait for something else, such as a store, many at a time.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

/// Calls a function for each item on some threads. The results are in the order of the items; after an error, no further item
/// is begun.
///
/// # Errors
///
/// The first error of a call.
pub fn on_threads<T: Sync, R: Send, E: Send>(
    num_threads: NonZeroUsize,
    items: &[T],
    call: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let results = Mutex::new((items.iter().enumerate(), Vec::new(), None));
    let work = || {
        loop {
            let next = {
                let mut state = results.lock().unwrap_or_else(PoisonError::into_inner);
                if state.2.is_some() { None } else { state.0.next() }
            };
            let Some((position, item)) = next else { return };
            let result = call(item);
            let mut state = results.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(result) => state.1.push((position, result)),
                Err(error) => state.2 = state.2.take().or(Some(error)),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..num_threads.get().min(items.len()) {
            // One that the system does not start leaves its work to this one.
            if Builder::new().spawn_scoped(scope, work).is_err() {
                work();
            }
        }
    });
    let (_, mut found, error) = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = error {
        return Err(error);
    }
    found.sort_by_key(|(position, _)| *position);
    Ok(found.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_the_first_error_ends_the_work() {
        let threads = NonZeroUsize::new(4).unwrap();
        let items: Vec<u32> = (0..100).collect();
        let doubled = on_threads(threads, &items, |item| Ok::<_, ()>(item * 2)).unwrap();
        assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert_eq!(on_threads(threads, &items, |item| if *item == 50 { Err(*item) } else { Ok(()) }), Err(50));
        assert_eq!(on_threads(threads, &[] as &[u32], |_| Ok::<_, ()>(())), Ok(Vec::new()));
    }
}
