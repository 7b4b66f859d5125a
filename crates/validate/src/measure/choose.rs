//! Chooses the samples to run: some of every kind, and always the same ones for the same seed.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use manyframe_core::{Layout, RecordId, rank};
use serde::{Deserialize, Serialize};

/// A sample that could be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleCandidate {
    /// The record that it was made from.
    pub id: RecordId,
    /// Name of its source.
    pub source: String,
    /// What kind of visuals it holds.
    pub layout: Layout,
    /// Length in tokens.
    pub num_tokens: u64,
}

/// How many samples are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleChoice {
    /// All.
    All,
    /// This many, or all if there are fewer.
    Count(usize),
}

/// Indices of the chosen candidates, the shortest first, so that the samples of a batch are of similar length.
///
/// Candidates are stratified by source, layout and power of two of their length. Each stratum contributes in proportion to its
/// size, and at least one sample as long as the count allows. Which samples it contributes is a function of seed and id, so that
/// a larger count keeps most of what a smaller one chose.
pub fn choose(candidates: &[SampleCandidate], choice: SampleChoice, seed: u64) -> Vec<usize> {
    let all = candidates.iter().enumerate().map(|(index, candidate)| IndexedCandidate { index, candidate });
    let mut chosen: Vec<IndexedCandidate<'_>> = match choice {
        SampleChoice::Count(count) if count < candidates.len() => stratified(all.collect(), count, seed),
        _ => all.collect(),
    };
    chosen.sort_by_key(|chosen| (chosen.candidate.num_tokens, chosen.candidate.id));
    chosen.into_iter().map(|chosen| chosen.index).collect()
}

/// A candidate and its index.
#[derive(Clone, Copy)]
struct IndexedCandidate<'a> {
    index: usize,
    candidate: &'a SampleCandidate,
}

/// Source, layout, and power of two of the length.
type StratumKey<'a> = (&'a str, Layout, u32);

struct Stratum<'a> {
    /// By rank.
    members: Vec<IndexedCandidate<'a>>,
    /// How many of them are chosen.
    share: usize,
}

/// `count` of more candidates.
fn stratified(candidates: Vec<IndexedCandidate<'_>>, count: usize, seed: u64) -> Vec<IndexedCandidate<'_>> {
    let num_candidates = candidates.len();
    let mut members: BTreeMap<StratumKey<'_>, Vec<IndexedCandidate<'_>>> = BTreeMap::new();
    for indexed in candidates {
        let SampleCandidate { source, layout, num_tokens, .. } = indexed.candidate;
        members.entry((source, *layout, num_tokens.max(&1).ilog2())).or_default().push(indexed);
    }
    let mut strata: Vec<Stratum<'_>> = members
        .into_values()
        .map(|mut members| {
            members.sort_by_key(|indexed| (rank(seed, "validate", indexed.candidate.id), indexed.index));
            Stratum { share: members.len() * count / num_candidates, members }
        })
        .collect();
    // What rounding left over goes to strata without a share, the largest first, then to the largest remainders.
    let left = count - strata.iter().map(|stratum| stratum.share).sum::<usize>();
    strata.sort_by_key(|stratum| {
        let (has_share, size) = (stratum.share > 0, stratum.members.len());
        (has_share, Reverse(if has_share { size * count % num_candidates } else { size }))
    });
    strata.iter_mut().take(left).for_each(|stratum| stratum.share += 1);
    strata.iter().flat_map(|stratum| stratum.members.iter().take(stratum.share).copied()).collect()
}

#[cfg(test)]
mod tests {
    use manyframe_core::Digest;
    use proptest::prelude::*;

    use super::*;

    fn candidates(num: usize) -> Vec<SampleCandidate> {
        (0..num)
            .map(|n| SampleCandidate {
                id: RecordId::from_digest(Digest::of(&n.to_le_bytes())),
                source: if n % 50 == 0 { "rare" } else { "common" }.to_owned(),
                layout: if n % 3 == 0 { Layout::Temporal } else { Layout::Image },
                num_tokens: (n as u64 * 37) % 5000,
            })
            .collect()
    }

    #[test]
    fn rare_sources_are_among_the_chosen_and_the_seed_decides() {
        let all = candidates(1000);
        let chosen = choose(&all, SampleChoice::Count(60), 1);
        assert!(chosen.iter().any(|&index| all[index].source == "rare"));
        assert_eq!(chosen, choose(&all, SampleChoice::Count(60), 1));
        assert_ne!(chosen, choose(&all, SampleChoice::Count(60), 2));
    }

    #[test]
    fn a_larger_count_keeps_most_of_what_a_smaller_one_chose() {
        let all = candidates(1000);
        let [few, many] = [60, 120].map(|count| choose(&all, SampleChoice::Count(count), 1));
        let num_kept = few.iter().filter(|index| many.contains(index)).count();
        assert!(num_kept * 10 >= few.len() * 9, "{num_kept} of {}", few.len());
    }

    proptest! {
        #[test]
        fn as_many_as_asked_for_are_chosen_once_each_and_by_length(num in 0_usize..300, count in 0_usize..300) {
            let all = candidates(num);
            let chosen = choose(&all, SampleChoice::Count(count), 9);
            prop_assert_eq!(chosen.len(), count.min(num));
            let lengths: Vec<_> = chosen.iter().map(|&index| all[index].num_tokens).collect();
            prop_assert!(lengths.is_sorted());
            let mut unique = chosen;
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), count.min(num));
        }
    }
}
