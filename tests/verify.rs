//! Promise: `manyframe verify` names every file of a dataset that is damaged, and says what is wrong with it.

use std::fs;

use serde_json::json;

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
fn a_damaged_ledger_is_named_with_the_cause() {
    let (_workshop, built) = built();
    let text = verified_with(&built, "ledger.parquet");
    let opened = text.lines().find(|line| line.contains("cannot read or write the table")).unwrap();
    assert!(opened.contains("Parquet"), "{text}");
}
