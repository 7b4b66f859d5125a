//! Histograms over powers of two, which are counted without keeping values.

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
    number: u64,
    mean: f64,
    max: u64,
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
        let highest = self.counts.iter().copied().max().unwrap_or_default();
        let bins = self.counts.iter().enumerate().take(last + 1).skip(first).map(|(digits, &number)| Bin {
            label: label(digits),
            number,
            height: number as f64 / highest as f64,
        });
        Some(Chart { title, number, mean: self.sum as f64 / number as f64, max: self.max, bins: bins.collect() })
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
        assert_eq!((chart.number, chart.max, chart.bins[1].height), (6, 2048, 1.0));
        histogram.add(0);
        histogram.add(u64::MAX);
        assert_eq!(histogram.chart("all").unwrap().bins.len(), 65);
    }
}
