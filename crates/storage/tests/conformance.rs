//! Promise: every storage does the same. A new one gets a line in `storages`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails at once, and says where")]

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use manyframe_base::write_atomic;
use manyframe_core::Digest;
use manyframe_storage::{Condition, Flow, Part, Storage, StoreOptions, StoredFile, Written, open};

/// The storages of this machine, and the one that `MANYFRAME_STORAGE` names: `make cluster` runs the suite on its servers.
fn storages() -> Vec<(Option<tempfile::TempDir>, Arc<dyn Storage>)> {
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let options = StoreOptions::from_environment(environment, None);
    let directory = tempfile::tempdir().unwrap();
    let local = open(&directory.path().join("dataset"), &options).unwrap();
    let mut storages = vec![(Some(directory), local), (None, open(Path::new("memory:"), &options).unwrap())];
    #[expect(clippy::disallowed_methods, reason = "`make cluster` says where its server is")]
    if let Ok(url) = std::env::var("MANYFRAME_STORAGE") {
        // Tests run at the same time: each has a place of its own.
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let storage = open(&Path::new(&url).join(test), &options).unwrap();
        for StoredFile { path, .. } in storage.list("").unwrap() {
            storage.remove(&path).unwrap();
        }
        storages.push((None, storage));
    }
    storages
}

fn on_each(check: impl Fn(&dyn Storage)) {
    for (_directory, storage) in storages() {
        println!("{}", storage.location().display());
        check(&*storage);
    }
}

#[test]
fn what_is_written_is_read_whole_and_in_ranges() {
    on_each(|storage| {
        assert_eq!(storage.state("a/b.txt").unwrap(), None);
        storage.write("a/b.txt", b"before").unwrap();
        storage.write("a/b.txt", b"0123456789").unwrap();
        assert_eq!(storage.num_bytes("a/b.txt").unwrap(), Some(10));
        assert_eq!(storage.num_bytes("a").unwrap(), None);
        assert_eq!(storage.read("a/b.txt").unwrap(), b"0123456789");
        assert_eq!(storage.read_range("a/b.txt", 3..6).unwrap(), b"345");
        assert_eq!(storage.read_range("a/b.txt", 10..10).unwrap(), b"");
        assert_eq!(storage.digest("a/b.txt").unwrap(), Digest::of(b"0123456789"));
    });
}

#[test]
fn an_open_file_is_read_at_any_position() {
    on_each(|storage| {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        storage.write("large", &bytes).unwrap();
        let file = storage.open("large").unwrap();
        assert_eq!((file.num_bytes(), file.path()), (bytes.len() as u64, &*storage.location().join("large")));
        let mut found = Vec::new();
        file.reader(0).read_to_end(&mut found).unwrap();
        assert_eq!(found, bytes);
        for start in [2_999_990, 5, 1_500_000, 1_500_010, 0] {
            let mut found = [0; 10];
            file.bytes().read_exact_at(&mut found, start as u64).unwrap();
            assert_eq!(found, bytes[start..start + 10]);
        }
        let error = file.bytes().read_exact_at(&mut [0; 10], 2_999_995).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_range_beyond_the_end_and_a_missing_file_are_errors() {
    on_each(|storage| {
        storage.write("a.txt", b"0123").unwrap();
        assert_eq!(storage.read_range("a.txt", 2..5).unwrap_err().source.kind(), io::ErrorKind::UnexpectedEof);
        let missing =
            [storage.read("b.txt").err(), storage.digest("b.txt").err(), storage.open("b.txt").map(drop).err()];
        for error in missing {
            let error = error.unwrap();
            assert_eq!(error.source.kind(), io::ErrorKind::NotFound);
            assert_eq!(error.path, storage.location().join("b.txt"));
        }
        storage.remove("b.txt").unwrap();
    });
}

#[test]
fn files_are_listed_in_order_with_their_sizes() {
    on_each(|storage| {
        assert_eq!(storage.list("").unwrap(), []);
        for (path, bytes) in [("z.txt", &b"1"[..]), ("a/c.txt", b"22"), ("a/b/d.txt", b""), ("ab.txt", b"4444")] {
            storage.write(path, bytes).unwrap();
        }
        let paths = |directory| -> Vec<(String, u64)> {
            storage.list(directory).unwrap().into_iter().map(|file| (file.path, file.num_bytes)).collect()
        };
        let all = [("a/b/d.txt", 0), ("a/c.txt", 2), ("ab.txt", 4), ("z.txt", 1)];
        let all = all.map(|(path, size)| (path.to_owned(), size));
        assert_eq!(paths(""), all);
        assert_eq!(paths("a"), all[..2]);
        assert_eq!(paths("none"), []);
        storage.remove("a/c.txt").unwrap();
        assert_eq!(paths("a"), all[..1]);
    });
}

#[test]
fn of_several_writers_of_a_new_file_one_succeeds() {
    on_each(|storage| {
        let write = |number: u8| storage.write_if("claim", &[number], &Condition::Absent).unwrap();
        let written: Vec<Written> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8).map(|number| scope.spawn(move || write(number))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let winners: Vec<u8> =
            (0..).zip(&written).filter(|(_, written)| **written == Written::Done).map(|(number, _)| number).collect();
        assert_eq!(winners.len(), 1, "{written:?}");
        assert_eq!(storage.read("claim").unwrap(), winners);
    });
}

#[test]
fn a_file_is_replaced_only_if_it_is_the_version_that_was_seen() {
    on_each(|storage| {
        storage.write("manifest", b"first").unwrap();
        let Some(first) = storage.state("manifest").unwrap().unwrap().version else { return };
        let unchanged = Condition::Unchanged(first);
        assert_eq!(storage.write_if("manifest", b"second", &unchanged).unwrap(), Written::Done);
        assert_eq!(storage.write_if("manifest", b"third", &unchanged).unwrap(), Written::Refused);
        assert_eq!(storage.read("manifest").unwrap(), b"second");
        storage.remove("manifest").unwrap();
        assert_eq!(storage.write_if("manifest", b"fourth", &unchanged).unwrap(), Written::Refused);
    });
}

#[test]
fn a_file_of_this_machine_is_copied_in() {
    let directory = tempfile::tempdir().unwrap();
    let original = directory.path().join("original");
    let bytes = vec![7; (9 << 20) + 3];
    write_atomic(&original, &bytes).unwrap();
    on_each(|storage| {
        storage.copy_in(&original, "webdataset/text/000000.tar").unwrap();
        assert_eq!(storage.digest("webdataset/text/000000.tar").unwrap(), Digest::of(&bytes));
        assert!(original.exists());
    });
}

#[test]
fn a_file_of_the_same_store_is_copied_with_what_is_beside_it() {
    on_each(|storage| {
        storage.write("before/a", b"bytes").unwrap();
        storage.write("after/b", b"other").unwrap();
        storage.copy_from(&storage.full_path("before/a"), "after/b").unwrap();
        assert_eq!(storage.read("after/b").unwrap(), b"bytes");
        assert_eq!(
            storage.state("after/b").unwrap().unwrap().digest,
            storage.state("before/a").unwrap().unwrap().digest
        );
        let missing = storage.copy_from(&storage.full_path("before/c"), "after/c").unwrap_err();
        assert_eq!(missing.source.kind(), io::ErrorKind::NotFound);
        assert_eq!(storage.state("after/c").unwrap(), None);
        if storage.local_path("a").is_err() {
            let elsewhere = storage.copy_from(Path::new("gs://elsewhere/a"), "after/c").unwrap_err();
            assert_eq!(elsewhere.source.kind(), io::ErrorKind::Unsupported);
        }
    });
}

#[test]
fn parts_become_a_file_when_they_are_finished_and_not_before() {
    const PART_BYTES: usize = 5 << 20;
    on_each(|storage| {
        let Some(parts) = storage.parts() else { return };
        let bytes: Vec<u8> = (0..2 * PART_BYTES + 10).map(|position| (position % 253) as u8).collect();
        let digest = Digest::of(&bytes);
        let transfer = parts.begin("large", digest).unwrap();
        let part = |index, bytes: &[u8]| Part { index, bytes: bytes.to_vec().into(), flow: Flow::free() };
        // In any order; one of them again, as after an interruption.
        let mut ids = vec![String::new(); 3];
        for index in [2, 0, 1, 1] {
            let part = part(index, bytes.chunks(PART_BYTES).nth(index).unwrap());
            ids[index] = parts.send("large", &transfer, part).unwrap();
        }
        assert_eq!(storage.state("large").unwrap(), None);
        parts.finish("large", &transfer, ids).unwrap();
        let state = storage.state("large").unwrap().unwrap();
        assert_eq!(state.num_bytes, bytes.len() as u64);
        assert!(state.digest.is_none_or(|found| found == digest));
        assert_eq!(storage.digest("large").unwrap(), digest);
        let abandoned = parts.begin("other", digest).unwrap();
        parts.send("other", &abandoned, part(0, &[1])).unwrap();
        parts.abandon("other", &abandoned).unwrap();
        assert_eq!(storage.state("other").unwrap(), None);
    });
}

#[test]
fn a_digest_is_kept_beside_a_file_by_stores_that_can() {
    on_each(|storage| {
        storage.write("a", b"bytes").unwrap();
        let digest = storage.state("a").unwrap().unwrap().digest;
        let is_directory = storage.local_path("a").is_ok();
        assert_eq!(digest, (!is_directory).then(|| Digest::of(b"bytes")));
    });
}

// But for backslashes, which Azure takes for slashes.
#[test]
fn names_are_taken_as_they_are() {
    on_each(|storage| {
        let names = ["50% of it/a%20b.jpg", "a b+c&d.jpg", "~[1] #2?*.jpg", "ä{^}\"`|<>.jpg"];
        for name in names {
            storage.write(name, name.as_bytes()).unwrap();
            storage.copy_from(&storage.full_path(name), &format!("copies/{name}")).unwrap();
        }
        let mut sorted = names.map(str::to_owned).to_vec();
        sorted.sort_unstable();
        let listed = |directory| storage.list(directory).unwrap().into_iter().map(|file| file.path);
        assert_eq!(listed("").filter(|path| !path.starts_with("copies/")).collect::<Vec<_>>(), sorted);
        assert_eq!(listed("copies").map(|path| path["copies/".len()..].to_owned()).collect::<Vec<_>>(), sorted);
        for name in names {
            assert_eq!(storage.read(name).unwrap(), name.as_bytes());
            assert_eq!(storage.state(&format!("copies/{name}")).unwrap().unwrap().num_bytes, name.len() as u64);
        }
        storage.remove(names[0]).unwrap();
        assert_eq!(listed("50% of it").next(), None);
    });
}

#[test]
fn paths_that_leave_the_dataset_are_refused() {
    on_each(|storage| {
        for path in ["", "/etc/passwd", "../a", "a/../b", "a//b", "./a", "a/"] {
            let error = storage.write(path, b"").unwrap_err();
            assert_eq!(error.source.kind(), io::ErrorKind::InvalidInput, "{path:?}");
            assert_eq!(storage.read(path).unwrap_err().source.kind(), io::ErrorKind::InvalidInput, "{path:?}");
        }
    });
}
