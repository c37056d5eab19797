//! The few places where plaintext becomes ciphertext.
//!
//! The doors are the product's. Integration tests (`crates/*/tests`) and `xtask`'s benchmarks look
//! from outside, as any client does, with ciphers and TLS stacks of their own choosing, and are not
//! held to this; nothing of theirs is in what is shipped.

use super::source::Source;
use super::{Violation, crate_of};

/// Files that may seal and open. The first four exist; `backup` comes with its issue.
const SEALING_DOORS: &[&str] = &[
    "crates/keys/src/wrap.rs",
    "crates/keys/src/encrypt.rs",
    "crates/keys/src/record_seal.rs",
    "crates/volume/src/seal.rs",
    "crates/backup/src/seal.rs",
];

/// What only a door may name. `one_time_key` and its type count, for with them a file could seal
/// without ever naming the module.
const SEALING_WORDS: &[&str] =
    &["aead", "one_time_key", "OneTimeKey", "aes_gcm", "chacha20poly1305"];

/// Directories that may drive TLS.
const TLS_DOORS: &[&str] = &["crates/mesh/src/tunnel/", "crates/sealane/src/tls/"];

const TLS_WORDS: &[&str] = &["rustls", "tokio_rustls", "native_tls", "openssl"];

/// Only door files name the AEAD, wherever it comes from.
pub(super) fn only_doors_seal(file: &str, source: &Source) -> Vec<Violation> {
    if SEALING_DOORS.contains(&file) {
        return Vec::new();
    }
    words_outside(file, source, SEALING_WORDS, |word| {
        format!(
            "`{word}` outside the doors: seal through one of {}, or argue for a new door",
            SEALING_DOORS.join(", ")
        )
    })
}

/// Only the tunnel, and `sealane/src/tls` for all other TLS, name a TLS stack.
pub(super) fn only_doors_drive_tls(file: &str, source: &Source) -> Vec<Violation> {
    let is_door =
        TLS_DOORS.iter().any(|door| file.starts_with(door) || *door == format!("{}/", stem(file)));
    if is_door {
        return Vec::new();
    }
    words_outside(file, source, TLS_WORDS, |word| {
        format!("`{word}` outside the doors: TLS is driven in {} only", TLS_DOORS.join(" and "))
    })
}

/// `mesh/src/tunnel.rs` is the root of the module `mesh/src/tunnel/`, hence the same door.
fn stem(file: &str) -> &str {
    file.strip_suffix(".rs").unwrap_or(file)
}

fn words_outside(
    file: &str,
    source: &Source,
    words: &[&str],
    advice: impl Fn(&str) -> String,
) -> Vec<Violation> {
    // `crypto` defines the AEAD, and so may name it.
    let Some((_, inside)) = crate_of(file).filter(|(name, _)| *name != "crypto") else {
        return Vec::new();
    };
    if !inside.starts_with("src/") {
        return Vec::new();
    }
    let named = source.tokens.iter().filter(|token| words.contains(&token.text.as_str()));
    named.map(|token| Violation::new(file, token.line, advice(&token.text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealing(file: &str, text: &str) -> usize {
        only_doors_seal(file, &Source::parse(text)).len()
    }

    fn tls(file: &str, text: &str) -> usize {
        only_doors_drive_tls(file, &Source::parse(text)).len()
    }

    #[test]
    fn sealing_outside_a_door_is_caught_however_it_is_spelled() {
        for text in [
            "use crypto::aead::Tag;",
            "use crypto::{DataKey, aead};",
            "fn f() { crypto::aead::x() }",
            "use aws_lc_rs::aead::AES_256_GCM;",
            "use crypto::kdf; fn f() { kdf::one_time_key(k, l, &[], s).seal(a, b); }",
        ] {
            assert_eq!(sealing("crates/volume/src/engine.rs", text), 1, "{text}");
            assert_eq!(sealing("crates/volume/src/seal.rs", text), 0, "{text}");
            assert_eq!(sealing("crates/crypto/src/aead.rs", text), 0, "{text}");
        }
    }

    #[test]
    fn a_door_of_one_core_is_none_of_another() {
        assert_eq!(sealing("crates/mesh/src/seal.rs", "use crypto::aead;"), 1);
        assert_eq!(sealing("crates/sealane/src/seal.rs", "use crypto::aead;"), 1);
    }

    #[test]
    fn tls_outside_its_doors_is_caught() {
        for text in ["use rustls::ClientConfig;", "fn f(c: tokio_rustls::TlsConnector) {}"] {
            assert_eq!(tls("crates/sealane/src/ingress.rs", text), 1, "{text}");
            assert_eq!(tls("crates/mesh/src/issue.rs", text), 1, "{text}");
            assert_eq!(tls("crates/sealane/src/tls/server.rs", text), 0, "{text}");
            assert_eq!(tls("crates/mesh/src/tunnel/machine.rs", text), 0, "{text}");
            assert_eq!(tls("crates/mesh/src/tunnel.rs", text), 0, "{text}");
        }
        assert_eq!(tls("crates/mesh/src/tunnels.rs", "use rustls::x;"), 1);
    }

    #[test]
    fn a_client_from_outside_brings_its_own_tls() {
        for file in ["crates/sealane/tests/support/https.rs", "xtask/src/bench/e2e.rs"] {
            assert_eq!(tls(file, "use rustls::ClientConnection;"), 0, "{file}");
        }
        assert_eq!(tls("crates/sim/src/network.rs", "use rustls::ClientConnection;"), 1);
    }

    #[test]
    fn talking_about_a_door_is_not_walking_through_it() {
        let text = "// crypto::aead and rustls\nfn f() -> &'static str { \"aead rustls\" }";
        assert_eq!(sealing("crates/keys/src/lib.rs", text), 0);
        assert_eq!(tls("crates/keys/src/lib.rs", text), 0);
    }
}
