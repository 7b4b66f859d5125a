//! The model against reference outputs of transformers and Pillow, and against itself: packed, in windows, long.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests, which clippy does not recognise as tests"
)]
#![expect(clippy::indexing_slicing, reason = "as above; a wrong index fails the test")]
#![expect(clippy::cast_possible_wrap, reason = "lengths of some thousands")]

mod isolation;
mod needles;
mod parity;
mod pictures;
mod planted;
mod prefix;
mod run;
mod support;
