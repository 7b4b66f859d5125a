//! Promise: no source with other terms than those that are asked for slips into a mix, and the card says what is under which.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Built, Workshop, llava, photo, run};

fn workshop(mix: &str, licenses: [&str; 2]) -> Workshop {
    let mut workshop = Workshop::new();
    workshop.head.push_str(mix);
    for (number, license) in licenses.into_iter().enumerate() {
        workshop.write(&format!("media/{number}.jpg"), photo(number as u32, 64, 48));
        let records = json!([llava(&format!("r{number}"), &format!("{number}.jpg"))]);
        let license = if license.is_empty() { String::new() } else { format!("license = {license:?}") };
        workshop.add_source(&format!("s{number}"), "llava", &records, &license);
    }
    workshop
}

fn stderr(workshop: &Workshop, command: &[&str]) -> String {
    let pipeline = workshop.pipeline();
    String::from_utf8(run(&[command, &[pipeline.as_str()]].concat(), 2).stderr).unwrap()
}

#[test]
fn a_license_that_is_not_allowed_is_named_before_anything_is_read() {
    let mix = "[mix]\nlicenses = [\"Apache-2.0\", \"CC BY 4.0\"]\n";
    let text = stderr(&workshop(mix, ["apache-2.0", "cc-by-nc-4.0"]), &["check"]);
    assert!(text.contains("source.s1.license is not among mix.licenses (non-commercial)"), "{text}");
    assert!(text.contains("Apache-2.0, CC BY 4.0") && !text.contains("s0"), "{text}");
    let text = stderr(&workshop(mix, ["cc-by-4.0", ""]), &["check"]);
    assert!(text.contains("source.s1.license is not stated"), "{text}");
    let text = stderr(&workshop(mix, ["apache-2.0", "CC-BY-NC-4.0 AND (MIT OR Apache-2.0)"]), &["check"]);
    assert!(text.contains("source.s1.license is not among mix.licenses (non-commercial)"), "{text}");
    workshop(mix, ["apache-2.0", "(MIT OR Apache-2.0) AND cc-by-4.0"]).build().verify();
}

/// A pipeline of one source, which replays a dataset.
fn replay(dataset: &Built, mix: &str, more: &str) -> Workshop {
    let mut workshop = Workshop::new();
    let from = dataset.dataset.display().to_string();
    workshop.head.push_str(&format!("{mix}[[source]]\nname = \"replay\"\nkind = \"dataset\"\nfrom = {from:?}\n{more}"));
    workshop
}

/// The rows of the table of licenses on the card.
fn rows(built: &Built) -> Vec<String> {
    let card = std::fs::read_to_string(built.dataset.join("README.md")).unwrap();
    let table = card.split_once("## Licenses\n").unwrap().1.split_once("\n## ").unwrap().0;
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| row.rsplit_once(" | ").unwrap().0.to_owned()).collect()
}

#[test]
fn a_dataset_that_is_replayed_is_judged_by_its_sources() {
    let first = workshop("", ["apache-2.0", "cc-by-nc-4.0"]);
    let built = first.build();
    let mix = "[mix]\nlicenses = [\"apache-2.0\"]\n";
    let text = stderr(&replay(&built, mix, "license = \"apache-2.0\"\n"), &["plan"]);
    let expected = "source \"replay\": \"s1\" in the dataset that it replays has the license \"cc-by-nc-4.0\"";
    assert!(text.contains(expected), "{text}");
    let second = replay(&built, mix, "only_sources = [\"s0\"]\n");
    let replayed = second.build();
    assert_eq!(replayed.manifest.total.num_samples, 1);
    replayed.verify();
    let text = stderr(&replay(&built, mix, "license = \"as agreed\"\n"), &["check"]);
    assert!(text.contains("source.replay.license is not among mix.licenses (other)"), "{text}");
}

#[test]
fn what_is_replayed_keeps_its_licenses_however_often_and_whatever_is_stated() {
    let first = workshop("", ["mit", "cc-by-nc-4.0"]);
    let built = first.build();
    let second = replay(&built, "", "license = \"apache-2.0\"\n");
    let pipeline = second.pipeline();
    let out = second.text("second");
    let output = run(&["build", &pipeline, "--output", &out], 0);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("the dataset that is replayed has samples under \"cc-by-nc-4.0\", which asks for more"),
        "{said}"
    );
    let built_second = Built::read(Path::new(&out));
    built_second.verify();
    assert_eq!(
        rows(&built_second),
        [
            "| apache-2.0, cc-by-nc-4.0 | non-commercial | replay (s1) | 50.00 %",
            "| apache-2.0, mit | attribution | replay (s0) | 50.00 %",
        ]
    );
    let card = std::fs::read_to_string(built_second.dataset.join("README.md")).unwrap();
    assert!(
        card.contains("replay is stated to be under apache-2.0; of what it replays, some is under cc-by-nc-4.0."),
        "{card}"
    );
    let croissant: Value =
        serde_json::from_slice(&std::fs::read(built_second.dataset.join("croissant.json")).unwrap()).unwrap();
    assert_eq!(croissant["license"], json!(["apache-2.0", "cc-by-nc-4.0", "mit"]));
    // A replay of the replay does not know which sample is whose: all licenses hold for each.
    let mix = "[mix]\nlicenses = [\"apache-2.0\", \"mit\"]\n";
    let text = stderr(&replay(&built_second, mix, "license = \"apache-2.0\"\n"), &["plan"]);
    assert!(text.contains("\"replay\" in the dataset that it replays has the license \"cc-by-nc-4.0\""), "{text}");
    let third = replay(&built_second, "", "");
    assert_eq!(rows(&third.build()), ["| apache-2.0, cc-by-nc-4.0, mit | non-commercial | replay (replay) | 100.00 %"]);
}

#[test]
fn a_replay_of_an_earlier_version_has_licenses_that_nobody_knows() {
    let first = workshop("", ["mit", "apache-2.0"]);
    let second = replay(&first.build(), "", "license = \"apache-2.0\"\n");
    let built = second.build();
    let path = built.dataset.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(
        manifest["sources"][0].as_object_mut().unwrap().remove("replayed").unwrap().as_array().unwrap().len(),
        2
    );
    std::fs::write(&path, manifest.to_string()).unwrap();
    let mix = "[mix]\nlicenses = [\"apache-2.0\", \"mit\"]\n";
    let text = stderr(&replay(&built, mix, ""), &["plan"]);
    assert!(
        text.contains("\"replay\" in the dataset that it replays has a license that its manifest does not state"),
        "{text}"
    );
}

#[test]
fn the_card_lists_the_strictest_terms_first_with_their_share() {
    let workshop = workshop("", ["apache-2.0 | as agreed", "cc-by-nc-4.0"]);
    assert_eq!(
        rows(&workshop.build()),
        ["| cc-by-nc-4.0 | non-commercial | s1 | 50.00 %", "| apache-2.0 \\| as agreed | attribution | s0 | 50.00 %",]
    );
}
