// The life of a staker, with polkadot.js: get tokens, stake, vote for a miner and a coordinator, wait an
// era, claim, see the miner slashed and lose in proportion, take everything back.
//
//   node story.mjs ws://NODE
//
// Needs a test preset with short eras, whose admin is Alice. Prints what it sees.
import assert from "node:assert/strict";
import { CAI, connect } from "./chain.mjs";

const [url] = process.argv.slice(2);
assert.ok(url, "usage: node story.mjs ws://NODE");
// Unbonding takes 28 eras.
const patience = setTimeout(() => {
	console.error("no end in ten minutes");
	process.exit(1);
}, 600_000);

const { api, keyring, send, staking } = await connect(url);
const [alice, staker, miner, coordinator] = ["//Alice", "//Sarah", "//Miner1", "//Coordinator"].map(
	(uri) => keyring.addFromUri(uri),
);
const view = () => api.call.stakingApi.staker(staker.address);
const pending = () => api.call.stakingApi.pendingRewards(staker.address);
const era = async () => (await api.call.stakingApi.era()).index.toNumber();
const free = async () => (await api.query.system.account(staker.address)).data.free.toBigInt();
const say = (text) => console.log(`era ${String(last).padStart(2)}  ${text}`);
const cai = (planck) => `${(Number(planck) / Number(CAI)).toFixed(4)} CAI`;
let last = await era();

/// Waits until `done` answers with something.
async function until(done) {
	for (;;) {
		last = await era();
		const answer = await done();
		if (answer) return answer;
		await new Promise((resolve) => setTimeout(resolve, 500));
	}
}
const wait = async (eras) => {
	const goal = (await era()) + eras;
	await until(() => last >= goal);
};
const position = async (candidate) =>
	(await view()).positions.find((position) => position.candidate.toString() === candidate.address);

await send(api.tx.balances.transferKeepAlive(staker.address, 10_000n * CAI), alice);
say(`got ${cai(await free())}`);

await send(api.tx.staking.stake(2_000n * CAI), staker);
await send(api.tx.staking.vote(miner.address, 600n * CAI), staker);
await send(api.tx.staking.vote(coordinator.address, 400n * CAI), staker);
let account = await view();
assert.equal(account.held.toBigInt(), 2_000n * CAI);
assert.equal(account.idle.toBigInt(), 1_000n * CAI);
assert.equal(account.positions.length, 2);
say("staked 2,000, voted 600 for Miner1 and 400 for the coordinator; 1,000 are idle");

for (const [name, candidate] of [["Miner1", miner], ["the coordinator", coordinator]]) {
	const seen = (await api.call.stakingApi.expectedReturn(staker.address, candidate.address)).unwrap();
	assert.ok(seen.yearlyReturn.toBigInt() > 0n);
	say(
		`behind ${name}: ${(seen.share.toNumber() / 1e7).toFixed(2)} % of its stake, ` +
			`${cai(seen.eraReward.toBigInt())} an era`,
	);
}

// Two whole eras.
await wait(2);
const rewards = await pending();
assert.equal(rewards.length, 2);
for (const { amount } of rewards) assert.ok(amount.toBigInt() > 0n);
const before = await free();
const claims = [miner, coordinator].map(({ address }) => api.tx.staking.claim(address));
const paid = (await send(api.tx.utility.batchAll(claims), staker))
	.filter(({ section, method }) => section === "staking" && method === "RewardPaid")
	.map(({ data }) => data);
assert.equal(paid.length, 2);
// Rewards flow on until the claim is in a block.
for (const { candidate, amount } of rewards) {
	const payment = paid.find((payment) => payment.candidate.eq(candidate));
	assert.ok(payment.amount.toBigInt() >= amount.toBigInt());
}
const amounts = paid.map(({ amount }) => amount.toBigInt());
const sum = amounts.reduce((a, b) => a + b);
const gained = (await free()) - before;
assert.ok(gained > 0n && gained <= sum, "the reward is free, less the fee");
say(`claimed ${amounts.map(cai).join(" and ")}`);

// The miner is slashed by a tenth, and so is everybody behind it.
last = await era();
const slash = api.tx.staking.slash(miner.address, 100_000_000, last);
const reported = staking(await send(api.tx.sudo.sudo(slash), alice), "SlashReported");
const [waiting] = await api.call.stakingApi.pendingSlashes(miner.address);
assert.equal(waiting.id.toNumber(), reported.id.toNumber());
assert.equal((await position(miner)).amount.toBigInt(), 600n * CAI);
say(`Miner1 will be slashed by 10 % in era ${waiting.applyEra}`);
await until(async () => (await position(miner)).amount.toBigInt() === 540n * CAI);
say("slashed: the 600 behind Miner1 are worth 540, the 400 behind the coordinator still 400");
assert.equal((await position(coordinator)).amount.toBigInt(), 400n * CAI);
const lost = staking(await send(api.tx.staking.settle(staker.address, miner.address), alice), "Slashed");
assert.equal(lost.amount.toBigInt(), 60n * CAI);
assert.equal(lost.staker.toString(), staker.address);
assert.equal((await view()).held.toBigInt(), 1_940n * CAI);

// Everything back.
await send(
	api.tx.utility.batchAll([
		api.tx.staking.unvote(miner.address, 540n * CAI),
		api.tx.staking.unvote(coordinator.address, 400n * CAI),
		api.tx.staking.unstake(1_940n * CAI),
	]),
	staker,
);
account = await view();
assert.equal(account.positions.length, 0);
last = await era();
say(`took back 540 and 400, and unstaked 1,940: free from era ${account.unbonding[0].untilEra}`);
await until(async () => (await view()).withdrawable.toBigInt() === 1_940n * CAI);
const withdrawn = staking(await send(api.tx.staking.withdraw(), staker), "Withdrawn");
assert.equal(withdrawn.amount.toBigInt(), 1_940n * CAI);
account = await view();
assert.equal(account.held.toBigInt(), 0n);
assert.equal(account.exposures.length, 0);
say(`withdrew 1,940: ${cai(await free())} are free`);

clearTimeout(patience);
await api.disconnect();
