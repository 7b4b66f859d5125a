//! Promise: the published recipes build from the files of the demo, with nothing replaced but places, counts and lengths.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::{Built, demo_media, root, run};

/// The recipes and their stages.
const RECIPES: [(&str, &[&str]); 4] = [
    ("longllava", &["1-align", "2-instruct", "3-multi-image"]),
    ("longvila", &["1-align", "2-pretrain", "3-short-sft", "4-context", "5-long-sft"]),
    ("llava-onevision", &["onevision"]),
    ("qwen3-vl", &["finetune"]),
];

/// What the demo replaces in a recipe: the `key=value` lines of its file.
fn replaced(recipe: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(format!("pipelines/demo/{recipe}.set"))).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// Builds a recipe with one command; returns its datasets.
fn build(recipe: &str, out: &Path) -> Vec<PathBuf> {
    demo_media();
    let folder = format!("pipelines/{recipe}");
    let mut sets = replaced(recipe);
    sets.push(format!("out={}", out.display()));
    let mut arguments = vec!["build", &folder, "--quiet", "--fresh"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    run(&arguments, 0);
    let (_, stages) = RECIPES.iter().find(|(name, _)| *name == recipe).unwrap();
    stages.iter().map(|stage| out.join(stage)).collect()
}

/// The datasets of all recipes, built once for all tests.
fn recipes() -> &'static [(&'static str, Vec<Built>)] {
    static BUILT: OnceLock<[(&str, Vec<Built>); RECIPES.len()]> = OnceLock::new();
    BUILT.get_or_init(|| {
        RECIPES.map(|(recipe, _)| {
            let datasets = build(recipe, &root().join("target/tmp/recipes").join(recipe));
            (recipe, datasets.iter().map(|dataset| Built::read(dataset)).collect())
        })
    })
}

fn stage(recipe: &str, number: usize) -> &'static Built {
    let (_, stages) = recipes().iter().find(|(name, _)| *name == recipe).unwrap();
    &stages[number - 1]
}

/// The annotation file of a ledger row as `expected.json` of the demo names it.
fn demo_name(file: &str, variables: &BTreeMap<String, String>) -> String {
    let mut file = file.to_owned();
    for (name, value) in variables {
        file = file.replace(&format!("${{{name}}}"), value);
    }
    let file = file.replace("${here}/../demo/", "").replace("${here}/../../", "");
    file.replace("pipelines/demo/", "").replace(".env/demo/", "DEST/")
}

#[test]
fn every_stage_of_every_recipe_verifies() {
    for (_, stages) in recipes() {
        stages.iter().for_each(Built::verify);
    }
}

/// What the demo's page promises of each annotation file.
fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(root().join("pipelines/demo/expected.json")).unwrap()).unwrap()
}

/// The values of variables in the demo.
fn variables(recipe: &str) -> BTreeMap<String, String> {
    let lines = replaced(recipe);
    let variables = lines.iter().filter_map(|line| line.split_once('=')).filter(|(name, _)| !name.contains('.'));
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn every_annotation_file_that_only_a_recipe_reads_has_the_outcomes_that_the_page_promises() {
    let expected = expected();
    for (recipe, stages) in recipes() {
        let variables = variables(recipe);
        let mut found: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for row in stages.iter().flat_map(|built| &built.ledger) {
            let outcome = row.reason.clone().unwrap_or_else(|| "good".to_owned());
            *found.entry(demo_name(&row.origin.file, &variables)).or_default().entry(outcome).or_insert(0) += 1;
        }
        let files = expected["files"].as_object().unwrap().iter();
        for (file, promised) in files.filter(|(_, promised)| promised["recipe"] == *recipe) {
            let mut outcomes: BTreeMap<String, u64> = serde_json::from_value(promised["rejected"].clone()).unwrap();
            outcomes.insert("good".to_owned(), promised["num_good"].as_u64().unwrap());
            assert_eq!(found.get(file), Some(&outcomes), "{file}");
        }
    }
}

#[test]
fn nothing_is_rejected_but_for_the_dirt_that_the_demo_lists() {
    let expected = expected();
    for (recipe, stages) in recipes() {
        let variables = variables(recipe);
        for built in stages {
            let mut found: BTreeMap<(String, String, String), u64> = BTreeMap::new();
            for row in &built.ledger {
                if let Some(reason) = row.reason.clone().filter(|reason| reason != "filtered") {
                    let file = demo_name(&row.origin.file, &variables);
                    *found.entry((row.source.clone(), file, reason)).or_default() += 1;
                }
            }
            for ((source, file, reason), count) in found {
                let listed = expected["files"][&file]["rejected"][&reason].as_u64().unwrap_or(0);
                assert!(count <= listed, "{recipe} {source}: {count} × {reason} of {file}, {listed} listed");
            }
        }
    }
}

#[test]
fn only_filters_that_a_recipe_states_leave_records_out() {
    let stating = ["sharegpt4video", "sharegpt4v-rest", "to-8k", "to-64k", "to-256k"];
    for row in recipes().iter().flat_map(|(_, stages)| stages).flat_map(|built| &built.ledger) {
        let is_filtered = row.reason.as_deref() == Some("filtered");
        assert!(!is_filtered || stating.contains(&row.source.as_str()), "{row:?}");
    }
}

#[test]
fn every_source_gives_what_is_asked_of_it() {
    for (recipe, stages) in recipes() {
        for source in stages.iter().flat_map(|built| &built.manifest.sources) {
            let asked = serde_json::to_value(source.budget.asked).unwrap();
            assert_ne!(asked["difference"], "exhausted", "{recipe} {}: {asked}", source.budget.name);
            if asked["unit"] == "records" {
                // A share of a few records is rarely a whole number.
                let difference = asked["amount"].as_f64().unwrap() - asked["drawn"].as_f64().unwrap();
                let most = if asked["law"].get("repeat").is_some() { 1.0 } else { 0.0 };
                assert!(difference.abs() <= most, "{recipe} {}: {asked}", source.budget.name);
            }
            assert!(source.delivered.num_samples > 0, "{recipe} {}", source.budget.name);
        }
    }
}

#[test]
fn the_third_stage_of_longllava_asks_for_the_published_750_thousand() {
    let text = std::fs::read_to_string(root().join("pipelines/longllava/3-multi-image.toml")).unwrap();
    let counts = text.lines().filter_map(|line| line.strip_prefix("take = "));
    let counts = counts.map(|count| count.split('#').next().unwrap_or_default().replace('_', "").trim().to_owned());
    let counts: Vec<u64> = counts.map(|count| count.parse().unwrap()).collect();
    assert_eq!(counts, [200_000, 200_000, 50_000, 200_000, 50_000, 50_000]);
    assert_eq!(counts.iter().sum::<u64>(), 750_000);
}

#[test]
fn the_third_stage_of_longllava_shows_time_space_and_replay_and_is_packed() {
    let built = stage("longllava", 3);
    let source = |name: &str| built.manifest.sources.iter().find(|source| source.budget.name == name).unwrap();
    assert!(source("videochat2").delivered.cost.num_frames > 20);
    let sub_images = source("sub-images").delivered;
    assert!(sub_images.cost.num_images > 2 * sub_images.num_samples, "{sub_images:?}");
    let mut replayed = built.ledger.iter().filter(|row| row.source == "replay");
    assert!(replayed.all(|row| row.origin.file.starts_with("${out}/2-instruct/")));
    let pack = built.manifest.pack.as_ref().unwrap();
    assert!(pack.summary.audit.is_some());
}

#[test]
fn the_second_stage_of_longvila_shows_the_captions_that_the_first_did_not() {
    let delivered = |built: &Built, source: &str| -> Vec<String> {
        let rows = built.ledger.iter().filter(|row| row.source == source && row.shard.is_some());
        rows.map(|row| format!("{:?}", row.origin)).collect()
    };
    let first = delivered(stage("longvila", 1), "sharegpt4v-align");
    let second = delivered(stage("longvila", 2), "sharegpt4v-rest");
    assert!(!first.is_empty() && !second.is_empty());
    assert!(first.iter().all(|origin| !second.contains(origin)), "{first:?}\n{second:?}");
}

#[test]
fn the_last_stage_of_longvila_is_padded_for_eight_ranks_a_sequence() {
    let pack = stage("longvila", 5).manifest.pack.as_ref().unwrap();
    assert_eq!(pack.summary.pad_to_multiple, 16);
}

#[test]
fn a_recipe_gives_the_same_manifests_wherever_it_is_built() {
    let elsewhere = tempfile::tempdir().unwrap();
    for (dataset, built) in build("longllava", elsewhere.path()).iter().zip(&recipes()[0].1) {
        assert_eq!(Built::read(dataset).manifest, built.manifest, "{}", dataset.display());
    }
}
