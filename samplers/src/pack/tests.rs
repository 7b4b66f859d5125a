//! What packing promises: each sample once, no pack over its limits, steps complete and even.

use std::num::NonZeroU32;

use manyframe_core::SourceIndex;
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::sequence_parallel::{RankLayout, Scheme};

fn options(strategy: PackingStrategy, capacity: u32) -> PackOptions {
    PackOptions::new(strategy, NonZeroU32::new(capacity).unwrap())
}

fn any_lengths() -> impl Strategy<Value = Vec<SampleLength>> {
    let length = (0u32..120, 0u32..6, 0u32..90);
    let length = length.prop_map(|(tokens, images, visual_tokens)| SampleLength { tokens, images, visual_tokens });
    prop::collection::vec(length, 0..150)
}

fn any_options() -> impl Strategy<Value = PackOptions> {
    let strategies = vec![
        PackingStrategy::None,
        PackingStrategy::NextFit,
        PackingStrategy::BestFitDecreasing,
        PackingStrategy::Balanced,
    ];
    let padding = prop::sample::select(vec![Padding::Packs, Padding::Samples]);
    let limits = (1u32..200, prop::option::of(1u32..9), 1u32..20);
    (prop::sample::select(strategies), limits, padding, prop::option::of(1usize..60), 1u32..6, any::<u64>()).prop_map(
        |(strategy, (capacity, images, multiple), padding, window, ranks, seed)| PackOptions {
            max_images: images.and_then(NonZeroU32::new),
            pad_to_multiple: NonZeroU32::new(multiple).unwrap(),
            padding,
            window: window.and_then(NonZeroUsize::new),
            ranks: NonZeroU32::new(ranks).unwrap(),
            seed,
            ..options(strategy, capacity)
        },
    )
}

proptest! {
    #[test]
    fn every_sample_is_in_one_pack_or_too_long(lengths in any_lengths(), options in any_options()) {
        let packs = pack(&lengths, &options).unwrap();
        let mut samples = packs.members.clone();
        samples.extend(&packs.too_long);
        samples.sort_unstable();
        prop_assert_eq!(samples, (0..lengths.len() as u32).collect::<Vec<_>>());
        prop_assert_eq!(packs.iter().map(<[u32]>::len).sum::<usize>(), packs.members.len());
    }

    #[test]
    fn no_pack_is_empty_or_passes_a_limit(lengths in any_lengths(), options in any_options()) {
        for pack in pack(&lengths, &options).unwrap().iter() {
            let boundaries = Boundaries::of(pack, &lengths, &options);
            prop_assert!(!pack.is_empty() && pack.is_sorted());
            prop_assert!(boundaries.padded_tokens <= options.capacity_tokens.get());
            prop_assert_eq!(boundaries.padded_tokens % options.pad_to_multiple, 0);
            let images = *boundaries.cu_images.last().unwrap();
            prop_assert!(options.max_images.is_none_or(|max| images <= max.get()));
        }
    }

    #[test]
    fn only_what_fits_nowhere_is_too_long(lengths in any_lengths(), options in any_options()) {
        for &sample in &pack(&lengths, &options).unwrap().too_long {
            let alone = Boundaries::of(&[sample], &lengths, &options);
            let too_many = options.max_images.is_some_and(|max| lengths[sample as usize].images > max.get());
            prop_assert!(alone.padded_tokens > options.capacity_tokens.get() || too_many);
        }
    }

    #[test]
    fn next_fit_keeps_the_delivered_order(lengths in any_lengths(), capacity in 1u32..200) {
        let packs = pack(&lengths, &options(PackingStrategy::NextFit, capacity)).unwrap();
        prop_assert!(packs.members.is_sorted());
    }

    #[test]
    fn best_fit_is_never_worse_than_twice_the_least(lengths in any_lengths()) {
        let packs = pack(&lengths, &options(PackingStrategy::BestFitDecreasing, 120)).unwrap();
        let tokens: u32 = lengths.iter().map(|length| length.tokens).sum();
        prop_assert!(packs.num_packs() <= 2 * tokens.div_ceil(120) as usize + 1);
    }

    #[test]
    fn best_fit_finds_the_packs_that_trying_all_finds(lengths in any_lengths(), capacity in 1u32..200) {
        let packs = pack(&lengths, &options(PackingStrategy::BestFitDecreasing, capacity)).unwrap();
        let mut sizes: Vec<u32> = lengths.iter().map(|length| length.tokens).filter(|&tokens| tokens <= capacity).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let mut left: Vec<u32> = Vec::new();
        for size in sizes {
            match left.iter_mut().filter(|left| **left >= size).min() {
                Some(left) => *left -= size,
                None => left.push(capacity - size),
            }
        }
        let fill = |pack: &[u32]| pack.iter().map(|&sample| lengths[sample as usize].tokens).sum::<u32>();
        let mut fills: Vec<u32> = packs.iter().map(fill).collect();
        let mut expected: Vec<u32> = left.into_iter().map(|left| capacity - left).collect();
        fills.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(fills, expected);
    }

    #[test]
    fn balanced_steps_are_complete_where_samples_can_be_spread(num in 60u32..300, ranks in 1u32..9, window in prop::option::of(20usize..100)) {
        let lengths: Vec<SampleLength> = (0..num).map(|n| SampleLength { tokens: 5 + n % 11, images: n % 3, visual_tokens: 0 }).collect();
        let options = PackOptions { window: window.and_then(NonZeroUsize::new), ranks: NonZeroU32::new(ranks).unwrap(), ..options(PackingStrategy::Balanced, 100) };
        prop_assert_eq!(pack(&lengths, &options).unwrap().num_packs() % ranks as usize, 0);
    }
}

#[test]
fn positions_restart_with_each_sample() {
    let lengths = [3, 2].map(|tokens| SampleLength { tokens, images: 1, visual_tokens: 0 });
    let samples = PackOptions {
        pad_to_multiple: NonZeroU32::new(4).unwrap(),
        padding: Padding::Samples,
        ..options(PackingStrategy::NextFit, 16)
    };
    let padded = Boundaries::of(&[0, 1], &lengths, &samples);
    assert_eq!((padded.cu_seqlens.as_slice(), padded.padded_tokens), (&[0, 4, 8][..], 8));
    let packs = PackOptions { padding: Padding::Packs, ..samples };
    let boundaries = Boundaries::of(&[0, 1], &lengths, &packs);
    assert_eq!((boundaries.cu_seqlens.as_slice(), boundaries.padded_tokens), (&[0, 3, 5][..], 8));
    assert_eq!(boundaries.positions().collect::<Vec<_>>(), [0, 1, 2, 0, 1]);
    assert_eq!(boundaries.cu_images, [0, 1, 2]);
}

#[test]
fn a_capacity_of_billions_needs_no_table_of_billions() {
    let lengths = [u32::MAX, 5, u32::MAX - 5000, 7].map(|tokens| SampleLength { tokens, ..SampleLength::default() });
    let packs = pack(&lengths, &options(PackingStrategy::BestFitDecreasing, u32::MAX)).unwrap();
    assert!(packs.too_long.is_empty());
    assert_eq!(packs.num_packs(), 2);
}

#[test]
fn the_report_counts_what_the_packs_hold() {
    let lengths =
        [(60, 2), (40, 0), (50, 1), (500, 3)].map(|(tokens, images)| SampleLength { tokens, images, visual_tokens: 0 });
    let options = PackOptions { ranks: NonZeroU32::new(2).unwrap(), ..options(PackingStrategy::NextFit, 100) };
    let packs = pack(&lengths, &options).unwrap();
    let report = packs.report(&lengths, &[0, 1, 0, 0].map(SourceIndex), &options);
    assert_eq!((report.num_packs, report.num_samples, report.num_too_long), (2, 3, 1));
    assert_eq!((report.num_tokens, report.num_images, report.num_idle_ranks), (150, 3, 0));
    let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
    assert!(close(report.fill, 0.75) && close(report.sources_per_pack, 1.5));
    assert!(
        close(report.token_balance.max_over_mean, 100.0 / 75.0) && close(report.image_balance.worst_excess, 0.5 / 1.5)
    );
}

#[test]
fn ranks_are_balanced_by_the_tokens_of_images_where_these_differ() {
    // Of 64 samples of one length, every other shows one large image, the others sixteen small ones.
    let lengths: Vec<SampleLength> = (0..64)
        .map(|n| match n % 2 {
            0 => SampleLength { tokens: 100, images: 1, visual_tokens: 90 },
            _ => SampleLength { tokens: 100, images: 16, visual_tokens: 20 + n % 8 },
        })
        .collect();
    let sources = vec![SourceIndex(0); lengths.len()];
    let report = |balance| {
        let ranks = NonZeroU32::new(4).unwrap();
        let options = PackOptions { balance, ranks, ..options(PackingStrategy::Balanced, 100) };
        pack(&lengths, &options).unwrap().report(&lengths, &sources, &options)
    };
    let (by_tokens, by_images) = (report(PackBalance::VisionTokens), report(PackBalance::Images));
    assert!(by_tokens.visual_token_balance.max_over_mean < 1.02, "{by_tokens:?}");
    assert!(by_images.image_balance.max_over_mean < 1.001, "{by_images:?}");
    assert_eq!(by_images.num_visual_tokens, by_tokens.num_visual_tokens);
    assert!(by_images.visual_token_balance.max_over_mean > by_tokens.visual_token_balance.max_over_mean);
}

/// The tokens of the images that each rank of a group encodes, those of a sample counted alike.
fn tokens_of_ranks(lengths: &[SampleLength], balance: PackBalance, degree: u32) -> (Vec<u64>, Vec<f64>) {
    let options = PackOptions { balance, ..options(PackingStrategy::None, u32::MAX) };
    let layout = RankLayout::new(Scheme::Zigzag { degree: NonZeroU32::new(degree).unwrap() });
    let pack: Vec<u32> = (0..lengths.len() as u32).collect();
    let images = Boundaries::of(&pack, lengths, &options).of_ranks(&layout, &options).images;
    let of_image = |length: &SampleLength| f64::from(length.visual_tokens) / f64::from(length.images);
    let costs: Vec<f64> = lengths.iter().flat_map(|length| vec![of_image(length); length.images as usize]).collect();
    let tokens = images.array_windows().map(|&[first, end]| costs[first as usize..end as usize].iter().sum());
    (images.clone(), tokens.collect())
}

#[test]
fn ranks_divide_images_by_their_tokens_where_these_differ() {
    let large = SampleLength { tokens: 900, images: 2, visual_tokens: 800 };
    let small = SampleLength { tokens: 900, images: 16, visual_tokens: 800 };
    let lengths = [large, small, SampleLength { tokens: 90, images: 0, visual_tokens: 0 }, large, small];
    let (images, tokens) = tokens_of_ranks(&lengths, PackBalance::VisionTokens, 4);
    assert_eq!((images, tokens), (vec![0, 2, 18, 20, 36], vec![800.0; 4]));
    let (images, tokens) = tokens_of_ranks(&lengths, PackBalance::Images, 4);
    assert_eq!((images, tokens[0], tokens[1]), (vec![0, 9, 18, 27, 36], 1150.0, 450.0));
    // Without tokens there are still images.
    let none = [SampleLength { visual_tokens: 0, ..small }];
    assert_eq!(tokens_of_ranks(&none, PackBalance::VisionTokens, 4).0, [0, 4, 8, 12, 16]);
}

proptest! {
    #[test]
    fn no_rank_has_more_than_its_part_of_tokens_and_an_image(lengths in any_lengths(), degree in 1u32..17) {
        // Tokens are those of images.
        let lengths: Vec<SampleLength> = lengths.into_iter().filter(|length| length.images > 0).collect();
        let (images, tokens) = tokens_of_ranks(&lengths, PackBalance::VisionTokens, degree);
        prop_assert!(images.is_sorted() && images[0] == 0);
        prop_assert_eq!(images.last().copied(), Some(lengths.iter().map(|length| u64::from(length.images)).sum()));
        let largest = lengths.iter().map(|length| f64::from(length.visual_tokens) / f64::from(length.images));
        let most = tokens.iter().sum::<f64>() / f64::from(degree) + largest.fold(0.0, f64::max);
        prop_assert!(tokens.iter().all(|&tokens| tokens <= most + 1e-6), "{tokens:?}, {most}");
    }
}
