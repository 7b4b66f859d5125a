//! Which samples are run: some of every kind, the same from the same seed.

use std::collections::BTreeMap;

use manyframe_core::{Layout, RecordId, rank};

/// A sample that could be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Identity.
    pub id: RecordId,
    /// Name of its source.
    pub source: String,
    /// What kind of visuals it holds.
    pub layout: Layout,
    /// Its length in tokens.
    pub num_tokens: u64,
}

/// How many are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// All.
    All,
    /// So many, or all if there are fewer.
    Count(usize),
}

/// Positions of the chosen candidates, the shortest first, so that samples of a batch are of one length.
///
/// Candidates are divided by source, layout and power of two of their length. Each stratum gives its share, and one at
/// least as long as there are places; which ones it gives is a function of seed and id, so that a larger number keeps
/// most of what a smaller one chose.
pub fn choose(candidates: &[Candidate], choice: Choice, seed: u64) -> Vec<usize> {
    let mut chosen: Vec<usize> = match choice {
        Choice::Count(count) if count < candidates.len() => of_strata(candidates, count, seed),
        _ => (0..candidates.len()).collect(),
    };
    chosen.sort_by_key(|&position| candidates.get(position).map(|candidate| (candidate.num_tokens, candidate.id)));
    chosen
}

/// Source, layout, and power of two of the length.
type Stratum<'a> = (&'a str, Layout, u32);

fn of_strata(candidates: &[Candidate], count: usize, seed: u64) -> Vec<usize> {
    let mut strata: BTreeMap<Stratum<'_>, Vec<(u64, usize)>> = BTreeMap::new();
    for (position, candidate) in candidates.iter().enumerate() {
        let key = (candidate.source.as_str(), candidate.layout, candidate.num_tokens.max(1).ilog2());
        strata.entry(key).or_default().push((rank(seed, "validate", candidate.id), position));
    }
    let mut strata: Vec<_> = strata.into_values().collect();
    for stratum in &mut strata {
        stratum.sort_unstable();
    }
    let mut shares: Vec<usize> = strata.iter().map(|stratum| stratum.len() * count / candidates.len()).collect();
    // What rounding left over goes to strata without a place, the largest first, then to the largest remainders.
    let mut order: Vec<usize> = (0..strata.len()).collect();
    let need = |stratum: usize| {
        let (share, len) = (shares.get(stratum).copied().unwrap_or(0), strata.get(stratum).map_or(0, Vec::len));
        (share > 0, std::cmp::Reverse(if share == 0 { len } else { len * count % candidates.len() }), stratum)
    };
    order.sort_by_key(|&stratum| need(stratum));
    let mut left = count - shares.iter().sum::<usize>();
    for stratum in order {
        if let (Some(share), true) = (shares.get_mut(stratum), left > 0) {
            *share += 1;
            left -= 1;
        }
    }
    let drawn = strata.iter().zip(shares).flat_map(|(stratum, share)| stratum.iter().take(share));
    drawn.map(|(_, position)| *position).collect()
}

#[cfg(test)]
mod tests {
    use manyframe_core::Digest;
    use proptest::prelude::*;

    use super::*;

    fn candidates(num: usize) -> Vec<Candidate> {
        (0..num)
            .map(|n| Candidate {
                id: RecordId::from_digest(Digest::of(&n.to_le_bytes())),
                source: if n % 50 == 0 { "rare" } else { "common" }.to_owned(),
                layout: if n % 3 == 0 { Layout::Temporal } else { Layout::Image },
                num_tokens: (n as u64 * 37) % 5000,
            })
            .collect()
    }

    #[test]
    fn rare_sources_are_there() {
        let all = candidates(1000);
        let chosen = choose(&all, Choice::Count(60), 1);
        assert!(chosen.iter().any(|&position| all[position].source == "rare"));
        assert_ne!(chosen, choose(&all, Choice::Count(60), 2));
    }

    proptest! {
        #[test]
        fn as_many_as_asked_for_are_chosen_once_each_and_by_length(num in 0_usize..300, count in 0_usize..300) {
            let all = candidates(num);
            let chosen = choose(&all, Choice::Count(count), 9);
            prop_assert_eq!(chosen.len(), count.min(num));
            let lengths: Vec<_> = chosen.iter().map(|&position| all[position].num_tokens).collect();
            prop_assert!(lengths.is_sorted());
            let mut unique = chosen;
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), count.min(num));
        }
    }
}
