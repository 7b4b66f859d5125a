//! Promise: `manyframe verify` names every file of a dataset that is damaged, and says what is wrong with it.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::robustness::without_privileges;
use crate::support::{Built, Workshop, llava, photo, run};

fn built() -> (Workshop, Built) {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 64, 48));
    workshop.add_source("s", "llava", &json!([llava("r1", "1.jpg")]), "");
    let built = workshop.build();
    (workshop, built)
}

/// What `verify` prints of a dataset in which a file was overwritten.
fn verified_with(built: &Built, file: &str) -> String {
    fs::write(built.dataset.join(file), b"not what it was ".repeat(100)).unwrap();
    let output = run(&["verify", &built.dataset.display().to_string(), "--quiet"], 1);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("{file} is not the file that the manifest names")), "{text}");
    assert!(text.contains("NOT OK"), "{text}");
    text
}

#[test]
fn a_damaged_shard_is_named_with_the_place_of_the_damage() {
    let (_workshop, built) = built();
    let text = verified_with(&built, "webdataset/image/000000.tar");
    assert!(text.contains("is damaged at byte 0: "), "{text}");
}

#[test]
fn a_pipe_or_a_directory_in_place_of_a_file_is_named() {
    let (_workshop, built) = built();
    let dataset = built.dataset.display().to_string();
    for name in ["webdataset/image/000000.tar", "ledger.parquet"] {
        let path = built.dataset.join(name);
        for program in ["mkfifo", "mkdir"] {
            let kept = built.dataset.join("kept");
            fs::rename(&path, &kept).unwrap();
            assert!(Command::new(program).arg(&path).status().unwrap().success());
            let text = String::from_utf8(run(&["verify", &dataset, "--quiet"], 1).stdout).unwrap();
            assert!(text.contains(&format!("problem: {name} is missing")), "{text}");
            if program == "mkfifo" { fs::remove_file(&path) } else { fs::remove_dir(&path) }.unwrap();
            fs::rename(kept, &path).unwrap();
        }
    }
}

#[test]
fn a_damaged_ledger_is_named_with_the_cause() {
    let (_workshop, built) = built();
    let text = verified_with(&built, "ledger.parquet");
    let opened = text.lines().find(|line| line.contains("cannot read or write the table")).unwrap();
    assert!(opened.contains("Parquet"), "{text}");
}

#[test]
fn a_file_in_place_of_a_dataset_is_a_usage_error() {
    let (workshop, built) = built();
    let file = workshop.write("notes.txt", "x").display().to_string();
    let ledger = built.dataset.join("ledger.parquet").display().to_string();
    for command in ["verify", "inspect", "ls", "pack"] {
        for path in [&file, &ledger] {
            let text = String::from_utf8(run(&[command, path], 2).stderr).unwrap();
            assert!(text.contains("it is a file"), "{command}: {text}");
        }
    }
}

#[test]
fn a_dataset_is_verified_where_nothing_can_be_written() {
    use std::os::unix::fs::PermissionsExt as _;
    let (workshop, built) = built();
    let allow = |mode| fs::set_permissions(workshop.path("."), fs::Permissions::from_mode(mode)).unwrap();
    fs::remove_dir_all(workshop.path("out.work")).unwrap();
    let temporary = tempfile::tempdir().unwrap();
    allow(0o555);
    let arguments = ["verify", &built.dataset.display().to_string(), "--quiet"];
    let output = without_privileges(&arguments).env("TMPDIR", temporary.path()).output().unwrap();
    allow(0o755);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.starts_with("ok: "), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}
