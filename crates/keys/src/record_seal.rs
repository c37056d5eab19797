//! Door: records of the store and frames of service logs are sealed.
//!
//! A record is bound to its store, table, slot (where it lies) and version (the transaction that
//! wrote it), a frame to its log, stream, place and predecessor. Layouts: `docs/formats/store.md`
//! and `docs/formats/keys.md`.

use crypto::aead::Tag;
use crypto::kdf::{Label, child_key, one_time_key};
use crypto::{DataKey, Entropy, Id, Salt};
use zeroize::Zeroizing;

use crate::{DomainRing, KeyLookup, RootKey};

const TABLE_LABEL: Label = Label("sealane/store-table/1");
const RECORD_LABEL: Label = Label("sealane/store-record/1");
const FRAME_LABEL: Label = Label("sealane/log-frame/1");
const LOG_LABEL: Label = Label("sealane/log-file/1");

const RECORD_VERSION: u8 = 1;
const RECORD_HEADER_LEN: usize = 1 + 16 + 8 + Salt::LEN;
/// The longest content of one record.
pub const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where a record lies. Whoever moves it elsewhere finds that it no longer opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordPlace<'a> {
    pub store: Id,
    pub table: &'a str,
    pub slot: &'a [u8],
}

/// A record that was authentic where it lay.
#[derive(Debug)]
pub struct OpenedRecord {
    /// The transaction that wrote it.
    pub version: u64,
    /// The key it is sealed under.
    pub key: Id,
    pub content: Zeroizing<Vec<u8>>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum OpenRecordError {
    #[error("it is {0} bytes long, which no record is")]
    Length(usize),
    #[error("it has format version {0}; this program knows version {RECORD_VERSION}")]
    Version(u8),
    #[error("it is sealed under key {0}, which is not held")]
    KeyRetired(Id),
    #[error("its bytes were changed, or it was moved here from elsewhere")]
    Forged,
}

/// Seals under the newest domain key.
///
/// # Panics
/// If `content` is longer than [`RECORD_BYTES_MAX`].
pub fn seal_record(
    ring: &DomainRing,
    place: RecordPlace<'_>,
    version: u64,
    content: &[u8],
    entropy: &mut dyn Entropy,
) -> Vec<u8> {
    let (id, key) = ring.current_key();
    seal_record_under(id, key, place, version, content, entropy)
}

/// Seals a record that cannot lie under a domain key, because it lists the domain keys.
///
/// # Panics
/// As [`seal_record`].
pub fn seal_root_record(
    root: &RootKey,
    place: RecordPlace<'_>,
    version: u64,
    content: &[u8],
    entropy: &mut dyn Entropy,
) -> Vec<u8> {
    seal_record_under(root.id(), root.key(), place, version, content, entropy)
}

fn seal_record_under(
    id: Id,
    key: &DataKey,
    place: RecordPlace<'_>,
    version: u64,
    content: &[u8],
    entropy: &mut dyn Entropy,
) -> Vec<u8> {
    assert!(content.len() <= RECORD_BYTES_MAX, "the caller limits its records");
    let salt = entropy.salt();
    let mut body = Zeroizing::new(content.to_vec());
    let tag = place.record_key(key, version, &salt).seal(&place.aad(id, version), &mut body);
    let mut sealed = Vec::with_capacity(RECORD_HEADER_LEN + body.len() + Tag::LEN);
    sealed.push(RECORD_VERSION);
    sealed.extend(id.as_bytes());
    sealed.extend(version.to_be_bytes());
    sealed.extend(salt.0);
    sealed.extend(&body[..]);
    sealed.extend(tag.0);
    sealed
}

/// # Errors
/// [`OpenRecordError`] if this is not a record that was sealed for `place`.
pub fn open_record(
    keys: &dyn KeyLookup,
    place: RecordPlace<'_>,
    sealed: &[u8],
) -> Result<OpenedRecord, OpenRecordError> {
    let length = OpenRecordError::Length(sealed.len());
    if let Some(&version) = sealed.first()
        && version != RECORD_VERSION
    {
        return Err(OpenRecordError::Version(version));
    }
    let (header, rest) = sealed.split_first_chunk::<RECORD_HEADER_LEN>().ok_or(length)?;
    let (body, tag) = rest.split_last_chunk::<{ Tag::LEN }>().ok_or(length)?;
    if body.len() > RECORD_BYTES_MAX {
        return Err(length);
    }
    let id = Id::from_bytes(header[1..17].try_into().expect("16 bytes"));
    let version = u64::from_be_bytes(header[17..25].try_into().expect("8 bytes"));
    let salt = Salt(header[25..].try_into().expect("16 bytes"));
    let key = keys.lookup(&id).ok_or(OpenRecordError::KeyRetired(id))?;
    let mut content = Zeroizing::new(body.to_vec());
    place
        .record_key(key, version, &salt)
        .open(&place.aad(id, version), &mut content, &Tag(*tag))
        .map_err(|_| OpenRecordError::Forged)?;
    Ok(OpenedRecord { version, key: id, content })
}

/// The key that `sealed` says it is under: a hint, authenticated by [`open_record`].
#[must_use]
pub fn key_of_record(sealed: &[u8]) -> Option<Id> {
    Some(Id::from_bytes(*sealed.get(1..)?.first_chunk()?))
}

impl RecordPlace<'_> {
    fn record_key(&self, parent: &DataKey, version: u64, salt: &Salt) -> crypto::aead::OneTimeKey {
        // Constant per store and table: it is the record's own key below that must be fresh.
        let table_salt = Salt(*self.store.as_bytes());
        let table = child_key(parent, TABLE_LABEL, &[self.table.as_bytes()], &table_salt);
        one_time_key(&table, RECORD_LABEL, &[self.slot, &version.to_be_bytes()], salt)
    }

    fn aad(&self, key: Id, version: u64) -> Vec<u8> {
        let mut aad = vec![RECORD_VERSION];
        aad.extend(key.as_bytes());
        aad.extend(version.to_be_bytes());
        aad.extend(self.store.as_bytes());
        push_field(&mut aad, self.table.as_bytes());
        push_field(&mut aad, self.slot);
        aad
    }
}

/// What a log's frames are chained by. Named here, so that only doors name the cipher's types.
pub(crate) use crypto::aead::Tag as FrameTag;

/// What a frame of a log is, where it stands and what stood before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FramePlace<'a> {
    pub(crate) log: Id,
    pub(crate) stream: &'a str,
    pub(crate) sequence: u64,
    pub(crate) kind: u8,
    pub(crate) previous: Tag,
}

impl FramePlace<'_> {
    fn aad(&self, len: usize) -> Vec<u8> {
        let mut aad = self.log.as_bytes().to_vec();
        push_field(&mut aad, self.stream.as_bytes());
        aad.extend(self.sequence.to_be_bytes());
        aad.push(self.kind);
        aad.extend(u32::try_from(len).expect("frames are short").to_be_bytes());
        aad.extend(self.previous.0);
        aad
    }

    fn key(&self, file_key: &DataKey, salt: &Salt) -> crypto::aead::OneTimeKey {
        one_time_key(file_key, FRAME_LABEL, &[&self.sequence.to_be_bytes()], salt)
    }
}

/// The key of one log file, derived so that a file taken for another stream's does not open.
pub(crate) fn log_file_key(domain: &DataKey, stream: &str, log: Id, salt: &Salt) -> DataKey {
    child_key(domain, LOG_LABEL, &[stream.as_bytes(), log.as_bytes()], salt)
}

pub(crate) fn seal_frame(
    file_key: &DataKey,
    place: FramePlace<'_>,
    salt: &Salt,
    bytes: &mut [u8],
) -> Tag {
    place.key(file_key, salt).seal(&place.aad(bytes.len()), bytes)
}

pub(crate) fn open_frame(
    file_key: &DataKey,
    place: FramePlace<'_>,
    salt: &Salt,
    bytes: &mut [u8],
    tag: &Tag,
) -> Result<(), crypto::aead::Forged> {
    place.key(file_key, salt).open(&place.aad(bytes.len()), bytes, tag)
}

fn push_field(aad: &mut Vec<u8>, field: &[u8]) {
    aad.extend(u32::try_from(field.len()).expect("fields are short").to_be_bytes());
    aad.extend(field);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_kit::{Counting, id, ring};

    const PLACE: RecordPlace<'static> =
        RecordPlace { store: Id::from_bytes([4; 16]), table: "key", slot: b"slot" };
    const RECORD_BYTES_MIN: usize = RECORD_HEADER_LEN + Tag::LEN;

    fn sealed() -> Vec<u8> {
        seal_record(&ring(1), PLACE, 7, b"content", &mut Counting::default())
    }

    #[test]
    fn a_record_opens_where_it_was_sealed_and_nowhere_else() {
        let opened = open_record(&ring(1), PLACE, &sealed()).unwrap();
        assert_eq!((opened.version, opened.key), (7, ring(1).current()));
        assert_eq!(&opened.content[..], b"content");
        for elsewhere in [
            RecordPlace { store: id(5), ..PLACE },
            RecordPlace { table: "kez", ..PLACE },
            RecordPlace { table: "keys", slot: b"lot", ..PLACE },
            RecordPlace { slot: b"slow", ..PLACE },
        ] {
            let refused = open_record(&ring(1), elsewhere, &sealed()).unwrap_err();
            assert_eq!(refused, OpenRecordError::Forged, "{elsewhere:?}");
        }
    }

    #[test]
    fn older_domain_keys_still_open() {
        assert!(open_record(&ring(2), PLACE, &sealed()).is_ok());
        let newer = seal_record(&ring(2), PLACE, 8, b"content", &mut Counting::default());
        assert_eq!(
            open_record(&ring(1), PLACE, &newer).unwrap_err(),
            OpenRecordError::KeyRetired(ring(2).current())
        );
    }

    #[test]
    fn any_flipped_bit_or_cut_is_refused() {
        let sealed = sealed();
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let expected = match bit / 8 {
                0 => OpenRecordError::Version(forged[0]),
                1..17 => OpenRecordError::KeyRetired(key_of_record(&forged).unwrap()),
                _ => OpenRecordError::Forged,
            };
            let refused = open_record(&ring(1), PLACE, &forged).unwrap_err();
            assert_eq!(refused, expected, "bit {bit}");
        }
        for len in 0..sealed.len() {
            let expected = match len {
                0..RECORD_BYTES_MIN => OpenRecordError::Length(len),
                _ => OpenRecordError::Forged,
            };
            let refused = open_record(&ring(1), PLACE, &sealed[..len]).unwrap_err();
            assert_eq!(refused, expected, "cut to {len}");
        }
    }

    #[test]
    fn the_longest_record_seals() {
        let content = vec![1; RECORD_BYTES_MAX];
        let sealed = seal_record(&ring(1), PLACE, 1, &content, &mut Counting::default());
        assert_eq!(open_record(&ring(1), PLACE, &sealed).unwrap().content[..], content);
    }
}
