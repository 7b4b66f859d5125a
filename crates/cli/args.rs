//! The arguments as typed. Nothing here is opened or checked against a pipeline file.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::ops::Range;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use manyframe_core::{DeviceChoice, Layout};
use manyframe_engine::{CommitOptions, TaskRanges, Workers};
use manyframe_pipeline::{Override, SequenceParallel};
use manyframe_transfer::{Pace, RankOf};
use manyframe_validate::Preset;
use manyframe_vision::Family;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; trying again may help
  2  usage error, or a mistake in the pipeline file; trying again will not help
  3  not published: a source lost more than max_rejects or delivers nothing; `build --accept-rejects` publishes
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
    /// Format of the logs on stderr.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, help_heading = "Output")]
    pub(crate) log_format: LogFormat,
    /// Log more: -v for debug messages, -vv for trace messages.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
    /// Show no progress, and only log warnings and errors.
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
    /// Check pipeline files; reports all errors at once, with line, value and what is allowed.
    Check(CheckArguments),
    /// Show what a build would deliver; reads annotations and media headers only.
    Plan(PlanArguments),
    /// Build a dataset: plan, run, commit. Resumes an interrupted build.
    Build(BuildArguments),
    /// Show a dataset, or one sample: its text as the trainer sees it, and its images.
    Inspect(InspectArguments),
    /// Show what happened to a record and why, with its original annotation.
    Why(WhyArguments),
    /// Verify a dataset: compute again, from its samples and its sources, whatever its files state. Takes longer than its build:
    /// each sample is made again, and each delivered image decoded.
    Verify(VerifyArguments),
    /// Run a hybrid Mamba-Transformer model over samples: token counts, losses, and whether answers depend on the images.
    Validate(ValidateArguments),
    /// Show what a model's processor makes of images and videos: size, grid, tokens and text. Reads headers only.
    Tokens(TokensArguments),
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
    /// Print the man page.
    Man,
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
}

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
    /// Longest time that one record may take. One that takes longer is tried once more, alone, and then rejected
    /// (decoder_stalled).
    #[arg(long, value_name = "SECONDS", default_value = "600")]
    pub(crate) record_timeout: NonZeroU32,
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
#[command(next_help_heading = "Forecast of a build")]
pub(crate) struct BuildForecastArguments {
    /// Forecast the build on these workers: their number, the cores of each, and the MB/s that each reads and writes:
    /// 8x16,64x16@500. Rests on the speed of the last build of this output.
    #[arg(long, value_name = "WORKERSxCORES[@MB/S]", value_delimiter = ',', value_parser = parse_workers)]
    pub(crate) forecast: Vec<Workers>,
    /// Price of keeping a GB (10⁹ bytes) for a month: the forecast says what the dataset costs.
    #[arg(long, value_name = "PRICE", requires = "forecast", value_parser = parse_price)]
    pub(crate) price_stored: Option<f64>,
    /// Price of moving a GB (10⁹ bytes) from or to storage: the forecast says what a build costs.
    #[arg(long, value_name = "PRICE", requires = "forecast", value_parser = parse_price)]
    pub(crate) price_moved: Option<f64>,
}

fn parse_workers(text: &str) -> Result<Workers, String> {
    let (machines, rate) = text.split_once('@').map_or((text, None), |(machines, rate)| (machines, Some(rate)));
    let number = |text: &str| text.trim().parse::<NonZeroU32>().ok();
    let rate = rate.map(|rate| rate.trim().parse::<f64>().ok().filter(|rate| *rate > 0.0 && rate.is_finite()));
    match (machines.split_once('x').map(|(workers, cores)| (number(workers), number(cores))), rate) {
        (Some((Some(num_workers), Some(cores))), None | Some(Some(_))) => {
            Ok(Workers { num_workers, cores, mb_per_second: rate.flatten() })
        }
        _ => Err("expected numbers of workers and cores, such as 8x16, or 8x16@500 with MB/s".to_owned()),
    }
}

fn parse_price(text: &str) -> Result<f64, String> {
    let price = text.parse::<f64>().ok().filter(|price| *price >= 0.0 && price.is_finite());
    price.ok_or_else(|| "expected a number that is not negative".to_owned())
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
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
}

#[derive(Debug, Args)]
pub(crate) struct PublishingArguments {
    /// Publish although more records were rejected than max_rejects allows, a source delivers nothing, or an annotation file is
    /// incomplete. A dataset that such a build has left is published without making its samples again.
    #[arg(long)]
    pub(crate) accept_rejects: bool,
    /// Replace a dataset of another name at the output.
    #[arg(long)]
    pub(crate) replace: bool,
}

impl PublishingArguments {
    pub(crate) fn options(&self) -> CommitOptions {
        CommitOptions { accepts_rejects: self.accept_rejects, replaces_other_name: self.replace }
    }
}

#[derive(Debug, Clone, Args)]
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
    let expected = || "expected bytes per second, such as 500K, 50M or 1.5G".to_owned();
    let shift = match text.chars().next_back().map(|unit| unit.to_ascii_uppercase()) {
        Some('K') => 10,
        Some('M') => 20,
        Some('G') => 30,
        _ => 0,
    };
    let number = if shift > 0 { text.get(..text.len() - 1).unwrap_or_default() } else { text };
    let number: f64 = number.parse().map_err(|_no_number| expected())?;
    NonZeroU64::new((number * f64::from(1_u32 << shift)) as u64).ok_or_else(expected)
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
pub(crate) struct WhyArguments {
    /// The dataset's directory or URL.
    pub(crate) dataset: PathBuf,
    /// A record id, a prefix of at least 6 hex digits, or an upstream id.
    pub(crate) id: String,
    /// Value of a variable of the pipeline file on this machine, if the dataset was built on another: data=/mnt/data.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The dataset's directory or URL.
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
    /// Directory to create; it must not exist.
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
}

/// How the image of a record that has exactly one is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SingleImageForm {
    /// A list of one path, for LongLLaVA and LLaVA-NeXT.
    List,
    /// A path, for LLaVA-1.5 (with --max-images 1) and LLaVA-NeXT.
    String,
}

fn parse_layout(text: &str) -> Result<Layout, String> {
    let found = Layout::from_text(text);
    found.ok_or_else(|| format!("expected one of {}", Layout::ALL.map(Layout::as_str).join(", ")))
}

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
    /// Value of a variable of the pipeline file on this machine, if the dataset was built on another: data=/mnt/data.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
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

/// Where tasks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    /// In this process, on all cores of this machine.
    Local,
    /// As jobs on a Ray cluster.
    Ray,
    /// As an array of jobs that is submitted to Slurm.
    Slurm,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Engine")]
pub(crate) struct EngineArguments {
    /// Where tasks run. Machines of a cluster must see the pipeline's files and the work directory of the dataset.
    #[arg(long, value_enum, default_value_t = EngineName::Local, value_name = "NAME")]
    pub(crate) engine: EngineName,
    /// Cores of each job on a cluster. Default: 1.
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<NonZeroU32>,
    /// Tasks that a job on a cluster does in one process. Default: 1; with Slurm more if an array of jobs cannot be that long.
    #[arg(long, value_name = "N")]
    pub(crate) tasks_per_job: Option<NonZeroU32>,
    /// Most jobs at the same time. Default: as many as the cluster runs.
    #[arg(long, value_name = "N")]
    pub(crate) most_jobs: Option<NonZeroU32>,
    /// Value of a variable of the pipeline file on the machines of the cluster, if files are elsewhere there: data=/scratch/data.
    /// May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) worker_set: Vec<Override>,
    /// An option of Slurm's sbatch: --sbatch=--partition=cpu. May be repeated.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub(crate) sbatch: Vec<String>,
    /// Address of the Ray cluster. Default: RAY_ADDRESS, or the cluster that this machine belongs to.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Option<String>,
    /// Python with the package ray, in the version of the cluster. Default: python3.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) python: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The plan's directory, as printed by `manyframe plan`.
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
    /// Run nothing: print what would be submitted, the script for sbatch or the driver in Python. Publish with `manyframe commit`.
    #[arg(long, help_heading = "Engine")]
    pub(crate) print: bool,
    #[command(flatten)]
    pub(crate) publishing: PublishingArguments,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, Args)]
pub(crate) struct TaskArguments {
    /// The plan's directory, as printed by `manyframe plan`.
    pub(crate) plan: PathBuf,
    /// Numbers of tasks, from 0, and ranges of them: 7, 0-99, 3,8-11.
    #[arg(value_name = "TASKS")]
    pub(crate) tasks: TaskRanges,
    /// Value of a variable of the pipeline file on this machine, if files are elsewhere than where the plan was made:
    /// data=/scratch/data. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
    /// End when the process that started this one does.
    #[arg(long)]
    pub(crate) with_parent: bool,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, Args)]
pub(crate) struct CommitArguments {
    /// The plan's directory, as printed by `manyframe plan`.
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) publishing: PublishingArguments,
    #[command(flatten)]
    pub(crate) threads: Threads,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn rates_and_positions_are_read() {
        assert_eq!(parse_rate("1.5k").unwrap().get(), 1536);
        assert_eq!(parse_rate("50M").unwrap().get(), 50 << 20);
        assert_eq!(parse_positions("0..64").unwrap(), 0..64);
        for text in ["", "0", "-1", "M", "5X", "1.5kk"] {
            assert!(parse_rate(text).is_err(), "{text:?}");
        }
        for text in ["", "3", "3..3", "4..3", "..", "a..b"] {
            assert!(parse_positions(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
