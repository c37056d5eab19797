//! The fuzz targets of this crate's decoders, on stable: see `fuzz/README.md`.

#[path = "../../../fuzz/src/of_wire.rs"]
pub mod of_wire;
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[test]
fn kms_json() {
    replay::replay("kms_json", of_wire::kms_json);
}

#[test]
fn sigv4() {
    replay::replay("sigv4", of_wire::sigv4);
}
