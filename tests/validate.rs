//! Promise: `manyframe validate` runs a model over a dataset, and its verdict is an exit code.

use std::collections::BTreeMap;
use std::fs;

use manyframe_columnar::{Row, RowReader};
use manyframe_core::Digest;
use serde_json::{Value, json};

use crate::demo::stages;
use crate::support::{Workshop, llava, manyframe, photo, root, run, stdout};

fn workshop() -> Workshop {
    let mut workshop = Workshop::new();
    for number in 0..3 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 60, 40));
    }
    let mut records: Vec<_> = (0..3).map(|number| llava(&number.to_string(), &format!("{number}.jpg"))).collect();
    records.push(json!({ "id": "text", "conversations": [
        { "from": "human", "value": "What is two and two?" }, { "from": "gpt", "value": "Four." },
    ] }));
    workshop.add_source("s", "llava", &Value::from(records), "");
    workshop.build();
    workshop
}

#[test]
fn a_dataset_is_validated_with_a_random_model() {
    let workshop = workshop();
    let (dataset, model) = (workshop.text("out"), workshop.text("model"));
    run(&["model", "init", &model, "--seed", "4"], 0);
    let arguments = ["validate", &dataset, "--model", &model, "--all", "--device", "cpu", "--quiet"];
    let table = stdout(&arguments);
    assert!(table.contains("verdict: pass") && table.contains("random"), "{table}");
    let report: Value = serde_json::from_slice(&fs::read(workshop.path("out/validation.json")).unwrap()).unwrap();
    assert_eq!(report["total"]["num_samples"], 4);
    assert_eq!(report["total"]["num_mismatched"], 0);
    assert_eq!(report["total"]["num_controlled"], 3);
    assert!((report["total"]["loss_mean"].as_f64().unwrap() - 65_536_f64.ln()).abs() < 0.5);
    // The same again, but for the clock.
    let again: Value = serde_json::from_str(&stdout(&[&arguments[..], &["--json"]].concat())).unwrap();
    assert_eq!(again["by_source"], report["by_source"]);
    // A validation is no part of the dataset.
    run(&["verify", &dataset, "--quiet"], 0);
}

#[test]
fn a_validation_is_one_step_wherever_it_is_killed() {
    let workshop = workshop();
    let (dataset, model) = (workshop.text("out"), workshop.text("model"));
    run(&["model", "init", &model], 0);
    let arguments = |samples| {
        ["validate", &dataset, "--model", &model, "--no-controls", "--device", "cpu", "--quiet", "--samples", samples]
    };
    run(&arguments("1"), 0);
    let library = crate::robustness::faults(&workshop);
    let mut num_killed = 0;
    loop {
        let mut command = manyframe(&arguments("3"));
        command.env("LD_PRELOAD", &library).env("FAULT_RENAME", (num_killed + 1).to_string());
        let output = command.output().unwrap();
        let report: Value = serde_json::from_slice(&fs::read(workshop.path("out/validation.json")).unwrap()).unwrap();
        let table = fs::read(workshop.path("out").join(report["table"]["path"].as_str().unwrap())).unwrap();
        assert_eq!(json!(Digest::of(&table)), report["table"]["digest"], "killed at rename {}", num_killed + 1);
        if output.status.success() {
            break;
        }
        num_killed += 1;
    }
    assert!(num_killed >= 2, "{num_killed}");
}

#[test]
fn what_a_policy_forbids_is_an_exit_code() {
    let workshop = workshop();
    let (dataset, model) = (workshop.text("out"), workshop.text("model"));
    run(&["model", "init", &model], 0);
    let policy = workshop.write("policy.toml", "mean_loss = { fail = 1.0 }\n").display().to_string();
    let arguments = ["validate", &dataset, "--model", &model, "--samples", "2", "--no-controls", "--quiet", "--policy"];
    run(&[&arguments[..], &[&policy]].concat(), 4);
    let misspelled = workshop.write("misspelled.toml", "mean_los = { fail = 1.0 }\n").display().to_string();
    run(&[&arguments[..], &[&misspelled]].concat(), 2);
}

#[test]
fn a_directory_without_a_model_is_a_usage_error() {
    let workshop = workshop();
    let (dataset, model) = (workshop.text("out"), workshop.path("model"));
    fs::create_dir(&model).unwrap();
    fs::write(model.join("config.json"), r#"{"hidden_size": 0}"#).unwrap();
    run(&["validate", &dataset, "--model", &model.display().to_string(), "--quiet"], 2);
}

#[test]
fn a_build_that_its_model_forbids_replaces_nothing() {
    let workshop = workshop();
    let model = workshop.text("model");
    run(&["model", "init", &model], 0);
    let strict = workshop.write("strict.toml", "mean_loss = { fail = 1.0 }\n").display().to_string();
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let validate = |policy: &str| {
        format!(
            "validate={{ model = {model:?}, samples = 3, device = \"cpu\", controls = false, policy = {policy:?} }}"
        )
    };
    let before = fs::read(workshop.path("out/manifest.json")).unwrap();
    let arguments = ["build", &pipeline, "--output", &out, "--quiet", "--set", "source.s.take=3", "--set"];
    let failed = run(&[&arguments[..], &[&validate(&strict)]].concat(), 4);
    assert!(String::from_utf8_lossy(&failed.stderr).contains("mean loss"), "{failed:?}");
    assert_eq!(fs::read(workshop.path("out/manifest.json")).unwrap(), before);
    let misspelled = workshop.write("misspelled.toml", "mean_los = { fail = 1.0 }\n").display().to_string();
    run(&[&arguments[..], &[&validate(&misspelled)]].concat(), 2);
    let passed = run(&[&arguments[..], &[&validate("")]].concat(), 0);
    assert!(String::from_utf8_lossy(&passed.stdout).contains("verdict: pass"), "{passed:?}");
    assert_ne!(fs::read(workshop.path("out/manifest.json")).unwrap(), before);
    assert!(workshop.path("out/validation.json").exists());
}

#[test]
fn a_plan_needs_no_model_and_a_build_without_it_ends_before_it_reads_anything() {
    let workshop = workshop();
    let (pipeline, out) = (workshop.pipeline(), workshop.text("other"));
    let validate = format!("validate={{ model = {:?} }}", workshop.text("absent"));
    let arguments = [&pipeline, "--output", &out, "--quiet", "--set", &validate];
    let failed = run(&[&["build"], &arguments[..]].concat(), 2);
    assert!(String::from_utf8_lossy(&failed.stderr).contains("contains no config.json"), "{failed:?}");
    assert!(!workshop.path("other.work/index").exists());
    run(&[&["plan"], &arguments[..]].concat(), 0);
}

/// Made by `tests/parity/dataset_loss.py` with transformers, sentencepiece and Pillow from the shards of the same samples.
#[test]
fn losses_over_the_demo_are_those_of_the_reference_model() {
    let golden = root().join("tests/golden/demo-losses.json");
    let golden: BTreeMap<String, f64> = serde_json::from_slice(&fs::read(golden).unwrap()).unwrap();
    let (dataset, directory) = (&stages()[2], tempfile::tempdir().unwrap());
    let (dataset_text, model) = (dataset.display().to_string(), directory.path().join("model").display().to_string());
    run(&["model", "init", &model, "--seed", "7"], 0);
    let chosen = ["--samples", "16", "--no-controls", "--device", "cpu", "--quiet"];
    run(&[&["validate", &dataset_text, "--model", &model][..], &chosen].concat(), 0);
    let report: Value = serde_json::from_slice(&fs::read(dataset.join("validation.json")).unwrap()).unwrap();
    let table = RowReader::open(&dataset.join(report["table"]["path"].as_str().unwrap())).unwrap();
    assert_eq!(table.num_rows(), golden.len() as u64);
    for row in table.rows(0..table.num_rows()).unwrap() {
        let (_, Row::Json(text)) = row.unwrap() else { panic!("a row is no JSON") };
        let row: Value = serde_json::from_str(&text).unwrap();
        let (loss, truth) = (row["loss_mean"].as_f64().unwrap(), golden[row["id"].as_str().unwrap()]);
        assert!((loss - truth).abs() <= 1e-5, "{}: {loss}, the reference has {truth}", row["id"]);
    }
}
