//! Phantom Gang: a gang of headless browsers sees each page as a visitor's browser does, checks look at what was
//! seen, and what they find becomes tickets.
//!
//! Data flows one way: site → frontier → browser → evidence → checks → observations → findings → tickets, reports.
//! `ARCHITECTURE.md` states the invariants.

pub mod browser;
pub mod cli;
pub mod config;
pub mod crawl;
pub mod declared;
pub mod demo;
pub mod egress;
pub mod fleet;
pub mod jira;
pub mod report;
pub mod sandbox;
pub mod scan;
pub mod site;
pub mod store;
pub mod tickets;
pub mod triage;
pub mod trial;
