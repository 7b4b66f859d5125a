//! Runs `plan`, `build`, `run` and `task` in a process of their own, and starts it again if a decoder ends it.
//!
//! ```text
//! supervisor ──forks───▶ worker ──notes──▶ what each thread works on, how far it is
//!     │                     └─ dies by a signal, or a record takes too long
//!     ├── each record in flight is tried once more, in a process of its own
//!     └──starts──▶ worker, which rejects the records that died there, too, and continues
//! ```
//!
//! The first worker is a fork: the program and its hundred shared libraries are already in memory. Later workers are started from
//! the executable.
//!
//! **Invariant:** the supervisor holds nothing: neither locks nor open inputs. If it ends, however it ends, its workers do, too.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::Hash;
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

use fork::Fork;
use manyframe_base::in_flight::{WorkInFlight, read_in_flight, read_number};
use manyframe_core::{RejectCode, Rejection};
use manyframe_engine::ErrorAnswer;
use manyframe_plan::{Attempt, Verdict};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use signal_hook::consts::{
    SIGABRT, SIGBUS, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGSEGV, SIGSYS, SIGTERM, SIGTRAP,
};
use signal_hook::iterator::Signals;

use crate::args::{Arguments, Command as Subcommand};
use crate::output::{answers_json, print_error};
use crate::supervised::{DONE, HAS_ANSWERED, HAS_BEGUN, NOTES, Orders, STAGE, STEP, Session, TOTAL, VARIABLE};
use crate::{exit, machine, progress};

/// A link to this very program, even if another one has been installed under its name.
const PROGRAM: &str = "/proc/self/exe";

/// Signals by which a process ends that something went wrong in; by others, somebody asked it to end.
const CRASHES: [i32; 8] = [SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGTRAP, SIGKILL];

/// Signals that ask a command to end.
const REQUESTS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// Those of them that this process does not ignore.
fn requests() -> std::io::Result<Signals> {
    Signals::new(REQUESTS.into_iter().filter(|signal| !machine::is_ignored(*signal)))
}

/// Lets a command that has no supervisor answer in JSON when a signal asks it to end.
pub(crate) fn answer_requests() {
    if !answers_json() {
        return;
    }
    // Where signals cannot be waited for, they end the process as always.
    _ = Builder::new().spawn(|| {
        let Ok(mut signals) = requests() else { return };
        for signal in signals.forever() {
            exit::answer(&exit::interrupted(signal, "interrupted".to_owned()));
            _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    });
}

/// Processes in a row that ended by a crash for which no record can be blamed.
const MOST_UNEXPLAINED_CRASHES: u32 = 6;

/// One thing may take so many times as long as the next part of it may: a record with very many slow parts ends, too.
const PATIENCE_FOR_ALL_PARTS: u32 = 24;

/// Time between two looks at what a worker does. Counted in looks, time does not pass while the supervisor is stopped.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What a process is after it has asked for supervision.
pub(crate) enum Supervision {
    /// The supervisor, whose command has ended.
    Ended(ExitCode),
    /// The worker.
    Worker(Session),
    /// There can be none: the command has to run in this process.
    Impossible,
}

/// Runs the command under supervision. Two processes return from it.
pub(crate) fn run(arguments: &Arguments) -> Supervision {
    let file = |name| memfd_create(name, MemfdFlags::empty()).ok().map(File::from);
    let (Some(notes), Some(verdicts), Some(patience), true) =
        (file(NOTES), file("manyframe-verdicts"), arguments.command.record_timeout(), Path::new(PROGRAM).exists())
    else {
        return Supervision::Impossible;
    };
    let orders = Orders {
        supervisor: std::process::id(),
        notes: notes.as_raw_fd(),
        stage: 0,
        resumes: false,
        most_threads: None,
        verdicts: verdicts.as_raw_fd(),
        attempt: None,
    };
    let first_worker = match fork_alone() {
        Some(Fork::Child) => return Supervision::Worker(Session::ordered(orders)),
        Some(Fork::Parent(pid)) => Pid::from_raw(pid),
        None => None,
    };
    let (sender, events) = channel();
    let continues = arguments.command.continues();
    let first_worker = Cell::new(first_worker);
    let supervisor = Supervisor { notes, verdicts, sender, events, patience, continues, first_worker };
    let listens = requests().and_then(|mut signals| {
        let requests = supervisor.sender.clone();
        Builder::new().spawn(move || {
            for signal in signals.forever() {
                // Nobody listens any more once the command has ended.
                _ = requests.send(Event::Request(signal));
            }
        })
    });
    Supervision::Ended(match listens {
        Ok(_thread) => supervisor.run(orders),
        Err(error) => {
            supervisor.first_worker.take().into_iter().for_each(end);
            supervisor.fail(cannot_run(&error))
        }
    })
}

/// Forks this process, if it has only one thread: those of others would be missing in the child.
fn fork_alone() -> Option<Fork> {
    let num_threads = std::fs::read_dir("/proc/self/task").ok()?.count();
    if num_threads == 1 { fork::fork().ok() } else { None }
}

enum Event {
    Ended(ExitStatus),
    /// The process cannot be waited for.
    Lost,
    Request(i32),
}

/// How a process ended.
enum End {
    /// It has done what it was asked to, or says what is wrong.
    Exited(u8),
    /// Somebody asked it to end.
    Requested(i32),
    Crashed(i32),
    /// Threads worked on one thing for too long, and it was ended.
    Stalled(Vec<WorkInFlight>),
}

/// A worker that was lost.
struct Loss {
    why: String,
    /// What became of its records, if they are to blame.
    code: RejectCode,
    suspects: Vec<WorkInFlight>,
}

struct Supervisor {
    /// What the worker writes.
    notes: File,
    /// What the worker reads: a list of [`Verdict`]s.
    verdicts: File,
    sender: Sender<Event>,
    events: Receiver<Event>,
    /// Longest time that one thing, or the next part of it, may take, in seconds.
    patience: u32,
    /// Whether the command continues where it was interrupted.
    continues: bool,
    /// The worker that is running already.
    first_worker: Cell<Option<Pid>>,
}

impl Supervisor {
    fn run(&self, mut orders: Orders) -> ExitCode {
        let mut verdicts = Vec::new();
        let mut survivors = Survivors::default();
        loop {
            let Loss { why, code, suspects } = match self.run_worker(&orders) {
                Ok(loss) => loss,
                Err(code) => return code,
            };
            let stage = read_number(&self.notes, STAGE) as usize;
            if orders.stage != stage {
                verdicts.clear();
            }
            orders.stage = stage;
            orders.resumes = read_number(&self.notes, HAS_BEGUN) == 1;
            let attempts: Vec<Attempt> =
                suspects.iter().filter_map(|work| serde_json::from_slice(&work.description).ok()).collect();
            tracing::warn!(%why, "the process was lost; what it worked on ({}) is tried again, one by one", attempts.len());
            // For what is harmless alone, and yet ends every process.
            let fallback = Rejection::new(code, format!("{why}, each time it was decoded among others"));
            match self.judge(&orders, attempts, &fallback, &mut survivors) {
                Err(signal) => return self.report_interruption(signal),
                Ok(Some(more)) => {
                    verdicts.extend(more);
                    orders.most_threads = None;
                }
                // Alone, each of them is harmless: together they may need too much memory.
                Ok(None) => {
                    orders.most_threads = survivors.fewer_threads();
                    if survivors.num_unexplained > MOST_UNEXPLAINED_CRASHES {
                        return self.fail(format!("{why}, again and again, and no record is to blame"));
                    }
                }
            }
            if let Err(error) = self.write_verdicts(&verdicts) {
                return self.fail(cannot_run(&error));
            }
        }
    }

    fn write_verdicts(&self, verdicts: &[Verdict]) -> std::io::Result<()> {
        self.verdicts.set_len(0)?;
        self.verdicts.write_all_at(&serde_json::to_vec(verdicts)?, 0)
    }

    /// Runs a worker until it is lost; the exit code of the command if it is not.
    fn run_worker(&self, orders: &Orders) -> Result<Loss, ExitCode> {
        let started = match self.first_worker.take() {
            Some(pid) => Ok(pid),
            None => start_process(orders, Stdio::inherit()),
        };
        match started.and_then(|pid| self.watch(pid, false)) {
            Ok(End::Exited(code)) => Err(ExitCode::from(code)),
            Ok(End::Requested(signal)) => Err(self.report_interruption(signal)),
            Ok(End::Crashed(signal)) => {
                let suspects = read_in_flight(&self.notes);
                Ok(Loss { why: by_signal(signal), code: RejectCode::DecoderCrashed, suspects })
            }
            Ok(End::Stalled(suspects)) => {
                let why = format!("a record did not {}", in_time(self.patience));
                Ok(Loss { why, code: RejectCode::DecoderStalled, suspects })
            }
            Err(error) => Err(self.fail(cannot_run(&error))),
        }
    }

    /// Tries everything that was in flight on its own. `None` if nothing is to blame; an error is a request to end.
    fn judge(
        &self,
        orders: &Orders,
        attempts: Vec<Attempt>,
        fallback: &Rejection,
        survivors: &mut Survivors,
    ) -> Result<Option<Vec<Verdict>>, i32> {
        let mut verdicts = Vec::new();
        survivors.num_unexplained += u32::from(attempts.is_empty());
        for attempt in attempts {
            let orders = Orders { attempt: Some(attempt.clone()), ..orders.clone() };
            let started = start_process(&orders, Stdio::null());
            let rejection = match started.and_then(|pid| self.watch(pid, true)) {
                Ok(End::Requested(signal)) => return Err(signal),
                Ok(End::Crashed(signal)) => Some(crashed(&by_signal(signal))),
                Ok(End::Stalled(_)) => {
                    let detail = format!("twice, it did not {}", in_time(self.patience));
                    Some(Rejection::new(RejectCode::DecoderStalled, detail))
                }
                Ok(End::Exited(_)) | Err(_) => survivors.is_to_blame(&attempt).then(|| fallback.clone()),
            };
            let Some(rejection) = rejection else { continue };
            tracing::warn!(attempt = %describe(&attempt), %rejection, "rejected");
            verdicts.push(Verdict { attempt, rejection });
        }
        if verdicts.is_empty() {
            return Ok(None);
        }
        *survivors = Survivors::default();
        Ok(Some(verdicts))
    }

    /// Waits until a process ends, and ends it if somebody asks for that or if it takes too long over a record.
    fn watch(&self, pid: Pid, is_attempt: bool) -> std::io::Result<End> {
        let sender = self.sender.clone();
        let waits = Builder::new().spawn(move || {
            let ended = match retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty())) {
                Ok(Some((_, status))) => Event::Ended(ExitStatus::from_raw(status.as_raw())),
                Ok(None) | Err(_) => Event::Lost,
            };
            // The receiver outlives every process.
            _ = sender.send(ended);
        });
        if let Err(error) = waits {
            end(pid);
            return Err(error);
        }
        let mut clock = WorkClock { is_attempt, patience: self.patience, ..WorkClock::default() };
        let (mut requested, mut stalled) = (None, Vec::new());
        loop {
            let event = self.events.recv_timeout(LOOK_INTERVAL);
            match event {
                Ok(Event::Ended(status)) => return Ok(end_of(status, requested, stalled)),
                Ok(Event::Lost) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(std::io::Error::other("it is lost"));
                }
                Ok(Event::Request(signal)) => {
                    // Whoever asks twice does not want to wait.
                    let forwarded = if requested.is_some() { Signal::KILL } else { named(signal) };
                    requested = Some(signal);
                    // It may have ended by itself.
                    _ = kill_process(pid, forwarded);
                }
                Err(RecvTimeoutError::Timeout) if stalled.is_empty() => {
                    stalled = clock.overdue(&self.notes);
                    if !stalled.is_empty() {
                        _ = kill_process(pid, Signal::KILL);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn report_interruption(&self, signal: i32) -> ExitCode {
        let step = progress::name_of_number(read_number(&self.notes, STEP));
        let (done, total) = (read_number(&self.notes, DONE), read_number(&self.notes, TOTAL));
        let step = step.map_or_else(String::new, |step| format!(" at step {step}, {done} of {total} done"));
        // Below the bar of the progress.
        let start = if std::io::stderr().is_terminal() { "\n" } else { "" };
        let rest = if self.continues {
            "What is finished is kept beside the output, in the directory with the suffix .work: the same command without \
             --fresh continues, and ends with the same dataset."
        } else {
            "The dataset is as it was; the same command begins again."
        };
        print_error(&format!("{start}interrupted{step}. {rest}"));
        self.answer(&exit::interrupted(signal, format!("interrupted{step}")))
    }

    fn fail(&self, why: String) -> ExitCode {
        print_error(&format!("error: {why}"));
        self.answer(&ErrorAnswer { error: why, exit_code: exit::FAILED, problems: Vec::new() })
    }

    /// Answers for the worker, unless it has, and ends with the exit code of the answer.
    fn answer(&self, error: &ErrorAnswer) -> ExitCode {
        if read_number(&self.notes, HAS_ANSWERED) == 0 {
            exit::answer(error);
        }
        ExitCode::from(error.exit_code)
    }
}

/// Starts this program with the same arguments and some orders.
fn start_process(orders: &Orders, stdout: Stdio) -> std::io::Result<Pid> {
    let mut arguments = std::env::args_os();
    let mut command = Command::new(PROGRAM);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let orders = serde_json::to_string(orders)?;
    Ok(Pid::from_child(&command.args(arguments).env(VARIABLE, orders).stdout(stdout).spawn()?))
}

/// What was in flight in processes that were lost, and is harmless on its own.
#[derive(Default)]
struct Survivors {
    attempts: Vec<Attempt>,
    most_threads: Option<NonZeroUsize>,
    /// Processes that were lost while nothing was in flight.
    num_unexplained: u32,
}

impl Survivors {
    /// Whether one survivor has ended two processes that did nothing else.
    fn is_to_blame(&mut self, attempt: &Attempt) -> bool {
        if self.most_threads != Some(NonZeroUsize::MIN) {
            return false;
        }
        if self.attempts.contains(attempt) {
            return true;
        }
        self.attempts = vec![attempt.clone()];
        false
    }

    fn fewer_threads(&mut self) -> Option<NonZeroUsize> {
        let available = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let half = self.most_threads.map_or_else(available, NonZeroUsize::get) / 2;
        self.most_threads = Some(NonZeroUsize::new(half).unwrap_or(NonZeroUsize::MIN));
        self.most_threads
    }
}

/// For how many looks threads have been working on what they work on.
#[derive(Default)]
struct WorkClock {
    is_attempt: bool,
    patience: u32,
    /// On the same part: a thread, its piece of work, and how many parts of that are done.
    of_parts: HashMap<(u64, u64, u64), u32>,
    /// On all parts: a thread, and its piece of work.
    of_works: HashMap<(u64, u64), u32>,
}

impl WorkClock {
    /// What has been in flight for too long. An attempt is one thing, from its start on.
    fn overdue(&mut self, notes: &File) -> Vec<WorkInFlight> {
        let mut works = read_in_flight(notes);
        if self.is_attempt {
            let num_parts = works.iter().map(|work| work.num_parts).sum();
            works = vec![WorkInFlight { thread: 0, sequence: 0, num_parts, description: Vec::new() }];
        }
        let part = |work: &WorkInFlight| (work.thread, work.sequence, work.num_parts);
        let whole = |work: &WorkInFlight| (work.thread, work.sequence);
        let late_parts = count_look(&mut self.of_parts, works.iter().map(part), self.patience);
        let late_works = count_look(&mut self.of_works, works.iter().map(whole), patience_for_all(self.patience));
        works.retain(|work| late_parts.contains(&part(work)) || late_works.contains(&whole(work)));
        works
    }
}

/// Counts one more look at each key that is seen, and forgets the others. Returns those with more looks than allowed.
fn count_look<K: Copy + Eq + Hash>(
    looks: &mut HashMap<K, u32>,
    seen: impl Iterator<Item = K>,
    most: u32,
) -> HashSet<K> {
    *looks = seen.map(|key| (key, looks.get(&key).map_or(1, |looks| looks.saturating_add(1)))).collect();
    looks.iter().filter(|(_, looks)| **looks > most).map(|(key, _)| *key).collect()
}

fn patience_for_all(patience: u32) -> u32 {
    patience.saturating_mul(PATIENCE_FOR_ALL_PARTS)
}

/// What is expected of a record, for messages.
fn in_time(patience: u32) -> String {
    format!("get on within {patience} s, or end within {} s", patience_for_all(patience))
}

/// Ends a worker that nobody would wait for.
fn end(pid: Pid) {
    // It may have ended by itself.
    _ = kill_process(pid, Signal::KILL);
    _ = retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
}

fn cannot_run(error: &std::io::Error) -> String {
    format!("cannot run the command in a process of its own: {error}")
}

fn end_of(status: ExitStatus, requested: Option<i32>, stalled: Vec<WorkInFlight>) -> End {
    match (status.code(), status.signal(), requested) {
        (Some(code), ..) => End::Exited(code as u8),
        (None, _, Some(signal)) => End::Requested(signal),
        (None, Some(_), None) if !stalled.is_empty() => End::Stalled(stalled),
        (None, Some(signal), None) if CRASHES.contains(&signal) => End::Crashed(signal),
        (None, signal, None) => End::Requested(signal.unwrap_or(SIGTERM)),
    }
}

fn named(signal: i32) -> Signal {
    match signal {
        SIGINT => Signal::INT,
        SIGHUP => Signal::HUP,
        _ => Signal::TERM,
    }
}

fn by_signal(signal: i32) -> String {
    let name = signal_hook::low_level::signal_name(signal).unwrap_or("unknown");
    let cause = if signal == SIGKILL { ", perhaps for want of memory" } else { "" };
    format!("the process was ended by signal {signal} ({name}){cause}")
}

fn crashed(how: &str) -> Rejection {
    Rejection::new(RejectCode::DecoderCrashed, format!("its decoder crashed, twice: {how}"))
}

fn describe(attempt: &Attempt) -> String {
    match attempt {
        Attempt::Measure { origin, .. } | Attempt::Fingerprint { origin, .. } => origin.to_string(),
        Attempt::Make(sample) => sample.origin.to_string(),
        Attempt::Exclude(place) => place.to_string(),
        Attempt::Check { shard, row } => format!("{shard}#{row}"),
    }
}

impl Subcommand {
    /// Whether the command decodes media of sources.
    pub(crate) fn is_supervised(&self) -> bool {
        self.record_timeout().is_some()
    }

    /// Whether the command keeps what it has done when it is interrupted.
    fn continues(&self) -> bool {
        !matches!(self, Self::Verify(_))
    }

    fn record_timeout(&self) -> Option<u32> {
        let patience = match self {
            Self::Plan(plan) => plan.pipeline.patience,
            Self::Build(build) => build.pipeline.patience,
            Self::Run(run) => run.patience,
            Self::Task(task) => task.patience,
            Self::Verify(verify) => verify.patience,
            _ => return None,
        };
        Some(patience.record_timeout.get())
    }
}

#[cfg(test)]
mod tests {
    use manyframe_base::in_flight::{InFlight, part_done};

    use super::*;

    #[test]
    fn work_is_overdue_if_it_does_not_get_on_and_in_the_end_if_it_does() {
        let notes = tempfile::tempfile().unwrap();
        let in_flight = InFlight::new(notes.try_clone().unwrap()).unwrap();
        let _work = in_flight.enter(b"slow");
        let first_overdue = |is_attempt, gets_on: bool| {
            let mut clock = WorkClock { is_attempt, patience: 2, ..WorkClock::default() };
            (1..100).find(|_| {
                if gets_on {
                    part_done();
                }
                !clock.overdue(&notes).is_empty()
            })
        };
        for is_attempt in [false, true] {
            assert_eq!(first_overdue(is_attempt, false), Some(3));
            assert_eq!(first_overdue(is_attempt, true), Some(49));
        }
    }
}
