//! Results go to stdout, everything else to stderr.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use crate::args::{Global, LogFormat};

/// Writes a result. A reader that closes the pipe early, such as `head`, is not an error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a line to stderr; there is nowhere to report a failure of that.
pub(crate) fn print_error(line: &str) {
    _ = writeln!(io::stderr().lock(), "{line}");
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
