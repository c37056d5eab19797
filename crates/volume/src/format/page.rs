//! A page of the map: where the blocks of a run of LBAs are. Sealed like a block.

use crypto::Salt;

use super::{DecodeError, Reader, Writer};
use crate::geometry::PAGE_ENTRIES;
use crate::map::Place;
use crate::seal::Tag;
use crate::{BLOCK_BYTES, Generation, SegmentNo, Slot};

/// Entries of one page; generation 0 stands for a block that is not mapped.
pub(crate) type Places = [Option<Place>; PAGE_ENTRIES as usize];

pub(crate) fn encode(places: &Places, bytes: &mut [u8]) {
    assert_eq!(bytes.len(), BLOCK_BYTES, "a page fills a block");
    bytes.fill(0);
    let mut writer = Writer::new(bytes);
    for place in places {
        let Some(place) = place else {
            writer.put(&[0; 48]);
            continue;
        };
        writer.u64(place.generation.0);
        writer.u32(place.segment.0);
        writer.u32(place.slot.0);
        writer.put(&place.tag.0);
        writer.put(&place.salt.0);
    }
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Box<Places>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut places = Box::new([None; PAGE_ENTRIES as usize]);
    for place in places.iter_mut() {
        let read = Place {
            generation: Generation(reader.u64()?),
            segment: SegmentNo(reader.u32()?),
            slot: Slot(reader.u32()?),
            tag: Tag(reader.take()?),
            salt: Salt(reader.take()?),
        };
        *place = (read.generation != Generation(0)).then_some(read);
    }
    Ok(places)
}
