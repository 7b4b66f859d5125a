//! Memory grows with the pixels of an image, not with the bytes of its samples.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use manyframe_core::{RejectCode, Rejection};
use manyframe_media::{MediaError, MediaLimits, decode_rgb};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const EDGE_PX: u32 = 2_000;

fn zeros(num_bytes: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&vec![0; num_bytes]).unwrap();
    encoder.finish().unwrap()
}

/// A deflated TIFF of one strip.
fn tiff((num_samples, sample_bits): (u16, u16), sample_format: u16, strip: &[u8]) -> Vec<u8> {
    let fields: [(u16, u32); 10] = [
        (256, EDGE_PX),
        (257, EDGE_PX),
        (258, sample_bits.into()),
        (259, 8),
        (262, 2),
        (273, 8 + 2 + 10 * 12 + 4),
        (277, num_samples.into()),
        (278, EDGE_PX),
        (279, strip.len() as u32),
        (339, sample_format.into()),
    ];
    let mut bytes = b"II*\0\x08\0\0\0\x0a\0".to_vec();
    for (tag, value) in fields {
        bytes.extend(tag.to_le_bytes());
        bytes.extend([4, 0, 1, 0, 0, 0]);
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    [&bytes, strip].concat()
}

fn png(image: &[u8]) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], content: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(content);
        [&(content.len() as u32).to_be_bytes(), &kind[..], content, &crc.sum().to_be_bytes()].concat()
    };
    let header = [&EDGE_PX.to_be_bytes()[..], &EDGE_PX.to_be_bytes(), &[16, 6, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &header)[..], &chunk(b"IDAT", image), &chunk(b"IEND", b"")].concat()
}

#[test]
fn sixteen_bits_a_sample_take_no_more_memory_than_eight() {
    let pixels = (EDGE_PX * EDGE_PX) as usize;
    let images = [("TIFF", tiff((4, 16), 1, &zeros(pixels * 8))), ("PNG", png(&zeros(pixels * 8 + EDGE_PX as usize)))];
    for (name, bytes) in images {
        ALLOCATED.reset_peak_usage();
        let before = ALLOCATED.current_usage();
        assert_eq!(decode_rgb(&bytes, &MediaLimits::default()).unwrap().pixels().len(), 3 * pixels);
        let bytes_per_pixel = (ALLOCATED.peak_usage() - before) as f64 / pixels as f64;
        // The image itself has 3; before compression, a pixel has 8.
        assert!(bytes_per_pixel < 4.0, "{name}: {bytes_per_pixel:.1} bytes a pixel");
    }
    let floating_point = tiff((4, 32), 3, &zeros(100));
    ALLOCATED.reset_peak_usage();
    let before = ALLOCATED.current_usage();
    let found = decode_rgb(&floating_point, &MediaLimits::default());
    assert!(matches!(found, Err(MediaError::Rejected(Rejection { code: RejectCode::MediaType, .. }))), "{found:?}");
    assert!(ALLOCATED.peak_usage() - before < 1 << 20);
    // Samples that are not shown are decoded, too: 64 of them are sixteen times as many as an image of this size may have.
    let limits = MediaLimits { max_pixels: u64::from(EDGE_PX * EDGE_PX), ..MediaLimits::default() };
    let Err(MediaError::Rejected(rejection)) = decode_rgb(&tiff((64, 16), 1, &zeros(100)), &limits) else {
        panic!("it was decoded")
    };
    assert_eq!(rejection.code, RejectCode::MediaTooLarge, "{rejection}");
    assert!(rejection.detail.contains("1024 bits are 512000000 bytes"), "{rejection}");
}
