//! The model against references that nobody here wrote, and against itself: packed, in windows, long.

mod isolation;
mod memory;
mod parity;
mod support;
