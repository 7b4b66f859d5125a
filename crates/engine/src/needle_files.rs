//! The files of an evaluation set that is exported: what questions show, once for all that show the same.
//!
//! | file | what is in it |
//! |---|---|
//! | `videos/GROUP.avi` | the frames as they are, a file for each group of permutations |
//! | `images/VISUALS/NNNN.jpg` | frames or images as they are |

use manyframe_base::FileError;
use manyframe_core::{Sample, SampleImage};
use manyframe_media::write_motion_jpeg;
use std::collections::BTreeMap;

use crate::error::EngineError;
use crate::export_files::ExportFiles;
use crate::exported::Exported;

/// Files that are written to a directory, by what they show.
pub(crate) struct NeedleFiles<'p> {
    files: &'p mut ExportFiles,
    /// What is before the path of a file where a question names it.
    prefix: &'p str,
    videos: BTreeMap<String, String>,
    images: BTreeMap<String, Vec<String>>,
    /// Number of the images in them.
    pub(crate) done: Exported,
}

impl<'p> NeedleFiles<'p> {
    /// Into a directory, named with a prefix.
    pub(crate) fn of((files, prefix): (&'p mut ExportFiles, &'p str)) -> Self {
        let (videos, images, done) = (BTreeMap::new(), BTreeMap::new(), Exported::default());
        Self { files, prefix, videos, images, done }
    }

    /// The video of a group, as a question names it; `None` if it has none.
    pub(crate) fn video(&self, group: &str) -> Option<&str> {
        self.videos.get(group).map(String::as_str)
    }

    /// The images that are shown, as a question names them; `None` if there are none.
    pub(crate) fn images(&self, visuals: &str) -> Option<&[String]> {
        self.images.get(visuals).map(Vec::as_slice)
    }

    /// Writes the frames of a sample as the video of its group, if there is none yet.
    pub(crate) fn add_video(&mut self, group: &str, sample: &Sample) -> Result<(), EngineError> {
        if self.videos.contains_key(group) {
            return Ok(());
        }
        let name = format!("videos/{group}.avi");
        let frames: Vec<&[u8]> = sample.images.iter().map(|image| image.bytes.as_slice()).collect();
        let size_px = sample.images.first().map_or((0, 0), |image: &SampleImage| (image.width_px, image.height_px));
        let times_s = sample.visuals.first().map_or(&[][..], |visual| visual.times_s.as_slice());
        let interval_s = if let [first, second, ..] = times_s { second - first } else { 1.0 };
        let mut file = self.files.start(&name)?;
        write_motion_jpeg(&mut file, &frames, (size_px, interval_s)).map_err(FileError::write(file.path()))?;
        self.files.add(file)?;
        self.done.num_images += sample.images.len() as u64;
        self.videos.insert(group.to_owned(), format!("{}{name}", self.prefix));
        Ok(())
    }

    /// Writes the images of a sample, if those that show the same are not there yet.
    pub(crate) fn add_images(&mut self, visuals: &str, sample: &Sample) -> Result<(), EngineError> {
        if self.images.contains_key(visuals) {
            return Ok(());
        }
        let mut names = Vec::new();
        for (number, image) in sample.images.iter().enumerate() {
            let name = format!("images/{visuals}/{number:04}.{}", image.format.extension());
            self.files.write(&name, &image.bytes)?;
            names.push(format!("{}{name}", self.prefix));
        }
        self.done.num_images += names.len() as u64;
        self.images.insert(visuals.to_owned(), names);
        Ok(())
    }
}
