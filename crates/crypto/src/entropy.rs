use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::kdf::Salt;

/// Where random bytes come from. Passed in, never ambient, so that the simulator can replay a run.
pub trait Entropy {
    fn fill(&mut self, bytes: &mut [u8]);

    /// A fresh 128-bit salt for [`crate::kdf`]. Draw it only once the content it protects is
    /// frozen: two contents under one salt would share a key.
    fn salt(&mut self) -> Salt {
        let mut bytes = [0; Salt::LEN];
        self.fill(&mut bytes);
        Salt(bytes)
    }
}

/// The operating system's generator, by way of AWS-LC.
#[derive(Debug, Default)]
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        // A process that cannot draw randomness must not seal anything: there is no error to
        // return that a caller could act on.
        self.0.fill(bytes).expect("the operating system's random generator answers");
    }
}
