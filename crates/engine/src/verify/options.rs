//! What a verification compares, and who watches it.

use std::collections::BTreeMap;
use std::sync::Arc;

use manyframe_base::in_flight::InFlight;
use manyframe_plan::Verdict;
use manyframe_storage::Stores;

/// What is compared, and where it is on this machine.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Replace the variables of the build: on another machine, tokenizer and sources are found through them.
    pub variables: BTreeMap<String, String>,
    /// Reaches what URLs of the pipeline file name. By default, without credentials.
    pub stores: Stores,
    /// Leaves the sources out, which takes as long as building the dataset: its files are only compared with one another.
    pub skips_sources: bool,
    /// The process that notices what this one does not survive. Default: none.
    pub watch: Option<Watch>,
}

/// Another process that notices what this one does not survive.
#[derive(Debug, Clone)]
pub struct Watch {
    /// What the threads of this process work on.
    pub in_flight: Arc<InFlight>,
    /// What earlier processes did not survive.
    pub verdicts: Vec<Verdict>,
}
