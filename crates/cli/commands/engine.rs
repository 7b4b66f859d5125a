//! The engine of the arguments.

use std::num::NonZeroU32;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use manyframe_engine::{Engine, JobOptions, LocalEngine, RayEngine, SlurmEngine};

use super::variables;
use crate::args::{EngineArguments, EngineName, StoreArguments};
use crate::exit::UsageError;

/// An engine that hands tasks to a scheduler.
pub(super) enum ClusterEngine {
    Ray(RayEngine),
    Slurm(SlurmEngine),
}

/// The engine of the arguments. Its workers reach object stores as this process does.
pub(super) fn of_arguments(arguments: &EngineArguments, store: &StoreArguments) -> Result<Box<dyn Engine>> {
    Ok(match cluster_of_arguments(arguments, store)? {
        None => Box::new(LocalEngine),
        Some(ClusterEngine::Ray(engine)) => Box::new(engine),
        Some(ClusterEngine::Slurm(engine)) => Box::new(engine),
    })
}

/// The engine of the arguments, if it is one of a cluster. An option that it has no use for is an error.
pub(super) fn cluster_of_arguments(
    arguments: &EngineArguments,
    store: &StoreArguments,
) -> Result<Option<ClusterEngine>> {
    let EngineArguments {
        engine,
        cpus,
        gpus,
        tasks_per_job,
        most_jobs,
        worker_set,
        no_shared_disk,
        sbatch,
        address,
        python,
    } = arguments;
    let name = *engine;
    let options = [
        ("--sbatch", !sbatch.is_empty(), &[EngineName::Slurm][..]),
        ("--address", address.is_some(), &[EngineName::Ray]),
        ("--python", python.is_some(), &[EngineName::Ray]),
        ("--cpus", cpus.is_some(), &[EngineName::Ray, EngineName::Slurm]),
        ("--gpus", gpus.is_some(), &[EngineName::Ray, EngineName::Slurm]),
        ("--tasks-per-job", tasks_per_job.is_some(), &[EngineName::Ray, EngineName::Slurm]),
        ("--most-jobs", most_jobs.is_some(), &[EngineName::Ray, EngineName::Slurm]),
        ("--no-shared-disk", *no_shared_disk, &[EngineName::Ray, EngineName::Slurm]),
        ("--worker-set", !worker_set.is_empty(), &[EngineName::Ray, EngineName::Slurm]),
    ];
    if let Some((option, ..)) = options.iter().find(|(_, is_set, users)| *is_set && !users.contains(&name)) {
        return Err(UsageError(format!("{option} does nothing with --engine {}", name_of(name))).into());
    }
    let jobs = || -> Result<JobOptions> {
        Ok(JobOptions {
            program: std::env::current_exe().context("cannot find out which program this is")?,
            cpus: cpus.unwrap_or(NonZeroU32::MIN),
            gpus: gpus.map_or(0, NonZeroU32::get),
            tasks_per_job: *tasks_per_job,
            most_jobs: *most_jobs,
            variables: variables::values(worker_set),
            shares_disk: !no_shared_disk,
            endpoint: store.endpoint.clone(),
        })
    };
    Ok(match name {
        EngineName::Local => None,
        EngineName::Ray => {
            let python = python.clone().unwrap_or_else(|| PathBuf::from("python3"));
            Some(ClusterEngine::Ray(RayEngine { jobs: jobs()?, address: address.clone(), python }))
        }
        EngineName::Slurm => Some(ClusterEngine::Slurm(SlurmEngine { jobs: jobs()?, sbatch: sbatch.clone() })),
    })
}

fn name_of(name: EngineName) -> &'static str {
    match name {
        EngineName::Local => "local",
        EngineName::Ray => "ray",
        EngineName::Slurm => "slurm",
    }
}
