//! Pixels as a vision tower reads them: `(level / 255 − mean) / deviation`, interleaved channels to one plane per
//! channel.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::storage::contiguous;

/// Mean and standard deviation of each channel in CLIP's training (arXiv 2103.00020).
pub const CLIP: Normalization = Normalization {
    mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
    deviation: [0.268_629_54, 0.261_302_6, 0.275_777_1],
};

/// Mean and standard deviation of red, green and blue, for levels from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Subtracted from each level.
    pub mean: [f32; 3],
    /// What the difference is divided by.
    pub deviation: [f32; 3],
}

/// Normalises `[B, H, W, 3]` bytes to `[B, 3, H, W]` values of this type.
///
/// # Errors
///
/// Pixels that are not bytes, or do not have three channels.
pub fn normalize_images(pixels: &Tensor, normalization: Normalization, dtype: DType) -> Result<Tensor> {
    if pixels.dtype() != DType::U8 {
        bail!("pixels are {:?}, expected bytes", pixels.dtype());
    }
    let op = NormalizeOp { normalization, dtype };
    pixels.contiguous()?.apply_op1_no_bwd(&op)?.to_dtype(dtype)
}

struct NormalizeOp {
    normalization: Normalization,
    /// The type that the CUDA version writes; the CPU version writes `f32`.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "only the CUDA version reads it"))]
    dtype: DType,
}

fn shape(layout: &Layout) -> Result<Shape> {
    match layout.shape().dims4()? {
        (num_images, height_px, width_px, 3) => Ok((num_images, 3, height_px, width_px).into()),
        (.., channels) => bail!("pixels have {channels} channels, expected 3"),
    }
}

impl CustomOp1 for NormalizeOp {
    fn name(&self) -> &'static str {
        "normalize-images"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let shape = shape(layout)?;
        let pixels = contiguous(storage.as_slice::<u8>()?, layout)?;
        let mut planes = vec![0.0; pixels.len()];
        let (_, _, height_px, width_px) = shape.dims4()?;
        let plane_len = height_px * width_px;
        if plane_len > 0 {
            let Normalization { mean, deviation } = self.normalization;
            planes.par_chunks_mut(3 * plane_len).zip(pixels.par_chunks(3 * plane_len)).for_each(|(planes, pixels)| {
                let channels = planes.par_chunks_mut(plane_len).zip(mean).zip(deviation).enumerate();
                channels.for_each(|(channel, ((plane, mean), deviation))| {
                    let levels = pixels.iter().skip(channel).step_by(3);
                    for (value, level) in plane.iter_mut().zip(levels) {
                        *value = (f32::from(*level) / 255.0 - mean) / deviation;
                    }
                });
            });
        }
        Ok((CpuStorage::F32(planes), shape))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        storage: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let shape = shape(layout)?;
        let Normalization { mean, deviation } = self.normalization;
        let pixels = (storage, layout);
        let arguments = crate::cuda::NormalizeArguments { pixels, mean, deviation, dtype: self.dtype, shape: &shape };
        Ok((crate::cuda::normalize(&arguments)?, shape))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn channels_become_planes_around_zero() {
        let pixels = Tensor::from_vec(vec![0_u8, 128, 255, 10, 20, 30], (1, 1, 2, 3), &Device::Cpu).unwrap();
        let unit = Normalization { mean: [0.0; 3], deviation: [1.0 / 255.0; 3] };
        let planes = normalize_images(&pixels, unit, DType::F32).unwrap();
        assert_eq!(planes.dims(), [1, 3, 1, 2]);
        let levels: Vec<f32> = planes.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(levels.iter().map(|level| level.round()).collect::<Vec<_>>(), [0.0, 10.0, 128.0, 20.0, 255.0, 30.0]);
    }

    #[test]
    fn other_numbers_of_channels_are_rejected() {
        let pixels = Tensor::zeros((1, 2, 2, 4), DType::U8, &Device::Cpu).unwrap();
        assert!(normalize_images(&pixels, CLIP, DType::F32).is_err());
    }
}
