//! What a baseline JPEG of one scan states before its coded data (ITU-T T.81, annex B).

use super::huffman::HuffmanCode;
use crate::probe::for_each_segment;

/// Samples along a side of a block.
pub(super) const BLOCK: u32 = 8;

/// The tables of a baseline JPEG with one scan.
pub(super) struct Baseline {
    pub(super) size_px: (u32, u32),
    /// The marker of its frame: baseline, or extended, which is the same with more tables.
    pub(super) frame_marker: u8,
    /// One, or three: brightness, and the colour channels.
    pub(super) components: Vec<Component>,
    /// Blocks of a unit (MCU) in each direction, of the component with most of them.
    pub(super) unit_blocks: (u32, u32),
    /// Units from one restart to the next; 0 if there are none.
    pub(super) restart_interval: u32,
    /// In the order of the coefficients, by number.
    pub(super) quantisation: [Option<[u8; 64]>; 4],
    /// Codes of differences of means, and of coefficients, by number.
    pub(super) dc_codes: [Option<HuffmanCode>; 4],
    pub(super) ac_codes: [Option<HuffmanCode>; 4],
}

/// A channel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Blocks of a unit in each direction.
    pub(super) unit_blocks: (u32, u32),
    /// Numbers of its tables.
    pub(super) quantisation: usize,
    pub(super) dc_code: usize,
    pub(super) ac_code: usize,
}

impl Baseline {
    /// The tables, and everything from the coded data on. `None` if the file is of another kind, or unusual.
    pub(super) fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut tables = Self {
            size_px: (0, 0),
            frame_marker: 0,
            components: Vec::new(),
            unit_blocks: (1, 1),
            restart_interval: 0,
            quantisation: [None; 4],
            dc_codes: Default::default(),
            ac_codes: Default::default(),
        };
        let mut is_usual = true;
        let scan_at = for_each_segment(bytes, |marker, content| {
            is_usual &= tables.add_segment(marker, content).is_some();
            Ok(())
        });
        let (_marker, scan) = bytes.get(scan_at.ok()?..)?.split_first_chunk::<2>()?;
        let (length, _) = scan.split_first_chunk::<2>()?;
        let (header, coded) = scan.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        tables.add_scan(header.get(2..)?)?;
        (is_usual && tables.is_complete()).then_some((tables, coded))
    }

    /// Width and height of a unit in pixels.
    pub(super) fn unit_px(&self) -> (u32, u32) {
        (self.unit_blocks.0 * BLOCK, self.unit_blocks.1 * BLOCK)
    }

    /// Units of the image in each direction.
    pub(super) fn num_units(&self) -> (u32, u32) {
        let (unit_width, unit_height) = self.unit_px();
        (self.size_px.0.div_ceil(unit_width), self.size_px.1.div_ceil(unit_height))
    }

    /// Samples of a component in each direction.
    pub(super) fn num_samples(&self, component: &Component) -> (u32, u32) {
        let of = |size_px: u32, own: u32, most: u32| (size_px * own).div_ceil(most);
        (
            of(self.size_px.0, component.unit_blocks.0, self.unit_blocks.0),
            of(self.size_px.1, component.unit_blocks.1, self.unit_blocks.1),
        )
    }

    fn add_segment(&mut self, marker: u8, content: &[u8]) -> Option<()> {
        match marker {
            0xc0 | 0xc1 => self.add_frame(marker, content),
            0xc4 => self.add_codes(content),
            0xdb => self.add_quantisation(content),
            0xdd => {
                let &[high, low] = content else { return None };
                self.restart_interval = u32::from(u16::from_be_bytes([high, low]));
                Some(())
            }
            // Application data and comments.
            0xe0..=0xef | 0xfe => Some(()),
            _ => None,
        }
    }

    fn add_frame(&mut self, marker: u8, content: &[u8]) -> Option<()> {
        let (&[8, h0, h1, w0, w1, num_components @ (1 | 3)], components) = content.split_first_chunk::<6>()? else {
            return None;
        };
        let (components, []) = components.as_chunks::<3>() else { return None };
        if !self.components.is_empty() || components.len() != usize::from(num_components) {
            return None;
        }
        self.frame_marker = marker;
        self.size_px = (u16::from_be_bytes([w0, w1]).into(), u16::from_be_bytes([h0, h1]).into());
        for &[id, sampling, quantisation] in components {
            let unit_blocks = match (num_components, sampling >> 4, sampling & 15) {
                // The units of a single component are its blocks.
                (1, 1..=4, 1..=4) => (1, 1),
                (_, columns @ 1..=4, rows @ 1..=4) => (columns.into(), rows.into()),
                _ => return None,
            };
            self.components.push(Component {
                id,
                unit_blocks,
                quantisation: quantisation.into(),
                dc_code: usize::MAX,
                ac_code: usize::MAX,
            });
            self.unit_blocks = (self.unit_blocks.0.max(unit_blocks.0), self.unit_blocks.1.max(unit_blocks.1));
        }
        Some(())
    }

    fn add_codes(&mut self, mut content: &[u8]) -> Option<()> {
        while let Some((&number, rest)) = content.split_first() {
            let codes = match number >> 4 {
                0 => &mut self.dc_codes,
                1 => &mut self.ac_codes,
                _ => return None,
            };
            let (code, rest) =
                HuffmanCode::parse(rest).filter(|(code, _)| number >> 4 == 1 || code.has_sizes_only())?;
            *codes.get_mut(usize::from(number & 15))? = Some(code);
            content = rest;
        }
        Some(())
    }

    /// Only tables of 8 bits, all that baseline files may have.
    fn add_quantisation(&mut self, mut content: &[u8]) -> Option<()> {
        while let Some((&number, rest)) = content.split_first() {
            let (&steps, rest) = rest.split_first_chunk::<64>()?;
            *self.quantisation.get_mut(usize::from(number)).filter(|_| !steps.contains(&0))? = Some(steps);
            content = rest;
        }
        Some(())
    }

    /// The header of a scan, which must be of all components and of all coefficients.
    fn add_scan(&mut self, header: &[u8]) -> Option<()> {
        let (&num_components, rest) = header.split_first()?;
        let (components, &[0, 63, 0]) = rest.split_at_checked(2 * usize::from(num_components))? else { return None };
        let (components, _) = components.as_chunks::<2>();
        if components.len() != self.components.len() {
            return None;
        }
        for (component, &[id, codes]) in self.components.iter_mut().zip(components) {
            if component.id != id {
                return None;
            }
            (component.dc_code, component.ac_code) = (usize::from(codes >> 4), usize::from(codes & 15));
        }
        Some(())
    }

    /// Whether every table is there, and components have a whole fraction of each other's resolution.
    fn is_complete(&self) -> bool {
        const MOST_BLOCKS: u32 = 10;
        let num_blocks: u32 = self.components.iter().map(|one| one.unit_blocks.0 * one.unit_blocks.1).sum();
        let is_whole = |component: &Component| {
            self.unit_blocks.0.is_multiple_of(component.unit_blocks.0)
                && self.unit_blocks.1.is_multiple_of(component.unit_blocks.1)
                && matches!(self.quantisation.get(component.quantisation), Some(Some(_)))
                && matches!(self.dc_codes.get(component.dc_code), Some(Some(_)))
                && matches!(self.ac_codes.get(component.ac_code), Some(Some(_)))
        };
        let is_distinct = match &self.components[..] {
            [_] => true,
            [y, cb, cr] => y.id != cb.id && cb.id != cr.id && y.id != cr.id,
            _ => false,
        };
        let has_pixels = self.size_px.0 > 0 && self.size_px.1 > 0;
        has_pixels && is_distinct && num_blocks <= MOST_BLOCKS && self.components.iter().all(is_whole)
    }
}
