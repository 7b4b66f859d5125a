//! Best-fit decreasing: each sample, the longest first, into the fullest bin that still has room for it.
//!
//! ```text
//! samples ──▶ classes of one length ──longest first──▶ bins of each class ──▶ one to each of its samples, in their order
//! ```
//!
//! Samples of one length are interchangeable, and there are far fewer lengths than samples, so only lengths are sorted.
//! Bins are kept in lists by the room that is left, and a bitmap finds the first list with enough room.

use std::cmp::Reverse;
use std::num::NonZeroU32;

use rustc_hash::FxHashMap;

use super::bins::{BinLoad, Bins, PackInput};
use super::integer_set::IntegerSet;

/// How many bins with enough tokens left are tried, in case the images of a sample do not fit, before a bin is opened.
/// It bounds the time for each sample.
const MAX_PROBES: usize = 32;

/// Maximum number of lists: 64 MiB of them. With a larger capacity, one list holds bins that differ by a few tokens.
const MAX_LISTS: u32 = 1 << 24;

/// The end of a list.
const NONE: u32 = u32::MAX;

/// Open bins in lists by the tokens left. It is reused for window after window, because its lists are many.
///
/// # Invariants
/// `first_of_list` has an element for each list. `next_in_list` has an element for each bin that was ever put.
pub(super) struct OpenBins {
    /// Tokens left are divided by 2^shift to find their list.
    shift: u32,
    /// Lists that are not empty.
    lists: IntegerSet,
    first_of_list: Vec<u32>,
    next_in_list: Vec<u32>,
}

#[expect(clippy::indexing_slicing, reason = "by the invariants of the type, and `left` has an element for each bin")]
impl OpenBins {
    /// No bins yet. Bins have this many tokens when empty.
    pub(super) fn new(capacity: u32) -> Self {
        // A shift by 8 leaves 24 bits of any capacity.
        let shift = (0..8).find(|shift| capacity >> shift < MAX_LISTS).unwrap_or(8);
        let num_lists = (capacity >> shift) as usize + 1;
        Self {
            shift,
            lists: IntegerSet::new(num_lists),
            first_of_list: vec![NONE; num_lists],
            next_in_list: Vec::new(),
        }
    }

    /// Closes all bins.
    fn clear(&mut self) {
        self.next_in_list.clear();
        while let Some(list) = self.lists.at_least(0) {
            self.lists.remove(list);
            self.first_of_list[list] = NONE;
        }
    }

    /// Takes the fullest bin that has this room left out of its list. `left` is the room left in each bin.
    fn take_fullest(&mut self, left: &[Room], room: Room) -> Option<u32> {
        let mut list = u64::from(room.tokens).div_ceil(1 << self.shift) as usize;
        for _ in 0..MAX_PROBES {
            list = self.lists.at_least(list)?;
            let first = &mut self.first_of_list[list];
            let bin = *first;
            if room.times_in(left[bin as usize]) > 0 {
                *first = self.next_in_list[bin as usize];
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
        self.next_in_list[bin as usize] = std::mem::replace(&mut self.first_of_list[list], bin);
        self.lists.insert(list);
    }
}

/// Samples that take the same room.
#[derive(Debug, Clone, Copy)]
struct LengthClass {
    room: Room,
    num_samples: u32,
    /// Where the bin of its next sample is among the bins of all classes.
    next: usize,
}

/// Room that a sample takes, or that is left in a bin. Images are counted only if they are limited.
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

/// Packs samples each of which fits into an empty bin. Among equal lengths, the first sample gets the first bin.
#[expect(
    clippy::indexing_slicing,
    reason = "bins are positions of loads, and each class has a bin for each of its samples"
)]
pub(super) fn best_fit_decreasing(open: &mut OpenBins, samples: Vec<u32>, input: PackInput<'_>) -> Bins {
    let (mut classes, class_of) = length_classes(&samples, input);
    let (bin_of, num_bins) = fill_bins(open, &mut classes, input);
    let mut of_sample = Vec::with_capacity(samples.len());
    let mut loads = vec![BinLoad::default(); num_bins];
    for (&sample, &class) in samples.iter().zip(&class_of) {
        let class = &mut classes[class as usize];
        let bin = bin_of[class.next];
        class.next += 1;
        of_sample.push(bin);
        let load = &mut loads[bin as usize];
        *load = load.with_fitting(input.length(sample), input.options);
    }
    Bins { samples, of_sample, loads }
}

/// The bins of the samples of all classes, one class after another, and how many bins there are. Sets where the bins of
/// each class begin.
#[expect(clippy::indexing_slicing, reason = "classes are sorted by position, and bins are positions of what is left")]
fn fill_bins(open: &mut OpenBins, classes: &mut [LengthClass], input: PackInput<'_>) -> (Vec<u32>, usize) {
    let options = input.options;
    let mut longest_first: Vec<usize> = (0..classes.len()).collect();
    longest_first.sort_unstable_by_key(|&class| Reverse(classes[class].room));
    open.clear();
    let empty = Room { tokens: options.usable_tokens(), images: options.max_images.map_or(0, NonZeroU32::get) };
    let mut left: Vec<Room> = Vec::new();
    let mut bin_of: Vec<u32> = Vec::with_capacity(classes.iter().map(|class| class.num_samples as usize).sum());
    for class in longest_first {
        let class = &mut classes[class];
        class.next = bin_of.len();
        let mut num_waiting = class.num_samples;
        while num_waiting > 0 {
            let bin = open.take_fullest(&left, class.room).unwrap_or_else(|| {
                left.push(empty);
                left.len() as u32 - 1
            });
            let room = &mut left[bin as usize];
            // After taking one sample the bin is still the fullest, as long as it has room for another.
            let num_fitting = class.room.times_in(*room).clamp(1, num_waiting);
            *room = room.without(class.room, num_fitting);
            open.put(bin, room.tokens);
            bin_of.extend(std::iter::repeat_n(bin, num_fitting as usize));
            num_waiting -= num_fitting;
        }
    }
    (bin_of, left.len())
}

/// Classes in the order of their first sample, and the class of each sample.
fn length_classes(samples: &[u32], input: PackInput<'_>) -> (Vec<LengthClass>, Vec<u32>) {
    let options = input.options;
    let mut numbers: FxHashMap<Room, u32> = FxHashMap::default();
    let mut classes: Vec<LengthClass> = Vec::new();
    let mut class_of = Vec::with_capacity(samples.len());
    for &sample in samples {
        let length = input.length(sample);
        let images = if options.max_images.is_some() { length.images } else { 0 };
        let room = Room { tokens: options.slot(length.tokens) as u32, images };
        let number = *numbers.entry(room).or_insert_with(|| {
            classes.push(LengthClass { room, num_samples: 0, next: 0 });
            classes.len() as u32 - 1
        });
        #[expect(clippy::indexing_slicing, reason = "a number is the position of its class")]
        let class = &mut classes[number as usize];
        class.num_samples += 1;
        class_of.push(number);
    }
    (classes, class_of)
}
