//! Groups of columns that several tables share: where a record was read, and what its sample costs.
//!
//! The ledger has them, and so do the tables of a plan. They are here because `columnar` knows nothing of records, and
//! `core` nothing of tables.

use std::sync::Arc;

use manyframe_columnar::table;
use manyframe_core::{Cost, Layout, Origin, Position};

table! {
    /// Where a record is in upstream's files.
    pub struct OriginColumns<'r>(origin: &'r Origin) -> Origin {
        /// the annotation file
        file: Arc<str> = &origin.file,
        /// line of its first byte, from 1
        line: Option<u64> as Distinct = byte_position(origin).map(|position| position.line),
        /// its first byte
        offset: Option<u64> as Distinct = byte_position(origin).map(|position| position.offset),
        /// its number of bytes
        num_bytes: Option<u64> = byte_position(origin).map(|position| position.num_bytes),
        /// its row, from 0
        row: Option<u64> = if let Position::Row(row) = origin.position { Some(row) } else { None },
    }
    read {
        let position = match (line, offset, num_bytes, row) {
            (Some(line), Some(offset), Some(num_bytes), None) => Position::Bytes { line, offset, num_bytes },
            (None, None, None, Some(row)) => Position::Row(row),
            (None, None, None, None) => Position::File,
            other => return Err(format!("{other:?} are line, offset, num_bytes and row, of which some are missing")),
        };
        Ok(Origin { file, position })
    }
}

struct BytePosition {
    line: u64,
    offset: u64,
    num_bytes: u64,
}

fn byte_position(origin: &Origin) -> Option<BytePosition> {
    match origin.position {
        Position::Bytes { line, offset, num_bytes } => Some(BytePosition { line, offset, num_bytes }),
        Position::Row(_) | Position::File => None,
    }
}

table! {
    /// The layout and exact cost of a sample; all absent where it was not measured.
    pub struct MeasuredColumns<'r>(measured: Option<(Cost, Layout)>) -> Option<(Cost, Layout)> {
        /// temporal, spatial, image or text
        layout: Option<Arc<str>> = measured.map(|(_, layout)| layout.as_str()),
        /// tokens of text, delimiters and template included
        text_tokens: Option<u64> = measured.map(|(cost, _)| cost.text_tokens),
        /// those of text that the delimiters of visuals add
        delimiter_tokens: Option<u64> = measured.map(|(cost, _)| cost.delimiter_tokens),
        /// tokens of images
        visual_tokens: Option<u64> = measured.map(|(cost, _)| cost.visual_tokens),
        /// images; frames and tiles count
        num_images: Option<u64> = measured.map(|(cost, _)| cost.num_images),
        /// those that are frames
        num_frames: Option<u64> = measured.map(|(cost, _)| cost.num_frames),
    }
    read {
        match (layout, text_tokens, delimiter_tokens, visual_tokens, num_images, num_frames) {
            (
                Some(layout),
                Some(text_tokens),
                Some(delimiter_tokens),
                Some(visual_tokens),
                Some(num_images),
                Some(num_frames),
            ) => {
                let cost = Cost { text_tokens, delimiter_tokens, visual_tokens, num_images, num_frames };
                let layout = Layout::from_text(&layout).ok_or_else(|| format!("unknown layout {layout:?}"))?;
                Ok(Some((cost, layout)))
            }
            (None, None, None, None, None, None) => Ok(None),
            other => Err(format!("{other:?} are its layout and cost, of which some are missing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use manyframe_columnar::check_round_trip;

    use super::*;

    #[test]
    fn every_column_holds_its_own_field() {
        let folder = tempfile::tempdir().unwrap();
        let origin = |position| Origin { file: "a.json".into(), position };
        let origins = [
            origin(Position::Bytes { line: 1, offset: 2, num_bytes: 3 }),
            origin(Position::Row(4)),
            origin(Position::File),
        ];
        check_round_trip::<OriginColumns, _>(folder.path(), &origins).unwrap();
    }
}
