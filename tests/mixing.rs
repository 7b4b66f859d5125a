//! Promise: the mix that the pipeline file asks for is the mix that is delivered, and the contract says so.

use serde_json::{Value, json};

use crate::support::{Built, Workshop, llava, photo, run, stdout};

/// A workshop with a source of `num` records for each name, all about pictures of their own.
fn workshop(sources: &[(&str, u32, &str)]) -> Workshop {
    let mut workshop = Workshop::new();
    for &(name, num, more) in sources {
        let records: Vec<Value> = (0..num).map(|n| llava(&format!("{name}{n}"), &format!("{name}{n}.jpg"))).collect();
        for n in 0..num {
            let seed = name.bytes().map(u32::from).sum::<u32>() * 100 + n;
            workshop.write(&format!("media/{name}{n}.jpg"), photo(seed, 40 + n, 40));
        }
        workshop.add_source(name, "llava", &Value::from(records), more);
    }
    workshop
}

fn num_delivered(built: &Built, source: &str) -> u64 {
    built.manifest.sources.iter().find(|s| s.budget.name == source).unwrap().delivered.num_samples
}

#[test]
fn weights_share_the_largest_total_that_no_source_exhausts() {
    let workshop = workshop(&[("a", 12, "weight = 3"), ("b", 10, "weight = 1"), ("c", 5, "")]);
    let built = workshop.build();
    assert_eq!(["a", "b", "c"].map(|source| num_delivered(&built, source)), [12, 4, 5]);
    built.verify();
}

#[test]
fn a_total_of_units_is_met_and_short_sources_are_named() {
    let mut workshop = workshop(&[("a", 6, "weight = 1"), ("b", 20, "weight = 1")]);
    workshop.head.push_str("[mix]\ntotal = 20\n");
    let out = workshop.text("out");
    let text = stdout(&["build", &workshop.pipeline(), "--output", &out, "--quiet"]);
    assert!(text.contains("a: 6 of 10 records drawn: the source has no more"), "{text}");
    let built = Built::read(&workshop.path("out"));
    assert_eq!(["a", "b"].map(|source| num_delivered(&built, source)), [6, 10]);
}

#[test]
fn a_record_that_is_repeated_is_delivered_under_ids_of_its_own() {
    let workshop = workshop(&[("a", 10, "repeat = 2.3")]);
    let built = workshop.build();
    assert_eq!(num_delivered(&built, "a"), 23);
    let summary = &built.manifest.sources[0];
    assert_eq!((summary.budget.num_seen, summary.budget.num_repeats(), built.ledger.len()), (10, 13, 23));
    let mut ids: Vec<_> = built.ledger.iter().map(|row| row.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 23);
    built.verify();
}

#[test]
fn a_source_that_must_not_run_out_is_an_error() {
    let workshop = workshop(&[("a", 3, "take = 4\non_exhausted = \"error\"")]);
    let output = run(&["build", &workshop.pipeline(), "--output", &workshop.text("out"), "--quiet"], 2);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("\"a\"") && stderr.contains('4') && stderr.contains('3'), "{stderr}");
}

#[test]
fn a_draw_with_replacement_gives_what_is_asked_and_never_runs_out() {
    let mut workshop = workshop(&[("a", 3, "take = 8\nreplacement = \"with\"")]);
    let built = workshop.build();
    assert_eq!(num_delivered(&built, "a"), 8);
    built.verify();
    let fewer = workshop.build_with(&["--set", "source.a.take=5"], 0);
    let delivered =
        |built: &Built| built.ledger.iter().filter(|row| row.shard.is_some()).map(|row| row.id).collect::<Vec<_>>();
    let first = delivered(&built);
    assert!(delivered(&fewer).iter().all(|id| first.contains(id)));

    workshop.add_source_file(
        "b",
        "llava",
        "a.json",
        "replacement = \"with\"\nstratify = \"turns\"\non_exhausted = \"stop\"",
    );
    let output = run(&["check", &workshop.pipeline()], 2);
    let stderr = String::from_utf8_lossy(&output.stderr);
    for expected in ["with take, weight or repeat", "without stratify", "without on_exhausted"] {
        assert!(stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn frames_cannot_be_asked_of_a_source_without_videos() {
    let workshop = workshop(&[("a", 3, "take = 5\nunit = \"frames\"")]);
    let output = run(&["plan", &workshop.pipeline(), "--quiet"], 2);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("has records but no frames"), "{stderr}");
}

#[test]
fn two_laws_for_one_source_are_an_error_of_the_file() {
    let workshop = workshop(&[("a", 1, "take = 1\nweight = 2.0")]);
    let output = run(&["check", &workshop.pipeline()], 2);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("one of take, weight and repeat"), "{stderr}");
}

#[test]
fn a_changed_ratio_reads_no_annotation_and_makes_only_what_is_new() {
    let mut workshop = workshop(&[("a", 20, "take = 8"), ("b", 10, "")]);
    workshop.head.push_str("[reuse]\nmedia = \"trust\"\n");
    let built = workshop.build();
    assert_eq!(built.manifest.total.num_samples, 18);
    // What was delivered cannot be made again: its pictures are gone, which nobody looks at. What is new can.
    for row in built.ledger.iter().filter(|row| row.shard.is_some()) {
        std::fs::remove_file(workshop.path(&format!("media/{}.jpg", row.upstream_id))).unwrap();
    }
    let before = built.row("a0").id;
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let text = stdout(&["build", &pipeline, "--output", &out, "--quiet", "--set", "source.a.take=15"]);
    assert!(text.contains("reused: the index of 2 of 2 annotation files, 18 of 25 samples"), "{text}");
    let rebuilt = Built::read(&workshop.path("out"));
    assert_eq!(rebuilt.row("a0").id, before);
    assert_eq!(num_delivered(&rebuilt, "a"), 15);
    // Its pictures are gone: only its files can be compared with one another.
    run(&["verify", &out, "--quiet", "--no-sources", "--partial"], 0);
}

#[test]
fn what_is_reused_has_the_bytes_that_would_be_made() {
    let workshop = workshop(&[("a", 12, "take = 5"), ("b", 4, "")]);
    workshop.build();
    let reused = workshop.build_with(&["--set", "source.a.take=9"], 0);
    let fresh = workshop.build_with(&["--set", "source.a.take=9", "--fresh"], 0);
    assert_eq!(reused.manifest, fresh.manifest);
    let done = |built: &Built| {
        manyframe_dataset::DatasetReader::open(&built.dataset).unwrap().build_facts().unwrap().unwrap().work
    };
    assert_eq!((done(&fresh).num_samples_made, done(&fresh).num_samples_reused), (13, 0));
}

#[test]
fn records_that_another_stage_delivered_can_be_left_out_or_asked_for() {
    let mut workshop = workshop(&[("a", 12, "take = 5")]);
    let first = workshop.path("first");
    run(&["build", &workshop.pipeline(), "--output", &first.display().to_string(), "--quiet"], 0);
    let first = Built::read(&first);
    let ids = |built: &Built| {
        let delivered = built.ledger.iter().filter(|row| row.shard.is_some());
        delivered.map(|row| row.upstream_id.clone()).collect::<std::collections::BTreeSet<_>>()
    };
    let more = format!("not_delivered_in = {:?}", first.dataset.display().to_string());
    workshop.add_source_file("rest", "llava", "a.json", &more);
    let more = format!("delivered_in = [{:?}]", first.dataset.display().to_string());
    workshop.add_source_file("again", "llava", "a.json", &more);
    workshop.head.push_str("[duplicates]\nremove = \"nothing\"\n");
    let built = workshop.build();
    assert_eq!(["rest", "again"].map(|source| num_delivered(&built, source)), [7, 5]);
    let again = built.ledger.iter().filter(|row| row.source == "again" && row.shard.is_some());
    assert_eq!(again.map(|row| row.upstream_id.clone()).collect::<std::collections::BTreeSet<_>>(), ids(&first));
}

#[test]
fn a_ledger_that_names_no_file_of_the_source_is_an_error() {
    let mut workshop = workshop(&[("a", 12, "take = 5")]);
    let first = workshop.text("first");
    run(&["build", &workshop.pipeline(), "--output", &first, "--quiet"], 0);
    std::fs::copy(workshop.path("a.json"), workshop.path("b.json")).unwrap();
    workshop.add_source_file("rest", "llava", "b.json", &format!("not_delivered_in = {first:?}"));
    let output = run(&["plan", &workshop.pipeline(), "--quiet"], 2);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("write paths alike"), "{stderr}");
}

#[test]
fn settings_without_effect_are_errors_of_the_file() {
    let workshop = workshop(&[("a", 3, "")]);
    for (set, expected) in
        [("mix.total=30", "no source has a weight"), ("overlength.policy=[\"reject\", \"split_turns\"]", "never tried")]
    {
        let output = run(&["plan", &workshop.pipeline(), "--quiet", "--set", set], 2);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn a_stage_that_is_built_again_is_noticed_by_those_that_leave_out_what_it_delivered() {
    let mut workshop = workshop(&[("a", 12, "take = 5")]);
    let pipeline = std::fs::read_to_string(workshop.pipeline()).unwrap();
    let pipeline = workshop.write("first.toml", pipeline).display().to_string();
    let first = workshop.text("first");
    run(&["build", &pipeline, "--output", &first, "--quiet"], 0);
    let more = format!("not_delivered_in = {first:?}");
    workshop.head.push_str("[duplicates]\nremove = \"nothing\"\n");
    workshop.add_source_file("rest", "llava", "a.json", &more);
    assert_eq!(num_delivered(&workshop.build(), "rest"), 7);
    run(&["build", &pipeline, "--output", &first, "--quiet", "--set", "source.a.take=8"], 0);
    assert_eq!(num_delivered(&workshop.build(), "rest"), 4);
}

#[test]
fn stages_of_a_folder_are_built_in_the_order_in_which_they_name_each_other() {
    let workshop = workshop(&[("a", 6, "")]);
    let tokenizer = crate::support::demo_media().join("tokenizer.model");
    let head = |name: &str| {
        format!("name = \"{name}\"\n[format]\ntokenizer = {:?}\n[[source]]\n", tokenizer.display().to_string())
    };
    let from = |file: &str| format!("name = \"r\"\nkind = \"dataset\"\nfrom = \"${{here}}/{file}\"\n");
    let first = format!(
        "{}name = \"a\"\nkind = \"llava\"\nannotations = {:?}\nmedia = {:?}\n",
        head("third"),
        workshop.text("a.json"),
        workshop.text("media")
    );
    workshop.write("stages/z-first.toml", first);
    workshop.write("stages/b-second.toml", head("second") + &from("z-first.toml") + "take = 4\n");
    workshop.write("stages/a-last.toml", head("last") + &from("b-second.toml"));
    let (folder, out) = (workshop.text("stages"), workshop.text("all"));
    let text = stdout(&["build", &folder, "--output", &out, "--quiet", "--set", "source.r.take=3"]);
    let place = |name: &str| text.find(&format!("{name}\n")).unwrap();
    assert!(place("third") < place("second") && place("second") < place("last"), "{text}");
    assert_eq!(Built::read(&workshop.path("all/last")).manifest.total.num_samples, 3);
    run(&["build", &folder, "--output", &out, "--quiet", "--set", "source.nobody.take=3"], 2);
}

#[test]
fn a_stage_that_replays_what_its_file_no_longer_says_is_warned_of() {
    let mut workshop = workshop(&[("a", 6, "take = 5")]);
    let out = workshop.text("stages");
    workshop.head.push_str(&format!("[output]\nroot = {out:?}\n"));
    let first = std::fs::read_to_string(workshop.pipeline()).unwrap();
    let first = workshop.write("first.toml", first.replacen("name = \"t\"", "name = \"first\"", 1));
    let first = first.display().to_string();
    let mut second = Workshop::new();
    second.head.push_str(&format!(
        "[output]\nroot = {out:?}\n[[source]]\nname = \"r\"\nkind = \"dataset\"\nfrom = {first:?}\n"
    ));
    let warning = |second: &Workshop| {
        let output = run(&["plan", &second.pipeline()], 0);
        String::from_utf8_lossy(&output.stderr).contains("built with settings other than those in its pipeline file")
    };
    run(&["build", &first, "--quiet"], 0);
    assert!(!warning(&second));
    run(&["pack", &format!("{out}/first"), "--set", "max_tokens=2000"], 0);
    assert!(!warning(&second), "packs are no part of what is replayed");
    run(&["build", &first, "--quiet", "--set", "source.a.take=4"], 0);
    assert!(warning(&second));
}

#[test]
fn what_is_set_for_one_stage_is_known_to_those_that_name_it() {
    let mut workshop = workshop(&[("a", 6, "take = 5")]);
    let out = workshop.text("stages-out");
    workshop.head.push_str(&format!("[vars]\nfirst = {out:?}\n[output]\ndirectory = \"${{first}}/one\"\n"));
    let first = std::fs::read_to_string(workshop.pipeline()).unwrap();
    workshop.write("stages/1.toml", first);
    let second = Workshop::new();
    let text = format!(
        "{}[output]\ndirectory = {:?}\n[[source]]\nname = \"r\"\nkind = \"dataset\"\nfrom = \"${{here}}/1.toml\"\n",
        second.head.replace("\"t\"", "\"second\""),
        workshop.text("second")
    );
    workshop.write("stages/2.toml", text);
    let elsewhere = format!("first={}", workshop.text("elsewhere"));
    let sets = ["--set", "source.a.take=4", "--set", &elsewhere];
    let output = run(&[&["build", &workshop.text("stages"), "--quiet"], &sets[..]].concat(), 0);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("built with settings other than"), "{stderr}");
    assert_eq!(Built::read(&workshop.path("second")).manifest.total.num_samples, 4);
    assert_eq!(Built::read(&workshop.path("elsewhere/one")).manifest.total.num_samples, 4);
}

#[test]
fn stages_that_depend_on_each_other_in_a_cycle_are_an_error() {
    let workshop = Workshop::new();
    let stage = |name: &str, other: &str| {
        format!(
            "name = \"{name}\"\n[format]\ntokenizer = \"t\"\n[[source]]\nname = \"r\"\nkind = \"dataset\"\nfrom = \"${{here}}/{other}.toml\"\n"
        )
    };
    workshop.write("stages/a.toml", stage("a", "b"));
    workshop.write("stages/b.toml", stage("b", "a"));
    let output = run(&["check", &workshop.text("stages")], 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("in a cycle"));
}

#[test]
fn conversations_about_one_image_are_beside_each_other_and_share_its_bytes() {
    let build = |settings: &str| {
        let mut workshop = Workshop::new();
        let mut records = Vec::new();
        for image in 0..8 {
            workshop.write(&format!("media/{image}.jpg"), photo(image, 640, 480));
            for question in 0..5 {
                let mut record = llava(&format!("{image}-{question}"), &format!("{image}.jpg"));
                record["conversations"][0]["value"] = json!(format!("<image>\nQuestion {question}?"));
                records.push(record);
            }
        }
        workshop.head.push_str("[output]\nformats = [\"parquet\"]\n");
        workshop.head.push_str(settings);
        workshop.add_source("a", "llava", &json!(records), "");
        let built = workshop.build();
        (workshop, built)
    };
    let (_kept, each) = build("");
    let (workshop, shared) = build("media = \"shared\"\n[mix]\norder = \"by_media\"\n");
    shared.verify();
    let size = |built: &Built| built.manifest.shards.iter().map(|shard| shard.num_bytes).sum::<u64>();
    assert!(size(&shared) * 3 < size(&each), "{} {}", size(&shared), size(&each));
    let dataset = workshop.text("out");
    let counts = crate::support::run_python("datasets", "tests/python/read_shards.py", &["parquet", &dataset]);
    let counts: Value = serde_json::from_str(counts.lines().last().unwrap()).unwrap();
    assert_eq!((&counts["num_samples"], &counts["num_images"]), (&json!(40), &json!(40)));
    let images = |built: &Built| {
        let digest = |row: &manyframe_dataset::LedgerRow| {
            let sample =
                manyframe_dataset::DatasetReader::open(&built.dataset).unwrap().read_sample(row).unwrap().unwrap();
            (row.upstream_id.clone(), blake3::hash(&sample.images[0].bytes).to_string())
        };
        built.ledger.iter().map(digest).collect::<std::collections::BTreeMap<_, _>>()
    };
    assert_eq!(images(&shared), images(&each));
    let mut order: Vec<(u64, &str)> =
        shared.ledger.iter().map(|row| (row.position.unwrap(), row.upstream_id.split('-').next().unwrap())).collect();
    order.sort_unstable();
    assert!(order.chunk_by(|a, b| a.1 == b.1).all(|group| group.len() == 5), "{order:?}");
}
