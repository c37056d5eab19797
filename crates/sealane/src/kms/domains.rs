//! The domain key, which wraps all key material: it is replaced every day, and what lies under the
//! old one is moved little by little, until nothing needs it.

use std::io;
use std::time::Duration;

use crypto::{Id, SystemEntropy};
use keys::authorize::{self, Principal};
use keys::{CredentialRecord, KeyRecord, UnixSeconds};

use super::audit::Use;
use super::records::{CREDENTIALS, KEYS};
use super::{Kms, KmsError, now};
use crate::store::{Reader, RenewalStart};

/// A domain key older than this is replaced.
pub const DOMAIN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// A replaced domain key is held for so long: tokens that were handed out lie under it.
const TOKENS_LIFETIME: Duration = Duration::from_secs(48 * 60 * 60);

/// Records that are looked at in one transaction, which others wait for.
const REWRAP_RECORDS: usize = 500;

/// What becomes of import and session tokens that lie under a domain key that is forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tokens {
    /// The domain key is kept until they have all expired.
    Outlive,
    /// They end with it.
    Forget,
}

/// How far lazy rewrapping has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rewrap {
    /// Records up to here were looked at, and so many moved.
    More { next: RenewalStart, moved: usize },
    /// Nothing is left under older domain keys, and this many of those were forgotten.
    Done { moved: usize, retired: usize },
}

/// What was moved under the current domain key.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Moved {
    pub records: usize,
    /// Whether nothing is left under older ones.
    pub all: bool,
    /// Older domain keys that were forgotten.
    pub retired: usize,
}

impl Kms {
    /// Draws a new domain key; [`Kms::rewrap`] then moves everything under it, a little at a time.
    ///
    /// # Errors
    /// [`KmsError`] if `principal` may not or the store cannot be written.
    pub fn rotate_domain(&self, principal: &Principal) -> Result<(), KmsError> {
        self.changed(&mut Use::of(principal, "RotateDomainKey"), |change, _| {
            authorize::may_create(principal)?;
            Ok(change.transaction.rotate_domain(now())?)
        })
    }

    /// Since when the current domain key is the current one.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn domain_since(&self) -> Result<UnixSeconds, KmsError> {
        let domains = self.store.begin()?.domains();
        Ok(domains.last().map_or(UnixSeconds(0), |(_, created)| *created))
    }

    /// Moves records under the current domain key, as [`Kms::rewrap`] does, until none is left or
    /// `enough` says so.
    ///
    /// # Errors
    /// As [`Kms::rewrap`].
    pub fn move_under_domain(
        &self,
        needed: &dyn Fn() -> io::Result<Vec<Id>>,
        mut enough: impl FnMut() -> bool,
    ) -> Result<Moved, KmsError> {
        let (mut done, mut start) = (Moved::default(), None);
        while !done.all {
            match self.rewrap(start.as_ref(), REWRAP_RECORDS, needed, Tokens::Outlive)? {
                Rewrap::More { next, moved } => {
                    done.records += moved;
                    start = Some(next);
                    if enough() {
                        break;
                    }
                }
                Rewrap::Done { moved, retired } => {
                    done = Moved { records: done.records + moved, all: true, retired };
                }
            }
        }
        Ok(done)
    }

    /// Looks at the next `limit` records and moves under the current domain key what is not. With
    /// the last of them, domain keys are forgotten that nothing needs, except those that `needed`
    /// tells then (sealed logs lie under them) and, as `tokens` has it, those that tokens may still
    /// lie under.
    ///
    /// # Errors
    /// [`KmsError`] if the store fails, a record is not what was written, or `needed` cannot tell.
    pub fn rewrap(
        &self,
        start: Option<&RenewalStart>,
        limit: usize,
        needed: &dyn Fn() -> io::Result<Vec<Id>>,
        tokens: Tokens,
    ) -> Result<Rewrap, KmsError> {
        let done = self.store.transact(|transaction| {
            let page = transaction.renewable(start, limit, &[KEYS.name(), CREDENTIALS.name()])?;
            let mut moved = 0;
            for record in &page.records {
                let name = record.name.as_str();
                let rewrapped = if record.table == KEYS.name() {
                    let ring = transaction.ring();
                    let found = transaction.get(&KEYS, name)?.map(|found| found.value);
                    let old = found.filter(|key: &KeyRecord| key.needs_rewrap(ring));
                    let new = old.map(|key| key.rewrap(ring, &mut SystemEntropy::new()));
                    new.transpose()?.map(|key| transaction.put(&KEYS, name, &key)).transpose()?
                } else if record.table == CREDENTIALS.name() {
                    let ring = transaction.ring();
                    let found = transaction.get(&CREDENTIALS, name)?.map(|found| found.value);
                    let current = ring.current();
                    let old = found.filter(|one: &CredentialRecord| one.domain != current);
                    let new = old.map(|one| one.rewrap(ring, &mut SystemEntropy::new()));
                    new.transpose()?
                        .map(|one| transaction.put(&CREDENTIALS, name, &one))
                        .transpose()?
                } else {
                    None
                };
                if rewrapped.is_none() && record.stale {
                    transaction.reseal(&record.table, name)?;
                }
                moved += usize::from(rewrapped.is_some() || record.stale);
            }
            if let Some(next) = page.next {
                return Ok::<_, KmsError>(Rewrap::More { next, moved });
            }
            // Asked as late as this: what was begun meanwhile counts.
            let mut kept = needed().map_err(KmsError::DomainsInUse)?;
            kept.extend(self.trail().domains_needed()?);
            if tokens == Tokens::Outlive {
                kept.extend(held_for_tokens(&transaction.domains(), now()));
            }
            Ok(Rewrap::Done { moved, retired: transaction.retire_domains(&kept)? })
        })?;
        if let Rewrap::Done { retired: 1.., .. } = done {
            // Cached records may name a domain key that is gone.
            self.cache.forget_all();
        }
        Ok(done)
    }
}

/// Domain keys that were replaced too short a time ago.
fn held_for_tokens(domains: &[(Id, UnixSeconds)], now: UnixSeconds) -> Vec<Id> {
    let recently = |successor: &UnixSeconds| now.0 < successor.0 + TOKENS_LIFETIME.as_secs();
    let pairs = domains.iter().zip(domains.iter().skip(1));
    pairs.filter(|(_, (_, replaced))| recently(replaced)).map(|((id, _), _)| *id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_domain_key_outlives_the_tokens_under_it() {
        let id = |byte| Id::from_bytes([byte; 16]);
        let day = 24 * 60 * 60;
        let domains =
            [(id(1), UnixSeconds(0)), (id(2), UnixSeconds(day)), (id(3), UnixSeconds(2 * day))];
        let held = |at| held_for_tokens(&domains, UnixSeconds(at));
        assert_eq!(held(2 * day), [id(1), id(2)]);
        assert_eq!(held(3 * day), [id(2)]);
        assert_eq!(held(4 * day), []);
    }
}
