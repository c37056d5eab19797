//! The door: where a block, a page of the map and a footer's body become ciphertext and back, and
//! where superblocks, headers and footers get their MACs. Nothing else here touches the AEAD.
//!
//! Keys: a group's key is derived from the data key, what the group is and a fresh salt; each
//! block's key from the group's key and its slot; the footer's body has one of its own. All are
//! used once, so the constant nonce never repeats, not even on a copy of the disk.

pub(crate) use crypto::aead::Tag;
use crypto::kdf::{self, Label};
use crypto::mac::{Mac, MacKey};
use crypto::{DataKey, Id, Salt};

use crate::format::footer::{self, Entry, HEAD_BYTES, Head, Trim};
use crate::format::{self, MAC_BYTES};
use crate::{BLOCK_BYTES, Epoch, Generation, Lba, SegmentNo, Slot};

const GROUP: Label = Label("sealane volume group v1");
const BLOCK: Label = Label("sealane volume block v1");
const FOOTER: Label = Label("sealane volume footer v1");
const SUPERBLOCK_MAC: Label = Label("sealane volume superblock mac v1");
const HEADER_MAC: Label = Label("sealane volume segment header mac v1");
const FOOTER_MAC: Label = Label("sealane volume footer mac v1");

/// The bytes differ from those that were sealed, or stand in another place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Forged;

/// The keys of one volume in one epoch. Dropping them wipes the data key.
pub(crate) struct VolumeKeys {
    volume: Id,
    epoch: Epoch,
    data: DataKey,
    superblock: MacKey,
    header: MacKey,
    footer: MacKey,
}

/// The key of one commit group.
pub(crate) struct GroupKey {
    key: DataKey,
    salt: Salt,
}

/// What a sealed block is: bound to it as additional data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BlockIdentity {
    pub(crate) content: Content,
    pub(crate) generation: Generation,
    pub(crate) segment: SegmentNo,
    pub(crate) slot: Slot,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    Block(Lba),
    Page(u64),
}

impl VolumeKeys {
    pub(crate) fn new(volume: Id, epoch: Epoch, data: DataKey) -> Self {
        let epoch_bytes = epoch.0.to_be_bytes();
        let context: [&[u8]; 2] = [volume.as_bytes(), &epoch_bytes];
        let mac_key = |label| kdf::mac_key(&data, label, &context);
        let superblock = mac_key(SUPERBLOCK_MAC);
        let header = mac_key(HEADER_MAC);
        let footer = mac_key(FOOTER_MAC);
        Self { volume, epoch, data, superblock, header, footer }
    }

    /// Call only once the group's content is frozen, or to open what was sealed under `salt`.
    pub(crate) fn group(&self, segment: SegmentNo, salt: Salt) -> GroupKey {
        let (epoch, segment) = (self.epoch.0.to_be_bytes(), segment.0.to_be_bytes());
        let context: [&[u8]; 3] = [self.volume.as_bytes(), &epoch, &segment];
        GroupKey { key: kdf::child_key(&self.data, GROUP, &context, &salt), salt }
    }

    pub(crate) fn seal_block(
        &self,
        group: &GroupKey,
        identity: &BlockIdentity,
        bytes: &mut [u8],
    ) -> Tag {
        debug_assert_eq!(bytes.len(), BLOCK_BYTES, "blocks have one size");
        group.block_key(identity.slot).seal(&self.block_aad(identity), bytes)
    }

    /// Wipes `bytes` where they are not what was sealed.
    pub(crate) fn open_block(
        &self,
        group: &GroupKey,
        identity: &BlockIdentity,
        tag: &Tag,
        bytes: &mut [u8],
    ) -> Result<(), Forged> {
        let key = group.block_key(identity.slot);
        key.open(&self.block_aad(identity), bytes, tag).map_err(|crypto::aead::Forged| Forged)
    }

    fn block_aad(&self, identity: &BlockIdentity) -> [u8; 47] {
        let (kind, address) = match identity.content {
            Content::Block(lba) => (1, lba.0),
            Content::Page(page) => (2, page),
        };
        let mut aad = [0; 47];
        let mut writer = format::Writer::new(&mut aad);
        writer.u16(format::VERSION);
        writer.put(&[kind]);
        writer.put(self.volume.as_bytes());
        writer.u32(self.epoch.0);
        writer.u64(address);
        writer.u64(identity.generation.0);
        writer.u32(identity.segment.0);
        writer.u32(identity.slot.0);
        aad
    }

    /// Writes head, sealed body and MAC into `bytes`, which has exactly the footer's length.
    pub(crate) fn seal_footer(
        &self,
        group: &GroupKey,
        head: &Head,
        entries: &[Entry],
        trims: &[Trim],
        bytes: &mut [u8],
    ) -> [u8; MAC_BYTES] {
        let layout = head.layout();
        assert_eq!(bytes.len(), layout.bytes, "the footer's length follows from its head");
        bytes.fill(0);
        head.encode(bytes);
        let (aad, rest) = bytes.split_at_mut(HEAD_BYTES);
        let body = &mut rest[layout.body.start - HEAD_BYTES..layout.body.end - HEAD_BYTES];
        footer::encode_body(entries, trims, body);
        let tag = group.footer_key().seal(aad, body);
        rest[..Tag::LEN].copy_from_slice(&tag.0);
        put_mac(&self.footer, bytes)
    }

    /// `bytes` are those of a footer whose head was decoded as `head`. Gives the footer's MAC if
    /// this volume's engine wrote it.
    pub(crate) fn verify_footer(&self, bytes: &[u8]) -> Result<[u8; MAC_BYTES], Forged> {
        check_mac(&self.footer, bytes)
    }

    /// Opens the body of a verified footer in place.
    pub(crate) fn open_footer(
        &self,
        head: &Head,
        bytes: &mut [u8],
    ) -> Result<(Vec<Entry>, Vec<Trim>), Forged> {
        let layout = head.layout();
        let (aad, rest) = bytes.split_at_mut(HEAD_BYTES);
        let (tag, rest) = rest.split_first_chunk_mut().ok_or(Forged)?;
        let body = &mut rest[..layout.body.len()];
        let group = self.group(head.segment, head.salt);
        group.footer_key().open(aad, body, &Tag(*tag)).map_err(|crypto::aead::Forged| Forged)?;
        footer::decode_body(head.blocks, head.trims, body).map_err(|_| Forged)
    }

    pub(crate) fn mac_superblock(&self, bytes: &mut [u8; BLOCK_BYTES]) {
        put_mac(&self.superblock, bytes);
    }

    pub(crate) fn verify_superblock(&self, bytes: &[u8; BLOCK_BYTES]) -> Result<(), Forged> {
        check_mac(&self.superblock, bytes).map(drop)
    }

    pub(crate) fn mac_header(&self, bytes: &mut [u8; BLOCK_BYTES]) {
        put_mac(&self.header, bytes);
    }

    pub(crate) fn verify_header(&self, bytes: &[u8; BLOCK_BYTES]) -> Result<(), Forged> {
        check_mac(&self.header, bytes).map(drop)
    }

    /// What the first group of a volume names as its predecessor's MAC.
    pub(crate) fn genesis(&self) -> [u8; MAC_BYTES] {
        self.footer.mac(b"genesis").0
    }
}

impl GroupKey {
    fn block_key(&self, slot: Slot) -> crypto::aead::OneTimeKey {
        kdf::one_time_key(&self.key, BLOCK, &[&slot.0.to_be_bytes()], &self.salt)
    }

    fn footer_key(&self) -> crypto::aead::OneTimeKey {
        kdf::one_time_key(&self.key, FOOTER, &[], &self.salt)
    }
}

fn put_mac(key: &MacKey, bytes: &mut [u8]) -> [u8; MAC_BYTES] {
    let (message, mac) = bytes.split_at_mut(bytes.len() - MAC_BYTES);
    let computed = key.mac(message).0;
    mac.copy_from_slice(&computed);
    computed
}

fn check_mac(key: &MacKey, bytes: &[u8]) -> Result<[u8; MAC_BYTES], Forged> {
    let (message, mac) = bytes.split_last_chunk::<MAC_BYTES>().ok_or(Forged)?;
    if key.mac(message) == Mac(*mac) { Ok(*mac) } else { Err(Forged) }
}
