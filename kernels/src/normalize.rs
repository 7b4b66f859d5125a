//! Pixels as a vision tower reads them: bytes to `(level / 255 − mean) / deviation`, rows of pixels to planes of channels.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::storage::values_of;

/// Mean and deviation of each channel that CLIP (arXiv 2103.00020) was trained with.
pub const CLIP: Normalization = Normalization {
    mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
    deviation: [0.268_629_54, 0.261_302_6, 0.275_777_1],
};

/// What is subtracted from each channel, and what it is then divided by; levels run from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Subtracted.
    pub mean: [f32; 3],
    /// Divided by.
    pub deviation: [f32; 3],
}

/// `[B, H, W, 3]` bytes to `[B, 3, H, W]` values of this type.
pub fn normalize_images(pixels: &Tensor, normalization: Normalization, dtype: DType) -> Result<Tensor> {
    if pixels.dtype() != DType::U8 {
        bail!("pixels are {:?}, expected bytes", pixels.dtype());
    }
    let op = NormalizeOp { normalization, dtype };
    pixels.contiguous()?.apply_op1_no_bwd(&op)?.to_dtype(dtype)
}

pub(crate) struct NormalizeOp {
    pub(crate) normalization: Normalization,
    /// Read by the CUDA version; the CPU version gives `f32`.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "the CPU version gives f32"))]
    pub(crate) dtype: DType,
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
        let pixels = values_of(storage.as_slice::<u8>()?, layout)?;
        let mut planes = vec![0.0; pixels.len()];
        let (_, _, height_px, width_px) = shape.dims4()?;
        let plane_len = height_px * width_px;
        if plane_len > 0 {
            planes.par_chunks_mut(plane_len).enumerate().for_each(|(plane, values)| {
                let (image, channel) = (plane / 3, plane % 3);
                let Normalization { mean, deviation } = self.normalization;
                let levels = pixels.iter().skip(image * 3 * plane_len + channel).step_by(3);
                for (value, level) in values.iter_mut().zip(levels) {
                    *value = (f32::from(*level) / 255.0 - mean[channel]) / deviation[channel];
                }
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
        Ok((crate::cuda::normalize(self, storage, layout, &shape)?, shape))
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
    fn other_numbers_of_channels_are_refused() {
        let pixels = Tensor::zeros((1, 2, 2, 4), DType::U8, &Device::Cpu).unwrap();
        assert!(normalize_images(&pixels, CLIP, DType::F32).is_err());
    }
}
