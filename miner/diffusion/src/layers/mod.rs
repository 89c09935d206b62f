//! Layers with weights that the UNet and the autoencoder are made of. The heavy ones are computed by
//! [`crate::cpu`], or on GPUs by `crate::cuda` and candle.

mod attention;
mod convolution;
mod feed_forward;
mod group_norm;
mod resnet;

pub(crate) use attention::Attention;
pub(crate) use convolution::{Convolution, Stride};
pub(crate) use feed_forward::FeedForward;
pub(crate) use group_norm::GroupNorm;
pub(crate) use resnet::{Resnet, ResnetConfig};

use crate::cpu;
#[cfg(feature = "cuda")]
use crate::cuda;
use candle_core::{Device, Error, Module, Result, Storage, Tensor};
use candle_nn::Linear;

/// Computes on the numbers of contiguous single-precision tensors on the CPU.
fn on_numbers<const N: usize, R>(
	tensors: [&Tensor; N],
	compute: impl FnOnce([&[f32]; N]) -> R,
) -> Result<R> {
	let stored = tensors.map(Tensor::storage_and_layout);
	let mut numbers = [&[][..]; N];
	for (numbers, (storage, layout)) in numbers.iter_mut().zip(&stored) {
		let Some((begin, end)) = layout.contiguous_offsets() else {
			return Err(Error::Msg("the tensor is not contiguous".into()));
		};
		let Storage::Cpu(storage) = &**storage else {
			return Err(Error::Msg("the tensor is not on the CPU".into()));
		};
		*numbers = &storage.as_slice::<f32>()?[begin..end];
	}
	Ok(compute(numbers))
}

/// Enlarges pictures (batch, channels, height, width): each place of the result has the number of the
/// nearest one before it.
pub(crate) fn enlarge(pictures: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
	if !pictures.device().is_cpu() {
		return pictures.upsample_nearest2d(height, width);
	}
	let (batch, channels, from_height, from_width) = pictures.dims4()?;
	let enlarged = on_numbers([pictures], |[planes]| {
		cpu::planes::enlarge(planes, (from_height, from_width), (height, width))
	})?;
	Tensor::from_vec(enlarged, (batch, channels, height, width), pictures.device())
}

/// A linear layer on (…, width).
pub(crate) fn linear(layer: &Linear, places: &Tensor) -> Result<Tensor> {
	if places.device().is_cpu() {
		let (output, input) = layer.weight().dims2()?;
		let places = &places.contiguous()?;
		let result = if let Some(bias) = layer.bias() {
			on_numbers([places, layer.weight(), bias], |[x, w, b]| {
				cpu::linear::linear(x, w, b, input)
			})
		} else {
			on_numbers([places, layer.weight()], |[x, w]| cpu::linear::linear(x, w, &[], input))
		}?;
		let mut shape = places.dims().to_vec();
		*shape.last_mut().ok_or_else(|| Error::Msg("a number has no width".into()))? = output;
		return Tensor::from_vec(result, shape, places.device());
	}
	#[cfg(feature = "cuda")]
	if let (Device::Cuda(_), Some(_)) = (places.device(), layer.bias()) {
		let (product, bias) = product(layer, places)?;
		return cuda::pointwise::add(&product, bias, product.rank() - 1, None);
	}
	layer.forward(places)
}

/// What a linear layer gives before its bias, and the bias.
#[cfg(feature = "cuda")]
fn product<'a>(layer: &'a Linear, places: &Tensor) -> Result<(Tensor, &'a Tensor)> {
	let Some(bias) = layer.bias() else { return Err(Error::Msg("the layer has no bias".into())) };
	Ok((Linear::new(layer.weight().clone(), None).forward(places)?, bias))
}

/// A device that this build does not compute on.
fn unknown(device: &Device) -> Error {
	Error::Msg(format!("this build cannot compute on {:?}", device.location()))
}

/// The sum of two tensors of the same shape.
pub(crate) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
	if !a.device().is_cpu() {
		return a + b;
	}
	let sums = on_numbers([&a.contiguous()?, &b.contiguous()?], |[a, b]| cpu::planes::add(a, b))?;
	Tensor::from_vec(sums, a.shape(), a.device())
}

/// The numbers of a tensor.
fn to_numbers(tensor: &Tensor) -> Result<Vec<f32>> {
	tensor.flatten_all()?.to_vec1()
}
