//! Whose turn it is: the miner's free slots go to its coordinators in proportion to their stake.
//!
//! While there are slots for all, every coordinator is asked for work all the time. When slots are
//! scarce, they are given out by start-time fair queueing (Goyal, Vin and Cheng, 1996): each coordinator
//! has a clock that a poll moves on by 1 / stake, and the slot goes to the one whose clock is furthest
//! behind. One that did not wait for a while does not save up turns. Whatever the stakes, nobody waits
//! longer than [`LONGEST_WAIT`], since a coordinator believes a miner dead that it does not hear of.

use cuckoo_chain_client::AccountId32;
use cuckoo_coordinator_api::miner::LIVE_SECONDS;
use parking_lot::{Mutex, MutexGuard};
use std::{
	collections::BTreeMap,
	sync::Arc,
	time::{Duration, Instant},
};
use tokio::sync::Notify;

/// How long a coordinator waits for its turn, at most, if a slot is free until then.
const LONGEST_WAIT: Duration = Duration::from_secs(LIVE_SECONDS - 5);

/// The slots of a miner, and who waits for one.
pub struct Turns {
	state: Mutex<State>,
	changed: Notify,
}

struct State {
	free: usize,
	/// The clock of whom a slot was given last.
	clock: f64,
	lines: BTreeMap<AccountId32, Line>,
}

/// A coordinator, as long as it waits or its clock is ahead.
#[derive(Clone, Copy)]
struct Line {
	/// Where its next turn starts.
	start: f64,
	/// By how much a turn moves it on.
	cost: f64,
	/// Since when it waits.
	since: Option<Instant>,
}

/// A slot that is taken. Dropping it gives it back.
pub struct Slot(Arc<Turns>);

impl Turns {
	/// With so many free slots.
	pub fn new(slots: usize) -> Arc<Self> {
		let state = State { free: slots, clock: 0.0, lines: BTreeMap::new() };
		Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
	}

	fn state(&self) -> MutexGuard<'_, State> {
		self.state.lock()
	}

	/// Waits for a slot to ask the coordinator with this stash and stake (in planck) for work. `former`,
	/// a slot with which it was asked before, is given back when it stands in line again, so that it has
	/// the same chances as the others.
	pub async fn next(
		self: &Arc<Self>,
		stash: AccountId32,
		stake: u128,
		former: Option<Slot>,
	) -> Slot {
		self.state().wait(stash, stake, Instant::now());
		let waiting = Waiting { turns: self, stash };
		drop(former);
		loop {
			let changed = self.changed.notified();
			tokio::pin!(changed);
			// From here on no change is missed.
			changed.as_mut().enable();
			if self.state().take(&stash, Instant::now()) {
				// There may be more of them for others.
				drop(waiting);
				return Slot(Arc::clone(self));
			}
			changed.await;
		}
	}
}

impl State {
	fn wait(&mut self, stash: AccountId32, stake: u128, now: Instant) {
		let clock = self.clock;
		let line = self.lines.entry(stash).or_insert(Line { start: clock, cost: 0.0, since: None });
		line.start = line.start.max(clock);
		line.cost = 1.0 / (stake.max(1) as f64);
		line.since = Some(now);
	}

	/// Whose turn is next.
	fn first(&self, now: Instant) -> Option<AccountId32> {
		let waiting = || {
			self.lines
				.iter()
				.filter_map(|(stash, line)| line.since.map(|since| (stash, line, since)))
		};
		let neglected = waiting()
			.filter(|(_, _, since)| now.duration_since(*since) >= LONGEST_WAIT)
			.min_by_key(|(_, _, since)| *since);
		let behind = || waiting().min_by(|(_, a, _), (_, b, _)| a.start.total_cmp(&b.start));
		neglected.or_else(behind).map(|(stash, ..)| *stash)
	}

	/// Gives a slot to this one, if one is free and it is its turn.
	fn take(&mut self, stash: &AccountId32, now: Instant) -> bool {
		if self.free == 0 || self.first(now).as_ref() != Some(stash) {
			return false;
		}
		self.free -= 1;
		if let Some(line) = self.lines.get_mut(stash) {
			self.clock = self.clock.max(line.start);
			line.start += line.cost;
			line.since = None;
		}
		// Clocks that were left behind say nothing any more.
		let clock = self.clock;
		self.lines.retain(|_, line| line.since.is_some() || line.start > clock);
		true
	}
}

/// A place in the line.
struct Waiting<'a> {
	turns: &'a Turns,
	stash: AccountId32,
}

impl Drop for Waiting<'_> {
	fn drop(&mut self) {
		if let Some(line) = self.turns.state().lines.get_mut(&self.stash) {
			line.since = None;
		}
		self.turns.changed.notify_waiters();
	}
}

impl Drop for Slot {
	fn drop(&mut self) {
		self.0.state().free += 1;
		self.0.changed.notify_waiters();
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use tokio::time::timeout;

	/// A poll takes so long.
	const POLL: Duration = Duration::from_secs(2);

	/// How often each coordinator is asked while so many slots go round for a minute.
	fn polls(slots: usize, stakes: &[u128]) -> Vec<usize> {
		let mut state = State { free: slots, clock: 0.0, lines: BTreeMap::new() };
		let begin = Instant::now();
		let stash = |number: usize| AccountId32([number as u8; 32]);
		let mut counts = vec![0; stakes.len()];
		// When the polls end that go on, and who is asked.
		let mut asked: Vec<(Duration, usize)> = Vec::new();
		for (number, stake) in stakes.iter().enumerate() {
			state.wait(stash(number), *stake, begin);
		}
		for second in 0..60 {
			let (elapsed, now) = (Duration::from_secs(second), begin + Duration::from_secs(second));
			let (over, going): (Vec<_>, Vec<_>) =
				asked.into_iter().partition(|(end, _)| *end <= elapsed);
			asked = going;
			for (_, number) in &over {
				state.wait(stash(*number), stakes[*number], now);
			}
			state.free = slots - asked.len();
			while let (true, Some(first)) = (state.free > 0, state.first(now)) {
				assert!(state.take(&first, now));
				let number = usize::from(first.0[0]);
				counts[number] += 1;
				asked.push((elapsed + POLL, number));
			}
		}
		counts
	}

	#[test]
	fn scarce_slots_go_round_in_proportion_to_stake() {
		let counts = polls(1, &[2_000_000, 6_000_000]);
		assert!((7..=8).contains(&counts[0]) && (21..=23).contains(&counts[1]), "{counts:?}");
		let counts = polls(2, &[2_000_000, 3_000_000, 5_000_000]);
		assert!((11..=13).contains(&counts[0]) && (17..=19).contains(&counts[1]), "{counts:?}");
	}

	#[test]
	fn slots_for_all_let_nobody_wait() {
		assert_eq!(polls(2, &[2_000_000, 200_000_000]), [30, 30]);
	}

	#[test]
	fn the_smallest_is_asked_often_enough_to_know_that_the_miner_lives() {
		let counts = polls(1, &[2_000_000, 900_000_000]);
		assert!((5..=6).contains(&counts[0]), "{counts:?}");
	}

	#[tokio::test]
	async fn who_gives_up_waiting_is_in_nobodys_way() {
		let turns = Turns::new(1);
		let [first, second] = [[1; 32], [2; 32]].map(AccountId32);
		let slot = turns.next(first, 1, None).await;
		let waits = timeout(Duration::from_millis(50), turns.next(second, 1, None)).await;
		assert!(waits.is_err(), "there is one slot");
		drop(slot);
		timeout(Duration::from_secs(10), turns.next(first, 1, None)).await.expect("it is free");
	}

	#[tokio::test]
	async fn whoever_comes_back_has_the_same_chances_as_those_who_wait() {
		let turns = Turns::new(1);
		let [small, large] = [[1; 32], [2; 32]].map(AccountId32);
		let held = turns.next(large, 3, None).await;
		let others = Arc::clone(&turns);
		let waiting = tokio::spawn(async move { others.next(small, 1, None).await });
		tokio::time::sleep(Duration::from_millis(50)).await;
		// The small one is behind; then the large one is, for three turns.
		let again = turns.next(large, 3, Some(held));
		tokio::pin!(again);
		let slot = tokio::select! {
			_ = &mut again => panic!("it is not its turn"),
			slot = waiting => slot.unwrap(),
		};
		let others = Arc::clone(&turns);
		let waiting = tokio::spawn(async move { others.next(small, 1, Some(slot)).await });
		let _slot = again.await;
		assert!(!waiting.is_finished());
		waiting.abort();
	}
}
