//! What the cores are tested against: a world that is replayed from a seed.
//!
//! **Decides** what a disk keeps of what it was told, and what randomness is drawn, as a seed
//! says. **Deliberately does not know** the scenarios; they live in `sim/tests`. **Start reading**
//! in [`disk`]: a disk that keeps its promises and not one byte more.

#![forbid(unsafe_code)]

pub mod disk;
pub mod entropy;
