//! What is known of each segment: how many of its blocks the map still names, and which.

use std::collections::BTreeMap;

use crate::map::Place;
use crate::{Lba, SegmentNo};

/// A slot that holds a header, a footer, a page or nothing.
const NO_BLOCK: u32 = u32::MAX;

#[derive(Default)]
pub(crate) struct Segment {
    pub(crate) live: u32,
    /// A block in it could not be opened, so it can be neither moved nor given up.
    pub(crate) damaged: bool,
    /// By slot, the block that was last put there; the map decides whether it still counts.
    lbas: Vec<u32>,
}

#[derive(Default)]
pub(crate) struct Segments {
    table: BTreeMap<SegmentNo, Segment>,
    /// A segment may have lost its last live block since anyone looked.
    may_be_dead: bool,
}

impl Segments {
    pub(crate) fn add(&mut self, segment: SegmentNo) {
        self.table.entry(segment).or_default();
    }

    pub(crate) fn remove(&mut self, segment: SegmentNo) {
        self.table.remove(&segment);
    }

    pub(crate) fn contains(&self, segment: SegmentNo) -> bool {
        self.table.contains_key(&segment)
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.table.len()).expect("segment numbers are 32 bits long")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SegmentNo, &Segment)> + '_ {
        self.table.iter().map(|(number, segment)| (*number, segment))
    }

    /// The map has begun to name this place.
    pub(crate) fn gain(&mut self, lba: Lba, place: &Place) {
        let segment = self.table.entry(place.segment).or_default();
        let slot = place.slot.0 as usize;
        if segment.lbas.len() <= slot {
            segment.lbas.resize(slot + 1, NO_BLOCK);
        }
        segment.lbas[slot] = u32::try_from(lba.0).expect("the volume's size limit");
        segment.live += 1;
    }

    /// The map has ceased to name it.
    pub(crate) fn lose(&mut self, place: &Place) {
        let segment = self.table.get_mut(&place.segment).expect("the map names existing segments");
        segment.live -= 1;
        self.may_be_dead |= segment.live == 0;
    }

    pub(crate) fn look_for_dead(&mut self) {
        self.may_be_dead = true;
    }

    /// Segments below `first_pinned` that hold nothing any more; none if nothing has changed
    /// since they were last asked for.
    pub(crate) fn take_dead(&mut self, first_pinned: SegmentNo) -> Vec<SegmentNo> {
        if !std::mem::take(&mut self.may_be_dead) {
            return Vec::new();
        }
        let old = self.table.range(..first_pinned);
        old.filter(|(_, segment)| segment.live == 0).map(|(number, _)| *number).collect()
    }

    pub(crate) fn mark_damaged(&mut self, segment: SegmentNo) {
        if let Some(segment) = self.table.get_mut(&segment) {
            segment.damaged = true;
        }
    }

    /// The blocks that may be in a segment, in the order of its slots.
    pub(crate) fn lbas(&self, segment: SegmentNo) -> Vec<Lba> {
        self.table.get(&segment).map_or_else(Vec::new, |segment| {
            segment
                .lbas
                .iter()
                .filter(|&&lba| lba != NO_BLOCK)
                .map(|&lba| Lba(lba.into()))
                .collect()
        })
    }
}
