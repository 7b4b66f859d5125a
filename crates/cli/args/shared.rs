//! What arguments of several commands have in common.

use std::num::{NonZeroU32, NonZeroUsize};

use clap::Args;
use manyframe_core::Layout;
use manyframe_engine::CommitOptions;
use manyframe_pipeline::Override;

#[derive(Debug, Args)]
pub(crate) struct Overrides {
    /// Replace a variable or a setting, by its dotted path: data=/mnt/data, format.max_tokens=2048, source.NAME.take=100. A path
    /// without a variable begins, in the dataset, with the longest variable of the file that it lies below. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
}

#[derive(Debug, Args)]
pub(crate) struct Threads {
    /// Number of worker threads, at most four per core, or 64. Default: one per core.
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Patience {
    /// Longest time that a record may take until it is done, or its next image or frame is; all of it may take 24 times as long.
    /// One that takes longer is tried once more, alone, and then rejected (decoder_stalled).
    #[arg(long, value_name = "SECONDS", default_value = "600")]
    pub(crate) record_timeout: NonZeroU32,
}

#[derive(Debug, Args)]
pub(crate) struct PublishingArguments {
    /// Publish although more records were rejected than max_rejects allows, a source delivers nothing, an annotation file is
    /// incomplete or gone since the last build, or images that no sample may show cannot be decoded. A dataset that such a build has
    /// left is published without making its samples again.
    #[arg(long)]
    pub(crate) accept_rejects: bool,
    /// Replace a dataset of another name at the output, or one whose manifest cannot be read.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Publish at a URL although a build or upload of another dataset to it is not finished; only when that one does not run any
    /// more.
    #[arg(long)]
    pub(crate) take_over: bool,
}

impl PublishingArguments {
    pub(crate) fn options(&self) -> CommitOptions {
        CommitOptions {
            accepts_rejects: self.accept_rejects,
            replaces_other_name: self.replace,
            takes_over: self.take_over,
        }
    }
}

pub(super) fn parse_layout(text: &str) -> Result<Layout, String> {
    let found = Layout::from_text(text);
    found.ok_or_else(|| format!("expected one of {}", Layout::ALL.map(Layout::as_str).join(", ")))
}
