//! Pictures in a bucket, against the server of `moto`, which speaks S3.

use crate::clients::packages;
use bytes::Bytes;
use cuckoo_coordinator::store::{Durability, Pictures};
use cuckoo_coordinator_api::task::TaskId;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// A server on a free port with an empty bucket `pictures`; it ends with the guard.
async fn server() -> (Child, String) {
	let program = packages::python("moto").with_file_name("moto_server");
	let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
	let child = Command::new(program)
		.args(["-p", &port.to_string()])
		.stdout(Stdio::null())
		.stderr(Stdio::null())
		.kill_on_drop(true)
		.spawn()
		.unwrap();
	let endpoint = format!("http://127.0.0.1:{port}");
	let http = reqwest::Client::new();
	for _ in 0..600 {
		let made = http.put(format!("{endpoint}/pictures")).send().await;
		if made.is_ok_and(|answer| answer.status().is_success()) {
			return (child, endpoint);
		}
		tokio::time::sleep(Duration::from_millis(100)).await;
	}
	panic!("the server does not answer");
}

#[tokio::test]
async fn pictures_lie_in_a_bucket_until_they_are_swept() {
	let (_server, endpoint) = server().await;
	let open = || {
		let environment = [
			("AWS_ENDPOINT", endpoint.as_str()),
			("AWS_ALLOW_HTTP", "true"),
			("AWS_REGION", "us-east-1"),
			("AWS_ACCESS_KEY_ID", "id"),
			("AWS_SECRET_ACCESS_KEY", "secret"),
			("PATH", "/bin"),
		]
		.map(|(name, value)| (name.to_owned(), value.to_owned()));
		Pictures::at("s3://pictures/some/where", Durability::Commit, environment).unwrap()
	};
	let id = TaskId::from_bytes([0xab; 16]);
	let first = open();
	let names = [first.name(&id, 1, 0), first.name(&id, 2, 0)];
	for name in &names {
		first.put(name, Bytes::from_static(b"png")).await.unwrap();
	}
	let listing = reqwest::get(format!("{endpoint}/pictures")).await.unwrap();
	let listing = listing.text().await.unwrap();
	assert!(listing.contains(&format!("<Key>some/where/{}</Key>", names[0])), "{listing}");

	let second = open();
	assert_eq!(second.get(&names[1]).await.unwrap(), "png");
	assert_eq!(second.sweep(|_, attempt, _, _| attempt == 1).await, 1);
	assert!(second.get(&names[1]).await.is_err());
	assert_eq!(second.get(&names[0]).await.unwrap(), "png");
	second.remove(&names[0]).await;
	assert!(second.get(&names[0]).await.is_err());
}
