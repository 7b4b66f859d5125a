//! `manyframe plan`: the budget table of a pipeline file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use manyframe_base::{Executor, FileError, write_atomic};
use manyframe_core::{Cost, Digest, Layout};
use manyframe_pipeline::Pipeline;
use manyframe_plan::{Context, Earlier, MadePlan, Plan};
use manyframe_samplers::sequence_parallel::ClusterForecast;

use super::{contract, pack, stages};
use crate::args::{ForecastArguments, Global, PlanArguments};
use crate::table::{Table, bytes, count};
use crate::{output, progress};

pub(super) fn run(arguments: &PlanArguments, global: &Global) -> Result<ExitCode> {
    let progress = progress::on_stderr(global.quiet);
    let pool = super::thread_pool(&arguments.pipeline.threads)?;
    for stage in stages::of_arguments(&arguments.pipeline)? {
        let pipeline = stages::read(&stage, &arguments.pipeline)?;
        let work = Work::enter(&pipeline, arguments.pipeline.fresh)?;
        let context = Context::open(pipeline)?;
        let made = work.plan(&context, Executor { pool: &pool, progress: progress.as_ref() })?;
        let forecasts = forecasts(&made, &arguments.forecast)?;
        let text = if arguments.json {
            serde_json::to_string_pretty(&json(&made, &forecasts))? + "\n"
        } else {
            render(&made) + &work.estimate(&made.plan, pool.current_num_threads()) + &pack::render_forecasts(&forecasts)
        };
        output::print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// An epoch on the clusters that the arguments name: over packs, or over samples if they are not packed.
fn forecasts(made: &MadePlan, arguments: &ForecastArguments) -> Result<Vec<ClusterForecast>> {
    if arguments.ranks.is_empty() {
        return Ok(Vec::new());
    }
    let sequences = manyframe_plan::read_sequences(&made.plan, &made.directory)?;
    let table = made.plan.pipeline.pack.clone().unwrap_or_default();
    pack::forecasts(&sequences, &table, arguments)
}

const RATE_FILE: &str = "rate.json";
/// Sub-images of photographs from a fast disk, measured once on one core; videos are slower, text is faster.
const ROUGH_RATE: f64 = 8e6;

/// The directory of work in progress, held by one process at a time.
pub(super) struct Work {
    directory: PathBuf,
    earlier: Earlier,
    // Unlocked by the system when the process ends, however it ends.
    _lock: fs::File,
}

impl Work {
    /// Makes the directory `OUTPUT.work` and waits for nobody: a second build of one output is an error.
    pub(super) fn enter(pipeline: &Pipeline, is_fresh: bool) -> Result<Self> {
        let dataset = Path::new(&pipeline.file.output.directory);
        manyframe_engine::refuse_foreign(dataset)?;
        let directory = manyframe_plan::work_directory(dataset);
        fs::create_dir_all(&directory).map_err(FileError::write(&directory))?;
        let lock = fs::File::create(directory.join("lock")).map_err(FileError::write(directory.join("lock")))?;
        lock.try_lock().with_context(|| format!("another build of {} is running", dataset.display()))?;
        if is_fresh {
            for entry in fs::read_dir(&directory)?.filter_map(Result::ok).filter(|entry| entry.path().is_dir()) {
                fs::remove_dir_all(entry.path())
                    .with_context(|| format!("cannot remove {}", entry.path().display()))?;
            }
        }
        let earlier = if is_fresh { Earlier::Ignore } else { Earlier::TakeOver };
        Ok(Self { directory, earlier, _lock: lock })
    }

    /// Makes the plan, or takes the one that an interrupted build left.
    pub(super) fn plan(&self, context: &Context, executor: Executor<'_>) -> Result<MadePlan> {
        Ok(manyframe_plan::make(context, &self.directory, self.earlier, executor)?)
    }

    /// The key of the plan that would be made.
    pub(super) fn plan_key(&self, context: &Context) -> Result<Digest> {
        Ok(manyframe_plan::plan_key(context, &self.directory)?)
    }

    /// Keeps how fast a build went, for the estimates of later plans. A build that made little says little.
    pub(super) fn keep_rate(&self, num_bytes: u64, threads: usize, elapsed: Duration) -> Result<()> {
        const LEAST: Duration = Duration::from_secs(2);
        if elapsed < LEAST {
            return Ok(());
        }
        let bytes_per_thread_second = num_bytes as f64 / (threads as f64 * elapsed.as_secs_f64());
        let path = self.directory.join(RATE_FILE);
        let text = serde_json::json!({ "bytes_per_thread_second": bytes_per_thread_second }).to_string();
        Ok(write_atomic(&path, text.as_bytes())?)
    }

    /// Bytes of shards that a thread makes in a second: of the last build here, or else a rough figure.
    fn rate(&self) -> (f64, &'static str) {
        let known = fs::read(self.directory.join(RATE_FILE)).ok();
        let known = known.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        let known = known.and_then(|rate| rate.get("bytes_per_thread_second")?.as_f64()).filter(|rate| *rate > 0.0);
        known.map_or((ROUGH_RATE, "a rough guess; after a build it is told by that one"), |rate| {
            (rate, "at the speed of the last build")
        })
    }

    /// How long a build will take, roughly.
    fn estimate(&self, plan: &Plan, threads: usize) -> String {
        let num_bytes: u64 = plan.tasks.iter().map(|task| task.estimated_bytes).sum();
        let (rate, why) = self.rate();
        let seconds = (num_bytes as f64 / (rate * threads as f64)).ceil();
        let duration = indicatif::HumanDuration(Duration::from_secs_f64(seconds.clamp(1.0, 1e9)));
        format!("time: about {duration} with {threads} threads ({why})\n")
    }

    /// Removes the plans and finished tasks that a committed build leaves; the index stays for the next one.
    pub(super) fn remove_plans(&self) -> Result<()> {
        for entry in fs::read_dir(&self.directory)?.filter_map(Result::ok) {
            let name = entry.file_name();
            let is_plan = name.to_string_lossy().trim_start_matches('.').starts_with("plan-");
            if is_plan {
                fs::remove_dir_all(entry.path())
                    .with_context(|| format!("cannot remove {}", entry.path().display()))?;
            }
        }
        Ok(())
    }
}

fn json(made: &MadePlan, forecasts: &[ClusterForecast]) -> serde_json::Value {
    let plan = &made.plan;
    serde_json::json!({
        "plan": made.directory,
        "key": plan.key,
        "name": plan.pipeline.name,
        "sources": plan.sources,
        "total": plan.total(),
        "num_tokens": plan.total().cost.num_tokens(),
        "pack": plan.pack,
        "forecast": forecasts,
        "tasks": plan.tasks,
    })
}

/// The tables that `plan` prints.
pub(super) fn render(made: &MadePlan) -> String {
    let plan = &made.plan;
    let mut text = format!("{}\n\n{}", plan.pipeline.name, contract::of_plan(plan));
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for source in &plan.sources {
        for (code, number) in &source.rejected {
            reasons.entry(code.as_str()).or_default().push(format!("{} {}", source.name, count(*number)));
        }
    }
    if !reasons.is_empty() {
        let mut table = Table::new(&["rejected because", "where"]);
        for (reason, sources) in reasons {
            table.push(vec![reason.to_owned(), sources.join(", ")]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    text.push_str(&format!("\n{}", shards_table(plan).render()));
    if let Some(summary) = &plan.pack {
        text.push_str(&format!("\n{}", pack::render(summary)));
    }
    let num_tasks = plan.tasks.len();
    let tasks = match num_tasks {
        0 => "nothing to build".to_owned(),
        1 => "1 task: 0".to_owned(),
        _ => format!("{num_tasks} tasks: 0 to {}", num_tasks - 1),
    };
    text.push_str(&format!("\nplan: {} ({tasks})\n", made.directory.display()));
    text
}

fn shards_table(plan: &Plan) -> Table {
    let mut table = Table::new(&[
        "shards",
        "number",
        "samples",
        "tokens",
        "of text",
        "delimiters",
        "visual",
        "images",
        "bytes, about",
    ]);
    let formats = plan.pipeline.output.formats.len() as u64;
    for layout in Layout::ALL.into_iter().map(Some).chain([None]) {
        let tasks = plan.tasks.iter().filter(|task| task.layout == layout).collect::<Vec<_>>();
        if tasks.is_empty() {
            continue;
        }
        let mut cost = Cost::default();
        for task in &tasks {
            cost += task.cost;
        }
        let name = layout.map_or("mixed", Layout::as_str);
        let num_samples = tasks.iter().map(|task| task.num_samples).sum();
        let num_bytes: u64 = tasks.iter().map(|task| task.estimated_bytes).sum();
        let mut cells = vec![name.to_owned()];
        cells.extend([tasks.len() as u64 * formats, num_samples].map(count));
        // Delimiters are text, and told apart here.
        let text_tokens = cost.text_tokens - cost.delimiter_tokens;
        cells.extend(
            [cost.num_tokens(), text_tokens, cost.delimiter_tokens, cost.visual_tokens, cost.num_images].map(count),
        );
        cells.push(bytes(num_bytes * formats));
        table.push(cells);
    }
    table
}
