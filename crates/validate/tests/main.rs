//! The model against references that nobody here wrote, and against itself: packed, in windows, long.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests, which clippy does not take for tests")]
#![expect(clippy::cast_possible_wrap, reason = "lengths of some thousands")]

mod isolation;
mod memory;
mod parity;
mod pictures;
mod run;
mod support;
