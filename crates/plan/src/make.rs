//! Makes a plan: index, duplicates, draw, shuffle, cut, and the files that a worker needs.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use manyframe_core::{Cost, Digest, IndexRow, Layout, Origin, RejectCode};
use manyframe_samplers::{CutLimits, cut, draw, make_ids_unique, shuffle};

use crate::index::{self, Entry, IndexFile, read_entries};
use crate::pipeline::{DuplicateRule, ShardSplit, Take};
use crate::plan::{PLAN_VERSION, Plan, PlannedSample, SourceBudget, TaskHeader, records_path, task_path};
use crate::records::{Decision, PlannedRecord, RecordWriter};
use crate::{Context, Observer, PlanError, duplicates};

/// A plan and the directory that holds it.
#[derive(Debug, Clone)]
pub struct MadePlan {
    /// The plan.
    pub plan: Plan,
    /// Its directory.
    pub directory: PathBuf,
}

/// Makes the plan of an opened pipeline below a work directory, or takes the one that is there already.
///
/// Index files are kept in `WORK/index`, the plan in `WORK/plan-KEY`. Nothing but these is written.
pub fn make(
    context: &Context,
    work: &Path,
    pool: &rayon::ThreadPool,
    observer: &dyn Observer,
) -> Result<MadePlan, PlanError> {
    let key = index::plan_key(context)?;
    let directory = work.join(format!("plan-{}", key.to_string().get(..16).unwrap_or_default()));
    if directory.join("plan.json").exists() {
        return Ok(MadePlan { plan: Plan::read(&directory)?, directory });
    }
    let files = index::build(context, &work.join("index"), pool, observer)?;
    let mut rows = Rows::read(context, &files)?;
    let decisions = decide(context, &mut rows, pool, observer)?;
    let plan = plan_from_decisions(context, key, &rows, &decisions);

    // A plan appears at once and whole: it is written beside its place and then renamed.
    let temporary = work.join(format!(".plan-{}", std::process::id()));
    let write_error = |path: &Path, source| PlanError::Write { path: path.to_owned(), source };
    if temporary.exists() {
        std::fs::remove_dir_all(&temporary).map_err(|error| write_error(&temporary, error))?;
    }
    std::fs::create_dir_all(temporary.join("tasks")).map_err(|error| write_error(&temporary, error))?;
    write_records(&temporary, &files, &rows, &decisions)?;
    write_tasks(&temporary, &plan, &rows, &decisions)?;
    let text = serde_json::to_vec_pretty(&plan)
        .map_err(|error| PlanError::Damaged { path: temporary.clone(), detail: error.to_string() })?;
    write_whole(&temporary.join("plan.json"), &text)?;
    std::fs::rename(&temporary, &directory).map_err(|error| write_error(&directory, error))?;
    Ok(MadePlan { plan, directory })
}

/// The rows of all sources, and where each one's record stands.
pub(crate) struct Rows {
    pub(crate) index: Vec<IndexRow>,
    /// Per row: position among all records seen, and origin.
    pub(crate) places: Vec<(u64, Origin)>,
    budgets: Vec<SourceBudget>,
}

impl Rows {
    fn read(context: &Context, files: &[IndexFile]) -> Result<Self, PlanError> {
        let budget = |open: &crate::OpenSource| SourceBudget {
            name: open.table.name.clone(),
            kind: open.table.kind.as_str().to_owned(),
            asked: open.table.take,
            ..SourceBudget::default()
        };
        let mut all =
            Self { index: Vec::new(), places: Vec::new(), budgets: context.sources.iter().map(budget).collect() };
        let mut record = 0;
        for_each_entry(files, |source, entry| {
            let Some(budget) = all.budgets.get_mut(source as usize) else { return Ok(()) };
            budget.num_seen += 1;
            match entry.outcome {
                Ok(row) => {
                    all.index.push(row);
                    all.places.push((record, entry.origin));
                }
                Err((code, _)) => *budget.rejected.entry(code).or_insert(0) += 1,
            }
            record += 1;
            Ok(())
        })?;
        make_ids_unique(&mut all.index);
        Ok(all)
    }
}

fn for_each_entry(
    files: &[IndexFile],
    mut visit: impl FnMut(u32, Entry) -> Result<(), PlanError>,
) -> Result<(), PlanError> {
    for file in files {
        let index_error = |error| PlanError::Index { path: file.path.clone(), error };
        for entry in read_entries(&file.path, file.source).map_err(index_error)? {
            visit(file.source, entry.map_err(index_error)?)?;
        }
    }
    Ok(())
}

/// What was decided about each row, and the shuffled rows of each task.
struct Decisions {
    of_row: Vec<Decision>,
    tasks: Vec<(Option<Layout>, Vec<usize>)>,
}

fn decide(
    context: &Context,
    all: &mut Rows,
    pool: &rayon::ThreadPool,
    observer: &dyn Observer,
) -> Result<Decisions, PlanError> {
    let file = &context.pipeline.file;
    let mut of_row = vec![Decision::NotDrawn; all.index.len()];
    for (row, decision) in all.index.iter().zip(&mut of_row) {
        if let Some((code, detail)) = left_out(context, row) {
            *decision = Decision::Rejected(code, detail);
        }
    }
    if file.duplicates.remove == DuplicateRule::Exact {
        let eligible = positions_not_drawn(&of_row);
        for duplicate in duplicates::find(context, all, &eligible, pool, observer)? {
            if let (Some(decision), Some(kept)) = (of_row.get_mut(duplicate.row), all.index.get(duplicate.kept)) {
                *decision = Decision::Duplicate(kept.id);
            }
        }
    }
    let mut drawn = Vec::new();
    let eligible = positions_not_drawn(&of_row);
    for (number, source) in context.sources.iter().enumerate() {
        let is_of_source = |row: &IndexRow| row.source as usize == number;
        let of_source = eligible.iter().copied().filter(|&at| all.index.get(at).is_some_and(is_of_source));
        let of_source: Vec<usize> = of_source.collect();
        let take = if let Take::Count(count) = source.table.take { Some(count) } else { None };
        drawn.extend(draw(&all.index, &of_source, take, file.seed));
    }
    let ordered = shuffle(&all.index, &drawn, file.seed);
    let groups: Vec<(Option<Layout>, Vec<usize>)> = match file.output.shards {
        ShardSplit::Mixed => vec![(None, ordered)],
        ShardSplit::ByLayout => {
            let of_layout = |layout| {
                let has_layout = |at: &usize| all.index.get(*at).is_some_and(|row| row.layout == layout);
                (Some(layout), ordered.iter().copied().filter(has_layout).collect())
            };
            Layout::ALL.map(of_layout).into()
        }
    };
    let limits = CutLimits {
        max_samples: NonZeroU64::new(file.output.max_shard_samples).unwrap_or(NonZeroU64::MIN),
        max_bytes: NonZeroU64::new(file.output.max_shard_mib << 20).unwrap_or(NonZeroU64::MIN),
    };
    let mut tasks = Vec::new();
    for (layout, ordered) in groups {
        for run in cut(&all.index, &ordered, limits) {
            let samples = ordered.get(run).unwrap_or_default().to_vec();
            for &at in &samples {
                if let Some(decision) = of_row.get_mut(at) {
                    *decision = Decision::Drawn(tasks.len() as u32);
                }
            }
            tasks.push((layout, samples));
        }
    }
    Ok(Decisions { of_row, tasks })
}

fn positions_not_drawn(of_row: &[Decision]) -> Vec<usize> {
    let undecided = of_row.iter().enumerate().filter(|(_, decision)| **decision == Decision::NotDrawn);
    undecided.map(|(at, _)| at).collect()
}

fn left_out(context: &Context, row: &IndexRow) -> Option<(RejectCode, String)> {
    let max_tokens = context.pipeline.file.format.max_tokens;
    let num_tokens = row.cost.num_tokens();
    if num_tokens > max_tokens {
        return Some((RejectCode::TooLong, format!("{num_tokens} tokens, at most {max_tokens} fit")));
    }
    context.sources.get(row.source as usize)?.table.filter.missed_bound(row)
}

fn plan_from_decisions(context: &Context, key: Digest, all: &Rows, decisions: &Decisions) -> Plan {
    let mut sources = all.budgets.clone();
    for (row, decision) in all.index.iter().zip(&decisions.of_row) {
        let Some(budget) = sources.get_mut(row.source as usize) else { continue };
        match decision {
            Decision::Rejected(code, _) => *budget.rejected.entry(*code).or_insert(0) += 1,
            Decision::Duplicate(_) => budget.num_duplicates += 1,
            Decision::NotDrawn => budget.num_available += 1,
            Decision::Drawn(_) => {
                budget.num_available += 1;
                budget.num_drawn += 1;
                budget.cost += row.cost;
                budget.estimated_bytes += row.estimated_bytes;
            }
        }
    }
    let header = |(id, (layout, samples)): (usize, &(Option<Layout>, Vec<usize>))| {
        let mut header =
            TaskHeader { id: id as u32, layout: *layout, num_samples: 0, cost: Cost::default(), estimated_bytes: 0 };
        for row in samples.iter().filter_map(|&at| all.index.get(at)) {
            header.num_samples += 1;
            header.cost += row.cost;
            header.estimated_bytes += row.estimated_bytes;
        }
        header
    };
    Plan {
        version: PLAN_VERSION,
        key,
        pipeline: context.pipeline.file.clone(),
        variables: context.pipeline.variables.clone(),
        tokenizer_digest: context.tokenizer_digest,
        sources,
        tasks: decisions.tasks.iter().enumerate().map(header).collect(),
    }
}

fn write_records(directory: &Path, files: &[IndexFile], all: &Rows, decisions: &Decisions) -> Result<(), PlanError> {
    let mut writer = RecordWriter::create(&records_path(directory))?;
    let mut readable = all.index.iter().zip(&decisions.of_row);
    for_each_entry(files, |source, entry| {
        let (id, measured, decision) = if let Err((code, detail)) = entry.outcome {
            (entry.id, None, Decision::Rejected(code, detail))
        } else {
            let Some((row, decision)) = readable.next() else { return Ok(()) };
            (row.id, Some((row.cost, row.layout)), decision.clone())
        };
        let Entry { subset, upstream_id, origin, .. } = entry;
        writer.write(PlannedRecord { id, source, subset, upstream_id, origin, measured, decision })
    })?;
    writer.finish()
}

fn write_tasks(directory: &Path, plan: &Plan, all: &Rows, decisions: &Decisions) -> Result<(), PlanError> {
    for (header, (_, samples)) in plan.tasks.iter().zip(&decisions.tasks) {
        let path = task_path(directory, header.id);
        let write_error = |source| PlanError::Write { path: path.clone(), source };
        let mut file = BufWriter::new(File::create(&path).map_err(write_error)?);
        for &at in samples {
            let (Some(row), Some((record, origin))) = (all.index.get(at), all.places.get(at)) else { continue };
            let sample = PlannedSample {
                record: *record,
                id: row.id,
                source: row.source,
                origin: origin.clone(),
                cost: row.cost,
            };
            serde_json::to_writer(&mut file, &sample).map_err(|error| write_error(error.into()))?;
            file.write_all(b"\n").map_err(write_error)?;
        }
        file.into_inner().map_err(|error| write_error(error.into_error()))?.sync_all().map_err(write_error)?;
    }
    Ok(())
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), PlanError> {
    let write_error = |source| PlanError::Write { path: path.to_owned(), source };
    let mut file = File::create(path).map_err(write_error)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(write_error)
}
