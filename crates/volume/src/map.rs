//! The index: where each block of the volume is. All of it is in memory (see `VOLUME_BYTES_MAX`),
//! in pages, so that a thin volume takes little and a checkpoint writes it page by page.

use crypto::Salt;

use crate::format::page::Places;
use crate::geometry::PAGE_ENTRIES;
use crate::seal::Tag;
use crate::{Generation, Lba, SegmentNo, Slot};

/// Where a block is, and what it takes to open it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) generation: Generation,
    pub(crate) segment: SegmentNo,
    pub(crate) slot: Slot,
    pub(crate) tag: Tag,
    /// Of its group. Kept here, because a group's footer may be long out of memory.
    pub(crate) salt: Salt,
}

pub(crate) struct Map {
    pages: Vec<Option<Box<Places>>>,
    mapped: u64,
}

impl Map {
    pub(crate) fn new(blocks: u64) -> Self {
        let pages = usize::try_from(blocks.div_ceil(u64::from(PAGE_ENTRIES)))
            .expect("the volume's size limit keeps the map in memory");
        Self { pages: std::iter::repeat_with(|| None).take(pages).collect(), mapped: 0 }
    }

    pub(crate) fn get(&self, lba: Lba) -> Option<Place> {
        let (page, entry) = split(lba);
        self.pages[page].as_ref()?[entry]
    }

    /// Gives what was there before.
    pub(crate) fn set(&mut self, lba: Lba, place: Place) -> Option<Place> {
        let (page, entry) = split(lba);
        let page = self.pages[page].get_or_insert_with(|| Box::new([None; PAGE_ENTRIES as usize]));
        let before = page[entry].replace(place);
        self.mapped += u64::from(before.is_none());
        before
    }

    pub(crate) fn remove(&mut self, lba: Lba) -> Option<Place> {
        let (page, entry) = split(lba);
        let before = self.pages[page].as_mut()?[entry].take();
        self.mapped -= u64::from(before.is_some());
        before
    }

    pub(crate) fn mapped(&self) -> u64 {
        self.mapped
    }

    /// The first mapped block at or after `from`.
    pub(crate) fn next_mapped(&self, from: Lba) -> Option<(Lba, Place)> {
        let (first, mut entry) = split(from);
        for (number, page) in self.pages.iter().enumerate().skip(first) {
            if let Some(page) = page {
                for (at, place) in page.iter().enumerate().skip(entry) {
                    if let Some(place) = place {
                        return Some((lba_of(number, at), *place));
                    }
                }
            }
            entry = 0;
        }
        None
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Lba, Place)> + '_ {
        self.pages().flat_map(|(number, page)| {
            page.iter().enumerate().filter_map(move |(at, place)| {
                place.map(|place| {
                    (lba_of(usize::try_from(number).expect("from a usize"), at), place)
                })
            })
        })
    }

    /// The pages that hold anything.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (u64, &Places)> + '_ {
        self.pages.iter().enumerate().filter_map(|(number, page)| {
            let page = page.as_deref()?;
            page.iter().any(Option::is_some).then_some((number as u64, page))
        })
    }

    /// A page that [`Map::pages`] has named.
    pub(crate) fn page(&self, number: u64) -> &Places {
        let number = usize::try_from(number).expect("from a usize");
        self.pages[number].as_deref().expect("the page was just listed")
    }

    /// Puts a page of a checkpoint in its place. `None` where the page lies outside the volume or
    /// was already there: an engine writes neither.
    pub(crate) fn install(&mut self, number: u64, places: Box<Places>, blocks: u64) -> Option<()> {
        let outside = |at: usize| {
            number.saturating_mul(u64::from(PAGE_ENTRIES)).saturating_add(at as u64) >= blocks
        };
        if places.iter().enumerate().any(|(at, place)| place.is_some() && outside(at)) {
            return None;
        }
        let page = self.pages.get_mut(usize::try_from(number).ok()?)?;
        if page.is_some() {
            return None;
        }
        self.mapped += places.iter().flatten().count() as u64;
        *page = Some(places);
        Some(())
    }
}

fn split(lba: Lba) -> (usize, usize) {
    let entries = u64::from(PAGE_ENTRIES);
    let page = usize::try_from(lba.0 / entries).expect("callers keep to the volume's size");
    (page, usize::try_from(lba.0 % entries).expect("less than a page's entries"))
}

fn lba_of(page: usize, entry: usize) -> Lba {
    Lba(page as u64 * u64::from(PAGE_ENTRIES) + entry as u64)
}
