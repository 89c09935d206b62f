//! A draw whose proof is made later.

use cuckoo_coordinator_api::assignment::Draw;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

type Make = Box<dyn FnOnce() -> Draw + Send>;

/// A draw that is written down when somebody first looks at it: its proof takes longer than all else about
/// it, and is not needed to go on. Clones share it, so it is made once.
#[derive(Clone)]
pub struct LateDraw(Arc<LazyLock<Draw, Make>>);

impl LateDraw {
	/// The draw that `make` gives.
	pub fn new(make: impl FnOnce() -> Draw + Send + 'static) -> Self {
		Self(Arc::new(LazyLock::new(Box::new(make))))
	}

	/// Makes it, unless somebody has or is about to.
	pub fn make(&self) {
		LazyLock::force(&self.0);
	}
}

impl Deref for LateDraw {
	type Target = Draw;

	fn deref(&self) -> &Draw {
		&self.0
	}
}

impl PartialEq for LateDraw {
	fn eq(&self, other: &Self) -> bool {
		**self == **other
	}
}

impl fmt::Debug for LateDraw {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str("LateDraw")
	}
}
