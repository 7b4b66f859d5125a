//! What a report shows.

/// What to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportOptions {
    /// How many samples of each source and layout.
    pub samples_per_group: usize,
    /// Seed of their choice.
    pub seed: u64,
}
