//! sealane
