//! What one pass over the ledger finds: lengths, reasons with examples, and which samples to show.

use std::collections::BTreeMap;

use manyframe_core::{Digest, Layout, RecordId};
use manyframe_dataset::{DatasetError, DatasetReader, LedgerRow, Status};
use serde::Serialize;

use crate::histogram::{Chart, Histogram};
use crate::options::ReportOptions;

/// How many examples of a reason are shown.
const MOST_EXAMPLES: usize = 3;

/// The records of a source that were rejected for one reason.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Reason {
    source: String,
    code: String,
    number: u64,
    examples: Vec<Example>,
}

#[derive(Debug, Serialize)]
struct Example {
    id: String,
    upstream_id: String,
    detail: String,
}

/// What the ledger says.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) reasons: Vec<Reason>,
    /// The samples to show, by source and layout.
    pub(crate) chosen: Vec<LedgerRow>,
    tokens: Histogram,
    images: Histogram,
    turns: Histogram,
    tokens_per_visual: Histogram,
}

/// The samples of a source and layout with the lowest ranks.
type Lowest = BTreeMap<(Digest, RecordId), LedgerRow>;

impl Counts {
    pub(crate) fn of(dataset: &DatasetReader, options: ReportOptions) -> Result<Self, DatasetError> {
        let mut counts = Self::default();
        let mut reasons: BTreeMap<(String, String), Reason> = BTreeMap::new();
        let mut groups: BTreeMap<(String, Layout), Lowest> = BTreeMap::new();
        for row in dataset.ledger()? {
            let row = row?;
            match (row.status, row.measured) {
                (Status::Delivered, Some((_, layout))) => {
                    counts.add_sample(&row);
                    let rank = Digest::of_fields([&b"report"[..], &options.seed.to_le_bytes(), &row.id.0]);
                    let lowest = groups.entry((row.source.clone(), layout)).or_default();
                    lowest.insert((rank, row.id), row);
                    if lowest.len() > options.samples_per_group {
                        lowest.pop_last();
                    }
                }
                (Status::Rejected, _) => add_reject(&mut reasons, row),
                _ => {}
            }
        }
        counts.chosen = groups.into_values().flat_map(BTreeMap::into_values).collect();
        counts.reasons = reasons.into_values().collect();
        counts.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.number));
        Ok(counts)
    }

    fn add_sample(&mut self, row: &LedgerRow) {
        if let Some((cost, _)) = row.measured {
            self.tokens.add(cost.num_tokens());
            self.images.add(cost.num_images);
        }
        if let Some(num_turns) = row.num_turns {
            self.turns.add(u64::from(num_turns));
        }
        row.tokens_per_visual.iter().flatten().for_each(|num_tokens| self.tokens_per_visual.add(*num_tokens));
    }

    /// The histograms, those of packs included.
    pub(crate) fn charts(&self, dataset: &DatasetReader) -> Result<Vec<Chart>, DatasetError> {
        let (mut pack_tokens, mut pack_images) = (Histogram::default(), Histogram::default());
        if dataset.manifest().pack.is_some() {
            for pack in dataset.packs()? {
                let pack = pack?;
                pack_tokens.add(pack.num_tokens);
                pack_images.add(pack.cu_images.last().copied().unwrap_or_default());
            }
        }
        let charts = [
            self.tokens.chart("tokens per sample"),
            self.images.chart("images per sample"),
            self.turns.chart("turns per sample"),
            self.tokens_per_visual.chart("tokens per image or video"),
            pack_tokens.chart("tokens per pack"),
            pack_images.chart("images per pack"),
        ];
        Ok(charts.into_iter().flatten().collect())
    }
}

fn add_reject(reasons: &mut BTreeMap<(String, String), Reason>, row: LedgerRow) {
    let code = row.reason.unwrap_or_default();
    let reason = reasons.entry((row.source.clone(), code.clone())).or_default();
    reason.number += 1;
    if reason.number == 1 {
        (reason.source, reason.code) = (row.source, code);
    }
    if reason.examples.len() < MOST_EXAMPLES {
        let detail = row.detail.unwrap_or_default();
        reason.examples.push(Example { id: row.id.to_string(), upstream_id: row.upstream_id, detail });
    }
}
