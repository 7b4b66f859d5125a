//! Checks the ledger by itself, and compares its rows with the samples.
//!
//! A dataset may have more samples than memory has room for rows, so a digest of each delivered row is kept. Where it is not
//! that of the sample, the ledger is read once more to say what differs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use manyframe_core::{Cost, Digest, Layout, Origin, RecordId, RejectCode, Sample, Total};
use manyframe_dataset::{DatasetReader, LedgerDigest, LedgerRow, NotesByShard, ShardName, SourceSummary, Status};
use manyframe_samplers::sample_id;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::{EngineError, with_causes};
use crate::verify::files::Bytes;
use crate::verify::findings::Findings;

/// What the ledger says.
#[derive(Default)]
pub(super) struct Account {
    /// The row of each delivered sample.
    pub(super) delivered: FxHashMap<RecordId, DeliveredRow>,
    /// Rows.
    pub(super) num_records: u64,
    /// What the manifest repeats of each source.
    pub(super) sources: BTreeMap<String, SourceCounts>,
    /// Samples whose row says something else, by the file of their shard: the row of each.
    different: BTreeMap<usize, Vec<u64>>,
    /// Whether rows say what an earlier version did not: the tokens of each visual, and the bytes of samples.
    pub(super) is_complete: bool,
}

/// What is kept of a delivered sample's row.
pub(super) struct DeliveredRow {
    /// Its position in the order of delivery.
    pub(super) position: u64,
    /// Of what the row shares with its sample.
    facts: u64,
    /// Tokens and images.
    pub(super) cost: Cost,
    /// Its layout.
    pub(super) layout: Layout,
    /// Of the sample in the first format in which it was read.
    pub(super) content: Option<u64>,
}

/// The counts of a source in the ledger, which the manifest repeats.
#[derive(Default)]
pub(super) struct SourceCounts {
    num_seen: u64,
    num_drawn: u64,
    num_deliveries: u64,
    rejected: BTreeMap<RejectCode, u64>,
    num_rejected_repeats: u64,
    num_duplicates: u64,
    num_not_drawn: u64,
    delivered: Total,
    /// What is delivered of each subset.
    subsets: BTreeMap<String, Total>,
}

/// What a row of the ledger and its sample both say.
pub(super) struct SharedFacts<'a> {
    source: &'a str,
    subset: &'a str,
    upstream_id: &'a str,
    num_turns: u64,
    layout: Layout,
    cost: Cost,
    origin: &'a Origin,
    shard: ShardName,
    shard_row: u64,
    /// `None` if it is not compared.
    tokens_per_visual: Option<Cow<'a, [u64]>>,
}

/// Facts as text, each with the name of its column.
type NamedFacts = [(&'static str, String); 14];

impl<'a> SharedFacts<'a> {
    /// What the row of a delivered sample says; `None` if a part is missing.
    fn of_row(row: &'a LedgerRow) -> Option<Self> {
        let (cost, layout) = row.measured?;
        Some(Self {
            source: &row.source,
            subset: &row.subset,
            upstream_id: &row.upstream_id,
            num_turns: u64::from(row.num_turns?),
            layout,
            cost,
            origin: &row.origin,
            shard: row.shard?,
            shard_row: row.shard_row?,
            tokens_per_visual: row.tokens_per_visual.as_deref().map(Cow::from),
        })
    }

    /// What a sample at this place says. Rows of an earlier version are not complete.
    pub(super) fn of_sample(sample: &'a Sample, (shard, shard_row): (ShardName, u64), is_complete: bool) -> Self {
        Self {
            source: &sample.source,
            subset: &sample.subset,
            upstream_id: &sample.upstream_id,
            num_turns: sample.messages.len() as u64,
            layout: sample.layout,
            cost: sample.cost,
            origin: &sample.origin,
            shard,
            shard_row,
            tokens_per_visual: is_complete.then(|| sample.tokens_per_visual().into()),
        }
    }

    fn named(&self) -> NamedFacts {
        let Cost { text_tokens, delimiter_tokens, visual_tokens, num_images, num_frames } = self.cost;
        [
            ("source", self.source.to_owned()),
            ("subset", self.subset.to_owned()),
            ("upstream_id", self.upstream_id.to_owned()),
            ("num_turns", self.num_turns.to_string()),
            ("layout", self.layout.as_str().to_owned()),
            ("text_tokens", text_tokens.to_string()),
            ("delimiter_tokens", delimiter_tokens.to_string()),
            ("visual_tokens", visual_tokens.to_string()),
            ("num_images", num_images.to_string()),
            ("num_frames", num_frames.to_string()),
            ("origin", serde_json::json!(self.origin).to_string()),
            ("shard", self.shard.to_string()),
            ("shard_row", self.shard_row.to_string()),
            ("tokens_per_visual", self.tokens_per_visual.as_ref().map_or_else(String::new, |all| format!("{all:?}"))),
        ]
    }

    /// A number for all of them.
    pub(super) fn digest(&self) -> u64 {
        Digest::of_fields(self.named().iter().map(|(_, text)| text.as_bytes())).first_bits()
    }
}

impl SourceCounts {
    /// The summary of a source with what the ledger says in place of what the manifest repeats.
    pub(super) fn corrected(&self, source: &SourceSummary) -> SourceSummary {
        let mut corrected = source.clone();
        corrected.budget.num_seen = self.num_seen;
        corrected.budget.num_drawn = self.num_drawn;
        corrected.budget.drawn.num_samples = self.num_deliveries;
        corrected.budget.rejected.clone_from(&self.rejected);
        corrected.budget.num_rejected_repeats = self.num_rejected_repeats;
        corrected.num_duplicates = self.num_duplicates;
        corrected.num_not_drawn = self.num_not_drawn;
        corrected.delivered = self.delivered;
        for replayed in &mut corrected.replayed {
            replayed.delivered = self.subsets.get(&replayed.name).copied().unwrap_or_default();
        }
        corrected
    }
}

impl Account {
    /// Reads the ledger of a dataset.
    pub(super) fn read(dataset: &DatasetReader, bytes: &Bytes, findings: &mut Findings) -> Result<Self, EngineError> {
        let mut account = Self { is_complete: !bytes.is_of_other_version(), ..Self::default() };
        let ledger = &dataset.manifest().ledger;
        if dataset.storage().num_bytes(&ledger.path)?.is_none() {
            findings.problem(format!("{} is missing", ledger.path));
            return Ok(account);
        }
        let digest = dataset.storage().digest(&ledger.path)?;
        if digest != ledger.digest {
            findings.problem(format!("{} is not the file that the manifest names", ledger.path));
        }
        let rows = match dataset.ledger() {
            Ok(rows) => rows,
            Err(error) => {
                findings.problem(format!("{}: {}", ledger.path, with_causes(&error)));
                return Ok(account);
            }
        };
        let mut order = RowOrder::default();
        let mut again = LedgerDigest::new(Path::new(&ledger.path))?;
        for row in rows {
            match row {
                Ok(row) => {
                    account.count(&row, &mut order, findings);
                    again.write(&row)?;
                }
                Err(error) => {
                    findings.problem(format!("{}: {}", ledger.path, with_causes(&error)));
                    return Ok(account);
                }
            }
        }
        order.finish(findings);
        bytes.compare(&ledger.path, digest, again.finish()?, findings);
        Ok(account)
    }

    fn count(&mut self, row: &LedgerRow, order: &mut RowOrder, findings: &mut Findings) {
        self.num_records += 1;
        order.check(row, findings);
        let source = self.sources.entry(row.source.clone()).or_default();
        source.num_seen += u64::from(row.repetition == 0);
        source.num_drawn += u64::from(row.repetition == 0 && row.position.is_some());
        source.num_deliveries += u64::from(row.position.is_some());
        match row.status {
            Status::Delivered => {
                let Some((facts, position)) = SharedFacts::of_row(row).zip(row.position) else {
                    findings.problem(format!("ledger: delivered record {} lacks its cost, shard or position", row.id));
                    return;
                };
                source.delivered.count(facts.cost);
                match source.subsets.get_mut(&row.subset) {
                    Some(subset) => subset.count(facts.cost),
                    None => source.subsets.entry(row.subset.clone()).or_default().count(facts.cost),
                }
                self.is_complete |= row.tokens_per_visual.is_some();
                let SharedFacts { cost, layout, .. } = facts;
                let kept = DeliveredRow { position, facts: facts.digest(), cost, layout, content: None };
                if self.delivered.insert(row.id, kept).is_some() {
                    findings.problem(format!("ledger: record {} is delivered twice", row.id));
                }
            }
            Status::Rejected => match row.reason.as_deref().and_then(RejectCode::from_text) {
                Some(code) => {
                    *source.rejected.entry(code).or_insert(0) += 1;
                    source.num_rejected_repeats += u64::from(row.repetition > 0);
                }
                None => findings.problem(format!("ledger: record {} is rejected for no known reason", row.id)),
            },
            Status::Duplicate => source.num_duplicates += 1,
            Status::NotDrawn => source.num_not_drawn += 1,
        }
    }

    /// Compares a sample, by the number of its shard's file and its row there, with its row in the ledger: `facts` is what that
    /// has to say.
    pub(super) fn compare(
        &mut self,
        id: RecordId,
        (file, shard_row): (usize, u64),
        facts: u64,
        findings: &mut Findings,
    ) {
        match self.delivered.get(&id) {
            None => findings.problem(format!("ledger: sample {id} is in a shard, and not delivered")),
            Some(row) if row.facts != facts => {
                let of_file = self.different.entry(file).or_default();
                if of_file.len() < Findings::MOST_PROBLEMS {
                    of_file.push(shard_row);
                }
            }
            Some(_) => {}
        }
    }

    /// Compares the bytes that rows say of their samples with those at which samples are written again.
    pub(super) fn compare_bytes(&self, dataset: &DatasetReader, notes: &NotesByShard, findings: &mut Findings) {
        let Some(rows) = dataset.ledger().ok().filter(|_| self.is_complete) else { return };
        let bytes_of = |shard: ShardName, row| notes.get(&shard.path(dataset.tar_format()?))?.sample_bytes(row);
        for LedgerRow { id, shard, shard_row, shard_bytes: found, .. } in rows.map_while(Result::ok) {
            let expected = shard.zip(shard_row).and_then(|(shard, row)| bytes_of(shard, row));
            if found != expected {
                let text =
                    |bytes: Option<Range<u64>>| bytes.map_or_else(|| "none".to_owned(), |bytes| format!("{bytes:?}"));
                let (found, expected) = (text(found), text(expected));
                findings.problem(format!("ledger: record {id}: its bytes in the tar are {found}, expected {expected}"));
            }
        }
    }

    /// What rows should say that say something else: their samples are read once more.
    fn expected(&self, dataset: &DatasetReader) -> FxHashMap<RecordId, NamedFacts> {
        let mut expected = FxHashMap::default();
        for (file, rows) in &self.different {
            let Some(shard) = dataset.manifest().shards.get(*file) else { continue };
            let Ok(samples) = dataset.samples(shard) else { continue };
            for (row, sample) in (0..).zip(samples.map_while(Result::ok)) {
                if expected.len() < Findings::MOST_PROBLEMS && rows.binary_search(&row).is_ok() {
                    let facts = SharedFacts::of_sample(&sample, (shard.path.name, row), self.is_complete).named();
                    expected.insert(sample.id, facts);
                }
            }
        }
        expected
    }

    /// Says what differs between samples and their rows.
    pub(super) fn report_differences(&self, dataset: &DatasetReader, findings: &mut Findings) {
        let expected = self.expected(dataset);
        if expected.is_empty() {
            return;
        }
        let Ok(rows) = dataset.ledger() else { return };
        for row in rows.map_while(Result::ok) {
            let Some(expected) = expected.get(&row.id).filter(|_| row.status == Status::Delivered) else { continue };
            let Some(found) = SharedFacts::of_row(&row) else { continue };
            for ((name, found), (_, expected)) in found.named().iter().zip(expected.iter()) {
                if found != expected {
                    findings
                        .problem(format!("ledger: record {}: {name} is {found}, its sample has {expected}", row.id));
                }
            }
        }
    }
}

/// What rows must have in common with the rows before them.
#[derive(Default)]
struct RowOrder {
    ids: FxHashSet<RecordId>,
    /// Identity of the record whose repetitions follow, and the next of them.
    record: Option<(RecordId, u32)>,
    /// Positions in the order of delivery.
    positions: Vec<u64>,
    /// Records that duplicates name as the ones that are kept.
    kept: FxHashSet<RecordId>,
}

impl RowOrder {
    fn check(&mut self, row: &LedgerRow, findings: &mut Findings) {
        let id = row.id;
        if !self.ids.insert(id) {
            findings.problem(format!("ledger: record {id} has two rows"));
        }
        match self.record {
            Some((record, next)) if row.repetition > 0 && row.repetition == next && sample_id(record, next) == id => {
                self.record = Some((record, next + 1));
            }
            _ if row.repetition > 0 => {
                findings.problem(format!("ledger: record {id} is no repetition of the one before it"));
            }
            _ => self.record = Some((id, 1)),
        }
        self.positions.extend(row.position);
        let is_shared = row.shard.is_some() || row.shard_row.is_some();
        let is_consistent = match row.status {
            Status::Delivered => row.reason.is_none() && row.detail.is_none() && row.duplicate_of.is_none(),
            Status::Rejected => row.detail.is_some() && row.duplicate_of.is_none() && !is_shared,
            Status::Duplicate => row.reason.is_none() && row.position.is_none() && !is_shared,
            Status::NotDrawn => {
                row.reason.is_none()
                    && row.detail.is_none()
                    && row.duplicate_of.is_none()
                    && row.position.is_none()
                    && !is_shared
            }
        };
        if !is_consistent {
            findings.problem(format!("ledger: record {id} has columns that do not belong to {}", row.status.as_str()));
        }
        match (row.status, row.duplicate_of) {
            (Status::Duplicate, None) => findings.problem(format!("ledger: duplicate {id} does not name what is kept")),
            (Status::Duplicate, Some(kept)) if kept == id => {
                findings.problem(format!("ledger: {id} is a duplicate of itself"));
            }
            (_, kept) => self.kept.extend(kept),
        }
    }

    fn finish(mut self, findings: &mut Findings) {
        self.positions.sort_unstable();
        if let Some((expected, found)) = (0..).zip(&self.positions).find(|(expected, found)| expected != *found) {
            findings.problem(format!("ledger: position {expected} is that of no row, or of two; the next is {found}"));
        }
        if let Some(missing) = self.kept.iter().find(|kept| !self.ids.contains(kept)) {
            findings.problem(format!("ledger: {missing}, of which another record is a duplicate, has no row"));
        }
    }
}
