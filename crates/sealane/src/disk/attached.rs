//! An attached volume that several threads share: readers beside each other, and one sync for all
//! the flushes that wait at the same time.

use std::sync::{Mutex, PoisonError, RwLock};

use crypto::SystemEntropy;
use volume::{Anchor, ByteLen, CheckStep, Disk, Engine, Lba, ReadError, Stats, WriteError};

/// The engine behind locks. Once frozen, its keys are gone and every request fails.
pub struct AttachedVolume<D> {
    size: ByteLen,
    engine: RwLock<Option<Engine<D>>>,
    /// How many accepted writes are durable. Held while a sync runs, so that the flushes that
    /// arrive meanwhile find themselves covered by the one that comes next.
    flushed: Mutex<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The key was taken away; attach again with it.
    #[error("the volume is frozen: its key has been wiped")]
    Frozen,
    /// A broken invariant: what the engine holds in memory cannot be relied on.
    #[error("the volume has stopped after an internal error; attach it again")]
    Stopped,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl<D: Disk> AttachedVolume<D> {
    pub fn new(engine: Engine<D>) -> Self {
        Self { size: engine.size(), engine: RwLock::new(Some(engine)), flushed: Mutex::new(0) }
    }

    pub fn size(&self) -> ByteLen {
        self.size
    }

    /// # Errors
    /// What the engine says, or that the volume is frozen or stopped.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), VolumeError> {
        Ok(self.share(|engine| engine.read(offset, bytes))??)
    }

    /// # Errors
    /// As [`AttachedVolume::read`].
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), VolumeError> {
        Ok(self.claim(|engine, entropy| engine.write(offset, bytes, entropy))??)
    }

    /// # Errors
    /// As [`AttachedVolume::read`].
    pub fn trim(&self, offset: u64, len: u64) -> Result<(), VolumeError> {
        Ok(self.claim(|engine, entropy| engine.trim(offset, len, entropy))??)
    }

    /// Makes every write that was taken before this call durable.
    ///
    /// # Errors
    /// As [`AttachedVolume::read`]; after a failed sync, for good.
    pub fn flush(&self) -> Result<(), VolumeError> {
        let needed = self.share(Engine::accepted)?;
        let mut flushed = self.flushed.lock().map_err(|_| VolumeError::Stopped)?;
        if *flushed >= needed {
            return Ok(());
        }
        let flush = self.claim(|engine, entropy| engine.begin_flush(entropy))??;
        // The engine is not held here: the disk takes its time.
        let flush = flush.run();
        *flushed = self.claim(|engine, _| engine.finish_flush(flush))??;
        Ok(())
    }

    /// Wipes the keys. What was not flushed is lost; flush first where that matters.
    pub fn freeze(&self) {
        // Keys go even if a thread died holding the lock.
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        drop(engine.take());
    }

    /// # Errors
    /// That the volume is frozen or stopped.
    pub fn stats(&self) -> Result<Stats, VolumeError> {
        self.share(Engine::stats)
    }

    /// The newest durable state.
    ///
    /// # Errors
    /// That the volume is frozen or stopped.
    pub fn anchor(&self) -> Result<Anchor, VolumeError> {
        self.claim(|engine, _| engine.anchor())
    }

    /// Verifies some blocks; see [`Engine::check_step`].
    ///
    /// # Errors
    /// That the volume is frozen or stopped.
    pub fn check_step(&self, from: Lba, blocks_max: u64) -> Result<CheckStep, VolumeError> {
        self.share(|engine| engine.check_step(from, blocks_max))
    }

    fn share<T>(&self, act: impl FnOnce(&Engine<D>) -> T) -> Result<T, VolumeError> {
        let engine = self.engine.read().map_err(|_| VolumeError::Stopped)?;
        engine.as_ref().map(act).ok_or(VolumeError::Frozen)
    }

    fn claim<T>(
        &self,
        act: impl FnOnce(&mut Engine<D>, &mut SystemEntropy) -> T,
    ) -> Result<T, VolumeError> {
        let mut engine = self.engine.write().map_err(|_| VolumeError::Stopped)?;
        let mut entropy = SystemEntropy::new();
        engine.as_mut().map(|engine| act(engine, &mut entropy)).ok_or(VolumeError::Frozen)
    }
}
