//! How the coordinator's operator gets at the accounts of apps. The store is open in one process only, so
//! a running coordinator takes commands itself, over a socket in its data directory; while none runs,
//! the same commands open the store.
//!
//! - `command_line`: `cuckoo-coordinator app …`; `socket`: the socket.

mod command_line;
mod socket;

pub use command_line::{run, AppArgs, AppCommand};
pub use socket::{ask, AdminSocket};
