//! Promise: the Python package reads what was built, in the order that it says, on any number of ranks and workers.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::clients::has_torch;
use crate::support::{Workshop, llava, photo, python, root, run, wheel};
use crate::web::WebServer;

/// A directory with the package, as it would be installed: its sources, and the module that was built with these tests.
static PACKAGE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let package = directory.path().join("manyframe");
    std::fs::create_dir(&package).unwrap();
    for source in std::fs::read_dir(root().join("crates/python/python/manyframe")).unwrap() {
        let source = source.unwrap();
        if source.file_type().unwrap().is_file() {
            std::os::unix::fs::symlink(source.path(), package.join(source.file_name())).unwrap();
        }
    }
    let module = std::env::current_exe().unwrap().with_file_name("libmanyframe_python.so");
    assert!(module.exists(), "{} is built with the tests", module.display());
    std::os::unix::fs::symlink(module, package.join("_native.abi3.so")).unwrap();
    directory
});

/// Python with the package: that of an environment with what was built here, or that of the wheel.
pub(crate) fn package_python(environment: &str) -> Command {
    let Some(wheel) = wheel() else {
        let mut command = Command::new(python(environment));
        command.env("PYTHONPATH", PACKAGE.path());
        return command;
    };
    Command::new(wheel.join("bin/python"))
}

/// Runs a test file of the package, or some classes of it, with one of the environments.
pub(crate) fn run_tests(environment: &str, file: &str, variables: &[(&str, &dyn AsRef<OsStr>)]) {
    let mut command = package_python(environment);
    command.current_dir(root().join("crates/python/tests"));
    for (name, value) in variables {
        command.env(name, value);
    }
    let output =
        command.env("PYTHONDONTWRITEBYTECODE", "1").args(["-W", "error"]).args(file.split(' ')).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{file}\n{}\n{stderr}", String::from_utf8_lossy(&output.stdout));
    assert!(stderr.contains("OK"), "{stderr}");
}

/// A dataset of pictures and texts, packed.
fn packed(pack: &str, output: &str) -> (Workshop, PathBuf) {
    let mut workshop = Workshop::new();
    workshop.head = workshop.head.replace("[format]\n", &format!("[output]\n{output}\n[format]\n"));
    workshop.head.push_str(&format!("[pack]\nmax_tokens = 700\n{pack}\n"));
    for number in 0..24 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 40 + 3 * number, 60));
    }
    let mut records: Vec<Value> = (0..24).map(|n| llava(&format!("r{n}"), &format!("{n}.jpg"))).collect();
    records.push(json!({ "id": "several", "image": ["0.jpg", "5.jpg", "7.jpg"], "conversations": [
        { "from": "human", "value": "<image> and <image> and <image>: which is the widest, \"äöü\"?" },
        { "from": "gpt", "value": "The last." },
    ]}));
    records.push(json!({ "id": "text", "conversations": [
        { "from": "human", "value": "What is two and two?" }, { "from": "gpt", "value": "Four." },
    ]}));
    records.push(llava("missing", "nowhere.jpg"));
    workshop.add_source("a", "llava", &Value::from(records), "");
    let dataset = workshop.build().dataset;
    (workshop, dataset)
}

#[test]
fn samples_and_ledger_are_read_by_number_and_by_id() {
    let (_tar, tar) = packed("", "max_shard_samples = 5");
    let (_parquet, parquet) = packed("", "formats = [\"parquet\"]");
    for dataset in [tar, parquet] {
        run_tests("datasets", "test_dataset.py", &[("MANYFRAME_DATASET", &dataset)]);
    }
}

#[test]
fn datasets_and_packs_are_read_at_urls() {
    let (tar_workshop, tar) = packed("ranks = 2\nstrategy = \"balanced\"", "max_shard_samples = 5");
    let (parquet_workshop, parquet) = packed("sequence_parallel = \"zigzag:2\"", "formats = [\"parquet\"]");
    let servers = [&tar_workshop, &parquet_workshop].map(|workshop| WebServer::of(workshop.path("")));
    let places = [&tar, &parquet].map(|dataset| dataset.file_name().unwrap().to_str().unwrap());
    let [web, divided] = [0, 1].map(|which: usize| format!("{}/{}", servers[which].address, places[which]));
    run_tests("datasets", "test_dataset.py", &[("MANYFRAME_DATASET", &web)]);
    // What it says of threads and processes does not count those that reach a store.
    let packs: [(&str, &dyn AsRef<OsStr>); 2] = [("MANYFRAME_PACKS", &web), ("MANYFRAME_DIVIDED", &divided)];
    run_tests("readers", "test_packs.py Contents SequenceParallelism", &packs);
    for server in &servers {
        let answers = server.answers();
        assert!(answers.iter().any(|answer| answer.status == 206), "{answers:?}");
        assert!(answers.iter().all(|answer| [200, 206, 404].contains(&answer.status)), "{answers:?}");
    }
    // The directory of the workshop's is the server's; that of the dataset is a bucket.
    let s3 = format!("s3://{}", places[0]);
    let store: [(&str, &dyn AsRef<OsStr>); 4] = [
        ("MANYFRAME_DATASET", &s3),
        ("AWS_ENDPOINT_URL", &servers[0].address),
        ("AWS_ACCESS_KEY_ID", &"AKIA"),
        ("AWS_SECRET_ACCESS_KEY", &"hush"),
    ];
    run_tests("datasets", "test_dataset.py", &store);
}

#[test]
fn packs_come_in_order_on_any_number_of_ranks() {
    let (_tar, tar) = packed("ranks = 2\nstrategy = \"balanced\"", "max_shard_samples = 5");
    let (_parquet, parquet) = packed("sequence_parallel = \"zigzag:2\"", "formats = [\"parquet\"]");
    let (_samples, samples) = packed("sequence_parallel = \"2d:2x2\"\npadding = \"samples\"", "");
    for (dataset, divided) in [(&tar, &parquet), (&parquet, &samples)] {
        run_tests("readers", "test_packs.py", &[("MANYFRAME_PACKS", dataset), ("MANYFRAME_DIVIDED", divided)]);
    }
}

#[test]
fn loaders_of_pytorch_give_every_pack_once() {
    if has_torch() {
        let (_workshop, dataset) = packed("", "");
        run_tests("torch", "test_torch.py", &[("MANYFRAME_PACKS", &dataset)]);
    }
}

#[test]
fn the_cooker_for_energon_gives_every_sample() {
    if has_torch() {
        let (_workshop, dataset) = packed("", "max_shard_samples = 5");
        run_tests("torch", "test_energon.py", &[("MANYFRAME_DATASET", &dataset)]);
    }
}

#[test]
fn a_training_loop_has_the_losses_of_validate() {
    if has_torch() {
        let (workshop, dataset) = packed("", "");
        let model = workshop.path("model");
        let arguments = [dataset.display().to_string(), model.display().to_string()];
        run(&["model", "init", &arguments[1], "--preset", "tiny"], 0);
        run(&["validate", &arguments[0], "--model", &arguments[1], "--all", "--no-controls", "--quiet"], 0);
        run_tests("torch", "test_training.py", &[("MANYFRAME_PACKS", &dataset), ("MANYFRAME_MODEL", &model)]);
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let mut workshop = Workshop::new();
    workshop.write("media/0.jpg", photo(0, 40, 40));
    workshop.write("media/1.jpg", photo(1, 40, 40));
    workshop.add_source("a", "llava", &json!([llava("r0", "0.jpg")]), "");
    workshop.add_source("b", "llava", &json!([llava("r0", "1.jpg")]), "");
    let dataset = workshop.build().dataset;
    run(&["verify", &dataset.display().to_string(), "--quiet"], 0);
    run_tests("readers", "test_errors.py", &[("MANYFRAME_UNPACKED", &dataset)]);
}
