//! Evaluation sets: questions about needles in haystacks, made of a few needles, many videos or images, and a grid.
//!
//! ```text
//! annotations (needles) ─ definition.rs, check.rs ─▶ needles ┐
//! [source.needles]      ─ options.rs ─▶ grid.rs ─▶ cells ────┴─ question.rs ─▶ the n-th record, as the text of a JSON object
//! ```
//!
//! **Invariant:** the n-th record is a function of the needles, the settings and n, so that it can be made again at any time.
//!
//! Media are not touched: that a haystack has enough frames, and that no needle looks like one of them, is found out later.

mod chance;
mod check;
mod definition;
mod grid;
mod numbers;
mod options;
mod question;
mod scene;
mod set;
#[cfg(test)]
mod tests;

pub use self::options::{NeedleOptions, NeedlePlace, Permutations, UnequalOptions};
pub(crate) use self::set::NeedleSet;
