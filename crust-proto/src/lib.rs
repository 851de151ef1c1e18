//! The sans-IO core of crust.
#![forbid(unsafe_code)]
#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::iter_over_hash_type,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

pub mod crypto;
pub mod recovery;
pub mod time;
pub mod wire;

pub use time::{Duration, Instant, UnixTime};
