//! Promise: what is taken over from a dataset, or replayed, is what its build wrote.

use std::fs;

use serde_json::{Value, json};

use crate::determinism::files_of;
use crate::support::{Workshop, llava, photo, run};

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
