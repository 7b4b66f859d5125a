//! Promise: whatever is in a work directory, the next build ends, and its dataset is that of a first build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::{Workshop, llava, photo, run};

/// Every file and directory below a directory.
fn everything(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            let below = if path.is_dir() { everything(&path) } else { Vec::new() };
            std::iter::once(path).chain(below)
        })
        .collect()
}

fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
}

fn call(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

/// A work directory with a plan and a finished task, and a listing of a tar.
fn interrupted() -> (Workshop, String) {
    let mut workshop = Workshop::new();
    workshop.write("images/1.jpg", photo(1, 64, 48));
    call("tar", &["-cf", &workshop.text("images.tar"), "-C", &workshop.text("images"), "1.jpg"]);
    workshop.add_source("a", "llava", &json!([llava("r1", "1.jpg")]), "");
    let pipeline = workshop.pipeline();
    let text = fs::read_to_string(&pipeline).unwrap().replace("/media\"", "/images.tar\"");
    fs::write(&pipeline, text).unwrap();
    let out = workshop.text("out");
    for _ in 0..2 {
        run(&["plan", &pipeline, "--output", &out, "--quiet"], 0);
    }
    let plan = everything(&workshop.path("out.work")).into_iter().find(|path| path.join("plan.json").exists()).unwrap();
    run(&["task", &plan.display().to_string(), "0", "--quiet"], 0);
    (workshop, pipeline)
}

#[test]
fn a_directory_a_pipe_or_a_link_to_itself_in_place_of_any_file_of_work_is_replaced() {
    let (workshop, pipeline) = interrupted();
    let (out, work) = (workshop.text("out"), workshop.path("out.work"));
    let kept = workshop.path("kept");
    let copy = |from: &Path, to: &Path| call("cp", &["-a", &from.display().to_string(), &to.display().to_string()]);
    copy(&work, &kept);
    let names: Vec<PathBuf> =
        everything(&work).iter().map(|path| path.strip_prefix(&work).unwrap().to_owned()).collect();
    assert!(names.len() >= 9, "{names:?}");
    let mut digests = Vec::new();
    for name in &names {
        let other = if kept.join(name).is_dir() { "file" } else { "directory" };
        for misfit in [other, "pipe", "circle"] {
            remove(&work);
            copy(&kept, &work);
            let path = work.join(name);
            remove(&path);
            match misfit {
                "directory" => fs::create_dir_all(path.join("x")).unwrap(),
                "file" => fs::write(&path, "x").unwrap(),
                "circle" => std::os::unix::fs::symlink(path.file_name().unwrap(), &path).unwrap(),
                _ => call("mkfifo", &[&path.display().to_string()]),
            }
            run(&["build", &pipeline, "--output", &out, "--quiet"], 0);
            digests.push((name.clone(), fs::read(workshop.path("out/manifest.json")).unwrap()));
            remove(&workshop.path("out"));
        }
    }
    for (name, manifest) in &digests {
        assert_eq!(manifest, &digests[0].1, "{name:?}");
    }
}

#[test]
fn a_dataset_that_could_not_be_published_is_not_made() {
    let mut workshop = Workshop::new();
    workshop.add_source("a", "llava", &json!([llava("one", "absent.jpg")]), "");
    let said = |output: &str| {
        let arguments = ["build", &workshop.pipeline(), "--quiet", "--accept-rejects", "--output", output];
        String::from_utf8(run(&arguments, 2).stderr).unwrap()
    };
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), workshop.path("out.work")).unwrap();
    let error = said(&workshop.text("out"));
    assert!(error.contains("out.work\" is on another file system than"), "{error}");
    assert!(!workshop.path("out").exists() && !elsewhere.path().join("index").exists());
}
