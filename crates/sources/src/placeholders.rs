//! Placeholders of images and videos in texts: `<image>` and `<video>`, and what other models and trainers have in their place.
//!
//! It knows what they look like. Which medium one shows is decided in `placement.rs`.

use manyframe_core::MediaKind;

use crate::fields::kind_of_path;

/// The mark of an image or a video in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placeholder {
    pub(crate) kind: MediaKind,
    /// The number in it, as in `<image_2>`.
    pub(crate) number: Option<usize>,
}

/// Which placeholders are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forms {
    /// `<image>` and `<video>`.
    Usual,
    /// Tokens of models.
    Tokens,
    /// Tokens of models, and those with a number. In an answer a number may only refer to an image.
    TokensAndNumbers,
}

/// A placeholder with the tokens around it that belong to it.
struct Form {
    kind: MediaKind,
    open: &'static str,
    token: &'static str,
    close: &'static str,
}

const fn image([open, token, close]: [&'static str; 3]) -> Form {
    Form { kind: MediaKind::Image, open, token, close }
}

const fn video([open, token, close]: [&'static str; 3]) -> Form {
    Form { kind: MediaKind::Video, open, token, close }
}

/// Of those that begin alike, the first counts.
const USUAL: &[Form] = &[
    // MiniCPM-V
    image(["(", "<image>", "./</image>)"]),
    video(["(", "<video>", "./</video>)"]),
    image(["", "<image>", "./</image>"]),
    video(["", "<video>", "./</video>"]),
    // MMC4, Otter
    image(["", "<image>", "</image>"]),
    video(["", "<video>", "</video>"]),
    // LLaVA with mm_use_im_start_end
    image(["<im_start>", "<image>", "<im_end>"]),
    // Idefics, where two images have one of these between them
    image(["<fake_token_around_image>", "<image>", "<fake_token_around_image>"]),
    image(["<fake_token_around_image>", "<image>", ""]),
    image(["", "<image>", "<fake_token_around_image>"]),
    image(["", "<image>", ""]),
    video(["", "<video>", ""]),
];

/// As [`USUAL`]. Between two others, a token may be there once for each feature of the image.
const TOKENS: &[Form] = &[
    // Qwen-VL from its second version on
    image(["<|vision_start|>", "<|image_pad|>", "<|vision_end|>"]),
    video(["<|vision_start|>", "<|video_pad|>", "<|vision_end|>"]),
    image(["", "<|image_pad|>", ""]),
    video(["", "<|video_pad|>", ""]),
    // Gemma 3
    image(["<start_of_image>", "<image_soft_token>", "<end_of_image>"]),
    image(["", "<start_of_image>", ""]),
    image(["", "<image_soft_token>", ""]),
    // GLM-4V; alone also Llama 3.2, Molmo, mPLUG-Owl3
    image(["<|begin_of_image|>", "<|image|>", "<|end_of_image|>"]),
    video(["<|begin_of_video|>", "<|video|>", "<|end_of_video|>"]),
    image(["", "<|image|>", ""]),
    video(["", "<|video|>", ""]),
    // InternVL
    image(["<img>", "<IMG_CONTEXT>", "</img>"]),
    image(["", "<IMG_CONTEXT>", ""]),
    // MiniGPT-4, InternLM-XComposer
    image(["<Img>", "<ImageHere>", "</Img>"]),
    image(["", "<ImageHere>", ""]),
    // DeepSeek-VL, Janus
    image(["", "<image_placeholder>", ""]),
    // Kimi-VL, Kimi K2.5
    image(["<|media_start|>image<|media_content|>", "<|media_pad|>", "<|media_end|>"]),
    image(["<|media_begin|>image<|media_content|>", "<|media_pad|>", "<|media_end|>"]),
    image(["", "<|media_pad|>", ""]),
];

/// Texts that look like placeholders and may be text, in lower case.
const LOOK_ALIKES: &[(MediaKind, &str)] = &[
    (MediaKind::Image, "[image]"),
    (MediaKind::Image, "[img]"),
    (MediaKind::Image, "{image}"),
    (MediaKind::Image, "{img}"),
    (MediaKind::Image, "<image>"),
    (MediaKind::Image, "<img>"),
    (MediaKind::Image, "<image/>"),
    (MediaKind::Image, "<image />"),
    (MediaKind::Video, "[video]"),
    (MediaKind::Video, "{video}"),
    (MediaKind::Video, "<video>"),
    (MediaKind::Video, "<video/>"),
    (MediaKind::Video, "<video />"),
];

impl Form {
    /// What follows it, if a text starts with it.
    fn strip<'t>(&self, text: &'t str, repeats: bool) -> Option<&'t str> {
        let mut rest = text.strip_prefix(self.open)?.strip_prefix(self.token)?;
        if repeats && !self.open.is_empty() {
            rest = rest.trim_start_matches(self.token);
        }
        rest.strip_prefix(self.close)
    }
}

/// The placeholder that a text starts with, and what follows it.
pub(crate) fn strip_placeholder(text: &str, forms: Forms) -> Option<(Placeholder, &str)> {
    let (table, repeats) = if forms == Forms::Usual { (USUAL, false) } else { (TOKENS, true) };
    let found = table.iter().find_map(|form| Some((form.kind, form.strip(text, repeats)?)));
    match found {
        Some((kind, rest)) => Some((Placeholder { kind, number: None }, rest)),
        None if forms == Forms::TokensAndNumbers => strip_numbered(text),
        None => None,
    }
}

/// The first place in a text where a placeholder may start.
pub(crate) fn next_start(text: &str) -> Option<usize> {
    memchr::memchr2(b'<', b'(', text.as_bytes())
}

/// Whether a text has a placeholder of other models.
pub(crate) fn has_other(text: &str) -> bool {
    starts(text, b"<").any(|rest| strip_placeholder(rest, Forms::TokensAndNumbers).is_some())
}

/// `<image_2>`, `<|image_1|>` (Phi), `<image_00>` (MiniCPM-V), `<image 1>` (MMMU), `<image1>`.
fn strip_numbered(text: &str) -> Option<(Placeholder, &str)> {
    const MAX_DIGITS: usize = 4;
    let (inside, close) = match text.strip_prefix("<|") {
        Some(inside) => (inside, "|>"),
        None => (text.strip_prefix('<')?, ">"),
    };
    let (word, rest) = inside.split_at_checked("image".len())?;
    let kind = match word {
        "image" | "Image" | "IMAGE" => MediaKind::Image,
        "video" | "Video" | "VIDEO" => MediaKind::Video,
        _ => return None,
    };
    let rest = rest.strip_prefix(['_', ' ', '-']).unwrap_or(rest);
    let num_digits = rest.bytes().take_while(u8::is_ascii_digit).take(MAX_DIGITS).count();
    let (digits, rest) = rest.split_at_checked(num_digits)?;
    let number = digits.parse().ok()?;
    Some((Placeholder { kind, number: Some(number) }, rest.strip_prefix(close)?))
}

/// Something in a text that looks like the placeholder of an image, or in a record with videos of a video.
pub(crate) fn look_alike(text: &str, has_videos: bool) -> Option<&str> {
    starts(text, b"<[{!").find_map(|rest| {
        let is_shown = |kind: MediaKind| kind == MediaKind::Image || has_videos;
        let of_table = LOOK_ALIKES.iter().filter(|(kind, _)| is_shown(*kind)).find_map(|(_, word)| {
            let found = rest.get(..word.len())?;
            found.eq_ignore_ascii_case(word).then_some(found)
        });
        path_between_tags(rest).or(of_table).or_else(|| markdown_image(rest))
    })
}

/// `![…](a.jpg)`.
fn markdown_image(text: &str) -> Option<&str> {
    let line = text.lines().next()?;
    let (label, rest) = line.strip_prefix("![")?.split_once("](")?;
    let (path, _) = rest.split_once(')')?;
    kind_of_path(path)?;
    text.get(.."![](".len() + label.len() + path.len() + ")".len())
}

/// `<img>a.jpg</img>`, as in the first Qwen-VL.
fn path_between_tags(text: &str) -> Option<&str> {
    let line = text.lines().next()?;
    let (path, _) = line.strip_prefix("<img>")?.split_once("</img>")?;
    kind_of_path(path.trim())?;
    text.get(.."<img>".len() + path.len() + "</img>".len())
}

/// What follows each of some bytes in a text, from it on.
fn starts<'t>(text: &'t str, bytes: &'static [u8]) -> impl Iterator<Item = &'t str> {
    let places = text.bytes().enumerate().filter(|(_, byte)| bytes.contains(byte));
    places.filter_map(|(at, _)| text.get(at..))
}
