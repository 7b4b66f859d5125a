//! Promise: every pipeline file in the repository checks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{root, run};

fn pipeline_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            pipeline_files(&entry, found);
        } else if entry.extension().is_some_and(|e| e == "toml")
            && entry.file_name().is_some_and(|n| n != "manifest.toml")
        {
            found.push(entry);
        }
    }
}

#[test]
fn every_file_in_pipelines_checks() {
    let mut files = Vec::new();
    pipeline_files(&root().join("pipelines"), &mut files);
    assert!(files.len() >= 11, "{files:?}");
    let mut arguments = vec!["check".to_owned(), "--offline".to_owned()];
    arguments.extend(files.iter().map(|file| file.display().to_string()));
    run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), 0);
}
