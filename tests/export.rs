//! Promise: an export is what LLaVA's own trainers read, and what manyframe reads.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use manyframe_core::Layout;
use manyframe_dataset::{DatasetReader, Manifest, PackRow};
use serde_json::{Value, json};

use crate::clients::has_torch;
use crate::demo::stages;
use crate::support::{Built, Workshop, contents_below, demo_media, llava, photo, root, run, run_python, stdout};

/// Exports a dataset; returns the directory as text.
fn export(workshop: &Workshop, dataset: &Path, name: &str, more: &[&str]) -> String {
    let (dataset, out) = (dataset.display().to_string(), workshop.text(name));
    let mut arguments = vec!["export", &dataset, "--format", "llava_json", "--output", &out, "--quiet"];
    arguments.extend(more);
    run(&arguments, 0);
    out
}

fn read_as(trainer: &str, directory: &str) -> Value {
    let counts = run_python("readers", "tests/python/read_llava_json.py", &[trainer, directory]);
    serde_json::from_str(&counts).unwrap()
}

fn records(directory: &str) -> Vec<Value> {
    serde_json::from_slice(&fs::read(Path::new(directory).join("data.json")).unwrap()).unwrap()
}

#[test]
fn the_loaders_of_longllava_and_llava_next_read_the_whole_demo() {
    let workshop = Workshop::new();
    for (index, stage) in stages().iter().enumerate() {
        let total = Manifest::read(stage).unwrap().total;
        let out = export(&workshop, stage, &format!("export-{index}"), &[]);
        for trainer in ["longllava", "llava_next"] {
            let counts = read_as(trainer, &out);
            assert_eq!(counts["num_records"], total.num_samples, "{counts}");
            assert_eq!(counts["num_images"], total.cost.num_images, "{counts}");
            assert_eq!(counts["num_skipped"], 0, "{counts}");
        }
    }
}

/// The tokens and labels of a dataset are those that LongLLaVA's dataset class makes of its export; how many records it has.
fn compare_tokens(workshop: &Workshop, tokenizer: &Path, dataset: &Path, name: &str) -> u64 {
    let out = export(workshop, dataset, name, &[]);
    let arguments = [tokenizer.display().to_string(), out, dataset.display().to_string()];
    let output = run_python("readers", "tests/python/longllava_tokens.py", &arguments.each_ref().map(String::as_str));
    assert!(output.ends_with(" 0 differ\n"), "{output}");
    output.split_once(" records").unwrap().0.parse().unwrap()
}

#[test]
fn the_prompts_of_the_demo_are_those_that_longllava_makes_of_their_export() {
    let workshop = Workshop::new();
    for (index, stage) in stages().iter().enumerate() {
        let name = format!("export-{index}");
        let num_records = compare_tokens(&workshop, &demo_media().join("tokenizer.model"), stage, &name);
        assert_eq!(num_records, Manifest::read(stage).unwrap().total.num_samples);
    }
}

#[test]
fn white_space_around_turns_is_where_longllava_leaves_it() {
    let mut workshop = Workshop::new();
    workshop.head.insert_str(workshop.head.find("[format]").unwrap(), "[output]\nformats = [\"parquet\"]\n");
    workshop.write("media/0.jpg", photo(0, 90, 60));
    workshop.write("media/1.jpg", photo(1, 90, 60));
    let questions = [
        "<image>",
        "What differs?\n<image>\n<image>",
        " \u{a0}First <image>\nthen <image>\n\n",
        "\u{1c}\n<image> or <image>?\u{1f} ",
        "  Nothing to see. ",
    ];
    let mut records = Vec::new();
    for (number, question) in questions.iter().enumerate() {
        for (form, system) in [("plain", None), ("system", Some("\n Be kind. "))] {
            let turn = |from: &str, value: &str| json!({ "from": from, "value": value });
            let mut turns: Vec<Value> = system.map(|system| turn("system", system)).into_iter().collect();
            turns.extend([turn("human", question), turn("gpt", " So it is. ")]);
            turns.extend([turn("human", " And now? "), turn("gpt", "The same.")]);
            let images = &["0.jpg", "1.jpg"][..question.matches("<image>").count()];
            records.push(json!({ "id": format!("{form}-{number}"), "image": images, "conversations": turns }));
        }
    }
    workshop.add_source("a", "llava", &Value::from(records), "");
    let built = workshop.build();
    assert_eq!(built.manifest.total.num_samples, 10, "{:?}", built.outcomes());
    let tokenizer = root().join("crates/format/tests/golden/jamba.model");
    assert_eq!(compare_tokens(&workshop, &tokenizer, &built.dataset, "export"), 10);
}

#[test]
fn the_loader_of_llava_reads_every_record_with_one_image_or_none() {
    let workshop = Workshop::new();
    let all = export(&workshop, &stages()[2], "all", &["--single-image", "string"]);
    let counts = read_as("llava", &all);
    let with_several = records(&all).iter().filter(|record| record["image"].is_array()).count();
    assert_eq!(counts["num_skipped"], with_several);
    assert!(with_several > 0 && counts["num_text_only"].as_u64() > Some(0), "{counts}");
    assert_eq!(read_as("llava_next", &all)["num_records"], records(&all).len());
    let readable = export(&workshop, &stages()[2], "readable", &["--single-image", "string", "--max-images", "1"]);
    let counts = read_as("llava", &readable);
    assert_eq!(counts["num_skipped"], 0);
    assert_eq!(counts["num_records"], records(&all).len() - with_several);
    let dataset = stages()[2].display().to_string();
    let again = workshop.text("again");
    let arguments = ["export", &dataset, "--format", "llava_json", "--output", &again, "--max-images", "1", "--quiet"];
    let text = stdout(&arguments);
    fs::remove_dir_all(&again).unwrap();
    let counts: Value = serde_json::from_str(&stdout(&[&arguments[..], &["--json"]].concat())).unwrap();
    let number = |name: &str| counts[name].as_u64().unwrap();
    let total = Manifest::read(&stages()[2]).unwrap().total.num_samples;
    assert_eq!(number("num_records") + number("num_documents") + number("num_over_max_images"), total, "{counts}");
    assert!(number("num_over_max_images") >= with_several as u64);
    let expected =
        format!("skipped: {} samples with more than 1 image (--max-images)\n", number("num_over_max_images"));
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn an_export_of_the_plain_dialect_is_read_back_as_it_was() {
    let mut workshop = Workshop::new();
    workshop.head =
        workshop.head.replace("[format]\n", "[output]\nformats = [\"parquet\"]\n[format]\ndialect = \"plain\"\n");
    for number in 0..3 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 90, 60));
    }
    let several = json!({
        "id": "two", "image": ["1.jpg", "2.jpg"],
        "conversations": [
            { "from": "human", "value": "First <image>\nthen <image>\nwhich?" }, { "from": "gpt", "value": "Both." },
            { "from": "human", "value": "Why?" }, { "from": "gpt", "value": "So." },
        ],
    });
    let text = json!({
        "id": "text",
        "conversations": [{ "from": "human", "value": "Hello" }, { "from": "gpt", "value": "Good day" }],
    });
    workshop.add_source("a", "llava", &json!([llava("one", "0.jpg"), several, text]), "");
    let built = workshop.build();
    let out = export(&workshop, &built.dataset, "export", &[]);

    let mut again = Workshop::new();
    again.head = workshop.head.clone();
    let source =
        format!("[[source]]\nname = \"a\"\nkind = \"llava\"\nannotations = \"{out}/data.json\"\nmedia = {out:?}\n");
    let pipeline = again.write("pipeline.toml", [again.head.as_str(), &source].concat());
    run(&["build", &pipeline.display().to_string(), "--output", &again.text("out"), "--quiet"], 0);
    let read_back = Built::read(&again.path("out"));
    assert_eq!(read_back.manifest.total, built.manifest.total);
    let out_again = export(&again, &read_back.dataset, "export", &[]);
    let said = |directory: &str| {
        let mut said: Vec<String> =
            records(directory).iter().map(|record| record["conversations"].to_string()).collect();
        said.sort();
        said
    };
    assert_eq!(said(&out), said(&out_again));
    let images = |directory: &str| {
        let mut images: Vec<_> =
            contents_below(&Path::new(directory).join("images")).into_iter().map(|(_, bytes)| bytes).collect();
        images.sort();
        images
    };
    assert_eq!(images(&out), images(&out_again));
}

#[test]
fn the_records_of_the_demo_are_read_back_with_their_images() {
    let workshop = Workshop::new();
    let stage = &stages()[2];
    let out = export(&workshop, stage, "export", &[]);
    let pipeline = format!(
        "{}[duplicates]\nremove = \"nothing\"\n[[source]]\nname = \"a\"\nkind = \"llava\"\nannotations = \"{out}/data.json\"\nmedia = {out:?}\n",
        workshop.head
    );
    let pipeline = workshop.write("pipeline.toml", pipeline).display().to_string();
    run(&["build", &pipeline, "--output", &workshop.text("again"), "--quiet"], 0);
    let (total, again) = (Manifest::read(stage).unwrap().total, Built::read(&workshop.path("again")).manifest.total);
    assert_eq!((again.num_samples, again.cost.num_images), (total.num_samples, total.cost.num_images));
}

#[test]
fn the_same_dataset_gives_the_same_files_from_either_shard_format() {
    let mut workshop = Workshop::new();
    workshop.write("media/0.jpg", photo(0, 90, 60));
    workshop.add_source("a", "llava", &json!([llava("one", "0.jpg")]), "");
    let pipeline = fs::read_to_string(workshop.pipeline()).unwrap();
    let mut exports = Vec::new();
    for format in ["webdataset", "parquet"] {
        let pipeline = pipeline.replace("[format]", &format!("[output]\nformats = [\"{format}\"]\n[format]"));
        let file = workshop.write("one.toml", pipeline).display().to_string();
        run(&["build", &file, "--output", &workshop.text(format), "--quiet"], 0);
        exports.push(export(&workshop, &workshop.path(format), &format!("export-{format}"), &[]));
    }
    let [left, right] = [&exports[0], &exports[1]].map(|directory| contents_below(Path::new(directory)));
    assert_eq!(left.len(), 3);
    assert!(left == right);
}

#[test]
fn a_dataset_of_another_family_is_exported_with_places_of_images() {
    for family in ["qwen3-vl", "internvl", "llava-onevision", "smolvlm"] {
        let workshop = crate::families::workshop(&format!("family = {family:?}"));
        let built = workshop.build_with(&[], 0);
        let out = export(&workshop, &built.dataset, "export", &[]);
        let questions: Vec<String> = records(&out)
            .iter()
            .map(|record| record["conversations"][0]["value"].as_str().unwrap().to_owned())
            .collect();
        let one = llava("0", "0.jpg")["conversations"][0]["value"].as_str().unwrap().to_owned();
        assert!(questions.contains(&one), "{family}: {questions:?}");
        assert!(questions.iter().all(|question| !question.contains("<|")), "{family}: {questions:?}");
        if family == "qwen3-vl" {
            assert!(questions.contains(&"Is <image> wider than <image>?\nSay it.".to_owned()), "{questions:?}");
        }
        for trainer in ["longllava", "llava_next"] {
            let counts = read_as(trainer, &out);
            assert_eq!((counts["num_records"].as_u64(), counts["num_images"].as_u64()), (Some(6), Some(6)), "{counts}");
        }
    }
}

#[test]
fn layouts_sources_and_paths_are_as_asked_for() {
    let workshop = Workshop::new();
    let built = Built::read(&stages()[2]);
    let out = export(&workshop, &built.dataset, "temporal", &["--only-layout", "temporal", "--only-layout", "text"]);
    let expected = built.ledger.iter().filter_map(|row| row.shard?.layout);
    let expected = expected.filter(|layout| matches!(layout, Layout::Temporal | Layout::Text)).count();
    assert_eq!(records(&out).len(), expected);
    let more = ["--only-source", "replay", "--only-source", "mantis", "--path-prefix", "/data/"];
    let out = export(&workshop, &built.dataset, "sources", &more);
    let expected =
        built.manifest.sources.iter().filter(|source| ["replay", "mantis"].contains(&source.budget.name.as_str()));
    assert_eq!(records(&out).len() as u64, expected.map(|source| source.delivered.num_samples).sum::<u64>());
    let paths = records(&out).into_iter().flat_map(|record| record["image"].as_array().cloned().unwrap_or_default());
    assert!(paths.map(|path| path.as_str().unwrap().to_owned()).all(|path| path.starts_with("/data/images/0000/000/")));
}

/// What the pack index of a dataset lists.
fn packs(dataset: &Path) -> Vec<PackRow> {
    DatasetReader::open(dataset).unwrap().packs().unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_record_a_pack_has_every_conversation_with_its_end_token() {
    let workshop = Workshop::new();
    let stage = &stages()[2];
    let (packs, total) = (packs(stage), Manifest::read(stage).unwrap().total);
    let out = export(&workshop, stage, "packs", &["--packed"]);
    let counts = read_as("longllava", &out);
    assert_eq!((&counts["num_records"], &counts["num_images"]), (&json!(packs.len()), &json!(total.cost.num_images)));
    let single: BTreeMap<String, Value> = records(&export(&workshop, stage, "samples", &[]))
        .into_iter()
        .map(|record| (record["id"].as_str().unwrap().to_owned(), record))
        .collect();
    for (pack, record) in packs.iter().zip(records(&out)) {
        let mut turns = Vec::new();
        for id in &pack.samples {
            let mut sample = single[&id.to_string()]["conversations"].as_array().unwrap().clone();
            let last = sample.last_mut().unwrap();
            last["value"] = json!(format!("{}<|endoftext|>", last["value"].as_str().unwrap()));
            turns.extend(sample);
        }
        assert_eq!(record["conversations"], Value::from(turns), "pack {}", pack.pack);
    }
}

#[test]
fn packed_parquet_has_the_expanded_tokens_and_the_images_of_every_sample() {
    let workshop = Workshop::new();
    let stage = &stages()[2];
    let out = workshop.text("packed");
    let dataset = stage.display().to_string();
    run(&["export", &dataset, "--format", "packed_parquet", "--output", &out, "--quiet"], 0);
    let counts = run_python("readers", "tests/python/read_packs.py", &["parquet", &out, &dataset]);
    let counts: Value = serde_json::from_str(&counts).unwrap();
    let total = Manifest::read(stage).unwrap().total;
    assert_eq!(counts["num_packs"], packs(stage).len());
    assert_eq!(
        (&counts["num_samples"], &counts["num_images"]),
        (&json!(total.num_samples), &json!(total.cost.num_images))
    );
    if has_torch() {
        let counts = run_python("torch", "tests/python/read_packs.py", &["bridge", &out]);
        let counts: Value = serde_json::from_str(&counts).unwrap();
        assert_eq!(counts["num_packs"], packs(stage).len());
        assert!(counts["num_trained"].as_u64().unwrap() > total.num_samples, "{counts}");
    }
    let refused =
        ["export", &dataset, "--format", "packed_parquet", "--only-layout", "text", "--output", &workshop.text("no")];
    assert!(String::from_utf8(run(&refused, 2).stderr).unwrap().contains("packs are exported whole"));
}

#[test]
fn packed_parquet_tokenizes_what_tars_do_not_hold() {
    let mut workshop = Workshop::new();
    workshop.head = workshop.head.replace("[format]\n", "[output]\nformats = [\"webdataset\"]\n[format]\n");
    workshop.head.push_str("[pack]\nmax_tokens = 600\n");
    for number in 0..5 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 90, 60));
    }
    let records: Vec<Value> = (0..5).map(|number| llava(&format!("r{number}"), &format!("{number}.jpg"))).collect();
    workshop.add_source("a", "llava", &Value::from(records), "");
    let tars = workshop.build();
    let out = workshop.text("packed");
    let export = |dataset: &str, out: &str| {
        run(&["export", dataset, "--format", "packed_parquet", "--output", out, "--quiet"], 0)
    };
    export(&tars.dataset.display().to_string(), &out);
    let both = workshop.pipeline();
    let both = workshop.write(
        "both.toml",
        fs::read_to_string(both).unwrap().replace("[\"webdataset\"]", "[\"webdataset\", \"parquet\"]"),
    );
    run(&["build", &both.display().to_string(), "--output", &workshop.text("both"), "--quiet"], 0);
    let counts = run_python("readers", "tests/python/read_packs.py", &["parquet", &out, &workshop.text("both")]);
    assert!(serde_json::from_str::<Value>(&counts).unwrap()["num_packs"].as_u64().unwrap() > 1, "{counts}");
}

#[test]
fn packs_of_texts_are_those_that_xtuner_presets() {
    let mut workshop = Workshop::new();
    workshop.head.push_str("[pack]\nmax_tokens = 100\n");
    let said = |number: u32| {
        let turns = json!([{ "from": "human", "value": format!("Is {number} odd?") }, { "from": "gpt", "value": "Ask \"me\" later." }]);
        json!({ "id": format!("t{number}"), "conversations": turns })
    };
    workshop.add_source("a", "text", &(0..9).map(said).collect(), "");
    let built = workshop.build();
    let out = workshop.text("xtuner");
    let dataset = built.dataset.display().to_string();
    run(&["export", &dataset, "--format", "xtuner_pack", "--output", &out, "--quiet"], 0);
    let counts = run_python("datasets", "tests/python/read_packs.py", &["xtuner", &out]);
    let counts: Value = serde_json::from_str(&counts).unwrap();
    assert_eq!(counts["num_packs"], packs(&built.dataset).len());
    assert_eq!(
        (&counts["num_samples"], &counts["num_tokens"]),
        (&json!(9), &json!(built.manifest.total.cost.num_tokens()))
    );
    let refuse = |dataset: &Path, expected: &str| {
        let arguments = [
            "export",
            &dataset.display().to_string(),
            "--format",
            "xtuner_pack",
            "--output",
            &workshop.text("no"),
            "--quiet",
        ];
        let text = String::from_utf8(run(&arguments, 2).stderr).unwrap();
        assert!(text.contains(expected), "{text}");
    };
    refuse(&stages()[2], "XTuner's preset packs hold texts");
    refuse(&stages()[0], "its samples are not packed");
}

#[test]
fn nothing_is_replaced_and_an_unknown_source_is_named() {
    let workshop = Workshop::new();
    let dataset = stages()[0].display().to_string();
    let export = |out: &str, more: &[&str]| {
        let arguments =
            [&["export", &dataset, "--format", "llava_json", "--quiet", "--output", out][..], more].concat();
        String::from_utf8(run(&arguments, 2).stderr).unwrap()
    };
    workshop.write("there/kept.txt", "mine");
    assert!(export(&workshop.text("there"), &[]).contains("exists; move it away"));
    assert!(export(&format!("{dataset}/export"), &[]).contains("whose next build would remove it"));
    assert!(!stages()[0].join("export").exists());
    assert_eq!(contents_below(&workshop.path("there")), [("kept.txt".to_owned(), b"mine".to_vec())]);
    assert!(export(&workshop.text("new"), &["--only-source", "mantis"]).contains("its sources are allava-caption"));
    assert!(!workshop.path("new").exists());
}
