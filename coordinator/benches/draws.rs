//! What a draw costs: among 100 and 10,000 miners, and without the proof; and what checking one costs.
//!
//! `cargo bench -p cuckoo-coordinator --bench draws`

use cuckoo_chain_client::{keys, CAI};
use cuckoo_coordinator::assignment::{
	pool::Pool,
	vrf::{DrawInput, Drawer, Verifier},
};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: u64 = 20_000;

/// Prints how long one of many rounds takes.
fn measure(name: &str, mut act: impl FnMut(u64)) {
	let begin = Instant::now();
	(0..ROUNDS).for_each(&mut act);
	println!("{name:<40} {:>8.1} µs", begin.elapsed().as_secs_f64() * 1e6 / ROUNDS as f64);
}

fn input(sequence: u64) -> DrawInput {
	DrawInput { era: 1, sequence, task_hash: [1; 32], attempt: 1 }
}

fn main() {
	let drawer =
		Drawer::new([0; 32], keys::for_draws("//Eve").expect("a key that everybody knows"));
	for miners in [100, 10_000] {
		let mut pool = Pool::default();
		for place in 0..miners {
			pool.set(place, (20_000 + place as u128) * CAI);
		}
		measure(&format!("draw among {miners} miners, with proof"), |sequence| {
			let output = drawer.evaluate(&input(sequence));
			black_box(pool.draw(&[7], || output.randomness()));
			black_box(drawer.prove(&output));
		});
		measure(&format!("pool of {miners}: one leaves and comes back"), |n| {
			let place = n as usize % miners;
			pool.remove(place);
			pool.set(place, (20_000 + place as u128) * CAI);
		});
	}
	measure("the random function", |n| {
		black_box(drawer.evaluate(&input(n)));
	});
	let output = drawer.evaluate(&input(1));
	measure("its proof", |_| {
		black_box(drawer.prove(&output));
	});
	let verifier = Verifier::new([0; 32], drawer.public_key()).expect("it is a key");
	let proof = drawer.prove(&output);
	measure("checking it", |_| {
		black_box(verifier.verify(&input(1), output.pre_output(), &proof).is_some());
	});
}
