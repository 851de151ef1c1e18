//! Bare engines on hosts of a world, without any async.
