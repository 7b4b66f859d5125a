//! Plans a dataset once more from its sources, and compares what follows from that with the ledger and the manifest.
//!
//! ```text
//! pipeline of the manifest ─ plan, in a scratch directory ─▶ records, decisions, budgets ┐
//! each planned sample ─ make ─▶ a sample, or a rejection ────────────────────────────────┴─▶ ledger, sources
//!                                  └── compared with the one in the shard
//! ```
//!
//! Whatever is stored is covered, also what is added to samples, ledger or sources later: all of it is made again by the
//! code that a build runs, and rows are compared whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use manyframe_base::files::{parent_directory, work_directory};
use manyframe_base::in_flight::InFlight;
use manyframe_base::{Executor, StagedDirectory, memory_bytes};
use manyframe_core::{HandledImages, HandledVideos, RecordId, RejectCode, Rejection, Sample, describe_videos};
use manyframe_dataset::{
    DatasetError, DatasetReader, DecontaminationSummary, LEDGER_FILE, LedgerRow, NeedlesEntry, ShardName,
    SourceSummary, read_ledger,
};
use manyframe_plan::{Context, LeftByPlan, MadePlan, Plan, PlanRequest, PlannedSample, Reuse, Verdict, read_task};
use manyframe_shards::ShardNotes;
use manyframe_storage::Stores;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::account::{summary_of_decontamination, write_ledger};
use crate::commit::name_shards;
use crate::error::{EngineError, with_causes};
use crate::local_place::local_place;
use crate::needles::NeedleLines;
use crate::open_plan::OpenPlan;
use crate::report::{OutcomeResult, RecordOutcome, ShardReport, TaskReport};
use crate::sample::{self, Made};
use crate::verify::account::Account;
use crate::verify::findings::{Findings, differences};
use crate::verify::options::{VerifyOptions, Watch};

/// A plan of the dataset from its sources as they are now.
pub(super) struct Replanned {
    open: OpenPlan,
    /// The directory that the plan is in.
    scratch: PathBuf,
    /// That directory, if it is removed with this.
    temporary: Option<StagedDirectory>,
    /// Whether annotations or media are others than when the dataset was built.
    pub(super) changed_since_build: bool,
    /// What the ledger says of the samples that were made again.
    made: Mutex<FxHashMap<RecordId, Told>>,
}

/// What the ledger says of a sample in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    damage: Option<String>,
    videos: Option<String>,
}

impl Replanned {
    /// Plans the dataset again, in a directory that stays or in one of its own. The error says why that is not possible here.
    pub(super) fn make(
        dataset: &DatasetReader,
        options: &VerifyOptions,
        kept: Option<&Path>,
        executor: Executor<'_>,
    ) -> Result<Self, String> {
        if options.skips_sources {
            return Err("they were left out".to_owned());
        }
        let beside = || StagedDirectory::scratch(&work_directory(&local_place(dataset)).join("verify"));
        let temporary = if kept.is_none() { Some(beside().map_err(|error| with_causes(&error))?) } else { None };
        let scratch = temporary.as_ref().map(StagedDirectory::path).or(kept).map(Path::to_owned).unwrap_or_default();
        let mut context = open_context(dataset, &options.variables, &options.stores)?;
        if let Some(Watch { in_flight, verdicts }) = &options.watch {
            let watched = manyframe_plan::watch(&mut context, Arc::clone(in_flight), verdicts);
            watched.map_err(|error| with_causes(&error))?;
        }
        let left_by = |_: &Path| LeftByPlan::default();
        let request = PlanRequest { work: &scratch, reuse: Reuse::Nothing, left_by, memory_bytes: memory_bytes() };
        let made = manyframe_plan::make_index(&context, &scratch, executor)
            .and_then(|index| manyframe_plan::make(&context, &index, request, executor));
        let MadePlan { plan, directory } = made.map_err(|error| with_causes(&error))?;
        let inputs = dataset.build_facts().ok().flatten().and_then(|facts| facts.inputs_digest);
        let changed_since_build = inputs.is_some_and(|inputs| plan.inputs != Some(inputs));
        let open = OpenPlan { context, plan, directory, is_elsewhere: false, store: None };
        Ok(Self { open, scratch, temporary, changed_since_build, made: Mutex::default() })
    }

    /// Opens a plan that another machine made of the dataset.
    pub(super) fn open(
        dataset: &DatasetReader,
        variables: &BTreeMap<String, String>,
        stores: &Stores,
        directory: &Path,
    ) -> Result<Self, EngineError> {
        let plan = Plan::read(directory)?;
        let not_here = |detail| EngineError::SourcesNotHere { path: dataset.location().to_owned(), detail };
        let context = open_context(dataset, variables, stores).map_err(not_here)?;
        let open = OpenPlan { context, plan, directory: directory.to_owned(), is_elsewhere: true, store: None };
        let scratch = parent_directory(directory).to_owned();
        Ok(Self { open, scratch, temporary: None, changed_since_build: false, made: Mutex::default() })
    }

    /// As [`crate::Build::watch`].
    pub(super) fn watch(&mut self, in_flight: Arc<InFlight>, verdicts: &[Verdict]) -> Result<(), EngineError> {
        Ok(manyframe_plan::watch(&mut self.open.context, in_flight, verdicts)?)
    }

    /// The name of the directory of its plan.
    pub(super) fn plan_name(&self) -> String {
        self.open.directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The task that each shard was written by.
    pub(super) fn tasks_by_shard(&self, account: &Account) -> Result<BTreeMap<ShardName, u32>, EngineError> {
        let mut reports = Vec::new();
        for task in 0..self.open.plan.tasks.len() as u32 {
            let planned = read_task(&self.open.directory, task)?;
            let is_written = planned.iter().any(|planned| account.delivered.contains_key(&planned.id()));
            reports.push(self.empty_report(task, is_written));
        }
        let named = name_shards(reports).into_iter();
        Ok(named.filter_map(|task| Some((task.shard?, task.report.id))).collect())
    }

    /// The planned samples of a task.
    pub(super) fn samples(&self, task: u32) -> Result<FxHashMap<RecordId, PlannedSample>, EngineError> {
        let planned = read_task(&self.open.directory, task)?.into_iter();
        Ok(planned.map(|planned| (planned.id(), planned)).collect())
    }

    /// Keeps what the sources say of a sample in words.
    pub(super) fn keep(&self, id: RecordId, told: Told) {
        self.made().insert(id, told);
    }

    /// Where a sample differs from the one that its record leads to, and what the sources say of it in words.
    ///
    /// # Errors
    ///
    /// [`EngineError::MediumNotHere`] if a medium of it is not on this machine, and another one planned.
    pub(super) fn compare_sample(
        &self,
        sample: &Sample,
        planned: &FxHashMap<RecordId, PlannedSample>,
    ) -> Result<(Vec<String>, Option<Told>), EngineError> {
        let only = |fault: String| Ok((vec![fault], None));
        let Some(planned) = planned.get(&sample.id) else { return only("its sources do not lead to it".to_owned()) };
        match sample::make(&self.open.context, planned, None) {
            Ok(Ok(Made { sample: expected, damage, .. })) => {
                let is_told = self.open.context.delivers_clips();
                let videos = is_told.then(|| describe_videos(&expected.visuals)).flatten();
                let told = (damage.is_some() || videos.is_some()).then_some(Told { damage, videos });
                Ok((Self::faults(sample, expected), told))
            }
            Ok(Err(rejection)) if self.open.is_elsewhere && rejection.code == RejectCode::MediaMissing => {
                Err(EngineError::MediumNotHere { id: planned.id().to_string(), detail: rejection.detail })
            }
            Ok(Err(rejection)) => only(format!("its record is rejected now: {rejection}")),
            Err(error) => only(format!("its record cannot be read again: {}", with_causes(&error))),
        }
    }

    fn faults(sample: &Sample, mut expected: Sample) -> Vec<String> {
        // Not every format holds them.
        expected.tokens = expected.tokens.filter(|_| sample.tokens.is_some());
        let names = differences!(
            sample,
            &expected,
            Sample {
                id,
                source,
                subset,
                upstream_id,
                layout,
                messages,
                prompt,
                label_spans,
                tokens,
                cost,
                images,
                clips,
                visuals,
                origin,
            }
        );
        if names.is_empty() {
            return Vec::new();
        }
        vec![format!("{} differ from what its record leads to", names.join(", "))]
    }

    /// Compares the ledger with the one that the sources lead to. Returns what the manifest has to say of each source;
    /// `None` if the records are others.
    pub(super) fn compare(
        &self,
        dataset: &DatasetReader,
        account: &Account,
        findings: &mut Findings,
    ) -> Result<Option<Vec<SourceSummary>>, EngineError> {
        let mut reports = Vec::new();
        for task in 0..self.open.plan.tasks.len() as u32 {
            reports.push(self.report(task, account, findings)?);
        }
        let path = self.scratch.join(LEDGER_FILE);
        let sources = match write_ledger(&self.open, &name_shards(reports), &path) {
            Ok(sources) => sources,
            Err(error @ EngineError::Unaccounted { .. }) => {
                findings.problem(format!("the sources lead to other records: {}", with_causes(&error)));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let Ok(found) = dataset.ledger() else { return Ok(Some(sources)) };
        let mut found = found.map_while(Result::ok);
        let mut expected = read_ledger(&path)?;
        loop {
            match (found.next(), expected.next().transpose()?) {
                (Some(found), Some(expected)) => compare_rows(&found, expected, findings),
                (None, None) => return Ok(Some(sources)),
                (Some(row), None) => findings.problem(format!("ledger: record {} is not in its source", row.id)),
                (None, Some(row)) => {
                    findings.problem(format!("ledger: record {} of source {:?} has no row", row.id, row.source));
                }
            }
        }
    }

    /// What the manifest has to say of decontamination.
    pub(super) fn decontamination(&self) -> Option<DecontaminationSummary> {
        summary_of_decontamination(&self.open.plan)
    }

    /// What the manifest has to say of the questions about needles, made again.
    pub(super) fn needles(
        &self,
        ledger: impl Iterator<Item = Result<LedgerRow, DatasetError>>,
    ) -> Result<Option<NeedlesEntry>, EngineError> {
        Ok(NeedleLines::of(&self.open.context, ledger)?.map(|lines| lines.entry))
    }

    /// What the task reported, by the samples of the dataset. A sample that was not delivered is made again for the reason.
    fn report(&self, task: u32, account: &Account, findings: &mut Findings) -> Result<TaskReport, EngineError> {
        let planned = read_task(&self.open.directory, task)?;
        let is_written = planned.iter().any(|planned| account.delivered.contains_key(&planned.id()));
        let mut report = self.empty_report(task, is_written);
        for planned in planned {
            let (record, repetition, id, position) =
                (planned.record, planned.repetition, planned.id(), planned.position);
            let result = match account.delivered.get(&id) {
                Some(row) => {
                    let Told { damage, videos } = self.made().get(&id).cloned().unwrap_or_default();
                    OutcomeResult::Delivered {
                        cost: row.cost,
                        layout: row.layout,
                        tokens_per_visual: Vec::new(),
                        damage,
                        videos,
                    }
                }
                None => OutcomeResult::Rejected(self.rejection(&planned, findings)?),
            };
            report.outcomes.push(RecordOutcome { record, repetition, id, position, result });
        }
        Ok(report)
    }

    fn made(&self) -> MutexGuard<'_, FxHashMap<RecordId, Told>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn empty_report(&self, task: u32, is_written: bool) -> TaskReport {
        let OpenPlan { context, plan, .. } = &self.open;
        let layout = plan.tasks.get(task as usize).and_then(|task| task.layout);
        let shard = |&format| ShardReport {
            format,
            num_samples: 0,
            num_bytes: 0,
            digest: plan.key,
            notes: ShardNotes::default(),
        };
        let shards = context.pipeline.file.output.formats.iter().filter(|_| is_written).map(shard).collect();
        TaskReport {
            id: task,
            layout,
            shards,
            outcomes: Vec::new(),
            num_reused: 0,
            images: HandledImages::default(),
            videos: HandledVideos::default(),
        }
    }

    fn rejection(&self, planned: &PlannedSample, findings: &mut Findings) -> Result<Rejection, EngineError> {
        if let Err(rejection) = sample::make(&self.open.context, planned, None)? {
            return Ok(rejection);
        }
        findings.problem(format!("ledger: record {} is not delivered, and could be", planned.id()));
        Ok(Rejection::new(RejectCode::MediaCorrupt, "it could be delivered"))
    }

    /// Removes the plan, and the work directory if there is nothing else in it.
    pub(super) fn remove(self) {
        let Some(temporary) = self.temporary else { return };
        drop(temporary);
        let parent = parent_directory(&self.scratch);
        // It may be the temporary directory of the system.
        if parent.extension().is_some_and(|extension| extension == "work") {
            _ = fs::remove_dir(parent);
        }
    }
}

/// The sources of a dataset, as its build opened them. The error says why that is not possible here.
pub(super) fn open_context(
    dataset: &DatasetReader,
    variables: &BTreeMap<String, String>,
    stores: &Stores,
) -> Result<Context, String> {
    let mut pipeline = dataset.pipeline(variables).map_err(|error| with_causes(&error))?;
    pipeline.stores = stores.clone();
    // Beside the dataset is the list of what decoders did not survive, which they need not try again.
    pipeline.file.output.directory = local_place(dataset).display().to_string();
    Context::open(pipeline).map_err(|error| with_causes(&error))
}

/// What sources that changed since the build leave unchecked; nothing if they still lead to this dataset.
pub(super) fn unchecked(differences: Findings) -> Option<String> {
    const MOST_EXAMPLES: usize = 3;
    let number = differences.num_problems();
    if number == 0 {
        return None;
    }
    let examples: Vec<String> = differences.into_problems().into_iter().take(MOST_EXAMPLES).collect();
    Some(format!(
        "records, samples and outcomes, by the sources: the sources have changed since the build, and lead to something \
         else now ({number} differences, such as: {})",
        examples.join("; ")
    ))
}

fn compare_rows(found: &LedgerRow, expected: LedgerRow, findings: &mut Findings) {
    // What rows say of shards and samples was compared with these.
    let (shard_bytes, tokens_per_visual) = (found.shard_bytes.clone(), found.tokens_per_visual.clone());
    let expected = LedgerRow { shard_bytes, tokens_per_visual, ..expected };
    let names = differences!(
        found,
        &expected,
        LedgerRow {
            id,
            source,
            subset,
            upstream_id,
            status,
            reason,
            detail,
            duplicate_of,
            shortened,
            damage,
            videos,
            repetition,
            shard,
            shard_row,
            shard_bytes,
            position,
            num_turns,
            measured,
            tokens_per_visual,
            origin,
        }
    );
    if !names.is_empty() {
        findings.problem(format!(
            "ledger: record {}: {} differ from what its source leads to",
            found.id,
            names.join(", ")
        ));
    }
}
