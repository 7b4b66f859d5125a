//! Progress, reported to the caller that started the work. Nothing here prints.

/// A step of a build that takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Reads annotations and media headers. Counted in bytes of annotations.
    Index,
    /// Compares records that may be duplicates. Counted in records.
    Compare,
    /// Makes and writes samples. Counted in samples.
    Run,
    /// Puts shards, manifest and ledger together. Counted in shards.
    Commit,
    /// Reads a dataset back. Counted in bytes of shards.
    Verify,
    /// Compares the files of an export with their list. Counted in bytes of files.
    VerifyFiles,
    /// Writes a dataset in another format. Counted in bytes of shards.
    Export,
    /// Writes the packs of a dataset in another format. Counted in samples.
    ExportPacks,
    /// Runs a model over samples. Counted in samples.
    Validate,
    /// Compares a dataset with what is at its destination. Counted in files.
    Survey,
    /// Has a storage copy shards to their names. Counted in shards.
    Copy,
    /// Sends a dataset to a storage. Counted in bytes of files.
    Upload,
    /// Fetches a dataset from a storage. Counted in bytes of files.
    Download,
}

/// Receives the progress of work. Several threads may call it at the same time.
pub trait Progress: Sync {
    /// A step begins; `total` is its size in the step's unit.
    fn start(&self, step: Step, total: u64);
    /// `num_records` records are done, and the step is `units` further, in its unit, than at the last call.
    fn advance(&self, num_records: u64, units: u64);
    /// The step is done.
    fn finish(&self, step: Step);
}

/// Ignores progress.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn start(&self, _: Step, _: u64) {}
    fn advance(&self, _: u64, _: u64) {}
    fn finish(&self, _: Step) {}
}
