//! Results go to stdout, everything else to stderr.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::termios::tcgetwinsize;
use serde::Serialize;
use tracing_subscriber::EnvFilter;
use unicode_width::UnicodeWidthStr;

use crate::args::{Global, LogFormat};

/// The text without what would make a terminal do something else than show it: names and texts of records are foreign. Line feeds and
/// tabs stay.
fn harmless(text: &str) -> Cow<'_, str> {
    escaped(text, |character| !matches!(character, '\n' | '\t') && is_obeyed(character))
}

/// As [`harmless`], of a text that is a part of a line: line feeds and tabs are escaped, too.
pub(crate) fn in_one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed)
}

/// Whether it is something that a terminal does, or a mark that reorders what it shows.
fn is_obeyed(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, is_harmful: impl Fn(char) -> bool) -> Cow<'_, str> {
    escaped_as(text, is_harmful, |character| character.escape_default().to_string())
}

fn escaped_as(text: &str, is_harmful: impl Fn(char) -> bool, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(&is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for character in text.chars() {
        if is_harmful(character) { shown.push_str(&escape(character)) } else { shown.push(character) }
    }
    Cow::Owned(shown)
}

/// As [`harmless`], of JSON, whose strings have escapes of their own.
fn harmless_json(text: &str) -> Cow<'_, str> {
    let is_harmful = |character| character != '\n' && is_obeyed(character);
    escaped_as(text, is_harmful, |character| format!("\\u{:04x}", u32::from(character)))
}

/// Whether results are to be JSON. Known before the arguments are understood, so that an error in them is, too.
pub(crate) fn answers_json() -> bool {
    static ANSWERS_JSON: OnceLock<bool> = OnceLock::new();
    *ANSWERS_JSON.get_or_init(|| std::env::args_os().any(|argument| argument == "--json"))
}

/// Whether a result was written.
static HAS_ANSWERED: AtomicBool = AtomicBool::new(false);

/// Whether this process has written a result.
pub(crate) fn has_answered() -> bool {
    HAS_ANSWERED.load(Ordering::Relaxed)
}

/// Called once, before the first result is written.
static BEFORE_ANSWER: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

/// Calls `note` before this process writes its first result.
pub(crate) fn before_answer(note: impl Fn() + Send + Sync + 'static) {
    // A process is told once what it is.
    _ = BEFORE_ANSWER.set(Box::new(note));
}

/// Writes a result.
pub(crate) fn print(text: &str) -> io::Result<()> {
    if !text.is_empty()
        && !HAS_ANSWERED.swap(true, Ordering::Relaxed)
        && let Some(note) = BEFORE_ANSWER.get()
    {
        note();
    }
    let mut stdout = io::stdout().lock();
    let text = if answers_json() { harmless_json(text) } else { harmless(text) };
    answered(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// What became of writing to stdout. A reader that closes the pipe early, such as `head`, is not an error.
pub(crate) fn answered(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        // Such as a full disk, which is not that of the dataset.
        result => {
            result.map_err(|error| io::Error::new(error.kind(), format!("cannot write the answer to stdout: {error}")))
        }
    }
}

/// Writes a result as indented JSON.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(print(&(serde_json::to_string_pretty(value)? + "\n"))?)
}

/// How output looks: decided once, from the arguments and the environment.
struct Settings {
    log_format: LogFormat,
    /// Columns that a table may take; `None` for any number.
    width: Option<usize>,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// Columns that a table may take; `None` for any number.
pub(crate) fn width() -> Option<usize> {
    SETTINGS.get().and_then(|settings| settings.width)
}

/// Whether everything on stderr is JSON.
pub(crate) fn logs_json() -> bool {
    SETTINGS.get().is_some_and(|settings| settings.log_format == LogFormat::Json)
}

/// Whether a bar that moves, and colours, are wanted on stderr: it is a terminal that can, and nobody asked for none.
pub(crate) fn is_lively() -> bool {
    let is_dumb = environment("TERM").is_some_and(|term| term == "dumb");
    io::stderr().is_terminal() && !is_dumb && !logs_json()
}

fn has_colours() -> bool {
    is_lively() && environment("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "`cli` reads the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The width of the terminal that results go to, or that `COLUMNS` states; `None` where they go elsewhere.
fn width_of_stdout() -> Option<usize> {
    let stated = environment("COLUMNS").and_then(|text| text.parse::<usize>().ok()).filter(|width| *width > 0);
    // Some consoles know their columns and state zero rows.
    let own = || tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col)).filter(|width| *width > 0);
    stated.or_else(own)
}

/// The text in lines of this width at most, as far as its words are not longer.
pub(crate) fn wrapped(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            lines.push_str(&line);
            lines.push('\n');
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines + &line
}

/// Writes a line to stderr; there is nowhere to report a failure of that.
pub(crate) fn print_error(line: &str) {
    if logs_json() {
        tracing::error!("{line}");
    } else {
        print_line(line);
    }
}

/// As [`print_error`], for what is no error.
pub(crate) fn print_note(line: &str) {
    if logs_json() {
        tracing::info!("{line}");
    } else {
        print_line(line);
    }
}

/// Writes a line to stderr as it is.
pub(crate) fn print_line(line: &str) {
    _ = writeln!(io::stderr().lock(), "{}", harmless(line));
}

/// Sends logs to stderr. `RUST_LOG` overrides `-v` and `-q`.
pub(crate) fn start(global: &Global) {
    let width = if global.wide { None } else { width_of_stdout() };
    // It is set once: nothing else calls this.
    _ = SETTINGS.set(Settings { log_format: global.log_format, width });
    let level = match (global.quiet, global.verbose) {
        (true, _) => "warn",
        (_, 0) => "info",
        (_, 1) => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    match global.log_format {
        LogFormat::Json => subscriber.json().init(),
        LogFormat::Text => subscriber.with_ansi(has_colours()).without_time().init(),
    }
}

/// A decoder that panics on a hostile file costs one record, and the ledger says so; such panics are only logged.
pub(crate) fn quiet_contained_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if manyframe_core::is_contained() {
            tracing::debug!(%panic, "a panic was contained");
        } else if logs_json() {
            tracing::error!(%panic, "a bug: the program panicked");
        } else {
            report(panic);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(harmless("größer\n\t⟦x⟧"), "größer\n\t⟦x⟧");
        assert_eq!(in_one_line("a\n\t\u{1b}[31mb"), "a\\n\\t\\u{1b}[31mb");
        assert_eq!(harmless_json("\"a\u{7f}b\u{202e}\"\n"), "\"a\\u007fb\\u202e\"\n");
        assert_eq!(harmless("a\u{1b}]0;b\u{7}\rc\u{9b}2J\u{202e}"), "a\\u{1b}]0;b\\u{7}\\rc\\u{9b}2J\\u{202e}");
    }
}
