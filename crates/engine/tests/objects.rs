//! Promise: a build whose sources are objects of a store with listings is the build from the same files of a disk.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that cannot go on fails at once")]

use std::path::{Path, PathBuf};

use manyframe_base::{Executor, NoProgress};
use manyframe_engine::{Build, BuildAction, BuildOptions, BuildOutcome, LocalEngine};
use manyframe_storage::{CacheOptions, Storage as _, StoreOptions, Stores};
use manyframe_validate::measure::Meter;
use serde_json::{Value, json};

struct StoppedClock;

impl Meter for StoppedClock {
    fn seconds(&self) -> f64 {
        0.0
    }
}

/// The same files in `data/` and below `memory:data`.
struct Workshop {
    directory: tempfile::TempDir,
    stores: Stores,
}

const PIPELINE: &str = "
name = 't'
[vars]
data = '/nowhere'
[format]
tokenizer = 'TOKENIZER'
[[source]]
name = 'pictures'
kind = 'llava'
annotations = '${data}/*/pictures.json'
annotation_root = '${data}'
media = '${data}/media'
max_rejects = '50 %'
";

impl Workshop {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cache = CacheOptions { directory: directory.path().join("cache"), max_bytes: 1 << 30 };
        Self { directory, stores: Stores::new(StoreOptions::default(), Some(cache)) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path("data").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self.stores.storage(Path::new("memory:data")).unwrap().write(name, bytes).unwrap();
    }

    fn build(&self, pipeline: &str, data: &str, output: &Path) -> BuildOutcome {
        let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../format/tests/golden/jamba.model");
        let file = self.path("pipeline.toml");
        std::fs::write(&file, pipeline.replace("TOKENIZER", &tokenizer.display().to_string())).unwrap();
        let mut pipeline =
            manyframe_pipeline::read(&file, &[format!("data={data}").parse().unwrap()]).unwrap().pipeline;
        pipeline.set_output_directory(output);
        pipeline.stores = self.stores.clone();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let executor = Executor { pool: &pool, progress: &NoProgress };
        Build::open(pipeline, BuildOptions::default()).unwrap().finish(&LocalEngine, executor, &StoppedClock).unwrap()
    }

    /// Builds from the store and from the disk, which come to the same dataset.
    fn build_both(&self, pipeline: &str, name: &str) -> BuildOutcome {
        let from_disk = self.build(pipeline, &self.path("data").display().to_string(), &self.path("disk").join(name));
        let from_store = self.build(pipeline, "memory:data", &self.path("store").join(name));
        assert_eq!(from_store.committed.manifest_digest, from_disk.committed.manifest_digest);
        from_store
    }
}

fn picture(number: u8) -> Vec<u8> {
    // A PPM: whatever it shows, its header is short, and it is encoded again.
    let pixels = (0..64 * 48 * 3_u32).map(|position| (position / 7 * u32::from(number) % 251) as u8);
    b"P6 64 48 255\n".iter().copied().chain(pixels).collect()
}

fn record(id: &str, image: &str) -> Value {
    json!({ "id": id, "image": image, "conversations": [
        { "from": "human", "value": format!("<image>\nWhat is {id}?") },
        { "from": "gpt", "value": format!("It is {id}.") },
    ] })
}

#[test]
fn directories_and_patterns_are_listings() {
    let workshop = Workshop::new();
    // More in one directory than are asked for one by one, and a few in others.
    let names: Vec<String> = (0..50).map(|number| format!("many/{number}.ppm")).collect();
    let few = ["few/a.ppm", "few/er/b 1.ppm", "few/er/c (2).ppm"].map(str::to_owned);
    for (number, name) in (1..).zip(names.iter().chain(&few)) {
        workshop.write(&format!("media/{name}"), &picture(number));
    }
    let absent = ["many/none.ppm", "few/none.ppm", "none/none.ppm", "few/er"].map(str::to_owned);
    let records: Vec<Value> = names.iter().chain(&few).chain(&absent).map(|name| record(name, name)).collect();
    let (first, second) = records.split_at(30);
    workshop.write("x/pictures.json", json!(first).to_string().as_bytes());
    workshop.write("y/pictures.json", json!(second).to_string().as_bytes());
    let outcome = workshop.build_both(PIPELINE, "pictures");
    assert_eq!(outcome.committed.manifest.total.num_samples, 53);
    let again = workshop.build(PIPELINE, "memory:data", &workshop.path("store/pictures"));
    assert_eq!(again.action, BuildAction::Nothing);
    workshop.write("media/many/7.ppm", &picture(200));
    workshop.write("media/few/none.ppm", &picture(201));
    let changed = workshop.build_both(PIPELINE, "pictures");
    assert_eq!(changed.committed.work.num_samples_made, 2);
    assert_eq!(changed.committed.manifest.total.num_samples, 54);
}

#[cfg(feature = "video")]
#[test]
fn a_directory_of_frames_is_a_video_in_a_store_too() {
    let workshop = Workshop::new();
    for number in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13] {
        workshop.write(&format!("media/clip/frame{number}.ppm"), &picture(number));
    }
    workshop.write("media/clip/.hidden", b"nothing");
    let mut video = record("v", "clip");
    video["video"] = video["image"].take();
    video.as_object_mut().unwrap().remove("image");
    video["conversations"][0]["value"] = json!("<video>\nWhat happens?");
    workshop.write("x/pictures.json", json!([video]).to_string().as_bytes());
    let pipeline = PIPELINE.replace("'llava'", "'llava_video'");
    let outcome = workshop.build_both(&pipeline, "video");
    assert_eq!(outcome.committed.manifest.total.cost.num_frames, 12);
}

#[test]
fn a_dataset_in_a_store_is_replayed() {
    let workshop = Workshop::new();
    for number in 1..6 {
        workshop.write(&format!("media/{number}.ppm"), &picture(number));
    }
    let records: Vec<Value> = (1..6).map(|number| record(&number.to_string(), &format!("{number}.ppm"))).collect();
    workshop.write("x/pictures.json", json!(records).to_string().as_bytes());
    for formats in ["webdataset", "parquet"] {
        let pipeline = PIPELINE.replace("[format]", &format!("[output]\nformats = ['{formats}']\n[format]"));
        let stage = workshop.path("data").join(formats);
        workshop.build(&pipeline, &workshop.path("data").display().to_string(), &stage);
        for file in manyframe_storage::LocalDirectory::new(&stage).list("").unwrap() {
            workshop.write(&format!("{formats}/{}", file.path), &std::fs::read(stage.join(&file.path)).unwrap());
        }
        let replay = format!(
            "name = 'again'\n[vars]\ndata = '/nowhere'\n[format]\ntokenizer = 'TOKENIZER'\n\
             [[source]]\nname = 'old'\nkind = 'dataset'\nfrom = '${{data}}/{formats}'\n"
        );
        let outcome = workshop.build_both(&replay, formats);
        assert_eq!(outcome.committed.manifest.total.num_samples, 5);
    }
}
