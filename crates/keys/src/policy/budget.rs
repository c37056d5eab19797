//! How much one evaluation of one policy may cost.
//!
//! Whoever may put a policy and whoever may call are not those who wait when the two together keep
//! a processor busy. Literal texts cost what the policy is long and need no limit; patterns with
//! wildcards and variables are paid for here. A policy that costs more is not refused when it is
//! put, because what it costs depends on the request: what is left undecided is unknown, and goes
//! against the caller, as everything that is.

use std::cell::Cell;

/// Steps of one evaluation, each about a byte looked at: some tens of milliseconds at worst. AWS's
/// longest policy, full of `*text*` or `*${aws:username}*` and held against a value of 100 bytes,
/// takes a fifth of it.
pub(super) const STEPS_MAX: usize = 1 << 22;

/// What is left of [`STEPS_MAX`].
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Budget {
    pub(super) fn full() -> Self {
        Self(Cell::new(STEPS_MAX))
    }

    /// False if there are not as many left; then nothing is left.
    pub(super) fn spend(&self, steps: usize) -> bool {
        let left = self.0.get().saturating_sub(steps);
        self.0.set(left);
        left > 0
    }

    pub(super) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }

    #[cfg(test)]
    pub(super) fn spent(&self) -> usize {
        STEPS_MAX - self.0.get()
    }
}
