//! Promise: the same inputs give the same bytes, at any number of threads, on any engine, after any crash.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use manyframe_base::{Executor, NoProgress};
use manyframe_plan::{Context, LeftByPlan, PlanRequest, Reuse, make, make_index};
use serde_json::{Value, json};

use crate::support::{Built, Workshop, contents_below, llava, manyframe, photo, run, stdout};

/// Pictures of many sizes, some missing, some twice, in several shards of two formats.
pub(crate) fn workshop(num_records: u32) -> Workshop {
    let mut workshop = Workshop::new();
    for number in 0..num_records / 2 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 300 + 7 * number % 500, 200 + 11 * number % 400));
    }
    let whole: Vec<Value> =
        (0..num_records).map(|n| llava(&format!("w{n}"), &format!("{}.jpg", n % (num_records / 2 + 3)))).collect();
    let tiled: Vec<Value> =
        (0..num_records).map(|n| llava(&format!("t{n}"), &format!("{}.jpg", n % (num_records / 2 + 3)))).collect();
    workshop.head = workshop
        .head
        .replace("[format]", "[output]\nformats = [\"webdataset\", \"parquet\"]\nmax_shard_samples = 16\n[format]");
    workshop.add_source("whole", "llava", &json!(whole), &format!("take = {}\nmax_rejects = 0.2", num_records * 3 / 4));
    workshop.add_source("tiled", "llava", &json!(tiled), "visuals = \"tiled\"\nmax_rejects = 0.2");
    workshop
}

/// The files of a dataset that are the same on every machine, with their digests.
pub(crate) fn files_of(dataset: &Path) -> Vec<(String, String)> {
    let files = contents_below(dataset).into_iter().filter(|(path, _)| !path.ends_with("build.json"));
    files.map(|(path, bytes)| (path, blake3::hash(&bytes).to_hex().to_string())).collect()
}

#[test]
fn one_two_and_four_threads_give_the_same_bytes() {
    let workshop = workshop(60);
    let first = files_of(&workshop.build_with(&["--threads", "1"], 0).dataset);
    assert!(first.iter().filter(|(path, _)| path.starts_with("webdataset/")).count() > 4, "{first:?}");
    for threads in ["2", "4"] {
        let again = workshop.build_with(&["--threads", threads, "--fresh"], 0);
        assert_eq!(files_of(&again.dataset), first, "{threads} threads");
    }
}

/// The files of a plan that takes at most so much memory, as the library makes it.
fn plan_files(pipeline: &Path, work: &Path, memory_bytes: Option<u64>) -> Vec<(String, Vec<u8>)> {
    let text = std::fs::read_to_string(pipeline).unwrap();
    let context = Context::open(manyframe_pipeline::parse(&text, pipeline, &[]).unwrap()).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let executor = Executor { pool: &pool, progress: &NoProgress };
    let index = make_index(&context, work, executor).unwrap();
    let left_by = |_: &Path| LeftByPlan::default();
    let request = PlanRequest { work, reuse: Reuse::Nothing, left_by, memory_bytes };
    let made = make(&context, &index, request, executor).unwrap();
    let files = contents_below(&made.directory);
    // The next one is not read from there.
    std::fs::remove_dir_all(made.directory).unwrap();
    files
}

#[test]
fn a_plan_beyond_memory_is_the_same() {
    for (order, shards) in [("shuffled", "by_layout"), ("by_length", "mixed"), ("interleaved", "by_layout")] {
        let mut workshop = workshop(60);
        let tables =
            format!("[mix]\norder = \"{order}\"\n[pack]\nmax_tokens = 4096\n[output]\nshards = \"{shards}\"\n");
        workshop.head = workshop.head.replace("[output]\n", &tables);
        // Some are drawn three times, some twice.
        let text =
            |n: u32| vec![json!({"from": "human", "value": format!("{n}?")}), json!({"from": "gpt", "value": "Yes."})];
        let texts: Vec<Value> = (0..40).map(|n| json!({"id": n, "conversations": text(n)})).collect();
        workshop.add_source("texts", "text", &json!(texts), "repeat = 2.4");
        let (pipeline, work) = (PathBuf::from(workshop.pipeline()), workshop.path("plans.work"));
        // A plan says how much of its index was made for it.
        plan_files(&pipeline, &work, None);
        let in_memory = plan_files(&pipeline, &work, None);
        assert!(in_memory.iter().filter(|(path, _)| path.starts_with("tasks/")).count() > 5, "{order}");
        assert_eq!(plan_files(&pipeline, &work, Some(1 << 40)), in_memory, "{order}");
        assert_eq!(plan_files(&pipeline, &work, Some(0)), in_memory, "{order}");
    }
}

/// The reports of finished tasks below a directory of work.
pub(crate) fn num_done(work: &Path) -> usize {
    let plans = std::fs::read_dir(work).into_iter().flatten().map(|entry| entry.unwrap().path());
    let done = plans.filter_map(|plan| std::fs::read_dir(plan.join("done")).ok());
    done.map(|done| {
        done.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "json")).count()
    })
    .sum()
}

#[test]
fn a_build_that_is_killed_ten_times_ends_with_the_same_bytes() {
    let workshop = workshop(60);
    let expected = files_of(&workshop.build().dataset);
    let (pipeline, out) = (workshop.pipeline(), workshop.text("killed"));
    let work = workshop.path("killed.work");
    let mut num_killed = 0;
    for step in 0..10_u64 {
        let num_done_before = num_done(&work);
        let mut child = manyframe(&["build", &pipeline, "--output", &out, "--quiet", "--threads", "2"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Five are killed while they start, index and plan; the other five as soon as one more task is done.
        let is_time = |started: Instant| match step {
            0..5 => started.elapsed() >= Duration::from_millis(2 + 23 * step),
            _ => num_done(&work) > num_done_before,
        };
        let started = Instant::now();
        while child.try_wait().unwrap().is_none() && !is_time(started) {
            std::thread::sleep(Duration::from_millis(1));
        }
        num_killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(num_killed >= 5, "only {num_killed} of 10 builds were killed while they ran");
    run(&["build", &pipeline, "--output", &out, "--quiet"], 0);
    assert_eq!(files_of(&workshop.path("killed")), expected);
    Built::read(&workshop.path("killed")).verify();
}

#[test]
fn finished_tasks_are_not_done_again() {
    let mut workshop = workshop(60);
    workshop.head.push_str("[reuse]\nmedia = \"trust\"\n");
    let calm = workshop.build();
    let expected = files_of(&calm.dataset);
    let (pipeline, out) = (workshop.pipeline(), workshop.text("resumed"));
    let plan: Value =
        serde_json::from_str(&stdout(&["plan", &pipeline, "--output", &out, "--json", "--quiet"])).unwrap();
    let directory = Path::new(plan["plan"].as_str().unwrap());
    let last = plan["tasks"].as_array().unwrap().len() - 1;
    for task in 0..last {
        run(&["task", &directory.display().to_string(), &task.to_string(), "--quiet"], 0);
    }
    let report = std::fs::read_to_string(directory.join("done/000000.json")).unwrap();
    let shard = directory.join("shards/000000-webdataset.tar");
    let modified = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
    let before = modified(&shard);
    // Only the pictures of the last task are left: a task that is done again would reject its records.
    let tasks = std::fs::read_to_string(directory.join(format!("tasks/{last:06}.jsonl"))).unwrap();
    let planned: Vec<Value> = tasks.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_planned = |id: &str| planned.iter().any(|sample| sample["record_id"] == id);
    let rows = calm.ledger.iter().filter(|row| is_planned(&row.id.to_string()));
    let number = |upstream_id: &str| upstream_id[1..].parse::<u32>().unwrap() % (60 / 2 + 3);
    let kept: BTreeSet<String> = rows.map(|row| format!("{}.jpg", number(&row.upstream_id))).collect();
    assert!(!kept.is_empty());
    let mut num_removed = 0;
    for picture in std::fs::read_dir(workshop.path("media")).unwrap().map(|entry| entry.unwrap()) {
        if !kept.contains(picture.file_name().to_str().unwrap()) {
            std::fs::remove_file(picture.path()).unwrap();
            num_removed += 1;
        }
    }
    assert!(num_removed > 5, "{kept:?}");
    run(&["task", &directory.display().to_string(), "0", "--quiet"], 0);
    assert_eq!(modified(&shard), before);
    assert_eq!(std::fs::read_to_string(directory.join("done/000000.json")).unwrap(), report);
    run(&["build", &pipeline, "--output", &out, "--quiet"], 0);
    assert_eq!(files_of(&workshop.path("resumed")), expected);
}

#[test]
fn tasks_run_one_by_one_and_backwards_give_the_same_bytes() {
    let workshop = workshop(60);
    let expected = files_of(&workshop.build().dataset);
    let (pipeline, out) = (workshop.pipeline(), workshop.text("by_task"));
    let plan: Value =
        serde_json::from_str(&stdout(&["plan", &pipeline, "--output", &out, "--json", "--quiet"])).unwrap();
    let directory = plan["plan"].as_str().unwrap();
    let num_tasks = plan["tasks"].as_array().unwrap().len();
    assert!(num_tasks > 2);
    let unfinished = run(&["commit", directory, "--quiet"], 1);
    assert!(String::from_utf8_lossy(&unfinished.stderr).contains("tasks are not done, the first is task 0"));
    for task in (0..num_tasks).rev() {
        run(&["task", directory, &task.to_string(), "--quiet"], 0);
    }
    run(&["task", directory, &num_tasks.to_string(), "--quiet"], 2);
    run(&["commit", directory, "--quiet"], 0);
    assert_eq!(files_of(&workshop.path("by_task")), expected);
}

#[test]
fn datasets_do_not_depend_on_where_files_are() {
    let build_in = |directory: &str| {
        let mut workshop = Workshop::new();
        for number in 0..6 {
            workshop.write(&format!("{directory}/media/{number}.jpg"), photo(number, 100, 80));
        }
        let records: Vec<Value> = (0..8).map(|n| llava(&format!("r{n}"), &format!("{n}.jpg"))).collect();
        workshop.write(&format!("{directory}/a.json"), serde_json::to_vec(&records).unwrap());
        workshop.head = format!("{}[vars]\nbase = {:?}\n", workshop.head, workshop.text(directory));
        let source =
            "[[source]]\nname = \"a\"\nkind = \"llava\"\nannotations = \"${base}/a.json\"\nmedia = \"${base}/media\"\n";
        workshop.head.push_str(source);
        files_of(&workshop.build().dataset)
    };
    assert_eq!(build_in("here"), build_in("some/where/else"));
}

#[test]
fn a_larger_take_keeps_what_a_smaller_one_chose() {
    let mut workshop = Workshop::new();
    let records: Vec<Value> = (0..40)
        .map(|n| json!({"id": format!("r{n}"), "conversations": [{"from": "human", "value": format!("q{n}")}, {"from": "gpt", "value": "a"}]}))
        .collect();
    workshop.add_source("a", "text", &json!(records), "");
    let delivered = |take: &str| {
        let built = workshop.build_with(&["--set", &format!("source.a.take={take}")], 0);
        let delivered = built.ledger.iter().filter(|row| row.shard.is_some());
        delivered.map(|row| row.upstream_id.clone()).collect::<std::collections::BTreeSet<_>>()
    };
    let (small, large) = (delivered("10"), delivered("25"));
    assert_eq!((small.len(), large.len()), (10, 25));
    assert!(small.is_subset(&large));
}
