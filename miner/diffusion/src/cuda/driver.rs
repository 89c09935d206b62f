//! What Rust cannot check: that kernels do with memory what they should, and the settings of the device.

#![allow(unsafe_code)]

use super::{
	convolution::Shape,
	launch::{Launch, Number, Source},
};
use candle_core::{
	bail,
	cuda_backend::{
		cudarc::{
			cudnn::{result::CudnnError, sys as cudnn_sys, ConvForward, Cudnn, CudnnDataType},
			driver::{
				result, sys, CudaGraph, CudaSlice, DevicePtr, DeviceRepr, LaunchConfig,
				PushKernelArg,
			},
		},
		set_gemm_reduced_precision_f32, CudaDType, CudaDevice, CudaStorageSlice, DeviceId,
	},
	op::BackpropOp,
	CudaStorage, DType, Device, Error, Layout, Result, Storage, Tensor, WithDType,
};
use parking_lot::Mutex;
use std::{cell::RefCell, collections::HashMap, sync::Arc};

/// Bytes at a multiple of which all memory lies that a kernel is given: it reads so many at once.
const ALIGNMENT: usize = 16;

/// Opens GPU `ordinal`, with all its work in one stream of its own, so that any thread may use it.
pub(crate) fn open(ordinal: usize) -> Result<Device> {
	let device = Device::new_cuda_with_stream(ordinal)?;
	let cuda = device.as_cuda_device()?;
	// SAFETY: what the events would order between streams is all in one.
	unsafe { cuda.disable_event_tracking() };
	// Products of single precision on tensor cores, whose inputs have 11 bits (TF32), as PyTorch's
	// convolutions have them.
	set_gemm_reduced_precision_f32(true);
	keep_memory(cuda).map_err(Error::wrap)?;
	Ok(device)
}

/// Keeps freed memory for what is allocated next: else all of it goes back to the system whenever
/// results are waited for, once a step.
fn keep_memory(device: &CudaDevice) -> std::result::Result<(), result::DriverError> {
	let mut threshold = u64::MAX;
	// SAFETY: the device is open, its pool lives as long, and this attribute is a u64.
	unsafe {
		result::mem_pool::set_attribute(
			result::device::get_default_mem_pool(number_of(device))?,
			sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
			(&raw mut threshold).cast(),
		)
	}
}

fn number_of(device: &CudaDevice) -> sys::CUdevice {
	device.cuda_stream().context().cu_device()
}

/// A tensor for results. Its numbers are undefined until a kernel writes them.
pub(super) fn empty(dims: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
	// SAFETY: the callers hand it to a kernel that writes all of it, before anything that is launched
	// later can read it.
	unsafe { Tensor::empty(dims, dtype, device) }
}

/// The same numbers, one after the other and where kernels can read them.
pub(super) fn ready(tensor: &Tensor) -> Result<Tensor> {
	let tensor = tensor.contiguous()?;
	let offset = tensor.layout().start_offset() * tensor.dtype().size_in_bytes();
	if offset.is_multiple_of(ALIGNMENT) {
		Ok(tensor)
	} else {
		tensor.copy()
	}
}

/// Launches a kernel with these tensors.
pub(super) fn launch(launch: &Launch, tensors: &[&Tensor]) -> Result<()> {
	let Some(Device::Cuda(device)) = tensors.first().map(|tensor| tensor.device()) else {
		bail!("{} needs tensors on a GPU", launch.kernel);
	};
	let (module, ptx) = match launch.source {
		Source::Attention => {
			("cuckoo_attention", include_str!(concat!(env!("OUT_DIR"), "/attention.ptx")))
		},
		Source::GroupNorm => {
			("cuckoo_group_norm", include_str!(concat!(env!("OUT_DIR"), "/group_norm.ptx")))
		},
		Source::Pointwise => {
			("cuckoo_pointwise", include_str!(concat!(env!("OUT_DIR"), "/pointwise.ptx")))
		},
	};
	let kernel = device.get_or_load_custom_func(&launch.kernel, module, ptx)?;
	let stream = device.cuda_stream();
	let stored: Vec<_> = tensors.iter().map(|tensor| tensor.storage_and_layout()).collect();
	let mut pointers = Vec::with_capacity(tensors.len());
	let mut uses = Vec::with_capacity(tensors.len());
	for ((storage, layout), tensor) in stored.iter().zip(tensors) {
		let Storage::Cuda(storage) = &**storage else {
			bail!("{} needs all its tensors on the GPU", launch.kernel);
		};
		let (pointer, in_use) = match &storage.slice {
			CudaStorageSlice::F16(slice) => slice.device_ptr(&stream),
			CudaStorageSlice::F32(slice) => slice.device_ptr(&stream),
			CudaStorageSlice::U8(slice) => slice.device_ptr(&stream),
			_ => bail!("{} knows no such numbers", launch.kernel),
		};
		let offset = layout.start_offset() * tensor.dtype().size_in_bytes();
		if !layout.is_contiguous() || !offset.is_multiple_of(ALIGNMENT) {
			bail!("{} needs contiguous, aligned tensors", launch.kernel);
		}
		pointers.push(pointer + offset as u64);
		uses.push(in_use);
	}
	let mut arguments = kernel.builder();
	for pointer in &pointers {
		arguments.arg(pointer);
	}
	for number in &launch.numbers {
		match number {
			Number::Whole(number) => arguments.arg(number),
			Number::Real(number) => arguments.arg(number),
		};
	}
	let [x, y, z] = launch.blocks;
	let config = LaunchConfig {
		grid_dim: (x, y, z),
		block_dim: (launch.threads, 1, 1),
		shared_mem_bytes: 0,
	};
	// SAFETY: the kernel has the parameters that the launch lists, and keeps within tensors whose shapes
	// the launch was made for, of which it writes only the results: the functions that call this check
	// the shapes, and the tests the kernels.
	unsafe { arguments.launch(config) }.map_err(Error::wrap)?;
	Ok(())
}

/// Kernels that are launched together.
pub(super) struct Graph {
	/// Only destroyed early, so that its memory can be given back.
	graph: Option<CudaGraph>,
	device: sys::CUdevice,
}

// SAFETY: a graph belongs to no thread; it is only to be used by one at a time (cudarc's CudaGraph), and
// it is not Sync.
unsafe impl Send for Graph {}

impl Graph {
	/// Launches it in the device's stream.
	pub fn launch(&self) -> Result<()> {
		match &self.graph {
			Some(graph) => graph.launch().map_err(Error::wrap),
			None => bail!("the graph is destroyed"),
		}
	}
}

impl Drop for Graph {
	fn drop(&mut self) {
		drop(self.graph.take());
		// SAFETY: only unused memory is given back. If that fails, it is kept for later graphs.
		let _ = unsafe { sys::cuDeviceGraphMemTrim(self.device) };
	}
}

/// Records what is launched meanwhile, without doing it. What is allocated meanwhile must be freed meanwhile,
/// and nothing else.
pub(super) fn record(device: &CudaDevice, launch: impl FnOnce() -> Result<()>) -> Result<Graph> {
	let stream = device.cuda_stream();
	let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
	stream.begin_capture(mode).map_err(Error::wrap)?;
	let launched = launch();
	// What failed when memory was freed. It would keep the recording from being ended.
	let freed = stream.context().check_err();
	let flags = sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
	let graph = stream.end_capture(flags);
	launched?;
	freed.map_err(Error::wrap)?;
	let graph = graph.map_err(Error::wrap)?;
	if graph.is_none() {
		bail!("nothing was recorded");
	}
	// The graph has memory of its own, and what was needed until now is free.
	// SAFETY: the pool is the device's, and only unused memory is given back.
	unsafe {
		result::device::get_default_mem_pool(number_of(device))
			.and_then(|pool| result::mem_pool::trim_to(pool, 0))
	}
	.map_err(Error::wrap)?;
	Ok(Graph { graph, device: number_of(device) })
}

/// Working memory that a convolution may take in bytes.
const WORKSPACE: usize = 1 << 30;

thread_local! {
	/// cuDNN of this thread, for each device.
	static CUDNN: RefCell<HashMap<DeviceId, Arc<Cudnn>>> = RefCell::default();
}

/// How each device convolves: the algorithm and the working memory in bytes.
type Plans = HashMap<(DeviceId, DType, Shape), (cudnn_sys::cudnnConvolutionFwdAlgo_t, usize)>;
static PLANS: Mutex<Option<Plans>> = Mutex::new(None);

/// The convolution of pictures with a weight, without bias. Both are contiguous.
pub(super) fn convolve(pictures: &Tensor, weight: &Tensor, shape: Shape) -> Result<Tensor> {
	let device = pictures.device().as_cuda_device()?;
	let ((pictures, pictures_layout), (weight, weight_layout)) =
		(pictures.storage_and_layout(), weight.storage_and_layout());
	let (Storage::Cuda(pictures), Storage::Cuda(weight)) = (&*pictures, &*weight) else {
		bail!("a convolution needs all its tensors on the GPU");
	};
	let layouts = [pictures_layout, weight_layout];
	let result = match (&pictures.slice, &weight.slice) {
		(CudaStorageSlice::F16(pictures), CudaStorageSlice::F16(weight)) => {
			convolve_slices(device, pictures, weight, layouts, shape)
		},
		(CudaStorageSlice::F32(pictures), CudaStorageSlice::F32(weight)) => {
			convolve_slices(device, pictures, weight, layouts, shape)
		},
		_ => bail!("there are convolutions in f16 and f32 only"),
	};
	let dims = shape.result();
	Ok(Tensor::from_storage(Storage::Cuda(result?), &dims, BackpropOp::none(), false))
}

fn convolve_slices<T: WithDType + CudaDType + CudnnDataType + DeviceRepr>(
	device: &CudaDevice,
	pictures: &CudaSlice<T>,
	weight: &CudaSlice<T>,
	layouts: [&Layout; 2],
	shape: Shape,
) -> Result<CudaStorage> {
	let [Some((pictures_start, pictures_end)), Some((weight_start, weight_end))] =
		layouts.map(Layout::contiguous_offsets)
	else {
		bail!("a convolution needs contiguous tensors");
	};
	let Shape { batch, input, height, width, output, side, stride, padding } = shape;
	let nchw = cudnn_sys::cudnnTensorFormat_t::CUDNN_TENSOR_NCHW;
	let numbers = |dims: [usize; 4]| dims.iter().product::<usize>();
	let (picture_dims, weight_dims) = ([batch, input, height, width], [output, input, side, side]);
	if pictures_end - pictures_start != numbers(picture_dims)
		|| weight_end - weight_start != numbers(weight_dims)
		|| numbers(picture_dims).max(numbers(shape.result())) > i32::MAX as usize
	{
		bail!("the tensors do not fit the convolution {shape:?}, or are too large for cuDNN");
	}
	let cudnn = cudnn(device).map_err(Error::wrap)?;
	// None is larger, or the products above would be.
	let size = |size: usize| i32::try_from(size).unwrap_or(i32::MAX);
	let dims = |dims: [usize; 4]| dims.map(size);
	let describe = || {
		let (padding, stride) = ([size(padding); 2], [size(stride); 2]);
		let mode = cudnn_sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
		// Sums in f32 whatever the numbers are.
		let mut convolution = cudnn.create_conv2d::<f32>(padding, stride, [1; 2], mode)?;
		// Tensor cores: by default only f32 uses them, as TF32.
		if T::DTYPE == DType::F16 {
			convolution.set_math_type(cudnn_sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH)?;
		}
		let pictures = cudnn.create_4d_tensor::<T>(nchw, dims(picture_dims))?;
		let weight = cudnn.create_4d_filter::<T>(nchw, dims(weight_dims))?;
		let result = cudnn.create_4d_tensor::<T>(nchw, dims(shape.result()))?;
		Ok::<_, CudnnError>((convolution, pictures, weight, result))
	};
	let (conv, x, w, y) = describe().map_err(Error::wrap)?;
	let forward = ConvForward { conv: &conv, x: &x, w: &w, y: &y };

	let key = (device.id(), T::DTYPE, shape);
	let known = PLANS.lock().as_ref().and_then(|plans| plans.get(&key).copied());
	let (algorithm, workspace) = if let Some(plan) = known {
		plan
	} else {
		let plan = plan(&forward).map_err(Error::wrap)?;
		let mut plans = PLANS.lock();
		plans.get_or_insert_default().insert(key, plan);
		plan
	};
	// SAFETY: cuDNN reads of the first no more than it has written, and writes all of the second.
	let (mut workspace, mut result) = unsafe {
		(device.alloc::<u8>(workspace.max(1))?, device.alloc::<T>(numbers(shape.result()))?)
	};
	let pictures = pictures.slice(pictures_start..pictures_end);
	let weight = weight.slice(weight_start..weight_end);
	let factors = (T::from_f64(1.0), T::from_f64(0.0));
	// SAFETY: the three slices are as long as the descriptions say, which was checked above, and the
	// workspace as long as cuDNN asked for.
	unsafe {
		forward.launch(algorithm, Some(&mut workspace), factors, &pictures, &weight, &mut result)
	}
	.map_err(Error::wrap)?;
	Ok(CudaStorage::wrap_cuda_slice(result, device.clone()))
}

fn cudnn(device: &CudaDevice) -> std::result::Result<Arc<Cudnn>, CudnnError> {
	CUDNN.with_borrow_mut(|all| {
		if let Some(cudnn) = all.get(&device.id()) {
			return Ok(cudnn.clone());
		}
		let cudnn = Cudnn::new(device.cuda_stream())?;
		all.insert(device.id(), cudnn.clone());
		Ok(cudnn)
	})
}

/// The algorithm that cuDNN expects to be the fastest, by a rule and not by trying: the same at every
/// start. All of its algorithms for this direction give the same bits each time.
fn plan<T: CudnnDataType>(
	forward: &ConvForward<T, f32, T>,
) -> std::result::Result<(cudnn_sys::cudnnConvolutionFwdAlgo_t, usize), CudnnError> {
	let fastest = forward.pick_algorithm()?;
	let workspace = forward.get_workspace_size(fastest)?;
	if workspace <= WORKSPACE {
		return Ok((fastest, workspace));
	}
	let small =
		cudnn_sys::cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
	Ok((small, forward.get_workspace_size(small)?))
}
