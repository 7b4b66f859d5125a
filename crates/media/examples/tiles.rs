//! The tiling job by this crate alone, on one thread: what remains of `manyframe build` without reading records, formatting,
//! counting and packing.
//!
//! ```text
//! tiles PHOTOS OUT exact|lossless|dct    each *.jpg ──▶ its overview and tiles ──▶ OUT, or files in OUT if it is a folder
//! ```
//!
//! With `dct`, tiles are cut without loss, and the overview is scaled from low frequencies.

mod photos;

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use manyframe_media::{Cut, ImagePolicy, OverviewScaling, TilePolicy, tile_image};

use photos::photos_in;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [photos, out, how] = &arguments[..] else { return Err("usage: tiles PHOTOS OUT exact|lossless|dct".into()) };
    let (cut, overview) = match how.as_str() {
        "exact" => (Cut::Exact, OverviewScaling::Pixels),
        "lossless" => (Cut::Lossless, OverviewScaling::Pixels),
        "dct" => (Cut::Lossless, OverviewScaling::Dct),
        other => return Err(format!("{other:?} is none of exact, lossless and dct").into()),
    };
    let settings = TilePolicy { cut, overview, ..TilePolicy::default() };
    let policy = ImagePolicy::default();
    let out = Path::new(out);
    let mut file = if out.is_dir() { None } else { Some(BufWriter::new(File::create(out)?)) };
    let (mut num_lossless, mut num_bytes) = (0, 0);
    for photo in photos_in(Path::new(photos))? {
        let tiled = tile_image(&std::fs::read(&photo)?, &policy, &settings)?;
        num_lossless += u32::from(tiled.cut.is_some_and(|cut| cut.is_lossless));
        for (number, image) in tiled.images.iter().enumerate() {
            num_bytes += image.bytes.len();
            if let Some(file) = &mut file {
                file.write_all(&image.bytes)?;
            } else {
                let stem = photo.file_stem().unwrap_or_default().to_string_lossy();
                let (left, top) = tiled.cut.map_or((0, 0), |cut| cut.offset_px);
                let name = format!("{stem}.{number}.{}x{}+{left}+{top}.jpg", tiled.grid.columns, tiled.grid.rows);
                File::create(out.join(name))?.write_all(&image.bytes)?;
            }
        }
    }
    writeln!(std::io::stdout(), "{num_lossless} cut without loss, {num_bytes} bytes")?;
    Ok(file.map_or(Ok(()), |mut file| file.flush())?)
}
