// Everything that an app does with OpenAI's Images, with OpenAI's own package for Node.js.
//
//   node openai_client.mjs http://COORDINATOR/v1 MODEL DIRECTORY
//
// Leaves the pictures in DIRECTORY: base64.png, address.png and stream.png.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";

const [baseURL, model, directory] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "any" });
const save = (name, bytes) => writeFileSync(join(directory, name), Buffer.from(bytes));
const picture = {
	model,
	prompt: "a red bird",
	size: "64x72",
	seed: 7,
	num_inference_steps: 2,
	negative_prompt: "cats",
};

const served = [];
for await (const { id } of client.models.list()) {
	served.push(id);
}
assert.deepEqual(served, [model]);
assert.equal((await client.models.retrieve(model)).object, "model");

let made = await client.images.generate({ ...picture, n: 2, response_format: "b64_json", user: "me" });
assert.equal(made.data.length, 2);
assert.equal(made.size, "64x72");
save("base64.png", Buffer.from(made.data[0].b64_json, "base64"));

made = await client.images.generate({ ...picture, response_format: "url" });
save("address.png", await (await fetch(made.data[0].url)).arrayBuffer());

const events = [];
for await (const event of await client.images.generate({ ...picture, stream: true, partial_images: 2 })) {
	events.push(event);
}
assert.deepEqual(events.map(({ type }) => type), ["image_generation.completed"]);
assert.equal(events[0].usage.total_tokens, 0);
save("stream.png", Buffer.from(events[0].b64_json, "base64"));

for (const [kind, code, param, changes] of [
	[OpenAI.BadRequestError, "INVALID_REQUEST", "size", { size: "65x64" }],
	[OpenAI.BadRequestError, "INVALID_REQUEST", "n", { n: 9 }],
	[OpenAI.BadRequestError, "UNSUPPORTED", "output_format", { output_format: "webp" }],
	[OpenAI.NotFoundError, "UNKNOWN_MODEL", "model", { model: "dall-e-3" }],
]) {
	await assert.rejects(client.images.generate({ ...picture, ...changes }), (error) => {
		assert.ok(error instanceof kind, error);
		assert.deepEqual([error.code, error.param], [code, param]);
		assert.equal(error.type, "invalid_request_error");
		return true;
	});
}
console.log("openai for Node.js: all as expected");
