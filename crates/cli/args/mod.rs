//! The arguments as typed. Nothing here is opened or checked against a pipeline file.

mod engines;
mod shared;
mod state;
mod stores;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use manyframe_core::{DeviceChoice, Layout};
use manyframe_dataset::Status;
use manyframe_pipeline::{Override, SequenceParallel};
use manyframe_sources::Condition;
use manyframe_validate::Preset;
use manyframe_vision::Family;

pub(crate) use engines::{
    BuildForecastArguments, CommitArguments, EngineArguments, EngineName, RunArguments, TaskArguments,
};
use shared::parse_layout;
pub(crate) use shared::{Overrides, Patience, PublishingArguments, Threads};
pub(crate) use state::{CleanArguments, DiffArguments, StatusArguments};
pub(crate) use stores::{DownloadArguments, NamesChoice, StoreArguments, UploadArguments, parse_bytes};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; trying again may help
  2  usage error, or a mistake in the pipeline file; trying again will not help
  3  not published: a source lost more than max_rejects or delivers nothing, or what no sample may show cannot be decoded;
     `build --accept-rejects` publishes
  4  validation failed: a measure exceeds a policy limit; a build then publishes nothing
  130, 143  interrupted by Ctrl-C or SIGTERM; the same command continues";

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
    /// Format of stderr: text, or JSON in every line, progress included.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, help_heading = "Output")]
    pub(crate) log_format: LogFormat,
    /// Log more: -v for debug messages, -vv for trace messages.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
    /// Show no progress, and only log warnings and errors.
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Show all columns of tables. Otherwise a table that is wider than the terminal loses some, and says which.
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) wide: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at directories and files, and write a pipeline file for what is in them: annotations in every usual form, where their
    /// images and videos are, the tokenizer.
    Init(InitArguments),
    /// Check pipeline files; reports all errors at once, with line, value and what is allowed.
    Check(CheckArguments),
    /// Show what a build would deliver; reads annotations and media headers only.
    Plan(PlanArguments),
    /// Build a dataset: plan, run, commit. Resumes an interrupted build.
    Build(BuildArguments),
    /// Show a dataset, or one sample: its text as the trainer sees it, and its images.
    Inspect(InspectArguments),
    /// List the records of a dataset: what became of each.
    Ls(LsArguments),
    /// Write a page about a dataset that opens in any browser: the mix, what was lost and why, lengths, packs, and samples with their
    /// images.
    Report(ReportArguments),
    /// Compare two datasets, or two pipeline files: settings, counts by source, records that came, went or changed, and why. Samples in
    /// shards that differ are read, and their texts and media compared.
    Diff(DiffArguments),
    /// Show builds that are going on or were left, how large their work directories are, and what the next build would do and why.
    Status(StatusArguments),
    /// Remove what killed and superseded builds left; touches no dataset, and no build that is going on.
    Clean(CleanArguments),
    /// Show what happened to a record and why, with its original annotation.
    Why(WhyArguments),
    /// Verify a dataset: compute again, from its samples and its sources, whatever its files state. Takes longer than its build:
    /// each sample is made again, and each delivered image decoded. Or verify an export: compare its files with its list of digests.
    Verify(VerifyArguments),
    /// Run a hybrid Mamba-Transformer model over samples: token counts, losses, and whether answers depend on the images.
    Validate(ValidateArguments),
    /// Show what a model's processor makes of images and videos: size, grid, tokens and text. Reads headers only.
    Tokens(TokensArguments),
    /// Show the grid of an evaluation set of needles in haystacks: questions and exact tokens of each cell. Reads headers only.
    Needles(NeedlesArguments),
    /// Create models to validate with.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Pack the samples of a dataset into training sequences again; rewrites the pack index, but no shard.
    Pack(PackArguments),
    /// Export a dataset to a format that other trainers read.
    Export(ExportArguments),
    /// Upload a dataset to an object store: every file is compared with its digest, and the manifest comes last. Goes on where an
    /// interrupted upload stopped.
    Upload(UploadArguments),
    /// Download a dataset, or the shards that a node trains on; every file is compared with its digest. Goes on where an
    /// interrupted download stopped.
    Download(DownloadArguments),
    /// Run the tasks of a plan that are not done, here or on a cluster, and publish its dataset.
    Run(RunArguments),
    /// Run tasks of a plan, as a job of a cluster does. Idempotent and atomic. Prints a line of JSON for each.
    Task(TaskArguments),
    /// Publish the dataset of a plan whose tasks are all done.
    Commit(CommitArguments),
    /// Print completions for a shell.
    Completions {
        /// The shell to complete for.
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one for each command to a directory.
    Man {
        /// The directory, which is created if it is missing.
        #[arg(long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// Directories with annotations, images and videos, or annotation files.
    #[arg(value_name = "PATH", default_value = ".")]
    pub(crate) paths: Vec<PathBuf>,
    /// The pipeline file to write; it must not exist.
    #[arg(short, long, value_name = "FILE", default_value = "pipeline.toml")]
    pub(crate) output: PathBuf,
    /// The family of the model. Default: that of the checkpoint whose tokenizer is found, else longllava.
    #[arg(long, value_name = "NAME", value_parser = family_parser())]
    pub(crate) family: Option<Family>,
    /// The tokenizer of the model: a directory of the Hugging Face Hub, a tokenizer.json, or a SentencePiece .model. Default: the
    /// first that is found.
    #[arg(long, value_name = "PATH")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Also write the settings of a published recipe: lengths, frames, tiles and packing for its model.
    #[arg(long, value_enum, value_name = "NAME", conflicts_with = "family")]
    pub(crate) template: Option<InitTemplate>,
    /// Ask which of what is found to use, and for which model. An empty line takes what is proposed.
    #[arg(long)]
    pub(crate) interactive: bool,
}

/// A published recipe whose settings `init` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InitTemplate {
    Longllava,
    Longvila,
    #[value(name = "qwen3-vl-sft")]
    Qwen3VlSft,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Pipeline files, or directories of them.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
    /// Check the pipeline files alone: data, tokenizer and models that they name need not be on this machine.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PipelineArguments {
    /// The pipeline file, or a directory of pipeline files: stages, each of which is built after those that it refers to.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Directory of the dataset; replaces the one in the file. If FILE is a directory: the one that holds the datasets of
    /// all stages. Work in progress is kept beside the dataset, in a directory with the suffix `.work`.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) patience: Patience,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
    /// Start from scratch: ignore the index, the plan, the finished tasks and the samples of earlier builds.
    #[arg(long)]
    pub(crate) fresh: bool,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    #[command(flatten)]
    pub(crate) forecast: ForecastArguments,
    #[command(flatten)]
    pub(crate) build: BuildForecastArguments,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NeedlesArguments {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
    /// Print JSON: an object for each cell, in a list.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ForecastArguments {
    /// Forecast an epoch on clusters with these numbers of GPUs, such as 8,64,512.
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) ranks: Vec<u32>,
    /// Sequence parallelism in the forecast: ring:8, zigzag:8 or 2d:4x2. Default: pack.sequence_parallel.
    #[arg(long, value_name = "SCHEME", requires = "ranks")]
    pub(crate) sequence_parallel: Option<SequenceParallel>,
}

#[derive(Debug, Args)]
pub(crate) struct PackArguments {
    /// The dataset's directory or URL.
    pub(crate) dataset: PathBuf,
    /// Change a setting of the table `[pack]`, such as max_tokens=128000 or strategy=balanced. The others stay as they are.
    /// May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
    /// Reset the settings that are not set here to their defaults, instead of those the dataset is packed with.
    #[arg(long)]
    pub(crate) reset: bool,
    #[command(flatten)]
    pub(crate) forecast: ForecastArguments,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArguments {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    #[command(flatten)]
    pub(crate) publishing: PublishingArguments,
    /// Before samples are made, show how many of each source are reused, and why the others are made.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Print JSON: an object for each stage.
    #[arg(long, conflicts_with = "explain")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// The dataset's directory or URL.
    pub(crate) dataset: PathBuf,
    /// A record id, a prefix of at least 6 hex digits, or an upstream id.
    pub(crate) id: Option<String>,
    /// Write the images of the sample to this directory.
    #[arg(long, value_name = "DIR", requires = "id")]
    pub(crate) images: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

#[derive(Debug, Args)]
pub(crate) struct LsArguments {
    /// The dataset's directory or URL.
    pub(crate) dataset: PathBuf,
    /// Only records of this source. May be repeated, as the other filters may.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Vec<String>,
    /// Only records with this status: delivered, rejected, duplicate, not_drawn.
    #[arg(long, value_name = "STATUS", value_parser = status_parser())]
    pub(crate) status: Vec<Status>,
    /// Only records that were rejected for this reason, such as media_missing.
    #[arg(long, value_name = "CODE")]
    pub(crate) reason: Vec<String>,
    /// Only samples of this layout.
    #[arg(long, value_name = "LAYOUT", value_parser = parse_layout)]
    pub(crate) layout: Vec<Layout>,
    /// Only records whose upstream id contains this text.
    #[arg(long, value_name = "TEXT")]
    pub(crate) upstream_id: Option<String>,
    /// Only samples that were shortened to fit.
    #[arg(long)]
    pub(crate) shortened: bool,
    /// Only records of which this is true, as `source.where` writes it: `num_tokens > 4000 and source in ['a', 'b']`. Its fields are
    /// those that --json prints.
    #[arg(long = "where", value_name = "CONDITION", value_parser = Condition::parse)]
    pub(crate) condition: Option<Condition>,
    /// Only samples whose prompt has this text in it, in small or capital letters. Reads the shards, but no image.
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// List at most so many. Default: 1,000 in the table, otherwise all.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Print ids only, as `manyframe why` and `manyframe inspect` take them.
    #[arg(long, conflicts_with = "json")]
    pub(crate) ids: bool,
    /// Print a line of JSON for each.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

fn status_parser() -> impl TypedValueParser<Value = Status> {
    PossibleValuesParser::new(Status::ALL.map(Status::as_str))
        .try_map(|name| Status::from_text(&name).ok_or("no such status"))
}

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// The dataset's directory or URL.
    pub(crate) dataset: PathBuf,
    /// The page to write. An existing page is replaced, and nothing else.
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    pub(crate) output: PathBuf,
    /// How many samples of each source and layout to show.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) samples: usize,
    /// Seed of their choice.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Show what differs from another dataset, whose directory or URL this is.
    #[arg(long, value_name = "OTHER")]
    pub(crate) against: Option<PathBuf>,
    /// Value of a variable of the pipeline file on this machine, if the dataset was built on another: data=/mnt/data. Records that
    /// were rejected or left out are shown with their images where the sources are.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArguments {
    /// The dataset's directory or URL.
    pub(crate) dataset: PathBuf,
    /// A record id, a prefix of at least 6 hex digits, or an upstream id.
    pub(crate) id: String,
    /// Value of a variable of the pipeline file on this machine, if the dataset was built on another: data=/mnt/data.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The dataset's directory or URL, or the directory of an export, whose files are compared with the SHA256SUMS in it.
    pub(crate) dataset: PathBuf,
    /// Value of a variable of the pipeline file on this machine, if the dataset was built on another: tokenizer and sources
    /// are needed.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
    /// Compares the files of the dataset with one another only. Its sources are not read, which takes as long as a build.
    #[arg(long)]
    pub(crate) no_sources: bool,
    /// Ends with 0 even if some of the checks could not be made on this machine, or were left out.
    #[arg(long)]
    pub(crate) partial: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
    /// Directory that all machines of a cluster see. Default: beside the dataset, if that is in a directory.
    #[arg(long, value_name = "DIR", help_heading = "Engine")]
    pub(crate) work: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) patience: Patience,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The dataset's directory or URL.
    pub(crate) dataset: PathBuf,
    /// The format to write.
    #[arg(long, value_enum)]
    pub(crate) format: ExportForm,
    /// One record a pack, as LongLLaVA's trainer reads packs: the dataset must be packed. With llava_json; the other two are
    /// always packed. Packs are exported whole.
    #[arg(long)]
    pub(crate) packed: bool,
    /// Directory to create; it must not exist. SHA256SUMS in it lists all files, for `manyframe verify DIR` and `sha256sum -c`; with
    /// packed_parquet .SHA256SUMS, because readers of a directory of Parquet files take every file that is not hidden.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Export only samples of this layout. May be repeated.
    #[arg(long, value_name = "LAYOUT", value_parser = parse_layout)]
    pub(crate) only_layout: Vec<Layout>,
    /// Export only samples of this source. May be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) only_source: Vec<String>,
    /// Export only samples with at most this many images; frames and tiles count. LLaVA-1.5 reads at most 1.
    #[arg(long, value_name = "N")]
    pub(crate) max_images: Option<usize>,
    /// How to write the image of a record that has exactly one.
    #[arg(long, value_enum, default_value_t = SingleImageForm::List, value_name = "FORM")]
    pub(crate) single_image: SingleImageForm,
    /// Prefix for the path of each image. By default, paths are relative to DIR: LLaVA and LLaVA-NeXT take DIR as their
    /// image folder; LongLLaVA has none and must either run in DIR or get "DIR/" here.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) path_prefix: String,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

/// A format that other trainers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum ExportForm {
    /// One JSON array and image files, as LongLLaVA, LLaVA-NeXT and LLaVA-1.5 read them. Frames and tiles become images;
    /// texts keep the dialect of the dataset.
    LlavaJson,
    /// Parquet files with a row for each pack: expanded ids, labels, boundaries, grids and images.
    PackedParquet,
    /// XTuner's preset packs of a dataset of texts: data.jsonl, boundaries.npy, samples.npy, paths.json.
    XtunerPack,
    /// Questions about needles with their videos and images, and a task of lmms-eval that asks them: needles.json, videos/, images/,
    /// needles.yaml. Those about videos as VNBench's file has them: vnbench.json.
    LmmsEval,
    /// Questions about needles with their frames or images, as VLMEvalKit reads custom multiple choice: needles_circular.tsv, images/.
    Vlmevalkit,
}

/// How the image of a record that has exactly one is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SingleImageForm {
    /// A list of one path, for LongLLaVA and LLaVA-NeXT.
    List,
    /// A path, for LLaVA-1.5 (with --max-images 1) and LLaVA-NeXT.
    String,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Args)]
pub(crate) struct ValidateArguments {
    /// The dataset's directory. Results are written to validation.json in it, and to a table that it names.
    pub(crate) dataset: PathBuf,
    /// The model's directory: config.json and safetensors of Jamba or LongLLaVA. `manyframe model init` creates a small one.
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Number of samples to run, spread over sources, layouts and lengths.
    #[arg(long, value_name = "N", default_value = "100")]
    pub(crate) samples: NonZeroUsize,
    /// Run all samples.
    #[arg(long, conflicts_with = "samples")]
    pub(crate) all: bool,
    /// Seed of the choice of samples.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Device that the model runs on.
    #[arg(long, default_value_t = DeviceChoice::Auto, value_parser = device_parser())]
    pub(crate) device: DeviceChoice,
    /// TOML file with limits, such as `mean_loss = { warn = 2.5, fail = 4.0 }`. By default, only broken samples fail.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Skip the runs with blank and swapped images: three times as fast, but does not show whether answers depend on the images.
    #[arg(long)]
    pub(crate) no_controls: bool,
    /// Ask the questions of a needle dataset, all of them: the likeliest option of each is the model's answer. Results are written to
    /// needle-scores.json in the dataset's directory, and to a table and a heat map of length and depth that it names. Goes on where an
    /// interrupted run stopped.
    #[arg(long, conflicts_with_all = ["samples", "all", "seed", "policy", "no_controls", "engine"])]
    pub(crate) needles: bool,
    /// Value of a variable of the pipeline file on this machine, if the dataset was built on another: data=/mnt/data.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
    #[command(flatten)]
    pub(crate) threads: Threads,
}

fn device_parser() -> impl TypedValueParser<Value = DeviceChoice> {
    let values = DeviceChoice::ALL.map(|choice| PossibleValue::new(choice.as_str()).help(choice.description()));
    PossibleValuesParser::new(values).try_map(|name| name.parse())
}

#[derive(Debug, Args)]
pub(crate) struct TokensArguments {
    /// Images and videos; or sizes such as 1920x1080 for an image, and 1280x720x300 for a video of 300 frames, which has 24
    /// frames per second unless they follow: 1280x720x300@29.97.
    #[arg(required = true, value_name = "MEDIUM")]
    pub(crate) media: Vec<String>,
    /// The family of the model.
    #[arg(long, value_name = "NAME", value_parser = family_parser())]
    pub(crate) family: Family,
    /// Change a setting of the family, by its dotted path: max_pixels=1310720, video.frames={num_frames=32},
    /// video.budget=capped. Default: that of the published checkpoint. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
    /// Take the media as those of one sample; some families show an image in another way where there are several.
    #[arg(long)]
    pub(crate) together: bool,
    /// Print JSON. Where the processor of `transformers`, asked for these frames, ends with an error, `processor_error` has it, as the
    /// table does below itself; the frames that are taken all the same are those of a dataset.
    #[arg(long)]
    pub(crate) json: bool,
}

fn family_parser() -> impl TypedValueParser<Value = Family> {
    let values = Family::NAMES.iter().map(|(name, description)| PossibleValue::new(name).help(description.trim()));
    PossibleValuesParser::new(values).try_map(|name| Family::named(&name).ok_or("no such family"))
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Create a model with random weights, for smoke tests only: its losses say nothing about data quality.
    Init {
        /// Directory to create; it must not exist.
        directory: PathBuf,
        /// Size and architecture. `9b` is LongLLaVA's and takes 19 GB.
        #[arg(long, default_value_t = Preset::Tiny, value_parser = preset_parser())]
        preset: Preset,
        /// Seed of the weights.
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
        /// Vocabulary size. Default: that of Jamba's tokenizer.
        #[arg(long, value_name = "N")]
        vocab_size: Option<usize>,
        /// Print config.json and create nothing.
        #[arg(long)]
        describe: bool,
    },
}

fn preset_parser() -> impl TypedValueParser<Value = Preset> {
    let values = Preset::ALL.map(|preset| PossibleValue::new(preset.as_str()).help(preset.description()));
    PossibleValuesParser::new(values).try_map(|name| name.parse())
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
