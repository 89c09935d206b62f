//! A computation recorded as a CUDA graph and replayed: a step of a UNet is more than a thousand kernels,
//! and a processor that launches them one by one is slower than the GPU for small batches.

use super::driver::{self, Graph};
use candle_core::{bail, DType, Result, Shape, Tensor};
use parking_lot::Mutex;

/// The recording of a computation that depends on nothing but its inputs and on weights that stay.
///
/// Inputs of new shapes are computed with at once, which loads all kernels. When the same shapes come again
/// they are recorded, and the recording is checked on them: if it fails or gives other bits, it is never
/// used. Only the last shapes are kept.
#[derive(Default)]
pub(crate) struct Recorded(Mutex<Option<State>>);

/// What is known about inputs of these shapes.
struct State {
	shapes: Vec<Shape>,
	step: Step,
}

enum Step {
	ComputedOnce,
	Recorded(Recording),
	Unrecordable,
}

/// The graph reads the inputs and writes the output, which are its own.
struct Recording {
	graph: Graph,
	inputs: Vec<Tensor>,
	output: Tensor,
}

impl Recorded {
	/// The computation for inputs on a GPU.
	pub fn run(
		&self,
		inputs: &[&Tensor],
		compute: impl Fn(&[&Tensor]) -> Result<Tensor>,
	) -> Result<Tensor> {
		let Some(first) = inputs.first() else { bail!("a computation from nothing") };
		let device = first.device().as_cuda_device()?;
		// The shapes and strides that candle's kernels are told stay on the GPU: to send them each time
		// would take longer than many of the kernels, and cannot be recorded.
		let _cache = device.enable_cuda_graph_htod_cache();
		let shapes: Vec<_> = inputs.iter().map(|input| input.shape().clone()).collect();
		let mut state = self.0.lock();
		let known = state.take().filter(|state| state.shapes == shapes).map(|state| state.step);
		// What fails leaves nothing behind: a recording may hold the memory that was missing.
		let (output, step) = match known {
			None => (compute(inputs)?, Step::ComputedOnce),
			Some(Step::ComputedOnce) => {
				let output = compute(inputs)?;
				let step = match Recording::new(inputs, &output, compute) {
					Ok(recording) => Step::Recorded(recording),
					Err(error) => {
						tracing::warn!(
							"steps of this size are not recorded as a CUDA graph: {error}"
						);
						Step::Unrecordable
					},
				};
				(output, step)
			},
			Some(Step::Recorded(recording)) => {
				(recording.replay(inputs)?, Step::Recorded(recording))
			},
			Some(Step::Unrecordable) => (compute(inputs)?, Step::Unrecordable),
		};
		*state = Some(State { shapes, step });
		Ok(output)
	}
}

impl Recording {
	/// Records what gave `expected` from these inputs.
	fn new(
		inputs: &[&Tensor],
		expected: &Tensor,
		compute: impl Fn(&[&Tensor]) -> Result<Tensor>,
	) -> Result<Self> {
		let inputs: Vec<_> = inputs.iter().map(|input| input.copy()).collect::<Result<_>>()?;
		let output = expected.zeros_like()?;
		// Loads the kernel that copies.
		output.slice_set(expected, 0, 0)?;
		let graph = driver::record(output.device().as_cuda_device()?, || {
			let inputs: Vec<_> = inputs.iter().collect();
			output.slice_set(&compute(&inputs)?, 0, 0)
		})?;
		// What the graph has to write anew.
		output.slice_set(&expected.zeros_like()?, 0, 0)?;
		let recording = Self { graph, inputs, output };
		let bits = |tensor: &Tensor| {
			let numbers: Vec<f32> = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
			Ok::<Vec<_>, candle_core::Error>(numbers.into_iter().map(f32::to_bits).collect())
		};
		recording.graph.launch()?;
		if bits(&recording.output)? != bits(expected)? {
			bail!("the recording gives other results");
		}
		Ok(recording)
	}

	fn replay(&self, inputs: &[&Tensor]) -> Result<Tensor> {
		for (own, input) in self.inputs.iter().zip(inputs) {
			own.slice_set(&input.contiguous()?, 0, 0)?;
		}
		self.graph.launch()?;
		self.output.copy()
	}
}
