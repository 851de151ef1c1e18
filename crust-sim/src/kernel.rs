//! What real kernels did: the laboratory's matrices, as data, for the tests that hold the simulator and the oracle to
//! them.
//!
//! The laboratory is Linux NATs (nftables 1.0.6, conntrack) in network namespaces, kernel 6.18.44. Its sites: pub a
//! public host; fc full-cone, rc restricted, pr port-restricted, sy symmetric, seq sequential, sya symmetric by
//! address, fw a firewall without translation; dbl and dbS port-restricted behind a port-restricted or a symmetric
//! carrier's; rst port-restricted, answering unsolicited SYNs by RST; acc the same, handing unsolicited packets to the
//! router's own stack. Every site but pub holds each packet for [`DELAY`] before its outermost NAT sees it, each way.
//!
//! The probes, all of them the same for both sides: each learns its external endpoint from a public host and tells
//! the other, then both begin at once.
//!
//! - UDP: a datagram to the endpoint told every 100 ms (`Y`), also to sources seen (`y`), where the other side is seq to
//!   the 20 ports after the one told instead (`p`). Good when each side has heard the other.
//! - TCP: one port is bound with `SO_REUSEADDR` and `SO_REUSEPORT`; the connection to the public host stays open; from
//!   that port each side connects to the endpoint told (`Y`), with a listener on the port besides (`y`), or without
//!   it to the 20 ports after the one told where the other side is seq (`p`). What is refused is tried again after 50
//!   to 150 ms by chance, for 5 s. Good when bytes have come through both ways.
//!
//! Each was measured three times for each cell; no cell wavered.

use crust_proto::Duration;

/// How long a packet is held before the outermost NAT.
pub(crate) const DELAY: Duration = Duration::from_millis(20);
/// How many ports after the one told are aimed at.
pub(crate) const AIM: u16 = 20;

/// UDP. The first ten columns stand in the laboratory's README too.
pub(crate) const UDP: &str = "
     pub fc rc pr sy seq sya fw dbl dbS rst acc
pub    Y
fc     Y  Y
rc     Y  Y  Y
pr     Y  Y  Y  Y
sy     y  y  y  -  -
seq    y  y  y  p  -   p
sya    y  y  y  -  -   -   -
fw     Y  Y  Y  Y  -   p   -  Y
dbl    Y  Y  Y  Y  -   p   -  Y   Y
dbS    y  y  y  -  -   -   -  -   -   -
rst    Y  Y  Y  Y  -   p   -  Y   Y   -   Y
acc    Y  Y  Y  Y  -   p   -  Y   Y   -   Y   Y";

/// TCP. Between two public hosts there is no delay, so that SYNs never cross: without a listener some 50 tries of each
/// side were all refused.
pub(crate) const TCP: &str = "
     pub fc rc pr sy seq sya fw dbl dbS rst acc
pub    y
fc     Y  Y
rc     Y  Y  Y
pr     Y  Y  Y  Y
sy     y  y  y  -  -
seq    y  y  y  p  -   p
sya    y  y  y  -  -   -   -
fw     Y  Y  Y  Y  -   p   -  Y
dbl    Y  Y  Y  Y  -   p   -  Y   Y
dbS    y  y  y  -  -   -   -  -   -   -
rst    Y  Y  Y  Y  -   p   -  Y   Y   -   Y
acc    Y  Y  Y  Y  -   p   -  Y   Y   -   Y   Y";

/// TCP without a listener and without a second try, where the second side begins so many milliseconds after the first
/// (before it, where negative). pub/rst at 0 is a tie: pub's SYN has waited for 20 ms before the NAT when the NAT's own
/// side's has, and whichever goes first decides. The laboratory looks at the inside first.
///
/// A NAT that refuses (rst, acc) leaves its side some 20 ms: the time between the other's SYN, 40 ms on its way, and
/// its own, which its NAT sees 20 ms after it was sent. An open filter leaves it 40, until the other's SYN finds no
/// socket. Silence leaves it all the time that the other waits. Tried again at random, most of these cells are made
/// within 2.5 s, but not all: rst with acc at 300 was not.
pub(crate) const TCP_OFFSETS: &str = "
        -300 -60 -30 -10 0 10 30 60 300
pr/pr      Y   Y   Y   Y Y  Y  Y  Y   Y
rst/rst    -   -   -   Y Y  Y  -  -   -
acc/acc    -   -   -   Y Y  Y  -  -   -
rst/acc    -   -   -   Y Y  Y  -  -   -
rst/pr     -   -   -   Y Y  Y  Y  Y   Y
acc/pr     -   -   -   Y Y  Y  Y  Y   Y
pub/pr     -   -   -   Y Y  Y  Y  Y   Y
pub/fc     -   -   -   Y Y  Y  -  -   -
pub/rst    -   -   -   Y Y  -  -  -   -
fc/fc      -   -   Y   Y Y  Y  Y  -   -
fw/rst     Y   Y   Y   Y Y  Y  -  -   -";

/// UDP, where the second side begins so many milliseconds after the first (before it, where negative).
///
/// What comes to acc before its own side has sent poisons it: the router's stack has the port towards that sender then,
/// the mapping moves, and every further packet keeps it so. Who answers the source that it sees gets through all the
/// same, if its filter lets other ports in. acc/pub at 0 is a tie, as pub/rst above.
pub(crate) const UDP_OFFSETS: &str = "
        -300 -60 -30 -10 0 10 30 60 300
pr/pr      Y   Y   Y   Y Y  Y  Y  Y   Y
acc/pub    y   y   y   y Y  Y  Y  Y   Y
acc/fc     y   y   y   Y Y  Y  Y  Y   Y
acc/rc     y   y   y   Y Y  Y  Y  Y   Y
acc/pr     -   -   -   Y Y  Y  Y  Y   Y
acc/sy     -   -   -   - -  -  -  -   -
acc/acc    -   -   -   Y Y  Y  -  -   -
acc/dbl    -   -   -   Y Y  Y  Y  Y   Y
rst/acc    Y   Y   Y   Y Y  Y  -  -   -";

/// The cells of a table: row, column, letter.
pub(crate) fn cells(table: &'static str) -> Vec<(&'static str, &'static str, char)> {
    let mut lines = table.lines().filter(|line| !line.trim().is_empty());
    let columns: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let mut cells = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let row = words.next().unwrap_or_default();
        for (column, letter) in columns.iter().zip(words) {
            cells.push((row, *column, letter.chars().next().unwrap_or('?')));
        }
    }
    cells
}

#[path = "kernel_tests.rs"]
mod tests;
