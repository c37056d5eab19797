//! sealane

pub mod kms;
pub mod store;
