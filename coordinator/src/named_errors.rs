//! Gives errors about parameters that cannot be read the form of every other refusal: the JSON-RPC
//! library would say "Invalid params", and put what is wrong where programs expect the code's name.

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
#[derive(Clone, Copy)]
pub struct NameErrors;

impl<S> Layer<S> for NameErrors {
	type Service = NamedErrors<S>;

	fn layer(&self, methods: S) -> Self::Service {
		NamedErrors(methods)
	}
}

/// Methods whose refusals all have a name.
#[derive(Clone)]
pub struct NamedErrors<S>(S);

impl<'a, S> RpcServiceT<'a> for NamedErrors<S>
where
	S: RpcServiceT<'a> + Clone + Send + Sync + 'static,
{
	type Future = BoxFuture<'a, MethodResponse>;

	fn call(&self, request: Request<'a>) -> Self::Future {
		let methods = self.0.clone();
		let id = request.id.clone();
		async move {
			let response = methods.call(request).await;
			match unreadable(&response) {
				Some(refusal) => MethodResponse::error(id, ErrorObjectOwned::from(refusal)),
				None => response,
			}
		}
		.boxed()
	}
}

/// What to say instead of `response`, if that is the library's own word on the parameters.
fn unreadable(response: &MethodResponse) -> Option<Refusal> {
	#[derive(Deserialize)]
	struct Answer {
		error: ErrorObjectOwned,
	}
	if response.as_error_code() != Some(Code::InvalidRequest.number()) {
		return None;
	}
	let Answer { error } = serde_json::from_str(response.as_result()).ok()?;
	if refusal(&error).is_some() {
		return None;
	}
	let reason: String = serde_json::from_str(error.data()?.get()).ok()?;
	Some(Refusal::new(Code::InvalidRequest, format!("the parameters cannot be read: {reason}")))
}
