//! Promise: every engine builds the same dataset, and a build continues where an engine stopped.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test writes its inputs, and fails at once")]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use manyframe_base::{Executor, NoProgress};
use manyframe_dataset::DatasetReader;
use manyframe_engine::{
    Build, BuildAction, BuildOptions, BuildOutcome, Engine, EngineError, LocalEngine, RateBasis, TaskSet,
    TasksElsewhere, ValidateOn, WorkerMachine, repack,
};
use manyframe_pipeline::PackTable;
use manyframe_storage::Stores;
use manyframe_validate::measure::Meter;

/// A clock that never moves.
struct StoppedClock;

impl Meter for StoppedClock {
    fn seconds(&self) -> f64 {
        0.0
    }
}

/// A clock that advances by ten seconds with each reading.
#[derive(Default)]
struct JumpingClock(AtomicU32);

impl Meter for JumpingClock {
    fn seconds(&self) -> f64 {
        10.0 * f64::from(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Runs at most this many tasks, the last one first, each from the plan's directory alone, as a cluster would. Then it fails.
struct BackwardsEngine {
    most_tasks: usize,
    makes_indexes: bool,
    ran: Mutex<Vec<u32>>,
}

impl BackwardsEngine {
    fn new(most_tasks: usize) -> Self {
        Self { most_tasks, makes_indexes: false, ran: Mutex::new(Vec::new()) }
    }
}

impl Engine for BackwardsEngine {
    fn run(&self, set: &dyn TaskSet, tasks: &[u32], executor: Executor<'_>) -> Result<(), EngineError> {
        let (variables, stores) = (BTreeMap::new(), Stores::default());
        for &task in tasks.iter().rev().take(self.most_tasks) {
            let scratch = std::env::temp_dir();
            let machine =
                WorkerMachine { variables: &variables, stores: &stores, meter: &StoppedClock, scratch: &scratch };
            let opened = TasksElsewhere::open(set.directory(), machine)?;
            opened.as_set().run(task, executor)?;
            self.ran.lock().unwrap().push(task);
        }
        if tasks.len() > self.most_tasks {
            let num_missing = tasks.len() - self.most_tasks;
            return Err(EngineError::Unfinished { num_missing, num_tasks: tasks.len(), first: 0 });
        }
        Ok(())
    }

    fn makes_indexes(&self) -> bool {
        self.makes_indexes
    }
}

/// Six conversations in three shards.
struct Workshop {
    directory: tempfile::TempDir,
}

impl Workshop {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let record = |number: u32| {
            serde_json::json!({ "id": number.to_string(), "conversations": [
                { "from": "human", "value": format!("What is {number} and {number}?") },
                { "from": "gpt", "value": format!("{}.", 2 * number) },
            ] })
        };
        let records: Vec<_> = (0..6).map(record).collect();
        std::fs::write(directory.path().join("a.json"), serde_json::to_vec(&records).unwrap()).unwrap();
        Self { directory }
    }

    fn open(&self, output: &str, more: &str, options: BuildOptions) -> Result<Build, EngineError> {
        let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../format/tests/golden/jamba.model");
        let annotations = self.directory.path().join("a.json");
        let text = format!(
            "name = 'small'\n[output]\ndirectory = '{}'\nmax_shard_samples = 2\n[format]\ntokenizer = '{}'\n\
             {more}[[source]]\nname = 'a'\nkind = 'text'\nannotations = '{}'\n",
            self.path(output).display(),
            tokenizer.display(),
            annotations.display(),
        );
        let file = self.directory.path().join("pipeline.toml");
        std::fs::write(&file, text).unwrap();
        Build::open(manyframe_pipeline::read(&file, &[]).unwrap().pipeline, options)
    }

    fn build(&self, output: &str, engine: &dyn Engine) -> Result<BuildOutcome, EngineError> {
        let build = self.open(output, "", BuildOptions::default())?;
        with_executor(|executor| build.finish(engine, executor, &StoppedClock))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn with_executor<T>(act: impl FnOnce(Executor<'_>) -> T) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    act(Executor { pool: &pool, progress: &NoProgress })
}

#[test]
fn two_engines_build_the_same_dataset() {
    let workshop = Workshop::new();
    let local = workshop.build("local", &LocalEngine).unwrap();
    let backwards = workshop.build("backwards", &BackwardsEngine::new(usize::MAX)).unwrap();
    assert_eq!(local.committed.manifest.total.num_samples, 6);
    assert_eq!(local.committed.manifest.shards.len(), 3);
    assert_eq!(local.committed.manifest_digest, backwards.committed.manifest_digest);
}

#[test]
fn an_index_made_elsewhere_is_that_of_this_process() {
    let workshop = Workshop::new();
    let local = workshop.build("local", &LocalEngine).unwrap();
    assert_eq!(local.committed.work.num_splits_read, 1);
    let engine = BackwardsEngine { makes_indexes: true, ..BackwardsEngine::new(usize::MAX) };
    let elsewhere = workshop.build("elsewhere", &engine).unwrap();
    assert_eq!(elsewhere.committed.manifest_digest, local.committed.manifest_digest);
    assert_eq!(elsewhere.committed.work, local.committed.work, "the index counts as made now");
    assert_eq!(*engine.ran.lock().unwrap(), [0, 2, 1, 0], "an annotation file, and three shards");
    assert!(!workshop.path("elsewhere.work/index-tasks").exists());
    assert_eq!(workshop.build("elsewhere", &engine).unwrap().action, BuildAction::Nothing);
    assert_eq!(engine.ran.lock().unwrap().len(), 4, "what is there is not made again");
}

#[test]
fn only_work_of_these_threads_says_how_fast_they_are() {
    let workshop = Workshop::new();
    let basis_after = |output: &str, engine: &dyn Engine| {
        let open = || workshop.open(output, "", BuildOptions { is_fresh: true, ..BuildOptions::default() }).unwrap();
        with_executor(|executor| {
            open().finish(engine, executor, &JumpingClock::default()).unwrap();
            open().plan(executor).unwrap().time_estimate(2).basis
        })
    };
    assert_eq!(basis_after("local", &LocalEngine), RateBasis::LastBuild);
    assert_eq!(basis_after("elsewhere", &BackwardsEngine::new(usize::MAX)), RateBasis::RoughGuess);
}

#[test]
fn a_build_continues_with_the_tasks_that_are_not_done() {
    let workshop = Workshop::new();
    let failing = BackwardsEngine::new(1);
    assert!(matches!(workshop.build("out", &failing), Err(EngineError::Unfinished { num_missing: 2, .. })));
    assert_eq!(*failing.ran.lock().unwrap(), [2]);
    assert!(!workshop.path("out").exists(), "nothing is visible before commit");
    let second = BackwardsEngine::new(usize::MAX);
    let outcome = workshop.build("out", &second).unwrap();
    assert_eq!(*second.ran.lock().unwrap(), [1, 0]);
    assert_eq!((outcome.action, outcome.committed.manifest.total.num_samples), (BuildAction::Built, 6));
    let names = |directory: &str| {
        let entries = std::fs::read_dir(workshop.path(directory)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    assert!(names("out.work").iter().all(|name| !name.contains("plan-")), "a committed plan is removed");
}

#[test]
fn an_unfinished_plan_is_not_committed() {
    let workshop = Workshop::new();
    let build = workshop.open("out", "", BuildOptions::default()).unwrap();
    let result = with_executor(|executor| {
        build.plan(executor).unwrap().commit(ValidateOn { engine: &LocalEngine, executor, meter: &StoppedClock })
    });
    assert!(matches!(result, Err(EngineError::Unfinished { num_missing: 3, num_tasks: 3, first: 0 })));
    assert!(!workshop.path("out").exists());
}

#[test]
fn a_build_does_no_more_than_it_must() {
    let workshop = Workshop::new();
    let finish = |more: &str, is_fresh: bool| {
        let build = workshop.open("out", more, BuildOptions { is_fresh, ..BuildOptions::default() }).unwrap();
        with_executor(|executor| build.finish(&LocalEngine, executor, &StoppedClock)).unwrap()
    };
    assert_eq!(finish("", false).action, BuildAction::Built);
    assert_eq!(finish("", false).action, BuildAction::Nothing);
    let fresh = finish("", true);
    assert_eq!((fresh.action, fresh.committed.work.num_samples_reused), (BuildAction::Built, 0));
}

#[test]
fn a_dataset_that_was_packed_otherwise_since_is_packed_again_and_not_built() {
    let workshop = Workshop::new();
    let finish = || {
        let build = workshop.open("out", "[pack]\nmax_tokens = 64\n", BuildOptions::default()).unwrap();
        with_executor(|executor| build.finish(&LocalEngine, executor, &StoppedClock)).unwrap()
    };
    let built = finish();
    assert_eq!(built.action, BuildAction::Built);
    let other = PackTable { max_tokens: NonZeroU32::new(128), ..PackTable::default() };
    repack(&DatasetReader::open(&workshop.path("out")).unwrap(), &other).unwrap();
    let repacked = finish();
    assert_eq!(repacked.action, BuildAction::Repacked);
    assert_eq!(repacked.committed.manifest_digest, built.committed.manifest_digest);
}

#[test]
fn an_output_has_one_build_at_a_time() {
    let workshop = Workshop::new();
    let first = workshop.open("out", "", BuildOptions::default()).unwrap();
    assert!(matches!(workshop.open("out", "", BuildOptions::default()), Err(EngineError::Locked { .. })));
    drop(first);
    workshop.open("out", "", BuildOptions::default()).unwrap();
}
