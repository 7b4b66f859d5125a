//! Promise: what the README shows runs.

use std::process::Command;

use crate::demo::stages;
use crate::support::{python, root};

/// The Python blocks of the README, with the environment that each names.
fn python_blocks() -> Vec<(String, String)> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let marked = readme.split("<!-- python: ").skip(1);
    marked
        .map(|rest| {
            let (environment, rest) = rest.split_once(" -->").unwrap();
            let code = rest.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
            (environment.to_owned(), code.to_owned())
        })
        .collect()
}

#[test]
fn the_python_of_the_readme_reads_the_demo() {
    let blocks = python_blocks();
    assert_eq!(blocks.len(), 2);
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("out")).unwrap();
    std::os::unix::fs::symlink(stages()[2].parent().unwrap(), home.path().join("out/demo")).unwrap();
    for (environment, code) in blocks {
        let output = Command::new(python(&environment))
            .current_dir(home.path())
            .env("HF_HUB_OFFLINE", "1")
            .env("HF_HOME", home.path())
            .args(["-c", &code])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{code}\n{stderr}");
        assert!(String::from_utf8_lossy(&output.stdout).lines().count() >= 8, "it prints every sample");
    }
}

#[test]
fn the_pipeline_file_of_the_readme_is_made_of_lines_of_the_demo() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let demo = std::fs::read_to_string(root().join("pipelines/demo/3-multi-image.toml")).unwrap();
    let shown = readme.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    let setting = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
    let known: Vec<String> = demo.lines().map(setting).collect();
    for line in shown.lines().map(setting).filter(|line| !line.is_empty()) {
        assert!(known.contains(&line), "{line:?} is not in the demo");
    }
}
