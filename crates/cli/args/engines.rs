//! Arguments of commands that run tasks, here or on a cluster.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use manyframe_engine::{TaskRanges, Workers};
use manyframe_pipeline::Override;

use super::shared::{Patience, PublishingArguments, Threads};
use super::stores::StoreArguments;

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
    /// Where tasks run. Machines of a cluster must see the pipeline's files, and the work directory of the dataset or its URL.
    #[arg(long, value_enum, default_value_t = EngineName::Local, value_name = "NAME")]
    pub(crate) engine: EngineName,
    /// Cores of each job on a cluster. Default: 1.
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<NonZeroU32>,
    /// GPUs of each job on a cluster that runs a model: those of a validation. Default: none, so that it runs on cores.
    #[arg(long, value_name = "N")]
    pub(crate) gpus: Option<NonZeroU32>,
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
    /// The machines of the cluster share no disk with this one: they find the plan of a dataset that goes to a URL at URL.work,
    /// and leave their reports there. The index is made here.
    #[arg(long)]
    pub(crate) no_shared_disk: bool,
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
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TaskArguments {
    /// The plan's directory, as printed by `manyframe plan`; or, with --no-shared-disk, the URL where it is.
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
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

#[derive(Debug, Args)]
pub(crate) struct CommitArguments {
    /// The plan's directory, as printed by `manyframe plan`.
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) publishing: PublishingArguments,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}
