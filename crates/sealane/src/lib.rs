//! sealane

pub mod kms;
pub mod store;
pub mod config;
