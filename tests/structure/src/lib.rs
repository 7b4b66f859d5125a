//! Measures the structure of the workspace: which files import each other, and how long files and functions are.
//!
//! ```text
//! crate root ─tree─▶ modules, one per file ─imports─▶ arrows between files ─cycles─▶ import cycles
//!                                          └─measure─▶ lines, parameters, unwraps
//! ```
//!
//! Test code is left out. Imports are `use` declarations and paths in code; calls of methods cannot be seen.

pub mod cycles;
pub mod imports;
pub mod measure;
pub mod tree;

use std::path::{Path, PathBuf};

/// The roots of the crates below the workspace in `root`, ordered by path: `lib.rs`, or the program's `main.rs`.
///
/// # Errors
///
/// A directory of crates that cannot be listed.
pub fn crate_roots(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut directories = vec![root.join("samplers"), root.join("kernels")];
    for entry in std::fs::read_dir(root.join("crates"))? {
        directories.push(entry?.path());
    }
    directories.sort();
    let candidates =
        |directory: &PathBuf| ["src/lib.rs", "src/main.rs", "main.rs"].map(|file| directory.join(file)).into_iter();
    Ok(directories.iter().filter_map(|directory| candidates(directory).find(|file| file.exists())).collect())
}
