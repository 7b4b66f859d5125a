//! What every shard format promises: samples come back whole, the same samples are the same bytes, and damage is an
//! error.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a shard that cannot be read fails the test")]

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use manyframe_columnar::{CellLocation, CellReader};
use manyframe_core::{
    BlobRef, Cost, Digest, Grid, ImageFormat, Layout, Message, Origin, Position, RecordId, Role, Sample, SampleImage,
    SampleTokens, SampleVisual, TileCut, VisualKind,
};
use manyframe_shards::{
    MediaStorage, SampleColumns, SampleEntries, SampleEntry, Samples, ShardError, ShardFormat, ShardSummary,
    WrittenShard, create, open,
};
use proptest::prelude::*;

/// A sink that can still be looked at when the writer has taken it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read(format: ShardFormat, path: &Path) -> Result<Samples, ShardError> {
    manyframe_shards::read(format, open(path)?)
}

fn list(format: ShardFormat, path: &Path) -> Result<SampleEntries, ShardError> {
    manyframe_shards::list(format, open(path)?)
}

fn entry_at(format: ShardFormat, path: &Path, position: u64) -> Result<SampleEntry, ShardError> {
    manyframe_shards::entry_at(format, open(path)?, position)
}

fn read_one(format: ShardFormat, path: &Path, id: RecordId) -> Result<Option<Sample>, ShardError> {
    manyframe_shards::read_one(format, open(path)?, id)
}

fn written(format: ShardFormat, samples: &[Sample]) -> (Vec<u8>, ShardSummary) {
    let (bytes, written) = written_with_notes(format, samples);
    (bytes, written.summary)
}

fn written_with_notes(format: ShardFormat, samples: &[Sample]) -> (Vec<u8>, WrittenShard) {
    written_with(format, SampleColumns::default(), samples)
}

fn written_with(format: ShardFormat, columns: SampleColumns, samples: &[Sample]) -> (Vec<u8>, WrittenShard) {
    let sink = Shared::default();
    let mut writer = create(format, Box::new(sink.clone()), columns).unwrap();
    for sample in samples {
        writer.write(sample).unwrap();
    }
    let written = writer.finish().unwrap();
    let bytes = std::mem::take(&mut *sink.0.lock().unwrap());
    (bytes, written)
}

fn file(folder: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
    let mut file = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
    file.write_all(bytes).unwrap();
    file.keep().unwrap().1
}

fn sample(n: u64, num_images: usize) -> Sample {
    let image = |index: usize| SampleImage {
        bytes: format!("image {index} of {n}").into_bytes(),
        format: [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Webp][index % 3],
        width_px: 336,
        height_px: index as u32 + 1,
    };
    Sample {
        id: RecordId::from_digest(Digest::of(&n.to_le_bytes())),
        source: "mantis".into(),
        subset: "nlvr2".into(),
        upstream_id: n.to_string(),
        layout: Layout::Image,
        messages: vec![
            Message { role: Role::System, content: "Be brief.".to_owned() },
            Message { role: Role::User, content: "<image>".repeat(num_images) },
            Message { role: Role::Assistant, content: "é\u{0}\u{feff}".to_owned() },
        ],
        prompt: "<|User|>".to_owned(),
        label_spans: vec![(1, 3), (4, 4)],
        tokens: None,
        cost: Cost {
            text_tokens: 7,
            delimiter_tokens: 5,
            visual_tokens: 144 * num_images as u64,
            num_images: num_images as u64,
            num_frames: n % 2,
        },
        images: (0..num_images).map(image).collect(),
        clips: Vec::new(),
        visuals: vec![SampleVisual {
            kind: VisualKind::Video,
            message: 1,
            start: 0,
            end: 7,
            first_image: 0,
            num_images,
            grid: Some(Grid { rows: 2, columns: 3 }),
            cut: Some(TileCut { is_lossless: true, offset_px: (16, 0) }),
            times_s: vec![0.0, 0.1, 1.0 / 3.0],
            path: "a/b.mp4".to_owned(),
            width_px: 640,
            height_px: 480,
            model: None,
            clip: None,
        }],
        origin: Origin { file: "a.json".into(), position: Position::Bytes { offset: 5, num_bytes: 9, line: 2 } },
    }
}

prop_compose! {
    fn any_sample()(
        id in any::<[u8; 16]>(),
        texts in any::<[String; 6]>(),
        messages in prop::collection::vec((0..3_usize, any::<String>()), 0..4),
        layout in 0..4_usize,
        spans in prop::collection::vec((0..1_usize << 40, any::<u32>()), 0..3),
        num_images in prop_oneof![0..4_usize, 998..1003_usize, Just(1200)],
        image in (any::<[u8; 4]>(), 0..3_usize, any::<u32>(), any::<u32>()),
        position in prop_oneof![
            any::<(u64, u64, u64)>().prop_map(|(offset, num_bytes, line)| Position::Bytes { offset, num_bytes, line }),
            any::<u64>().prop_map(Position::Row),
            Just(Position::File),
        ],
        times in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::ZERO, 0..3),
        counts in (0..1_u64 << 60, 0..1_u64 << 60, any::<u64>()),
        tokens in prop::option::of(prop::collection::vec((any::<i32>(), any::<i32>(), 0..1_u32 << 31), 0..4)),
    ) -> Sample {
        let [source, subset, upstream_id, prompt, path, file] = texts;
        let roles = [Role::System, Role::User, Role::Assistant];
        let formats = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Webp];
        let (bytes, format, width_px, height_px) = image;
        let mut base = sample(0, 0);
        base.visuals[0].times_s = times;
        base.visuals[0].path = path;
        base.visuals[0].message = messages.len();
        base.visuals[0].num_images = num_images;
        let shown = Message { role: Role::User, content: "<image>".repeat(num_images) };
        let images = (0..num_images).map(|index| SampleImage {
            bytes: bytes[..(index + bytes[0] as usize) % 5].to_vec(),
            format: formats[(index + format) % 3],
            width_px,
            height_px,
        });
        Sample {
            id: RecordId(id),
            source: source.into(),
            subset: subset.into(),
            upstream_id,
            layout: Layout::ALL[layout],
            messages: messages
                .into_iter()
                .map(|(role, content)| Message { role: roles[role], content })
                .chain([shown])
                .collect(),
            prompt,
            tokens: tokens.map(|places| SampleTokens {
                input_ids: places.iter().map(|place| place.0).collect(),
                labels: places.iter().map(|place| place.1).collect(),
                image_positions: places.iter().map(|place| place.2).collect(),
                type_ids: Vec::new(),
            }),
            label_spans: spans.into_iter().map(|(start, length)| (start, start + length as usize)).collect(),
            cost: Cost {
                text_tokens: counts.0,
                delimiter_tokens: counts.0 / 2,
                visual_tokens: counts.1,
                num_images: num_images as u64,
                num_frames: counts.2,
            },
            images: images.collect(),
            origin: Origin { file: file.into(), position },
            ..base
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn samples_come_back_whole(samples in prop::collection::vec(any_sample(), 0..4)) {
        let folder = tempfile::tempdir().unwrap();
        for format in ShardFormat::ALL {
            let (bytes, _) = written(format, &samples);
            let found: Result<Vec<_>, _> = read(format, &file(&folder, &bytes)).unwrap().collect();
            let without_tokens = |sample: &Sample| Sample { tokens: None, ..sample.clone() };
            let expected = if format.stores_tokens() {
                samples.clone()
            } else {
                samples.iter().map(without_tokens).collect()
            };
            prop_assert_eq!(found.unwrap(), expected, "{:?}", format);
        }
    }
}

#[test]
fn the_same_samples_are_the_same_bytes() {
    let samples: Vec<_> = (0..120).map(|n| sample(n, 3)).collect();
    for format in ShardFormat::ALL {
        let (bytes, summary) = written(format, &samples);
        assert_eq!((bytes.clone(), summary), written(format, &samples));
        let expected = ShardSummary { num_samples: 120, num_bytes: bytes.len() as u64, digest: Digest::of(&bytes) };
        assert_eq!(summary, expected, "{format:?}");
    }
}

#[test]
fn images_can_be_read_from_where_the_list_says() {
    let folder = tempfile::tempdir().unwrap();
    let samples: Vec<_> = (0..130).map(|n| sample(n, n as usize % 4)).collect();
    for format in ShardFormat::ALL {
        let (bytes, _) = written(format, &samples);
        let path = file(&folder, &bytes);
        let cells = CellReader::new();
        let entries: Vec<_> = list(format, &path).unwrap().map(Result::unwrap).collect();
        assert_eq!(entries.len(), samples.len());
        for (entry, sample) in entries.iter().zip(&samples) {
            assert_eq!(entry.sample, Sample { images: Vec::new(), ..sample.clone() });
            assert_eq!(entry.images.len(), sample.images.len());
            for (entry, image) in entry.images.iter().zip(&sample.images) {
                let found = match &entry.blob {
                    BlobRef::Range { offset, num_bytes, .. } => {
                        bytes[*offset as usize..(offset + num_bytes) as usize].to_vec()
                    }
                    BlobRef::Cell { file, column, row, index } => {
                        let location = CellLocation { file: file.as_ref().as_ref(), column, row: *row, index: *index };
                        cells.read(&location).unwrap().unwrap()
                    }
                };
                assert_eq!(found, image.bytes);
                assert_eq!(
                    (entry.format, entry.width_px, entry.height_px),
                    (image.format, image.width_px, image.height_px)
                );
            }
        }
    }
}

#[test]
fn the_notes_of_a_shard_say_where_its_samples_are() {
    let folder = tempfile::tempdir().unwrap();
    let samples: Vec<_> = (0..9).map(|n| sample(n, n as usize % 4)).collect();
    for format in ShardFormat::ALL.into_iter().filter(|format| format.extension() == "tar") {
        let (bytes, WrittenShard { notes, .. }) = written_with_notes(format, &samples);
        let path = file(&folder, &bytes);
        assert_eq!(notes.sample_offsets.len(), 10);
        for (position, sample) in notes.sample_offsets.iter().zip(&samples) {
            assert_eq!(entry_at(format, &path, *position).unwrap().sample.id, sample.id);
        }
    }
}

#[test]
fn one_sample_is_found_by_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let samples: Vec<_> = (0..150).map(|n| sample(n, 2)).collect();
    for format in ShardFormat::ALL {
        let path = file(&folder, &written(format, &samples).0);
        assert_eq!(read_one(format, &path, samples[140].id).unwrap().as_ref(), Some(&samples[140]));
        assert_eq!(read_one(format, &path, sample(999, 0).id).unwrap(), None);
    }
}

#[test]
fn a_shard_from_before_there_were_columns_of_tokens_is_read() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/text-of-0.1.0.parquet");
    let samples: Vec<_> = read(ShardFormat::Parquet, &path).unwrap().map(Result::unwrap).collect();
    assert!(samples.len() > 1 && samples.iter().all(|sample| sample.tokens.is_none() && !sample.prompt.is_empty()));
}

#[test]
fn an_empty_shard_has_no_samples() {
    let folder = tempfile::tempdir().unwrap();
    for format in ShardFormat::ALL {
        let path = file(&folder, &written(format, &[]).0);
        assert_eq!(read(format, &path).unwrap().count(), 0);
    }
}

#[test]
fn names_have_more_digits_only_where_they_are_needed() {
    let names = |num_images| {
        let (bytes, _) = written(ShardFormat::Webdataset, &[sample(0, num_images)]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (text.contains(".000.jpg"), text.contains(".0000.jpg"))
    };
    assert_eq!(names(1000), (true, false));
    assert_eq!(names(1001), (false, true));
}

#[test]
fn a_shard_that_was_cut_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let samples: Vec<_> = (0..3).map(|n| sample(n, 2)).collect();
    for format in ShardFormat::ALL {
        let (bytes, _) = written(format, &samples);
        for num_bytes in (0..bytes.len()).step_by(61).chain([bytes.len() - 1]) {
            let path = file(&folder, &bytes[..num_bytes]);
            let found: Result<Vec<_>, _> = read(format, &path).and_then(Iterator::collect);
            assert!(found.is_err(), "{format:?} cut to {num_bytes} bytes");
        }
    }
}

#[test]
fn a_damaged_shard_never_panics_and_ends_at_its_first_error() {
    let folder = tempfile::tempdir().unwrap();
    let samples: Vec<_> = (0..3).map(|n| sample(n, 2)).collect();
    for format in ShardFormat::ALL {
        let (bytes, _) = written(format, &samples);
        for step in 0..400 {
            let mut damaged = bytes.clone();
            let position = (step * 2_654_435_761_usize) % damaged.len();
            damaged[position] ^= 1 << (step % 8);
            let path = file(&folder, &damaged);
            if let Ok(found) = read(format, &path) {
                let found: Vec<_> = found.collect();
                assert!(found.iter().rev().skip(1).all(Result::is_ok));
            }
            list(format, &path).map(Iterator::count).ok();
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn damage_is_named_by_shard_and_member() {
    let folder = tempfile::tempdir().unwrap();
    let samples = [sample(0, 1), sample(1, 1)];
    let (bytes, _) = written(ShardFormat::Webdataset, &samples);
    // Without its last member the second sample has no image.
    let path = file(&folder, &[&bytes[..bytes.len() - 2048], &[0; 1024]].concat());
    let error = read(ShardFormat::Webdataset, &path).unwrap().nth(1).unwrap().unwrap_err();
    let ShardError::Member { path: found, member, detail } = error else { panic!("{error:?}") };
    assert_eq!((found, member), (path, format!("{}.json", samples[1].id)));
    assert_eq!(detail, format!("\"{}.000.jpg\" must follow, the archive ends", samples[1].id));
}

#[test]
fn a_sample_whose_cost_counts_other_images_is_refused() {
    let mut wrong = sample(0, 2);
    wrong.cost.num_images = 3;
    for format in ShardFormat::ALL {
        let mut writer = create(format, Box::new(Shared::default()), SampleColumns::default()).unwrap();
        assert!(matches!(writer.write(&wrong), Err(ShardError::Sample { id, .. }) if id == wrong.id));
    }
}

/// Samples that fill several row groups, by their number and by their bytes, with and without tokens.
fn fixed_samples() -> Vec<Sample> {
    let mut samples: Vec<Sample> = (0..230).map(|n| sample(n, n as usize % 5)).collect();
    for (n, sample) in samples.iter_mut().enumerate() {
        sample.layout = Layout::ALL[n % 4];
        sample.visuals[0].cut = None;
        sample.tokens = (n % 3 > 0).then(|| SampleTokens {
            input_ids: (0..7 * i32::try_from(n).unwrap()).collect(),
            labels: (0..7 * i32::try_from(n).unwrap()).map(|id| if id % 2 == 0 { -100 } else { id }).collect(),
            image_positions: (0..n as u32 % 5).collect(),
            type_ids: Vec::new(),
        });
        sample.prompt = "Describe <image> in détail.".repeat(n % 11);
        sample.label_spans = vec![(n, n + 2); n % 4];
        sample.origin.position =
            [Position::Bytes { offset: n as u64, num_bytes: 9, line: 2 }, Position::Row(n as u64), Position::File]
                [n % 3];
        // Bytes that no codec makes smaller, some of them many.
        let num_bytes = if n % 50 == 49 { 9 << 20 } else { 1000 + n };
        let mut state = n as u64;
        for image in &mut sample.images {
            image.bytes = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .take(num_bytes)
            .collect();
        }
    }
    samples
}

#[test]
fn shards_have_the_bytes_that_they_always_had() {
    let samples = fixed_samples();
    let digests = ShardFormat::ALL.map(|format| (format, written(format, &samples).1.digest.to_string()));
    let expected = [
        (ShardFormat::Webdataset, "81edc4c9d0ce3a0dc017eeceb2bdad5956aa94caf3485650861bc5a824e6020c"),
        (ShardFormat::Parquet, "fe0478cf22e85b1c7b7fb8df9e77dd562766e6434722bc30731ce1b4ad15ab7a"),
        (ShardFormat::EnergonChatml, "8c6722fc69d1aad7a7319adcdbc06b23c35a9f441a5b246b1db17c68dfcdfc43"),
        (ShardFormat::Vila, "40b82a00cc6c4bd1b8422a830f63cff046c2bc20bee46a7b1c69314306307b45"),
        (ShardFormat::Mds, "a54ce58f5d0d6f773aeec4c34f9e9fd50ff116056c4a5acd3de4d5a73e4eb19c"),
    ];
    assert_eq!(digests, expected.map(|(format, digest)| (format, digest.to_owned())));
}

#[test]
fn samples_that_share_an_image_store_it_once_and_are_read_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    // 250 samples of 50 images, which no compression makes smaller.
    let noise = |n: u64| {
        (0..20_000u64)
            .flat_map(|at| {
                Digest::of(&[n, at / 32].map(u64::to_le_bytes).concat()).0.into_iter().skip((at % 32) as usize).take(1)
            })
            .collect::<Vec<u8>>()
    };
    let samples: Vec<Sample> = (0..250)
        .map(|n| {
            let mut sample = sample(n, 1);
            sample.images[0].bytes = noise(n / 5);
            sample
        })
        .collect();
    let shared = SampleColumns { media: MediaStorage::Shared, ..SampleColumns::default() };
    let (each, _) = written_with(ShardFormat::Parquet, SampleColumns::default(), &samples);
    let (bytes, _) = written_with(ShardFormat::Parquet, shared, &samples);
    assert!(each.len() > 250 * 20_000 && bytes.len() < 50 * 20_000 + 200_000, "{} {}", each.len(), bytes.len());
    assert_eq!(written_with(ShardFormat::Parquet, shared, &samples).0, bytes);
    let path = file(&folder, &bytes);
    let found: Vec<Sample> = read(ShardFormat::Parquet, &path).unwrap().map(Result::unwrap).collect();
    assert_eq!(found, samples);
    assert_eq!(read_one(ShardFormat::Parquet, &path, samples[137].id).unwrap().unwrap(), samples[137]);
    let blob = entry_at(ShardFormat::Parquet, &path, 201).unwrap().images.remove(0).blob;
    let BlobRef::Cell { column, row, index, .. } = blob else { panic!("{blob:?}") };
    let cell = CellLocation { file: &path, column: &column, row, index };
    assert_eq!(CellReader::new().read(&cell).unwrap().unwrap(), samples[201].images[0].bytes);
}
