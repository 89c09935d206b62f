//! The coordinator as its users see it: a real server, real connections, a real process.

mod accounts;
mod apps;
mod bucket;
mod clients;
mod common;
mod crash;
mod draws;
mod miners;
mod outside;
mod page;
mod program;
mod random_input;
mod restart;
mod webhooks;
