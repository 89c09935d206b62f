//! What an app does with a coordinator: offers tasks over JSON-RPC, fetches pictures over HTTP.

use anyhow::{bail, ensure, Context, Result};
use cuckoo_coordinator_api::{
	app::{AppApiClient, CoordinatorInfo, MinerView},
	error::{refusal, Refusal},
	task::{PictureRef, TaskId, TaskRequest, TaskState, TaskStatus},
};
use jsonrpsee::{
	core::ClientError,
	http_client::{HttpClient, HttpClientBuilder},
};
use std::time::{Duration, Instant};

/// One question may wait for a task, for at most 120 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(150);

/// A connection to a coordinator's listener for apps.
pub struct App {
	url: String,
	rpc: HttpClient,
	http: reqwest::Client,
}

impl App {
	/// For the listener at `url` (`http://…`). Nothing is sent yet.
	pub fn new(url: impl Into<String>) -> Result<Self> {
		let url = url.into();
		let rpc = HttpClientBuilder::default()
			.request_timeout(ANSWER_TIMEOUT)
			.build(&url)
			.with_context(|| format!("cannot use {url}"))?;
		Ok(Self { url, rpc, http: reqwest::Client::new() })
	}

	/// The JSON-RPC methods.
	pub fn rpc(&self) -> &HttpClient {
		&self.rpc
	}

	/// Where the listener is.
	pub fn url(&self) -> &str {
		&self.url
	}

	/// Which coordinator it is.
	pub async fn info(&self) -> Result<CoordinatorInfo> {
		Ok(self.rpc.info().await?)
	}

	/// The registered miners.
	pub async fn miners(&self) -> Result<Vec<MinerView>> {
		Ok(self.rpc.list_miners().await?)
	}

	/// Offers a task.
	pub async fn offer(&self, request: TaskRequest) -> Result<TaskStatus> {
		Ok(self.rpc.offer_task(request).await?)
	}

	/// Where a task is.
	pub async fn status(&self, task: &TaskId) -> Result<TaskStatus> {
		Ok(self.rpc.task_status(task.clone()).await?)
	}

	/// Waits until a task is done; any other end is a failure.
	pub async fn wait(&self, task: &TaskId, patience: Duration) -> Result<TaskStatus> {
		let begin = Instant::now();
		loop {
			let left = patience.saturating_sub(begin.elapsed()).as_secs().clamp(1, 60);
			let status = self.rpc.wait_task(task.clone(), Some(left)).await?;
			match status.state {
				TaskState::Done => return Ok(status),
				state if state.is_final() => bail!("task {task} is {state}: {:?}", status.failure),
				state if begin.elapsed() > patience => {
					bail!("task {task} is still {state} after {patience:?}")
				},
				_ => {},
			}
		}
	}

	/// Fetches a picture, a PNG, and checks that it is one of the size that was asked for.
	pub async fn picture(&self, picture: &PictureRef, width: u32, height: u32) -> Result<Vec<u8>> {
		let url = format!("{}{}", self.url, picture.path);
		let answer = self.http.get(&url).send().await?.error_for_status()?;
		let bytes = answer.bytes().await?.to_vec();
		let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes))
			.read_info()
			.with_context(|| format!("{url} is no PNG"))?;
		let size = reader.output_buffer_size().context("the PNG is too large")?;
		let mut pixels = vec![0; size];
		let frame = reader.next_frame(&mut pixels).with_context(|| format!("{url} is broken"))?;
		ensure!(
			(frame.width, frame.height) == (width, height),
			"{url} has {}×{} pixels instead of {width}×{height}",
			frame.width,
			frame.height
		);
		ensure!(frame.color_type == png::ColorType::Rgb, "{url} is not RGB: {frame:?}");
		Ok(bytes)
	}
}

/// The coordinator's refusal in the error of a call.
pub fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> Result<Refusal> {
	match answer {
		Err(ClientError::Call(error)) => {
			refusal(&error).with_context(|| format!("{error} has no code"))
		},
		other => bail!("expected a refusal, got {other:?}"),
	}
}
