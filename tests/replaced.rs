//! Promise: what is read of a dataset while a build replaces it is of one dataset, or it is an error that says so.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use manyframe_base::{Executor, NoProgress, Progress, Step};
use manyframe_core::DeviceChoice;
use manyframe_dataset::{DatasetReader, LedgerRow};
use manyframe_engine::{EngineError, LocalEngine, ValidateOn, ValidateRequest, VerifyOptions, validate, verify};
use manyframe_report::{Original, Originals, ReportError, ReportOptions, report};
use manyframe_validate::measure::{Meter, Policy, RunOptions, SampleChoice};
use serde_json::{Value, json};

use crate::support::{Built, Workshop, llava, manyframe, photo, run};

/// A dataset, and its pipeline file with another order of samples.
fn workshop() -> (Workshop, Built) {
    let mut workshop = Workshop::new();
    for number in 0..6 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 60, 40));
    }
    let records: Vec<Value> = (0..6).map(|n| llava(&format!("r{n}"), &format!("{n}.jpg"))).collect();
    workshop.add_source("a", "llava", &Value::from(records), "");
    let missing = json!([llava("missing", "absent.jpg")]);
    workshop.add_source("b", "llava", &missing, "max_rejects = 1.0\n");
    let built = workshop.build();
    workshop.head = workshop.head.replace("seed = 3", "seed = 4");
    (workshop, built)
}

fn is_overtaken<T>(result: Result<T, EngineError>) -> bool {
    matches!(result.err(), Some(EngineError::Overtaken { .. }))
}

/// Builds when a step begins, once.
struct BuildsAt<'a>(Step, Mutex<Option<&'a Workshop>>);

impl Progress for BuildsAt<'_> {
    fn start(&self, step: Step, _: u64) {
        if step == self.0
            && let Some(workshop) = self.1.lock().unwrap().take()
        {
            workshop.build();
        }
    }

    fn advance(&self, _: u64, _: u64) {}

    fn finish(&self, _: Step) {}
}

fn pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()
}

#[test]
fn verify_blames_neither_dataset_where_a_build_replaces_one_with_the_other() {
    let (workshop, built) = workshop();
    let dataset = DatasetReader::open(&built.dataset).unwrap();
    let options = VerifyOptions::default();
    let progress = BuildsAt(Step::Verify, Mutex::new(Some(&workshop)));
    assert!(is_overtaken(verify(&dataset, &options, Executor { pool: &pool(), progress: &progress })));
    // Its ledger is another one already.
    assert!(is_overtaken(verify(&dataset, &options, Executor { pool: &pool(), progress: &NoProgress })));
    // None of its files is there.
    let whole = workshop.path("kept");
    fs::rename(&built.dataset, &whole).unwrap();
    assert!(is_overtaken(verify(&dataset, &options, Executor { pool: &pool(), progress: &NoProgress })));
    fs::rename(whole, &built.dataset).unwrap();
    Built::read(&built.dataset).verify();
}

/// Builds when it is asked for an original, once.
struct BuildsForOriginals<'a>(Cell<Option<&'a Workshop>>);

impl Originals for BuildsForOriginals<'_> {
    fn of(&self, _: &LedgerRow) -> Original {
        if let Some(workshop) = self.0.take() {
            workshop.build();
        }
        Original { annotation: String::new(), images: Vec::new() }
    }
}

#[test]
fn no_report_is_about_two_datasets() {
    let (workshop, built) = workshop();
    let dataset = DatasetReader::open(&built.dataset).unwrap();
    let originals = BuildsForOriginals(Cell::new(None));
    let options = ReportOptions { samples_per_group: 3, seed: 0, against: None, originals: &originals };
    report(&dataset, options).unwrap();
    originals.0.set(Some(&workshop));
    let is_replaced = |result: Result<String, ReportError>| matches!(result, Err(ReportError::Replaced { .. }));
    assert!(is_replaced(report(&dataset, options)));
    assert!(originals.0.take().is_none());
    // So is that of the dataset that another one is compared with.
    let now = DatasetReader::open(&built.dataset).unwrap();
    report(&now, options).unwrap();
    assert!(is_replaced(report(&now, ReportOptions { against: Some(&dataset), ..options })));
    fs::remove_file(built.dataset.join("ledger.parquet")).unwrap();
    assert!(matches!(report(&now, options), Err(ReportError::Dataset(_))));
    assert!(is_replaced(report(&dataset, options)));
}

struct StoppedMeter;

impl Meter for StoppedMeter {
    fn seconds(&self) -> f64 {
        0.0
    }
}

#[test]
fn what_a_model_measured_is_not_put_beside_another_dataset() {
    let (workshop, built) = workshop();
    let model = workshop.path("model");
    run(&["model", "init", &model.display().to_string()], 0);
    let request = ValidateRequest {
        dataset: built.dataset.clone(),
        model,
        choice: SampleChoice::Count(1),
        seed: 0,
        device: DeviceChoice::Cpu,
        options: RunOptions::default(),
        policy: Policy::default(),
        variables: BTreeMap::new(),
    };
    let progress = BuildsAt(Step::Validate, Mutex::new(Some(&workshop)));
    let engine = LocalEngine;
    let executor = Executor { pool: &pool(), progress: &progress };
    let on = ValidateOn { engine: &engine, executor, meter: &StoppedMeter };
    assert!(is_overtaken(validate(&request, on)));
    assert!(!built.dataset.join("validation.json").exists());
    validate(&request, on).unwrap();
    Built::read(&built.dataset).verify();
}

/// Exchanges two directories in one step, as a build replaces a dataset.
fn exchange(a: &Path, b: &Path) {
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(rustix::fs::CWD, a, rustix::fs::CWD, b, flags).unwrap();
}

#[test]
fn commands_end_as_of_one_dataset_whenever_it_is_replaced() {
    let (workshop, built) = workshop();
    let other = workshop.path("other");
    fs::rename(&built.dataset, &other).unwrap();
    workshop.write("a.json", json!([llava("one", "1.jpg"), llava("two", "2.jpg")]).to_string());
    workshop.build();
    let (dataset, page) = (workshop.text("out"), workshop.path("page.html"));
    let page_text = page.display().to_string();
    let page_of = |dataset: &Path| {
        run(&["report", &dataset.display().to_string(), "--output", &page_text], 0);
        fs::read(&page).unwrap()
    };
    let pages = [page_of(&built.dataset), page_of(&other)];
    assert!(pages[0] != pages[1]);
    for arguments in
        [&["report", &dataset, "--output", &page_text][..], &["verify", &dataset, "--no-sources", "--partial"]]
    {
        for round in 0..24_u64 {
            let mut command = manyframe(arguments);
            let process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(4 * round));
            exchange(&built.dataset, &other);
            let output = process.wait_with_output().unwrap();
            let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            match output.status.code() {
                Some(0) if arguments[0] == "report" => assert!(pages.contains(&fs::read(&page).unwrap())),
                Some(0) => assert!(said.contains("ok in part"), "{said}"),
                Some(1) => {
                    assert!(
                        error.contains("was replaced in the meantime; try again"),
                        "{arguments:?} {round}: {said}{error}"
                    );
                }
                code => panic!("{code:?}: {said}{error}"),
            }
        }
    }
}
