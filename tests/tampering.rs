//! Promise: `manyframe verify` computes again whatever the files of a dataset state. Each value of each file is changed in
//! turn, the digests are made to fit, and the change is noticed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use manyframe_core::Digest;
use serde_json::{Value, json};

use crate::support::{Built, Workshop, contents_below, encode, llava, manyframe, photo, root, run, run_python, stdout};

/// A dataset with every layout and outcome, in these formats.
fn built(formats: &str) -> (Workshop, Built) {
    let mut workshop = Workshop::new();
    let head = format!("[output]\nformats = {formats}\n[format]\n");
    workshop.head = workshop.head.replace("[format]\n", &head);
    workshop.head.push_str(
        "[tiles]\nedge_px = 56\n[pack]\nmax_tokens = 4000\nranks = 2\nsequence_parallel = \"zigzag:2\"\naudit = \"concat\"\nseed = 5\n",
    );
    for number in 0..8 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 100, 80));
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

/// What `verify` finds in a dataset that was changed.
fn problems(dataset: &Path) -> Vec<String> {
    let output = manyframe(&["verify", &dataset.display().to_string(), "--quiet"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let problems: Vec<String> = text.lines().filter(|line| line.starts_with("problem: ")).map(str::to_owned).collect();
    match output.status.code() {
        Some(0) => assert!(problems.is_empty(), "{problems:?}"),
        Some(1) => assert!(!problems.is_empty(), "{text}"),
        // Values that cannot be read at all are wrong use of a manifest.
        Some(2) => return vec![String::from_utf8(output.stderr).unwrap()],
        code => panic!("{code:?}: {}", String::from_utf8_lossy(&output.stderr)),
    }
    problems
}

/// Whether `verify` notices that a value was changed; that bytes were, it notices anyway.
fn is_noticed(dataset: &Path) -> bool {
    // So do the files beside shards that state their sizes and digests.
    let is_of_values = |problem: &String| !problem.contains(OTHER_BYTES) && !problem.ends_with("from the shards");
    problems(dataset).iter().any(is_of_values)
}

const OTHER_BYTES: &str = "has bytes that do not follow from ";

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
fn every_value_of_other_formats_is_computed_again() {
    // Turns have the placeholders of their readers; that they are those of the sample, bytes tell.
    for (format, repeated) in
        [("mds", &[][..]), ("vila", &["conversations.[].value"]), ("energon_chatml", &["conversations.[].value"])]
    {
        let (workshop, built) = built(&format!("[{format:?}]"));
        built.verify();
        // The other layouts differ in what is in the same fields, as the shards of the test above do.
        // Of images and of frames of a video, in formats where these are members of their own.
        let layouts = if format == "energon_chatml" { &["image", "temporal"][..] } else { &["image"] };
        let shards = built.manifest.shards.iter().map(|shard| shard.path.to_string());
        let is_looked_at = |path: &String| layouts.iter().any(|layout| path.contains(&format!("/{layout}/")));
        for shard in shards.filter(is_looked_at) {
            let unnoticed = unnoticed_in(&workshop, &built, &shard);
            assert!(unnoticed.iter().all(|field| repeated.contains(&field.as_str())), "{shard}: {unnoticed:?}");
        }
        check_beside(&built);
        built.verify();
    }
}

#[test]
fn every_value_of_rows_that_share_images_is_computed_again() {
    let (workshop, built) = built("[\"parquet\"]\nmedia = \"shared\"");
    built.verify();
    let shard = built.manifest.shards[0].path.to_string();
    assert!(shard.starts_with("parquet/image/"), "{shard}");
    let unnoticed = unnoticed_in(&workshop, &built, &shard);
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
    built.verify();
}

/// Changes each value of the JSON files beside shards, which no digest of the manifest covers, and bytes of the other files there.
fn check_beside(built: &Built) {
    let shards: Vec<String> = built.manifest.shards.iter().map(|shard| shard.path.to_string()).collect();
    let files = contents_below(&built.dataset).into_iter();
    for (name, bytes) in files.filter(|(name, _)| name.contains('/') && !shards.contains(name)) {
        let path = built.dataset.join(&name);
        if Path::new(&name).extension().is_none_or(|extension| extension != "json") {
            for at in [0, bytes.len() / 2, bytes.len() - 1] {
                replace(&path, &flipped(&bytes, at));
                let problems = problems(&built.dataset);
                assert!(problems.iter().any(|problem| problem.contains(&name)), "{name} {at}: {problems:?}");
            }
            replace(&path, &bytes);
            continue;
        }
        let original: Value = serde_json::from_slice(&bytes).unwrap();
        let mut all = Vec::new();
        pointers(&original, String::new(), &mut all);
        assert!(!all.is_empty(), "{name}");
        for pointer in all {
            let mut tampered = original.clone();
            let value = tampered.pointer_mut(&pointer).unwrap();
            *value = other(value);
            replace(&path, tampered.to_string().as_bytes());
            let problems = problems(&built.dataset);
            assert!(problems.iter().any(|problem| problem.contains(&name)), "{name} {pointer}: {problems:?}");
        }
        replace(&path, &bytes);
    }
}

#[test]
fn every_value_of_a_dataset_with_video_files_is_computed_again() {
    let mut workshop = Workshop::new();
    workshop.head = workshop.head.replace("[format]\n", "[video]\ndeliver = \"clip\"\n[format]\n");
    let media = workshop.path("media");
    fs::create_dir_all(&media).unwrap();
    let picture = "-f lavfi -i testsrc2=size=96x64:rate=25:duration=4 -c:v libx264 -g 25 -pix_fmt yuv420p";
    let made = Command::new("ffmpeg").args(["-v", "error"]).args(picture.split(' ')).arg(media.join("a.mp4")).status();
    assert!(made.unwrap().success(), "the ffmpeg program, which `make setup` installs");
    let said = json!([{ "from": "human", "value": "<video>\nWhat happens?" }, { "from": "gpt", "value": "Colours." }]);
    let record = |id: &str| json!({ "id": id, "video": "a.mp4", "conversations": said });
    let mut cut = record("cut");
    (cut["start"], cut["end"]) = (json!(1.0), json!(3.0));
    workshop.add_source("videos", "auto", &json!([record("whole"), cut]), "");
    for formats in ["[\"webdataset\"]", "[\"parquet\"]"] {
        let built = workshop.build_with(&["--set", &format!("output.formats={formats}"), "--fresh"], 0);
        built.verify();
        let shards: Vec<String> = built.manifest.shards.iter().map(|shard| shard.path.to_string()).collect();
        let unnoticed: Vec<_> = shards.iter().map(|path| (path, unnoticed_in(&workshop, &built, path))).collect();
        // A row repeats these for readers that know the column alone; that they are those of the sample, bytes tell.
        let repeated = ["[].videos.[].fps", "[].videos.[].frame_indices.[]"];
        let mut fields = unnoticed.iter().flat_map(|(_, fields)| fields);
        assert!(fields.all(|field| repeated.contains(&field.as_str())), "{formats}: {unnoticed:?}");
        built.verify();
    }
}

/// The values of the manifest whose change is not noticed, of those at pointers that are looked at; and how many these are.
fn unnoticed_in_manifest(built: &Built, is_looked_at: impl Fn(&str) -> bool) -> (Vec<String>, usize) {
    let path = built.dataset.join("manifest.json");
    let manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut all = Vec::new();
    pointers(&manifest, String::new(), &mut all);
    all.retain(|pointer| is_looked_at(pointer));
    let (mut unnoticed, num_changed) = (Vec::new(), all.len());
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
    (unnoticed, num_changed)
}

#[test]
fn every_value_of_the_manifest_is_computed_again() {
    let (_workshop, built) = built("[\"webdataset\"]");
    let (unnoticed, num_changed) = unnoticed_in_manifest(&built, |_| true);
    assert!(num_changed > 200, "{num_changed}");
    assert_eq!(unnoticed, Vec::<String>::new());
}

#[test]
fn what_a_build_says_of_itself_is_compared_where_something_else_tells_it() {
    let (_workshop, built) = built("[\"webdataset\"]");
    let path = built.dataset.join("build.json");
    let bytes = fs::read(&path).unwrap();
    let original: Value = serde_json::from_slice(&bytes).unwrap();
    for pointer in ["/work/num_samples_made", "/work/num_samples_reused", "/settings_digest", "/manyframe_version"] {
        let mut tampered = original.clone();
        let value = tampered.pointer_mut(pointer).unwrap();
        *value = match &*value {
            Value::String(text) if text.ends_with('0') => json!(format!("{}1", &text[..text.len() - 1])),
            Value::String(text) => json!(format!("{}0", &text[..text.len() - 1])),
            value => other(value),
        };
        assert_ne!(tampered, original, "{pointer}");
        fs::write(&path, tampered.to_string()).unwrap();
        assert!(is_noticed(&built.dataset), "{pointer}");
    }
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let problems = problems(&built.dataset);
    assert!(problems.iter().any(|problem| problem.contains("build.json")), "{problems:?}");
}

#[test]
fn what_no_sample_may_show_is_counted_again() {
    let mut workshop = Workshop::new();
    workshop.write("media/0.jpg", photo(1, 90, 60));
    workshop.add_source("a", "llava", &json!([llava("r", "0.jpg")]), "");
    workshop.write("benchmark/1.jpg", photo(90, 200, 100));
    workshop.write("benchmark/cut.jpg", &photo(91, 200, 100)[..900]);
    workshop.write("benchmark/notes.txt", "Two pictures.");
    let against = "[decontamination]\nagainst = \"${here}/benchmark\"\nmax_rejects = 0.5\n";
    workshop.head.push_str(against);
    let built = workshop.build();
    let (unnoticed, num_changed) = unnoticed_in_manifest(&built, |pointer| pointer.contains("decontamination"));
    assert!(num_changed >= 10, "{num_changed}");
    assert_eq!(unnoticed, Vec::<String>::new());
}

#[test]
fn every_byte_of_every_file_follows_from_what_is_in_it() {
    let (_workshop, built) = built("[\"webdataset\", \"parquet\"]");
    let manifest_path = built.dataset.join("manifest.json");
    let manifest = fs::read(&manifest_path).unwrap();
    let one_of_each = |format: &str| {
        let mut paths = built.manifest.shards.iter().map(|shard| shard.path.to_string());
        paths.find(|path| path.starts_with(format)).unwrap()
    };
    let pack = built.manifest.pack.as_ref().unwrap().path.clone();
    for path in [one_of_each("webdataset"), one_of_each("parquet"), "ledger.parquet".to_owned(), pack] {
        let file = built.dataset.join(&path);
        let original = fs::read(&file).unwrap();
        // Mode and time of the first member of a tar, the end of its JSON, and bytes all over the file; then bytes behind its end.
        let spread = (0..8).map(|part| part * (original.len() - 1) / 7);
        let mut changed: Vec<Vec<u8>> = [103, 140].into_iter().chain(spread).map(|at| flipped(&original, at)).collect();
        changed.push([original.as_slice(), &[0; 512]].concat());
        for (number, bytes) in changed.iter().enumerate() {
            let mut refitted: Value = serde_json::from_slice(&manifest).unwrap();
            refit(&mut refitted, &path, bytes);
            replace(&file, bytes);
            fs::write(&manifest_path, format!("{}\n", serde_json::to_string_pretty(&refitted).unwrap())).unwrap();
            let problems = problems(&built.dataset);
            let name = path.trim_end_matches(".parquet");
            assert!(problems.iter().any(|problem| problem.contains(name)), "{path}, change {number}: {problems:?}");
        }
        replace(&file, &original);
        fs::write(&manifest_path, &manifest).unwrap();
    }
    fs::write(&manifest_path, [b" ", manifest.as_slice()].concat()).unwrap();
    assert_eq!(problems(&built.dataset), [format!("problem: manifest.json {OTHER_BYTES}what is in it")]);
    fs::write(&manifest_path, &manifest).unwrap();
    // Readers take every shard in a directory.
    let first = one_of_each("webdataset");
    let more = first.replace("000000", "000007");
    fs::copy(built.dataset.join(first), built.dataset.join(&more)).unwrap();
    let expected = format!("problem: {more} is not in the manifest, and readers of its directory take it");
    assert_eq!(problems(&built.dataset), [expected]);
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x02;
    bytes
}

#[test]
fn a_picture_that_its_decoder_does_not_survive_is_a_fault_of_its_sample() {
    let mut workshop = Workshop::new();
    let small = image::RgbImage::from_pixel(40, 30, image::Rgb([1, 2, 3]));
    workshop.write("media/a.webp", encode(&small, image::ImageFormat::WebP));
    workshop.write("media/b.jpg", photo(1, 40, 30));
    workshop.add_source("a", "llava", &json!([llava("a", "a.webp"), llava("b", "b.jpg")]), "");
    let built = workshop.build();
    // It claims 9000 × 9000 pixels: 13 bits of width and height, less one, behind the signature of the bitstream.
    let path = "webdataset/image/000000.tar";
    let file = built.dataset.join(path);
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(4).position(|window| window == b"VP8L").unwrap() + 9;
    bytes[at..at + 4].copy_from_slice(&(8999_u32 + (8999 << 14)).to_le_bytes());
    replace(&file, &bytes);
    let manifest_path = built.dataset.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&manifest_path).unwrap()).unwrap();
    refit(&mut manifest, path, &bytes);
    fs::write(&manifest_path, serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
    let dataset = built.dataset.display().to_string();
    let program = manyframe(&["verify", &dataset, "--no-sources", "--threads", "1", "--quiet"]);
    let mut limited = Command::new("prlimit");
    limited.args(["--data=220000000", "--core=0"]).arg(program.get_program()).args(program.get_args());
    let output = limited.current_dir(root()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text} {}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("its images: decoder_crashed") && text.contains("2 samples"), "{text}");
}

#[test]
fn sources_that_changed_since_the_build_are_no_fault_of_the_dataset() {
    let (workshop, built) = built("[\"webdataset\"]");
    let dataset = built.dataset.display().to_string();
    let verify = |more: &[&str], code| {
        let output = run(&[&["verify", &dataset, "--quiet"], more].concat(), code);
        String::from_utf8(output.stdout).unwrap()
    };
    // The same bytes at another time lead to the same dataset.
    let bytes = fs::read(workshop.path("media/2.jpg")).unwrap();
    fs::remove_file(workshop.path("media/2.jpg")).unwrap();
    workshop.write("media/2.jpg", bytes);
    assert!(verify(&[], 0).starts_with("ok: "));
    workshop.write("media/2.jpg", photo(77, 100, 80));
    fs::remove_file(workshop.path("media/4.jpg")).unwrap();
    let text = verify(&[], 1);
    assert!(
        text.contains("not checked: records, samples and outcomes, by the sources: the sources have changed"),
        "{text}"
    );
    assert!(text.contains("NOT VERIFIED") && !text.contains("problem: "), "{text}");
    assert!(verify(&["--partial"], 0).contains("ok in part"));
    // What is wrong with the dataset by itself stays a problem.
    let path = built.dataset.join("manifest.json");
    let mut tampered: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    tampered["total"]["num_samples"] = json!(1);
    fs::write(&path, serde_json::to_vec_pretty(&tampered).unwrap()).unwrap();
    let text = verify(&["--partial"], 1);
    assert!(text.contains("problem: manifest.total.num_samples is 1, expected"), "{text}");
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

#[test]
fn the_data_card_and_files_beside_the_shards_are_compared() {
    let (_workshop, built) = built("[\"parquet\", \"webdataset\"]");
    let card = built.dataset.join("README.md");
    let text = fs::read_to_string(&card).unwrap();
    let edited = text.replacen("images", "pictures", 1);
    fs::write(&card, &edited).unwrap();
    assert_eq!(problems(&built.dataset), ["problem: README.md has bytes that do not follow from the manifest"]);
    fs::remove_file(&card).unwrap();
    assert_eq!(problems(&built.dataset), ["problem: README.md is missing"]);
    fs::write(&card, &text).unwrap();
    fs::write(built.dataset.join("webdataset/image/notes.txt"), "mine").unwrap();
    let stray = "problem: webdataset/image/notes.txt is beside the shards, and no file of this dataset";
    assert_eq!(problems(&built.dataset), [stray]);
    fs::remove_file(built.dataset.join("webdataset/image/notes.txt")).unwrap();
    // What lies elsewhere is said; where a search for tars finds it, it is a fault.
    fs::write(built.dataset.join("notes.txt"), "mine").unwrap();
    fs::create_dir(built.dataset.join("old")).unwrap();
    fs::write(built.dataset.join("old/a.parquet"), "PAR1").unwrap();
    let text = stdout(&["verify", &built.dataset.display().to_string(), "--quiet", "--no-sources", "--partial"]);
    let said: Vec<&str> = text.lines().filter(|line| line.starts_with("no file of the dataset: ")).collect();
    assert_eq!(said, ["no file of the dataset: notes.txt", "no file of the dataset: old/a.parquet"], "{text}");
    fs::write(built.dataset.join("old/image-000007.tar"), "").unwrap();
    let stray = "problem: old/image-000007.tar is not in the manifest, and readers that search for tars take it";
    assert_eq!(problems(&built.dataset), [stray]);
    fs::remove_dir_all(built.dataset.join("old")).unwrap();
    // A split for Energon that its owner added.
    fs::write(built.dataset.join("webdataset/.nv-meta/split-mine.yaml"), "split_parts: {}\n").unwrap();
    assert_eq!(problems(&built.dataset), [""; 0]);
}
