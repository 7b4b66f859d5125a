//! Progress, as whoever started the work wants to see it. Nothing here prints.

/// A step of a build that takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Annotations and media headers are read. Counted in bytes of annotations.
    Index,
    /// Records that may be duplicates are compared. Counted in records.
    Compare,
    /// Samples are made and written. Counted in samples.
    Run,
    /// Shards are put together with manifest and ledger. Counted in shards.
    Commit,
    /// A dataset is read back. Counted in bytes of shards.
    Verify,
    /// A dataset is written in another format. Counted in bytes of shards.
    Export,
    /// A model is run over samples. Counted in samples.
    Validate,
}

/// Is told how far the work has come. Calls come from one thread at a time or from several.
pub trait Observer: Sync {
    /// A step begins; `total` is its size in the step's unit.
    fn start(&self, step: Step, total: u64);
    /// Some records are done; `units` is how far the step has come, in its unit, since the last call.
    fn advance(&self, num_records: u64, units: u64);
    /// The step is done.
    fn finish(&self, step: Step);
}

/// Does not look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn start(&self, _: Step, _: u64) {}
    fn advance(&self, _: u64, _: u64) {}
    fn finish(&self, _: Step) {}
}
