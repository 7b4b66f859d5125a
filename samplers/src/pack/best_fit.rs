//! Best-fit decreasing: each sample, the longest first, into the fullest pack that still has room for it.
//!
//! Packs are kept in lists by what is left of them, and a bitmap finds the first list that will do: a constant number of
//! steps for each sample, after one sort.

use super::levels::Levels;
use super::{Bins, Length, Load, PackOptions};

/// How many packs with enough room for its tokens are asked whether a sample's images fit too, before a pack is opened.
const MAX_PROBES: usize = 32;

/// Number of lists; with a larger capacity, one list holds packs that differ by a few tokens.
const MAX_LISTS: u32 = 1 << 24;

const NONE: u32 = u32::MAX;

/// Open bins in lists by the tokens left. One is used for window after window: its lists are many.
pub(super) struct OpenBins {
    /// Tokens left are divided by 2^shift to find their list.
    shift: u32,
    lists: Levels,
    first_of_list: Vec<u32>,
    next_in_list: Vec<u32>,
}

impl OpenBins {
    /// No bins yet. Bins have this many tokens when empty.
    pub(super) fn new(capacity: u32) -> Self {
        let shift = (0..32).find(|shift| capacity >> shift < MAX_LISTS).unwrap_or(8);
        let num_lists = (capacity >> shift) as usize + 1;
        Self { shift, lists: Levels::new(num_lists), first_of_list: vec![NONE; num_lists], next_in_list: Vec::new() }
    }

    /// Closes all bins.
    fn clear(&mut self) {
        self.next_in_list.clear();
        while let Some(list) = self.lists.at_least(0) {
            self.lists.remove(list);
            if let Some(first) = self.first_of_list.get_mut(list) {
                *first = NONE;
            }
        }
    }

    /// The first list all of whose bins have this many tokens left, from a list onwards.
    fn list_with_room(&self, tokens: u32) -> usize {
        (u64::from(tokens).div_ceil(1 << self.shift)) as usize
    }

    fn first_from(&self, list: usize) -> Option<(usize, u32)> {
        let list = self.lists.at_least(list)?;
        Some((list, *self.first_of_list.get(list)?))
    }

    /// Takes the first bin out of its list.
    fn take_first(&mut self, list: usize) {
        let Some(first) = self.first_of_list.get_mut(list) else { return };
        *first = self.next_in_list.get(*first as usize).copied().unwrap_or(NONE);
        if *first == NONE {
            self.lists.remove(list);
        }
    }

    fn put(&mut self, bin: u32, tokens_left: u32) {
        if self.next_in_list.len() <= bin as usize {
            self.next_in_list.resize(bin as usize + 1, NONE);
        }
        let list = (tokens_left >> self.shift) as usize;
        let (Some(first), Some(next)) = (self.first_of_list.get_mut(list), self.next_in_list.get_mut(bin as usize))
        else {
            return;
        };
        *next = *first;
        *first = bin;
        self.lists.insert(list);
    }
}

/// Packs samples each of which fits into an empty bin. Equal lengths keep their order.
pub(super) fn best_fit_decreasing(
    open: &mut OpenBins,
    samples: Vec<u32>,
    at: impl Fn(u32) -> Length,
    options: &PackOptions,
) -> Bins {
    open.clear();
    let mut longest_first: Vec<u64> = samples
        .iter()
        .enumerate()
        .map(|(place, &sample)| (u64::from(!(options.slot(at(sample).tokens) as u32)) << 32) | place as u64)
        .collect();
    longest_first.sort_unstable();
    let capacity = options.usable_tokens();
    let mut loads: Vec<Load> = Vec::new();
    let mut of_sample = vec![0; samples.len()];
    for key in longest_first {
        let (slot, place) = (!((key >> 32) as u32), key as u32 as usize);
        let Some(&sample) = samples.get(place) else { continue };
        let length = at(sample);
        let found = fullest_with_room(open, &loads, length, slot, options);
        let (bin, load) = found.map_or_else(
            || (loads.len() as u32, Load::default().with(length, options).unwrap_or_default()),
            |(list, bin, load)| {
                open.take_first(list);
                (bin, load)
            },
        );
        match loads.get_mut(bin as usize) {
            Some(known) => *known = load,
            None => loads.push(load),
        }
        open.put(bin, capacity.saturating_sub(load.slots));
        if let Some(chosen) = of_sample.get_mut(place) {
            *chosen = bin;
        }
    }
    Bins { samples, of_sample, loads }
}

/// The list and number of a bin, and its load with the sample.
fn fullest_with_room(
    open: &OpenBins,
    loads: &[Load],
    length: Length,
    slot: u32,
    options: &PackOptions,
) -> Option<(usize, u32, Load)> {
    let mut list = open.list_with_room(slot);
    for _ in 0..MAX_PROBES {
        let (found, bin) = open.first_from(list)?;
        if let Some(load) = loads.get(bin as usize).and_then(|load| load.with(length, options)) {
            return Some((found, bin, load));
        }
        list = found + 1;
    }
    None
}
