//! Pipeline files of any text: understood the same each time, or rejected with problems that can be printed.
//!
//! Lines that begin with `--set ` are not part of the file.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use manyframe_pipeline::{Override, parse};

fuzz_target!(|text: &str| {
    let (options, lines): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("--set "));
    let overrides: Vec<Override> = options
        .iter()
        .filter_map(|option| option["--set ".len()..].split_once('='))
        .map(|(key, value)| Override { key: key.to_owned(), value: value.to_owned() })
        .collect();
    let file = lines.join("\n");
    let read = || parse(&file, Path::new("folder/pipeline.toml"), &overrides);
    match (read(), read()) {
        (Ok(pipeline), Ok(again)) => {
            assert_eq!(pipeline.variables, again.variables);
            let written = serde_json::to_string(&pipeline.file).expect("settings as JSON");
            assert_eq!(written, serde_json::to_string(&again.file).expect("settings as JSON"));
        }
        (Err(problems), Err(again)) => {
            assert!(!problems.is_empty(), "rejected without a reason");
            let printed = |problems: &[_]| problems.iter().map(ToString::to_string).collect::<Vec<String>>();
            assert_eq!(printed(&problems), printed(&again));
        }
        _ => panic!("understood once, and rejected once"),
    }
});
