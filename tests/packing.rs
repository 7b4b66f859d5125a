//! Promise: packs are an index that covers each sample once, with boundaries; other settings rewrite no shard.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use manyframe_base::NoProgress;
use manyframe_core::Digest;
use manyframe_dataset::{DatasetReader, Manifest, PackRow, read_packs};
use manyframe_engine::{EngineError, Export, ExportOptions, check_current, repack};
use serde_json::{Value, json};

use crate::clients::sha256;
use crate::demo::stages;
use crate::support::{Built, Workshop, demo_media, llava, manyframe, photo, run, run_python, stdout};

fn packed() -> (Workshop, Built) {
    let mut workshop = Workshop::new();
    workshop
        .head
        .push_str("[pack]\nmax_tokens = 1000\nranks = 2\nsequence_parallel = \"zigzag:4\"\naudit = \"concat\"\n");
    let records: Vec<Value> = (0..23).map(|n| llava(&format!("r{n}"), &format!("{n}.jpg"))).collect();
    for n in 0..23 {
        workshop.write(&format!("media/{n}.jpg"), photo(n, 40, 40));
    }
    workshop.add_source("a", "llava", &Value::from(records), "");
    let built = workshop.build();
    (workshop, built)
}

/// The pack index that the manifest of a dataset names.
fn pack_index(dataset: &Path) -> PathBuf {
    dataset.join(Manifest::read(dataset).unwrap().pack.unwrap().path)
}

/// The tables beside the shards of a dataset.
fn tables(dataset: &Path) -> Vec<String> {
    let names = fs::read_dir(dataset).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter(|name| [".parquet", ".tmp"].iter().any(|end| name.ends_with(end))).collect();
    names.sort();
    names
}

#[test]
fn a_dataset_that_a_build_replaced_since_it_was_opened_is_neither_packed_nor_exported() {
    let (mut workshop, built) = packed();
    let dataset = DatasetReader::open(&built.dataset).unwrap();
    check_current(&dataset).unwrap();
    workshop.head = workshop.head.replace("seed = 3", "seed = 4");
    let replaced = workshop.build();
    let settings = replaced.manifest.pack.as_ref().unwrap().summary.settings.clone();
    let is_overtaken = |error: EngineError| matches!(error, EngineError::Overtaken { .. });
    assert!(is_overtaken(repack(&dataset, &settings).unwrap_err()));
    let export = Export { dataset: &dataset, options: &ExportOptions::default(), progress: &NoProgress };
    assert!(is_overtaken(export.write(&workshop.path("exported")).unwrap_err()));
    assert!(!workshop.path("exported").exists());
    replaced.verify();
}

#[test]
fn packing_again_is_one_step_whenever_it_is_killed() {
    let (_workshop, built) = packed();
    let dataset = built.dataset.display().to_string();
    let card = fs::read(built.dataset.join("README.md")).unwrap();
    let first = tables(&built.dataset);
    let mut num_killed = 0;
    for round in 0..40_u64 {
        let tokens = format!("max_tokens={}", 1000 + round);
        let mut process = manyframe(&["pack", &dataset, "--set", &tokens]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(1500 * round));
        process.kill().unwrap();
        num_killed += usize::from(!process.wait().unwrap().success());
        let pack = Manifest::read(&built.dataset).unwrap().pack.unwrap();
        let bytes = fs::read(built.dataset.join(&pack.path)).unwrap();
        assert_eq!(Digest::of(&bytes), pack.digest, "{}", pack.path);
        let is_capacity = read_packs(&pack_index(&built.dataset)).unwrap();
        assert!(
            is_capacity.map(Result::unwrap).all(|row| row.padded_tokens <= u64::from(pack.summary.capacity_tokens))
        );
    }
    assert!(num_killed > 0);
    run(&["pack", &dataset, "--set", "max_tokens=1000"], 0);
    assert_eq!(tables(&built.dataset), first, "one ledger and one pack index, and nothing half written");
    assert_eq!(fs::read(built.dataset.join("README.md")).unwrap(), card);
    built.verify();
}

#[test]
fn packs_cover_each_sample_once_with_its_true_length() {
    let (_workshop, built) = packed();
    let lengths: BTreeMap<_, _> =
        built.ledger.iter().map(|row| (row.id, (row.measured.unwrap().0, row.shard))).collect();
    let mut seen = Vec::new();
    for row in read_packs(&pack_index(&built.dataset)).unwrap() {
        let row = row.unwrap();
        assert_eq!((row.step, row.rank), (row.pack / 2, row.pack % 2));
        assert!(row.padded_tokens <= 1000 && row.padded_tokens % 8 == 0);
        check_ranks(&row);
        for (at, sample) in row.samples.iter().enumerate() {
            let (cost, shard) = &lengths[sample];
            assert_eq!(row.cu_seqlens[at + 1] - row.cu_seqlens[at], cost.num_tokens());
            assert_eq!(row.cu_images[at + 1] - row.cu_images[at], cost.num_images);
            assert_eq!(*shard, Some(row.shards[at]));
            seen.push(*sample);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, lengths.into_keys().collect::<Vec<_>>());
    built.verify();
}

/// Reads every sample where the pack index says it is, and compares it with `inspect`.
fn check_places(workshop: &Workshop, dataset: &Path) {
    let name = dataset.display().to_string();
    let mut num_samples = 0;
    for line in run_python("readers", "tests/python/read_packs.py", &["index", &name]).lines() {
        let found: Value = serde_json::from_str(line).unwrap();
        let id = found["id"].as_str().unwrap();
        let images = workshop.path("inspected").join(dataset.file_name().unwrap()).join(id);
        let shown = stdout(&["inspect", &name, id, "--json", "--images", &images.display().to_string()]);
        let sample: Value = serde_json::from_str(&shown).unwrap();
        let texts: Value =
            sample["conversations"].as_array().unwrap().iter().map(|turn| turn["value"].clone()).collect();
        let files = sample["images"].as_array().unwrap().iter().map(|file| file.as_str().unwrap());
        let bytes = files.map(|file| fs::read(images.join(format!("{id}.{file}"))).unwrap());
        let images: Vec<String> = bytes.map(|bytes| sha256(&bytes)).collect();
        let of_visual = |visual: &Value| match &visual["model"] {
            // LongLLaVA's images take 144 tokens each.
            Value::Null => json!(144 * visual["num_images"].as_u64().unwrap()),
            model => model["num_tokens"].clone(),
        };
        let tokens: Vec<Value> = sample["visuals"].as_array().unwrap().iter().map(of_visual).collect();
        let expected = json!({
            "id": id, "source": sample["source"], "texts": texts, "images": images, "tokens_per_visual": tokens,
        });
        assert_eq!(found, expected, "{}", dataset.display());
        num_samples += 1;
    }
    assert_eq!(num_samples, Manifest::read(dataset).unwrap().total.num_samples);
}

#[test]
fn the_index_alone_leads_to_every_sample() {
    let (mut workshop, built) = packed();
    check_places(&workshop, &built.dataset);
    check_places(&workshop, &stages()[2]);
    let head = workshop.head.clone();
    for (name, formats) in [("both", "[\"parquet\", \"webdataset\"]"), ("tables", "[\"parquet\"]")] {
        workshop.head = head.replace("[format]", &format!("[output]\nformats = {formats}\n[format]"));
        let dataset = workshop.path(name);
        run(&["build", &workshop.pipeline(), "--output", &dataset.display().to_string(), "--quiet"], 0);
        check_places(&workshop, &dataset);
        Built::read(&dataset).verify();
    }
}

#[test]
fn visuals_of_a_pack_cost_what_the_processor_makes_of_each() {
    let mut workshop = crate::families::workshop("family = \"qwen3-vl\"");
    workshop.head.push_str("[pack]\nmax_tokens = 20000\n");
    let built = workshop.build();
    check_places(&workshop, &built.dataset);
    let packs: Vec<PackRow> = read_packs(&pack_index(&built.dataset)).unwrap().map(Result::unwrap).collect();
    let tokens: Vec<u64> = packs.iter().flat_map(|pack| pack.tokens_per_visual.clone()).collect();
    assert!(tokens.iter().min() < tokens.iter().max(), "{tokens:?}");
    built.verify();
}

/// Makes a dataset what an earlier version would have built, without the newer columns of its ledger and its pack index.
fn make_older(dataset: &Path) {
    let newer: [(&str, &[&str]); 2] = [
        ("ledger", &["shard_offset", "shard_num_bytes", "tokens_per_visual"]),
        ("pack", &["shard_files", "shard_offsets", "shard_num_bytes", "sources", "cu_visuals", "tokens_per_visual"]),
    ];
    let read = |name: &str| -> Value { serde_json::from_slice(&fs::read(dataset.join(name)).unwrap()).unwrap() };
    let mut manifest = read("manifest.json");
    for (entry, columns) in newer {
        let path = dataset.join(manifest[entry]["path"].as_str().unwrap());
        let file = path.display().to_string();
        run_python("readers", "tests/python/older.py", &[&[file.as_str()], columns].concat());
        manifest[entry]["digest"] = json!(Digest::of(&fs::read(&path).unwrap()));
    }
    for (name, mut fields) in [("manifest.json", manifest), ("build.json", read("build.json"))] {
        fields["manyframe_version"] = json!("0.0.9");
        fs::write(dataset.join(name), format!("{}\n", serde_json::to_string_pretty(&fields).unwrap())).unwrap();
    }
}

#[test]
fn datasets_without_the_newer_columns_are_read_and_packed() {
    let (workshop, built) = packed();
    let dataset = built.dataset.display().to_string();
    let export = |name: &str| {
        let out = workshop.text(name);
        run(&["export", &dataset, "--format", "packed_parquet", "--output", &out, "--quiet"], 0);
        fs::read(workshop.path(name).join("packs-000000.parquet")).unwrap()
    };
    let expected = export("new");
    let inspected = stdout(&["inspect", &dataset, "r7"]);
    make_older(&built.dataset);
    let row = read_packs(&pack_index(&built.dataset)).unwrap().next().unwrap().unwrap();
    assert!(row.sources.is_empty() && row.shard_offsets.is_empty() && !row.shard_rows.is_empty());
    assert!(export("old") == expected);
    assert_eq!(stdout(&["inspect", &dataset, "r7"]), inspected);
    let text = String::from_utf8(run(&["verify", &dataset, "--quiet"], 1).stdout).unwrap();
    assert!(text.contains("NOT VERIFIED") && !text.contains("problem: "), "{text}");
    run(&["pack", &dataset, "--set", "max_tokens=900"], 0);
    let row = read_packs(&pack_index(&built.dataset)).unwrap().next().unwrap().unwrap();
    assert_eq!(row.sources, vec!["a"; row.samples.len()]);
    assert_eq!(row.shard_files, vec!["webdataset/image/000000.tar"; row.samples.len()]);
    assert!(row.shard_offsets.is_empty() && row.tokens_per_visual.is_empty());
}

/// Each of four ranks has two chunks, all of them tile the sequence, and the images of all follow each other.
fn check_ranks(row: &PackRow) {
    let chunks: Vec<(u64, u64)> = row.rank_tokens.chunks(2).map(|bounds| (bounds[0], bounds[1])).collect();
    let size = row.padded_tokens / 8;
    let expected = (0..4).flat_map(|rank| [rank, 7 - rank]).map(|chunk| (chunk * size, (chunk + 1) * size));
    assert_eq!(chunks, expected.collect::<Vec<_>>());
    assert_eq!((row.rank_images[0], row.rank_images.len()), (0, 5));
    assert_eq!(row.rank_images[4], *row.cu_images.last().unwrap());
    assert!(row.rank_images.windows(2).all(|pair| pair[1] - pair[0] <= row.rank_images[1]));
}

#[test]
fn ranks_that_divide_each_sample_have_a_part_of_all_of_them() {
    let (_workshop, built) = packed();
    let dataset = built.dataset.display().to_string();
    run(&["pack", &dataset, "--set", "padding=\"samples\""], 0);
    for row in read_packs(&pack_index(&built.dataset)).unwrap() {
        let row = row.unwrap();
        let mut chunks: Vec<(u64, u64)> = row.rank_tokens.chunks(2).map(|bounds| (bounds[0], bounds[1])).collect();
        // Eight chunks of every sample, of the same size, which tile the pack.
        assert_eq!(chunks.len(), 8 * row.samples.len());
        chunks.sort_unstable();
        assert!(chunks.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert_eq!((chunks[0].0, chunks.last().unwrap().1), (0, row.padded_tokens));
        for bounds in row.cu_seqlens.windows(2) {
            let of_sample = chunks.iter().filter(|chunk| (bounds[0]..bounds[1]).contains(&chunk.0));
            assert!(
                of_sample.clone().count() == 8
                    && of_sample.clone().all(|chunk| chunk.1 - chunk.0 == (bounds[1] - bounds[0]) / 8)
            );
        }
    }
}

#[test]
fn settings_of_packs_fit_each_other() {
    let (workshop, built) = packed();
    for (set, expected) in
        [("pack.pad_to_multiple=12", "a multiple of 8"), ("pack.audit_max_tokens=0", "audit_max_tokens")]
    {
        let output = run(&["check", &workshop.pipeline(), "--set", set], 2);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(expected), "{stderr}");
    }
    let dataset = built.dataset.display().to_string();
    let limited = stdout(&["pack", &dataset, "--set", "audit_max_tokens=1000", "--set", "max_tokens=200"]);
    assert!(
        limited.contains("its packs have 1,000 tokens by its own count, of which a trainer keeps 200"),
        "{limited}"
    );
    let balanced =
        ["pack", &dataset, "--set", "max_tokens=2000", "--set", "strategy=balanced", "--set", "balance=images"];
    run(&balanced, 0);
    let output = run(&["pack", &dataset, "--set", "strategy=next_fit"], 2);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("the settings of the last packing (--set replaces them, --reset drops them): pack.balance"),
        "{stderr}"
    );
    let output = run(&["pack", &dataset, "--set", "strategy=firstfit"], 2);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("--set strategy: pack.strategy: not one of the choices") && !stderr.contains(":--set"),
        "{stderr}"
    );
    // With --reset, settings that are not set here have their defaults.
    let again = stdout(&["pack", &dataset, "--reset", "--set", "max_tokens=100"]);
    assert!(again.contains("too long for any pack: 23 samples (23 of a)"), "{again}");
    assert_eq!(Built::read(&built.dataset).manifest.pack.unwrap().summary.pad_to_multiple, 1);
}

#[test]
fn another_length_rewrites_the_index_and_no_shard() {
    let (_workshop, built) = packed();
    let dataset = built.dataset.display().to_string();
    let modified = |built: &Built| {
        let time = |path: &str| std::fs::metadata(built.dataset.join(path)).unwrap().modified().unwrap();
        built.manifest.shards.iter().map(|shard| (shard.digest, time(&shard.path.to_string()))).collect::<Vec<_>>()
    };
    let before = modified(&built);
    let text = stdout(&["pack", &dataset, "--set", "max_tokens=2000", "--set", "strategy=balanced", "--ranks", "4,16"]);
    assert!(text.contains("packs of at most 2,000 tokens"), "{text}");
    let repacked = Built::read(&built.dataset);
    assert_eq!(modified(&repacked), before);
    let pack = repacked.manifest.pack.as_ref().unwrap();
    assert_eq!(pack.summary.capacity_tokens, 2000);
    assert_eq!(pack.summary.pad_to_multiple, 8, "settings that are not given stay as they are");
    repacked.verify();
}

#[test]
fn a_build_packs_as_its_file_says_whatever_was_packed_since() {
    let (workshop, built) = packed();
    let (dataset, manifest) = (built.dataset.display().to_string(), built.dataset.join("manifest.json"));
    let before = std::fs::read(&manifest).unwrap();
    run(&["pack", &dataset, "--set", "max_tokens=2000", "--set", "seed=9"], 0);
    assert_ne!(std::fs::read(&manifest).unwrap(), before);
    let text = stdout(&["build", &workshop.pipeline(), "--output", &dataset, "--quiet"]);
    assert!(text.contains("packed again"), "{text}");
    assert_eq!(std::fs::read(&manifest).unwrap(), before);
    Built::read(&built.dataset).verify();
}

#[test]
fn a_plan_forecasts_the_packs_and_clusters() {
    let (workshop, built) = packed();
    let out = workshop.text("planned");
    let json = stdout(&["plan", &workshop.pipeline(), "--output", &out, "--json", "--quiet", "--ranks", "4,64,1024"]);
    let plan: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(plan["pack"], json!(built.manifest.pack.as_ref().unwrap().summary));
    let clusters: Vec<_> = plan["forecast"].as_array().unwrap().iter().map(|row| row["num_gpus"].clone()).collect();
    assert_eq!(clusters, [4, 64, 1024]);
    assert!(plan["pack"]["audit"]["sources"]["a"]["all"]["samples"] == 23);
}

#[test]
fn the_audit_counts_as_the_released_packer_does() {
    let workshop = Workshop::new();
    let tokenizer = demo_media().join("tokenizer.model").display().to_string();
    for (index, stage) in stages().iter().enumerate() {
        let (out, stage) = (workshop.text(&format!("export-{index}")), stage.display().to_string());
        run(&["export", &stage, "--format", "llava_json", "--output", &out, "--quiet"], 0);
        let copy = workshop.text(&format!("stage-{index}"));
        copy_directory(Path::new(&stage), Path::new(&copy));
        for (limit, sequence) in [(3_000, 2_000), (20_000, 8_000), (40_960, 40_960)] {
            let numbers = [limit, sequence].map(|number: u32| number.to_string());
            let arguments = [&tokenizer, &out, &stage, &numbers[0], &numbers[1]].map(String::as_str);
            let expected: Value =
                serde_json::from_str(&run_python("readers", "tests/python/concat_packer.py", &arguments)).unwrap();
            let sets = ["audit=concat", &format!("audit_max_tokens={limit}"), &format!("max_tokens={sequence}")];
            run(&["pack", &copy, "--set", sets[0], "--set", sets[1], "--set", sets[2]], 0);
            let audit = Manifest::read(Path::new(&copy)).unwrap().pack.unwrap().summary.audit.unwrap();
            let lost = audit.sources.values().map(manyframe_samplers::ConcatLoss::lost);
            let (samples, tokens) =
                lost.fold((0, 0), |(samples, tokens), lost| (samples + lost.samples, tokens + lost.tokens));
            let found = json!({ "num_packs": audit.num_packs, "samples": samples, "tokens": tokens });
            assert_eq!(found, expected, "stage {index}, {limit}, {sequence}");
        }
    }
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_directory(&path, &to);
        } else {
            fs::copy(path, to).unwrap();
        }
    }
}
