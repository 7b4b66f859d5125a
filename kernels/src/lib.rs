//! Kernels of the hybrid model, for samples packed into one sequence: a CPU version that is always built, and a CUDA version
//! behind the feature `cuda` that is tested against it.
//!
//! ```text
//! PackedSamples ──windows──▶ TokenWindow ─┬─ causal_conv ── selective_scan   state is carried from window to window
//!                                         ├─ attention                       keys and values of the unfinished sample are carried
//!                                         └─ cross_entropy, pool, normalize_images
//! ```
//!
//! **Invariant:** nothing leaks from one sample of a packing into another: convolution, scan and attention restart at every
//! sample boundary.
//! **Invariant:** a sequence has the same result in one window as in many, up to rounding.
//!
//! The crate does no I/O and knows nothing of records or datasets. Errors are candle's: a shape or a device that does not fit.

#![expect(
    clippy::inline_always,
    reason = "everything that a vectorised loop calls must be inlined to be compiled for the same vector unit"
)]
#![expect(clippy::many_single_char_names, reason = "the letters are those of the papers")]

pub mod attention;
pub mod conv;
pub mod cross_entropy;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cuda")]
mod launch;
mod math;
pub mod normalize;
pub mod pool;
pub mod scan;
mod storage;
mod window;

pub use attention::{AttentionInputs, attention};
pub use conv::{ConvInputs, ConvOutputs, causal_conv};
pub use cross_entropy::{CrossEntropyInputs, cross_entropy};
pub use normalize::normalize_images;
pub use pool::{Pool, pool};
pub use scan::{ScanInputs, ScanOutputs, selective_scan};
pub use storage::peak_device_bytes;
pub use window::{PackedSamples, TokenWindow};
