//! System calls that neither the standard library nor rustix offers safely, each behind a safe
//! function with its proof beside it; and memory that is wiped as it goes back.
//!
//! It decides nothing: who calls what, and why, is said where it is called. Start with
//! [`process`], which the launcher needs first.
#![allow(
    unsafe_code,
    reason = "the one place, beside `disk`, where the kernel and the allocator are called by hand"
)]

pub mod inherited;
pub mod mount;
pub mod net;
pub mod process;
pub mod watch;
pub mod wiping;
