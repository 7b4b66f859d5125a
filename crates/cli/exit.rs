//! Exit codes. They are stable and documented in `--help`.

use std::io::Write as _;
use std::process::ExitCode;

use manyframe_dataset::DatasetError;
use manyframe_engine::{EngineError, ErrorAnswer};
use manyframe_pipeline::{PipelineError, Problem};
use manyframe_plan::PlanError;
use manyframe_storage::StorageError;
use manyframe_transfer::TransferError;
use manyframe_validate::ValidateError;

use crate::output;

/// Failed; trying again may help.
pub(crate) const FAILED: u8 = 1;
/// Usage error, or a mistake in the pipeline file; trying again will not help. clap uses the same code.
pub(crate) const USAGE_ERROR: u8 = 2;
/// Built, but not published: more records were rejected than the pipeline file allows.
pub(crate) const OVER_BUDGET: u8 = 3;
/// Validation failed: a measure exceeds a policy limit.
pub(crate) const OVER_LIMIT: u8 = 4;

/// Reports arguments that cannot be understood, or prints the help that they ask for. Logs that are to be JSON are, even then.
pub(crate) fn report_arguments(error: &clap::Error) -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().map(|text| text.to_string_lossy().into_owned()).collect();
    let logs_json = arguments.iter().any(|text| text == "--log-format=json")
        || arguments.windows(2).any(|pair| matches!(pair, [name, value] if name == "--log-format" && value == "json"));
    if error.use_stderr() && logs_json {
        let fields = serde_json::json!({ "message": error.to_string().trim_end() });
        output::print_line(&serde_json::json!({ "level": "ERROR", "fields": fields }).to_string());
    } else if error.use_stderr() {
        // There is nowhere to report that it cannot be printed.
        _ = error.print();
    } else {
        let printed = error.print().and_then(|()| std::io::stdout().flush());
        return output::answered(printed).map_or_else(|error| report(&error.into()), |()| ExitCode::SUCCESS);
    }
    answer(&ErrorAnswer {
        error: error.to_string().trim_end().to_owned(),
        exit_code: USAGE_ERROR,
        problems: Vec::new(),
    });
    ExitCode::from(USAGE_ERROR)
}

/// Prints an error as the answer of a command that was asked for JSON, and has given no other.
pub(crate) fn answer(error: &ErrorAnswer) {
    if output::answers_json() && !output::has_answered() {
        // There is nowhere to report that it cannot be printed.
        _ = output::print_json(error);
    }
}

/// The answer of a command that somebody asked to end.
pub(crate) fn interrupted(signal: i32, how: String) -> ErrorAnswer {
    ErrorAnswer { error: how, exit_code: by_signal(signal), problems: Vec::new() }
}

/// The exit code of a command that a signal has ended, as shells have it.
pub(crate) fn by_signal(signal: i32) -> u8 {
    128 + signal as u8
}

/// Prints an error with its causes; returns the exit code for it.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let problems = match pipeline_error(error) {
        Some(PipelineError::Invalid(problems)) => problems.clone(),
        _ => Vec::new(),
    };
    print_problems(&problems, "");
    let causes = causes(error);
    output::print_error(&format!("error: {causes}"));
    let exit_code = match error.downcast_ref() {
        Some(EngineError::Invalid { .. }) => OVER_LIMIT,
        Some(EngineError::Losses { .. }) => OVER_BUDGET,
        _ if is_usage_error(error) => USAGE_ERROR,
        _ => FAILED,
    };
    answer(&ErrorAnswer { error: causes, exit_code, problems });
    ExitCode::from(exit_code)
}

/// What an error says, and what its causes say.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Prints problems, each after a prefix; of very many, the first.
pub(crate) fn print_problems(problems: &[Problem], prefix: &str) {
    const MOST_PRINTED: usize = 100;
    for problem in problems.iter().take(MOST_PRINTED) {
        output::print_error(&format!("{prefix}{problem}"));
    }
    if problems.len() > MOST_PRINTED {
        let more = crate::table::count((problems.len() - MOST_PRINTED) as u64);
        output::print_error(&format!("{prefix}… and {more} more"));
    }
}

fn pipeline_error(error: &anyhow::Error) -> Option<&PipelineError> {
    match plan_error(error) {
        Some(PlanError::Pipeline(error)) => Some(error),
        _ => error.downcast_ref::<PipelineError>(),
    }
}

fn plan_error(error: &anyhow::Error) -> Option<&PlanError> {
    match error.downcast_ref::<EngineError>() {
        Some(EngineError::Plan(error)) => Some(error),
        _ => error.downcast_ref::<PlanError>(),
    }
}

fn is_usage_error(error: &anyhow::Error) -> bool {
    let may_be_retried = if let Some(error) = error.downcast_ref::<EngineError>() {
        error.may_be_retried()
    } else if let Some(error) = error.downcast_ref::<PlanError>() {
        error.may_be_retried()
    } else if let Some(error) = error.downcast_ref::<PipelineError>() {
        error.may_be_retried()
    } else if let Some(error) = error.downcast_ref::<ValidateError>() {
        error.may_be_retried()
    } else if let Some(error) = error.downcast_ref::<TransferError>() {
        error.may_be_retried()
    } else {
        !error.is::<UsageError>()
            && !error.is::<StorageError>()
            && !matches!(error.downcast_ref(), Some(DatasetError::NotADataset { .. }))
    };
    !may_be_retried
}

/// A request that no retry can satisfy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

#[cfg(test)]
mod tests {
    use std::io;

    use manyframe_base::FileError;

    use super::*;

    #[test]
    fn what_a_retry_cannot_mend_is_a_usage_error() {
        let missing = EngineError::NoSuchTask { task: 7, last: 2 };
        assert!(is_usage_error(&missing.into()));
        assert!(is_usage_error(&UsageError("no".to_owned()).into()));
        assert!(is_usage_error(&DatasetError::NotADataset { path: "x".into(), detail: String::new() }.into()));
        let full = EngineError::File(FileError::write("x")(io::ErrorKind::StorageFull.into()));
        assert!(!is_usage_error(&full.into()));
        assert!(!is_usage_error(&anyhow::anyhow!("cannot start worker threads")));
    }

    #[test]
    fn causes_keep_their_verdict_below_a_context() {
        let error = anyhow::Error::from(EngineError::NoSuchTask { task: 7, last: 2 }).context("while planning");
        assert!(is_usage_error(&error));
    }
}
