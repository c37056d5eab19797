//! Sealane: every socket, file, clock and thread of it. The cores decide; this crate carries.
//!
//! **Decides** nothing about keys, identities or blocks: it composes the cores `keys`, `mesh` and
//! `volume` into processes ([`roles`]), keeps those alive ([`up`]) and answers operators ([`cli`]).
//! **Deliberately does not know** how anything is sealed or protected. **Start reading** in [`up`],
//! which starts everything else; ARCHITECTURE.md follows five journeys through the files.

pub mod audit_trail;
pub mod cell_dir;
pub mod cli;
pub mod config;
pub mod control;
pub mod disk;
pub mod fuse_file;
pub mod ipc;
pub mod kms;
pub mod kms_api;
pub mod launch;
pub mod log;
pub mod plan;
pub mod roles;
pub mod service_logs;
pub mod store;
pub mod sys;
pub mod time_text;
pub mod tls;
pub mod up;
pub mod volume_check;
pub mod volume_open;
