//! The native module of the Python package `manyframe`: datasets, samples, and packs that threads read and decode ahead.
//!
//! ```text
//! manyframe.Dataset ───────▶ dataset, sample       the ledger, single samples, whole shards
//! manyframe.PackDataset ───▶ packs ─▶ prefetch     threads, without the interpreter's lock; bounded in bytes
//!                              └─▶ pack ─▶ pixels  tokens of a rank, images as pixels or as what a vision tower takes:
//!                                         patches, tiles
//! ```
//!
//! What users see is the package in `python/manyframe`, which decides order, ranks and state; nothing here does.
//!
//! **Invariant:** no thread holds the interpreter's lock while it reads or decodes, and none outlives the object that started it.

mod array;
mod dataset;
mod error;
mod pack;
mod packs;
mod patches;
mod pixels;
mod prefetch;
mod sample;
mod tiles;
mod values;

/// The module. Its functions and classes are described in `python/manyframe/_native.pyi`.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::array::Memory;
    #[pymodule_export]
    use crate::dataset::{Dataset, SampleIterator};
    #[pymodule_export]
    use crate::error::DatasetError;
    #[pymodule_export]
    use crate::packs::{PackIterator, Packs, epoch_order};
    #[pymodule_export]
    use crate::sample::{Image, Sample, Video};
    /// The version of manyframe.
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
