//! Arguments of commands about what is there: datasets beside each other, and what builds left.

use std::path::PathBuf;

use clap::Args;

use super::shared::{Overrides, Threads};
use super::stores::StoreArguments;

#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// The directory or URL of a dataset, or a pipeline file.
    pub(crate) a: PathBuf,
    /// What it is compared with.
    pub(crate) b: PathBuf,
    /// Examples of each kind of change.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) examples: usize,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// A dataset, a pipeline file, or a directory: datasets and pipeline files in it, and work directories up to four levels below.
    #[arg(value_name = "PATH", default_value = ".")]
    pub(crate) path: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
    #[command(flatten)]
    pub(crate) threads: Threads,
}

#[derive(Debug, Args)]
pub(crate) struct CleanArguments {
    /// A dataset, a pipeline file, or a directory, as `manyframe status` takes them.
    #[arg(value_name = "PATH", default_value = ".")]
    pub(crate) path: PathBuf,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also remove the plans and finished tasks of interrupted builds, which the next build would continue.
    #[arg(long)]
    pub(crate) interrupted: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}
