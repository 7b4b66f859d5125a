//! Promise: needles are the same from every kind of table, and the pipelines of the papers make their grids of anybody's films.

use std::fs;

use serde_json::{Value, json};

use crate::needles::{Set, clip, fourth_needles, needles};
use crate::support::{run, run_python};

/// The rows of a table, whose columns are all that some needle has.
fn table_of(needles: &[Value], separator: char) -> String {
    let names = ["name", "image", "text", "clip", "start_s", "num_frames", "question", "answer", "wrong"];
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(|item| item.as_str().unwrap()).collect::<Vec<_>>().join(" | "),
        other => other.to_string(),
    };
    let line = |cells: Vec<String>| cells.join(&separator.to_string()) + "\n";
    let rows = needles.iter().map(|needle| line(names.iter().map(|&name| cell(&needle[name])).collect()));
    line(names.map(str::to_owned).to_vec()) + &rows.collect::<String>()
}

fn lines_of(needles: &[Value]) -> String {
    needles.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn needles_in_tables_are_those_of_json_lines() {
    let mut rows = [needles(), vec![clip()]].concat();
    rows[6]["wrong"] = json!(["stars", "clubs", "spots"]);
    let set = Set::with_needles(&json!({ "lengths": [6], "questions_per_cell": 4 }), &rows);
    let grid = |annotations: &str| {
        let annotations = format!("source.set.annotations={annotations:?}");
        let answer = run(&["needles", &set.workshop.pipeline(), "--set", &annotations, "--json", "--quiet"], 0);
        serde_json::from_slice::<Value>(&answer.stdout).unwrap()
    };
    let json_lines = set.workshop.write("needles.jsonl", lines_of(&rows));
    let wanted = grid(&json_lines.display().to_string());
    for (name, separator) in [("needles.csv", ','), ("needles.tsv", '\t')] {
        let table = set.workshop.write(name, table_of(&rows, separator));
        assert_eq!(grid(&table.display().to_string()), wanted, "{name}");
    }
    let table = set.workshop.path("needles.parquet").display().to_string();
    let written =
        run_python("datasets", "tests/python/write_needle_table.py", &[&json_lines.display().to_string(), &table]);
    assert_eq!(written, "double\n");
    assert_eq!(grid(&table), wanted);
    assert_eq!((&wanted[0]["num_samples"], &wanted[0]["num_shown"]), (&json!(16), &json!([7, 9])));
}

/// The directory that pipelines about needles read: films, photographs and needles, all small.
fn directory_of_needles() -> Set {
    let rows = [needles(), fourth_needles()].concat();
    let set = Set::with_needles(&json!({}), &rows);
    let media = set.workshop.path("media");
    for (folder, names) in [("films", &["wide.mp4", "tall.mp4"][..]), ("photos", &[])] {
        fs::create_dir_all(media.join(folder)).unwrap();
        for name in names {
            fs::rename(media.join(name), media.join(folder).join(name)).unwrap();
        }
    }
    for number in 0..12 {
        let name = format!("photo{number}.jpg");
        fs::rename(media.join(&name), media.join("photos").join(&name)).unwrap();
    }
    for name in ["needles.jsonl", "needles-2.jsonl"] {
        set.workshop.write(&format!("media/{name}"), lines_of(&rows));
    }
    set
}

/// A pipeline of a paper, with these lengths for its sources.
fn grid_of_paper(set: &Set, file: &str, settings: &[String]) -> Vec<Value> {
    let path = crate::support::root().join("pipelines/needles").join(file).display().to_string();
    let mut arguments = vec!["needles", &path, "--json", "--quiet"];
    let needles = format!("needles={}", set.workshop.text("media"));
    settings.iter().chain([&needles]).for_each(|setting| arguments.extend(["--set", setting]));
    serde_json::from_slice(&run(&arguments, 0).stdout).unwrap()
}

#[test]
fn the_grids_of_the_papers_are_made_in_small() {
    let set = directory_of_needles();
    let lengths = |sources: &[&str]| -> Vec<String> {
        sources.iter().map(|source| format!("source.{source}.needles.lengths=[8, 12]")).collect()
    };
    let qwen = format!("tokenizer={}", crate::families::tokenizer(&set.workshop));
    let jamba = crate::support::root().join("crates/format/tests/golden/jamba.model");
    let jamba = format!("tokenizer={}", jamba.display());
    let tokens = |cells: &[Value], (source, task, length): (&str, &str, u64)| {
        let cell =
            cells.iter().find(|cell| cell["source"] == source && cell["task"] == task && cell["length"] == length);
        cell.unwrap()["num_tokens"][0].as_u64().unwrap()
    };
    let of_paper = |file: &str, (sources, tokenizer): (&[&str], &String), more: &[String]| {
        let settings = [&lengths(sources)[..], std::slice::from_ref(tokenizer), more].concat();
        let cells = grid_of_paper(&set, file, &settings);
        assert!(cells.iter().all(|cell| cell["num_rejected"] == 0 && cell["num_too_long"] == 0), "{file}: {cells:?}");
        cells
    };
    let cells = of_paper("v-niah.toml", (&["v-niah"], &qwen), &[]);
    assert_eq!(cells.len(), 2 * 10);
    // LongVILA counts 196 tokens of each frame, and its line feed.
    let of_frames = |length: u64| tokens(&cells, ("v-niah", "v_niah", length));
    assert_eq!(of_frames(12) - of_frames(8), 4 * 197);
    assert_eq!(of_paper("vnbench.toml", (&["vnbench", "vnbench-2", "both"], &qwen), &[]).len(), 2 * (7 + 2 + 3));
    for tokens_per_image in [36, 144] {
        let more = [format!("format.tokens_per_image={tokens_per_image}")];
        let cells = of_paper("longllava.toml", (&["frames", "images"], &jamba), &more);
        assert_eq!(cells.len(), 2 * (10 + 5 + 2));
        // The first and the last delimiters of images are those of all; a video has three more.
        for (source, task) in [("frames", "v_niah"), ("images", "image_counting")] {
            let of_images = |length: u64| tokens(&cells, (source, task, length));
            assert_eq!(of_images(12) - of_images(8), 4 * (tokens_per_image + 7), "{task}");
        }
    }
}
