//! The randomness of a draw: a verifiable random function of the coordinator's key. There is exactly one
//! output for an input, nobody but the holder of the key can tell it beforehand, and everybody can check
//! it.
//!
//! It is the VRF of schnorrkel (sr25519) over the transcript of the signing context `cuckoo-draw` with
//! the message
//! `genesis (32 bytes) ‖ era (4) ‖ sequence number (8) ‖ task hash (32) ‖ attempt (4)`,
//! numbers in little endian. 32 bytes of its output, in the context `cuckoo-draw`, are the key of a ChaCha20
//! stream with counter and nonce 0, from which [`uniform_below`](super::uniform::uniform_below) takes its
//! numbers.

use merlin::Transcript;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use schnorrkel::{
	signing_context,
	vrf::{VRFInOut, VRFPreOut, VRFProof, KUSAMA_VRF},
	Keypair, PublicKey,
};
use std::fmt;

const CONTEXT: &[u8] = b"cuckoo-draw";
const INPUT_BYTES: usize = 32 + 4 + 8 + 32 + 4;

/// What a draw depends on, besides the key and who is eligible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawInput {
	/// The era at the block at which the registry was read.
	pub era: u32,
	/// Place of the task in the order of all offers.
	pub sequence: u64,
	/// [`TaskSpec::digest`](cuckoo_coordinator_api::task::TaskSpec::digest) of the task.
	pub task_hash: [u8; 32],
	/// Which attempt, from 1.
	pub attempt: u32,
}

impl DrawInput {
	fn transcript(&self, genesis: &[u8; 32]) -> Transcript {
		let Self { era, sequence, task_hash, attempt } = self;
		let mut message = Vec::with_capacity(INPUT_BYTES);
		message.extend_from_slice(genesis);
		message.extend_from_slice(&era.to_le_bytes());
		message.extend_from_slice(&sequence.to_le_bytes());
		message.extend_from_slice(task_hash);
		message.extend_from_slice(&attempt.to_le_bytes());
		signing_context(CONTEXT).bytes(&message)
	}
}

/// Draws for one coordinator on one chain.
#[derive(Clone)]
pub struct Drawer {
	genesis: [u8; 32],
	key: Keypair,
}

/// Without the secret.
impl fmt::Debug for Drawer {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.debug_struct("Drawer").field("coordinator", &hex::encode(self.public_key())).finish()
	}
}

impl Drawer {
	/// With the key of the coordinator's operator, on the chain with this genesis hash.
	pub fn new(genesis: [u8; 32], key: Keypair) -> Self {
		Self { genesis, key }
	}

	/// With which its proofs are checked.
	pub fn public_key(&self) -> [u8; 32] {
		self.key.public.to_bytes()
	}

	/// The one output for an input.
	pub fn evaluate(&self, input: &DrawInput) -> Output {
		Output(self.key.vrf_create_hash(input.transcript(&self.genesis)))
	}

	/// The proof that an output of [`Self::evaluate`] is right.
	pub fn prove(&self, output: &Output) -> [u8; 64] {
		let (proof, _) = self.key.dleq_proove(proof_transcript(), &output.0, KUSAMA_VRF);
		proof.to_bytes()
	}
}

/// What `vrf_sign` of the library proves in.
fn proof_transcript() -> Transcript {
	Transcript::new(b"VRF")
}

/// What the function gives for an input.
pub struct Output(VRFInOut);

impl Output {
	/// What everybody needs to know of it.
	pub fn pre_output(&self) -> [u8; 32] {
		self.0.to_preout().to_bytes()
	}

	/// The random numbers that it stands for.
	pub fn randomness(&self) -> ChaCha20Rng {
		ChaCha20Rng::from_seed(self.0.make_bytes(CONTEXT))
	}
}

/// Checks proofs of one coordinator on one chain.
#[derive(Clone, Debug)]
pub struct Verifier {
	genesis: [u8; 32],
	key: PublicKey,
}

impl Verifier {
	/// For the coordinator with this public key; `None` if it is none.
	pub fn new(genesis: [u8; 32], public_key: [u8; 32]) -> Option<Self> {
		Some(Self { genesis, key: PublicKey::from_bytes(&public_key).ok()? })
	}

	/// The output for an input, if the proof holds.
	pub fn verify(
		&self,
		input: &DrawInput,
		pre_output: [u8; 32],
		proof: &[u8; 64],
	) -> Option<Output> {
		let proof = VRFProof::from_bytes(proof).ok()?;
		let transcript = input.transcript(&self.genesis);
		let (output, _) = self
			.key
			.vrf_verify_extra(transcript, &VRFPreOut(pre_output), &proof, proof_transcript())
			.ok()?;
		Some(Output(output))
	}
}

#[cfg(test)]
pub(crate) mod tests {
	use super::*;
	use cuckoo_chain_client::keys;
	use rand::RngCore;

	pub(crate) const GENESIS: [u8; 32] = [7; 32];

	/// Draws with a key that everybody knows.
	pub(crate) fn drawer() -> Drawer {
		Drawer::new(GENESIS, keys::for_draws("//Eve").unwrap())
	}

	fn input() -> DrawInput {
		DrawInput { era: 3, sequence: 5, task_hash: [9; 32], attempt: 1 }
	}

	#[test]
	fn an_input_has_one_output_and_any_proof_of_it_holds() {
		let drawer = drawer();
		let verifier = Verifier::new(GENESIS, drawer.public_key()).unwrap();
		let (first, second) = (drawer.evaluate(&input()), drawer.evaluate(&input()));
		assert_eq!(first.pre_output(), second.pre_output());
		let number = first.randomness().next_u64();
		for proof in [drawer.prove(&first), drawer.prove(&second)] {
			let output = verifier.verify(&input(), first.pre_output(), &proof).unwrap();
			assert_eq!(output.randomness().next_u64(), number);
		}
	}

	#[test]
	fn each_part_of_the_input_counts_and_so_do_key_and_chain() {
		let drawer = drawer();
		let verifier = |genesis| Verifier::new(genesis, drawer.public_key()).unwrap();
		let output = drawer.evaluate(&input());
		let (pre_output, proof) = (output.pre_output(), drawer.prove(&output));
		for other in [
			DrawInput { era: 4, ..input() },
			DrawInput { sequence: 6, ..input() },
			DrawInput { task_hash: [8; 32], ..input() },
			DrawInput { attempt: 2, ..input() },
		] {
			assert!(verifier(GENESIS).verify(&other, pre_output, &proof).is_none(), "{other:?}");
			let output = drawer.evaluate(&other);
			assert_ne!(output.pre_output(), pre_output, "{other:?}");
			let other = (output.pre_output(), drawer.prove(&output));
			assert!(verifier(GENESIS).verify(&input(), other.0, &proof).is_none());
			assert!(verifier(GENESIS).verify(&input(), pre_output, &other.1).is_none());
		}
		assert!(verifier([0; 32]).verify(&input(), pre_output, &proof).is_none());
		let stranger = keys::for_draws("//Ferdie").unwrap().public.to_bytes();
		let stranger = Verifier::new(GENESIS, stranger).unwrap();
		assert!(stranger.verify(&input(), pre_output, &proof).is_none());
		assert!(verifier(GENESIS).verify(&input(), [0xff; 32], &[0xff; 64]).is_none());
		assert!(Verifier::new(GENESIS, [0xff; 32]).is_none());
	}

	#[test]
	fn the_secret_is_not_shown() {
		let shown = format!("{:?}", drawer());
		assert!(shown.len() < 120 && shown.contains("coordinator"), "{shown}");
	}
}
