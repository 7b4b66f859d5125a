//! Plain-text tables that fit the terminal, with the first column aligned left and numbers right; and numbers as people read them.
//!
//! A table that is too wide loses columns, in the order that it states, and then the ends of its longest cells; a line below it
//! says what is not shown. `--wide` shows everything, and so does output that does not go to a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::output;

/// Rows of cells under a header. A row with fewer cells than the header is empty at its end.
pub(crate) struct Table {
    columns: Vec<Column>,
    /// The columns that are left out of a table that is too wide, the first one first.
    expendable: Vec<&'static str>,
}

struct Column {
    header: String,
    cells: Vec<String>,
}

/// Columns between two cells of a row.
const GAP: usize = 2;
/// No cell is cut to less.
const LEAST_CELL: usize = 8;

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        let column = |header: &&str| Column { header: (*header).to_owned(), cells: Vec::new() };
        Self { columns: header.iter().map(column).collect(), expendable: Vec::new() }
    }

    /// States the columns that are left out of a table that is too wide, the first one first.
    pub(crate) fn with_expendable(mut self, headers: &[&'static str]) -> Self {
        self.expendable = headers.to_vec();
        self
    }

    /// Adds a row. Control characters in it are shown as escapes: each row is one line.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        let mut cells = row.into_iter().map(|cell| output::in_one_line(&cell).into_owned());
        for column in &mut self.columns {
            column.cells.push(cells.next().unwrap_or_default());
        }
        debug_assert!(cells.next().is_none(), "a row has more cells than the header");
    }

    /// Leaves out a column whose cells say nothing.
    pub(crate) fn remove(&mut self, header: &str) {
        self.columns.retain(|column| column.header != header);
    }

    /// Leaves out a column of which every cell is `0` or empty.
    pub(crate) fn remove_if_zero(&mut self, header: &str) {
        let is_zero = |column: &Column| column.cells.iter().all(|cell| cell.is_empty() || cell == "0");
        self.columns.retain(|column| column.header != header || !is_zero(column));
    }

    /// The table, as wide as the terminal at most.
    pub(crate) fn render(self) -> String {
        self.render_in(output::width())
    }

    fn render_in(mut self, width: Option<usize>) -> String {
        let hidden = width.map_or_else(Vec::new, |width| self.fit(width));
        let columns = self.columns.iter().enumerate().map(|(index, column)| column.render(index > 0));
        let mut columns: Vec<_> = columns.map(Vec::into_iter).collect();
        let mut text = String::new();
        let num_lines = self.columns.first().map_or(0, |column| column.cells.len() + 1);
        for _ in 0..num_lines {
            let line: Vec<String> = columns.iter_mut().filter_map(Iterator::next).collect();
            text.push_str(line.join(&" ".repeat(GAP)).trim_end());
            text.push('\n');
        }
        if !hidden.is_empty() {
            let note = format!("(--wide shows {})", hidden.join(", "));
            text.push_str(&output::wrapped(&note, width));
            text.push('\n');
        }
        text
    }

    /// Makes the table as narrow as that; returns what is not shown any more.
    fn fit(&mut self, width: usize) -> Vec<String> {
        let mut hidden = Vec::new();
        for header in std::mem::take(&mut self.expendable) {
            if self.width() <= width {
                return hidden;
            }
            let num_columns = self.columns.len();
            self.remove(header);
            if self.columns.len() < num_columns {
                hidden.push(header.to_owned());
            }
        }
        if self.cut(width) {
            hidden.push("whole cells".to_owned());
        }
        hidden
    }

    /// Takes from the widest columns until the table is as narrow as that; whether anything was taken.
    fn cut(&mut self, width: usize) -> bool {
        let mut widths: Vec<usize> = self.columns.iter().map(Column::width).collect();
        let gaps = GAP * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > width {
            let Some(widest) = widths.iter_mut().max().filter(|widest| **widest > LEAST_CELL) else { break };
            *widest -= 1;
        }
        let mut is_cut = false;
        for (column, width) in self.columns.iter_mut().zip(widths) {
            if column.width() > width {
                column.cut(width);
                is_cut = true;
            }
        }
        is_cut
    }

    fn width(&self) -> usize {
        self.columns.iter().map(|column| column.width() + GAP).sum::<usize>().saturating_sub(GAP)
    }
}

impl Column {
    fn lines(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.header).chain(&self.cells)
    }

    fn width(&self) -> usize {
        self.lines().map(|cell| cell.width()).max().unwrap_or(0)
    }

    fn cut(&mut self, width: usize) {
        for cell in std::iter::once(&mut self.header).chain(&mut self.cells) {
            *cell = shortened(cell, width);
        }
    }

    /// Header and cells, padded to one width. Aligned right if that may be and every cell is a number.
    fn render(&self, may_align_right: bool) -> Vec<String> {
        let width = self.width();
        let is_right = may_align_right && self.cells.iter().all(|cell| is_number(cell));
        let pad = |cell: &String| {
            let padding = " ".repeat(width - cell.width());
            if is_right { padding + cell } else { cell.clone() + &padding }
        };
        self.lines().map(pad).collect()
    }
}

/// Whether a cell is aligned like a number: it begins like one. A sentence is none, whatever it begins with.
fn is_number(cell: &str) -> bool {
    const MAX_CHARS: usize = 40;
    let begins_so = |first: char| first.is_ascii_digit() || "+-−×".contains(first);
    cell == "all" || cell.len() <= MAX_CHARS && cell.chars().next().is_none_or(begins_so)
}

/// The start of a text that is as wide as that, with a mark if there is more of it.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |character: &char| {
        let needed = character.width().unwrap_or(0);
        let fits = needed <= left;
        left = left.saturating_sub(needed);
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
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

    fn table() -> Table {
        let mut table = Table::new(&["source", "n", "why"]).with_expendable(&["n"]);
        table.push(vec!["a".into(), "1,000".into(), "x".into()]);
        table.push(vec!["longer".into(), "7".into(), "yy because of zz".into()]);
        table
    }

    #[test]
    fn numbers_are_aligned_right_and_words_left() {
        assert_eq!(table().render_in(None), "source      n  why\na       1,000  x\nlonger      7  yy because of zz\n");
    }

    #[test]
    fn a_table_that_is_too_wide_loses_columns_and_then_the_ends_of_cells() {
        assert_eq!(table().render_in(Some(24)), "source  why\na       x\nlonger  yy because of zz\n(--wide shows n)\n");
        assert_eq!(
            table().render_in(Some(18)),
            "source  why\na       x\nlonger  yy becaus…\n(--wide shows n,\nwhole cells)\n"
        );
    }

    #[test]
    fn a_row_is_one_line_that_is_cut_whatever_is_in_its_cells() {
        let mut table = Table::new(&["upstream id"]);
        table.push(vec!["tab\tnew\nline\u{1b}[31m".into()]);
        table.push(vec!["x".repeat(5000)]);
        let text = table.render_in(Some(80));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["upstream id", r"tab\tnew\nline\u{1b}[31m"]);
        assert_eq!(lines[2..], [&*("x".repeat(79) + "…"), "(--wide shows whole cells)"]);
    }

    #[test]
    fn wide_characters_count_as_wide() {
        assert_eq!(shortened("図書館の本", 6), "図書…");
        let mut table = Table::new(&["名", "n"]);
        table.push(vec!["図書".into(), "1".into()]);
        assert_eq!(table.render_in(None), "名    n\n図書  1\n");
    }
}
