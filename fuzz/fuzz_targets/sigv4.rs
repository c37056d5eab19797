#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealane_fuzz::of_wire::sigv4(data));
