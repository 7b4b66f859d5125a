//! Cached listings of a tar, of any bytes: a damaged one is not believed, and one that is wrong reaches nothing outside of the tar.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use manyframe_core::Digest;
use manyframe_fuzz::root_of;
use manyframe_media::MediaStore;

const MEMBERS: [(&str, &[u8]); 3] = [("one.txt", b"1"), ("two.txt", b"22"), ("folder/three.txt", b"333")];

struct Listed {
    _folder: tempfile::TempDir,
    archive: PathBuf,
    listings: PathBuf,
    listing: PathBuf,
}

/// A tar, and its listing in a folder beside it.
static LISTED: LazyLock<Listed> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (archive, listings) = (folder.path().join("a.tar"), folder.path().join("listings"));
    let mut builder = tar::Builder::new(fs::File::create(&archive).expect("a file"));
    for (name, content) in MEMBERS {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content).expect("space for it");
    }
    builder.finish().expect("space for it");
    MediaStore::open_keeping(&root_of(archive.clone()), &listings).expect("a tar");
    let listing = fs::read_dir(&listings).expect("listings").next().expect("a listing").expect("a name").path();
    Listed { _folder: folder, archive, listings, listing }
});

fuzz_target!(|lines: &[u8]| {
    let with_listing = |listing: &[u8]| {
        fs::write(&LISTED.listing, listing).expect("space for it");
        MediaStore::open_keeping(&root_of(LISTED.archive.clone()), &LISTED.listings).expect("a tar")
    };
    let store = with_listing(lines);
    for (name, content) in MEMBERS {
        assert_eq!(store.locate("", name).expect("a member").read(1 << 10).expect("its bytes"), content);
    }
    let sealed = [lines, format!("end {}\0", Digest::of(lines)).as_bytes()].concat();
    let store = with_listing(&sealed);
    for name in MEMBERS.iter().map(|(name, _)| *name).chain(["", "folder", "../a.tar", "/etc/hostname"]) {
        let Ok(located) = store.locate("", name) else { continue };
        assert!(located.read(1 << 10).map_or(0, |bytes| bytes.len()) <= 1 << 10, "more than was allowed");
    }
});
