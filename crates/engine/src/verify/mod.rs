//! Reads a dataset back, and computes again whatever its files state.
//!
//! ```text
//! samples ─ decode images, format, tokenize ─▶ costs, spans, ids, labels      compared with the samples
//!    └─ costs, places ─▶ ledger rows, totals of shards                        compared with ledger and manifest
//!    └─ written again ─▶ digests                                             compared with those of the shards
//! ledger ─ pack ─▶ packs and what they cost                                   compared with pack index and manifest
//! sources ─ plan, make ─▶ records, decisions, budgets, samples                compared with all of these
//! ```
//!
//! What cannot be compared on this machine is said; it is no problem of the dataset, but neither is the dataset verified.
//! That holds for sources that changed since the build, too: what they lead to now says nothing about the dataset.

mod account;
pub(crate) mod export;
mod files;
mod findings;
mod guard;
mod needles;
mod options;
mod packs;
mod sample;
mod shard;
mod sources;
pub(crate) mod tasks;
pub(crate) mod tokens;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use manyframe_base::files::{parent_directory, work_directory};
use manyframe_base::{Executor, FileAction, FileError, Step};
use manyframe_core::{Digest, Total};
use manyframe_dataset::{
    BUILD_FACTS_FILE, BuildFacts, DatasetReader, DecontaminationSummary, LedgerEntry, MANIFEST_FILE, Manifest,
    NeedlesEntry, NotesByShard, PackEntry, ShardEntry, SourceSummary,
};
use manyframe_pipeline::PipelineFile;
use manyframe_shards::ShardFormat;
use schemars::JsonSchema;
use serde::Serialize;

use crate::current::check_current;
use crate::engine::Engine;
use crate::error::{EngineError, with_causes};
use account::Account;
use files::{Bytes, check_unnamed};
use findings::Findings;
use guard::CheckGuard;
use needles::check_needles;
use packs::check_packs;
use shard::{ExaminedSample, ExaminedShard, Examiner, WrittenAgain};
use sources::Replanned;
use tasks::{VerifyOrder, VerifyTasks};
use tokens::TokenCheck;

pub use guard::repeat_check;
pub use options::{VerifyOptions, Watch};

/// What reading a dataset back showed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verification {
    /// Everything that is wrong; empty if nothing is.
    pub problems: Vec<String>,
    /// What could not be checked, and why, such as a missing tokenizer. The dataset is verified only if this is empty, too.
    pub unchecked: Vec<String>,
    /// Files in the dataset's directory that are none of its own. No reader of shards takes them, so that they are no problem.
    pub unnamed: Vec<String>,
    /// Files of shards read.
    pub num_shards: u64,
    /// Samples read; one that several formats hold counts once.
    pub num_samples: u64,
    /// Their images, all of which were decoded.
    pub num_images: u64,
    /// Samples whose prompts were formatted and tokenized again.
    pub num_tokenized: u64,
    /// Records in the ledger.
    pub num_records: u64,
    /// Files of an export that were compared with the list beside them. The other numbers are those of datasets.
    pub num_files: u64,
}

/// Machines that examine the shards of a dataset.
#[derive(Clone, Copy)]
pub struct VerifyOn<'a> {
    /// Runs the tasks.
    pub engine: &'a dyn Engine,
    /// A directory that all of them see; by default, one beside a dataset that is in a directory.
    pub directory: Option<&'a Path>,
}

/// Reads everything in a dataset and collects what is wrong.
///
/// # Errors
///
/// [`EngineError::Dataset`] on a storage error.
pub fn verify(
    dataset: &DatasetReader,
    options: &VerifyOptions,
    executor: Executor<'_>,
) -> Result<Verification, EngineError> {
    verify_in(dataset, options, None, executor)
}

/// As [`verify`]; the shards are examined by other machines, as tasks. If it is interrupted, it goes on with those that are left.
///
/// # Errors
///
/// Those of [`verify`] and of the engine, and [`EngineError::NoSharedDirectory`].
pub fn verify_on(
    dataset: &DatasetReader,
    options: &VerifyOptions,
    on: VerifyOn<'_>,
    executor: Executor<'_>,
) -> Result<Verification, EngineError> {
    let beside = || {
        let is_here = dataset.storage().local_path(MANIFEST_FILE).is_ok();
        is_here.then(|| work_directory(dataset.location()).join("verify-tasks"))
    };
    let no_directory = || EngineError::NoSharedDirectory { path: dataset.location().to_owned() };
    let directory = on.directory.map(Path::to_owned).or_else(beside).ok_or_else(no_directory)?;
    fs::create_dir_all(&directory).map_err(FileError::write(&directory))?;
    let found = verify_in(dataset, options, Some((on.engine, &directory)), executor)?;
    fs::remove_dir_all(&directory).map_err(FileError::when(FileAction::Remove, &directory))?;
    // Work of a build may be in it.
    _ = fs::remove_dir(parent_directory(&directory));
    Ok(found)
}

fn verify_in(
    dataset: &DatasetReader,
    options: &VerifyOptions,
    on: Option<(&dyn Engine, &Path)>,
    executor: Executor<'_>,
) -> Result<Verification, EngineError> {
    let found = find(dataset, options, on, executor);
    // What is missing or differs is then no fault of either dataset.
    check_current(dataset)?;
    found
}

fn find(
    dataset: &DatasetReader,
    options: &VerifyOptions,
    on: Option<(&dyn Engine, &Path)>,
    executor: Executor<'_>,
) -> Result<Verification, EngineError> {
    let file = dataset.manifest().pipeline_with(&BTreeMap::new())?.file;
    let mut findings = Findings::default();
    let mut found = Verification::default();
    let bytes = Bytes::of(dataset);
    let account = Account::read(dataset, &bytes, &mut findings)?;
    found.num_records = account.num_records;
    let tokens = TokenCheck::open(dataset, &file, &options.variables);
    if let Some(obstacle) = tokens.obstacle() {
        found.unchecked.push(format!("texts and tokens of the samples: {obstacle}"));
    }
    let replanned = Replanned::make(dataset, options, on.map(|(_, directory)| directory), executor);
    if let Err(obstacle) = &replanned {
        found.unchecked.push(format!("records, samples and outcomes, by the sources: {obstacle}"));
    }
    let replanned = replanned.ok();
    let of_plan = tasks_of_shards(dataset, replanned.as_ref(), &account)?;
    executor.progress.start(Step::Verify, dataset.manifest().shards.iter().map(|shard| shard.num_bytes).sum());
    let examined = if let Some((engine, directory)) = on {
        let order = VerifyOrder::of(dataset, options, (replanned.as_ref(), of_plan), (&tokens, account.is_complete));
        order.write(directory)?;
        let tasks = VerifyTasks::open(directory, &BTreeMap::new(), &options.stores)?;
        tasks.run_on(engine, executor)?;
        Shards::Elsewhere(Box::new(tasks))
    } else {
        let guard = CheckGuard::new(options.watch.as_ref(), &file.limits);
        let (replanned, is_complete) = (replanned.as_ref(), account.is_complete);
        Shards::Here(Examiner { dataset, tokens: &tokens, guard, replanned, is_complete }, of_plan)
    };
    let mut verifier = Verifier {
        dataset,
        account,
        tokens: &tokens,
        bytes: &bytes,
        replanned: replanned.as_ref(),
        findings,
        by_sources: Findings::default(),
        found,
        shards: Vec::new(),
        notes: NotesByShard::new(),
    };
    let checked = verifier.check(&file, &examined, executor);
    let mut found = verifier.conclude();
    if let Some(replanned) = replanned {
        replanned.remove();
    }
    checked?;
    found.unchecked.extend(bytes.unchecked());
    Ok(found)
}

/// The task of the plan that wrote each shard, where it is known.
fn tasks_of_shards(
    dataset: &DatasetReader,
    replanned: Option<&Replanned>,
    account: &Account,
) -> Result<Vec<Option<u32>>, EngineError> {
    let by_shard = replanned.map(|replanned| replanned.tasks_by_shard(account)).transpose()?;
    let task_of = |shard: &ShardEntry| by_shard.as_ref().and_then(|tasks| tasks.get(&shard.path.name).copied());
    Ok(dataset.manifest().shards.iter().map(task_of).collect())
}

/// What the files of shards show.
enum Shards<'a> {
    /// They are read on this machine; and the task of the plan that wrote each.
    Here(Examiner<'a>, Vec<Option<u32>>),
    /// Others have read them.
    Elsewhere(Box<VerifyTasks>),
}

impl Shards<'_> {
    fn of(&self, number: usize, shard: &ShardEntry, executor: Executor<'_>) -> Result<ExaminedShard, EngineError> {
        match self {
            Self::Here(examiner, of_plan) => {
                let found = examiner.examine(shard, of_plan.get(number).copied().flatten(), executor)?;
                executor.progress.advance(shard.total.num_samples, shard.num_bytes);
                Ok(found)
            }
            Self::Elsewhere(tasks) => tasks.examined(number as u32),
        }
    }
}

/// Compares the files of a dataset with one another.
struct Verifier<'a> {
    dataset: &'a DatasetReader,
    account: Account,
    tokens: &'a TokenCheck,
    bytes: &'a Bytes,
    /// `None` if the sources are not compared.
    replanned: Option<&'a Replanned>,
    findings: Findings,
    /// Where it differs from what its sources lead to.
    by_sources: Findings,
    found: Verification,
    /// What the manifest has to say of each shard.
    shards: Vec<ShardEntry>,
    /// What is known of the bytes of those that could be read.
    notes: NotesByShard,
}

impl Verifier<'_> {
    /// What was found. Sources that changed since the build say nothing about the dataset.
    fn conclude(self) -> Verification {
        let Self { mut findings, by_sources, mut found, replanned, .. } = self;
        if replanned.is_some_and(|replanned| replanned.changed_since_build) {
            found.unchecked.extend(sources::unchecked(by_sources));
        } else {
            findings.extend(by_sources);
        }
        Verification { problems: findings.into_problems(), ..found }
    }

    fn check(&mut self, file: &PipelineFile, examined: &Shards<'_>, executor: Executor<'_>) -> Result<(), EngineError> {
        self.check_shards(file, examined, executor)?;
        self.check_beside()?;
        self.account.report_differences(self.dataset, &mut self.findings);
        let overhead = self.tokens.overhead();
        let pack = check_packs(self.dataset, file, overhead, self.bytes, &mut self.findings)?;
        let needles = check_needles(self.dataset, self.replanned, &mut self.findings)?;
        let sources = self.sources()?;
        self.check_manifest(file, sources, (pack, needles));
        match check_unnamed(self.dataset, &mut self.findings)? {
            Ok(unnamed) => self.found.unnamed = unnamed,
            Err(obstacle) => self.found.unchecked.push(obstacle),
        }
        Ok(())
    }

    fn check_shards(
        &mut self,
        file: &PipelineFile,
        examined: &Shards<'_>,
        executor: Executor<'_>,
    ) -> Result<(), EngineError> {
        let mut num_found: BTreeMap<ShardFormat, u64> = file.output.formats.iter().map(|format| (*format, 0)).collect();
        for (number, shard) in self.dataset.manifest().shards.iter().enumerate() {
            let num_samples = self.take(number, shard, examined.of(number, shard, executor)?);
            *num_found.entry(shard.path.format).or_default() += num_samples;
        }
        executor.progress.finish(Step::Verify);
        let num_delivered = self.account.delivered.len() as u64;
        for (format, num_samples) in num_found {
            if num_samples != num_delivered {
                let format = format.as_str();
                self.findings
                    .problem(format!("{format}: {num_samples} samples in its shards, {num_delivered} delivered"));
            }
        }
        Ok(())
    }

    /// Compares what is beside the shards, if all of them could be read.
    fn check_beside(&mut self) -> Result<(), EngineError> {
        if self.notes.len() < self.shards.len() {
            return Ok(());
        }
        self.account.compare_bytes(self.dataset, &self.notes, &mut self.findings);
        let manifest = Manifest { shards: self.shards.clone(), ..self.dataset.manifest().clone() };
        self.bytes.compare_beside(self.dataset, (&manifest, &self.notes), &mut self.findings)
    }

    /// Compares what a shard showed with everything else; returns how many samples it holds.
    fn take(&mut self, number: usize, shard: &ShardEntry, examined: ExaminedShard) -> u64 {
        let path = shard.path.to_string();
        self.shards.push(shard.clone());
        let ExaminedShard { file, samples, written } = examined;
        let Some((num_bytes, digest)) = file else {
            self.findings.problem(format!("{path} is missing"));
            return 0;
        };
        self.found.num_shards += 1;
        if num_bytes != shard.num_bytes || digest != shard.digest {
            self.findings.problem(format!("{path} is not the file that the manifest names"));
        }
        let (mut total, mut last_position) = (Total::default(), None);
        for (row, sample) in (0..).zip(samples) {
            total.count(sample.cost);
            let id = sample.id;
            self.by_sources.faults(&path, id, &sample.source_faults);
            let position = self.take_sample((number, shard, row), sample);
            if position.is_some() && position <= last_position {
                self.findings.problem(format!("{path}: sample {id} is not in the order of delivery"));
            }
            last_position = position.or(last_position);
        }
        match written {
            WrittenAgain::Whole(again, notes) => {
                self.bytes.compare(&path, digest, again, &mut self.findings);
                self.notes.insert(shard.path, notes);
            }
            WrittenAgain::Broken(error) => self.findings.problem(format!("{path}: {error}")),
            WrittenAgain::Unopened(error) => {
                self.findings.problem(format!("{path}: {error}"));
                return 0;
            }
            WrittenAgain::Nothing => return 0,
        }
        found_totals(&mut self.shards, shard, total);
        total.num_samples
    }

    /// Adds what a sample showed to everything else; returns its position in the order of delivery.
    fn take_sample(&mut self, (number, shard, row): (usize, &ShardEntry, u64), sample: ExaminedSample) -> Option<u64> {
        let ExaminedSample { id, cost, content, facts, faults, told, .. } = sample;
        let Self { account, findings, found, .. } = self;
        findings.faults(&shard.path.to_string(), id, &faults);
        account.compare(id, (number, row), facts, findings);
        if let (Some(replanned), Some(told)) = (self.replanned, told) {
            replanned.keep(id, told);
        }
        let kept = account.delivered.get_mut(&id)?;
        match kept.content {
            None => {
                kept.content = Some(content);
                found.num_samples += 1;
                found.num_images += cost.num_images;
                found.num_tokenized += u64::from(self.tokens.obstacle().is_none());
            }
            Some(before) if before != content => {
                findings.problem(format!("{}: sample {id} is another one than in the other format", shard.path));
            }
            Some(_) => {}
        }
        Some(kept.position)
    }

    /// What the manifest has to say of each source. Compares the ledger with that of a new plan.
    fn sources(&mut self) -> Result<Vec<SourceSummary>, EngineError> {
        let compare = |replanned: &Replanned| replanned.compare(self.dataset, &self.account, &mut self.by_sources);
        let of_plan = self.replanned.map(compare).transpose()?.flatten();
        let of_plan = of_plan.filter(|_| self.replanned.is_some_and(|replanned| !replanned.changed_since_build));
        let counted = |source: &SourceSummary| match self.account.sources.get(&source.budget.name) {
            Some(counts) => counts.corrected(source),
            // A source without records has no rows.
            None => account::SourceCounts::default().corrected(source),
        };
        let mut sources = of_plan.unwrap_or_else(|| self.dataset.manifest().sources.iter().map(counted).collect());
        if self.bytes.is_of_other_version() {
            for (source, stated) in sources.iter_mut().zip(&self.dataset.manifest().sources) {
                if stated.budget.num_rejected_repeats == 0 {
                    // Earlier versions did not count them.
                    source.budget.num_rejected_repeats = 0;
                }
            }
        }
        Ok(sources)
    }

    /// What the manifest has to say of decontamination, where that can be found out.
    fn decontamination(&self, file: &PipelineFile) -> Option<DecontaminationSummary> {
        let stated = &self.dataset.manifest().decontamination;
        let of_plan = self.replanned.filter(|replanned| !replanned.changed_since_build);
        match of_plan {
            // Earlier versions did not state it.
            Some(_) if self.bytes.is_of_other_version() && stated.is_none() => None,
            Some(replanned) => replanned.decontamination(),
            None => {
                let max_rejects = Some(file.decontamination.max_rejects().as_f64());
                stated.clone().map(|stated| DecontaminationSummary { max_rejects, ..stated })
            }
        }
    }

    /// What the build says of itself. Which samples it made and which it reused is in no other file: only their sum can be checked.
    fn check_build_facts(&mut self) -> Option<BuildFacts> {
        let facts = match self.dataset.build_facts() {
            Ok(facts) => facts?,
            Err(error) => {
                self.findings.problem(with_causes(&error));
                return None;
            }
        };
        let (made, reused) = (facts.work.num_samples_made, facts.work.num_samples_reused);
        let num_delivered = self.account.delivered.len() as u64;
        if made.checked_add(reused) != Some(num_delivered) {
            let text = format!("{made} samples were made and {reused} reused, {num_delivered} are delivered");
            self.findings.problem(format!("{BUILD_FACTS_FILE}: {text}"));
        }
        Some(facts)
    }

    /// Compares the manifest with the one that these files should have.
    fn check_manifest(&mut self, file: &PipelineFile, sources: Vec<SourceSummary>, (pack, needles): Beside) {
        let stated = self.dataset.manifest();
        let known: Vec<&str> = stated.sources.iter().map(|source| source.budget.name.as_str()).collect();
        for name in self.account.sources.keys().filter(|name| !known.contains(&name.as_str())) {
            self.findings.problem(format!("ledger: source {name:?} is not in the manifest"));
        }
        let mut total = Total::default();
        let first_format = self.shards.iter().map(|shard| shard.path.format).min();
        self.shards
            .iter()
            .filter(|shard| Some(shard.path.format) == first_format)
            .for_each(|shard| total += shard.total);
        let facts = self.check_build_facts();
        match facts.as_ref().and_then(|facts| facts.settings_digest) {
            Some(digest) if digest != stated.settings_digest() => {
                self.findings.problem("manifest.pipeline has other settings than the build, by build.json".to_owned());
            }
            Some(_) => {}
            None => self
                .found
                .unchecked
                .push("settings of the manifest: no build.json says with which it was built".to_owned()),
        }
        let expected = Manifest {
            manifest_version: stated.manifest_version,
            manyframe_version: facts.map_or_else(|| stated.manyframe_version.clone(), |facts| facts.manyframe_version),
            name: file.name.clone(),
            description: file.description.clone(),
            pipeline_digest: Digest::of(stated.pipeline.to_string().as_bytes()),
            pipeline: stated.pipeline.clone(),
            tokenizer_digest: stated.tokenizer_digest,
            template_digest: stated.template_digest,
            total,
            sources,
            decontamination: self.decontamination(file),
            shards: std::mem::take(&mut self.shards),
            ledger: LedgerEntry { num_records: self.account.num_records, ..stated.ledger.clone() },
            pack,
            needles,
        };
        self.findings.compare("manifest", &serde_json::json!(stated), &serde_json::json!(expected));
        self.bytes.compare_manifest(self.dataset, &mut self.findings);
    }
}

/// What the manifest has to say of packs and needles.
type Beside = (Option<PackEntry>, Option<NeedlesEntry>);

/// Sets what was counted of the shard that was read last.
fn found_totals(shards: &mut [ShardEntry], shard: &ShardEntry, total: Total) {
    if let Some(last) = shards.last_mut() {
        *last = ShardEntry { format: shard.path.format, layout: shard.path.name.layout, total, ..shard.clone() };
    }
}
