//! Kernels of the hybrid model that the data is for: each works on packed samples and has a CPU version that is always
//! there, and is the reference of the CUDA version beside it (feature `cuda`).
//!
//! ```text
//! Packing ──windows──▶ Window ─┬─ causal_conv ── selective_scan     carry their state from window to window
//!                              ├─ attention                         carries keys and values of the open sample
//!                              └─ cross_entropy, pool, normalize_images
//! ```
//!
//! **Invariant:** nothing flows from one sample of a packing into another: convolution, scan and attention start afresh
//! at every boundary.
//! **Invariant:** a sequence gives the same result in one window as in many, up to rounding.
//!
//! It does no I/O and knows nothing of records or datasets. Errors are candle's: what fails is a shape or a device.

#![expect(
    clippy::inline_always,
    reason = "what a vectorised loop calls has to be compiled into it, for the same vector unit"
)]
#![expect(clippy::many_single_char_names, reason = "the letters are those of the papers")]

pub mod attention;
pub mod conv;
pub mod cross_entropy;
#[cfg(feature = "cuda")]
mod cuda;
mod math;
mod memory;
pub mod normalize;
pub mod pool;
pub mod scan;
mod storage;
mod window;

pub use attention::{attention, attention_in_blocks};
pub use conv::{CausalConv, causal_conv};
pub use cross_entropy::cross_entropy;
pub use memory::peak_device_bytes;
pub use normalize::normalize_images;
pub use pool::{Pool, pool};
pub use scan::{Scan, Scanned, selective_scan};
pub use window::{Packing, Window};
