//! What the fuzz targets assert of the decoders of `wire` and `keys`.
//!
//! **Decides** which identities hold for each decoder. **Deliberately does not know** a fuzzer: the
//! functions take bytes, and tests on stable call them as well. **Start reading** in [`of_wire`].

#![forbid(unsafe_code)]

pub mod of_keys;
pub mod of_wire;
