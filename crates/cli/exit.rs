//! Exit codes. They are stable and documented in `--help`.

use std::process::ExitCode;

use manyframe_dataset::DatasetError;
use manyframe_engine::EngineError;
use manyframe_pipeline::PipelineError;
use manyframe_plan::PlanError;
use manyframe_validate::ValidateError;

/// Failure; trying again may help.
pub(crate) const FAILED: u8 = 1;
/// Wrong usage, or an error in a pipeline file; trying again will not help. clap uses the same code.
pub(crate) const WRONG_USE: u8 = 2;
/// Built, but a source is over its error budget.
pub(crate) const OVER_BUDGET: u8 = 3;
/// A measure of a validation is over a limit of the policy.
pub(crate) const OVER_LIMIT: u8 = 4;

/// Prints an error with its causes; returns the exit code for it.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(PipelineError::Invalid(problems)) = pipeline_error(error) {
        for problem in problems {
            crate::output::print_error(&problem.to_string());
        }
    }
    let causes = error.chain().map(ToString::to_string).collect::<Vec<_>>();
    crate::output::print_error(&format!("error: {}", causes.join(": ")));
    if let Some(EngineError::Invalid { .. }) = error.downcast_ref::<EngineError>() {
        return ExitCode::from(OVER_LIMIT);
    }
    ExitCode::from(if is_wrong_use(error) { WRONG_USE } else { FAILED })
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

fn is_wrong_use(error: &anyhow::Error) -> bool {
    if let Some(error) = pipeline_error(error) {
        return !error.may_be_retried();
    }
    if let Some(error) = plan_error(error) {
        return !error.may_be_retried();
    }
    let engine = error.downcast_ref::<EngineError>();
    let is_wrong = |error: &EngineError| {
        matches!(
            error,
            EngineError::NoSuchTask { .. }
                | EngineError::NoSuchSource { .. }
                | EngineError::Occupied { .. }
                | EngineError::Exists { .. }
                | EngineError::Dataset(DatasetError::NotADataset { .. })
                | EngineError::SourceChanged { .. }
                | EngineError::NoTokens { .. }
                | EngineError::NoModel { .. }
                | EngineError::Policy { .. }
        )
    };
    let model = match engine {
        Some(EngineError::Model(error)) => Some(error),
        _ => error.downcast_ref::<ValidateError>(),
    };
    let is_wrong_model = |error: &ValidateError| !error.may_be_retried();
    let is_no_dataset = matches!(error.downcast_ref::<DatasetError>(), Some(DatasetError::NotADataset { .. }));
    let is_request = is_no_dataset || error.downcast_ref::<WrongUse>().is_some();
    is_request || model.is_some_and(is_wrong_model) || engine.is_some_and(is_wrong)
}

/// A request that no retry can satisfy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongUse(pub(crate) String);
