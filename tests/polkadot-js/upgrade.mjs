// A runtime upgrade, with polkadot.js: the admin authorises the hash of a runtime, anyone brings the
// runtime itself, and the chain goes on with it.
//
//   node upgrade.mjs ws://NODE RUNTIME.wasm
//
// Needs a chain whose admin is Alice. Prints what it sees.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { CAI, connect } from "./chain.mjs";

const [url, file] = process.argv.slice(2);
assert.ok(url && file, "usage: node upgrade.mjs ws://NODE RUNTIME.wasm");
const patience = setTimeout(() => {
	console.error("no end in ten minutes");
	process.exit(1);
}, 600_000);

const { api, keyring, send, staking } = await connect(url);
const [alice, bob] = ["//Alice", "//Bob"].map((uri) => keyring.addFromUri(uri));
const code = await readFile(file);
const hex = `0x${code.toString("hex")}`;
const hash = api.registry.hash(code).toHex();
const running = async () => (await api.rpc.state.getRuntimeVersion()).specVersion.toNumber();
const height = async () => (await api.rpc.chain.getHeader()).number.toNumber();
const final = async () => {
	const head = await api.rpc.chain.getFinalizedHead();
	return (await api.rpc.chain.getHeader(head)).number.toNumber();
};

/// Waits until `done` is true.
async function until(done) {
	while (!(await done())) await new Promise((resolve) => setTimeout(resolve, 500));
}

const old = await running();
console.log(`block ${await height()}: version ${old} runs`);

// Nobody but the admin may authorise, and nothing but what was authorised may be applied.
await assert.rejects(
	send(api.tx.system.authorizeUpgrade(hash), bob),
	({ error }) => /badOrigin/i.test(error?.name),
);
await assert.rejects(
	send(api.tx.system.applyAuthorizedUpgrade(hex), bob),
	({ error }) => error?.name === "NothingAuthorized",
);

await send(api.tx.sudo.sudo(api.tx.system.authorizeUpgrade(hash)), alice);
const authorised = (await api.query.system.authorizedUpgrade()).unwrap();
assert.equal(authorised.codeHash.toHex(), hash);
console.log(`block ${await height()}: Alice has authorised ${hash}`);

await send(api.tx.system.applyAuthorizedUpgrade(hex), bob);
console.log(`block ${await height()}: Bob has brought the runtime of ${code.length} bytes`);

await until(async () => (await running()) > old);
const now = await running();
assert.equal(now, old + 1);
assert.ok((await api.query.system.authorizedUpgrade()).isNone);
const changed = await height();
console.log(`block ${changed}: version ${now} runs`);

// Blocks go on and are final, and calls are understood.
await until(async () => (await final()) >= changed + 2);
const after = await connect(url);
const staked = after.staking(await after.send(after.api.tx.staking.stake(CAI), bob), "Staked");
assert.equal(staked.amount.toBigInt(), CAI);
console.log(`block ${await height()}: final up to ${await final()}; Bob has staked with version ${now}`);

clearTimeout(patience);
await Promise.all([api, after.api].map((connection) => connection.disconnect()));
