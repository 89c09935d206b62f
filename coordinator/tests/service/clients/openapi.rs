//! The OpenAPI document: every route in it answers, as it says.

use super::*;
use cuckoo_coordinator::accounts::Limits;
use serde_json::{json, Map};

/// What the document says of an operation.
struct Operation<'a> {
	method: Method,
	path: String,
	query: Vec<(String, String)>,
	headers: Vec<(String, String)>,
	body: Option<&'a Value>,
	responses: &'a Map<String, Value>,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
	let mut operations = Vec::new();
	for (path, methods) in document["paths"].as_object().unwrap() {
		for (method, described) in methods.as_object().unwrap() {
			let mut operation = Operation {
				method: method.to_uppercase().parse().unwrap(),
				path: path.clone(),
				query: Vec::new(),
				headers: Vec::new(),
				body: described.pointer("/requestBody/content/application~1json/example"),
				responses: described["responses"].as_object().unwrap(),
			};
			let none = Vec::new();
			for parameter in described["parameters"].as_array().unwrap_or(&none) {
				let name = parameter["name"].as_str().unwrap();
				let Some(example) = parameter.get("example") else { continue };
				let example = example.as_str().map_or(example.to_string(), str::to_owned);
				match parameter["in"].as_str().unwrap() {
					"path" => {
						operation.path = operation.path.replace(&format!("{{{name}}}"), &example);
					},
					"query" => operation.query.push((name.to_owned(), example)),
					_ => operation.headers.push((name.to_owned(), example)),
				}
			}
			assert!(!operation.path.contains('{'), "{path}: every part has an example");
			operations.push(operation);
		}
	}
	operations
}

/// What of a value does not fit a schema, of the parts of JSON Schema that the document uses.
fn misfit(document: &Value, schema: &Value, value: &Value, place: &str) -> Option<String> {
	if let Some(reference) = schema["$ref"].as_str() {
		let schema =
			document.pointer(reference.trim_start_matches('#')).expect("it leads somewhere");
		return misfit(document, schema, value, place);
	}
	if let Some(choices) = schema["oneOf"].as_array() {
		let misfits: Option<Vec<_>> =
			choices.iter().map(|choice| misfit(document, choice, value, place)).collect();
		return misfits.map(|misfits| misfits.join("; or "));
	}
	let actual = match value {
		Value::Null => "null",
		Value::Bool(_) => "boolean",
		Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
		Value::Number(_) => "number",
		Value::String(_) => "string",
		Value::Array(_) => "array",
		Value::Object(_) => "object",
	};
	let fits = |wanted: &Value| wanted == actual || (wanted == "number" && actual == "integer");
	let right = match &schema["type"] {
		Value::Null => true,
		Value::Array(types) => types.iter().any(fits),
		wanted => fits(wanted),
	};
	if !right {
		return Some(format!("{place} is of type {actual}, not {}", schema["type"]));
	}
	if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
		return Some(format!("{place} is {value}, not one of {}", schema["enum"]));
	}
	if let Some(array) = value.as_array() {
		return array.iter().find_map(|item| misfit(document, &schema["items"], item, place));
	}
	let object = value.as_object()?;
	let empty = (Vec::new(), Map::new());
	let required = schema["required"].as_array().unwrap_or(&empty.0);
	if let Some(missing) = required.iter().find(|name| !object.contains_key(name.as_str().unwrap()))
	{
		return Some(format!("{place} has no {missing}"));
	}
	let properties = schema["properties"].as_object().unwrap_or(&empty.1);
	object.iter().find_map(|(name, value)| {
		misfit(document, properties.get(name)?, value, &format!("{place}.{name}"))
	})
}

/// The schema of an answer in JSON, if the document has that answer.
fn schema_of<'a>(
	document: &'a Value,
	responses: &'a Map<String, Value>,
	status: u16,
) -> Option<&'a Value> {
	let response = responses.get(&status.to_string())?;
	let response = match response["$ref"].as_str() {
		Some(reference) => document.pointer(reference.trim_start_matches('#'))?,
		None => response,
	};
	response.pointer("/content/application~1json/schema").or(Some(&Value::Null))
}

#[tokio::test]
async fn every_route_answers_as_it_is_described() {
	// With a miner that renders, and without one.
	for coordinator in [serving().await, Coordinator::start(vec![]).await] {
		let (_, document) = coordinator.get_json("/openapi.json").await;
		let operations = operations(&document);
		assert!(operations.len() > 20);
		for operation in operations {
			let Operation { method, path, query, headers, body, responses } = operation;
			let mut request = coordinator.request(method.clone(), &path).query(&query);
			for (name, value) in headers {
				request = request.header(name, value);
			}
			if let Some(body) = body {
				request = request.json(body);
			}
			let (status, answer) = answer(request).await;
			let schema = schema_of(&document, responses, status);
			let schema =
				schema.unwrap_or_else(|| panic!("{method} {path}: {status} is not described"));
			assert_eq!(misfit(&document, schema, &answer, "it"), None, "{method} {path}: {answer}");
		}
	}
}

#[tokio::test]
async fn our_own_types_are_described_in_full() {
	let coordinator = serving().await;
	let (_, document) = coordinator.get_json("/openapi.json").await;
	let body = serde_json::to_value(request("a red bird")).unwrap();
	let (_, quote) = coordinator.post_json("/v1/tasks?dry_run=true", &body).await;
	let offered = coordinator.request(Method::POST, "/v1/tasks").header("prefer", "wait=60");
	let (_, status) = answer(offered.json(&body)).await;
	assert_eq!(status["state"], "done");
	let path = format!("/v1/tasks/{}/assignment", status["taskId"].as_str().unwrap());
	let (_, proof) = coordinator.get_json(&path).await;
	let (_, network) = coordinator.get_json("/v1/status").await;
	let key = coordinator.add_app("shop", 1, Limits::default()).await;
	let account = coordinator.request(Method::GET, "/v1/account").bearer_auth(key);
	let (_, account) = answer(account).await;
	for (name, value) in [
		("NetworkStatus", &network),
		("CoordinatorInfo", &network["coordinator"]),
		("Miner", &network["miners"][0]),
		("Account", &account),
		("TaskRequest", &body),
		("TaskStatus", &status),
		("TaskSpec", &status["spec"]),
		("Picture", &status["pictures"][0]),
		("Quote", &quote),
		("AssignmentProof", &proof),
		("Draw", &proof["draws"][0]),
	] {
		let properties = document["components"]["schemas"][name]["properties"].as_object().unwrap();
		let described: Vec<&String> = properties.keys().collect();
		let sent: Vec<&String> = value.as_object().unwrap().keys().collect();
		assert_eq!(described, sent, "{name}");
	}
}

#[test]
fn the_check_finds_what_does_not_fit() {
	let document = json!({ "a": { "type": "object", "required": ["x"], "properties": {
		"x": { "type": ["integer", "null"] }, "y": { "type": "array", "items": { "enum": ["z"] } } } } });
	let check = |value: Value| misfit(&document, &json!({ "$ref": "#/a" }), &value, "it");
	assert_eq!(check(json!({ "x": 1, "y": ["z"], "unknown": 1 })), None);
	assert_eq!(check(json!({ "x": null })), None);
	for wrong in [json!(1), json!({}), json!({ "x": 1.5 }), json!({ "x": 1, "y": ["a"] })] {
		assert!(check(wrong.clone()).is_some(), "{wrong}");
	}
}
