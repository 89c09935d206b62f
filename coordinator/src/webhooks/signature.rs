//! Signatures of Standard Webhooks 1.0.0: HMAC-SHA256 over the message's name, the time and the body.

use base64::{prelude::BASE64_STANDARD, Engine};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The value of the header `webhook-signature` for a message with this name, sent at this time in seconds
/// since the Unix epoch.
pub fn signature(secret: &[u8], id: &str, timestamp: u64, body: &str) -> String {
	let mut mac =
		Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of every length; qed");
	mac.update(format!("{id}.{timestamp}.").as_bytes());
	mac.update(body.as_bytes());
	format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
	use super::*;

	/// The example of the libraries that the makers of Standard Webhooks publish.
	#[test]
	fn it_is_that_of_the_published_example() {
		let secret = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
		let signed = signature(
			&secret,
			"msg_p5jXN8AQM9LWM0D4loKWxJek",
			1_614_265_330,
			r#"{"test": 2432232314}"#,
		);
		assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	}
}
