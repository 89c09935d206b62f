// A connection to a Cuckoo chain, and what the scripts do with it.
import assert from "node:assert/strict";
import { ApiPromise, Keyring, WsProvider } from "@polkadot/api";

/// One CAI in planck.
export const CAI = 10n ** 18n;

/// Connects to the node at `url`.
export async function connect(url) {
	const api = await ApiPromise.create({ provider: new WsProvider(url), noInitWarn: true });
	const keyring = new Keyring({ type: "sr25519", ss58Format: api.registry.chainSS58 });

	/// Sends a call and waits until it is final; fails with the chain's own words.
	async function send(call, signer, options) {
		return new Promise((resolve, reject) => {
			call.signAndSend(signer, { nonce: -1, ...options }, ({ status, events, dispatchError }) => {
				if (dispatchError) {
					const error = dispatchError.isModule
						? api.registry.findMetaError(dispatchError.asModule)
						: { name: dispatchError.toString(), docs: [] };
					reject(Object.assign(new Error(`${error.name}: ${error.docs.join(" ")}`), { error }));
				} else if (status.isFinalized) {
					resolve(events.map(({ event }) => event));
				} else if (status.isInvalid || status.isDropped || status.isUsurped) {
					reject(new Error(`the transaction is ${status.type}`));
				}
			}).catch(reject);
		});
	}

	/// The data of the one event of this name in the staking pallet.
	function staking(events, name) {
		const found = events.filter(({ section, method }) => section === "staking" && method === name);
		assert.equal(found.length, 1, `there must be one event ${name}`);
		return found[0].data;
	}

	/// Fails unless the chain refuses the call with the error of this name.
	async function refused(name, call, signer) {
		await assert.rejects(send(call, signer), ({ error }) => error?.name === name, name);
	}

	return { api, keyring, send, staking, refused };
}
