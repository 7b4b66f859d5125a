//! Promise: what is taken over from a dataset, or replayed, is what its build wrote.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::determinism::files_of;
use crate::support::{Workshop, contents_below, llava, photo, run};

#[test]
fn a_shard_that_was_changed_since_is_neither_taken_over_nor_replayed() {
    let mut workshop = Workshop::new();
    (0..4).for_each(|number| _ = workshop.write(&format!("media/{number}.jpg"), photo(number, 80, 60)));
    let records: Vec<Value> = (0..4).map(|n| llava(&format!("r{n}"), &format!("{n}.jpg"))).collect();
    workshop.add_source("a", "llava", &json!(records), "");
    let (dataset, pipeline) = (workshop.build().dataset, workshop.pipeline());
    let replay =
        format!("{}[[source]]\nname = \"old\"\nkind = \"dataset\"\nfrom = {:?}\n", workshop.head, workshop.text("out"));
    let replay = workshop.write("replay.toml", replay).display().to_string();
    let plan = |code| {
        let output = run(&["plan", &replay, "--output", &workshop.text("later"), "--quiet"], code);
        String::from_utf8(output.stderr).unwrap()
    };
    plan(0);
    let shard = dataset.join("webdataset/image/000000.tar");
    let original = fs::read(&shard).unwrap();
    let at = original.windows(20).position(|bytes| bytes == b"Waves, in picture r2").unwrap();
    let mut changed = original.clone();
    changed[at] = b'C';
    fs::write(&shard, &changed).unwrap();
    let said = plan(2);
    assert!(said.contains("000000.tar\" is not the file that the manifest of its dataset names"), "{said}");
    let build = |out: &str| {
        let output =
            run(&["build", &pipeline, "--output", &workshop.text(out), "--quiet", "--explain", "--set", "seed=9"], 0);
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (explained, warned) = build("out");
    assert!(warned.contains("not the file that the manifest names; its samples are made again"), "{warned}");
    assert!(explained.contains("their shard was changed or damaged since it was built"), "{explained}");
    build("scratch");
    assert_eq!(files_of(&workshop.path("out")), files_of(&workshop.path("scratch")));
    plan(0);
    // What nobody touched is taken over without being read.
    let (explained, _) = build("out");
    assert!(explained.contains("nothing to do"), "{explained}");
    let output = workshop.run_build(&["--set", "seed=10"], 0);
    assert!(String::from_utf8(output.stdout).unwrap().contains("4 of 4 samples"));
}

/// A dataset of eight photographs in two formats, packed.
fn packed() -> (Workshop, PathBuf) {
    let mut workshop = Workshop::new();
    workshop.head = workshop.head.replace(
        "[format]\n",
        "[output]\ndirectory = \"${here}/out\"\nformats = [\"webdataset\", \"parquet\"]\n[format]\n",
    );
    workshop.head.push_str("[pack]\nmax_tokens = 4000\n");
    (0..8).for_each(|number| _ = workshop.write(&format!("media/{number}.jpg"), photo(number, 80, 60)));
    let records: Vec<Value> = (0..8).map(|n| llava(&format!("r{n}"), &format!("{n}.jpg"))).collect();
    workshop.add_source("a", "llava", &json!(records), "");
    let dataset = workshop.build().dataset;
    (workshop, dataset)
}

/// The files that the manifest of [`packed`] names.
fn named(dataset: &Path) -> [PathBuf; 4] {
    let pack = fs::read_dir(dataset).unwrap().map(|entry| entry.unwrap().path());
    let pack = pack.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("pack-")).unwrap();
    let shard = |name: &str| dataset.join(name);
    [shard("webdataset/image/000000.tar"), shard("parquet/image/000000.parquet"), shard("ledger.parquet"), pack]
}

/// One bit in the middle is another one; size and modification time stay.
fn alter(path: &Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, &bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

#[test]
fn there_is_something_to_do_where_a_file_of_the_dataset_was_altered() {
    let (workshop, dataset) = packed();
    let built = files_of(&dataset);
    for path in named(&dataset) {
        alter(&path);
        let next = String::from_utf8(run(&["status", &workshop.pipeline(), "--quiet"], 0).stdout).unwrap();
        let reason = format!("{} is not the file that its build wrote", path.display());
        assert!(next.contains(&reason) && !next.contains("nothing to do"), "{next}");
        let output = workshop.run_build(&[], 0);
        let warned = String::from_utf8(output.stderr).unwrap();
        assert!(warned.contains("not the file that its build wrote; the dataset is built again"), "{warned}");
        assert_eq!(files_of(&dataset), built, "{}", path.display());
        let said = String::from_utf8(workshop.run_build(&[], 0).stdout).unwrap();
        assert!(said.contains("nothing to do"), "{said}");
    }
}

#[test]
fn there_is_something_to_do_where_a_file_beside_the_shards_was_altered() {
    let (mut workshop, _) = packed();
    let all = "[\"webdataset\", \"parquet\", \"mds\", \"vila\", \"energon_chatml\"]";
    workshop.head = workshop.head.replace("[\"webdataset\", \"parquet\"]", all);
    let dataset = workshop.build().dataset;
    // Another length of packs changes the manifest, and no other file.
    run(&["pack", &dataset.display().to_string(), "--set", "max_tokens=2000"], 0);
    workshop.run_build(&[], 0);
    let built = files_of(&dataset);
    let is_shard = |name: &str| ["tar", "parquet", "mds"].iter().any(|extension| name.ends_with(extension));
    let names = contents_below(&dataset).into_iter().map(|(name, _)| name);
    let beside: Vec<String> = names.filter(|name| !is_shard(name) && name != "manifest.json").collect();
    let others =
        ["README.md", "croissant.json", "build.json", "energon_chatml/.nv-meta/dataset.yaml", "mds/index.json"];
    assert!(others.iter().all(|other| beside.iter().any(|name| name == other)), "{beside:?}");
    assert!(beside.iter().any(|name| name.ends_with(".tar.idx")), "{beside:?}");
    for name in beside {
        let pipeline = workshop.pipeline();
        let status = || String::from_utf8(run(&["status", &pipeline, "--quiet"], 0).stdout).unwrap();
        alter(&dataset.join(&name));
        // However often somebody asks. What a build notes of itself is compared with the inputs.
        let reason = if name == "build.json" {
            "a build would".to_owned()
        } else {
            format!("{name} is not the file that its build wrote")
        };
        for next in [status(), status()] {
            assert!(next.contains(&reason) && !next.contains("nothing to do"), "{name}: {next}");
        }
        let warned = String::from_utf8(workshop.run_build(&[], 0).stderr).unwrap();
        let is_read = name == "build.json";
        assert!(
            is_read || warned.contains("not the file that its build wrote; the dataset is built again"),
            "{warned}"
        );
        assert_eq!(files_of(&dataset), built, "{name}");
        assert!(status().contains("nothing to do"), "{name}");
    }
}

#[test]
fn files_that_the_command_commit_published_are_known_as_well() {
    let (workshop, dataset) = packed();
    let (pipeline, seed) = (workshop.pipeline(), ["--set", "seed=9"]);
    let planned = run(&[&["plan", &pipeline, "--json", "--quiet"], &seed[..]].concat(), 0);
    let planned: Value = serde_json::from_slice(&planned.stdout).unwrap();
    let plan = planned["plan"].as_str().unwrap();
    let last = planned["tasks"].as_array().unwrap().len() - 1;
    run(&["task", plan, &format!("0-{last}"), "--quiet"], 0);
    run(&["commit", plan, "--quiet"], 0);
    assert!(String::from_utf8(workshop.run_build(&seed, 0).stdout).unwrap().contains("nothing to do"));
    alter(&dataset.join("README.md"));
    let warned = String::from_utf8(workshop.run_build(&seed, 0).stderr).unwrap();
    assert!(warned.contains("not the file that its build wrote; the dataset is built again"), "{warned}");
}

#[test]
fn nothing_is_exported_or_packed_of_files_that_were_altered() {
    let (workshop, dataset) = packed();
    let copy = workshop.path("copy");
    let location = copy.display().to_string();
    let export = workshop.text("export");
    let said = |arguments: &[&str], code: i32| {
        _ = fs::remove_dir_all(workshop.path("export"));
        String::from_utf8(run(arguments, code).stderr).unwrap()
    };
    let commands = [
        (vec!["export", &location, "--format", "llava_json", "--output", &export], [true, false, false, false]),
        (
            vec!["export", &location, "--format", "llava_json", "--packed", "--output", &export],
            [false, true, false, true],
        ),
        (vec!["export", &location, "--format", "packed_parquet", "--output", &export], [false, true, false, true]),
        (vec!["pack", &location, "--set", "max_tokens=2000"], [false, false, true, false]),
    ];
    let originals = named(&dataset);
    for (arguments, reads) in &commands {
        for (original, is_read) in originals.iter().zip(reads) {
            _ = fs::remove_dir_all(&copy);
            for (name, bytes) in contents_below(&dataset) {
                workshop.write(&format!("copy/{name}"), bytes);
            }
            alter(&copy.join(original.strip_prefix(&dataset).unwrap()));
            let said = said(arguments, if *is_read { 2 } else { 0 });
            assert_eq!(said.contains("is not the file that the manifest names"), *is_read, "{arguments:?}: {said}");
            assert_eq!(workshop.path("export").exists(), !is_read && arguments[0] == "export", "{arguments:?}");
        }
    }
}
