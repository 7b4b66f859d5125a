//! Bins: packs being filled with the samples of one window.

use super::options::{PackOptions, SampleLength};

/// The samples to be packed: their lengths and the limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackInput<'a> {
    /// By sample, in delivered order.
    pub(super) lengths: &'a [SampleLength],
    pub(super) options: &'a PackOptions,
}

impl PackInput<'_> {
    /// The length of a sample.
    #[expect(clippy::indexing_slicing, reason = "samples are positions of lengths")]
    pub(super) fn length(&self, sample: u32) -> SampleLength {
        self.lengths[sample as usize]
    }
}

/// The bins of one window.
///
/// # Invariants
/// `of_sample` has an element for each of `samples`, which is a position of `loads`.
#[derive(Debug, Clone, Default)]
pub(super) struct Bins {
    /// Samples, ascending.
    pub(super) samples: Vec<u32>,
    /// The bin of each.
    pub(super) of_sample: Vec<u32>,
    /// What is in each bin.
    pub(super) loads: Vec<BinLoad>,
}

/// What is in a bin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BinLoad {
    /// Tokens, including the padding of samples.
    pub(super) slots: u32,
    pub(super) images: u64,
    /// Work of the vision tower: what is balanced.
    pub(super) vision_work: u64,
    pub(super) num_samples: u32,
}

impl BinLoad {
    /// The load with one more sample, if that fits.
    pub(super) fn with(self, length: SampleLength, options: &PackOptions) -> Option<Self> {
        let slots = u64::from(self.slots) + options.slot(length.tokens);
        let images = self.images + u64::from(length.images);
        let vision_work = self.vision_work + u64::from(options.vision_work(length));
        let num_samples = self.num_samples + 1;
        options.fits(slots, images).then_some(Self { slots: slots as u32, images, vision_work, num_samples })
    }

    /// The load with one more sample, which is known to fit.
    #[expect(
        clippy::expect_used,
        reason = "no bin gets a sample that does not fit, and none gets one that fits no bin"
    )]
    pub(super) fn with_fitting(self, length: SampleLength, options: &PackOptions) -> Self {
        self.with(length, options).expect("a sample that fits")
    }
}
