//! Plain-text tables, with the first column aligned left and numbers right; and human-readable numbers.

/// Rows of cells under a header. A row with fewer cells than the header is empty at its end.
pub(crate) struct Table {
    columns: Vec<Column>,
}

struct Column {
    header: String,
    cells: Vec<String>,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        let column = |header: &&str| Column { header: (*header).to_owned(), cells: Vec::new() };
        Self { columns: header.iter().map(column).collect() }
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        let mut cells = row.into_iter();
        for column in &mut self.columns {
            column.cells.push(cells.next().unwrap_or_default());
        }
        debug_assert!(cells.next().is_none(), "a row has more cells than the header");
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.columns.iter().enumerate().map(|(index, column)| column.render(index > 0));
        let mut columns: Vec<_> = columns.map(Vec::into_iter).collect();
        let mut text = String::new();
        let num_lines = self.columns.first().map_or(0, |column| column.cells.len() + 1);
        for _ in 0..num_lines {
            let line: Vec<String> = columns.iter_mut().filter_map(Iterator::next).collect();
            text.push_str(line.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

impl Column {
    /// Header and cells, padded to one width. Aligned right if that may be and every cell is a number.
    fn render(&self, may_align_right: bool) -> Vec<String> {
        let lines = || std::iter::once(&self.header).chain(&self.cells);
        let width = lines().map(|cell| cell.chars().count()).max().unwrap_or(0);
        let is_right = may_align_right && self.cells.iter().all(|cell| is_number(cell));
        let pad = |cell: &String| if is_right { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
        lines().map(pad).collect()
    }
}

/// Whether a cell is aligned like a number. A sentence is none, even with digits in it.
fn is_number(cell: &str) -> bool {
    const MAX_CHARS: usize = 40;
    let has_digit = || cell.len() <= MAX_CHARS && cell.chars().any(|c| c.is_ascii_digit());
    cell.is_empty() || has_digit() || cell == "all" || cell == "-"
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
