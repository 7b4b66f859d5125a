//! Kernels of the hybrid model that the data is for, each with a CPU reference.
//!
//! So far: the 2-D pooling that decides how many tokens an image takes.
//! It does no I/O and knows nothing of records or datasets.

mod pool;

pub use pool::{PoolError, pool_2d};
