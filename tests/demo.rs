//! Promise: the demo has the outcomes that its page promises, and readers that others wrote read it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::{Built, demo_media, root, run, run_python};

/// The three stages, built once for all tests.
pub(crate) fn stages() -> &'static [PathBuf; 3] {
    static STAGES: OnceLock<[PathBuf; 3]> = OnceLock::new();
    STAGES.get_or_init(|| {
        demo_media();
        let base = root().join("target/tmp/demo");
        let out = format!("out={}", base.display());
        run(&["build", "pipelines/demo", "--quiet", "--fresh", "--set", &out], 0);
        ["1-align", "2-instruct", "3-multi-image"].map(|stage| base.join(stage))
    })
}

#[test]
fn every_annotation_file_has_the_outcomes_that_the_page_promises() {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(root().join("pipelines/demo/expected.json")).unwrap()).unwrap();
    let mut found: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for stage in stages() {
        for row in Built::read(stage).ledger {
            let file = row.origin.file.replace("${here}/", "").replace("${media}/", "DEST/");
            let outcome = row.reason.unwrap_or_else(|| "good".to_owned());
            *found.entry(file).or_default().entry(outcome).or_insert(0) += 1;
        }
    }
    let files = expected["files"].as_object().unwrap().iter();
    for (file, promised) in files.filter(|(_, promised)| promised["recipe"].is_null()) {
        let mut outcomes: BTreeMap<String, u64> = serde_json::from_value(promised["rejected"].clone()).unwrap();
        if promised["num_good"] != 0 {
            outcomes.insert("good".to_owned(), promised["num_good"].as_u64().unwrap());
        }
        assert_eq!(found.get(file), Some(&outcomes), "{file}");
    }
}

#[test]
fn every_stage_verifies() {
    for stage in stages() {
        Built::read(stage).verify();
    }
}

#[test]
fn the_third_stage_has_samples_in_time_and_in_space_and_replays_the_second() {
    let built = Built::read(&stages()[2]);
    let layouts: std::collections::BTreeSet<_> =
        built.manifest.shards.iter().filter_map(|shard| shard.layout).collect();
    assert_eq!(layouts.len(), 4, "{layouts:?}");
    let source = |name: &str| built.manifest.sources.iter().find(|source| source.budget.name == name).unwrap();
    assert_eq!(source("replay").delivered.num_samples, 12);
    assert_eq!(source("sub-images").delivered.num_samples, 8);
    assert!(source("videochat2").delivered.cost.num_frames > 20);
}

#[test]
fn webdataset_reads_every_sample_with_as_many_images_as_placeholders() {
    for stage in stages() {
        let counts =
            run_python("readers", "tests/python/read_shards.py", &["webdataset", &stage.display().to_string()]);
        let counts: Value = serde_json::from_str(counts.lines().last().unwrap()).unwrap();
        assert_eq!(counts["num_samples"], Built::read(stage).manifest.total.num_samples, "{counts}");
        assert_eq!(counts["num_images"], Built::read(stage).manifest.total.cost.num_images, "{counts}");
    }
}

#[test]
fn hugging_face_datasets_reads_every_sample_with_as_many_images_as_placeholders() {
    for stage in stages() {
        let counts = run_python("datasets", "tests/python/read_shards.py", &["parquet", &stage.display().to_string()]);
        let counts: Value = serde_json::from_str(counts.lines().last().unwrap()).unwrap();
        assert_eq!(counts["num_samples"], Built::read(stage).manifest.total.num_samples, "{counts}");
        assert_eq!(counts["num_images"], Built::read(stage).manifest.total.cost.num_images, "{counts}");
    }
}

#[test]
fn token_counts_are_those_of_sentencepiece_on_every_sample() {
    let tokenizer = demo_media().join("tokenizer.model").display().to_string();
    for stage in stages() {
        let output = run_python("readers", "tests/python/count_tokens.py", &[&tokenizer, &stage.display().to_string()]);
        assert!(output.contains(" 0 differ"), "{output}");
    }
}

#[test]
fn sub_images_are_pixel_for_pixel_those_that_pillow_crops_and_encodes() {
    let [_, replayed, tiled] = stages().each_ref().map(|stage| stage.display().to_string());
    let output = run_python("readers", "tests/python/check_tiles.py", &[&tiled, &replayed]);
    let found: Value = serde_json::from_str(&output).unwrap();
    assert!(found["num_tiles"].as_u64().unwrap() > 30, "{found}");
    assert!(found["num_ycbcr"].as_u64().unwrap() > 3, "{found}");
    assert_eq!(found["largest_difference"], 0, "{found}");
    // Scaling may differ by two levels, which encoding spreads.
    assert!(found["largest_mean_difference_of_overviews"].as_f64().unwrap() < 0.5, "{found}");
}
