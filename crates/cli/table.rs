//! Plain-text tables: the first column is aligned left, numbers right. And numbers as people read them.

/// Rows of cells under a header.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// A column is aligned right if every cell under its header is a number.
    pub(crate) fn render(&self) -> String {
        let num_columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &'_ Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let columns: Vec<(usize, bool)> = (0..num_columns)
            .map(|column| {
                let width = self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
                let is_number = |text: &str| {
                    text.is_empty() || text.chars().any(|c| c.is_ascii_digit()) || text == "all" || text == "-"
                };
                (width, column > 0 && self.rows.iter().skip(1).all(|row| is_number(&cell(row, column))))
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (width, is_right)) in columns.iter().enumerate() {
                let content = cell(row, column);
                let padded = if *is_right { format!("{content:>width$}") } else { format!("{content:<width$}") };
                line.push_str(&padded);
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A whole number with commas between thousands.
pub(crate) fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// A number of things, such as `1 shard` or `2,000 shards`.
pub(crate) fn plural(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{} {thing}s", count(number)) }
}

/// A share, from 0 to 1, in percent.
pub(crate) fn percent(part: f64) -> String {
    format!("{:.2} %", 100.0 * part)
}

/// A size in binary units.
pub(crate) fn bytes(number: u64) -> String {
    indicatif::HumanBytes(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_right_and_words_left() {
        let mut table = Table::new(&["source", "n", "why"]);
        table.push(vec!["a".into(), "1,000".into(), "x".into()]);
        table.push(vec!["longer".into(), "7".into(), "yy".into()]);
        assert_eq!(table.render(), "source      n  why\na       1,000  x\nlonger      7  yy\n");
    }
}
