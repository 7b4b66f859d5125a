//! Arguments as they are typed.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use manyframe_core::Layout;
use manyframe_pipeline::{Override, SequenceParallel};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; trying again may help
  2  wrong use, or an error in a pipeline file; trying again will not help
  3  built, but a source is over its error budget (max_rejects)
  4  validated, and something is over a limit of the policy that fails; a build replaces nothing then";

/// Builds multi-image instruction datasets for vision-language models.
#[derive(Debug, Parser)]
#[command(name = "manyframe", version, propagate_version = true, after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// How logs on stderr are written.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, help_heading = "Output")]
    pub(crate) log_format: LogFormat,
    /// Log more: once for debug, twice for trace.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
    /// Show neither progress nor logs below warnings.
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check pipeline files: every error at once, with line, value and what is allowed.
    Check(CheckArguments),
    /// Show what a build would give: reads annotations and media headers only.
    Plan(PlanArguments),
    /// Plan, run and commit; goes on where an earlier build stopped.
    Build(BuildArguments),
    /// Show a dataset, or one sample: its text as the trainer sees it, its images written out.
    Inspect(InspectArguments),
    /// Show what became of a record, why, and the text it came from.
    Why(WhyArguments),
    /// Read a whole dataset back: digests, decodability, placeholders and images, ids and labels, the ledger.
    Verify(VerifyArguments),
    /// Run a hybrid model over samples of a dataset: token counts, losses, whether answers depend on the images.
    Validate(ValidateArguments),
    /// Models to validate with.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Pack the samples of a dataset anew: rewrites the pack index, and no shard.
    Pack(PackArguments),
    /// Write a dataset in a format of other trainers.
    Export(ExportArguments),
    /// Run one task of a plan; what a cluster engine calls. Idempotent and atomic.
    Task(TaskArguments),
    /// Make a dataset of a plan whose tasks are all done.
    Commit(CommitArguments),
    /// Write the completions of a shell to stdout.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the man page to stdout.
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Pipeline files.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

#[derive(Debug, Args)]
pub(crate) struct Overrides {
    /// Replace a variable, or a setting by its dotted path: data=/mnt/data, format.max_tokens=2048, source.NAME.take=100.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
}

#[derive(Debug, Args)]
pub(crate) struct Threads {
    /// Worker threads. Default: one per core.
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
}

#[derive(Debug, Args)]
pub(crate) struct PipelineArguments {
    /// The pipeline file, or a folder of them: stages, each after those that it names.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The dataset's directory, in place of the one in the file; of a folder, the directory of all datasets. Work in progress
    /// goes to DIR.work beside it.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
    /// Forget the index, the plan and the finished tasks of earlier builds, and read everything anew.
    #[arg(long)]
    pub(crate) fresh: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    #[command(flatten)]
    pub(crate) forecast: ForecastArguments,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ForecastArguments {
    /// Forecast an epoch on clusters of so many GPUs: 8,64,512.
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) ranks: Vec<u32>,
    /// How GPUs share a sequence in the forecast, in place of pack.sequence_parallel: ring:8, zigzag:8 or 2d:4x2.
    #[arg(long, value_name = "SCHEME", requires = "ranks")]
    pub(crate) sequence_parallel: Option<SequenceParallel>,
}

#[derive(Debug, Args)]
pub(crate) struct PackArguments {
    /// The dataset's directory.
    pub(crate) dataset: PathBuf,
    /// A setting of the table [pack], such as max_tokens=128000 or strategy=balanced. Those that are not given stay as they are.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
    /// Forget the settings that the dataset is packed with: those that are not given have their defaults.
    #[arg(long)]
    pub(crate) reset: bool,
    #[command(flatten)]
    pub(crate) forecast: ForecastArguments,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArguments {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// The dataset's directory.
    pub(crate) dataset: PathBuf,
    /// A record id or the first 6 or more of its digits, or an upstream id.
    pub(crate) id: Option<String>,
    /// Write the images of the sample into this directory.
    #[arg(long, value_name = "DIR", requires = "id")]
    pub(crate) images: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArguments {
    /// The dataset's directory.
    pub(crate) dataset: PathBuf,
    /// A record id or the first 6 or more of its digits, or an upstream id.
    pub(crate) id: String,
    /// Where a variable of the pipeline file is on this machine, if the dataset was built on another.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The dataset's directory.
    pub(crate) dataset: PathBuf,
    /// Where a variable of the pipeline file is on this machine, if the dataset was built on another: its tokenizer is needed.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
    #[command(flatten)]
    pub(crate) threads: Threads,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The dataset's directory.
    pub(crate) dataset: PathBuf,
    /// The format.
    #[arg(long, value_enum)]
    pub(crate) format: ExportFormat,
    /// The directory to make. Nothing may be there yet.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Only samples of this layout; may be given more than once.
    #[arg(long, value_name = "LAYOUT", value_parser = parse_layout)]
    pub(crate) only_layout: Vec<Layout>,
    /// Only samples of this source; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub(crate) only_source: Vec<String>,
    /// Only samples with at most so many images; frames and sub-images count. LLaVA-1.5 can read 1.
    #[arg(long, value_name = "N")]
    pub(crate) max_images: Option<usize>,
    /// How the image of a record that has exactly one is written.
    #[arg(long, value_enum, default_value_t = SingleImageForm::List, value_name = "FORM")]
    pub(crate) single_image: SingleImageForm,
    /// What stands before the path of each image. By default paths are relative to DIR: LLaVA and LLaVA-NeXT take DIR as
    /// their image folder, LongLLaVA has none and must run in DIR, or be given "DIR/" here.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) path_prefix: String,
}

/// A format of other trainers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum ExportFormat {
    /// One JSON array, and images as files, as the loaders of LongLLaVA, LLaVA-NeXT and LLaVA-1.5 read it. Frames and
    /// sub-images are images; texts keep the dialect of the dataset.
    LlavaJson,
}

/// How the image of a record that has exactly one is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SingleImageForm {
    /// A list of one path, for LongLLaVA and LLaVA-NeXT.
    List,
    /// A path, for LLaVA-1.5 (together with --max-images 1) and LLaVA-NeXT.
    String,
}

fn parse_layout(text: &str) -> Result<Layout, String> {
    let found = Layout::ALL.into_iter().find(|layout| layout.as_str() == text);
    found.ok_or_else(|| format!("expected one of {}", Layout::ALL.map(Layout::as_str).join(", ")))
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArguments {
    /// The dataset's directory. The measures go to validation.json and validation.parquet in it.
    pub(crate) dataset: PathBuf,
    /// The model's directory: config.json and safetensors of Jamba or LongLLaVA. `manyframe model init` writes a small one.
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// How many samples are run: some of every source, layout and length.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) samples: usize,
    /// Run every sample.
    #[arg(long, conflicts_with = "samples")]
    pub(crate) all: bool,
    /// Which samples are run.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Where the model runs.
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub(crate) device: DeviceName,
    /// Limits, as TOML: `mean_loss = { warn = 2.5, fail = 4.0 }`. By default, only what is broken fails.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Run samples with their own images only, which takes a third of the time and shows less.
    #[arg(long)]
    pub(crate) no_controls: bool,
    /// Where a variable of the pipeline file is on this machine, if the dataset was built on another.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) threads: Threads,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceName {
    /// A GPU where there is one.
    Auto,
    Cpu,
    Cuda,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Write a model with random weights: it checks the wiring, and judges no data.
    Init {
        /// The directory, which must not exist.
        directory: PathBuf,
        /// Its shape. `9b` is LongLLaVA's, and takes 19 GB.
        #[arg(long, value_enum, default_value_t = PresetName::Tiny)]
        preset: PresetName,
        /// Its weights.
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
        /// Number of token ids, if not that of Jamba's tokenizer.
        #[arg(long, value_name = "N")]
        vocab_size: Option<usize>,
        /// Write config.json to stdout, and nothing else.
        #[arg(long)]
        describe: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PresetName {
    /// 64 wide, every kind of layer: runs anywhere.
    Tiny,
    /// 512 wide: for timing on a CPU.
    Small,
    /// The dense 9B model with CLIP ViT-L/14 at 336 px.
    #[value(name = "9b")]
    Dense9b,
}

#[derive(Debug, Args)]
pub(crate) struct TaskArguments {
    /// The plan's directory, as `manyframe plan` prints it.
    pub(crate) plan: PathBuf,
    /// The task's number.
    pub(crate) id: u32,
    #[command(flatten)]
    pub(crate) threads: Threads,
}

#[derive(Debug, Args)]
pub(crate) struct CommitArguments {
    /// The plan's directory, as `manyframe plan` prints it.
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) threads: Threads,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
