//! What differs between two datasets: settings, counts of each source, and what became of each record.
//!
//! ```text
//! ledger A ─▶ records by id ◀─ ledger B        in both: outcome and measures are compared, and samples of shards that differ
//!                  └── in one only: a record of the same source with the same upstream id is the same one, edited;
//!                                   any other came or went
//! ```
//!
//! Memory: one row of fixed size for each record of the first dataset, and texts of those that are in one only.

use std::collections::BTreeMap;

use manyframe_core::{Cost, Digest, Layout, RecordId};
use manyframe_pipeline::{SettingDifference, differences};
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::DatasetError;
use crate::ledger::LedgerRow;
use crate::manifest::Manifest;
use crate::reader::DatasetReader;
use crate::sample_difference::{Differs, SampleComparison, compare_samples};
use crate::source::SourceSummary;

/// What differs between two datasets, `a` and `b`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DatasetDifference {
    /// The first.
    pub a: DatasetIdentity,
    /// The second.
    pub b: DatasetIdentity,
    /// Settings with different values.
    pub settings: Vec<SettingDifference>,
    /// Every source of either, in the order of the first, then those of the second alone.
    pub sources: Vec<SourceDifference>,
    /// Records with different outcomes or measures, in groups.
    pub records: Vec<RecordGroup>,
    /// Whose text and media were compared.
    pub samples: SampleComparison,
    /// Files of shards by what became of their bytes.
    pub shards: ShardDifference,
}

/// Which dataset it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DatasetIdentity {
    /// Its directory or URL.
    pub location: String,
    /// Its name.
    pub name: String,
    /// The digest of its manifest: equal for equal datasets.
    pub manifest_digest: Digest,
    /// Version of manyframe that built it.
    pub manyframe_version: String,
    /// Digest of its tokenizer.
    pub tokenizer_digest: Digest,
    /// Digest of its chat template, if that is in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_digest: Option<Digest>,
    /// The sum over its sources.
    #[serde(flatten)]
    pub counts: SourceCounts,
}

/// What became of the records of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceCounts {
    /// Records seen.
    pub num_seen: u64,
    /// Records rejected, or left out by a filter.
    pub num_rejected: u64,
    /// Records left out as duplicates.
    pub num_duplicates: u64,
    /// Records that could have been drawn, but were not.
    pub num_not_drawn: u64,
    /// Samples delivered.
    pub num_samples: u64,
    /// Their tokens.
    pub num_tokens: u64,
    /// Their images, frames and tiles included.
    pub num_images: u64,
    /// The part of these that is frames of videos.
    pub num_frames: u64,
}

/// A source in both datasets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceDifference {
    /// Its name.
    pub name: String,
    /// Its counts in the first; absent if the first does not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a: Option<SourceCounts>,
    /// Its counts in the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<SourceCounts>,
}

/// Records of a source to which the same happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RecordGroup {
    /// Their source.
    pub source: String,
    /// What became of them in the first dataset: `delivered`, `duplicate`, `not_drawn`, the reason of a reject, or `absent`.
    pub a: String,
    /// What became of them in the second.
    pub b: String,
    /// What differs besides the outcome: `content` (text or paths of media: the record was edited), and of delivered samples
    /// `text`, `media`, `tokens`, `images`, `layout`, `turns`, `shortened`.
    pub differs: Vec<Aspect>,
    /// How many they are.
    pub num_records: u64,
    /// Tokens that the second dataset delivers of them beyond the first.
    pub token_difference: i64,
    /// The first of them.
    pub examples: Vec<RecordExample>,
}

/// A record of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RecordExample {
    /// Its id: that of the second dataset, unless only the first has it.
    pub id: RecordId,
    /// Its id in the upstream dataset.
    pub upstream_id: String,
}

/// In what a record differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Its text, or the paths of its media.
    Content,
    /// The text of its sample, though its record is the same.
    Text,
    /// The bytes of its images and videos.
    Media,
    /// Its number of tokens.
    Tokens,
    /// Its number of images or frames.
    Images,
    /// Its layout.
    Layout,
    /// Its number of turns.
    Turns,
    /// Whether it was shortened to fit.
    Shortened,
}

/// Files of shards, by their paths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ShardDifference {
    /// Those with the same bytes.
    pub num_same: u64,
    /// Those with other bytes.
    pub num_different: u64,
    /// Those of the first alone.
    pub num_only_a: u64,
    /// Those of the second alone.
    pub num_only_b: u64,
}

impl DatasetDifference {
    /// Compares two datasets; each group of records gets at most `num_examples` examples.
    ///
    /// # Errors
    ///
    /// If a ledger cannot be read.
    pub fn between(a: &DatasetReader, b: &DatasetReader, num_examples: usize) -> Result<Self, DatasetError> {
        let (records, samples) = RecordGroups::between(a, b, num_examples)?;
        Ok(Self {
            a: DatasetIdentity::of(a),
            b: DatasetIdentity::of(b),
            settings: differences(&settings(a.manifest()), &settings(b.manifest())),
            sources: sources(a.manifest(), b.manifest()),
            records,
            samples,
            shards: ShardDifference::between(a.manifest(), b.manifest()),
        })
    }

    /// Whether the two are one dataset, byte for byte.
    pub fn is_same(&self) -> bool {
        self.a.manifest_digest == self.b.manifest_digest
    }
}

impl DatasetIdentity {
    fn of(dataset: &DatasetReader) -> Self {
        let manifest = dataset.manifest();
        let mut counts = SourceCounts::default();
        for source in &manifest.sources {
            counts.add(SourceCounts::of(source));
        }
        Self {
            location: dataset.location().display().to_string(),
            name: manifest.name.clone(),
            manifest_digest: dataset.manifest_digest(),
            manyframe_version: manifest.manyframe_version.clone(),
            tokenizer_digest: manifest.tokenizer_digest,
            template_digest: manifest.template_digest,
            counts,
        }
    }
}

impl SourceCounts {
    fn of(source: &SourceSummary) -> Self {
        Self {
            num_seen: source.budget.num_seen,
            num_rejected: source.num_rejected(),
            num_duplicates: source.num_duplicates,
            num_not_drawn: source.num_not_drawn,
            num_samples: source.delivered.num_samples,
            num_tokens: source.delivered.cost.num_tokens(),
            num_images: source.delivered.cost.num_images,
            num_frames: source.delivered.cost.num_frames,
        }
    }

    fn add(&mut self, other: Self) {
        self.num_seen += other.num_seen;
        self.num_rejected += other.num_rejected;
        self.num_duplicates += other.num_duplicates;
        self.num_not_drawn += other.num_not_drawn;
        self.num_samples += other.num_samples;
        self.num_tokens += other.num_tokens;
        self.num_images += other.num_images;
        self.num_frames += other.num_frames;
    }
}

/// The settings of a dataset, with those that it is packed with now.
fn settings(manifest: &Manifest) -> Value {
    let mut settings = manifest.pipeline.clone();
    if let (Some(fields), Some(pack)) = (settings.as_object_mut(), &manifest.pack) {
        fields.insert("pack".to_owned(), json!(pack.summary.settings));
    }
    settings
}

fn sources(a: &Manifest, b: &Manifest) -> Vec<SourceDifference> {
    let counts = |manifest: &Manifest, name: &str| {
        manifest.sources.iter().find(|source| source.budget.name == name).map(SourceCounts::of)
    };
    let is_new = |source: &&SourceSummary| counts(a, &source.budget.name).is_none();
    let all = a.sources.iter().chain(b.sources.iter().filter(is_new));
    let difference = |source: &SourceSummary| {
        let name = source.budget.name.clone();
        SourceDifference { a: counts(a, &name), b: counts(b, &name), name }
    };
    all.map(difference).collect()
}

impl ShardDifference {
    fn between(a: &Manifest, b: &Manifest) -> Self {
        let files = |manifest: &Manifest| -> BTreeMap<String, Digest> {
            manifest.shards.iter().map(|shard| (shard.path.to_string(), shard.digest)).collect()
        };
        let (before, mut after) = (files(a), files(b));
        let mut found = Self::default();
        for (path, digest) in before {
            match after.remove(&path) {
                Some(other) if other == digest => found.num_same += 1,
                Some(_) => found.num_different += 1,
                None => found.num_only_a += 1,
            }
        }
        found.num_only_b = after.len() as u64;
        found
    }
}

/// What became of a record: an outcome that is named once, and what is compared of it.
#[derive(Debug, Clone, Copy)]
struct Fate {
    /// Position in [`Outcomes`].
    outcome: u32,
    measured: Option<(Cost, Layout)>,
    num_turns: Option<u32>,
    is_shortened: bool,
}

/// A record that is in one of the two only.
struct Alone {
    fate: Fate,
    source: String,
    example: RecordExample,
}

/// A record that is not the same in both.
struct Change {
    source: String,
    a: Option<Fate>,
    b: Option<Fate>,
    differs: Vec<Aspect>,
    example: RecordExample,
}

/// The names of outcomes, each once.
#[derive(Default)]
struct Outcomes {
    names: Vec<String>,
}

/// The outcome of a record that the other dataset has not seen.
const ABSENT: &str = "absent";

const DELIVERED: &str = "delivered";

impl Outcomes {
    fn number(&mut self, row: &LedgerRow) -> u32 {
        let name = row.reason.as_deref().unwrap_or(row.status.as_str());
        let known = self.names.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        }) as u32
    }

    fn name(&self, fate: Option<Fate>) -> &str {
        fate.and_then(|fate| self.names.get(fate.outcome as usize)).map_or(ABSENT, String::as_str)
    }

    fn fate(&mut self, row: &LedgerRow) -> Fate {
        Fate {
            outcome: self.number(row),
            measured: row.measured,
            num_turns: row.num_turns,
            is_shortened: row.shortened.is_some(),
        }
    }
}

/// What is the same for all records of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct GroupKey {
    source: String,
    a: String,
    b: String,
    differs: Vec<Aspect>,
}

#[derive(Default)]
struct Members {
    num_records: u64,
    token_difference: i64,
    examples: Vec<RecordExample>,
}

struct RecordGroups {
    outcomes: Outcomes,
    groups: BTreeMap<GroupKey, Members>,
    /// Samples that differ in what the ledgers do not say.
    samples: FxHashMap<RecordId, Differs>,
    num_examples: usize,
}

impl RecordGroups {
    fn between(
        a: &DatasetReader,
        b: &DatasetReader,
        num_examples: usize,
    ) -> Result<(Vec<RecordGroup>, SampleComparison), DatasetError> {
        if a.manifest_digest() == b.manifest_digest() {
            return Ok((Vec::new(), SampleComparison::default()));
        }
        let (samples, comparison) = compare_samples(a, b);
        let mut found = Self { outcomes: Outcomes::default(), groups: BTreeMap::new(), samples, num_examples };
        let mut before: FxHashMap<RecordId, Fate> = FxHashMap::default();
        for row in a.ledger()? {
            let row = row?;
            before.insert(row.id, found.outcomes.fate(&row));
        }
        let mut came = Vec::new();
        for row in b.ledger()? {
            let row = row?;
            let fate = found.outcomes.fate(&row);
            match before.remove(&row.id) {
                Some(earlier) => found.compare(row, earlier, fate),
                None => came.push(Alone::of(row, fate)),
            }
        }
        let mut went = Vec::new();
        if !before.is_empty() {
            for row in a.ledger()? {
                let row = row?;
                if let Some(fate) = before.remove(&row.id) {
                    went.push(Alone::of(row, fate));
                }
            }
        }
        found.pair(went, came);
        Ok((found.finish(a.manifest(), b.manifest()), comparison))
    }

    fn compare(&mut self, row: LedgerRow, a: Fate, b: Fate) {
        let mut differs = self.aspects(a, b);
        let Differs { text, media } = self.samples.get(&row.id).copied().unwrap_or_default();
        differs.extend(text.then_some(Aspect::Text).into_iter().chain(media.then_some(Aspect::Media)));
        differs.sort_unstable();
        if a.outcome != b.outcome || !differs.is_empty() {
            let example = RecordExample { id: row.id, upstream_id: row.upstream_id };
            self.count(Change { source: row.source, a: Some(a), b: Some(b), differs, example });
        }
    }

    /// In what two delivered samples differ.
    fn aspects(&self, a: Fate, b: Fate) -> Vec<Aspect> {
        if self.outcomes.name(Some(a)) != DELIVERED || self.outcomes.name(Some(b)) != DELIVERED {
            return Vec::new();
        }
        let cost = |fate: Fate, get: fn(&Cost) -> u64| fate.measured.map(|(cost, _)| get(&cost));
        let layout = |fate: Fate| fate.measured.map(|(_, layout)| layout);
        let compared = [
            (Aspect::Tokens, cost(a, Cost::num_tokens) != cost(b, Cost::num_tokens)),
            (Aspect::Images, cost(a, |cost| cost.num_images) != cost(b, |cost| cost.num_images)),
            (Aspect::Layout, layout(a) != layout(b)),
            (Aspect::Turns, a.num_turns != b.num_turns),
            (Aspect::Shortened, a.is_shortened != b.is_shortened),
        ];
        compared.into_iter().filter(|(_, differs)| *differs).map(|(aspect, _)| aspect).collect()
    }

    /// Records of one dataset only: one of each with the same upstream id, if there are no more, are one record that was edited.
    fn pair(&mut self, went: Vec<Alone>, came: Vec<Alone>) {
        let mut by_name: BTreeMap<(String, String), (Vec<Alone>, Vec<Alone>)> = BTreeMap::new();
        let key = |alone: &Alone| (alone.source.clone(), alone.example.upstream_id.clone());
        for alone in went {
            by_name.entry(key(&alone)).or_default().0.push(alone);
        }
        for alone in came {
            by_name.entry(key(&alone)).or_default().1.push(alone);
        }
        for ((_, upstream_id), (went, came)) in by_name {
            if let ([a], [b]) = (went.as_slice(), came.as_slice())
                && !upstream_id.is_empty()
            {
                let mut differs = vec![Aspect::Content];
                differs.extend(self.aspects(a.fate, b.fate));
                let (source, example) = (b.source.clone(), b.example.clone());
                self.count(Change { source, a: Some(a.fate), b: Some(b.fate), differs, example });
                continue;
            }
            for alone in went {
                let Alone { fate, source, example } = alone;
                self.count(Change { source, a: Some(fate), b: None, differs: Vec::new(), example });
            }
            for alone in came {
                let Alone { fate, source, example } = alone;
                self.count(Change { source, a: None, b: Some(fate), differs: Vec::new(), example });
            }
        }
    }

    fn count(&mut self, change: Change) {
        let Change { source, a, b, differs, example } = change;
        let outcome = |fate| self.outcomes.name(fate).to_owned();
        let tokens = |fate: Option<Fate>| {
            let delivered = fate.filter(|fate| self.outcomes.name(Some(*fate)) == DELIVERED);
            delivered.and_then(|fate| fate.measured).map_or(0, |(cost, _)| cost.num_tokens().cast_signed())
        };
        let token_difference = tokens(b) - tokens(a);
        let key = GroupKey { source, a: outcome(a), b: outcome(b), differs };
        let members = self.groups.entry(key).or_default();
        members.num_records += 1;
        members.token_difference += token_difference;
        if members.examples.len() < self.num_examples {
            members.examples.push(example);
        }
    }

    /// The groups in the order of the sources, the largest first.
    fn finish(self, a: &Manifest, b: &Manifest) -> Vec<RecordGroup> {
        let order: Vec<String> = sources(a, b).into_iter().map(|source| source.name).collect();
        let group = |(GroupKey { source, a, b, differs }, members): (GroupKey, Members)| {
            let Members { num_records, token_difference, examples } = members;
            RecordGroup { source, a, b, differs, num_records, token_difference, examples }
        };
        let mut groups: Vec<RecordGroup> = self.groups.into_iter().map(group).collect();
        groups.sort_by_key(|group| {
            (order.iter().position(|name| *name == group.source), std::cmp::Reverse(group.num_records))
        });
        groups
    }
}

impl Alone {
    fn of(row: LedgerRow, fate: Fate) -> Self {
        let example = RecordExample { id: row.id, upstream_id: row.upstream_id };
        Self { fate, source: row.source, example }
    }
}
