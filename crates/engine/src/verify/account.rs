//! Checks the ledger against the manifest, and the packs against the ledger.

use std::collections::BTreeMap;

use manyframe_core::{RecordId, RejectCode, Total};
use manyframe_dataset::{DatasetReader, LedgerRow, ShardName, SourceSummary, Status};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::{EngineError, with_causes};

/// The counts of a source in the ledger, which the manifest repeats.
#[derive(Default, PartialEq)]
struct SourceCounts {
    num_seen: u64,
    num_repeats: u64,
    rejected: BTreeMap<RejectCode, u64>,
    num_duplicates: u64,
    num_not_drawn: u64,
    delivered: Total,
}

impl SourceCounts {
    fn of(source: &SourceSummary) -> Self {
        Self {
            num_seen: source.budget.num_seen,
            num_repeats: source.budget.num_repeats(),
            rejected: source.budget.rejected.clone(),
            num_duplicates: source.num_duplicates,
            num_not_drawn: source.num_not_drawn,
            delivered: source.delivered,
        }
    }
}

/// What ledger and packs say.
#[derive(Default)]
pub(super) struct AccountCheck {
    /// The shard of each delivered sample.
    pub(super) delivered: FxHashMap<RecordId, ShardName>,
    /// Rows of the ledger.
    pub(super) num_records: u64,
    /// What is wrong.
    pub(super) problems: Vec<String>,
}

impl AccountCheck {
    /// Reads the ledger and the packs of a dataset.
    pub(super) fn of(dataset: &DatasetReader) -> Result<Self, EngineError> {
        let mut check = Self::default();
        if let Some(counted) = check.count_ledger(dataset)? {
            check.compare_sources(&dataset.manifest().sources, counted);
        }
        check.check_packs(dataset)?;
        Ok(check)
    }

    /// Counts the rows of the ledger by source; `None` if it cannot be opened.
    fn count_ledger(&mut self, dataset: &DatasetReader) -> Result<Option<BTreeMap<String, SourceCounts>>, EngineError> {
        let ledger = &dataset.manifest().ledger;
        if dataset.storage().num_bytes(&ledger.path)?.is_none() {
            self.problems.push(format!("{} is missing", ledger.path));
            return Ok(None);
        }
        if dataset.storage().digest(&ledger.path)? != ledger.digest {
            self.problems.push(format!("{} is not the file that the manifest names", ledger.path));
        }
        let rows = match dataset.ledger() {
            Ok(rows) => rows,
            Err(error) => {
                self.problems.push(format!("{}: {}", ledger.path, with_causes(&error)));
                return Ok(None);
            }
        };
        let mut counted: BTreeMap<String, SourceCounts> = BTreeMap::new();
        for row in rows {
            let row = row?;
            self.num_records += 1;
            self.count_row(&row, counted.entry(row.source.clone()).or_default());
        }
        Ok(Some(counted))
    }

    fn count_row(&mut self, row: &LedgerRow, source: &mut SourceCounts) {
        if row.repetition == 0 {
            source.num_seen += 1;
        } else {
            source.num_repeats += 1;
        }
        match row.status {
            Status::Delivered => {
                let (Some((cost, _)), Some(shard)) = (row.measured, row.shard) else {
                    self.problems.push(format!("ledger: record {} is delivered without a cost or a shard", row.id));
                    return;
                };
                source.delivered.count(cost);
                if self.delivered.insert(row.id, shard).is_some() {
                    self.problems.push(format!("ledger: record {} is delivered twice", row.id));
                }
            }
            Status::Rejected => match row.reason.as_deref().and_then(RejectCode::from_text) {
                Some(code) => *source.rejected.entry(code).or_insert(0) += 1,
                None => self.problems.push(format!("ledger: record {} is rejected for no known reason", row.id)),
            },
            Status::Duplicate => source.num_duplicates += 1,
            Status::NotDrawn => source.num_not_drawn += 1,
        }
    }

    fn compare_sources(&mut self, sources: &[SourceSummary], mut counted: BTreeMap<String, SourceCounts>) {
        for source in sources {
            // A source without records has no rows.
            let counted = counted.remove(&source.budget.name).unwrap_or_default();
            if counted != SourceCounts::of(source) {
                self.problems
                    .push(format!("source {:?}: ledger and manifest have different counts", source.budget.name));
            }
            if !source.adds_up() {
                self.problems
                    .push(format!("source {:?}: records seen and their outcomes do not add up", source.budget.name));
            }
        }
        for name in counted.keys() {
            self.problems.push(format!("ledger: source {name:?} is not in the manifest"));
        }
    }

    /// Checks that every delivered sample is in one pack, except those that are too long, and that no pack is too long.
    fn check_packs(&mut self, dataset: &DatasetReader) -> Result<(), EngineError> {
        let Some(pack) = &dataset.manifest().pack else { return Ok(()) };
        let storage = dataset.storage();
        if storage.num_bytes(&pack.path)?.is_none() || storage.digest(&pack.path)? != pack.digest {
            self.problems.push(format!("{} is not the file that the manifest names", pack.path));
            return Ok(());
        }
        let mut packed = FxHashSet::default();
        for row in dataset.packs()? {
            let row = row?;
            if row.padded_tokens > u64::from(pack.summary.capacity_tokens) {
                self.problems.push(format!("{}: pack {} has {} tokens", pack.path, row.pack, row.padded_tokens));
            }
            if row.samples.len() != row.shards.len() {
                self.problems.push(format!("{}: pack {} does not name a shard for each sample", pack.path, row.pack));
            }
            for (sample, shard) in row.samples.iter().zip(&row.shards) {
                if self.delivered.get(sample) != Some(shard) || !packed.insert(*sample) {
                    self.problems
                        .push(format!("{}: sample {sample} is not in the shard named, or is packed twice", pack.path));
                }
            }
        }
        let num_left = self.delivered.len() as u64 - packed.len() as u64;
        if num_left != pack.summary.report.num_too_long {
            self.problems.push(format!("{}: {num_left} delivered samples are in no pack", pack.path));
        }
        Ok(())
    }
}
