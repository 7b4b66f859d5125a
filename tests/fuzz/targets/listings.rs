//! Kept listings of a tar, of any bytes: the members are found as they are, whatever the listing says.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use manyframe_media::{MediaRoot, MediaStore};

const MEMBERS: [(&str, &[u8]); 3] = [("one.txt", b"1"), ("two.txt", b"22"), ("folder/three.txt", b"333")];

/// A tar, beside the folder of its listing.
static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut builder = tar::Builder::new(fs::File::create(folder.path().join("a.tar")).expect("a file"));
    for (name, content) in MEMBERS {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content).expect("space for it");
    }
    builder.finish().expect("space for it");
    folder
});

fuzz_target!(|listing: &[u8]| {
    let (archive, listings) = (FOLDER.path().join("a.tar"), FOLDER.path().join("listings"));
    let open = || MediaStore::open_keeping(&[MediaRoot { subset: None, path: archive.clone(), name: String::new(), links: Vec::new() }], &listings);
    open().expect("a tar");
    let kept = fs::read_dir(&listings).expect("listings").next().expect("a listing").expect("a name").path();
    fs::write(kept, listing).expect("space for it");
    let store = open().expect("a tar");
    for (name, content) in MEMBERS {
        assert_eq!(store.locate("", name).expect("a member").read(1 << 10).expect("its bytes"), content);
    }
});
