//! `crust id`.

use crate::args::Common;
use crate::failure::Failure;
use crate::output::{Event, Output};
use crate::setup;

/// Prints who this is; makes the key if there is none.
pub(crate) fn run(common: &Common, out: &Output) -> Result<(), Failure> {
    let path = match &common.key {
        Some(path) => path.clone(),
        None => setup::default_key()?,
    };
    let (key, created) = setup::key(&path)?;
    let peer = key.peer_id().to_string();
    let path = path.display().to_string();
    out.event(&Event::Id { peer: &peer, key: &path, created });
    out.result(&peer);
    out.say(match created {
        true => format!("A new key; it is in {path}"),
        false => format!("The key is in {path}"),
    });
    Ok(())
}
