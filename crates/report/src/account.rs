//! What the manifest says: totals, the mix, what happened to records, packs.

use std::collections::BTreeMap;

use manyframe_core::{RejectCode, Total};
use manyframe_dataset::{Manifest, PackEntry, SourceSummary};
use manyframe_samplers::Balance;
use serde::Serialize;

/// A dataset in numbers.
#[derive(Debug, Serialize)]
pub(crate) struct Account {
    name: String,
    description: String,
    version: String,
    total: Numbers,
    num_shards: usize,
    num_bytes: u64,
    sources: Vec<Source>,
    /// What the parts of the bars are that show what became of records, in their order.
    flow_key: Vec<FlowKey>,
    packs: Option<Packing>,
}

/// How a part of a bar looks: a class of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct FlowKey {
    name: &'static str,
    class: String,
}

/// Samples and what they cost.
#[derive(Debug, Serialize)]
struct Numbers {
    num_samples: u64,
    num_tokens: u64,
    visual_tokens: u64,
    num_images: u64,
    num_frames: u64,
}

#[derive(Debug, Serialize)]
struct Source {
    name: String,
    kind: String,
    license: String,
    delivered: Numbers,
    /// What the pipeline file asks for, in its unit.
    asked: u64,
    drawn: u64,
    unit: &'static str,
    /// Shares of all sources, from 0 to 1; of what is asked and drawn only if all sources count in the same unit.
    asked_share: Option<f64>,
    drawn_share: Option<f64>,
    samples_share: f64,
    tokens_share: f64,
    num_seen: u64,
    /// What became of its records and their repetitions.
    outcomes: Vec<Outcome>,
    /// The same, with those that were rejected by reason.
    flow: Vec<FlowPart>,
}

/// A part of the bar of a source.
#[derive(Debug, Serialize)]
struct FlowPart {
    #[serde(flatten)]
    key: FlowKey,
    number: u64,
    share: f64,
}

#[derive(Debug, Serialize)]
struct Outcome {
    name: &'static str,
    number: u64,
    share: f64,
}

#[derive(Debug, Serialize)]
struct Packing {
    num_packs: u64,
    num_steps: u64,
    capacity_tokens: u64,
    fill: f64,
    samples_per_pack: f64,
    sources_per_pack: f64,
    num_padding_tokens: u64,
    num_too_long: u64,
    num_ranks: u32,
    num_idle_ranks: u64,
    /// What is spread over ranks, and how evenly.
    balance: Vec<SpreadOverRanks>,
}

#[derive(Debug, Serialize)]
struct SpreadOverRanks {
    what: &'static str,
    max_over_mean: f64,
    worst_excess: f64,
}

/// Reasons that have a look of their own in bars; the page has a class for each. What is rejected for others looks the same.
const NUM_REASON_LOOKS: usize = 12;

impl Account {
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let sources = sources(manifest, &reasons(manifest));
        Self {
            flow_key: flow_key(&sources),
            name: manifest.name.clone(),
            description: manifest.description.clone(),
            version: manifest.manyframe_version.clone(),
            total: numbers(manifest.total),
            num_shards: manifest.shards.len(),
            num_bytes: manifest.shards.iter().map(|shard| shard.num_bytes).sum(),
            sources,
            packs: manifest.pack.as_ref().map(packs),
        }
    }
}

fn numbers(total: Total) -> Numbers {
    Numbers {
        num_samples: total.num_samples,
        num_tokens: total.cost.num_tokens(),
        visual_tokens: total.cost.visual_tokens,
        num_images: total.cost.num_images,
        num_frames: total.cost.num_frames,
    }
}

fn sources(manifest: &Manifest, reasons: &[RejectCode]) -> Vec<Source> {
    let asked = |source: &SourceSummary| source.budget.asked;
    let first_unit = manifest.sources.first().map(|source| asked(source).unit);
    let is_one_unit = manifest.sources.iter().all(|source| Some(asked(source).unit) == first_unit);
    let all_asked: f64 = manifest.sources.iter().map(|source| asked(source).amount).sum();
    let all_drawn = manifest.sources.iter().map(|source| asked(source).drawn).sum::<u64>() as f64;
    let source = |source: &SourceSummary| {
        let asked = asked(source);
        let delivered = numbers(source.delivered);
        Source {
            name: source.budget.name.clone(),
            kind: source.budget.kind.clone(),
            license: source.license_text(),
            asked: asked.amount.round() as u64,
            drawn: asked.drawn,
            unit: asked.unit.as_str(),
            asked_share: is_one_unit.then(|| share(asked.amount, all_asked)),
            drawn_share: is_one_unit.then(|| share(asked.drawn as f64, all_drawn)),
            samples_share: share(delivered.num_samples as f64, manifest.total.num_samples as f64),
            tokens_share: share(delivered.num_tokens as f64, manifest.total.cost.num_tokens() as f64),
            num_seen: source.budget.num_seen,
            outcomes: outcomes(source),
            flow: flow(source, reasons),
            delivered,
        }
    };
    manifest.sources.iter().map(source).collect()
}

/// The reasons of all rejects, the most common first.
fn reasons(manifest: &Manifest) -> Vec<RejectCode> {
    let mut numbers: BTreeMap<RejectCode, u64> = BTreeMap::new();
    for (code, number) in manifest.sources.iter().flat_map(|source| &source.budget.rejected) {
        *numbers.entry(*code).or_default() += number;
    }
    let mut reasons: Vec<RejectCode> = numbers.keys().copied().collect();
    reasons.sort_by_key(|code| std::cmp::Reverse(numbers.get(code).copied()));
    reasons
}

/// The parts that some bar has. Each bar has all of them, in the same order, though there may be nothing in it.
fn flow_key(sources: &[Source]) -> Vec<FlowKey> {
    let is_shown = |key: &&FlowKey| {
        sources.iter().flat_map(|source| &source.flow).any(|part| part.key == **key && part.number > 0)
    };
    let keys = sources.iter().take(1).flat_map(|source| &source.flow).map(|part| &part.key);
    keys.filter(is_shown).cloned().collect()
}

/// The parts of the bar of a source, in the order of every bar.
fn flow(source: &SourceSummary, reasons: &[RejectCode]) -> Vec<FlowPart> {
    let part = |name, class: String, number: u64| FlowPart { key: FlowKey { name, class }, number, share: 0.0 };
    let rejected = |codes: &[RejectCode]| codes.iter().filter_map(|code| source.budget.rejected.get(code)).sum();
    let (own, others) = reasons.split_at(reasons.len().min(NUM_REASON_LOOKS));
    let mut parts = vec![
        part("delivered", "delivered".to_owned(), source.delivered.num_samples),
        part("not drawn", "notdrawn".to_owned(), source.num_not_drawn),
        part("duplicate", "duplicate".to_owned(), source.num_duplicates),
    ];
    parts.extend(
        (0..).zip(own).map(|(look, code): (usize, _)| part(code.as_str(), format!("reason{look}"), rejected(&[*code]))),
    );
    parts.push(part("other reasons", "reasons".to_owned(), rejected(others)));
    let all: u64 = parts.iter().map(|part| part.number).sum();
    for part in &mut parts {
        part.share = share(part.number as f64, all as f64);
    }
    parts
}

fn outcomes(source: &SourceSummary) -> Vec<Outcome> {
    let outcomes = [
        ("delivered", source.delivered.num_samples),
        ("not drawn", source.num_not_drawn),
        ("duplicate", source.num_duplicates),
        ("rejected", source.budget.rejected.values().sum()),
    ];
    let all: u64 = outcomes.iter().map(|(_, number)| number).sum();
    outcomes.map(|(name, number)| Outcome { name, number, share: share(number as f64, all as f64) }).into()
}

fn packs(pack: &PackEntry) -> Packing {
    let report = &pack.summary.report;
    let balance = [
        ("tokens", report.token_balance),
        ("images", report.image_balance),
        ("visual tokens", report.visual_token_balance),
    ];
    let spread = |(what, balance): (_, Balance)| SpreadOverRanks {
        what,
        max_over_mean: balance.max_over_mean,
        worst_excess: balance.worst_excess,
    };
    Packing {
        num_packs: report.num_packs,
        num_steps: report.num_steps,
        capacity_tokens: u64::from(pack.summary.capacity_tokens),
        fill: report.fill,
        samples_per_pack: report.samples_per_pack,
        sources_per_pack: report.sources_per_pack,
        num_padding_tokens: report.num_padding_tokens,
        num_too_long: report.num_too_long,
        num_ranks: pack.summary.settings.ranks.get(),
        num_idle_ranks: report.num_idle_ranks,
        balance: balance.map(spread).into(),
    }
}

/// A part of a whole, from 0 to 1; 0 of nothing.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
