//! What a report shows.

use manyframe_dataset::DatasetReader;

use crate::originals::Originals;

/// What to show.
#[derive(Clone, Copy)]
pub struct ReportOptions<'a> {
    /// How many samples of each source and layout.
    pub samples_per_group: usize,
    /// Seed of their choice.
    pub seed: u64,
    /// A dataset to compare it with.
    pub against: Option<&'a DatasetReader>,
    /// Shows records that were rejected or left out.
    pub originals: &'a dyn Originals,
}
