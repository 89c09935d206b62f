//! The Cuckoo coordinator: takes tasks from apps, shares them out among miners by stake, checks what
//! comes back.
//!
//! - [`registry`]: who is registered, read from the chain at finalized blocks;
//! - [`assignment`]: which miner gets a task;
//! - [`audit`]: whether a coordinator has drawn miners by the law;
//! - [`scheduler`]: tasks from the offer to the end, as a pure state machine;
//! - [`store`]: where tasks and pictures are kept, so that nothing promised is lost;
//! - [`webhooks`]: messages to apps about their tasks;
//! - [`service`]: the scheduler with a clock, a store and those who wait for it;
//! - [`accounts`]: keys, limits and money of apps; [`admin`]: how their operator gets at them;
//! - [`app_server`] and [`miner_server`]: the two listeners; [`gate`]: who asks;
//! - [`clients`]: other people's APIs on the listener for apps;
//! - [`tls`]: certificates for them;
//! - [`status_page`]: what people see of it with a browser;
//! - [`probes`]: what the machinery around it asks for, [`metrics`]: what is counted;
//! - [`cli`] and [`config_file`]: options, [`logging`]: the log;
//! - [`startup`]: what must hold before the coordinator starts.

pub mod accounts;
pub mod admin;
pub mod app_server;
pub mod assignment;
pub mod audit;
pub mod cli;
pub mod clients;
pub mod config_file;
pub mod connections;
pub mod gate;
pub mod listener;
pub mod logging;
pub mod metrics;
pub mod miner_server;
mod named_errors;
mod origin;
pub mod picture;
pub mod probes;
pub mod registry;
pub mod scheduler;
pub mod service;
pub mod sessions;
pub mod startup;
pub mod status_page;
pub mod store;
pub mod tls;
pub mod webhooks;
