//! What is drawn from a generated index, and how it is ordered and packed, does not change from version to version: it
//! determines the bytes of datasets. A digest that must change here changes every dataset that uses the feature.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::num::{NonZeroU32, NonZeroUsize};

use manyframe_core::{Digest, IndexRow, TypedIndex};
use manyframe_samplers::{
    Drawn, Law, MixTotal, OnExhausted, Order, PackOptions, PackingStrategy, Padding, Replacement, SampleLength,
    SourceShare, Stratify, StratumSplit, Unit, mix, pack,
};

/// 400 records of each source.
fn index() -> Vec<IndexRow> {
    (0..2400).map(|n| support::row(support::of_source((n % 6) as usize, n), n)).collect()
}

/// A share for each source.
fn shares(rows: &[IndexRow], law: Law, unit: Unit) -> Vec<SourceShare> {
    let share = |source: usize| SourceShare {
        name: source.to_string(),
        eligible: (0..rows.len() as u32).filter(|&row| rows[row as usize].source.position() == source).collect(),
        law,
        unit,
        on_exhausted: OnExhausted::Repeat,
        replacement: Replacement::Without,
        seed: 7,
        stratify: None,
    };
    (0..support::SOURCES.len()).map(share).collect()
}

fn with_strata(mut shares: Vec<SourceShare>, split: StratumSplit) -> Vec<SourceShare> {
    for share in &mut shares {
        share.stratify = Some(Stratify { strata: share.eligible.iter().map(|&row| row % 35 / 6).collect(), split });
    }
    shares
}

fn with_replacement(mut shares: Vec<SourceShare>) -> Vec<SourceShare> {
    for share in &mut shares {
        share.replacement = Replacement::With;
    }
    shares
}

fn drawn(rows: &[IndexRow], shares: &[SourceShare], total: MixTotal) -> Vec<Drawn> {
    mix(rows, shares, total).unwrap().shares.into_iter().flat_map(|share| share.drawn).collect()
}

/// The first eight digits of the digest of some numbers.
fn digest(numbers: impl IntoIterator<Item = u64>) -> String {
    let bytes: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
    Digest::of(&bytes).to_string()[..8].to_owned()
}

fn digest_of_drawn(drawn: &[Drawn]) -> String {
    digest(drawn.iter().flat_map(|drawn| [u64::from(drawn.row), u64::from(drawn.repetition)]))
}

#[test]
fn draws_are_those_of_earlier_versions() {
    let rows = index();
    let of = |law, unit| shares(&rows, law, unit);
    let digests = [
        ("take", drawn(&rows, &of(Law::Take(150), Unit::Records), MixTotal::Largest)),
        ("take too much", drawn(&rows, &of(Law::Take(1000), Unit::Records), MixTotal::Largest)),
        ("take tokens", drawn(&rows, &of(Law::Take(70_000), Unit::Tokens), MixTotal::Largest)),
        ("repeat", drawn(&rows, &of(Law::Repeat(1.7), Unit::Records), MixTotal::Largest)),
        ("weight", drawn(&rows, &of(Law::Weight(1.3), Unit::Records), MixTotal::Units(1001))),
        ("weight in tokens", drawn(&rows, &of(Law::Weight(1.3), Unit::Tokens), MixTotal::Largest)),
        (
            "proportional strata",
            drawn(
                &rows,
                &with_strata(of(Law::Take(150), Unit::Records), StratumSplit::Proportional),
                MixTotal::Largest,
            ),
        ),
        (
            "equal strata",
            drawn(&rows, &with_strata(of(Law::Take(150), Unit::Records), StratumSplit::Equal), MixTotal::Largest),
        ),
        ("with replacement", drawn(&rows, &with_replacement(of(Law::Take(150), Unit::Records)), MixTotal::Largest)),
    ]
    .map(|(name, drawn)| format!("{name}: {}", digest_of_drawn(&drawn)));
    assert_eq!(digests, DRAWS);
}

const DRAWS: [&str; 9] = [
    "take: 0baf3f9e",
    "take too much: 9b03cbb1",
    "take tokens: c492cc78",
    "repeat: b7fed1fe",
    "weight: 387be59f",
    "weight in tokens: c842b397",
    "proportional strata: f0aa786d",
    "equal strata: 783e2b04",
    "with replacement: e35dc38d",
];

#[test]
fn orders_are_those_of_earlier_versions() {
    let rows = index();
    let drawn = drawn(&rows, &shares(&rows, Law::Repeat(2.3), Unit::Records), MixTotal::Largest);
    let orders = [Order::Shuffled, Order::ByLength, Order::BySource, Order::Interleaved];
    let digests = orders.map(|order| digest_of_drawn(&order.arrange(&rows, vec![drawn.clone()], 7)));
    assert_eq!(digests, ORDERS);
}

const ORDERS: [&str; 4] = ["e2ad01e5", "91743d82", "44a7db29", "fcfff8cd"];

#[test]
fn packs_are_those_of_earlier_versions() {
    let length = |row: &IndexRow| SampleLength {
        tokens: row.cost.num_tokens() as u32,
        images: row.cost.num_images as u32,
        visual_tokens: row.cost.visual_tokens as u32,
    };
    let lengths: Vec<SampleLength> = index().iter().map(length).collect();
    let number = |number| NonZeroU32::new(number).unwrap();
    let strategies = [
        PackingStrategy::None,
        PackingStrategy::NextFit,
        PackingStrategy::BestFitDecreasing,
        PackingStrategy::Balanced,
    ];
    let digests = strategies.map(|strategy| {
        let all = PackOptions { seed: 7, ranks: number(8), ..PackOptions::new(strategy, number(16_384)) };
        let limited = PackOptions {
            max_images: Some(number(60)),
            pad_to_multiple: number(16),
            padding: Padding::Samples,
            window: NonZeroUsize::new(500),
            ..all
        };
        [all, limited].map(|options| {
            let packs = pack(&lengths, &options).unwrap();
            let numbers = packs.members.iter().chain(&packs.too_long).map(|&sample| u64::from(sample));
            digest(numbers.chain(packs.offsets.iter().map(|&offset| offset as u64)))
        })
    });
    assert_eq!(digests, PACKS);
}

const PACKS: [[&str; 2]; 4] =
    [["0ac1297a", "5346dac1"], ["d15e450e", "568a7f74"], ["3ace5bf5", "08e5b821"], ["cee3d73b", "298bb383"]];
