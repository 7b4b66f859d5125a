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
mod files;
mod findings;
mod guard;
mod options;
mod packs;
mod sample;
mod sources;
pub(crate) mod tokens;

use std::collections::BTreeMap;

use manyframe_base::{Executor, Step};
use manyframe_core::{Digest, RecordId, Sample, Total};
use manyframe_dataset::{DatasetReader, LedgerEntry, Manifest, NotesByShard, PackEntry, ShardEntry, SourceSummary};
use manyframe_pipeline::PipelineFile;
use manyframe_plan::PlannedSample;
use manyframe_shards::ShardFormat;
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{EngineError, with_causes};
use account::{Account, ExpectedFacts, SharedFacts};
use files::{Bytes, ShardAgain, check_unnamed_shards};
use findings::Findings;
use guard::CheckGuard;
use packs::check_packs;
use sample::content_digest;
use sources::Replanned;
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
    let replanned = if options.skips_sources {
        Err("they were left out".to_owned())
    } else {
        Replanned::make(dataset, options, executor)
    };
    if let Err(obstacle) = &replanned {
        found.unchecked.push(format!("records, samples and outcomes, by the sources: {obstacle}"));
    }
    let replanned = replanned.ok();
    let mut verifier = Verifier {
        dataset,
        account,
        tokens,
        bytes: &bytes,
        guard: CheckGuard::new(options.watch.as_ref(), &file.limits),
        replanned: replanned.as_ref(),
        findings,
        by_sources: Findings::default(),
        found,
        shards: Vec::new(),
        notes: NotesByShard::new(),
    };
    let checked = verifier.check(&file, executor);
    let mut found = verifier.conclude();
    if let Some(replanned) = replanned {
        replanned.remove();
    }
    checked?;
    found.unchecked.extend(bytes.unchecked());
    Ok(found)
}

/// Compares the files of a dataset with one another.
struct Verifier<'a> {
    dataset: &'a DatasetReader,
    account: Account,
    tokens: TokenCheck,
    bytes: &'a Bytes,
    guard: CheckGuard<'a>,
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

/// A sample that was checked.
struct CheckedSample {
    sample: Sample,
    total: Total,
    content: u64,
    facts: ExpectedFacts,
    is_tokenized: bool,
    faults: Vec<String>,
}

impl<'a> Verifier<'a> {
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

    fn check(&mut self, file: &PipelineFile, executor: Executor<'_>) -> Result<(), EngineError> {
        self.check_shards(file, executor)?;
        self.check_beside()?;
        self.account.report_differences(self.dataset, &mut self.findings);
        let overhead = self.tokens.overhead();
        let pack = check_packs(self.dataset, file, overhead, self.bytes, &mut self.findings)?;
        let sources = self.sources()?;
        self.check_manifest(file, sources, pack);
        self.found.unchecked.extend(check_unnamed_shards(self.dataset, &mut self.findings)?);
        Ok(())
    }

    fn check_shards(&mut self, file: &PipelineFile, executor: Executor<'_>) -> Result<(), EngineError> {
        let shards = &self.dataset.manifest().shards;
        executor.progress.start(Step::Verify, shards.iter().map(|shard| shard.num_bytes).sum());
        let mut num_found: BTreeMap<ShardFormat, u64> = file.output.formats.iter().map(|format| (*format, 0)).collect();
        let tasks = self.replanned.map(|replanned| replanned.tasks_by_shard(&self.account)).transpose()?;
        for shard in shards {
            let task = tasks.as_ref().and_then(|tasks| tasks.get(&shard.path.name).copied());
            let num_samples = self.check_shard(shard, task, executor)?;
            *num_found.entry(shard.path.format).or_default() += num_samples;
            executor.progress.advance(shard.total.num_samples, shard.num_bytes);
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

    /// Checks a shard, which a task wrote; returns how many samples it holds.
    fn check_shard(
        &mut self,
        shard: &ShardEntry,
        task: Option<u32>,
        executor: Executor<'_>,
    ) -> Result<u64, EngineError> {
        let path = shard.path.to_string();
        self.shards.push(shard.clone());
        let Some(digest) = self.check_file(shard, &path)? else { return Ok(0) };
        let samples = match self.dataset.samples(shard) {
            Ok(samples) => (0..).zip(samples).map(|(row, sample)| sample.map(|sample| (row, sample))),
            Err(error) => {
                self.findings.problem(format!("{path}: {}", with_causes(&error)));
                return Ok(0);
            }
        };
        let (replanned, planned) = self.planned(shard, task)?;
        let mut again = ShardAgain::start(shard, self.tokens.columns)?;
        let is_complete = self.account.is_complete;
        let Self { tokens, guard, account, findings, by_sources, found, .. } = self;
        let (mut total, mut last_position) = (Total::default(), None);
        let read = executor.ordered_map(4).run(
            samples,
            |(row, sample)| {
                let faults = replanned.map(|replanned| replanned.faults(&sample, &planned)).unwrap_or_default();
                (CheckedSample::of(sample, (tokens, guard), (shard, row), is_complete), faults)
            },
            |(checked, source_faults)| {
                total += checked.total;
                let id = checked.sample.id;
                by_sources.faults(&path, id, &source_faults);
                let position = checked.record(shard, account, findings, found);
                if position.is_some() && position <= last_position {
                    findings.problem(format!("{path}: sample {id} is not in the order of delivery"));
                }
                last_position = position.or(last_position);
                again.write(&checked.sample)
            },
        );
        match read.and_then(|()| again.finish()) {
            Ok(written) => {
                self.bytes.compare(&path, digest, written.summary.digest, &mut self.findings);
                self.notes.insert(shard.path, written.notes);
            }
            Err(error) => self.findings.problem(format!("{path}: {}", with_causes(&error))),
        }
        found_totals(&mut self.shards, shard, total);
        Ok(total.num_samples)
    }

    /// What the samples of a shard are made again by. Formats are compared with one another, so those of one of them are.
    fn planned(
        &self,
        shard: &ShardEntry,
        task: Option<u32>,
    ) -> Result<(Option<&'a Replanned>, FxHashMap<RecordId, PlannedSample>), EngineError> {
        let is_first = self.dataset.shard(shard.path.name).is_ok_and(|first| first == shard);
        let replanned = self.replanned.filter(|_| is_first);
        let planned = replanned.zip(task).map(|(replanned, task)| replanned.samples(task)).transpose()?;
        Ok((replanned, planned.unwrap_or_default()))
    }

    /// Compares size and digest of a shard; returns its digest if it is there.
    fn check_file(&mut self, shard: &ShardEntry, path: &str) -> Result<Option<Digest>, EngineError> {
        let storage = self.dataset.storage();
        let Some(num_bytes) = storage.num_bytes(path)? else {
            self.findings.problem(format!("{path} is missing"));
            return Ok(None);
        };
        self.found.num_shards += 1;
        let digest = storage.digest(path)?;
        if num_bytes != shard.num_bytes || digest != shard.digest {
            self.findings.problem(format!("{path} is not the file that the manifest names"));
        }
        Ok(Some(digest))
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
        Ok(of_plan.unwrap_or_else(|| self.dataset.manifest().sources.iter().map(counted).collect()))
    }

    /// Compares the manifest with the one that these files should have.
    fn check_manifest(&mut self, file: &PipelineFile, sources: Vec<SourceSummary>, pack: Option<PackEntry>) {
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
        let facts = self.dataset.build_facts().ok().flatten();
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
            shards: std::mem::take(&mut self.shards),
            ledger: LedgerEntry { num_records: self.account.num_records, ..stated.ledger.clone() },
            pack,
        };
        self.findings.compare("manifest", &serde_json::json!(stated), &serde_json::json!(expected));
        self.bytes.compare_manifest(self.dataset, &mut self.findings);
    }
}

/// Sets what was counted of the shard that was read last.
fn found_totals(shards: &mut [ShardEntry], shard: &ShardEntry, total: Total) {
    if let Some(last) = shards.last_mut() {
        *last = ShardEntry { format: shard.path.format, layout: shard.path.name.layout, total, ..shard.clone() };
    }
}

impl CheckedSample {
    fn of(
        sample: Sample,
        (tokens, guard): (&TokenCheck, &CheckGuard<'_>),
        (shard, row): (&ShardEntry, u64),
        is_complete: bool,
    ) -> Self {
        let mut faults = guard.faults(&sample, shard, row);
        faults.extend(tokens.faults(&sample, shard.path.format));
        if shard.path.name.layout.is_some_and(|layout| layout != sample.layout) {
            faults.push(format!("its layout is {}, not that of its shard", sample.layout.as_str()));
        }
        let mut total = Total::default();
        total.count(sample.cost);
        let facts = SharedFacts::of_sample(&sample, (shard.path.name, row), is_complete).expected();
        let is_tokenized = tokens.obstacle().is_none();
        let content = content_digest(&sample);
        Self { sample, total, content, facts, is_tokenized, faults }
    }

    /// Adds what was found to everything else; returns the position of the sample in the order of delivery.
    fn record(
        &self,
        shard: &ShardEntry,
        account: &mut Account,
        findings: &mut Findings,
        found: &mut Verification,
    ) -> Option<u64> {
        let (path, id) = (shard.path, self.sample.id);
        findings.faults(&path.to_string(), id, &self.faults);
        account.compare(id, &self.facts, findings);
        let row = account.delivered.get_mut(&id)?;
        match row.content {
            None => {
                row.content = Some(self.content);
                found.num_samples += 1;
                found.num_images += self.total.cost.num_images;
                found.num_tokenized += u64::from(self.is_tokenized);
            }
            Some(content) if content != self.content => {
                findings.problem(format!("{path}: sample {id} is another one than in the other format"));
            }
            Some(_) => {}
        }
        Some(row.position)
    }
}
