//! What one pass over the ledger finds: lengths, reasons with examples, and which samples to show.

use std::collections::BTreeMap;

use manyframe_core::{Digest, Layout, RecordId};
use manyframe_dataset::{DatasetError, DatasetReader, LedgerRow, ShardEntry, Status};
use serde::Serialize;

use crate::histogram::{AspectRatios, Chart, Histogram};
use crate::options::ReportOptions;
use crate::originals::{Duplicates, Originals, ShownOriginal};

/// After so many images and videos, no further shard is looked at for their aspect ratios.
const MAX_RATIOS: u64 = 100_000;
/// How many examples of a reason are shown.
const MOST_EXAMPLES: usize = 3;

/// The records of a source that were rejected for one reason.
#[derive(Debug, Serialize)]
pub(crate) struct Reason {
    source: String,
    code: String,
    number: u64,
    examples: Vec<ShownOriginal>,
}

#[derive(Debug, Default)]
struct Rejects {
    number: u64,
    examples: Vec<LedgerRow>,
}

/// What the ledger says.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// By source and reason.
    rejects: BTreeMap<(String, String), Rejects>,
    pub(crate) duplicates: Duplicates,
    /// The samples to show, by source and layout.
    pub(crate) chosen: Vec<LedgerRow>,
    tokens: Histogram,
    images: Histogram,
    frames: Histogram,
    turns: Histogram,
    tokens_per_visual: Histogram,
}

/// The samples of a source and layout with the lowest ranks.
type Lowest = BTreeMap<(Digest, RecordId), LedgerRow>;

impl Counts {
    pub(crate) fn of(dataset: &DatasetReader, options: ReportOptions<'_>) -> Result<Self, DatasetError> {
        let mut counts = Self::default();
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
                (Status::Rejected, _) => counts.add_reject(row),
                (Status::Duplicate, _) => counts.duplicates.add(row, options.seed),
                _ => {}
            }
        }
        counts.chosen = groups.into_values().flat_map(BTreeMap::into_values).collect();
        Ok(counts)
    }

    fn add_sample(&mut self, row: &LedgerRow) {
        if let Some((cost, _)) = row.measured {
            self.tokens.add(cost.num_tokens());
            self.images.add(cost.num_images);
            if cost.num_frames > 0 {
                self.frames.add(cost.num_frames);
            }
        }
        if let Some(num_turns) = row.num_turns {
            self.turns.add(u64::from(num_turns));
        }
        row.tokens_per_visual.iter().flatten().for_each(|num_tokens| self.tokens_per_visual.add(*num_tokens));
    }

    fn add_reject(&mut self, row: LedgerRow) {
        let key = (row.source.clone(), row.reason.clone().unwrap_or_default());
        let rejects = self.rejects.entry(key).or_default();
        rejects.number += 1;
        if rejects.examples.len() < MOST_EXAMPLES {
            rejects.examples.push(row);
        }
    }

    /// Why records were rejected, the most frequent reason first.
    pub(crate) fn reasons(self, originals: &dyn Originals) -> Vec<Reason> {
        let reason = |((source, code), rejects): ((String, String), Rejects)| {
            let examples = rejects.examples.iter().map(|row| ShownOriginal::of(row, originals)).collect();
            Reason { source, code, number: rejects.number, examples }
        };
        let mut reasons: Vec<Reason> = self.rejects.into_iter().map(reason).collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.number));
        reasons
    }

    /// The histograms, those of packs included.
    pub(crate) fn charts(&self, dataset: &DatasetReader, seed: u64) -> Result<Vec<Chart>, DatasetError> {
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
            self.frames.chart("frames per sample with videos"),
            self.turns.chart("turns per sample"),
            self.tokens_per_visual.chart("tokens per image or video"),
            aspect_ratios(dataset, seed)?,
            pack_tokens.chart("tokens per pack"),
            pack_images.chart("images per pack"),
        ];
        Ok(charts.into_iter().flatten().collect())
    }
}

/// The aspect ratios of the images and videos of a dataset; of a large one, of those of some shards.
fn aspect_ratios(dataset: &DatasetReader, seed: u64) -> Result<Option<Chart>, DatasetError> {
    let rank = |shard: &ShardEntry| {
        let path = shard.path.to_string();
        (Digest::of_fields([&b"aspect ratios"[..], &seed.to_le_bytes(), path.as_bytes()]), path)
    };
    let mut shards: Vec<_> = dataset.shards_of_one_format().collect();
    shards.sort_by_cached_key(|shard| rank(shard));
    let (mut ratios, mut num_read) = (AspectRatios::default(), 0);
    for shard in &shards {
        if ratios.number() >= MAX_RATIOS {
            break;
        }
        for entry in dataset.sample_entries(shard)? {
            entry?.sample.visuals.iter().for_each(|visual| ratios.add(visual.width_px, visual.height_px));
        }
        num_read += 1;
    }
    let of = if num_read < shards.len() { format!(" in {num_read} of {} shards", shards.len()) } else { String::new() };
    Ok(ratios.chart("aspect ratios of images and videos", &of))
}
