//! What the names of directories say about the images in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What directories of images are called.
const USUAL: &[&str] =
    &["image", "images", "img", "imgs", "jpegimages", "photo", "photos", "pic", "pics", "picture", "pictures", "rgb"];

/// What directories are called that have files under the names of images, and are not the images.
const ASIDE: &[&str] = &[
    "annotation",
    "annotations",
    "backup",
    "backups",
    "bak",
    "depth",
    "depths",
    "edge",
    "edges",
    "heatmap",
    "heatmaps",
    "label",
    "labels",
    "mask",
    "masks",
    "normals",
    "old",
    "overlay",
    "overlays",
    "preview",
    "previews",
    "seg",
    "segmentation",
    "segmentations",
    "thumb",
    "thumbnail",
    "thumbnails",
    "thumbs",
];

/// Whether a place is called after images.
pub(super) fn is_usual(root: &Path, annotations: &Path) -> bool {
    own_words(root, annotations).iter().any(|word| USUAL.contains(&word.as_str()))
}

/// Whether a place is called after what is made of images, and the annotations are not.
pub(super) fn is_aside(root: &Path, annotations: &Path) -> bool {
    let asked = words_of_name(annotations);
    own_words(root, annotations).iter().any(|word| ASIDE.contains(&word.as_str()) && !asked.contains(word))
}

/// How many words of the name of the annotations are in the path of a place, behind what the two paths share: `ann_train.json` and
/// `images_train`, `beta.json` and `beta/images`, `data_1.json` and `images_1`.
pub(super) fn num_shared_words(root: &Path, annotations: &Path) -> usize {
    let path = own_words(root, annotations);
    // `train.json` and `trainimages`, too, but not 1 and 10.
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let is_part = |it: &String, word: &String| !is_number(word) && (it.starts_with(word) || it.ends_with(word));
    let is_in = |word: &&String| path.contains(*word) || path.iter().any(|it| is_part(it, word));
    words_of_name(annotations).iter().filter(is_in).count()
}

fn words_of_name(annotations: &Path) -> BTreeSet<String> {
    words(&annotations.file_stem().unwrap_or_default().to_string_lossy())
}

/// The words of the path of a place, behind what it shares with that of the annotations.
fn own_words(root: &Path, annotations: &Path) -> BTreeSet<String> {
    let num_shared = root.components().zip(annotations.components()).take_while(|(a, b)| a == b).count();
    let rest: PathBuf = root.components().skip(num_shared).collect();
    words(&rest.to_string_lossy())
}

/// Letters and digits in a row, small.
fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_places_say_what_is_in_them_behind_the_path_of_the_annotations() {
        for (root, annotations, expected) in [
            ("/labels/images", "/labels/train.json", (true, false, 0)),
            ("/labels", "/labels/train.json", (false, false, 0)),
            ("/masks/train", "/train.json", (false, true, 1)),
            ("/masks/train", "/masks_train.json", (false, false, 2)),
            ("/JPEGImages", "/a.json", (true, false, 0)),
            ("/images_1", "/data_1.json", (true, false, 1)),
            ("/images_10", "/data_1.json", (true, false, 0)),
            ("/trainimages", "/train.json", (false, false, 1)),
        ] {
            let (root, annotations) = (Path::new(root), Path::new(annotations));
            let found = (is_usual(root, annotations), is_aside(root, annotations), num_shared_words(root, annotations));
            assert_eq!(found, expected, "{root:?} {annotations:?}");
        }
    }
}
