//! Times the language model over random ids: `prefill MODEL TOKENS REPEATS [cuda]`; prints the best wall time in seconds.
//!
//! On the CPU all logits are computed, as `tests/parity/compare.py` makes PyTorch do on the same checkpoint; on a GPU the
//! sequence runs in windows, as in a validation, and only the last logits are computed.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use manyframe_kernels::Packing;
use manyframe_validate::{Checkpoint, DeviceChoice, HybridModel, ModelOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (model, num_tokens, repeats, choice) = match arguments.as_slice() {
        [model, num_tokens, repeats] => (model, num_tokens, repeats, DeviceChoice::Cpu),
        [model, num_tokens, repeats, device] if device == "cuda" => (model, num_tokens, repeats, DeviceChoice::Cuda),
        _ => return Err("usage: prefill MODEL TOKENS REPEATS [cuda]".into()),
    };
    let (num_tokens, is_cpu): (usize, bool) = (num_tokens.parse()?, choice == DeviceChoice::Cpu);
    let checkpoint = Checkpoint::open(Path::new(model))?;
    let model = HybridModel::read(&checkpoint, ModelOptions::on(choice.open()?))?;
    let ids: Vec<u32> = (0..num_tokens).map(|place| (place * 31 % model.vocab_size().min(300)) as u32).collect();
    let window_tokens = if is_cpu { num_tokens } else { model.options().window_tokens };
    let mut best = f64::INFINITY;
    for _ in 0..repeats.parse()? {
        let start = Instant::now();
        let mut state = model.jamba().start()?;
        for window in Packing::from_lengths([num_tokens]).windows(window_tokens) {
            let num_here = window.num_tokens();
            let ids = ids.get(window.start()..window.start() + num_here).unwrap_or_default();
            let hidden = model.jamba().forward(&model.jamba().embed(ids)?, &window, &mut state)?;
            let wanted = if is_cpu { hidden } else { hidden.narrow(0, num_here - 1, 1)? };
            // Reading a number waits for the device.
            model.jamba().logits(&wanted)?.sum_all()?.to_dtype(candle_core::DType::F32)?.to_scalar::<f32>()?;
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    #[expect(clippy::print_stdout, reason = "the result of the example")]
    {
        println!("{best}");
    }
    Ok(())
}
