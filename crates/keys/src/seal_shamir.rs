//! The root key under a secret that was split among people (Shamir's scheme): any `threshold` of
//! the shares open the cell, fewer say nothing about it.

use std::convert::Infallible;
use std::fmt;

use crypto::kdf::{self, Label};
use crypto::{DataKey, Entropy, Id, Salt, WrappedDataKey};
use rand_core::{TryCryptoRng, TryRng};
use serde::{Deserialize, Serialize};
use vsss_rs::{Gf256, IdentifierGf256};
use zeroize::{Zeroize, Zeroizing};

use crate::root_seal::{self, RootSeal, Seal, SealKey, UnsealError};
use crate::share::{CellTag, SetId, Share};
use crate::{RootKey, hex};

const SEAL_LABEL: Label = Label("sealane/seal-shamir/1");
const CHECK_LABEL: Label = Label("sealane/seal-shamir-check/1");
const CHECK_LEN: usize = 8;

/// Into how many shares a secret is split, and how many of them are the secret again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SharePolicy {
    threshold: u8,
    count: u8,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error(
    "{threshold} of {count} shares cannot be: at least 2 are needed, and at most {} exist",
    SharePolicy::SHARES_MAX
)]
pub struct SharePolicyError {
    threshold: u8,
    count: u8,
}

impl SharePolicy {
    /// The scheme ends at 255. More people than this are never asked for one cell.
    pub const SHARES_MAX: u8 = 64;

    /// # Errors
    /// [`SharePolicyError`] unless 2 ≤ `threshold` ≤ `count` ≤ [`SharePolicy::SHARES_MAX`].
    /// One share that opens the cell alone is a key file, and should be one.
    pub fn new(threshold: u8, count: u8) -> Result<Self, SharePolicyError> {
        if threshold < 2 || threshold > count || count > Self::SHARES_MAX {
            return Err(SharePolicyError { threshold, count });
        }
        Ok(Self { threshold, count })
    }

    #[must_use]
    pub fn threshold(self) -> u8 {
        self.threshold
    }

    #[must_use]
    pub fn count(self) -> u8 {
        self.count
    }
}

/// A new secret and the shares it was split into.
pub struct ShareSet {
    cell: Id,
    set: SetId,
    policy: SharePolicy,
    secret: DataKey,
    shares: Vec<Share>,
}

impl ShareSet {
    pub fn generate(cell: Id, policy: SharePolicy, entropy: &mut dyn Entropy) -> Self {
        let mut set = SetId([0; SetId::LEN]);
        entropy.fill(&mut set.0);
        let secret = DataKey::generate(entropy).release_to_caller();
        let numbers = (1..=policy.count).map(|number| IdentifierGf256(Gf256(number)));
        let values = Gf256::split_bytes_with_participant_ids_iter(
            policy.threshold.into(),
            policy.count.into(),
            &secret[..],
            Draws(entropy),
            numbers,
        );
        let values = values.expect("a policy is within the scheme's limits, a key is not empty");
        let share = |mut value: Vec<u8>| {
            // The scheme's own notation: the number, then one byte for each of the secret.
            let share = Share::new(value[0], policy.threshold, cell, set, &value[1..]);
            value.zeroize();
            share
        };
        let shares = values.into_iter().map(share).collect();
        let secret = DataKey::from_caller(&secret[..]).expect("32 bytes in");
        Self { cell, set, policy, secret, shares }
    }

    #[must_use]
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    #[must_use]
    pub fn id(&self) -> SetId {
        self.set
    }
}

/// The scheme's coefficients come from where all randomness does.
struct Draws<'a>(&'a mut dyn Entropy);

impl TryRng for Draws<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Draws<'_> {}

/// What is wrong with one share. The others may be right, and are kept.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum ShareError {
    #[error("share {number} is of another cell")]
    OtherCell { number: u8 },
    #[error("share {number} is of share set {found}; this cell is sealed by set {expected}")]
    OtherSet { number: u8, found: SetId, expected: SetId },
    #[error("share {number} is not what was handed out under that number")]
    Wrong { number: u8 },
    #[error("share {number} was given already")]
    Duplicate { number: u8 },
}

/// The record of this seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShamirSeal {
    threshold: u8,
    count: u8,
    #[serde(with = "hex::bytes")]
    set: [u8; SetId::LEN],
    /// One for each share, in the order of their numbers.
    checks: Vec<Check>,
    #[serde(with = "hex::bytes")]
    salt: [u8; Salt::LEN],
    #[serde(with = "hex::wrapped")]
    wrapped: WrappedDataKey,
}

/// Tells the right share from a wrong one. A MAC under the share, so it reveals nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Check(#[serde(with = "hex::bytes")] [u8; CHECK_LEN]);

impl Check {
    fn of(cell: Id, share: &Share) -> Self {
        let key = DataKey::from_caller(share.value()).expect("a share is as long as a key");
        let context = [&cell.as_bytes()[..], &share.set().0, &[share.threshold()]];
        let mac = kdf::mac_key(&key, CHECK_LABEL, &context).mac(&[share.number()]);
        Self(*mac.0.first_chunk().expect("a MAC is longer"))
    }
}

impl SealKey for ShamirSeal {
    type Secret = [Share];

    fn unseal(&self, cell: Id, root: Id, shares: &[Share]) -> Result<DataKey, UnsealError> {
        let secret = self.combine(cell, shares)?;
        let seal_key = self.seal_key(&secret, cell);
        root_seal::unwrap_root(&seal_key, cell, root, &self.wrapped).map_err(UnsealError::Damaged)
    }

    fn seal_again(
        &self,
        cell: Id,
        root: RootKey,
        shares: &[Share],
        entropy: &mut dyn Entropy,
    ) -> Result<(Seal, DataKey), UnsealError> {
        let secret = self.combine(cell, shares)?;
        Ok(self.clone().wrap(cell, root, &secret, entropy))
    }
}

impl ShamirSeal {
    pub(crate) fn seal(
        cell: Id,
        root: RootKey,
        shares: &ShareSet,
        entropy: &mut dyn Entropy,
    ) -> (Seal, DataKey) {
        assert!(shares.cell == cell, "the shares were made for this cell");
        let blank = Self {
            threshold: shares.policy.threshold,
            count: shares.policy.count,
            set: shares.set.0,
            checks: shares.shares.iter().map(|share| Check::of(cell, share)).collect(),
            salt: [0; Salt::LEN],
            wrapped: WrappedDataKey(Vec::new()),
        };
        blank.wrap(cell, root, &shares.secret, entropy)
    }

    #[must_use]
    pub fn threshold(&self) -> u8 {
        self.threshold
    }

    #[must_use]
    pub fn count(&self) -> u8 {
        self.count
    }

    #[must_use]
    pub fn set(&self) -> SetId {
        SetId(self.set)
    }

    fn wrap(
        mut self,
        cell: Id,
        root: RootKey,
        secret: &DataKey,
        entropy: &mut dyn Entropy,
    ) -> (Seal, DataKey) {
        self.salt = entropy.salt().0;
        let (wrapped, key) =
            root_seal::wrap_root(&self.seal_key(secret, cell), cell, root, entropy);
        self.wrapped = wrapped;
        (Seal::Shamir(self), key)
    }

    /// Bound to all that the record says of the shares, so that nothing in it can be changed unseen:
    /// a lower threshold, or the check of a share that happens not to be given.
    fn seal_key(&self, secret: &DataKey, cell: Id) -> DataKey {
        let checks: Vec<u8> = self.checks.iter().flat_map(|check| check.0).collect();
        let context = [&cell.as_bytes()[..], &self.set, &[self.threshold, self.count], &checks];
        kdf::child_key(secret, SEAL_LABEL, &context, &Salt(self.salt))
    }

    /// Whether the record is one that [`ShamirSeal::seal`] can have made.
    fn check_record(&self) -> Result<(), UnsealError> {
        SharePolicy::new(self.threshold, self.count).map_err(UnsealError::SharesOutOfRange)?;
        if self.checks.len() == usize::from(self.count) {
            Ok(())
        } else {
            Err(UnsealError::ChecksMissing { found: self.checks.len(), count: self.count })
        }
    }

    fn check_share(&self, cell: Id, share: &Share) -> Result<(), ShareError> {
        let number = share.number();
        if share.cell() != CellTag::of(cell) {
            return Err(ShareError::OtherCell { number });
        }
        if share.set() != self.set() {
            return Err(ShareError::OtherSet { number, found: share.set(), expected: self.set() });
        }
        let check = usize::from(number).checked_sub(1).and_then(|at| self.checks.get(at));
        if check == Some(&Check::of(cell, share)) {
            Ok(())
        } else {
            Err(ShareError::Wrong { number })
        }
    }

    fn combine(&self, cell: Id, shares: &[Share]) -> Result<DataKey, UnsealError> {
        self.check_record()?;
        for (at, share) in shares.iter().enumerate() {
            self.check_share(cell, share).map_err(UnsealError::Share)?;
            if shares[..at].iter().any(|earlier| earlier.number() == share.number()) {
                let number = share.number();
                return Err(UnsealError::Share(ShareError::Duplicate { number }));
            }
        }
        let enough = shares.get(..usize::from(self.threshold)).ok_or({
            UnsealError::NotEnoughShares { given: shares.len(), needed: self.threshold }
        })?;
        Ok(combine(enough))
    }
}

/// What the shares give, whether or not they are enough: that is checked before.
fn combine(shares: &[Share]) -> DataKey {
    let values = shares.iter().map(|share| {
        let mut value = vec![0; 1 + share.value().len()];
        value[0] = share.number();
        value[1..].copy_from_slice(share.value());
        value
    });
    let values: Zeroizing<Vec<Vec<u8>>> = Zeroizing::new(values.collect());
    let secret = Gf256::combine_bytes(&*values).map(Zeroizing::new);
    let secret = secret.expect("two shares or more, of one length, each number once and none zero");
    DataKey::from_caller(&secret).expect("as long as the shares")
}

/// Shares of one cell, come together one by one.
///
/// A share that is refused leaves those that are there alone. What this holds is as secret as the
/// shares.
pub struct ShareGathering {
    cell: Id,
    seal: ShamirSeal,
    shares: Vec<Share>,
}

/// How far a gathering is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShareProgress {
    pub given: u8,
    pub needed: u8,
}

impl ShareProgress {
    #[must_use]
    pub fn is_enough(self) -> bool {
        self.given >= self.needed
    }
}

impl fmt::Display for ShareProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} shares", self.given, self.needed)
    }
}

impl ShareGathering {
    /// # Errors
    /// [`UnsealError`] if the cell is sealed by something else, or its seal is damaged.
    pub fn begin(seal: &RootSeal) -> Result<Self, UnsealError> {
        let Seal::Shamir(shamir) = seal.seal_kind() else {
            return Err(seal.needs());
        };
        shamir.check_record()?;
        Ok(Self { cell: seal.cell(), seal: shamir.clone(), shares: Vec::new() })
    }

    /// Adds a share that is right and new.
    ///
    /// # Errors
    /// [`ShareError`] names the share and what is wrong with it.
    pub fn add(&mut self, share: Share) -> Result<ShareProgress, ShareError> {
        self.seal.check_share(self.cell, &share)?;
        if self.shares.iter().any(|earlier| earlier.number() == share.number()) {
            return Err(ShareError::Duplicate { number: share.number() });
        }
        self.shares.push(share);
        Ok(self.progress())
    }

    #[must_use]
    pub fn progress(&self) -> ShareProgress {
        let given = u8::try_from(self.shares.len()).expect("each number is there once");
        ShareProgress { given, needed: self.seal.threshold }
    }

    #[must_use]
    pub fn into_shares(self) -> Vec<Share> {
        self.shares
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::root_seal::{SealWith, Unlock};
    use crate::test_kit::{Mixed, id};

    fn sealed(threshold: u8, count: u8) -> (RootSeal, ShareSet, Id) {
        let entropy = &mut Mixed::default();
        let policy = SharePolicy::new(threshold, count).unwrap();
        let set = ShareSet::generate(id(1), policy, entropy);
        let root = RootKey::generate(entropy);
        let (seal, root) = RootSeal::seal(id(1), root, &SealWith::Shamir(&set), entropy).unwrap();
        (seal, set, root.id())
    }

    fn again(share: &Share) -> Share {
        Share::parse(&share.to_text()).ok().unwrap()
    }

    fn picked(set: &ShareSet, numbers: &[usize]) -> Vec<Share> {
        numbers.iter().map(|at| again(&set.shares[*at])).collect()
    }

    fn refusal(seal: &RootSeal, shares: &[Share]) -> UnsealError {
        seal.unseal(&Unlock::Shamir(shares)).unwrap_err()
    }

    /// A share with another value and a checksum that fits.
    fn forged(share: &Share) -> Share {
        let mut value = *share.value();
        value[0] ^= 1;
        Share::new(share.number(), share.threshold(), id(1), share.set(), &value)
    }

    #[test]
    fn a_policy_has_limits() {
        for (threshold, count, good) in
            [(2, 2, true), (2, 64, true), (64, 64, true), (1, 1, false), (0, 5, false)]
        {
            assert_eq!(SharePolicy::new(threshold, count).is_ok(), good, "{threshold} of {count}");
        }
        for (threshold, count) in [(1, 5), (4, 3), (2, 65), (2, 255)] {
            assert!(SharePolicy::new(threshold, count).is_err(), "{threshold} of {count}");
        }
    }

    #[test]
    fn every_pair_and_triple_of_five_does_what_it_should() {
        let (seal, set, root) = sealed(3, 5);
        for first in 0..5 {
            for second in 0..5 {
                if first == second {
                    continue;
                }
                let two = picked(&set, &[first, second]);
                let few = UnsealError::NotEnoughShares { given: 2, needed: 3 };
                assert_eq!(refusal(&seal, &two), few);
                for third in (0..5).filter(|third| ![first, second].contains(third)) {
                    let three = picked(&set, &[first, second, third]);
                    assert_eq!(seal.unseal(&Unlock::Shamir(&three)).unwrap().id(), root);
                }
            }
        }
        let all = picked(&set, &[0, 1, 2, 3, 4]);
        assert_eq!(seal.unseal(&Unlock::Shamir(&all)).unwrap().id(), root);
    }

    #[test]
    fn each_wrong_share_is_told_apart() {
        let (seal, set, _) = sealed(2, 3);
        let right = || again(&set.shares[0]);
        let check = |share: Share, expected: ShareError| {
            assert_eq!(refusal(&seal, &[right(), again(&share)]), UnsealError::Share(expected));
            let mut gathering = ShareGathering::begin(&seal).unwrap();
            gathering.add(right()).unwrap();
            assert_eq!(gathering.add(share).unwrap_err(), expected);
            assert_eq!(gathering.progress(), ShareProgress { given: 1, needed: 2 });
            assert!(gathering.add(again(&set.shares[2])).unwrap().is_enough(), "others are kept");
            assert!(seal.unseal(&Unlock::Shamir(&gathering.into_shares())).is_ok());
        };
        check(right(), ShareError::Duplicate { number: 1 });
        check(forged(&set.shares[1]), ShareError::Wrong { number: 2 });
        let value = set.shares[1].value();
        let set_id = set.id();
        for number in [0, 3, 4, 255] {
            let share = Share::new(number, 2, id(1), set_id, value);
            check(share, ShareError::Wrong { number });
        }
        check(Share::new(2, 3, id(1), set_id, value), ShareError::Wrong { number: 2 });
        check(Share::new(2, 2, id(9), set_id, value), ShareError::OtherCell { number: 2 });
        let found = SetId([7; 6]);
        let other = ShareError::OtherSet { number: 2, found, expected: set_id };
        check(Share::new(2, 2, id(1), found, value), other);
    }

    #[test]
    fn shares_open_nothing_else_and_nothing_else_opens_them() {
        let (seal, set, _) = sealed(2, 2);
        assert_eq!(seal.unseal(&Unlock::Passphrase(b"x")).unwrap_err(), UnsealError::NeedsShares);
        let shares = picked(&set, &[0, 1]);
        let entropy = &mut Mixed::default();
        let cost = crypto::passphrase::Cost { memory_kib: 64, passes: 1, lanes: 1 };
        let with = SealWith::Passphrase { passphrase: b"x", cost };
        let (other, _) = RootSeal::seal(id(1), RootKey::generate(entropy), &with, entropy).unwrap();
        assert_eq!(refusal(&other, &shares), UnsealError::NeedsPassphrase);
        let begun = ShareGathering::begin(&other).err();
        assert_eq!(begun, Some(UnsealError::NeedsPassphrase));
    }

    #[test]
    fn another_root_key_goes_under_the_same_shares() {
        let (seal, set, root) = sealed(2, 3);
        let entropy = &mut Mixed::default();
        let shares = picked(&set, &[2, 0]);
        let new = RootKey::from_parts(id(8), crate::test_kit::key(8));
        let (again, _) = seal.seal_again(&Unlock::Shamir(&shares), new, entropy).unwrap();
        let others = picked(&set, &[1, 2]);
        assert_eq!(again.unseal(&Unlock::Shamir(&others)).unwrap().id(), id(8));
        assert_eq!(seal.unseal(&Unlock::Shamir(&others)).unwrap().id(), root);
        assert_eq!(again.root(), id(8));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_threshold_of_the_shares_opens_and_one_less_does_not(
            (threshold, order) in (2_u8..=12).prop_flat_map(|count| {
                (2..=count, Just((0..usize::from(count)).collect::<Vec<_>>()).prop_shuffle())
            }),
        ) {
            let count = u8::try_from(order.len()).unwrap();
            let (seal, set, root) = sealed(threshold, count);
            let enough = picked(&set, &order[..threshold.into()]);
            prop_assert_eq!(seal.unseal(&Unlock::Shamir(&enough)).unwrap().id(), root);
            let few = &enough[1..];
            let given = few.len();
            prop_assert_eq!(
                refusal(&seal, few),
                UnsealError::NotEnoughShares { given, needed: threshold }
            );
            // Nor are they the secret if nobody counts.
            if few.len() >= 2 {
                let secret = combine(few).release_to_caller();
                let right = combine(&enough).release_to_caller();
                prop_assert_ne!(&secret[..], &right[..]);
            }
        }
    }
}
