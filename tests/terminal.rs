//! Promise: what is printed fits a terminal of 80 columns, and a terminal that can do less, or wants less, gets less.

use std::path::Path;
use std::process::Command;

use crate::demo::stages;
use crate::support::{Workshop, llava, manyframe, photo};

/// What a command prints where the terminal has so many columns; it runs beside the dataset, so that paths are short.
fn printed(directory: &Path, arguments: &[&str], columns: &str) -> String {
    let output = manyframe(arguments).current_dir(directory).env("COLUMNS", columns).output().unwrap();
    assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_table_fits_into_80_columns() {
    let dataset = &stages()[2];
    let (directory, name) = (dataset.parent().unwrap(), dataset.file_name().unwrap().to_str().unwrap());
    let other = stages()[1].file_name().unwrap().to_str().unwrap();
    for arguments in [
        vec!["inspect", name],
        vec!["ls", name],
        vec!["diff", name, other],
        vec!["status", "."],
        vec!["clean", ".", "--dry-run"],
        vec!["tokens", "--family", "qwen3-vl", "1920x1080", "1280x720x300", "1280x720x300@29.97"],
        vec!["tokens", "--family", "internvl", "1920x1080"],
        vec!["verify", name, "--no-sources", "--partial", "--quiet"],
    ] {
        let text = printed(directory, &arguments, "80");
        let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
        // A command to paste and the path of a file stay whole.
        let long: Vec<&&str> = long.iter().filter(|line| !line.contains('/') && !line.contains("manyframe ")).collect();
        assert!(long.is_empty(), "{arguments:?}\n{long:#?}\n{text}");
    }
    let (narrow, wide) = (printed(directory, &["inspect", name], "80"), printed(directory, &["inspect", name], "400"));
    assert!(narrow.contains("(--wide shows ") && !wide.contains("--wide"), "{narrow}");
    let asked = printed(directory, &["inspect", name, "--wide"], "80");
    let tables = |text: &str| text.split_once("rejected, each").unwrap().0.to_owned();
    assert_eq!(tables(&asked), tables(&wide), "all columns");
}

#[test]
fn what_plans_builds_validates_and_uploads_fits_into_80_columns() {
    let mut workshop = Workshop::new();
    for number in 0..6 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 200, 100));
    }
    for (name, first) in [("photographs-of-all-kinds", 0), ("b", 3)] {
        let records: Vec<_> = (first..first + 4).map(|id| llava(&format!("r{id}"), &format!("{id}.jpg"))).collect();
        workshop.add_source(name, "llava", &serde_json::json!(records), "");
    }
    workshop
        .head
        .push_str("[pack]\nmax_tokens = 4096\nranks = 2\naudit = \"concat\"\n[output]\nroot = \"${here}/out\"\n");
    workshop.pipeline();
    for arguments in [
        vec!["plan", "pipeline.toml", "--ranks", "2,4", "--forecast", "8x16", "--quiet"],
        vec!["build", "pipeline.toml", "--accept-rejects", "--explain", "--quiet"],
        vec!["build", "pipeline.toml", "--accept-rejects", "--explain", "--quiet", "--set", "seed=9"],
        vec!["pack", "out/t", "--set", "max_tokens=2048", "--ranks", "2,4"],
        vec!["inspect", "out/t"],
        vec!["model", "init", "tiny", "--preset", "tiny"],
        vec!["validate", "out/t", "--model", "tiny", "--all", "--device", "cpu", "--quiet"],
        vec!["upload", "out/t", "remote", "--dry-run"],
        vec!["upload", "out/t", "remote", "--quiet"],
        vec!["upload", "out/t", "remote", "--dry-run"],
    ] {
        let text = printed(&workshop.path(""), &arguments, "80");
        // A table has two spaces between its columns.
        let is_table = |line: &&str| line.trim().contains("  ");
        let long: Vec<&str> = text.lines().filter(is_table).filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{arguments:?}\n{text}");
    }
}

/// What a command prints on a terminal of so many columns, whose rows nobody stated, with these variables.
fn on_terminal(columns: u32, arguments: &str, variables: &[(&str, &str)]) -> String {
    let program = manyframe(&[]);
    let command = format!("stty cols {columns}; '{}' {arguments}; exit $?", program.get_program().display());
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .env_remove("COLUMNS");
    let output = script.envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn tables_fit_into_a_terminal_that_does_not_state_its_rows() {
    let arguments = "tokens --family qwen3-vl 1920x1080 1280x720x300@29.97";
    let (narrow, wide) = (on_terminal(80, arguments, &[]), on_terminal(400, arguments, &[]));
    assert!(narrow.contains("(--wide shows ") && !wide.contains("--wide"), "{narrow}\n{wide}");
    assert!(narrow.lines().all(|line| line.trim_end().chars().count() <= 80), "{narrow}");
}

#[test]
fn a_terminal_that_cannot_or_does_not_want_gets_plain_text() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 64, 48));
    workshop.add_source("a", "llava", &serde_json::json!([llava("r1", "1.jpg")]), "");
    workshop.head.push_str("[output]\nroot = \"${here}/out\"\n");
    let build = format!("build {} --fresh -v", workshop.pipeline());
    let lively = on_terminal(80, &build, &[]);
    assert!(lively.contains("\u{1b}[2m") || lively.contains("\u{1b}[34m"), "colours\n{lively:?}");
    assert!(
        lively.contains("run [") && !lively.contains("compare ["),
        "a bar for each step that does something\n{lively:?}"
    );
    let uncoloured = on_terminal(80, &build, &[("NO_COLOR", "1")]);
    assert!(!uncoloured.contains("\u{1b}[34m") && !uncoloured.contains("\u{1b}[2m"), "{uncoloured:?}");
    let dumb = on_terminal(80, &build, &[("TERM", "dumb")]);
    assert!(!dumb.contains('\u{1b}') && dumb.contains("run: 1 of 1 records"), "{dumb:?}");
}

#[test]
fn each_command_has_a_man_page() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("man");
    assert!(manyframe(&["man", "--directory", &path.display().to_string()]).status().unwrap().success());
    for page in ["manyframe.1", "manyframe-build.1", "manyframe-diff.1", "manyframe-model-init.1"] {
        let text = std::fs::read_to_string(path.join(page)).unwrap();
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{page}");
    }
}
