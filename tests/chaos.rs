//! Promise: whatever happens to a build, the next one ends with the bytes of a calm one. `make chaos` does it a hundred times.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::determinism::{files_of, num_done, workshop};
use crate::support::{Built, Workshop, llava, manyframe, photo, root, run, stdout};

/// How much of everything: a short form for `make test`, a long one for `make chaos`.
pub(crate) fn amount(short: usize, long: usize) -> usize {
    if std::env::var_os("MANYFRAME_CHAOS").is_some() { long } else { short }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A workshop and what a calm build of it consists of.
struct Calm {
    workshop: Workshop,
    pipeline: String,
    files: Vec<(String, String)>,
    elapsed: Duration,
}

impl Calm {
    fn new(num_records: u32) -> Self {
        let workshop = workshop(num_records);
        let started = Instant::now();
        let files = files_of(&workshop.build().dataset);
        Self { pipeline: workshop.pipeline(), workshop, files, elapsed: started.elapsed() }
    }

    fn arguments<'a>(&'a self, out: &'a str) -> [&'a str; 7] {
        ["build", &self.pipeline, "--output", out, "--quiet", "--threads", "2"]
    }

    /// The build ends well, with the bytes of the calm one, and leaves nothing half done.
    fn finish(&self, out: &Path) {
        let text = out.display().to_string();
        run(&self.arguments(&text), 0);
        self.check(out);
    }

    fn check(&self, out: &Path) {
        assert_eq!(files_of(out), self.files, "{}", out.display());
        let work = out.with_extension("work");
        let left = files_below(&work)
            .into_iter()
            .chain(files_below(out))
            .filter(|path| Path::new(path).extension().is_some_and(|extension| extension == "tmp"));
        assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
    }
}

pub(crate) fn files_below(directory: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for path in fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path.display().to_string()) }
    }
    files.sort();
    files
}

#[test]
fn builds_that_are_killed_at_random_moments_end_with_the_bytes_of_a_calm_one() {
    let calm = Calm::new(60);
    let (num_kills, mut dice) = (amount(10, 100), Dice(12));
    let (mut num_running, mut num_builds) = (0, 0);
    let out = calm.workshop.path("killed");
    let text = out.display().to_string();
    for kill in 0..num_kills {
        // Half of the time the build goes on where the last one was killed, so that its end is reached, too.
        if kill % 2 == 0 {
            _ = fs::remove_dir_all(&out);
            _ = fs::remove_dir_all(out.with_extension("work"));
            num_builds += 1;
        }
        let mut child = manyframe(&calm.arguments(&text)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // What goes on has less to do.
        let longest = calm.elapsed.as_micros() as u64 / (2 + 4 * (kill as u64 % 2));
        let moment = Duration::from_micros(dice.below(longest + 1));
        let started = Instant::now();
        while child.try_wait().unwrap().is_none() && started.elapsed() < moment {
            std::thread::sleep(Duration::from_millis(1));
        }
        num_running += usize::from(child.try_wait().unwrap().is_none());
        // By a signal that can be caught, or by one that cannot.
        let signal = if dice.below(3) == 0 { "TERM" } else { "KILL" };
        _ = Command::new("kill").args(["-s", signal, &child.id().to_string()]).stderr(Stdio::null()).status();
        child.wait().unwrap();
        if kill % 2 == 1 {
            calm.finish(&out);
        }
    }
    Built::read(&out).verify();
    println!("kills: {num_running} of {num_kills} while a build ran, {num_builds} builds finished as if calm");
    assert!(num_running * 2 >= num_kills, "only {num_running} of {num_kills} builds were killed while they ran");
}

#[test]
fn a_worker_whose_supervisor_was_killed_while_it_began_ends() {
    use std::os::fd::AsRawFd;
    let mut workshop = Workshop::new();
    workshop.write("media/0.jpg", photo(0, 80, 60));
    workshop.add_source("a", "llava", &json!([llava("0", "0.jpg")]), "");
    let (pipeline, out) = (workshop.pipeline(), workshop.text("out"));
    let notes = rustix::fs::memfd_create("manyframe-notes", rustix::fs::MemfdFlags::empty()).unwrap();
    let orders = |notes: i32| {
        json!({ "supervisor": u32::MAX, "notes": notes, "verdicts": notes, "stage": 0, "resumes": false }).to_string()
    };
    let status = |notes: i32| {
        let mut command = manyframe(&["build", &pipeline, "--output", &out, "--quiet"]);
        command.env("MANYFRAME_ORDERS", orders(notes)).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
    };
    assert_eq!(status(notes.as_raw_fd()).code(), Some(1));
    assert!(!workshop.path("out.work").exists() && !workshop.path("out").exists());
    // Orders that were left in the environment are none.
    assert!(status(i32::MAX).success());
}

#[test]
fn a_task_that_is_killed_goes_on_within_its_shard() {
    let mut workshop = Workshop::new();
    let num_records = amount(24, 200) as u32;
    for number in 0..num_records {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 800, 600));
    }
    let records: Vec<Value> = (0..num_records).map(|n| llava(&format!("r{n}"), &format!("{n}.jpg"))).collect();
    workshop.add_source("a", "llava", &json!(records), "visuals = \"tiled\"");
    let expected = files_of(&workshop.build().dataset);
    let (pipeline, out) = (workshop.pipeline(), workshop.text("killed"));
    let plan: Value =
        serde_json::from_str(&stdout(&["plan", &pipeline, "--output", &out, "--json", "--quiet"])).unwrap();
    assert_eq!(plan["tasks"].as_array().unwrap().len(), 1);
    let directory = plan["plan"].as_str().unwrap();
    let task = ["task", directory, "0", "--quiet", "--threads", "1"];
    let journal = |number: usize| Path::new(directory).join(format!("journal/000000-{number}.journal"));
    let num_bytes = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());

    // Killed after a quarter and after half of the work: what is in a journal is not made again.
    let mut first_bytes = 0;
    for number in 0..2 {
        let mut child = manyframe(&task).stdout(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        let quarter = plan["tasks"][0]["estimated_bytes"].as_u64().unwrap() / 8;
        while num_bytes(&journal(number)) < quarter {
            assert!(child.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_mins(2));
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        first_bytes += num_bytes(&journal(number));
    }
    // The photos that are in the journal can go: nobody decodes them again.
    let kept = num_journaled(&journal(0)) + num_journaled(&journal(1));
    assert!(kept > 2, "{kept} visuals in {first_bytes} bytes");
    let tasks = fs::read_to_string(Path::new(directory).join("tasks/000000.jsonl")).unwrap();
    let annotations = fs::read(workshop.path("a.json")).unwrap();
    for line in tasks.lines().take(kept) {
        let sample: Value = serde_json::from_str(line).unwrap();
        let position = &sample["origin"]["position"]["bytes"];
        let (offset, length) = (position["offset"].as_u64().unwrap() as usize, position["num_bytes"].as_u64().unwrap());
        let record: Value = serde_json::from_slice(&annotations[offset..offset + length as usize]).unwrap();
        fs::remove_file(workshop.path("media").join(record["image"].as_str().unwrap())).unwrap();
    }
    run(&task, 0);
    run(&["commit", directory, "--quiet"], 0);
    assert_eq!(files_of(&workshop.path("killed")), expected);
    println!("journal: {kept} of {num_records} tiled images survived two kills within one shard");
}

#[test]
fn an_index_that_is_killed_goes_on_within_its_file() {
    let mut workshop = Workshop::new();
    let num_records = 40;
    for number in 0..num_records {
        let mut bytes = photo(number, 60, 40);
        bytes.extend(b"FAULT:slow");
        workshop.write(&format!("media/{number}.jpg"), bytes);
    }
    let records: Vec<Value> = (0..num_records).map(|n| llava(&format!("r{n}"), &format!("{n}.jpg"))).collect();
    workshop.add_source("a", "llava", &json!(records), "");
    let (pipeline, library) = (workshop.pipeline(), crate::robustness::faults(&workshop));
    let plan = |out: &str, log: &str| {
        let program = manyframe(&["plan", &pipeline, "--output", out, "--json", "--quiet", "--threads", "1"]);
        let mut command = Command::new(program.get_program());
        command.args(program.get_args()).current_dir(root()).stdout(Stdio::piped());
        command.env("LD_PRELOAD", &library).env("FAULT_LOG", workshop.path(log));
        command
    };
    let num_read = |log: &str| fs::metadata(workshop.path(log)).map_or(0, |metadata| metadata.len());
    let key = |output: Output| {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        Path::new(plan["plan"].as_str().unwrap()).file_name().unwrap().to_owned()
    };
    let calm = key(plan(&workshop.text("calm"), "calm.log").output().unwrap());
    let out = workshop.text("killed");
    let mut child = plan(&out, "first.log").spawn().unwrap();
    let has_part = || files_below(&workshop.path("killed.work")).iter().any(|path| path.ends_with(".part0.seal.json"));
    let started = Instant::now();
    while !has_part() {
        assert!(child.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(key(plan(&out, "second.log").output().unwrap()), calm);
    let (first, second, all) = (num_read("first.log"), num_read("second.log"), num_read("calm.log"));
    println!("index: {all} reads in a calm one, {first} before a kill, {second} after it");
    assert!(second < all && first + second < all + all / 4, "{first} + {second} of {all} reads");
    let left = files_below(&workshop.path("killed.work/index")).into_iter().filter(|path| path.contains(".part"));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
}

/// Visuals in a journal, the last of which may be cut short.
fn num_journaled(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap();
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let (mut at, mut count) = (0, 0);
    while at + 32 <= bytes.len() && at + 32 + number(at + 8) + number(at + 16) <= bytes.len() {
        at += 32 + number(at + 8) + number(at + 16);
        count += 1;
    }
    count
}

/// Runs a script in a mount namespace of its own; `None` if this system does not allow that.
fn in_own_mounts(script: &str, arguments: &[&str]) -> Option<Output> {
    let probe = "mount -t tmpfs none /mnt";
    for flags in ["-m", "-Urm"] {
        let unshare = |script: &str| {
            let mut command = Command::new("unshare");
            command.args([flags, "sh", "-c", script, "sh"]).args(arguments).current_dir(root());
            command.output()
        };
        if unshare(probe).is_ok_and(|output| output.status.success()) {
            return Some(unshare(script).unwrap());
        }
    }
    manyframe_skip::note_unasked("this system allows no mounts; limits of file sizes are tested instead");
    None
}

#[test]
fn a_full_disk_is_an_error_and_the_build_goes_on_once_there_is_space() {
    let calm = Calm::new(60);
    let whole: u64 = files_below(&calm.workshop.path("out")).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    let (num_disks, mut num_full) = (amount(1, 20) as u64, 0);
    for disk in 0..num_disks {
        // From a tenth of what the dataset needs to all of it; the work needs some more.
        let kib = whole / 1024 * (10 + 90 * disk / num_disks) / 100;
        let directory = calm.workshop.path(&format!("disk{disk}"));
        fs::create_dir_all(&directory).unwrap();
        let program = env!("CARGO_BIN_EXE_manyframe");
        let script = format!(
            "mount -t tmpfs -o size={kib}k none \"$1\" || exit 99\n\
             \"$2\" build \"$3\" --output \"$1/out\" --threads 2 2>\"$4.stderr\"; echo $? >\"$4.code\"\n\
             test ! -e \"$1/out\" || exit 98\n\
             mount -o remount,size=1g \"$1\" || exit 97\n\
             \"$2\" build \"$3\" --output \"$1/out\" --quiet --threads 2 && cp -r \"$1/out\" \"$4\""
        );
        let (at, result) = (directory.display().to_string(), calm.workshop.text(&format!("from{disk}")));
        let Some(output) = in_own_mounts(&script, &[&at, program, &calm.pipeline, &result]) else { return };
        assert!(output.status.success(), "{kib} KiB: {:?}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        assert_eq!(fs::read_to_string(format!("{result}.code")).unwrap(), "1\n", "{kib} KiB");
        let stderr = fs::read_to_string(format!("{result}.stderr")).unwrap();
        assert!(stderr.contains("No space left on device"), "{kib} KiB: {stderr}");
        num_full += usize::from(stderr.contains("the disk is too small for the shards"));
        assert_eq!(files_of(Path::new(&result)), calm.files, "{kib} KiB");
    }
    println!("full disks: {num_disks}, {num_full} of them announced before the run; all builds finished as if calm");
    assert!(num_full > 0);
}

#[test]
fn a_limit_of_file_sizes_is_an_error_and_the_build_goes_on_without_it() {
    let calm = Calm::new(60);
    let largest = files_below(&calm.workshop.path("out")).iter().map(|path| fs::metadata(path).unwrap().len()).max();
    let num_limits = amount(2, 25) as u64;
    for number in 0..num_limits {
        let limit = largest.unwrap() * (1 + 9 * number / num_limits) / 10;
        let out = calm.workshop.path(&format!("limited{number}"));
        let text = out.display().to_string();
        let program = manyframe(&calm.arguments(&text));
        let mut limited = Command::new("prlimit");
        limited.arg(format!("--fsize={limit}")).arg(program.get_program()).args(program.get_args());
        let output = limited.current_dir(root()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{limit} bytes: {stderr}");
        assert!(stderr.contains("File too large"), "{limit} bytes: {stderr}");
        assert!(!out.exists());
        calm.finish(&out);
    }
    println!("limits of file sizes: {num_limits}; all builds finished as if calm");
}

/// Damages to a file: cut in half, emptied, a bit flipped in the middle, one near its start.
const DAMAGES: [fn(&mut Vec<u8>); 4] = [
    |bytes| bytes.truncate(bytes.len() / 2),
    Vec::clear,
    |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x04;
    },
    |bytes| bytes[0] ^= 0x01,
];

#[test]
fn damaged_work_is_noticed_and_made_again() {
    let calm = Calm::new(60);
    let (saved, out) = (calm.workshop.path("saved.work"), calm.workshop.path("damaged"));
    let (work, text) = (out.with_extension("work"), out.display().to_string());
    // A build that is cut short when some of its tasks are done.
    let mut child = manyframe(&calm.arguments(&text)).stdout(Stdio::null()).spawn().unwrap();
    while child.try_wait().unwrap().is_none() && num_done(&work) < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::rename(&work, &saved).unwrap();
    let kinds = by_kind(&saved, files_below(&saved));
    let mut num_damaged = 0;
    for (number, (kind, path)) in kinds.iter().enumerate() {
        // In the short form, a kind is damaged in one way.
        for damage in DAMAGES.iter().cycle().skip(number).take(amount(1, DAMAGES.len())) {
            _ = fs::remove_dir_all(&out);
            _ = fs::remove_dir_all(&work);
            copy_directory(&saved, &work);
            let mut bytes = fs::read(path).unwrap();
            damage(&mut bytes);
            fs::write(work.join(path.strip_prefix(&saved).unwrap()), &bytes).unwrap();
            num_damaged += 1;
            let output = manyframe(&calm.arguments(&text)).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{kind}: {stderr}");
            assert_eq!(files_of(&out), calm.files, "{kind}");
        }
    }
    println!("damaged files: {num_damaged} of {} kinds; all builds finished as if calm", kinds.len());
    assert!(kinds.len() >= 9, "{kinds:?}");
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { copy_directory(&entry.path(), &target) } else { _ = fs::copy(entry.path(), target) }
    }
}

/// One file of each kind below a directory of work: the names of a kind differ in hexadecimal digits. Empty ones cannot be damaged.
fn by_kind(work: &Path, files: Vec<String>) -> BTreeMap<String, PathBuf> {
    let mut kinds = BTreeMap::new();
    for file in files {
        let path = Path::new(&file).strip_prefix(work).unwrap();
        let is_letter = |c: &char| !c.is_ascii_digit() && !matches!(c, 'a'..='f');
        let kind: String = path.display().to_string().chars().filter(is_letter).collect();
        if fs::metadata(&file).unwrap().len() == 0 {
            continue;
        }
        kinds.entry(kind).or_insert_with(|| PathBuf::from(&file));
    }
    kinds
}

#[test]
fn an_output_that_may_not_be_written_is_an_error_and_nothing_changes() {
    use std::os::unix::fs::PermissionsExt;
    let calm = Calm::new(20);
    let parent = calm.workshop.path("closed");
    fs::create_dir_all(&parent).unwrap();
    let out = parent.join("out");
    let text = out.display().to_string();
    let set_mode = |mode| fs::set_permissions(&parent, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o555);
    let output = crate::robustness::without_privileges(&calm.arguments(&text)).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"));
    assert!(files_below(&parent).is_empty());
    set_mode(0o755);
    calm.finish(&out);
}

#[test]
fn two_builds_at_once_do_not_disturb_each_other() {
    let calm = Calm::new(40);
    let mut num_refused = 0;
    for round in 0..amount(2, 20) {
        let out = calm.workshop.path(&format!("twice{round}"));
        let text = out.display().to_string();
        let start = || {
            let mut command = manyframe(&calm.arguments(&text));
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let outputs = [start(), start()].map(|child| child.wait_with_output().unwrap());
        let refused = outputs.iter().filter(|output| !output.status.success());
        for output in refused.clone() {
            assert!(String::from_utf8_lossy(&output.stderr).contains("another build of"));
        }
        assert!(refused.clone().count() <= 1);
        num_refused += refused.count();
        calm.check(&out);
    }
    println!("two builds at once: {num_refused} of {} refused, the others found nothing to do", amount(2, 20));
}

#[test]
fn a_clock_that_is_set_back_changes_nothing() {
    let calm = Calm::new(40);
    let out = calm.workshop.path("clock");
    let text = out.display().to_string();
    // Interrupted in 2099, continued today: all that is kept was written in the future.
    let mut child = manyframe(&calm.arguments(&text)).stdout(Stdio::null()).spawn().unwrap();
    while child.try_wait().unwrap().is_none() && num_done(&out.with_extension("work")) < 1 {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let future = std::time::SystemTime::UNIX_EPOCH + Duration::from_mins(68_000_000);
    for file in files_below(&out.with_extension("work")) {
        fs::File::options().write(true).open(file).unwrap().set_modified(future).unwrap();
    }
    calm.finish(&out);
    // A build in 1971, of what was built today.
    let program = manyframe(&calm.arguments(&text));
    let mut past = Command::new(program.get_program());
    past.args(program.get_args()).args(["--set", "seed=4"]).current_dir(root());
    let output =
        past.env("LD_PRELOAD", crate::robustness::faults(&calm.workshop)).env("FAULT_CLOCK", "1971").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = calm.workshop.path("calm4");
    run(&["build", &calm.pipeline, "--output", &expected.display().to_string(), "--quiet", "--set", "seed=4"], 0);
    assert_eq!(files_of(&out), files_of(&expected));
}
