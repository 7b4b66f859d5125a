//! A dataset is read back as it was written.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod fixture;

use std::collections::BTreeMap;
use std::path::Path;

use fixture::{id, write_dataset};
use manyframe_base::{FileAccess, write_atomic};
use manyframe_core::{Digest, Layout};
use manyframe_dataset::{
    BUILD_FACTS_FILE, DatasetError, DatasetReader, LedgerRow, MANIFEST_FILE, SampleLocation, SamplePlace, ShardName,
    Status,
};
use manyframe_shards::ShardFormat;

fn dataset() -> (tempfile::TempDir, DatasetReader) {
    let directory = tempfile::tempdir().unwrap();
    write_dataset(directory.path()).unwrap();
    let reader = DatasetReader::open(directory.path()).unwrap();
    (directory, reader)
}

fn rows(reader: &DatasetReader) -> Vec<LedgerRow> {
    reader.ledger().unwrap().collect::<Result<_, _>>().unwrap()
}

/// Replaces a text in a file of the dataset.
fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    write_atomic(path, text.replace(from, to).as_bytes()).unwrap();
}

#[test]
fn every_delivered_sample_is_read_and_no_other() {
    let (_directory, reader) = dataset();
    for row in rows(&reader) {
        let sample = reader.read_sample(&row).unwrap();
        assert_eq!(sample.is_some(), row.status == Status::Delivered);
        if let Some(sample) = sample {
            assert_eq!((sample.id, sample.upstream_id), (row.id, row.upstream_id));
            assert_eq!(sample.images.len() as u64, row.measured.unwrap().0.num_images);
        }
    }
}

#[test]
fn the_shards_of_one_format_hold_every_sample_once_and_entries_are_their_samples() {
    let (_directory, reader) = dataset();
    assert_eq!(reader.manifest().shards.len(), 4);
    let mut ids = Vec::new();
    for shard in reader.shards_of_one_format() {
        assert_eq!(shard.format, ShardFormat::Webdataset);
        let samples: Vec<_> = reader.samples(shard).unwrap().map(|sample| sample.unwrap().id).collect();
        let entries: Vec<_> = reader.sample_entries(shard).unwrap().map(|entry| entry.unwrap().sample.id).collect();
        assert_eq!(samples, entries);
        ids.extend(samples);
    }
    ids.sort_unstable();
    let mut expected = ["hello", "goodbye", "look"].map(id);
    expected.sort_unstable();
    assert_eq!(ids, expected);
}

#[test]
fn samples_are_located_and_read_in_either_format() {
    let (_directory, reader) = dataset();
    let access = FileAccess::default();
    let delivered: Vec<_> = rows(&reader).iter().filter_map(LedgerRow::place).collect();
    let located = reader.locate(&delivered).unwrap();
    for (SamplePlace { id: sample, shard: name, .. }, location) in delivered.iter().zip(&located) {
        // The manifest lists Parquet first.
        assert_eq!((location.format, location.position), (ShardFormat::Parquet, None));
        assert_eq!(location.read(*sample, &access).unwrap().unwrap().id, *sample);
        assert_eq!(location.read(id("nobody"), &access).unwrap(), None);

        let shards = &reader.manifest().shards;
        let tar = shards.iter().find(|shard| shard.path == name.path(ShardFormat::Webdataset)).unwrap();
        let entries = reader.sample_entries(tar).unwrap().map(Result::unwrap);
        let entry = entries.into_iter().find(|entry| entry.sample.id == *sample).unwrap();
        let shard = reader.shard_location(tar).into();
        let by_position = SampleLocation { shard, format: tar.format, position: Some(entry.position) };
        let by_id = SampleLocation { position: None, ..by_position.clone() };
        assert_eq!(by_position.read(*sample, &access).unwrap(), by_id.read(*sample, &access).unwrap());
        assert_eq!(by_position.read(*sample, &access).unwrap().unwrap().id, *sample);
        assert_eq!(by_position.read(id("nobody"), &access).unwrap(), None);
    }
}

#[test]
fn a_record_is_found_by_its_id_by_the_beginning_of_it_and_by_its_upstream_id() {
    let (_directory, reader) = dataset();
    let hello = id("hello").to_string();
    for text in [&hello, &hello[..6], &hello[..6].to_ascii_uppercase(), "hello"] {
        let found = reader.find_rows(text, 10).unwrap();
        assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), [id("hello")], "{text}");
    }
    assert_eq!(reader.find_rows(&hello[..5], 10).unwrap(), []);
    assert_eq!(reader.find_rows("look", 0).unwrap(), []);
}

#[test]
fn origins_are_those_of_the_ledger() {
    let (_directory, reader) = dataset();
    let origins: Vec<_> = reader.origins().unwrap().collect::<Result<_, _>>().unwrap();
    let expected: Vec<_> = rows(&reader).into_iter().map(|row| (row.status, row.origin)).collect();
    assert_eq!(origins, expected);
}

#[test]
fn the_pipeline_has_the_variables_of_the_build_or_those_that_replace_them() {
    let (_directory, reader) = dataset();
    let tokenizer = |variables: &BTreeMap<String, String>| reader.pipeline(variables).unwrap().file.format.tokenizer;
    assert_eq!(tokenizer(&BTreeMap::new()), "/data/tokenizer.model");
    let moved = [("data".to_owned(), "/mnt".to_owned())].into();
    assert_eq!(tokenizer(&moved), "/mnt/tokenizer.model");
    let unfilled = reader.manifest().pipeline_with(&BTreeMap::new()).unwrap();
    assert_eq!(unfilled.file.format.tokenizer, "${data}/tokenizer.model");
}

#[test]
fn build_facts_may_be_absent_but_not_damaged() {
    let (directory, reader) = dataset();
    assert_eq!(reader.build_facts().unwrap().unwrap().plan_key, Digest::of(b"plan"));
    write_atomic(&directory.path().join(BUILD_FACTS_FILE), b"{}").unwrap();
    assert!(matches!(reader.build_facts(), Err(DatasetError::NotADataset { .. })));
    std::fs::remove_file(directory.path().join(BUILD_FACTS_FILE)).unwrap();
    assert_eq!(reader.build_facts().unwrap(), None);
}

#[test]
fn the_manifest_is_named_by_the_digest_of_its_text() {
    let (directory, reader) = dataset();
    let text = std::fs::read(directory.path().join(MANIFEST_FILE)).unwrap();
    assert_eq!(reader.manifest_digest(), Digest::of(&text));
}

#[test]
fn what_is_no_dataset_is_an_error_that_says_why() {
    let (directory, _reader) = dataset();
    let path = directory.path().join(MANIFEST_FILE);
    let open = || DatasetReader::open(directory.path()).unwrap_err().to_string();
    edit(&path, "webdataset/text/000000.tar", "webdataset/text/0.tar");
    assert!(open().contains("\"webdataset/text/0.tar\" is not the path of a shard"), "{}", open());
    edit(&path, "\"manifest_version\": ", "\"manifest_version\": 9");
    assert!(open().contains("it has version 9"), "{}", open());
    std::fs::remove_file(&path).unwrap();
    assert!(open().ends_with("it has no manifest.json; build it first"), "{}", open());
}

#[test]
fn a_shard_that_the_manifest_lacks_and_a_sample_that_its_shard_lacks_are_errors() {
    let (_directory, reader) = dataset();
    let missing = ShardName { layout: Some(Layout::Temporal), number: 7 };
    assert!(reader.shard(missing).unwrap_err().to_string().ends_with("the manifest has no shard temporal/000007"));
    let place = SamplePlace { id: id("hello"), shard: missing, shard_row: 0, shard_offset: None };
    assert!(reader.locate(&[place]).is_err());
    let mut row = rows(&reader).remove(0);
    row.id = id("nobody");
    let error = reader.read_sample(&row).unwrap_err().to_string();
    assert!(error.ends_with(&format!("it has no sample {}", id("nobody"))), "{error}");
}
