//! Gives errors about parameters that cannot be read the form of every other refusal: the JSON-RPC
//! library would say "Invalid params", and put what is wrong where programs expect the code's name. All
//! refusals pass here, and are counted.

use crate::metrics::ListenerMetrics;
use cuckoo_coordinator_api::error::{refusal, Code, Refusal};
use futures::{future::BoxFuture, FutureExt};
use jsonrpsee::{
	server::middleware::rpc::RpcServiceT,
	types::{ErrorObjectOwned, Request},
	MethodResponse,
};
use serde::Deserialize;
use tower::Layer;

/// The layer that wraps the methods of a JSON-RPC server.
#[derive(Clone)]
pub struct NameErrors(pub ListenerMetrics);

impl<S> Layer<S> for NameErrors {
	type Service = NamedErrors<S>;

	fn layer(&self, methods: S) -> Self::Service {
		NamedErrors { methods, counted: self.0.clone() }
	}
}

/// Methods whose refusals all have a name.
#[derive(Clone)]
pub struct NamedErrors<S> {
	methods: S,
	counted: ListenerMetrics,
}

impl<'a, S> RpcServiceT<'a> for NamedErrors<S>
where
	S: RpcServiceT<'a> + Clone + Send + Sync + 'static,
{
	type Future = BoxFuture<'a, MethodResponse>;

	fn call(&self, request: Request<'a>) -> Self::Future {
		let Self { methods, counted } = self.clone();
		let id = request.id.clone();
		async move {
			let response = methods.call(request).await;
			let Some(error) = error_of(&response) else { return response };
			if let Some(refusal) = refusal(&error) {
				counted.refused(refusal.code);
				return response;
			}
			let Some(refusal) = unreadable(&error) else { return response };
			counted.refused(refusal.code);
			MethodResponse::error(id, ErrorObjectOwned::from(refusal))
		}
		.boxed()
	}
}

/// The error that a method was answered with.
fn error_of(response: &MethodResponse) -> Option<ErrorObjectOwned> {
	#[derive(Deserialize)]
	struct Answer {
		error: ErrorObjectOwned,
	}
	response.as_error_code()?;
	let Answer { error } = serde_json::from_str(response.as_result()).ok()?;
	Some(error)
}

/// What to say instead of the library's own word on the parameters, if `error` is that.
fn unreadable(error: &ErrorObjectOwned) -> Option<Refusal> {
	if error.code() != Code::InvalidRequest.number() {
		return None;
	}
	let reason: String = serde_json::from_str(error.data()?.get()).ok()?;
	Some(Refusal::new(Code::InvalidRequest, format!("the parameters cannot be read: {reason}")))
}
