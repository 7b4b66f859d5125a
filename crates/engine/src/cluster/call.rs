//! Calls the programs of a scheduler.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use crate::error::EngineError;

/// What schedulers say when they are down for a moment.
const PASSING: [&str; 5] = ["unable to contact", "timed out", "connection refused", "connection reset", "try again"];

/// stdout of a program that has to succeed.
pub(crate) fn call(program: &str, arguments: &[&str], input: &str) -> Result<String, EngineError> {
    let failed = |detail: String, may_be_retried| {
        let program = program.to_owned();
        EngineError::Scheduler { program, detail, may_be_retried }
    };
    let output = run(program, arguments, input).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed("there is no such program on this machine".to_owned(), false),
        _ => failed(error.to_string(), true),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let lower = stderr.to_lowercase();
    let is_passing = PASSING.iter().any(|text| lower.contains(text));
    let detail = if stderr.is_empty() { output.status.to_string() } else { stderr };
    Err(failed(detail, is_passing))
}

fn run(program: &str, arguments: &[&str], input: &str) -> io::Result<std::process::Output> {
    let mut command = Command::new(program);
    let mut child =
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read to the end says why itself.
        _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_says_why_and_whether_to_try_again() {
        assert_eq!(call("cat", &[], "x").unwrap(), "x");
        let may_be_retried = |arguments: &[&str]| match call("sh", arguments, "").unwrap_err() {
            EngineError::Scheduler { may_be_retried, detail, .. } => (may_be_retried, detail),
            other => panic!("{other}"),
        };
        assert_eq!(may_be_retried(&["-c", "echo invalid partition >&2; exit 1"]), (false, "invalid partition".into()));
        assert!(may_be_retried(&["-c", "echo 'Unable to contact slurm controller' >&2; exit 1"]).0);
        assert!(!call("no-such-program", &[], "").unwrap_err().may_be_retried());
    }
}
