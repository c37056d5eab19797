//! sealane

pub mod cell_dir;
pub mod kms;
pub mod store;
pub mod cli;
pub mod config;
pub mod launch;
pub mod sys;
pub mod tls;
pub mod disk;
pub mod fuse_file;
