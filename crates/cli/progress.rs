//! Progress on stderr: a bar per step on a terminal, a line every few seconds anywhere else, or events of JSON.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use manyframe_base::{Progress, Step};

use crate::output::{self, print_note};

/// Time between plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// A bar on a terminal, lines elsewhere, nothing if quiet.
pub(crate) fn on_stderr(is_quiet: bool) -> Box<dyn Progress> {
    if is_quiet {
        Box::new(manyframe_base::NoProgress)
    } else if output::is_lively() {
        Box::new(Bars { bar: Mutex::new(ProgressBar::hidden()), num_records: AtomicU64::new(0) })
    } else {
        Box::new(ProgressLines { state: Mutex::new(None) })
    }
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Index => "index",
        Step::Compare => "compare",
        Step::Run => "run",
        Step::Commit => "commit",
        Step::Verify | Step::VerifyFiles => "verify",
        Step::Validate => "validate",
        Step::Export | Step::ExportPacks => "export",
        Step::Survey => "survey",
        Step::Copy => "copy",
        Step::Upload => "upload",
        Step::Download => "download",
    }
}

/// The name of a step by its number in the list of all, from 1; `None` for 0.
pub(crate) fn name_of_number(number: u64) -> Option<&'static str> {
    const STEPS: [Step; 9] = [
        Step::Index,
        Step::Compare,
        Step::Run,
        Step::Commit,
        Step::Verify,
        Step::VerifyFiles,
        Step::Export,
        Step::ExportPacks,
        Step::Validate,
    ];
    STEPS.into_iter().find(|step| *step as u64 + 1 == number).map(name)
}

fn is_in_bytes(step: Step) -> bool {
    matches!(step, Step::Index | Step::Verify | Step::VerifyFiles | Step::Export | Step::Upload | Step::Download)
}

/// Whether the units of a step are what is counted besides them: the number is shown once.
fn counts_its_units(step: Step) -> bool {
    matches!(step, Step::Compare | Step::Run | Step::ExportPacks | Step::Validate)
}

/// What is counted besides the units of a step.
fn things(step: Step) -> &'static str {
    match step {
        Step::VerifyFiles | Step::Survey | Step::Upload | Step::Download => "files",
        _ => "records",
    }
}

/// What the units of a step are.
fn unit(step: Step) -> &'static str {
    match step {
        Step::Commit => "shards",
        _ if is_in_bytes(step) => "bytes",
        _ => things(step),
    }
}

struct Bars {
    bar: Mutex<ProgressBar>,
    num_records: AtomicU64,
}

impl Bars {
    fn with_bar(&self, act: impl FnOnce(&mut ProgressBar)) {
        act(&mut self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

impl Progress for Bars {
    fn start(&self, step: Step, total: u64) {
        self.num_records.store(0, Ordering::Relaxed);
        if total == 0 {
            // Nothing to do is nothing to show.
            self.with_bar(|bar| *bar = ProgressBar::hidden());
            return;
        }
        // The bar takes what the rest leaves of a line.
        let count = if is_in_bytes(step) {
            "{bytes}/{total_bytes}  {bytes_per_sec}"
        } else {
            "{human_pos}/{human_len}  {rate}"
        };
        let counted = if counts_its_units(step) { String::new() } else { format!("  {{msg}} {}", things(step)) };
        let template = format!("{{prefix:>8}} [{{wide_bar}}] {count}{counted}  {{eta}} left");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_invalid| ProgressStyle::default_bar());
        let style = style.with_key("rate", |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            // A rate that cannot be written is not shown.
            _ = write!(text, "{}/s", HumanCount(state.per_sec() as u64));
        });
        self.with_bar(|bar| {
            *bar = ProgressBar::new(total).with_style(style.progress_chars("=> ")).with_prefix(name(step));
        });
    }

    fn advance(&self, num_records: u64, units: u64) {
        let total = self.num_records.fetch_add(num_records, Ordering::Relaxed) + num_records;
        self.with_bar(|bar| {
            bar.inc(units);
            bar.set_message(HumanCount(total).to_string());
        });
    }

    fn finish(&self, _: Step) {
        self.with_bar(|bar| bar.finish());
    }
}

struct ProgressLines {
    state: Mutex<Option<LineState>>,
}

struct LineState {
    step: Step,
    total: u64,
    done: u64,
    num_records: u64,
    started: Instant,
    last_line: Instant,
}

impl LineState {
    fn print(&self, is_done: bool) {
        let elapsed = self.started.elapsed();
        let amount = |units: u64| {
            if is_in_bytes(self.step) { HumanBytes(units).to_string() } else { HumanCount(units).to_string() }
        };
        let seconds = elapsed.as_secs_f64().max(1e-3);
        let rate = amount((self.done as f64 / seconds) as u64);
        let left = (self.done > 0 && !is_done)
            .then(|| elapsed.mul_f64(self.total.saturating_sub(self.done) as f64 / self.done as f64));
        if output::logs_json() {
            tracing::info!(
                step = name(self.step),
                done = self.done,
                total = self.total,
                unit = unit(self.step),
                num_counted = self.num_records,
                counted = things(self.step),
                seconds = elapsed.as_secs_f64(),
                seconds_left = left.map(|left| left.as_secs_f64()),
                is_done,
                "progress"
            );
            return;
        }
        let mut line = format!("{}: {} of {}", name(self.step), amount(self.done), amount(self.total));
        if counts_its_units(self.step) {
            line.push_str(&format!(" {}", things(self.step)));
        } else {
            line.push_str(&format!(", {} {}", HumanCount(self.num_records), things(self.step)));
        }
        line.push_str(&format!(", {rate}/s"));
        if is_done {
            line.push_str(&format!(", done in {:.1} s", elapsed.as_secs_f64()));
        } else if let Some(left) = left {
            line.push_str(&format!(", {} left", HumanDuration(left)));
        }
        print_note(&line);
    }
}

impl Progress for ProgressLines {
    fn start(&self, step: Step, total: u64) {
        let now = Instant::now();
        let state = LineState { step, total, done: 0, num_records: 0, started: now, last_line: now };
        *self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(state);
    }

    fn advance(&self, num_records: u64, units: u64) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(state) = state.as_mut() else { return };
        state.done += units;
        state.num_records += num_records;
        if state.last_line.elapsed() >= LINE_INTERVAL {
            state.last_line = Instant::now();
            state.print(false);
        }
    }

    fn finish(&self, _: Step) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(mut state) = state.take().filter(|state| state.total > 0) {
            // The space between records counts towards the total, but belongs to no record.
            state.done = state.total;
            state.print(true);
        }
    }
}
