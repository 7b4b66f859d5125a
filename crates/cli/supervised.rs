//! The part of this process in a supervised command: none, its worker, or one attempt at what a worker did not survive.
//!
//! The supervisor (`supervise.rs`) says so in the environment.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use manyframe_base::in_flight::{Entered, InFlight};
use manyframe_base::{Progress, Step};
use manyframe_plan::{Attempt, Verdict};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use crate::{machine, output};

/// The name of the variable with the orders.
pub(crate) const VARIABLE: &str = "MANYFRAME_ORDERS";

/// The name of the file in which a process notes what it works on.
pub(crate) const NOTES: &str = "manyframe-notes";

/// What a supervisor tells the process that it starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// The supervisor. A process without it ends.
    pub(crate) supervisor: u32,
    /// The descriptor of the file in which the process notes what it works on.
    pub(crate) notes: i32,
    /// The stage to begin with.
    pub(crate) stage: usize,
    /// Whether an earlier process has begun that stage.
    pub(crate) resumes: bool,
    /// Fewer threads than asked for, if those needed too much memory.
    pub(crate) most_threads: Option<NonZeroUsize>,
    /// The descriptor of the file with what earlier processes did not survive in that stage.
    pub(crate) verdicts: i32,
    /// The one thing to do.
    pub(crate) attempt: Option<Attempt>,
}

/// Numbers in the notes: the stage, whether it has begun, and how far its current step is.
pub(crate) const STAGE: usize = 0;
pub(crate) const HAS_BEGUN: usize = 1;
pub(crate) const STEP: usize = 2;
pub(crate) const DONE: usize = 3;
pub(crate) const TOTAL: usize = 4;
/// Stages that were explained.
const NUM_EXPLAINED: usize = 5;
/// Whether something was printed as a result.
pub(crate) const HAS_ANSWERED: usize = 6;

/// The part of this process.
pub(crate) enum Session {
    /// Nobody supervises it.
    Alone,
    /// Its supervisor was killed while this process began: there is nothing left to do.
    Orphan,
    /// It does the work of a command.
    Worker { orders: Orders, notes: Arc<InFlight>, verdicts: Vec<Verdict> },
    /// It tries one thing, and notes how far it is.
    Attempt { stage: usize, attempt: Attempt, notes: Option<InFlight> },
}

impl Session {
    /// The part that the environment says. Orders without the file that comes with them are none.
    #[expect(clippy::disallowed_methods, reason = "`cli` reads the environment")]
    pub(crate) fn of_process() -> Self {
        let orders = std::env::var(VARIABLE).ok().and_then(|text| serde_json::from_str::<Orders>(&text).ok());
        orders.map_or(Self::Alone, Self::ordered)
    }

    /// The part that orders say.
    pub(crate) fn ordered(orders: Orders) -> Self {
        // Set before the check: a supervisor that ends between the two takes this process with it.
        let is_bound = set_parent_process_death_signal(Some(Signal::KILL)).is_ok();
        let parent = getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().cast_unsigned());
        if !is_bound || parent != Some(orders.supervisor) {
            let notes = fs::read_link(format!("/proc/self/fd/{}", orders.notes)).unwrap_or_default();
            return if notes.to_string_lossy().contains(NOTES) { Self::Orphan } else { Self::Alone };
        }
        let notes = File::options().read(true).write(true).open(format!("/proc/self/fd/{}", orders.notes));
        let notes = notes.and_then(InFlight::new);
        if let Some(attempt) = orders.attempt {
            machine::limit_memory();
            return Self::Attempt { stage: orders.stage, attempt, notes: notes.ok() };
        }
        match notes {
            Ok(notes) => {
                let verdicts = fs::read(format!("/proc/self/fd/{}", orders.verdicts)).unwrap_or_default();
                let verdicts = serde_json::from_slice(&verdicts).unwrap_or_default();
                let notes = Arc::new(notes);
                let kept = Arc::clone(&notes);
                output::before_answer(move || kept.set_number(HAS_ANSWERED, 1));
                Self::Worker { orders, notes, verdicts }
            }
            Err(_) => Self::Alone,
        }
    }

    /// The one thing that this process is to try, and the stage that it belongs to.
    pub(crate) fn attempt(&self) -> Option<(usize, &Attempt)> {
        match self {
            Self::Attempt { stage, attempt, .. } => Some((*stage, attempt)),
            _ => None,
        }
    }

    /// Has a supervisor see how far an attempt is, until the result is dropped.
    pub(crate) fn enter_attempt(&self) -> Option<Entered<'_>> {
        match self {
            Self::Attempt { notes: Some(notes), .. } => Some(notes.enter(b"an attempt")),
            _ => None,
        }
    }

    /// The stage to begin with.
    pub(crate) fn first_stage(&self) -> usize {
        match self {
            Self::Worker { orders, .. } => orders.stage,
            _ => 0,
        }
    }

    /// Whether an earlier process has begun this stage.
    pub(crate) fn resumes(&self, stage: usize) -> bool {
        matches!(self, Self::Worker { orders, .. } if orders.resumes && orders.stage == stage)
    }

    /// Whether a stage is still to be explained: an earlier process may have done so. It is explained from now on.
    pub(crate) fn takes_explanation(&self, stage: usize) -> bool {
        let Self::Worker { notes, .. } = self else { return true };
        let is_new = notes.number(NUM_EXPLAINED) <= stage as u64;
        if is_new {
            notes.set_number(NUM_EXPLAINED, stage as u64 + 1);
        }
        is_new
    }

    /// The most threads to use, if there is a bound.
    pub(crate) fn most_threads(&self) -> Option<NonZeroUsize> {
        match self {
            Self::Worker { orders, .. } => orders.most_threads,
            _ => None,
        }
    }

    /// Notes that a stage begins: from now on a supervisor would begin with it.
    pub(crate) fn begin(&self, stage: usize) {
        if let Self::Worker { notes, .. } = self {
            notes.set_number(HAS_BEGUN, 0);
            notes.set_number(STAGE, stage as u64);
        }
    }

    /// Has the work of a stage watched, once its work directory is as the command asks for.
    pub(crate) fn watch(
        &self,
        stage: usize,
        watch: impl FnOnce(Arc<InFlight>, &[Verdict]) -> Result<()>,
    ) -> Result<()> {
        let Self::Worker { orders, notes, verdicts } = self else { return Ok(()) };
        notes.set_number(HAS_BEGUN, 1);
        let verdicts = if orders.stage == stage { verdicts.as_slice() } else { &[] };
        watch(Arc::clone(notes), verdicts)
    }

    /// Progress that a supervisor sees, too.
    pub(crate) fn noted(&self, progress: Box<dyn Progress>) -> Box<dyn Progress> {
        match self {
            Self::Worker { notes, .. } => {
                Box::new(NotedProgress { progress, notes: Arc::clone(notes), done: AtomicU64::new(0) })
            }
            _ => progress,
        }
    }
}

struct NotedProgress {
    progress: Box<dyn Progress>,
    notes: Arc<InFlight>,
    done: AtomicU64,
}

impl Progress for NotedProgress {
    fn start(&self, step: Step, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.notes.set_number(DONE, 0);
        self.notes.set_number(TOTAL, total);
        self.notes.set_number(STEP, step as u64 + 1);
        self.progress.start(step, total);
    }

    fn advance(&self, num_records: u64, units: u64) {
        self.notes.set_number(DONE, self.done.fetch_add(units, Ordering::Relaxed) + units);
        self.progress.advance(num_records, units);
    }

    fn finish(&self, step: Step) {
        self.progress.finish(step);
    }
}
