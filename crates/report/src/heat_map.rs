//! Accuracies by length of the haystack and depth of the needle, drawn: as SVG for the page, and as a PNG.
//!
//! ```text
//!  depth  0 % │ 100  100   75 │ ▓ 100 %
//!        50 % │ 100   50   25 │ ▒
//!       100 % │ 100  100  100 │ ░   0 %
//!               64   256  1024   frames
//! ```
//!
//! Colours are those of viridis, which is even in lightness and can be told apart by everybody; each cell also has its number.

use std::collections::BTreeSet;

use manyframe_validate::needles::CellMeasures;

use crate::drawing::{Anchor, Colour, Drawing, Rectangle, Text};
use crate::error::ReportError;

/// Size of a cell, in units of the drawing.
const CELL: (usize, usize) = (44, 24);
/// Room for the names of depths on the left, for titles above, for the key on the right, and for the names of lengths below.
const MARGINS: Margins = Margins { left: 62, top: 48, right: 74, bottom: 46 };
/// Least width, so that the titles fit.
const MIN_WIDTH: usize = 320;
/// Viridis at 0, 25, 50, 75 and 100 % (matplotlib).
const COLOURS: [Colour; 5] = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

struct Margins {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

/// The map as a PNG, at two pixels per unit; `None` if no cell has a depth.
///
/// # Errors
///
/// [`ReportError::Drawing`] if it cannot be encoded.
pub fn heat_map_png(title: &str, cells: &[CellMeasures]) -> Result<Option<Vec<u8>>, ReportError> {
    heat_map(title, cells).map(|drawing| drawing.png()).transpose()
}

/// The map as an element of HTML; `None` if no cell has a depth.
pub(crate) fn heat_map_svg(title: &str, cells: &[CellMeasures]) -> Option<String> {
    heat_map(title, cells).map(|drawing| drawing.svg())
}

fn heat_map(title: &str, cells: &[CellMeasures]) -> Option<Drawing> {
    let lengths: BTreeSet<u64> = with_depth(cells).map(|(cell, _)| cell.cell.length).collect();
    let depths: BTreeSet<u32> = with_depth(cells).map(|(_, depth)| depth).collect();
    if lengths.is_empty() {
        return None;
    }
    let (right, bottom) = (MARGINS.left + CELL.0 * lengths.len(), MARGINS.top + CELL.1 * depths.len());
    let mut drawing = Drawing {
        title: title.to_owned(),
        width: (right + MARGINS.right).max(MIN_WIDTH),
        height: bottom + MARGINS.bottom,
        ..Drawing::default()
    };
    let mut write = |at, anchor, content: String| drawing.texts.push(Text { at, anchor, colour: None, content });
    write((6, 14), Anchor::Start, title.to_owned());
    write((6, 36), Anchor::Start, "depth of the needle".to_owned());
    write((MARGINS.left, bottom + 36), Anchor::Start, "length of the haystack, frames or images".to_owned());
    for (row, depth) in depths.iter().enumerate() {
        write((MARGINS.left - 6, MARGINS.top + CELL.1 * row + 16), Anchor::End, percent_of_depth(*depth));
    }
    for (column, length) in lengths.iter().enumerate() {
        let x = MARGINS.left + CELL.0 * column + CELL.0 / 2;
        write((x, bottom + 15), Anchor::Middle, length.to_string());
    }
    for (cell, depth) in with_depth(cells) {
        let (column, row) = (lengths.range(..cell.cell.length).count(), depths.range(..depth).count());
        let at = (MARGINS.left + CELL.0 * column, MARGINS.top + CELL.1 * row);
        draw_cell(&mut drawing, at, cell.measures.accuracy);
    }
    draw_key(&mut drawing, (right + 18, MARGINS.top), bottom - MARGINS.top);
    Some(drawing)
}

fn with_depth(cells: &[CellMeasures]) -> impl Iterator<Item = (&CellMeasures, u32)> {
    cells.iter().filter_map(|cell| Some((cell, cell.cell.depth?)))
}

fn draw_cell(drawing: &mut Drawing, (x, y): (usize, usize), accuracy: f64) {
    drawing.rectangles.push(Rectangle { at: (x, y), size: (CELL.0 - 1, CELL.1 - 1), colour: colour(accuracy) });
    // Dark cells have white numbers.
    let ink = if accuracy < 0.6 { [255; 3] } else { [0; 3] };
    let content = format!("{:.0}", 100.0 * accuracy);
    drawing.texts.push(Text { at: (x + CELL.0 / 2, y + 16), anchor: Anchor::Middle, colour: Some(ink), content });
}

/// A column of colours, with the shares at its ends.
fn draw_key(drawing: &mut Drawing, (x, y): (usize, usize), height: usize) {
    const NUM_STEPS: usize = 20;
    for step in 0..NUM_STEPS {
        let colour = colour(1.0 - step as f64 / (NUM_STEPS - 1) as f64);
        let (from, to) = (height * step / NUM_STEPS, height * (step + 1) / NUM_STEPS);
        drawing.rectangles.push(Rectangle { at: (x, y + from), size: (10, to - from), colour });
    }
    for (y, content) in [(y + 10, "100 %"), (y + height, "0 %")] {
        let content = content.to_owned();
        drawing.texts.push(Text { at: (x + 14, y), anchor: Anchor::Start, colour: None, content });
    }
}

/// The colour of a share from 0 to 1.
fn colour(share: f64) -> Colour {
    let position = share.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f64;
    let (below, part) = (position.floor() as usize, position.fract());
    let at = |index: usize| COLOURS.get(index).or(COLOURS.last()).copied().unwrap_or_default();
    let [from, to] = [at(below), at(below + 1)].map(|colour| colour.map(f64::from));
    let mixed = std::iter::zip(from, to).map(|(from, to)| (from + (to - from) * part).round() as u8);
    let mut colour = Colour::default();
    colour.iter_mut().zip(mixed).for_each(|(level, mixed)| *level = mixed);
    colour
}

/// A depth per mille in percent: `12.5 %`.
fn percent_of_depth(depth: u32) -> String {
    match depth % 10 {
        0 => format!("{} %", depth / 10),
        tenths => format!("{}.{tenths} %", depth / 10),
    }
}

#[cfg(test)]
mod tests {
    use manyframe_validate::needles::{Cell, ChanceBounds, NeedleMeasures};

    use super::*;

    fn cell(length: u64, depth: Option<u32>, num_right: u64) -> CellMeasures {
        let measures = NeedleMeasures {
            num_questions: 4,
            num_right,
            num_greedy: 0,
            num_unusable: 0,
            accuracy: num_right as f64 / 4.0,
            num_groups: 1,
            num_right_groups: u64::from(num_right == 4),
            group_accuracy: None,
            chance: ChanceBounds { mean: 0.25, lower: 0.0, upper: 1.0 },
        };
        CellMeasures { cell: Cell { length, depth }, measures }
    }

    #[test]
    fn each_cell_has_its_place_its_colour_and_its_number() {
        let cells = [cell(64, Some(0), 4), cell(64, Some(125), 0), cell(256, Some(125), 3), cell(9, None, 1)];
        let svg = heat_map_svg("a < b", &cells).unwrap();
        assert!(svg.contains("a &lt; b") && svg.contains(">12.5 %<") && svg.contains(">256<") && !svg.contains(">9<"));
        for (x, y, colour) in [(62, 48, "253,231,37"), (62, 72, "68,1,84"), (106, 72, "94,201,98")] {
            let rectangle = format!("<rect x=\"{x}\" y=\"{y}\" width=\"43\" height=\"23\" fill=\"rgb({colour})\"/>");
            assert!(svg.contains(&rectangle), "{rectangle} {svg}");
        }
        assert_eq!(heat_map_svg("none", &[cell(9, None, 1)]), None);
    }

    #[test]
    fn the_picture_shows_cells_and_labels() {
        let cells = [cell(64, Some(0), 4), cell(128, Some(0), 0)];
        let png = heat_map_png("all tasks", &cells).unwrap().unwrap();
        assert_eq!(Some(&png), heat_map_png("all tasks", &cells).unwrap().as_ref());
        let picture = manyframe_media::decode_rgb(&png, &manyframe_media::MediaLimits::default()).unwrap();
        assert_eq!((picture.width_px(), picture.height_px()), (640, 236));
        let pixel = |x: usize, y: usize| {
            let start = (y * picture.width_px() as usize + x) * 3;
            picture.pixels()[start..start + 3].to_vec()
        };
        // Near a corner of either cell, where no number is.
        assert_eq!(pixel(2 * 62 + 4, 2 * 48 + 4), [253, 231, 37]);
        assert_eq!(pixel(2 * 106 + 4, 2 * 48 + 4), [68, 1, 84]);
        assert_eq!(pixel(639, 0), [255, 255, 255]);
        // White numbers in the dark cell, and black labels below, on the left and above.
        let has = |columns: std::ops::Range<usize>, rows: std::ops::Range<usize>, colour: [u8; 3]| {
            rows.flat_map(|y| columns.clone().map(move |x| (x, y))).any(|(x, y)| pixel(x, y) == colour)
        };
        assert!(has(2 * 106..2 * 149, 2 * 48..2 * 71, [255; 3]));
        assert!(
            has(0..640, 2 * 73..236, [0; 3])
                && has(0..2 * 60, 2 * 48..2 * 71, [0; 3])
                && has(0..640, 0..2 * 44, [0; 3])
        );
    }
}
