//! Decoders of the codes that were met last: most photographs have the codes of the standard, and tables take longer to make than many
//! rows of blocks to read.

use std::cell::RefCell;
use std::rc::Rc;
use std::thread::LocalKey;

use super::huffman::{CoefficientDecoder, HuffmanCode, HuffmanDecoder};

/// Decoders that a thread keeps of each kind, of 32 KiB at most: those of two photographs.
const MOST_KEPT: usize = 4;

/// The decoder met last is the last one.
type Kept<T> = RefCell<Vec<(HuffmanCode, Rc<T>)>>;

thread_local! {
    static OF_MEANS: Kept<HuffmanDecoder> = const { RefCell::new(Vec::new()) };
    static OF_COEFFICIENTS: Kept<CoefficientDecoder> = const { RefCell::new(Vec::new()) };
}

/// Reads the sizes of differences of means.
pub(super) fn mean_decoder(code: &HuffmanCode) -> Rc<HuffmanDecoder> {
    kept_or_new(&OF_MEANS, code, HuffmanDecoder::new)
}

/// Reads coefficients.
pub(super) fn coefficient_decoder(code: &HuffmanCode) -> Rc<CoefficientDecoder> {
    kept_or_new(&OF_COEFFICIENTS, code, CoefficientDecoder::new)
}

fn kept_or_new<T>(kept: &'static LocalKey<Kept<T>>, code: &HuffmanCode, new: fn(&HuffmanCode) -> T) -> Rc<T> {
    kept.with_borrow_mut(|kept| {
        let known = kept.iter().position(|(known, _)| known == code).map(|at| kept.remove(at));
        let (code, decoder) = known.unwrap_or_else(|| (code.clone(), Rc::new(new(code))));
        if kept.len() == MOST_KEPT {
            kept.remove(0);
        }
        kept.push((code, Rc::clone(&decoder)));
        decoder
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A code of one symbol.
    fn code(symbol: u8) -> HuffmanCode {
        let content: Vec<u8> = [1].into_iter().chain([0; 15]).chain([symbol]).collect();
        HuffmanCode::parse(&content).unwrap().0
    }

    #[test]
    fn each_code_has_its_decoder_and_the_last_ones_are_kept() {
        let first = mean_decoder(&code(0));
        assert!((1..4).chain([0]).all(|symbol| mean_decoder(&code(symbol)).symbol(0) == Some((1, symbol))));
        assert!(Rc::ptr_eq(&first, &mean_decoder(&code(0))));
        assert!((1..5).all(|symbol| mean_decoder(&code(symbol)).symbol(0) == Some((1, symbol))));
        assert!(!Rc::ptr_eq(&first, &mean_decoder(&code(0))));
    }
}
