//! A generated index in the proportions of LongLLaVA's third stage, by a formula of integers that `tests/bench/pack.py`
//! also computes. It is synthetic: real lengths differ, and no figure from it says anything about a real dataset.

use manyframe_core::{Cost, IndexRow, Layout, RecordId, SourceIndex, TypedIndex};

/// The sources of stage 3, and how many records of each it has, in thousands.
pub(crate) const SOURCES: [(&str, u64); 6] =
    [("mantis", 200), ("videochat2", 200), ("replay", 200), ("sharegpt4video", 50), ("text", 50), ("sub_images", 50)];

/// The lengths of a record of the mix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Generated {
    pub(crate) source: SourceIndex,
    pub(crate) num_images: u32,
    /// Delimiters included.
    pub(crate) text_tokens: u32,
    pub(crate) num_turns: u32,
}

/// SplitMix64 (Steele, Lea and Flood 2014): the n-th output for seed 0.
pub(crate) fn splitmix64(n: u64) -> u64 {
    let z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The n-th record, of a source. Lengths are skewed: they grow with the product of two uniform numbers below 1000.
pub(crate) fn of_source(source: usize, n: u64) -> Generated {
    let (r, s) = (splitmix64(3 * n + 1), splitmix64(3 * n + 2));
    let skewed = |most: u64| (r % 1000) * (r / 1000 % 1000) * most / 1_000_000;
    let text = 40 + s % 600 * (s / 600 % 600) / 360;
    let (num_images, turns, text) = match source {
        0 => (2 + skewed(9), 2 + 2 * (s % 4), text),
        1 => (4 + skewed(60), 2, text / 4),
        2 => (1, 2 + 2 * (s % 5), text),
        3 => (16 + skewed(255), 2 + 2 * (s % 2), text / 2),
        4 => (0, 2, 2 * text),
        _ => (5 + skewed(13), 2, text),
    };
    // 7 tokens around each image, 14 for the headers of each question and answer.
    let text_tokens = text + 7 * num_images + 7 * turns;
    Generated {
        source: SourceIndex::from_position(source),
        num_images: num_images as u32,
        text_tokens: text_tokens as u32,
        num_turns: turns as u32,
    }
}

/// A row of the index.
pub(crate) fn row(generated: Generated, n: u64) -> IndexRow {
    let mut id = [0; 16];
    let (low, high) = id.split_at_mut(8);
    low.copy_from_slice(&splitmix64(n).to_le_bytes());
    high.copy_from_slice(&n.to_le_bytes());
    let cost = Cost {
        text_tokens: u64::from(generated.text_tokens),
        delimiter_tokens: 7 * u64::from(generated.num_images),
        visual_tokens: 144 * u64::from(generated.num_images),
        num_images: u64::from(generated.num_images),
        num_frames: 0,
    };
    let (num_turns, num_chars) = (generated.num_turns, 4 * u64::from(generated.text_tokens));
    let layout = if generated.num_images == 0 { Layout::Text } else { Layout::Image };
    IndexRow {
        id: RecordId(id),
        source: generated.source,
        cost,
        layout,
        num_turns,
        num_chars,
        estimated_bytes: 1000,
        media: n % 3,
    }
}
