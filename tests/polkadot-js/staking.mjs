// Everything that a staker does, with polkadot.js: stake, register, vote, move and take back votes,
// unstake; each read back from storage and through the StakingApi.
//
//   node staking.mjs ws://NODE [CUCKOO_MINER]
//
// Needs a chain on which Alice has funds and the staking pallet's test presets. CUCKOO_MINER is the
// miner program: the second registration uses the proof that it prints.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { merkleizeMetadata } from "@polkadot-api/merkleize-metadata";
import { hexToU8a, stringToU8a, u8aConcat, u8aToHex } from "@polkadot/util";
import { CAI, connect } from "./chain.mjs";

const [url, minerProgram] = process.argv.slice(2);
assert.ok(url && minerProgram, "usage: node staking.mjs ws://NODE CUCKOO_MINER");

// Everything here takes seconds; a test that hangs must end.
const patience = setTimeout(() => {
	console.error("no end in five minutes");
	process.exit(1);
}, 300_000);

const { api, keyring, send, staking, refused } = await connect(url);
const alice = keyring.addFromUri("//Alice");

const staker = async (account) => api.call.stakingApi.staker(account.address);
const candidate = async (account) => (await api.call.stakingApi.candidate(account.address)).unwrap();
const info = (name) => ({ name, contact: "", endpoints: [], certificate: null });

// What wallets show.
assert.equal(api.registry.chainSS58, 42);
assert.deepEqual(api.registry.chainDecimals, [18]);
assert.deepEqual(api.registry.chainTokens, ["CAI"]);
assert.ok(alice.address.startsWith("5"));
assert.equal(api.consts.staking.minimumMinerStake.toBigInt(), 20_000n * CAI);
for (const call of Object.values(api.tx.staking)) {
	assert.ok(call.meta.docs.length > 0, `${call.method} is not documented`);
}
const constants = await api.call.stakingApi.constants();
assert.equal(constants.minerMinimum.toBigInt(), 20_000n * CAI);

// An offline wallet signs the digest of the metadata along, which it computes itself.
const metadata = (await api.call.metadata.metadataAtVersion(15)).unwrap().toU8a(true);
const digest = merkleizeMetadata(metadata, { decimals: 18, tokenSymbol: "CAI" }).digest();
const withDigest = (bytes) => ({ mode: 1, metadataHash: u8aToHex(bytes) });
await send(api.tx.system.remark("0x00"), alice, withDigest(digest));
await assert.rejects(send(api.tx.system.remark("0x01"), alice, withDigest(digest.toReversed())), /bad signature/);

// Two new miners and a voter.
const [first, second, voter] = ["//JsFirst", "//JsSecond", "//JsVoter"].map((uri) =>
	keyring.addFromUri(uri),
);
const [firstOperator, secondOperator] = ["//JsFirst//operator", "//JsSecond//operator"].map((uri) =>
	keyring.addFromUri(uri),
);
await send(
	api.tx.utility.batchAll(
		[first, second, voter].map(({ address }) =>
			api.tx.balances.transferKeepAlive(address, 30_000n * CAI),
		),
	),
	alice,
);

// Stake.
const staked = staking(await send(api.tx.staking.stake(20_000n * CAI), first), "Staked");
assert.equal(staked.idle.toBigInt(), 20_000n * CAI);
assert.equal((await api.query.staking.ledgers(first.address)).idle.toBigInt(), 20_000n * CAI);
const { data: balance } = await api.query.system.account(first.address);
assert.ok(balance.reserved.toBigInt() >= 20_000n * CAI, "stake is held");

// Register, with a proof signed here.
const role = api.createType("u8", 1);
const consent = u8aConcat(
	stringToU8a("cuckoo/operator/v1"),
	api.genesisHash.toU8a(),
	first.publicKey,
	role.toU8a(),
);
const register = (self, operator, signature, name) =>
	api.tx.staking.register("Miner", self, operator.address, { Sr25519: signature }, info(name));
await refused(
	"InvalidProof",
	register(20_000n * CAI, firstOperator, secondOperator.sign(consent), "First"),
	first,
);
await refused(
	"BelowRoleMinimum",
	register(19_999n * CAI, firstOperator, firstOperator.sign(consent), "First"),
	first,
);
await send(register(20_000n * CAI, firstOperator, firstOperator.sign(consent), "First"), first);
let view = await candidate(first);
assert.equal(view.operator.toString(), firstOperator.address);
assert.equal(view.role.type, "Miner");
assert.equal(view.weight.toBigInt(), 20_000n * CAI);
assert.equal(view.name.toUtf8(), "First");
assert.ok(view.active.isTrue);
const stored = (await api.query.staking.candidates("Miner", first.address)).unwrap();
assert.equal(stored.operator.toString(), firstOperator.address);

// Register with the whole call that the miner program prints for its owner to paste.
const work = mkdtempSync(join(tmpdir(), "cuckoo-js-"));
try {
	const keyFile = join(work, "operator.key");
	writeFileSync(keyFile, "//JsSecond//operator");
	const printed = execFileSync(
		minerProgram,
		["key", "prove", "--chain", url, "--key", keyFile, "--stash", second.address],
		{ encoding: "utf8" },
	);
	const hexes = printed.match(/0x[0-9a-f]+/g) ?? [];
	const calls = hexes.flatMap((hex) => {
		try {
			return [api.tx(api.createType("Call", hexToU8a(hex)))];
		} catch {
			return [];
		}
	});
	const call = calls.find(({ method }) => method.section === "staking" && method.method === "register");
	assert.ok(call, `no staking.register in what the miner prints:\n${printed}`);
	await send(api.tx.staking.stake(20_000n * CAI), second);
	await send(call, second);
} finally {
	rmSync(work, { recursive: true });
}
assert.equal((await candidate(second)).operator.toString(), secondOperator.address);

// Vote, move, take back.
await send(api.tx.staking.stake(1_000n * CAI), voter);
await refused("InsufficientIdle", api.tx.staking.vote(first.address, 1_001n * CAI), voter);
await send(api.tx.staking.vote(first.address, 600n * CAI), voter);
assert.equal((await candidate(first)).weight.toBigInt(), 20_600n * CAI);
await send(api.tx.staking.moveVote(first.address, second.address, 400n * CAI), voter);
assert.equal((await candidate(first)).weight.toBigInt(), 20_200n * CAI);
assert.equal((await candidate(second)).weight.toBigInt(), 20_400n * CAI);
await send(api.tx.staking.unvote(first.address, 200n * CAI), voter);
let account = await staker(voter);
assert.equal(account.held.toBigInt(), 1_000n * CAI);
assert.equal(account.idle.toBigInt(), 600n * CAI);
assert.equal(account.positions.length, 1);
assert.equal(account.positions[0].candidate.toString(), second.address);
assert.equal(account.positions[0].amount.toBigInt(), 400n * CAI);
// Both departures are liabilities for the first candidate; an era may have ended between them.
const exposed = account.exposures.map(({ candidate, amount }) => {
	assert.equal(candidate.toString(), first.address);
	return amount.toBigInt();
});
assert.equal(exposed.reduce((sum, amount) => sum + amount, 0n), 600n * CAI);

// Unstake.
const unstaked = staking(await send(api.tx.staking.unstake(500n * CAI), voter), "Unstaked");
const era = await api.call.stakingApi.era();
const bonding = constants.bondingEras.toNumber();
assert.ok(Math.abs(unstaked.untilEra.toNumber() - era.index.toNumber() - bonding) <= 1);
account = await staker(voter);
assert.equal(account.idle.toBigInt(), 100n * CAI);
assert.equal(account.unbonding.length, 1);
assert.equal(account.unbonding[0].amount.toBigInt(), 500n * CAI);
assert.equal(account.withdrawable.toBigInt(), 0n);
await refused("NothingToWithdraw", api.tx.staking.withdraw(), voter);

// The registry, page by page.
const all = new Set();
for (let last = null; ; ) {
	const page = await api.call.stakingApi.candidates("Miner", last, 2);
	if (page.length === 0) break;
	for (const { stash } of page) all.add(stash.toString());
	last = page[page.length - 1].stash;
}
assert.ok(all.has(first.address) && all.has(second.address));
const total = await api.call.stakingApi.roleTotal("Miner");
assert.equal(total.candidates.toNumber(), all.size);

clearTimeout(patience);
console.log(`staked, registered and voted on ${u8aToHex(api.genesisHash)}`);
await api.disconnect();
