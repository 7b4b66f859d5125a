//! Arguments of commands that reach object stores.

use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use manyframe_core::Layout;
use manyframe_transfer::{Pace, RankOf};

use super::shared::parse_layout;

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct StoreArguments {
    /// Address of an object store that is not its provider's, such as http://127.0.0.1:9000 for an S3-compatible one.
    /// Credentials come from the environment (AWS_…, GOOGLE_…, AZURE_…) or a profile of ~/.aws.
    #[arg(long, value_name = "URL", help_heading = "Object stores")]
    pub(crate) endpoint: Option<String>,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct PaceArguments {
    /// Most requests at a time; how many are of use is found out. Each holds up to 8 MiB in memory.
    #[arg(long, value_name = "N", default_value = "12")]
    pub(crate) concurrency: NonZeroUsize,
    /// Most bytes per second, such as 50M or 1.5G (powers of 1024).
    #[arg(long, value_name = "BYTES", value_parser = parse_rate)]
    pub(crate) limit_rate: Option<NonZeroU64>,
}

impl PaceArguments {
    pub(crate) fn pace(self) -> Pace {
        Pace { concurrency: self.concurrency, bytes_per_second: self.limit_rate }
    }
}

fn parse_rate(text: &str) -> Result<NonZeroU64, String> {
    parse_bytes(text).ok_or_else(|| "expected bytes per second, such as 500K, 50M or 1.5G".to_owned())
}

/// Reads `500K`, `50M`, `1.5G` and `2T`, in powers of 1024.
pub(crate) fn parse_bytes(text: &str) -> Option<NonZeroU64> {
    let shift = match text.chars().next_back().map(|unit| unit.to_ascii_uppercase()) {
        Some('K') => 10,
        Some('M') => 20,
        Some('G') => 30,
        Some('T') => 40,
        _ => 0,
    };
    let number = if shift > 0 { text.get(..text.len() - 1).unwrap_or_default() } else { text };
    let number: f64 = number.parse().ok()?;
    NonZeroU64::new((number * (1_u64 << shift) as f64) as u64)
}

/// Reads `0..64`.
fn parse_positions(text: &str) -> Result<Range<u64>, String> {
    let parsed = text.split_once("..").and_then(|(start, end)| Some(start.parse().ok()?..end.parse().ok()?));
    let parsed = parsed.filter(|range: &Range<u64>| !range.is_empty());
    parsed.ok_or_else(|| "expected FIRST..END, such as 0..64 for the first 64".to_owned())
}

/// How the files of a dataset are called at its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NamesChoice {
    /// By their paths: trainers list directories.
    Plain,
    /// By their digests: readers of the dataset before are not disturbed by a new one. manyframe reads and downloads it as any
    /// other.
    Content,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ReplacingArguments {
    /// Remove files that the manifest at the destination names and this dataset does not have, when the new manifest is there.
    #[arg(long)]
    pub(crate) delete: bool,
    /// Replace a dataset of another name at the destination.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Go on although an upload of another dataset to the same place is not finished; only when that one does not run any more.
    #[arg(long)]
    pub(crate) take_over: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UploadArguments {
    /// The dataset's directory.
    pub(crate) dataset: PathBuf,
    /// Where it goes: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, or a directory, such as one of a shared file
    /// system.
    #[arg(value_name = "URL")]
    pub(crate) destination: PathBuf,
    /// How files are called at the destination.
    #[arg(long, value_enum, default_value_t = NamesChoice::Plain, value_name = "NAMES")]
    pub(crate) names: NamesChoice,
    /// Show what is new, replaced, the same and left over, and send nothing.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) replacing: ReplacingArguments,
    #[command(flatten)]
    pub(crate) pace: PaceArguments,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DownloadArguments {
    /// The dataset's URL or directory.
    #[arg(value_name = "URL")]
    pub(crate) dataset: PathBuf,
    /// Where it goes.
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Download only shards of this layout. May be repeated.
    #[arg(long, value_name = "LAYOUT", value_parser = parse_layout)]
    pub(crate) only_layout: Vec<Layout>,
    /// Download only the shards at these positions, in the order of the manifest, after --only-layout: 0..64.
    #[arg(long, value_name = "FIRST..END", value_parser = parse_positions)]
    pub(crate) shards: Option<Range<u64>>,
    /// Download only the shards of a rank: 3/8 for those whose position leaves 3 when divided by 8.
    #[arg(long, value_name = "RANK/RANKS")]
    pub(crate) rank: Option<RankOf>,
    #[command(flatten)]
    pub(crate) pace: PaceArguments,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_positions_are_read() {
        assert_eq!(parse_rate("1.5k").unwrap().get(), 1536);
        assert_eq!(parse_rate("50M").unwrap().get(), 50 << 20);
        assert_eq!(parse_positions("0..64").unwrap(), 0..64);
        for text in ["", "0", "-1", "M", "5X", "1.5kk", "5TT"] {
            assert!(parse_rate(text).is_err(), "{text:?}");
        }
        for text in ["", "3", "3..3", "4..3", "..", "a..b"] {
            assert!(parse_positions(text).is_err(), "{text:?}");
        }
    }
}
