//! How space comes back: segments without a live block are removed, those with few have them
//! moved. Nothing is removed before the groups that made it dispensable are durable.

use crypto::Entropy;

use crate::commit::Unsealed;
use crate::errors::WriteError;
use crate::format::footer::Kind;
use crate::geometry::{dense_blocks, group_blocks_fitting};
use crate::{BLOCK_BYTES, Disk, Engine, Object, SegmentNo};

impl<D: Disk> Engine<D> {
    /// Refills the reserve before a new block is taken. Flushes, trims and compaction live off the
    /// reserve, so none of them can be stuck behind a full disk.
    pub(crate) fn keep_reserve(&mut self, entropy: &mut dyn Entropy) -> Result<(), WriteError> {
        self.check_writable()?;
        self.refill(entropy)?;
        if self.segments_since_checkpoint >= self.geometry.checkpoint_every {
            self.write_checkpoint(entropy)?;
            self.refill(entropy)?;
        }
        Ok(())
    }

    fn refill(&mut self, entropy: &mut dyn Entropy) -> Result<(), WriteError> {
        // Each round frees a segment or gives up; the bound is against a bug only.
        let mut rounds = 2 * self.geometry.segments_max;
        while self.spares.len() < self.geometry.reserve as usize {
            match self.create_spare() {
                Ok(_) => {}
                Err(WriteError::Full) if rounds > 0 => self.reclaim(entropy)?,
                Err(error) => return Err(error),
            }
            rounds = rounds.saturating_sub(1);
        }
        Ok(())
    }

    /// Frees at least one segment.
    fn reclaim(&mut self, entropy: &mut dyn Entropy) -> Result<(), WriteError> {
        let occupied = self.segments.len();
        self.commit(entropy)?;
        self.sync_head()?;
        self.segments.look_for_dead();
        self.drop_dead()?;
        if self.segments.len() < occupied {
            return Ok(());
        }
        let payload = self.geometry.slots - 1;
        let scarce = self.victim().is_none_or(|(_, live)| live > payload / 4 * 3);
        if scarce && self.checkpoint_would_free() {
            self.write_checkpoint(entropy)?;
            if self.segments.len() < occupied {
                return Ok(());
            }
        }
        let (victim, _) = self.victim().ok_or(WriteError::Full)?;
        self.move_live_blocks(victim, entropy)?;
        self.sync_head()?;
        self.drop_dead()
    }

    /// The segment with the fewest live blocks, of those that recovery does not need, if moving
    /// them gains anything.
    fn victim(&self) -> Option<(SegmentNo, u32)> {
        let dense = dense_blocks(self.geometry.slots);
        self.segments
            .iter()
            .take_while(|(number, _)| *number < self.checkpoint.segment)
            .filter(|(_, segment)| !segment.damaged && segment.live < dense)
            .map(|(number, segment)| (number, segment.live))
            .min_by_key(|(_, live)| *live)
    }

    /// Whether the segments since the last checkpoint hold clearly more garbage than another
    /// checkpoint would take.
    fn checkpoint_would_free(&self) -> bool {
        let payload = u64::from(self.geometry.slots - 1);
        let garbage: u64 = self
            .segments
            .iter()
            .filter(|(number, _)| *number >= self.checkpoint.segment && *number < self.head.segment)
            .map(|(_, segment)| payload - u64::from(segment.live))
            .sum();
        let pages = self.map.pages().count() as u64;
        garbage > 2 * pages + payload
    }

    fn move_live_blocks(
        &mut self,
        victim: SegmentNo,
        entropy: &mut dyn Entropy,
    ) -> Result<(), WriteError> {
        let lbas = self.segments.lbas(victim);
        let mut rest = &lbas[..];
        while !rest.is_empty() {
            let room = self.geometry.slots - self.head.next.0;
            let fitting = match group_blocks_fitting(room, 0) {
                0 => group_blocks_fitting(self.geometry.slots - 1, 0),
                fitting => fitting,
            } as usize;
            let mut blocks = Vec::with_capacity(fitting);
            let mut bytes = self.take_buffer();
            while let Some((&lba, later)) = rest.split_first()
                && blocks.len() < fitting
            {
                rest = later;
                let Some(place) = self.map.get(lba).filter(|place| place.segment == victim) else {
                    continue;
                };
                if blocks.iter().any(|(taken, _)| *taken == lba) {
                    continue;
                }
                let at = bytes.len();
                bytes.resize(at + BLOCK_BYTES, 0);
                if self.read_run(lba, &mut bytes[at..]).is_ok() {
                    blocks.push((lba, place.generation));
                } else {
                    // It stays where it is, for whoever reads it to be told, or for a copy of the
                    // segment to be put back.
                    bytes.truncate(at);
                    self.segments.mark_damaged(victim);
                }
            }
            if blocks.is_empty() {
                self.buffer = Some(bytes);
                continue;
            }
            self.find_room(u32::try_from(blocks.len()).expect("at most a group"), 0)?;
            let group = Unsealed { kind: Kind::Moves, blocks, trims: Vec::new(), bytes };
            let places = self.seal_group(group, entropy);
            self.adopt(&places);
            self.write_frozen()?;
        }
        Ok(())
    }

    /// Removes segments that hold nothing, where all that emptied them is durable.
    pub(crate) fn drop_dead(&mut self) -> Result<(), WriteError> {
        let all_durable =
            self.frozen.is_none() && self.durable == self.tip && self.pending.trims.is_empty();
        if all_durable {
            for segment in self.segments.take_dead(self.checkpoint.segment) {
                self.disk.remove(Object::Segment(segment))?;
                self.segments.remove(segment);
            }
        }
        Ok(())
    }

    /// Compacts until nothing more is to be gained: for an operator who wants the space now.
    ///
    /// # Errors
    /// As a flush.
    pub fn compact(&mut self, entropy: &mut dyn Entropy) -> Result<(), WriteError> {
        self.commit(entropy)?;
        self.write_checkpoint(entropy)?;
        let live = |engine: &Self| engine.victim().map(|(_, live)| live);
        let worthwhile = (self.geometry.slots - 1) / 10 * 9;
        while live(self).is_some_and(|live| live < worthwhile) {
            match self.reclaim(entropy) {
                Err(WriteError::Full) => break,
                result => result?,
            }
        }
        Ok(())
    }
}
