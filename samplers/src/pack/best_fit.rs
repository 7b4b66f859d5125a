//! Best-fit decreasing: each sample, the longest first, into the fullest pack that still has room for it.
//!
//! ```text
//! samples ──▶ classes of one length ──longest first──▶ bins of each class ──▶ one to each of its samples, in their order
//! ```
//!
//! Samples of one length are interchangeable, and there are far fewer lengths than samples: nothing is sorted but lengths.
//! Bins are kept in lists by what is left of them, and a bitmap finds the first list that will do.

use std::cmp::Reverse;
use std::num::NonZeroU32;

use rustc_hash::FxHashMap;

use super::levels::Levels;
use super::{Bins, Length, Load, PackOptions};

/// How many bins with enough tokens left are asked whether a sample's images fit too, before a bin is opened.
const MAX_PROBES: usize = 32;

/// Number of lists; with a larger capacity, one list holds bins that differ by a few tokens.
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

    /// Takes the fullest bin that has this room left out of its list. `left` is what is left of each bin.
    fn take_fullest(&mut self, left: &[Room], room: Room) -> Option<u32> {
        let mut list = u64::from(room.tokens).div_ceil(1 << self.shift) as usize;
        for _ in 0..MAX_PROBES {
            list = self.lists.at_least(list)?;
            let first = self.first_of_list.get_mut(list)?;
            let bin = *first;
            if room.times_in(*left.get(bin as usize)?) > 0 {
                *first = *self.next_in_list.get(bin as usize)?;
                if *first == NONE {
                    self.lists.remove(list);
                }
                return Some(bin);
            }
            list += 1;
        }
        None
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

/// Samples that take the same room.
#[derive(Debug, Clone, Copy)]
struct Class {
    room: Room,
    num_samples: u32,
    /// Where the bins of its next samples are in the list of all.
    next: usize,
}

/// Room of a sample, or left in a bin. Images are counted only if they are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Room {
    tokens: u32,
    images: u32,
}

impl Room {
    /// How many samples of this room fit into what is left.
    fn times_in(self, left: Self) -> u32 {
        let times = |part: u32, whole: u32| whole.checked_div(part).unwrap_or(u32::MAX);
        times(self.tokens, left.tokens).min(times(self.images, left.images))
    }

    fn without(self, other: Self, times: u32) -> Self {
        let rest = |left: u32, part: u32| left.saturating_sub(part.saturating_mul(times));
        Self { tokens: rest(self.tokens, other.tokens), images: rest(self.images, other.images) }
    }
}

/// Packs samples each of which fits into an empty bin. Of equal lengths, the first sample gets the first bin.
pub(super) fn best_fit_decreasing(
    open: &mut OpenBins,
    samples: Vec<u32>,
    at: impl Fn(u32) -> Length,
    options: &PackOptions,
) -> Bins {
    let (mut classes, class_of) = classes(&samples, &at, options);
    let mut longest_first: Vec<usize> = (0..classes.len()).collect();
    longest_first.sort_unstable_by_key(|&class| Reverse(classes.get(class).map(|class| class.room)));
    open.clear();
    let empty = Room { tokens: options.usable_tokens(), images: options.max_images.map_or(0, NonZeroU32::get) };
    let mut left: Vec<Room> = Vec::new();
    let mut bin_of: Vec<u32> = Vec::with_capacity(samples.len());
    for class in longest_first {
        let Some(class) = classes.get_mut(class) else { continue };
        class.next = bin_of.len();
        let mut num_waiting = class.num_samples;
        while num_waiting > 0 {
            let bin = open.take_fullest(&left, class.room).unwrap_or_else(|| {
                left.push(empty);
                left.len() as u32 - 1
            });
            let Some(room) = left.get_mut(bin as usize) else { break };
            // Having taken one, the bin is the fullest still, as long as it has room for another.
            let num_fitting = class.room.times_in(*room).clamp(1, num_waiting);
            *room = room.without(class.room, num_fitting);
            open.put(bin, room.tokens);
            bin_of.extend(std::iter::repeat_n(bin, num_fitting as usize));
            num_waiting -= num_fitting;
        }
    }
    let mut bins =
        Bins { samples, of_sample: Vec::with_capacity(bin_of.len()), loads: vec![Load::default(); left.len()] };
    for (&sample, &class) in bins.samples.iter().zip(&class_of) {
        let Some(class) = classes.get_mut(class as usize) else { continue };
        let bin = bin_of.get(class.next).copied().unwrap_or_default();
        class.next += 1;
        bins.of_sample.push(bin);
        if let Some(load) = bins.loads.get_mut(bin as usize) {
            *load = load.with(at(sample), options).unwrap_or(*load);
        }
    }
    bins
}

/// Classes in the order of their first sample, and the class of each sample.
fn classes(samples: &[u32], at: impl Fn(u32) -> Length, options: &PackOptions) -> (Vec<Class>, Vec<u32>) {
    let mut numbers: FxHashMap<Room, u32> = FxHashMap::default();
    let mut classes: Vec<Class> = Vec::new();
    let mut class_of = Vec::with_capacity(samples.len());
    for &sample in samples {
        let length = at(sample);
        let images = if options.max_images.is_some() { length.images } else { 0 };
        let room = Room { tokens: options.slot(length.tokens) as u32, images };
        let number = *numbers.entry(room).or_insert_with(|| {
            classes.push(Class { room, num_samples: 0, next: 0 });
            classes.len() as u32 - 1
        });
        if let Some(class) = classes.get_mut(number as usize) {
            class.num_samples += 1;
        }
        class_of.push(number);
    }
    (classes, class_of)
}
