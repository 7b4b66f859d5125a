//! What Megatron-Energon expects beside the tars of a directory, so that nobody has to run `energon prepare` over them.
//!
//! ```text
//! webdataset/image/000000.tar.idx     the first byte of each sample, and the end of the last: 64 bits each, little-endian
//! webdataset/.nv-meta/.info.json      the number of samples of each shard
//! webdataset/.nv-meta/split.yaml      which shards are in which split: all in `train`
//! webdataset/.nv-meta/dataset.yaml    what a sample is
//! webdataset/.nv-meta/index.uuid      an identity of the content
//! webdataset/.nv-meta/index.sqlite    on request: where the members of each sample are (`energon_index.rs`)
//! ```
//!
//! The bytes are those of `energon prepare --split-parts 'train:.*'` in version 7.4.1, but for the identity, which it
//! draws at random, and which here follows from the shards.

use std::fmt::Write;

use manyframe_core::{Digest, RecordId};

use crate::digest::hex;
use crate::format::FinishedShard;

/// The version of Energon whose files these are.
const VERSION: &str = "7.4.1";

/// `dataset.yaml` of samples that a task encoder's cooker takes apart.
pub(crate) const CRUDE_DATASET: &str = "__module__: megatron.energon\n__class__: CrudeWebdataset\n";

/// The files beside the shards of a directory, each with its path; none if there are no shards.
pub(crate) fn files(directory: &str, shards: &[FinishedShard], dataset_yaml: &str) -> Vec<(String, Vec<u8>)> {
    if shards.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = shards.iter().map(|shard| shard.path_below(directory)).collect();
    let counts: Vec<(&str, u64)> = names.iter().copied().zip(shards.iter().map(|shard| shard.num_samples)).collect();
    let metadata = [
        (".info.json", info_json(&counts)),
        ("split.yaml", split_yaml(&names)),
        ("dataset.yaml", dataset_yaml.to_owned()),
        ("index.uuid", index_uuid(shards)),
    ];
    let metadata = metadata.map(|(name, text)| (format!("{directory}/.nv-meta/{name}"), text.into_bytes()));
    let index = |shard: &FinishedShard| {
        let offsets = shard.notes.sample_offsets.iter().flat_map(|offset| offset.to_le_bytes());
        (format!("{}.idx", shard.path), offsets.collect())
    };
    shards.iter().map(index).chain(metadata).collect()
}

/// Where the index of the members of a directory's tars is.
pub(crate) fn index_path(directory: &str) -> String {
    format!("{directory}/.nv-meta/index.sqlite")
}

fn info_json(counts: &[(&str, u64)]) -> String {
    let lines: Vec<String> = counts.iter().map(|(name, count)| format!("    \"{name}\": {count}")).collect();
    format!("{{\n  \"energon_version\": \"{VERSION}\",\n  \"shard_counts\": {{\n{}\n  }}\n}}", lines.join(",\n"))
}

fn split_yaml(names: &[&str]) -> String {
    let mut yaml = String::from("split_parts:\n  train:\n");
    for range in collapsed(names) {
        // Writing to a string cannot fail.
        _ = writeln!(yaml, "  - {range}");
    }
    yaml + "exclude: []\n"
}

/// Consecutive numbers in one directory as a range: `image/{000000..000003}.tar`.
fn collapsed(names: &[&str]) -> Vec<String> {
    let mut ranges: Vec<NameRange<'_>> = Vec::new();
    for name in names {
        let range = NameRange::of(name);
        match ranges.last_mut() {
            Some(last) if last.is_continued_by(&range) => last.last = range.last,
            _ => ranges.push(range),
        }
    }
    ranges.iter().map(NameRange::to_text).collect()
}

/// Names that differ in a number: what precedes it, the first and the last, and what follows it.
struct NameRange<'a> {
    before: &'a str,
    first: &'a str,
    last: &'a str,
    after: &'a str,
}

impl<'a> NameRange<'a> {
    fn of(name: &'a str) -> Self {
        let stem = name.rfind('/').map_or(0, |slash| slash + 1);
        let (before, rest) = name.split_at(stem);
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        Self { before, first: number, last: number, after }
    }

    fn is_continued_by(&self, next: &Self) -> bool {
        let number = |digits: &str| digits.parse::<u64>().ok();
        let follows = number(self.last).zip(number(next.first)).is_some_and(|(last, next)| last + 1 == next);
        follows && self.last.len() == next.first.len() && (self.before, self.after) == (next.before, next.after)
    }

    fn to_text(&self) -> String {
        let Self { before, first, last, after } = self;
        if first == last { format!("{before}{first}{after}") } else { format!("{before}{{{first}..{last}}}{after}") }
    }
}

/// A UUID of version 4 whose random bits are those of a digest.
fn index_uuid(shards: &[FinishedShard]) -> String {
    let fields = shards.iter().flat_map(|shard| [shard.path.as_bytes(), &shard.digest.0[..]]);
    let mut bytes = RecordId::from_digest(Digest::of_fields(fields)).0;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    [0..4, 4..6, 6..8, 8..10, 10..16].map(|range| hex(bytes.get(range).unwrap_or_default())).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::ShardNotes;

    fn shard(path: &str, num_samples: u64, sample_offsets: &[u64]) -> FinishedShard {
        let notes = ShardNotes { sample_offsets: sample_offsets.to_vec(), ..ShardNotes::default() };
        let (path, digest) = (path.to_owned(), Digest::of(path.as_bytes()));
        FinishedShard { path, layout: None, num_samples, num_bytes: 1, digest, notes }
    }

    #[test]
    fn the_files_are_those_that_energon_prepare_writes() {
        let shards = [
            shard("webdataset/image/000000.tar", 2, &[0, 1024, 0x0102]),
            shard("webdataset/image/000001.tar", 1, &[0, 512]),
            shard("webdataset/text/000000.tar", 3, &[0, 1, 2, 3]),
        ];
        let files = files("webdataset", &shards, CRUDE_DATASET);
        let text = |path: &str| {
            let found = files.iter().find(|(found, _)| found == path).unwrap();
            String::from_utf8_lossy(&found.1).into_owned()
        };
        assert_eq!(
            text("webdataset/.nv-meta/.info.json"),
            "{\n  \"energon_version\": \"7.4.1\",\n  \"shard_counts\": {\n    \"image/000000.tar\": 2,\n    \
             \"image/000001.tar\": 1,\n    \"text/000000.tar\": 3\n  }\n}"
        );
        assert_eq!(
            text("webdataset/.nv-meta/split.yaml"),
            "split_parts:\n  train:\n  - image/{000000..000001}.tar\n  - text/000000.tar\nexclude: []\n"
        );
        let (path, index) = &files[0];
        assert_eq!(path, "webdataset/image/000000.tar.idx");
        assert_eq!(index[..], [[0; 8], [0, 4, 0, 0, 0, 0, 0, 0], [2, 1, 0, 0, 0, 0, 0, 0]].concat());
        assert_eq!(files.len(), 7);
        assert!(super::files("webdataset", &[], CRUDE_DATASET).is_empty());
    }

    #[test]
    fn the_identity_is_that_of_the_content() {
        let one = |num_bytes: &[u8]| FinishedShard { digest: Digest::of(num_bytes), ..shard("a/0.tar", 1, &[0, 1]) };
        let uuid = index_uuid(&[one(b"1")]);
        assert_eq!(uuid, index_uuid(&[one(b"1")]));
        assert_ne!(uuid, index_uuid(&[one(b"2")]));
        let groups: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert!(uuid[14..].starts_with('4') && "89ab".contains(&uuid[19..20]), "{uuid}");
    }
}
