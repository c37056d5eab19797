//! Dual control: what one person cannot do alone, in a cell that is told so.
//!
//! Who operates a cell shows by shares of the root key that others agree ([`Quorum`]). Callers of
//! the API hold no shares: there a second one has to ask for the same ([`DeletionRequest`]).

use serde::{Deserialize, Serialize};

use crate::UnixSeconds;
use crate::root_seal::{RootSeal, Unlock, UnsealError};
use crate::share::Share;

/// Proof that as many holders of shares agree as it takes to open the cell, which is at least two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quorum {
    shares: Vec<u8>,
}

impl Quorum {
    /// # Errors
    /// [`UnsealError`] unless the shares open the seal.
    pub fn prove(seal: &RootSeal, shares: &[Share]) -> Result<Self, UnsealError> {
        seal.unseal(&Unlock::Shamir(shares))?;
        let mut numbers: Vec<u8> = shares.iter().map(Share::number).collect();
        numbers.sort_unstable();
        Ok(Self { shares: numbers })
    }

    /// The numbers of the shares, ascending: who was given which is known to the people.
    #[must_use]
    pub fn shares(&self) -> &[u8] {
        &self.shares
    }
}

/// That somebody has asked for a key's deletion, and nobody else yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeletionRequest {
    /// The ARN of the caller, or its SPIFFE id.
    pub by: String,
    pub at: UnixSeconds,
    /// How long the key is to wait.
    pub days: u64,
}

/// What comes of asking for a key's deletion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    /// It waits for somebody else, and is to be written down so.
    Alone(DeletionRequest),
    /// Two agree: the key may be scheduled for deletion, with the longer of the two times.
    Agreed { first: String, days: u64 },
}

impl DeletionRequest {
    /// How long a request waits for a second one. After that it counts for nothing.
    pub const SECONDS_MAX: u64 = 24 * 60 * 60;

    /// `by` asks at `now`; `open` is what somebody asked before.
    #[must_use]
    pub fn ask(open: Option<Self>, by: &str, days: u64, now: UnixSeconds) -> Asked {
        match open {
            Some(open) if open.lapses().0 <= now.0 => Self::ask(None, by, days, now),
            Some(open) if open.by == by => Asked::Alone(Self { days, ..open }),
            Some(open) => Asked::Agreed { first: open.by, days: days.max(open.days) },
            None => Asked::Alone(Self { by: by.to_owned(), at: now, days }),
        }
    }

    #[must_use]
    pub fn lapses(&self) -> UnixSeconds {
        UnixSeconds(self.at.0.saturating_add(Self::SECONDS_MAX))
    }
}

#[cfg(test)]
mod tests {
    use crypto::{Id, SystemEntropy};

    use super::*;
    use crate::RootKey;
    use crate::root_seal::SealWith;
    use crate::seal_shamir::{SharePolicy, ShareSet};

    const NOW: UnixSeconds = UnixSeconds(1_000_000);

    fn alone(asked: Asked) -> DeletionRequest {
        match asked {
            Asked::Alone(request) => request,
            Asked::Agreed { first, .. } => panic!("{first} agreed"),
        }
    }

    #[test]
    fn two_must_ask_and_the_longer_time_counts() {
        let first = alone(DeletionRequest::ask(None, "alice", 7, NOW));
        let again = alone(DeletionRequest::ask(Some(first.clone()), "alice", 9, NOW));
        assert_eq!((again.at, again.days), (first.at, 9), "asking again is no second person");
        for (days, longer) in [(8, 9), (30, 30)] {
            let asked = DeletionRequest::ask(Some(again.clone()), "bob", days, NOW);
            assert_eq!(asked, Asked::Agreed { first: "alice".to_owned(), days: longer });
        }
    }

    #[test]
    fn a_request_lapses_after_a_day() {
        let first = alone(DeletionRequest::ask(None, "alice", 7, NOW));
        let last = UnixSeconds(first.lapses().0 - 1);
        let agreed = DeletionRequest::ask(Some(first.clone()), "bob", 7, last);
        assert!(matches!(agreed, Asked::Agreed { .. }));
        let late = alone(DeletionRequest::ask(Some(first.clone()), "bob", 7, first.lapses()));
        assert_eq!(late.by, "bob", "bob is the first now");
        let same = alone(DeletionRequest::ask(Some(first.clone()), "alice", 7, first.lapses()));
        assert_eq!(same.at, first.lapses(), "and alice may begin anew");
    }

    #[test]
    fn a_quorum_takes_shares_of_the_cell() {
        let entropy = &mut SystemEntropy::new();
        let cell = Id::random(entropy);
        let set = |policy| ShareSet::generate(cell, policy, &mut SystemEntropy::new());
        let policy = SharePolicy::new(2, 3).unwrap();
        let (ours, others) = (set(policy), set(policy));
        let with = SealWith::Shamir(&ours);
        let (seal, _) = RootSeal::seal(cell, RootKey::generate(entropy), &with, entropy).unwrap();
        let parse = |share: &Share| Share::parse(&share.to_text()).unwrap();
        let two = [parse(&ours.shares()[2]), parse(&ours.shares()[0])];
        assert_eq!(Quorum::prove(&seal, &two).unwrap().shares(), [1, 3]);
        let of = |shares: &[&Share]| shares.iter().map(|share| parse(share)).collect::<Vec<_>>();
        let (first, stranger) = (&ours.shares()[0], &others.shares()[1]);
        for wrong in [of(&[]), of(&[first]), of(&[first, first]), of(&[first, stranger])] {
            assert!(Quorum::prove(&seal, &wrong).is_err());
        }
    }
}
