//! Results go to stdout, everything else to stderr.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use crate::args::{Global, LogFormat};

/// The text without what would make a terminal do something else than show it: names and texts of records are foreign.
fn harmless(text: &str) -> Cow<'_, str> {
    let is_harmful = |character: char| match character {
        '\n' | '\t' => false,
        // Marks that reorder what is shown.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => character.is_control(),
    };
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for character in text.chars() {
        if is_harmful(character) { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    Cow::Owned(shown)
}

/// Writes a result. A reader that closes the pipe early, such as `head`, is not an error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(harmless(text).as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a line to stderr; there is nowhere to report a failure of that.
pub(crate) fn print_error(line: &str) {
    _ = writeln!(io::stderr().lock(), "{}", harmless(line));
}

/// Sends logs to stderr. `RUST_LOG` overrides `-v` and `-q`.
pub(crate) fn start_logging(global: &Global) {
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
        LogFormat::Text => subscriber.with_ansi(io::stderr().is_terminal()).without_time().init(),
    }
}

/// A decoder that panics on a hostile file costs one record, and the ledger says so; such panics are only logged.
pub(crate) fn quiet_contained_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if manyframe_core::is_contained() {
            tracing::debug!(%panic, "a panic was contained");
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
        assert_eq!(harmless("a\u{1b}]0;b\u{7}\rc\u{9b}2J\u{202e}"), "a\\u{1b}]0;b\\u{7}\\rc\\u{9b}2J\\u{202e}");
    }
}
