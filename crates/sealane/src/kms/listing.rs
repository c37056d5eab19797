//! Keys, and the users who have some, a page at a time: there may be a million, and whoever looks at
//! all of them holds only some.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crypto::Id;
use keys::{KeyRecord, Owner};

use super::records::{KEYS, KEYS_OF};
use super::{Kms, KmsError, owner_name};
use crate::store::{PageStart, Reader, Store, StoreError};

/// Keys that are looked at together, where all are looked at.
const LOOK_KEYS: usize = 1000;

/// Some keys, in the order in which they lie, which tells nothing.
#[derive(Debug)]
pub struct KeyPage {
    pub keys: Vec<KeyRecord>,
    /// Where the next page begins, if there is more.
    pub next: Option<PageStart>,
}

/// A user: somebody of a tenant who has a key or an access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub tenant: Id,
    pub name: String,
    pub keys: u64,
    pub credentials: u64,
}

impl Kms {
    /// At most `limit` keys of `owner`, or of all.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn keys_page(
        &self,
        owner: Option<Owner>,
        start: Option<&PageStart>,
        limit: usize,
    ) -> Result<KeyPage, KmsError> {
        Ok(page_of(&self.store, &self.store.snapshot()?, owner, start, limit)?)
    }

    /// How many keys there are in all.
    #[must_use]
    pub fn keys_count(&self) -> u64 {
        self.store.count(&KEYS)
    }

    /// Shows each key of `owner`, or of all, until `each` has seen enough.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn each_key(
        &self,
        owner: Option<Owner>,
        mut each: impl FnMut(KeyRecord) -> ControlFlow<()>,
    ) -> Result<(), KmsError> {
        let snapshot = self.store.snapshot()?;
        let mut start = None;
        loop {
            let page = page_of(&self.store, &snapshot, owner, start.as_ref(), LOOK_KEYS)?;
            for key in page.keys {
                if each(key).is_break() {
                    return Ok(());
                }
            }
            start = page.next;
            if start.is_none() {
                return Ok(());
            }
        }
    }

    /// The first `limit` users that are not erased, of one tenant or of all, by tenant and name,
    /// from behind `after` on. Looks at all keys and holds `limit` users.
    ///
    /// # Errors
    /// [`KmsError`] if the store cannot be read.
    pub fn users(
        &self,
        tenant: Option<Id>,
        after: Option<(Id, String)>,
        limit: usize,
    ) -> Result<Vec<User>, KmsError> {
        let mut first = FirstUsers { after, limit, users: BTreeMap::new() };
        self.each_key(tenant.map(Owner::Tenant), |key| {
            if let (Some(tenant), Some(user)) = (key.tenant(), key.user)
                && let Some(user) = first.user(tenant, user)
            {
                user.keys += 1;
            }
            ControlFlow::Continue(())
        })?;
        for credential in self.credentials()? {
            if let (Some(of), None) = (credential.tenant, credential.revoked)
                && tenant.is_none_or(|tenant| tenant == of)
                && let Some(user) = first.user(of, credential.name)
            {
                user.credentials += 1;
            }
        }
        Ok(first.users.into_values().collect())
    }
}

/// A page of an owner's keys, or of all, as `reader` sees them.
pub(super) fn page_of(
    store: &Store,
    reader: &impl Reader,
    owner: Option<Owner>,
    start: Option<&PageStart>,
    limit: usize,
) -> Result<KeyPage, StoreError> {
    let Some(owner) = owner else {
        let page = reader.page(&KEYS, start, limit)?;
        let keys = page.records.into_iter().map(|(_, key)| key.value).collect();
        return Ok(KeyPage { keys, next: page.next });
    };
    let listed = store.table_of(&KEYS_OF, &owner_name(owner));
    let page = reader.page(&listed, start, limit)?;
    let mut keys = Vec::with_capacity(page.records.len());
    for (id, _) in page.records {
        keys.extend(reader.get(&KEYS, &id)?.map(|key| key.value));
    }
    Ok(KeyPage { keys, next: page.next })
}

/// The first users of all that are shown to it, in whatever order.
struct FirstUsers {
    after: Option<(Id, String)>,
    limit: usize,
    users: BTreeMap<(Id, String), User>,
}

impl FirstUsers {
    /// `None` where enough others come before, or it is not asked for.
    fn user(&mut self, tenant: Id, name: String) -> Option<&mut User> {
        let place = (tenant, name);
        if self.after.as_ref().is_some_and(|after| place <= *after) {
            return None;
        }
        if !self.users.contains_key(&place) {
            // Once one was left out, it stays behind the last for good: no count begins too late.
            if self.users.len() >= self.limit {
                self.users.last_key_value().filter(|(last, _)| place < **last)?;
                self.users.pop_last();
            }
            let (tenant, name) = place.clone();
            self.users.insert(place.clone(), User { tenant, name, keys: 0, credentials: 0 });
        }
        self.users.get_mut(&place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_users_are_the_same_in_whatever_order_they_come() {
        let id = |number| Id::from_bytes([number; 16]);
        let seen: Vec<_> =
            (0..60).map(|at| (id(at % 3), format!("user {}", at % 7 * 11 % 20))).collect();
        let check = |after: Option<(Id, String)>, limit| {
            let shown = |seen: &mut dyn Iterator<Item = &(Id, String)>| {
                let mut first = FirstUsers { after: after.clone(), limit, users: BTreeMap::new() };
                for (tenant, name) in seen {
                    if let Some(user) = first.user(*tenant, name.clone()) {
                        user.keys += 1;
                    }
                }
                first.users.into_values().collect::<Vec<_>>()
            };
            let forwards = shown(&mut seen.iter());
            assert_eq!(forwards, shown(&mut seen.iter().rev()));
            let behind = |one: &&(Id, String)| after.as_ref().is_none_or(|after| after < *one);
            let mut all: Vec<_> = seen.iter().filter(behind).collect();
            all.sort();
            let counted: Vec<_> = all
                .chunk_by(|left, right| left == right)
                .map(|same| (same[0].clone(), same.len() as u64))
                .take(limit)
                .collect();
            let found: Vec<_> =
                forwards.into_iter().map(|user| ((user.tenant, user.name), user.keys)).collect();
            assert_eq!(found, counted);
        };
        for limit in [1, 7, 1000] {
            check(None, limit);
            check(Some((id(1), "user 4".to_owned())), limit);
        }
    }
}
