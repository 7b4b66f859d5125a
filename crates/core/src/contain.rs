//! Runs third-party code that may panic on hostile bytes, such as decoders: a panic costs a record, not the run.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// What the code returns, or the text of its panic. After a panic, do not use what the code was working on.
pub fn contained<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    let before = IS_CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(code));
    IS_CONTAINED.set(before);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        text.unwrap_or("a panic without a message").to_owned()
    })
}

/// Whether a panic of this thread would be contained: a panic hook then has nothing to report.
pub fn is_contained() -> bool {
    IS_CONTAINED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_text() {
        assert_eq!(contained(|| 7), Ok(7));
        assert_eq!(contained(|| assert!(is_contained(), "unseen")), Ok(()));
        assert_eq!(contained(|| panic!("at byte {}", 3)), Err::<(), _>("at byte 3".to_owned()));
        assert!(!is_contained());
    }
}
