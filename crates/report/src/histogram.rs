//! Histograms over powers of two and over aspect ratios, which are counted without keeping values.

use indicatif::HumanCount;
use serde::Serialize;

/// How many values there are of each number of binary digits.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: [u64; 65],
    sum: u128,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; 65], sum: 0, max: 0 }
    }
}

/// A histogram as the page draws it.
#[derive(Debug, Serialize)]
pub(crate) struct Chart {
    title: &'static str,
    /// What is below it.
    summary: String,
    bins: Vec<Bin>,
}

#[derive(Debug, Serialize)]
struct Bin {
    label: String,
    number: u64,
    /// Of the largest bin, from 0 to 1.
    height: f64,
}

impl Histogram {
    pub(crate) fn add(&mut self, value: u64) {
        if let Some(count) = self.counts.get_mut((u64::BITS - value.leading_zeros()) as usize) {
            *count += 1;
        }
        self.sum += u128::from(value);
        self.max = self.max.max(value);
    }

    /// `None` if there are no values.
    pub(crate) fn chart(&self, title: &'static str) -> Option<Chart> {
        let number: u64 = self.counts.iter().sum();
        let first = self.counts.iter().position(|count| *count > 0)?;
        let last = self.counts.iter().rposition(|count| *count > 0)?;
        let mean = self.sum as f64 / number as f64;
        let mean = if mean >= 1000.0 { HumanCount(mean.round() as u64).to_string() } else { format!("{mean:.1}") };
        let summary = format!("{} in all, mean {mean}, at most {}", HumanCount(number), HumanCount(self.max));
        let bins = self.counts.iter().enumerate().take(last + 1).skip(first);
        Some(Chart { title, summary, bins: with_heights(bins.map(|(digits, &number)| (label(digits), number))) })
    }
}

/// Bins as high as their numbers, the largest 1.
fn with_heights(bins: impl Iterator<Item = (String, u64)> + Clone) -> Vec<Bin> {
    let highest = bins.clone().map(|(_, number)| number).max().unwrap_or_default().max(1);
    bins.map(|(label, number)| Bin { label, number, height: number as f64 / highest as f64 }).collect()
}

/// Bins of aspect ratios: a name, and the first ratio of width to height, as a fraction, that is beyond it.
const RATIOS: [(&str, (u64, u64)); 8] = [
    ("< 1:3", (1, 3)),
    ("1:3–1:2", (1, 2)),
    ("1:2–2:3", (2, 3)),
    ("2:3–1:1", (19, 20)),
    ("1:1", (21, 20)),
    ("1:1–3:2", (3, 2)),
    ("3:2–2:1", (2, 1)),
    ("2:1–3:1", (3, 1)),
];

/// How many images and videos there are of each aspect ratio, width to height.
#[derive(Debug, Clone, Default)]
pub(crate) struct AspectRatios {
    counts: [u64; RATIOS.len() + 1],
}

impl AspectRatios {
    pub(crate) fn add(&mut self, width_px: u32, height_px: u32) {
        let is_below = |(num, den): (u64, u64)| u64::from(width_px) * den < u64::from(height_px) * num;
        let bin = RATIOS.iter().position(|(_, end)| is_below(*end)).unwrap_or(RATIOS.len());
        if let Some(count) = self.counts.get_mut(bin) {
            *count += 1;
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// `None` if there are none. `of` says which samples they are of.
    pub(crate) fn chart(&self, title: &'static str, of: &str) -> Option<Chart> {
        let number = Some(self.number()).filter(|number| *number > 0)?;
        let labels = RATIOS.iter().map(|(label, _)| *label).chain(["> 3:1"]);
        let bins = with_heights(labels.zip(self.counts).map(|(label, number)| (label.to_owned(), number)));
        Some(Chart { title, summary: format!("{} in all{of}; width to height", HumanCount(number)), bins })
    }
}

/// The values of so many binary digits.
fn label(digits: usize) -> String {
    let short = |value: u128| match value {
        0..1024 => value.to_string(),
        _ if value < 1 << 20 => format!("{}k", value >> 10),
        _ if value < 1 << 30 => format!("{}M", value >> 20),
        _ => format!("{}G", value >> 30),
    };
    match digits {
        0 | 1 => digits.to_string(),
        // Up to the next label where that is a round number, else up to what is below it.
        11.. => format!("{}–{}", short(1 << (digits - 1)), short(1 << digits)),
        _ => format!("{}–{}", 1_u64 << (digits - 1), (1_u64 << digits) - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_by_power_of_two() {
        let mut histogram = Histogram::default();
        assert!(histogram.chart("none").is_none());
        for value in [1, 2, 3, 3, 17, 2048] {
            histogram.add(value);
        }
        let chart = histogram.chart("some").unwrap();
        let bins: Vec<_> = chart.bins.iter().map(|bin| (bin.label.as_str(), bin.number)).collect();
        let expected = [("1", 1), ("2–3", 3), ("4–7", 0), ("8–15", 0), ("16–31", 1), ("32–63", 0)];
        assert_eq!(bins[..6], expected);
        assert_eq!(bins.last(), Some(&("2k–4k", 1)));
        assert_eq!((chart.summary.as_str(), chart.bins[1].height), ("6 in all, mean 345.7, at most 2,048", 1.0));
        let mut ratios = AspectRatios::default();
        assert!(ratios.chart("none", "").is_none());
        for (width_px, height_px) in [(100, 301), (100, 300), (640, 480), (500, 500), (499, 500), (1920, 1080), (9, 1)]
        {
            ratios.add(width_px, height_px);
        }
        let found: Vec<_> = ratios.chart("some", "").unwrap().bins.iter().map(|bin| bin.number).collect();
        assert_eq!(found, [1, 1, 0, 0, 2, 1, 1, 0, 1]);
        histogram.add(0);
        histogram.add(u64::MAX);
        assert_eq!(histogram.chart("all").unwrap().bins.len(), 65);
    }
}
