//! Promise: `manyframe verify` computes again whatever the files of a dataset state. Each value of each file is changed in
//! turn, the digests are made to fit, and the change is noticed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use manyframe_core::Digest;
use serde_json::{Value, json};

use crate::support::{Built, Workshop, llava, manyframe, photo, run, run_python, stdout};

/// A dataset with every layout and outcome, in these formats.
fn built(formats: &str) -> (Workshop, Built) {
    let mut workshop = Workshop::new();
    let head = format!("[output]\nformats = {formats}\n[format]\n");
    workshop.head = workshop.head.replace("[format]\n", &head);
    workshop.head.push_str(
        "[pack]\nmax_tokens = 4000\nranks = 2\nsequence_parallel = \"zigzag:2\"\naudit = \"concat\"\nseed = 5\n",
    );
    for number in 0..8 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 500, 400));
        workshop.write(&format!("media/clip/{number}.jpg"), photo(20 + number, 64, 48));
    }
    let said = |id: &str, question: &str| {
        json!([
            { "from": "system", "value": "Be brief." },
            { "from": "human", "value": question },
            { "from": "gpt", "value": format!("This is {id}.") },
            { "from": "human", "value": "And now?" },
            { "from": "gpt", "value": "The same." },
        ])
    };
    let several =
        json!({ "id": "two", "image": ["0.jpg", "1.jpg"], "conversations": said("two", "Is <image> like <image>?") });
    let missing = llava("missing", "absent.jpg");
    let images = json!([several, llava("one", "2.jpg"), llava("again", "2.jpg"), llava("other", "3.jpg"), missing]);
    workshop.add_source("images", "llava", &images, "max_rejects = 0.9\nlicense = \"CC\"\n");
    workshop.add_source("tiles", "llava", &json!([llava("t1", "4.jpg")]), "visuals = \"tiled\"\nrepeat = 2.0");
    let clip = json!({ "id": "clip", "video": "clip", "conversations": said("clip", "<video>\nWhat happens?") });
    workshop.add_source("videos", "llava_video", &json!([clip]), "fps = 2.0");
    let texts: Vec<Value> = (0..4)
        .map(|n| json!({ "id": format!("text{n}"), "conversations": said("text", &format!("Question {n}?")) }))
        .collect();
    workshop.add_source("texts", "text", &Value::from(texts), "take = 2");
    let built = workshop.build();
    let outcomes = built.outcomes();
    assert!(
        ["delivered", "not_drawn", "media_missing"].iter().all(|outcome| outcomes.contains_key(*outcome)),
        "{outcomes:?}"
    );
    (workshop, built)
}

/// What the manifest says of a file, which is named there by its path, is made to fit it.
fn refit(manifest: &mut Value, path: &str, bytes: &[u8]) {
    let digest = json!(Digest::of(bytes));
    let shards = manifest["shards"].as_array().map_or(0, Vec::len);
    let pointers = (0..shards).map(|index| format!("/shards/{index}")).chain(["/ledger".into(), "/pack".into()]);
    for pointer in pointers {
        let Some(entry) = manifest.pointer_mut(&pointer).filter(|entry| entry["path"] == path) else { continue };
        entry["digest"] = digest.clone();
        if entry.get("num_bytes").is_some() {
            entry["num_bytes"] = json!(bytes.len());
        }
        return;
    }
    panic!("{path} is not in the manifest");
}

/// Whether `verify` notices what was changed.
fn is_noticed(dataset: &Path) -> bool {
    let output = manyframe(&["verify", &dataset.display().to_string(), "--quiet"]).output().unwrap();
    match output.status.code() {
        Some(0) => false,
        // Values that cannot be read at all are wrong use of a manifest.
        Some(1 | 2) => true,
        code => panic!("{code:?}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// The fields of a file whose change is not noticed.
fn unnoticed_in(workshop: &Workshop, built: &Built, path: &str) -> BTreeSet<String> {
    let (file, copies) = (built.dataset.join(path), workshop.path(&path.replace('/', "-")));
    let (original, manifest_path) = (fs::read(&file).unwrap(), built.dataset.join("manifest.json"));
    let manifest = fs::read(&manifest_path).unwrap();
    let lines =
        run_python("readers", "tests/python/tamper.py", &[&file.display().to_string(), &copies.display().to_string()]);
    let mut unnoticed = BTreeSet::new();
    let mut num_changed = 0;
    for line in lines.lines() {
        let change: Value = serde_json::from_str(line).unwrap();
        let bytes = fs::read(change["file"].as_str().unwrap()).unwrap();
        let mut refitted: Value = serde_json::from_slice(&manifest).unwrap();
        refit(&mut refitted, path, &bytes);
        replace(&file, &bytes);
        fs::write(&manifest_path, serde_json::to_vec_pretty(&refitted).unwrap()).unwrap();
        if !is_noticed(&built.dataset) {
            unnoticed.insert(change["field"].as_str().unwrap().to_owned());
        }
        num_changed += 1;
    }
    assert!(num_changed > 10, "{num_changed} changes of {path}");
    replace(&file, &original);
    fs::write(&manifest_path, manifest).unwrap();
    unnoticed
}

/// Shards are hard links to files of the work directory, which must stay as they are.
fn replace(file: &Path, bytes: &[u8]) {
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
}

/// The pointers of all values without parts below a value.
fn pointers(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| {
                pointers(field, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            });
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, format!("{at}/{index}"), found);
            }
        }
        Value::Null => {}
        _ => found.push(at),
    }
}

fn other(value: &Value) -> Value {
    match value {
        Value::Bool(value) => json!(!value),
        Value::Number(number) if number.is_u64() => json!(number.as_u64().unwrap() + 1),
        Value::Number(number) => json!(number.as_f64().unwrap() / 2.0 + 0.1),
        Value::String(text) => json!(format!("{text}x")),
        value => panic!("{value} has parts"),
    }
}

#[test]
fn every_value_of_the_tables_and_shards_is_computed_again() {
    for formats in ["[\"webdataset\"]", "[\"webdataset\", \"parquet\"]"] {
        let (workshop, built) = built(formats);
        built.verify();
        let pack = built.manifest.pack.as_ref().unwrap().path.clone();
        let mut shards: Vec<String> = built.manifest.shards.iter().map(|shard| shard.path.to_string()).collect();
        if formats.contains("parquet") {
            shards.retain(|path| path.starts_with("parquet"));
        } else {
            shards.extend(["ledger.parquet".to_owned(), pack]);
        }
        let unnoticed: Vec<_> = shards.iter().map(|path| (path, unnoticed_in(&workshop, &built, path))).collect();
        assert!(unnoticed.iter().all(|(_, fields)| fields.is_empty()), "{unnoticed:?}");
        built.verify();
    }
}

#[test]
fn every_value_of_the_manifest_is_computed_again() {
    let (_workshop, built) = built("[\"webdataset\"]");
    let path = built.dataset.join("manifest.json");
    let manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut all = Vec::new();
    pointers(&manifest, String::new(), &mut all);
    assert!(all.len() > 200, "{}", all.len());
    let mut unnoticed = Vec::new();
    for pointer in all {
        let mut tampered = manifest.clone();
        let value = tampered.pointer_mut(&pointer).unwrap();
        *value = other(value);
        if pointer.starts_with("/pipeline/") {
            tampered["pipeline_digest"] = json!(Digest::of(tampered["pipeline"].to_string().as_bytes()));
        }
        fs::write(&path, serde_json::to_vec_pretty(&tampered).unwrap()).unwrap();
        if !is_noticed(&built.dataset) {
            unnoticed.push(pointer);
        }
    }
    assert_eq!(unnoticed, Vec::<String>::new());
}

#[test]
fn what_cannot_be_checked_is_said_and_is_not_ok() {
    let (workshop, built) = built("[\"webdataset\"]");
    let dataset = built.dataset.display().to_string();
    let verify = |more: &[&str], code| {
        let output = run(&[&["verify", &dataset, "--quiet"], more].concat(), code);
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(verify(&[], 0).starts_with("ok: "));
    let text = verify(&["--no-sources"], 1);
    assert!(text.contains("not checked: records, samples and outcomes, by the sources"), "{text}");
    assert!(text.contains("NOT VERIFIED"), "{text}");
    assert!(verify(&["--no-sources", "--partial"], 0).contains("ok in part"));
    fs::remove_file(workshop.path("texts.json")).unwrap();
    let text = verify(&[], 1);
    assert!(text.contains("texts.json") && text.contains("NOT VERIFIED"), "{text}");
    assert!(verify(&["--partial"], 0).contains("ok in part"));
    assert!(!workshop.path("out.work").join("verify").exists());
}

#[test]
fn a_sample_that_two_formats_hold_is_counted_once() {
    let (_workshop, built) = built("[\"webdataset\", \"parquet\"]");
    let text = stdout(&["verify", &built.dataset.display().to_string(), "--quiet"]);
    let total = built.manifest.total;
    let expected = format!(
        "{} shards, {} samples, {} images decoded, {} prompts",
        built.manifest.shards.len(),
        total.num_samples,
        total.cost.num_images,
        total.num_samples
    );
    assert!(text.contains(&expected), "{expected}: {text}");
}
