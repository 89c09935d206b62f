//! The page at `/` for people who look at the coordinator with a browser, and the data that it shows, at
//! `/v1/status`. The page is one file with everything in it, and may load nothing from elsewhere.

use crate::service::Service;
use axum::{
	extract::{Request, State},
	http::{
		header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, UPGRADE},
		HeaderName, Method,
	},
	response::{IntoResponse, Response},
	routing::get,
	Router,
};
use base64::{prelude::BASE64_STANDARD, Engine};
use cuckoo_coordinator_api::task::SAMPLERS;
use sp_crypto_hashing::sha2_256;
use std::sync::{Arc, LazyLock};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// The sampler that is chosen at first: the one that a task has by default.
const CHOSEN: &str = "Euler a";

/// The page with its style, its script and the names of the samplers.
static PAGE: LazyLock<String> = LazyLock::new(|| {
	let options = SAMPLERS.iter().map(|name| {
		let chosen = if *name == CHOSEN { " selected" } else { "" };
		format!("<option{chosen}>{name}</option>")
	});
	include_str!("page.html")
		.replace("<!--samplers-->", &options.collect::<String>())
		.replace("/*style*/", STYLE)
		.replace("/*script*/", SCRIPT)
});

/// What the page may do: run this very script, talk to this coordinator, show pictures that it has made.
static POLICY: LazyLock<String> = LazyLock::new(|| {
	let hash = |text: &str| BASE64_STANDARD.encode(sha2_256(text.as_bytes()));
	format!(
		"default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
		img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
		require-trusted-types-for 'script'",
		hash(SCRIPT),
		hash(STYLE)
	)
});

/// Whether a request for `/` comes from somebody who wants to look: not a JSON-RPC call, which is posted,
/// nor the beginning of a WebSocket connection.
pub fn is_wanted(request: &Request) -> bool {
	matches!(*request.method(), Method::GET | Method::HEAD)
		&& !request.headers().contains_key(UPGRADE)
}

/// The page.
pub fn page() -> Response {
	let headers = [
		(CONTENT_TYPE, "text/html; charset=utf-8"),
		(CONTENT_SECURITY_POLICY, &POLICY),
		(REFERRER_POLICY, "no-referrer"),
		(HeaderName::from_static("x-content-type-options"), "nosniff"),
		(CACHE_CONTROL, "no-cache"),
	];
	(headers, PAGE.as_str()).into_response()
}

/// The data of the page.
pub fn router(service: Arc<Service>) -> Router {
	Router::new().route("/v1/status", get(status)).with_state(service)
}

async fn status(State(service): State<Arc<Service>>) -> Response {
	let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
	(headers, service.network_status()).into_response()
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn the_page_is_whole_and_its_parts_stay_in_their_elements() {
		for (begin, end, part) in
			[("<style>", "</style>", STYLE), ("<script>", "</script>", SCRIPT)]
		{
			let (_, rest) = PAGE.split_once(begin).unwrap();
			let (inside, _) = rest.split_once(end).unwrap();
			assert!(inside == part, "the browser hashes what is in {begin}");
		}
		assert!(PAGE.contains("<option selected>Euler a</option>"));
		assert!(
			!PAGE.contains("//cdn") && !PAGE.contains(" style=") && !PAGE.contains(" onclick=")
		);
	}
}
