//! Every layout is complete and disjoint; schemes that promise even work have it.

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;

fn degree(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// Every scheme of every degree up to a bound: each ring × ulysses too.
fn schemes(max_degree: u32) -> impl Iterator<Item = Scheme> {
    (1..=max_degree).flat_map(|number| {
        let meshes = (1..=number).filter(move |ring| number.is_multiple_of(*ring));
        let meshes = meshes.map(move |ring| Scheme::TwoD { ring: degree(ring), ulysses: degree(number / ring) });
        [Scheme::Ring { degree: degree(number) }, Scheme::Zigzag { degree: degree(number) }].into_iter().chain(meshes)
    })
}

#[test]
fn every_chunk_belongs_to_one_rank_for_every_degree_to_256() {
    for layout in schemes(256).map(RankLayout::new) {
        let mut chunks: Vec<u64> = (0..layout.degree()).flat_map(|rank| layout.chunks_of_rank(rank)).collect();
        chunks.sort_unstable();
        assert!(chunks.into_iter().eq(0..layout.num_chunks()), "{layout:?}");
        assert!(layout.chunks_of_rank(layout.degree()).is_empty());
    }
}

#[test]
fn the_stated_imbalance_is_that_of_the_pairs_each_rank_computes() {
    for layout in schemes(256).map(RankLayout::new) {
        let ulysses = if let Scheme::TwoD { ulysses, .. } = layout.scheme() { u64::from(ulysses.get()) } else { 1 };
        let num_tokens = layout.num_chunks() * 1000;
        let (mut sum, mut max) = (0.0, 0.0);
        // The ranks of a Ulysses group have the same tokens during attention.
        for rank in (0..layout.degree()).step_by(ulysses as usize) {
            let pairs = layout.attention_pairs(num_tokens, rank);
            (sum, max) = (sum + pairs, f64::max(max, pairs));
        }
        let imbalance = max * (layout.degree() / ulysses) as f64 / sum;
        assert!((imbalance - layout.attention_imbalance()).abs() < 1e-3, "{imbalance} {layout:?}");
        let all = num_tokens as f64 * (num_tokens as f64 + 1.0) / 2.0;
        assert!((sum * ulysses as f64 / all - 1.0).abs() < 1e-9);
    }
}

#[test]
fn a_mesh_of_one_ulysses_rank_is_a_zigzag() {
    for number in 1..=256 {
        let zigzag = RankLayout::new(Scheme::Zigzag { degree: degree(number) });
        let mesh = RankLayout::new(Scheme::TwoD { ring: degree(number), ulysses: degree(1) });
        for rank in 0..u64::from(number) {
            let sp = u64::from(number);
            assert_eq!(zigzag.chunks_of_rank(rank), [rank, 2 * sp - 1 - rank]);
            assert_eq!(mesh.chunks_of_rank(rank), zigzag.chunks_of_rank(rank));
        }
    }
}

/// The backward chunk of the public code, `sp − 1 − r + offset`: right for a Ulysses degree of 2 at most, as stated.
#[test]
fn the_public_formula_covers_a_mesh_of_four_ulysses_ranks_badly() {
    let (ring, ulysses) = (4u64, 4u64);
    let chunks = (0..ulysses).flat_map(|u| {
        let offset = u * 2 * ring;
        (0..ring).flat_map(move |r| [offset + r, ring * ulysses - 1 - r + offset])
    });
    let mut chunks: Vec<u64> = chunks.collect();
    chunks.sort_unstable();
    assert!(!chunks.into_iter().eq(0..2 * ring * ulysses));
}

proptest! {
    #[test]
    fn every_image_is_encoded_once(number in 1u32..=256, num_images in 0u64..3000) {
        let layout = RankLayout::new(Scheme::Zigzag { degree: degree(number) });
        let runs: Vec<_> = (0..layout.degree()).map(|rank| layout.images_of_rank(num_images, rank)).collect();
        prop_assert!(runs.iter().cloned().flatten().eq(0..num_images));
        let sizes = runs.iter().map(|run| run.end - run.start);
        prop_assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
    }

    #[test]
    fn every_token_is_held_once(ring in 1u32..17, ulysses in 1u32..17, num_tokens in 0u64..5000) {
        let layout = RankLayout::new(Scheme::TwoD { ring: degree(ring), ulysses: degree(ulysses) });
        let mut tokens: Vec<u64> = (0..layout.degree()).flat_map(|rank| layout.tokens_of_rank(num_tokens, rank)).flatten().collect();
        tokens.sort_unstable();
        prop_assert!(tokens.into_iter().eq(0..layout.padded_tokens(num_tokens)));
        prop_assert!(layout.padded_tokens(num_tokens) - num_tokens < layout.num_chunks());
    }
}

#[test]
fn a_forecast_counts_steps_padding_and_idle_gpus() {
    let sequences = [(100, 4), (90, 2), (64, 0)].map(|(tokens, images)| SequenceLoad {
        tokens,
        images,
        visual_tokens: 10 * images,
    });
    let layout = RankLayout::new(Scheme::Zigzag { degree: degree(4) });
    let rows = forecast(&sequences, &[Cluster::of_gpus(8, layout).unwrap()]);
    let row = rows.first().unwrap();
    assert_eq!((row.num_gpus, row.sequences_per_step, row.steps_per_epoch, row.num_idle_gpus), (8, 2, 2, 4));
    // Padded to 104, 96 and 64.
    assert!((row.padding_share - (1.0 - 254.0 / 264.0)).abs() < 1e-9);
    assert!((row.tokens_per_gpu - 264.0 / 16.0).abs() < 1e-9);
    // The maximum of a GPU: 26 and 16 tokens; the means over 8 GPUs are 25 and 8.
    assert!((row.token_balance.max_over_mean - 42.0 / 33.0).abs() < 1e-9);
    // Step one: 1 image at most, 6 over 8 GPUs.
    assert!((row.image_balance.max_over_mean - 1.0 / 0.75).abs() < 1e-9);
    assert!(Cluster::of_gpus(6, layout).is_none() && Cluster::of_gpus(0, layout).is_none());
}
