//! The items of an AVIF image: the primary one, its tiles, its transparency, and what is said about them.

use super::boxes::Fields;
use crate::metadata::Metadata;

/// Most items and properties that a file may have.
const MOST: u64 = 4096;

/// Why an image was not read.
#[derive(Debug)]
pub(crate) enum NotRead {
    /// The bytes end before it is described.
    Incomplete,
    /// It is of a kind that is not decoded, and which; the text continues "the AVIF …".
    Unsupported(String),
    /// Its description contradicts itself; the text continues "the AVIF …".
    Damaged(String),
}

/// An AVIF image.
#[derive(Debug)]
pub(crate) struct AvifImage<'a> {
    /// Width and height as stored.
    pub size_px: (u32, u32),
    /// How it is turned, 1 to 8.
    pub orientation: u8,
    /// Whether the file has further images.
    pub is_animated: bool,
    items: Vec<Item<'a>>,
    item_data: &'a [u8],
    primary: u64,
}

/// Images that are coded each on its own, in rows.
#[derive(Debug)]
pub(crate) struct Tiles {
    pub columns: usize,
    pub rows: usize,
    /// How colours are coded, if the file says so: it then counts more than what coded images say.
    pub colors: Option<ColorCode>,
    pub images: Vec<Coded>,
}

/// How colours are coded, by numbers of ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ColorCode {
    pub primaries: u16,
    pub matrix: u16,
    /// Whether all codes are used, and not only those from 16 to 235 or 240.
    pub is_full_range: bool,
}

/// The items of which an image is put together, in rows.
struct Grid<'i, 'a> {
    columns: usize,
    rows: usize,
    parts: Vec<&'i Item<'a>>,
}

/// An image coded in AV1.
#[derive(Debug)]
pub(crate) struct Coded {
    pub size_px: (u32, u32),
    pub bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Item<'a> {
    id: u64,
    kind: [u8; 4],
    /// Whether it is XMP.
    is_xmp: bool,
    /// Whether its extents are in the box `idat`, not in the file.
    is_in_box: bool,
    /// Position and size of its parts.
    extents: Vec<(u64, u64)>,
    properties: Vec<Property<'a>>,
    /// A property of a kind that a reader has to know and does not, or that is not marked so, and what is wrong with it.
    misread: Option<([u8; 4], &'static str)>,
    /// The items that it refers to, by the kind of reference.
    references: Vec<([u8; 4], u64)>,
}

#[derive(Debug, Clone, Copy)]
enum Property<'a> {
    Size((u32, u32)),
    /// The header of the coded images.
    Config(&'a [u8]),
    /// Quarter turns against the clock.
    Rotation(u8),
    /// 0 turns it upside down, 1 swaps left and right.
    Mirror(u8),
    Colors(ColorCode),
    Alpha,
    Other,
}

impl<'a> AvifImage<'a> {
    /// Reads the description at the beginning of a file.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, NotRead> {
        let mut file = Fields::of(bytes);
        let mut is_sequence = false;
        loop {
            let Some((kind, content)) = file.next_box() else { return Err(NotRead::Incomplete) };
            match &kind {
                b"ftyp" => is_sequence = content.rest.as_chunks::<4>().0.contains(b"avis"),
                b"moov" => {
                    let why = "is a sequence without a still image, which is not decoded";
                    return Err(NotRead::Unsupported(why.to_owned()));
                }
                b"meta" => {
                    let damaged = || NotRead::Damaged("has a damaged description".to_owned());
                    return Self::from_meta(content, is_sequence).ok_or_else(damaged)?.checked();
                }
                _ => {}
            }
        }
    }

    fn from_meta(mut meta: Fields<'a>, is_animated: bool) -> Option<Self> {
        meta.version_and_flags()?;
        let mut found =
            Self { size_px: (0, 0), orientation: 1, is_animated, items: Vec::new(), item_data: &[], primary: 0 };
        let mut later = Vec::new();
        for (kind, mut content) in meta.boxes() {
            match &kind {
                b"pitm" => {
                    let (version, _) = content.version_and_flags()?;
                    found.primary = content.number(if version == 0 { 2 } else { 4 })?;
                }
                b"iinf" => found.items = read_items(content)?,
                b"idat" => found.item_data = content.rest,
                b"iloc" | b"iprp" | b"iref" => later.push((kind, content)),
                _ => {}
            }
        }
        for (kind, content) in later {
            match &kind {
                b"iloc" => found.read_extents(content)?,
                b"iref" => found.read_references(content)?,
                _ => found.read_properties(content)?,
            }
        }
        Some(found)
    }

    fn checked(mut self) -> Result<Self, NotRead> {
        let damaged = |why: &str| NotRead::Damaged(why.to_owned());
        let primary = self.item(self.primary).ok_or_else(|| damaged("does not have the image that it names"))?;
        primary.ensure_understood()?;
        match &primary.kind {
            b"av01" | b"grid" => {}
            kind => {
                let name = String::from_utf8_lossy(kind).into_owned();
                return Err(NotRead::Unsupported(format!("holds an image of kind {name:?}, which is not decoded")));
            }
        }
        let size_px = primary.size_px().ok_or_else(|| damaged("does not state its size"))?;
        let orientation = primary.orientation();
        self.size_px = size_px;
        self.orientation = orientation;
        Ok(self)
    }

    /// The orientation, for an image that is not turned by its properties: XMP counts where EXIF does not speak, as in Pillow.
    /// `read` returns parts of the file.
    pub(crate) fn orientation_by_metadata<E>(&self, read: impl Fn(u64, u64) -> Result<Vec<u8>, E>) -> Result<u8, E> {
        let item = |is_wanted: &dyn Fn(&Item<'_>) -> bool| {
            self.items.iter().find(|item| is_wanted(item) && !item.is_in_box).map(|item| {
                let parts = item.extents.iter().map(|&(start, num_bytes)| read(start, num_bytes));
                parts.collect::<Result<Vec<_>, _>>().map(|parts| parts.concat())
            })
        };
        if self.orientation != 1 {
            return Ok(self.orientation);
        }
        let Some(xmp) = item(&|item| item.is_xmp).transpose()? else { return Ok(1) };
        let exif = item(&|item| &item.kind == b"Exif").transpose()?;
        // Four bytes say where the block starts.
        let exif = exif.as_deref().and_then(|exif| {
            let skipped = Fields::of(exif).number(4)?;
            exif.get(4 + usize::try_from(skipped).ok()?..)
        });
        // An orientation in EXIF is replaced by that of the properties, which is 1.
        let says_nothing = exif.is_none_or(|exif| !crate::metadata::has_orientation(exif));
        Ok(if says_nothing { Metadata { exif: None, xmp: Some(&xmp) }.orientation() } else { 1 })
    }

    /// The coded images of the picture.
    pub(crate) fn color_tiles(&self, bytes: &[u8]) -> Result<Tiles, NotRead> {
        self.tiles(self.primary, bytes)
    }

    /// The coded images of its transparency, and whether colours are multiplied with it already. That of a grid is another grid, or
    /// beside each tile.
    pub(crate) fn alpha_tiles(&self, bytes: &[u8]) -> Result<Option<(Tiles, bool)>, NotRead> {
        if let Some(alpha) = self.alpha_of(self.primary) {
            return Ok(Some((self.tiles(alpha.id, bytes)?, self.is_premultiplied(self.primary, alpha))));
        }
        let primary = self.item(self.primary).ok_or_else(no_image)?;
        if &primary.kind != b"grid" {
            return Ok(None);
        }
        let Grid { columns, rows, parts } = self.grid(primary, bytes)?;
        let alphas: Vec<&Item<'_>> = parts.iter().filter_map(|part| self.alpha_of(part.id)).collect();
        if alphas.is_empty() {
            return Ok(None);
        }
        let is_premultiplied = parts.iter().zip(&alphas).any(|(part, alpha)| self.is_premultiplied(part.id, alpha));
        if alphas.len() < parts.len() || is_premultiplied {
            return Err(NotRead::Unsupported("has transparency in some of its tiles, which is not decoded".to_owned()));
        }
        let colors = alphas.first().and_then(|alpha| alpha.colors());
        let images = alphas.into_iter().map(|alpha| self.coded(alpha, bytes)).collect::<Option<_>>();
        Ok(Some((Tiles { columns, rows, colors, images: images.ok_or_else(no_image)? }, false)))
    }

    /// The transparency of an item.
    fn alpha_of(&self, id: u64) -> Option<&Item<'a>> {
        self.items.iter().find(|item| {
            item.references.contains(&(*b"auxl", id))
                && item.properties.iter().any(|property| matches!(property, Property::Alpha))
        })
    }

    fn is_premultiplied(&self, id: u64, alpha: &Item<'_>) -> bool {
        self.item(id).is_some_and(|item| item.references.contains(&(*b"prem", alpha.id)))
    }

    fn tiles(&self, id: u64, bytes: &[u8]) -> Result<Tiles, NotRead> {
        let item = self.item(id).ok_or_else(no_image)?;
        if &item.kind != b"grid" {
            let images = vec![self.coded(item, bytes).ok_or_else(no_image)?];
            return Ok(Tiles { columns: 1, rows: 1, colors: item.colors(), images });
        }
        let Grid { columns, rows, parts } = self.grid(item, bytes)?;
        let colors = item.colors().or_else(|| parts.first().and_then(|part| part.colors()));
        let images =
            parts.into_iter().map(|part| self.coded(part, bytes)).collect::<Option<_>>().ok_or_else(no_image)?;
        Ok(Tiles { columns, rows, colors, images })
    }

    fn grid(&self, item: &Item<'_>, bytes: &[u8]) -> Result<Grid<'_, 'a>, NotRead> {
        let content = self.content(item, bytes).ok_or_else(no_image)?;
        let mut fields = Fields::of(&content);
        fields.take(2).ok_or_else(no_image)?;
        let mut length = || fields.number(1).map(|one_less| one_less as usize + 1).ok_or_else(no_image);
        let (rows, columns) = (length()?, length()?);
        let parts = item.references.iter().filter(|(kind, _)| kind == b"dimg").map(|&(_, id)| self.item(id));
        let parts = parts.collect::<Option<Vec<_>>>().filter(|parts| parts.len() == rows * columns);
        let parts = parts.ok_or_else(no_image)?;
        parts.iter().try_for_each(|part| part.ensure_understood())?;
        let sizes = parts.first().and_then(|part| part.size_px()).zip(item.size_px());
        let is_beyond = |tile: u32, number: usize, whole: u32| u64::from(tile) * (number as u64 - 1) >= whole.into();
        if sizes.is_some_and(|(tile, whole)| is_beyond(tile.0, columns, whole.0) || is_beyond(tile.1, rows, whole.1)) {
            return Err(NotRead::Damaged("has tiles outside of its picture".to_owned()));
        }
        // MIAF (ISO/IEC 23000-22), 7.3.11.4.2.
        let (halves_columns, halves_rows) = parts.first().map(|part| part.halved_colors()).unwrap_or_default();
        let is_odd = |(width, height): (u32, u32)| halves_columns && width % 2 == 1 || halves_rows && height % 2 == 1;
        if sizes.is_some_and(|(tile, whole)| is_odd(tile) || is_odd(whole)) {
            let why = "has a grid of an odd size, which the standard forbids where colours have half the resolution";
            return Err(NotRead::Damaged(why.to_owned()));
        }
        if sizes.is_some_and(|(tile, _)| tile.0 < 64 || tile.1 < 64) {
            return Err(NotRead::Damaged("has tiles of fewer than 64 pixels, which the standard forbids".to_owned()));
        }
        Ok(Grid { columns, rows, parts })
    }

    fn coded(&self, item: &Item<'_>, bytes: &[u8]) -> Option<Coded> {
        let config = item.properties.iter().find_map(|property| match property {
            // The first four bytes repeat what the header of the sequence says.
            Property::Config(config) => config.get(4..),
            _ => None,
        });
        let mut coded = config.unwrap_or_default().to_vec();
        coded.extend(self.content(item, bytes)?);
        Some(Coded { size_px: item.size_px()?, bytes: coded })
    }

    fn content(&self, item: &Item<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
        let place = if item.is_in_box { self.item_data } else { bytes };
        let mut content = Vec::new();
        for &(start, num_bytes) in &item.extents {
            let rest = place.get(usize::try_from(start).ok()?..)?;
            // No size means all that follows.
            let part = if num_bytes == 0 { rest } else { rest.get(..usize::try_from(num_bytes).ok()?)? };
            if content.len() + part.len() > place.len() {
                return None;
            }
            content.extend_from_slice(part);
        }
        Some(content)
    }

    fn item(&self, id: u64) -> Option<&Item<'a>> {
        self.items.iter().find(|item| item.id == id)
    }

    fn item_mut(&mut self, id: u64) -> Option<&mut Item<'a>> {
        self.items.iter_mut().find(|item| item.id == id)
    }

    fn read_extents(&mut self, mut iloc: Fields<'a>) -> Option<()> {
        let (version, _) = iloc.version_and_flags()?;
        let sizes = iloc.number(2)?;
        let size = |shift: u32| (sizes >> shift & 15) as usize;
        let (offset_bytes, length_bytes, base_bytes) = (size(12), size(8), size(4));
        let index_bytes = if version == 0 { 0 } else { size(0) };
        let id_bytes = if version < 2 { 2 } else { 4 };
        let num_items = iloc.number(id_bytes)?;
        if [offset_bytes, length_bytes, base_bytes, index_bytes].iter().any(|&bytes| bytes > 8) {
            return None;
        }
        for _ in 0..num_items.min(MOST) {
            let id = iloc.number(id_bytes)?;
            let place = if version == 0 { 0 } else { iloc.number(2)? & 15 };
            iloc.number(2)?;
            let base = iloc.number(base_bytes)?;
            let num_extents = iloc.number(2)?;
            let mut extents = Vec::new();
            for _ in 0..num_extents.min(MOST) {
                iloc.number(index_bytes)?;
                let start = base.checked_add(iloc.number(offset_bytes)?)?;
                extents.push((start, iloc.number(length_bytes)?));
            }
            if let Some(item) = self.item_mut(id) {
                item.is_in_box = place == 1;
                item.extents = extents;
            }
        }
        Some(())
    }

    fn read_references(&mut self, mut iref: Fields<'a>) -> Option<()> {
        let (version, _) = iref.version_and_flags()?;
        let id_bytes = if version == 0 { 2 } else { 4 };
        for (kind, mut reference) in iref.boxes() {
            let from = reference.number(id_bytes)?;
            let num_items = reference.number(2)?;
            for _ in 0..num_items.min(MOST) {
                let to = reference.number(id_bytes)?;
                if let Some(item) = self.item_mut(from) {
                    item.references.push((kind, to));
                }
            }
        }
        Some(())
    }

    fn read_properties(&mut self, iprp: Fields<'a>) -> Option<()> {
        let mut properties = Vec::new();
        for (kind, mut content) in iprp.boxes() {
            match &kind {
                b"ipco" => {
                    let read = |(kind, content): ([u8; 4], Fields<'a>)| (kind, property((kind, content)));
                    properties.extend(content.boxes().take(MOST as usize).map(read));
                }
                b"ipma" => {
                    let (version, flags) = content.version_and_flags()?;
                    let num_items = content.number(4)?;
                    for _ in 0..num_items.min(MOST) {
                        let id = content.number(if version < 1 { 2 } else { 4 })?;
                        for _ in 0..content.number(1)? {
                            let is_wide = flags & 1 == 1;
                            let index = content.number(if is_wide { 2 } else { 1 })?;
                            let marks = if is_wide { 0x8000 } else { 0x80 };
                            let (is_essential, index) = (index & marks != 0, index & (marks - 1));
                            let named = (index as usize).checked_sub(1).and_then(|index| properties.get(index));
                            if let (Some(&(kind, property)), Some(item)) = (named, self.item_mut(id)) {
                                item.properties.push(property);
                                item.misread = item.misread.or(misread(kind, is_essential).map(|why| (kind, why)));
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        Some(())
    }
}

impl Item<'_> {
    /// The standard forbids to show an image without what is marked as essential to it.
    fn ensure_understood(&self) -> Result<(), NotRead> {
        let Some((kind, why)) = self.misread else { return Ok(()) };
        Err(NotRead::Unsupported(format!("has a property {:?} {why}", String::from_utf8_lossy(&kind))))
    }

    fn size_px(&self) -> Option<(u32, u32)> {
        self.properties.iter().find_map(|property| match property {
            Property::Size(size_px) => Some(*size_px),
            _ => None,
        })
    }

    /// Whether colours have half as many columns, and half as many rows, as brightness.
    fn halved_colors(&self) -> (bool, bool) {
        let configs = self.properties.iter().filter_map(|property| match property {
            Property::Config(config) => config.get(2).copied(),
            _ => None,
        });
        // AV1 in ISOBMFF, 2.3.3: monochrome, then the two of them.
        let is_set = |flags: u8, bit: u8| flags & bit != 0;
        let halved = |flags| (!is_set(flags, 0x10) && is_set(flags, 0x08), !is_set(flags, 0x10) && is_set(flags, 0x04));
        configs.map(halved).next().unwrap_or_default()
    }

    fn colors(&self) -> Option<ColorCode> {
        self.properties.iter().find_map(|property| match property {
            Property::Colors(colors) => Some(*colors),
            _ => None,
        })
    }

    /// Rotation, then mirror, as an orientation of EXIF.
    fn orientation(&self) -> u8 {
        let (mut turns, mut mirror) = (0, None);
        for property in &self.properties {
            match property {
                Property::Rotation(quarters) => turns = *quarters,
                Property::Mirror(axis) => mirror = Some(*axis),
                _ => {}
            }
        }
        match (turns, mirror) {
            (1, None) => 8,
            (2, None) => 3,
            (3, None) => 6,
            (1, Some(0)) | (3, Some(1)) => 5,
            (1, Some(_)) | (3, Some(0)) => 7,
            (2, Some(0)) | (0, Some(1)) => 2,
            (2, Some(_)) | (0, Some(0)) => 4,
            _ => 1,
        }
    }
}

fn no_image() -> NotRead {
    NotRead::Damaged("refers to images that it does not have".to_owned())
}

fn read_items(mut iinf: Fields<'_>) -> Option<Vec<Item<'static>>> {
    let (version, _) = iinf.version_and_flags()?;
    iinf.number(if version == 0 { 2 } else { 4 })?;
    let mut items = Vec::new();
    for (kind, mut entry) in iinf.boxes().take(MOST as usize) {
        if &kind != b"infe" {
            continue;
        }
        let (version, _) = entry.version_and_flags()?;
        let id = entry.number(if version < 3 { 2 } else { 4 })?;
        entry.number(2)?;
        let kind = *entry.take(4)?.first_chunk()?;
        let _name = entry.text();
        let is_xmp = &kind == b"mime" && entry.text() == Some(b"application/rdf+xml");
        items.push(Item { id, kind, is_xmp, ..Item::default() });
    }
    Some(items)
}

/// What is wrong with a property of a kind, as libavif says it.
fn misread(kind: [u8; 4], is_essential: bool) -> Option<&'static str> {
    /// Kinds that libavif knows, whether or not they change the picture.
    const KNOWN: [&[u8; 4]; 13] = [
        b"ispe", b"auxC", b"colr", b"av1C", b"pasp", b"clap", b"irot", b"imir", b"pixi", b"a1op", b"lsel", b"a1lx",
        b"clli",
    ];
    let changes_picture = matches!(&kind, b"clap" | b"irot" | b"imir" | b"a1op" | b"lsel");
    match (KNOWN.contains(&&kind), is_essential) {
        (false, true) => Some("that is essential to it, and is not known"),
        (true, true) if &kind == b"a1lx" => Some("that must not be marked as essential, and is"),
        (true, false) if changes_picture => Some("that has to be marked as essential, and is not"),
        _ => None,
    }
}

fn property((kind, mut content): ([u8; 4], Fields<'_>)) -> Property<'_> {
    let mut read = || match &kind {
        b"ispe" => {
            content.version_and_flags()?;
            Some(Property::Size((content.number(4)? as u32, content.number(4)? as u32)))
        }
        b"av1C" => Some(Property::Config(content.rest)),
        b"irot" => content.number(1).map(|angle| Property::Rotation(angle as u8 & 3)),
        b"imir" => content.number(1).map(|axis| Property::Mirror(axis as u8 & 1)),
        b"colr" if content.take(4)? == b"nclx" => {
            let mut number = |num_bytes| content.number(num_bytes).map(|number| number as u16);
            let (primaries, _transfer, matrix) = (number(2)?, number(2)?, number(2)?);
            Some(Property::Colors(ColorCode { primaries, matrix, is_full_range: number(1)? & 0x80 != 0 }))
        }
        b"auxC" => {
            content.version_and_flags()?;
            let name = content.text()?;
            let is_alpha =
                name == b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha" || name == b"urn:mpeg:hevc:2015:auxid:1";
            is_alpha.then_some(Property::Alpha)
        }
        _ => None,
    };
    read().unwrap_or(Property::Other)
}
