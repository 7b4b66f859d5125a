//! Times the language model over random ids: `prefill MODEL TOKENS REPEATS`; prints the best wall time in seconds.
//!
//! `tests/parity/compare.py` runs it beside PyTorch, on the same checkpoint and the same number of tokens.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use candle_core::Device;
use manyframe_kernels::Window;
use manyframe_validate::{Checkpoint, HybridModel, ModelOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, num_tokens, repeats] = arguments.as_slice() else {
        return Err("usage: prefill MODEL TOKENS REPEATS".into());
    };
    let num_tokens: usize = num_tokens.parse()?;
    let model = HybridModel::read(&Checkpoint::open(Path::new(model))?, ModelOptions::on(Device::Cpu))?;
    let ids: Vec<u32> = (0..num_tokens).map(|place| (place * 31 % model.vocab_size().min(300)) as u32).collect();
    let mut best = f64::INFINITY;
    for _ in 0..repeats.parse()? {
        let start = Instant::now();
        let mut state = model.jamba().start()?;
        let hidden = model.jamba().forward(&model.jamba().embed(&ids)?, &Window::of_one(num_tokens), &mut state)?;
        let logits = model.jamba().logits(&hidden)?;
        best = best.min(start.elapsed().as_secs_f64());
        assert_eq!(logits.dim(0)?, num_tokens);
    }
    #[expect(clippy::print_stdout, reason = "the result of the example")]
    {
        println!("{best}");
    }
    Ok(())
}
