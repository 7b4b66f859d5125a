//! LongLLaVA's third stage at its published size, over a generated index of three million records: what is asked for is
//! drawn, packing loses nothing, and the released packer would have lost samples.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::num::NonZeroU32;

use manyframe_core::{IndexRow, SourceIndex, TypedIndex};
use manyframe_samplers::{
    ConcatOptions, ConcatSample, Difference, Drawn, Law, MixTotal, OnExhausted, Order, PackOptions, PackingStrategy,
    Replacement, SampleLength, SourceShare, Unit, audit_concat, mix, pack,
};

/// Four times as many records as the recipe asks of each source.
fn index() -> Vec<IndexRow> {
    let mut rows = Vec::new();
    for (source, (_, thousands)) in support::SOURCES.into_iter().enumerate() {
        for _ in 0..4000 * thousands {
            let n = rows.len() as u64;
            rows.push(support::row(support::of_source(source, n), n));
        }
    }
    rows
}

fn shares(rows: &[IndexRow], law: impl Fn(u64) -> Law) -> Vec<SourceShare> {
    let mut eligible = vec![Vec::new(); support::SOURCES.len()];
    for (at, row) in rows.iter().enumerate() {
        eligible[row.source.position()].push(at as u32);
    }
    let share = |((name, thousands), eligible): ((&str, u64), Vec<u32>)| SourceShare {
        name: name.to_owned(),
        eligible,
        law: law(thousands),
        unit: Unit::Records,
        on_exhausted: OnExhausted::Error,
        replacement: Replacement::Without,
        seed: 1,
        stratify: None,
    };
    support::SOURCES.into_iter().zip(eligible).map(share).collect()
}

fn delivered(rows: &[IndexRow]) -> Vec<Drawn> {
    let mixture = mix(rows, &shares(rows, |thousands| Law::Take(1000 * thousands)), MixTotal::Largest).unwrap();
    let drawn = mixture.shares.into_iter().map(|share| share.drawn).collect();
    Order::Shuffled.arrange(rows, drawn, 1)
}

fn options(strategy: PackingStrategy) -> PackOptions {
    let number = |number| NonZeroU32::new(number).unwrap();
    PackOptions { ranks: number(8), ..PackOptions::new(strategy, number(40_960)) }
}

#[test]
fn the_counts_of_the_recipe_are_met_exactly_and_its_weights_within_one_record() {
    let rows = index();
    let taken = mix(&rows, &shares(&rows, |thousands| Law::Take(1000 * thousands)), MixTotal::Largest).unwrap();
    for (share, (_, thousands)) in taken.shares.iter().zip(support::SOURCES) {
        assert_eq!(
            (share.achieved, share.available, share.difference),
            (1000 * thousands, 4000 * thousands, Difference::None)
        );
        assert_eq!(share.drawn.len() as u64, 1000 * thousands);
    }
    // One record less than the recipe: no share is a whole number of records.
    let weighted =
        mix(&rows, &shares(&rows, |thousands| Law::Weight(thousands as f64)), MixTotal::Units(749_999)).unwrap();
    assert_eq!(weighted.shares.iter().map(|share| share.achieved).sum::<u64>(), 749_999);
    for (weighted, taken) in weighted.shares.iter().zip(&taken.shares) {
        assert!((weighted.achieved as f64 - weighted.asked).abs() < 1.0);
        assert!(weighted.drawn.iter().all(|drawn| taken.drawn.binary_search(drawn).is_ok()));
    }
}

#[test]
fn packing_the_recipe_loses_nothing_where_the_released_packer_does() {
    let rows = index();
    let delivered = delivered(&rows);
    let of = |drawn: &Drawn| rows[drawn.position()].cost;
    let length = |drawn: &Drawn| SampleLength {
        tokens: of(drawn).num_tokens() as u32,
        images: of(drawn).num_images as u32,
        visual_tokens: of(drawn).visual_tokens as u32,
    };
    let lengths: Vec<SampleLength> = delivered.iter().map(length).collect();
    let sources: Vec<SourceIndex> = delivered.iter().map(|drawn| rows[drawn.position()].source).collect();

    let best_fit = options(PackingStrategy::BestFitDecreasing);
    let report = pack(&lengths, &best_fit).unwrap().report(&lengths, &sources, &best_fit);
    assert_eq!((report.num_samples, report.num_too_long), (750_000, 0));
    assert!(report.fill >= 0.999, "{}", report.fill);

    let balanced = options(PackingStrategy::Balanced);
    let report = pack(&lengths, &balanced).unwrap().report(&lengths, &sources, &balanced);
    assert_eq!((report.num_samples, report.num_too_long, report.num_idle_ranks), (750_000, 0, 0));
    assert!(report.fill >= 0.97, "{}", report.fill);
    assert!(report.image_balance.max_over_mean <= 1.03, "{:?}", report.image_balance);

    let sample = |drawn: &Drawn| ConcatSample {
        source: rows[drawn.position()].source,
        num_images: of(drawn).num_images as u32,
        text_tokens: of(drawn).text_tokens as u32,
        turn_tokens: of(drawn).text_tokens as u32,
        num_turns: rows[drawn.position()].num_turns,
    };
    let samples: Vec<ConcatSample> = delivered.iter().map(sample).collect();
    let audit =
        audit_concat(samples.iter().copied(), &ConcatOptions { limit_tokens: 40_960, ..ConcatOptions::default() });
    let (all, lost) = (audit.total().all, audit.total().lost());
    assert_eq!(all.samples, 750_000);
    assert!(lost.samples > all.samples / 20 && lost.tokens > all.tokens / 10, "{lost:?} of {all:?}");
    assert!(audit.fill < 0.7, "{}", audit.fill);
}
