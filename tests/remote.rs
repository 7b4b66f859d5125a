//! Promise: a build whose dataset goes to a store ends with the dataset of a disk, whenever it is interrupted; what the store has
//! is not sent again, and this machine keeps no shard that was sent.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Workshop, contents_below, llava, manyframe, photo};
use crate::web::{Answer, WebServer};

const URL: &str = "s3://bucket/sets/t";

/// Pictures on this machine, and a store.
struct Store {
    workshop: Workshop,
    server: WebServer,
    pipeline: String,
}

impl Store {
    fn new(num_pictures: u32) -> Self {
        let mut workshop = Workshop::new();
        let records: Vec<Value> = (0..num_pictures)
            .map(|number| {
                workshop.write(&format!("media/{number}.jpg"), photo(number, 320, 240));
                llava(&number.to_string(), &format!("{number}.jpg"))
            })
            .collect();
        workshop.head.push_str("[output]\nformats = [\"webdataset\", \"parquet\"]\nmax_shard_samples = 2\n");
        workshop.head.push_str("[pack]\nmax_tokens = 2048\n");
        workshop.add_source("pictures", "llava", &json!(records), "");
        fs::create_dir_all(workshop.path("store/bucket")).unwrap();
        let server = WebServer::of(workshop.path("store"));
        let pipeline = workshop.pipeline();
        Self { workshop, server, pipeline }
    }

    fn run(&self, arguments: &[&str], code: i32) -> String {
        let mut command = manyframe(arguments);
        command.env("MANYFRAME_CACHE", "").env("AWS_ENDPOINT_URL", &self.server.address);
        command.env("AWS_ACCESS_KEY_ID", "AKIA").env("AWS_SECRET_ACCESS_KEY", "hush");
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert_eq!(status.code(), Some(code), "{arguments:?}\n{text}");
        assert!(!text.contains("hush"), "{text}");
        text
    }

    /// A command with the pipeline, the URL and the work directory.
    fn call(&self, command: &str, more: &[&str], code: i32) -> String {
        let work = format!("output.work={}", self.workshop.text("work"));
        let arguments = [command, &self.pipeline, "--output", URL, "--set", &work, "--quiet"];
        self.run(&[&arguments, more].concat(), code)
    }

    fn build(&self, more: &[&str], code: i32) -> String {
        self.call("build", more, code)
    }

    /// The objects below the URL with an ending.
    fn objects(&self, ending: &str) -> Vec<(String, Vec<u8>)> {
        contents_below(&self.workshop.path("store/bucket/sets").join(format!("t{ending}")))
    }

    fn names(&self, ending: &str) -> Vec<String> {
        self.objects(ending).into_iter().map(|(name, _)| name).collect()
    }

    /// The dataset at the URL is the one of a disk, and nothing else is at the store but the table of its media.
    fn assert_is_that_of_a_disk(&self, more: &[&str]) {
        let disk = self.workshop.text("disk");
        self.run(&[&["build", &self.pipeline, "--output", &disk, "--quiet", "--fresh"], more].concat(), 0);
        let digests = |contents: Vec<(String, Vec<u8>)>| -> Vec<(String, String)> {
            let compared = contents.into_iter().filter(|(path, _)| path != "build.json");
            compared.map(|(path, bytes)| (path, blake3::hash(&bytes).to_string())).collect()
        };
        assert_eq!(digests(self.objects("")), digests(contents_below(&self.workshop.path("disk"))));
        let work = self.names(".work");
        assert!(matches!(work.as_slice(), [media] if media.starts_with("media-")), "{work:?}");
    }

    /// What was written at the store since this was asked last: the paths below `sets/`, in order.
    fn written(&self) -> Vec<String> {
        let is_written = |answer: &Answer| answer.method == "PUT" && answer.status == 200;
        let answers = self.server.answers().into_iter().filter(is_written);
        answers.map(|answer| answer.path.strip_prefix("bucket/sets/").unwrap().to_owned()).collect()
    }

    /// The shards on this machine.
    fn local_shards(&self) -> Vec<String> {
        let files = contents_below(&self.workshop.path("work")).into_iter().map(|(name, _)| name);
        files.filter(|name| has_ending(name, "tar") || name.contains("-parquet.parquet")).collect()
    }

    fn facts(&self, field: &str) -> u64 {
        let facts = fs::read(self.workshop.path("store/bucket/sets/t/build.json")).unwrap();
        serde_json::from_slice::<Value>(&facts).unwrap()["work"][field].as_u64().unwrap()
    }

    fn plan(&self) -> PathBuf {
        let entries = fs::read_dir(self.workshop.path("work")).unwrap().map(|entry| entry.unwrap().path());
        entries.into_iter().find(|path| path.join("plan.json").exists()).unwrap()
    }
}

fn has_ending(path: &str, ending: &str) -> bool {
    path.rsplit('.').next() == Some(ending)
}

/// The shards among some paths that were sent.
fn sent(written: &[String]) -> Vec<&str> {
    let is_shard = |path: &&String| path.starts_with("t.work/plan-") && !has_ending(path, "json");
    let mut sent: Vec<&str> = written.iter().filter(is_shard).map(String::as_str).collect();
    sent.sort_unstable();
    sent
}

#[test]
fn shards_are_sent_before_they_have_names_and_the_manifest_comes_last() {
    let store = Store::new(5);
    let printed = store.build(&[], 0);
    assert!(printed.contains("published: ") && printed.contains(URL), "{printed}");
    let written = store.written();
    let sent = sent(&written);
    assert_eq!(sent.len(), 6, "{written:?}");
    let first_of_dataset = written.iter().position(|path| path.starts_with("t/")).unwrap();
    assert!(written[first_of_dataset..].iter().all(|path| path.starts_with("t/")), "{written:?}");
    assert_eq!(written.last().unwrap(), "t/manifest.json");
    store.assert_is_that_of_a_disk(&[]);
    store.server.answers();
    let printed = store.build(&[], 0);
    assert!(printed.contains("nothing to do") && printed.contains(URL), "{printed}");
    assert_eq!(store.written(), [] as [&str; 0]);
    let verified = store.run(&["verify", URL, "--quiet"], 0);
    assert!(verified.starts_with("ok"), "{verified}");
}

#[test]
fn a_shard_that_is_gone_from_the_store_is_made_again() {
    let store = Store::new(5);
    store.build(&[], 0);
    let shard = store.names("").into_iter().find(|name| has_ending(name, "tar")).unwrap();
    let path = store.workshop.path("store/bucket/sets/t").join(shard);
    fs::remove_file(&path).unwrap();
    assert!(!store.build(&[], 0).contains("nothing to do"));
    store.assert_is_that_of_a_disk(&[]);
    fs::write(&path, b"cut").unwrap();
    assert!(!store.build(&[], 0).contains("nothing to do"));
    store.assert_is_that_of_a_disk(&[]);
    assert!(store.build(&[], 0).contains("nothing to do"));
}

#[test]
fn a_build_whose_store_fails_goes_on_and_sends_nothing_twice() {
    let store = Store::new(9);
    let mut written = Vec::new();
    // The last shard, the last report, a copy, a file, the manifest.
    for refused in ["000004-webdataset.tar", "000004.json", "t/parquet/", "t/README.md", "t/manifest.json"] {
        store.server.refuse(refused, 403);
        let error = store.build(&[], 2);
        assert!(error.contains(refused), "{error}");
        assert!(!store.names("").contains(&"manifest.json".to_owned()));
        written.extend(store.written());
    }
    assert!(store.local_shards().is_empty(), "{:?}", store.local_shards());
    store.server.refuse_nothing();
    store.build(&[], 0);
    written.extend(store.written());
    let (number, mut sent) = (10, sent(&written));
    assert_eq!(sent.len(), number, "{sent:?}");
    sent.dedup();
    assert_eq!(sent.len(), number);
    store.assert_is_that_of_a_disk(&[]);
}

#[test]
fn a_shard_that_was_damaged_here_before_it_was_sent_is_made_again() {
    let store = Store::new(5);
    store.server.refuse("000001-webdataset.tar", 403);
    store.build(&[], 2);
    let name = store.local_shards().into_iter().find(|name| name.ends_with("000001-webdataset.tar")).unwrap();
    let path = store.workshop.path("work").join(name);
    // A disk that returns other bytes changes neither size nor times.
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[700] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
    store.server.refuse_nothing();
    store.build(&[], 0);
    store.assert_is_that_of_a_disk(&[]);
}

#[test]
fn a_build_goes_on_without_the_work_directory_of_the_one_that_was_interrupted() {
    let store = Store::new(9);
    store.server.refuse("t/", 403);
    // Reading the manifest there fails first.
    store.build(&[], 2);
    store.server.refuse("t/manifest.json", 403);
    store.server.refuse("000003-", 403);
    store.build(&[], 2);
    let before = store.names(".work");
    assert!(before.len() >= 6, "{before:?}");
    fs::remove_dir_all(store.workshop.path("work")).unwrap();
    store.server.refuse_nothing();
    store.written();
    store.build(&[], 0);
    let written = store.written();
    assert!(
        sent(&written).iter().all(|path| !before.iter().any(|name| path.ends_with(name))),
        "{written:?} {before:?}"
    );
    store.assert_is_that_of_a_disk(&[]);
}

#[test]
fn a_change_reuses_what_the_url_has_and_copies_equal_shards_there() {
    let store = Store::new(9);
    store.build(&[], 0);
    fs::remove_dir_all(store.workshop.path("work")).unwrap();
    store.server.answers();
    let fewer = ["--set", "source.pictures.take=6"];
    store.build(&fewer, 0);
    assert_eq!((store.facts("num_samples_reused"), store.facts("num_samples_made")), (6, 0));
    let answers = store.server.answers();
    let read: usize =
        answers.iter().filter(|answer| has_ending(&answer.path, "tar")).map(|answer| answer.num_bytes).sum();
    let tars = store.objects("").into_iter().filter(|(name, _)| has_ending(name, "tar"));
    let size: usize = tars.map(|(_, bytes)| bytes.len()).sum();
    assert!(read > 0 && read < 2 * size, "{read} of {size}");
    store.assert_is_that_of_a_disk(&fewer);
    // The same dataset with another account: no shard is sent.
    fs::remove_dir_all(store.workshop.path("work")).unwrap();
    let again = [&fewer[..], &["--fresh"]].concat();
    store.server.answers();
    store.build(&again, 0);
    assert_eq!(store.facts("num_samples_reused"), 0);
    store.assert_is_that_of_a_disk(&fewer);
    // Rejects over the budget replace nothing.
    let before = store.objects("");
    fs::write(store.workshop.path("media/0.jpg"), "no picture").unwrap();
    let error = store.build(&[], 3);
    assert!(error.contains("nothing was published"), "{error}");
    assert!(store.objects("") == before, "{:?}", store.names(""));
    store.build(&["--accept-rejects"], 0);
    store.assert_is_that_of_a_disk(&["--accept-rejects"]);
}

#[test]
fn what_other_builds_left_is_removed_by_the_next_one() {
    let store = Store::new(5);
    store.workshop.write("store/bucket/sets/t.work/plan-0123/000000-webdataset.tar", "left");
    store.server.refuse("000002-", 403);
    store.build(&[], 2);
    let left = store.names(".work");
    assert!(left.len() > 2 && left.iter().all(|name| !name.starts_with("plan-0123")), "{left:?}");
    store.server.refuse_nothing();
    // What was sent for another plan is reused: all samples but those of the shard that was not sent.
    let other = ["--set", "output.max_shard_samples=3"];
    store.build(&other, 0);
    assert!(store.facts("num_samples_reused") >= 2, "{}", store.facts("num_samples_reused"));
    store.assert_is_that_of_a_disk(&other);
    store.workshop.write("store/bucket/sets/t.work/plan-0123/000000-webdataset.tar", "left");
    store.build(&other, 0);
    assert_eq!(store.names(".work").len(), 2, "where nothing is to do, another machine may be building");
    store.build(&[], 0);
    assert_eq!(store.names(".work").len(), 1);
}

#[test]
fn workers_send_their_own_shards() {
    let store = Store::new(5);
    store.call("plan", &[], 0);
    let plan = store.plan().display().to_string();
    store.run(&["task", &plan, "0-2", "--quiet"], 0);
    assert_eq!(sent(&store.written()).len(), 6);
    assert!(store.local_shards().is_empty());
    // A shard that somebody removed there is made again.
    let lost = store.names(".work").into_iter().find(|name| name.ends_with("000001-webdataset.tar")).unwrap();
    fs::remove_file(store.workshop.path("store/bucket/sets/t.work").join(lost)).unwrap();
    store.run(&["run", &plan, "--quiet"], 0);
    assert_eq!(sent(&store.written()).len(), 1);
    store.assert_is_that_of_a_disk(&[]);
    for file in contents_below(&store.workshop.path("store")) {
        assert!(!String::from_utf8_lossy(&file.1).contains("hush"), "{}", file.0);
    }
}

#[test]
fn machines_that_share_no_disk_find_the_plan_at_the_store() {
    let store = Store::new(5);
    store.call("plan", &[], 0);
    let plan = store.plan();
    let plan = plan.to_str().unwrap();
    let script = store.run(&["run", plan, "--engine", "slurm", "--no-shared-disk", "--print"], 0);
    let url = format!("{URL}.work/{}", plan.rsplit_once('/').unwrap().1);
    assert!(script.contains(&format!("task {url} ")) && !script.contains(plan), "{script}");
    assert_eq!(store.written().iter().filter(|path| has_ending(path, "jsonl")).count(), 3, "the lists of samples");
    // A machine that has neither the plan nor, at first, a medium.
    fs::rename(store.workshop.path("work"), store.workshop.path("elsewhere")).unwrap();
    fs::rename(store.workshop.path("media"), store.workshop.path("unmounted")).unwrap();
    let error = store.run(&["task", &url, "0-2", "--quiet"], 1);
    assert!(error.contains("cannot open on this machine"), "{error}");
    let is_note = |name: &String| name.contains("/failed/");
    assert_eq!(store.names(".work").iter().filter(|name| is_note(name)).count(), 1);
    fs::rename(store.workshop.path("unmounted"), store.workshop.path("media")).unwrap();
    store.run(&["task", &url, "0-2", "--quiet"], 0);
    assert!(!store.names(".work").iter().any(is_note), "it is forgotten");
    assert_eq!(sent(&store.written()).len(), 6);
    fs::rename(store.workshop.path("elsewhere"), store.workshop.path("work")).unwrap();
    assert!(store.local_shards().is_empty());
    store.run(&["commit", plan, "--quiet"], 0);
    store.build(&[], 0);
    store.assert_is_that_of_a_disk(&[]);
    let to_a_disk = ["build", &store.pipeline, "--engine", "slurm", "--no-shared-disk", "--quiet", "--fresh"];
    let error = store.run(&to_a_disk, 2);
    assert!(error.contains("need a disk that all machines see"), "{error}");
}

#[test]
fn what_another_machine_left_in_the_middle_is_taken_over_where_that_is_asked_for() {
    let store = Store::new(5);
    let claim = |name: &str| format!("{{\"name\":\"{name}\",\"manifest\":\"{}\"}}", "0".repeat(64));
    store.workshop.write("store/bucket/sets/t/upload.json", claim("other"));
    let error = store.build(&[], 2);
    assert!(error.contains("\"other\"") && error.contains("--take-over"), "{error}");
    assert_eq!(store.written(), [] as [&str; 0], "nothing was made for it");
    // One of this name may be this dataset, which is known when it is made.
    store.workshop.write("store/bucket/sets/t/upload.json", claim("t"));
    let error = store.build(&[], 2);
    let (warned, refused) = error.split_once("another upload").unwrap();
    assert!(warned.contains("WARN") && refused.contains("\"t\"") && refused.contains("--take-over"), "{error}");
    assert_eq!(sent(&store.written()).len(), 6);
    // The shards are there, and a build with another work directory goes on with them.
    fs::rename(store.workshop.path("work"), store.workshop.path("elsewhere")).unwrap();
    store.build(&["--take-over"], 0);
    assert_eq!(sent(&store.written()), Vec::<&str>::new());
    store.assert_is_that_of_a_disk(&[]);
}

#[test]
fn a_url_that_cannot_take_the_dataset_is_found_before_anything_is_made() {
    let store = Store::new(3);
    store.build(&[], 0);
    for more in [&["--set", "name=other"][..], &["--set", "name=other", "--fresh"]] {
        let error = store.build(more, 2);
        assert!(error.contains("\"t\"") && error.contains("--replace"), "{error}");
    }
    let bucket = store.run(&["build", &store.pipeline, "--output", "s3://bucket", "--quiet"], 2);
    assert!(bucket.contains("whole bucket"), "{bucket}");
    let bucket = store.run(&["check", &store.pipeline, "--set", "output.directory=s3://bucket/"], 2);
    assert!(bucket.contains("whole bucket"), "{bucket}");
    let large = ["check", &store.pipeline, "--set", "output.directory=s3://b/x", "--set", "output.max_shard_mib=5000"];
    assert!(store.run(&large, 2).contains("at most 4096"));
    store.build(&["--set", "name=other", "--replace"], 0);
    let (disk, named) = (store.workshop.text("disk"), "s3://bucket/sets/named");
    store.run(&["build", &store.pipeline, "--output", &disk, "--quiet"], 0);
    store.run(&["upload", &disk, named, "--names", "content", "--quiet"], 0);
    store.written();
    let error = store.run(&["build", &store.pipeline, "--output", named, "--replace", "--quiet"], 2);
    assert!(error.contains("digests") && store.written().is_empty(), "{error}");
    store.server.refuse("bucket", 403);
    let error = store.build(&["--fresh"], 2);
    assert!(error.contains(URL), "{error}");
}
