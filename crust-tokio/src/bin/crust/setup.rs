//! What all commands do first: logs, keys, the network, a node.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crust_tokio::key_file::{self, KeyFileError};
use crust_tokio::proto::identity::{DEFAULT_NETWORK, NetworkSecret};
use crust_tokio::{Builder, Config, Network, Node, SecretKey};
use etcetera::BaseStrategy;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::Common;
use crate::failure::{Failure, Kind, plain};
use crate::output::Output;

/// The environment's variable of the network's passphrase.
const SECRET: &str = "CRUST_NETWORK_SECRET";
/// The longest file that is taken for a passphrase, in bytes.
const MAX_SECRET: u64 = 4096;

/// Logs as `RUST_LOG` says; without it there are none.
pub(crate) fn logging() -> Result<(), Failure> {
    let Ok(filter) = std::env::var("RUST_LOG") else { return Ok(()) };
    let filter: Targets = filter
        .parse()
        .map_err(|error| Failure::new(Kind::Usage, format!("cannot read RUST_LOG={filter:?}: {error}")))?;
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(layer).with(filter).init();
    Ok(())
}

/// The network that the options name.
pub(crate) fn network(common: &Common, out: &Output) -> Result<Network, Failure> {
    let passphrase = match &common.secret_file {
        Some(path) => Some((read_secret(path, out)?, path.display().to_string())),
        None => match std::env::var(SECRET) {
            Ok(passphrase) => Some((passphrase, SECRET.to_owned())),
            Err(std::env::VarError::NotPresent) => None,
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Failure::new(Kind::Key, format!("{SECRET} is not UTF-8")));
            }
        },
    };
    let secret = passphrase.map(|(passphrase, origin)| {
        NetworkSecret::from_passphrase(&passphrase)
            .map_err(|error| Failure::new(Kind::Key, format!("the passphrase in {origin}: {error}")))
    });
    let name = common.network.as_deref().unwrap_or(DEFAULT_NETWORK);
    Network::new(name, secret.transpose()?)
        .map_err(|error| Failure::new(Kind::Usage, format!("--network {name:?}: {error}")))
}

fn read_secret(path: &Path, out: &Output) -> Result<String, Failure> {
    let failed = |why: String| Failure::new(Kind::Key, format!("cannot read {}: {why}", path.display()));
    let file = File::open(path).map_err(|error| failed(plain(&error)))?;
    #[cfg(unix)]
    if let Ok(metadata) = file.metadata() {
        use std::os::unix::fs::PermissionsExt;
        if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
            let path = path.display();
            out.warn(&format!("others can read the network's secret; run: chmod 600 {path}"));
        }
    }
    let mut passphrase = String::new();
    match file.take(MAX_SECRET + 1).read_to_string(&mut passphrase) {
        Ok(_) if passphrase.len() as u64 > MAX_SECRET => {
            Err(failed("it is too long for a passphrase".to_owned()))
        }
        Ok(_) => Ok(passphrase),
        Err(error) => Err(failed(plain(&error))),
    }
}

/// The file of this node's key where no option names one.
pub(crate) fn default_key() -> Result<PathBuf, Failure> {
    let directories = etcetera::choose_base_strategy().map_err(|_| {
        Failure::new(Kind::Key, "there is no home directory; name the key file with --key FILE")
    })?;
    Ok(directories.config_dir().join("crust").join("key"))
}

/// The key in a file, which is made if it is not there; says whether it was made.
pub(crate) fn key(path: &Path) -> Result<(SecretKey, bool), Failure> {
    let created = fs::symlink_metadata(path).is_err();
    let key = key_file::load_or_create(path).map_err(|error| {
        let message = match &error {
            KeyFileError::Io { what, path, source } => {
                format!(
                    "cannot {what} {}: {}; choose another place with --key",
                    path.display(),
                    plain(source)
                )
            }
            // The others say themselves what to do.
            _ => error.to_string(),
        };
        Failure::new(Kind::Key, message)
    })?;
    Ok((key, created))
}

/// A node as the options describe it.
pub(crate) async fn node(
    common: &Common,
    out: &Output,
    adjust: impl FnOnce(&mut Config),
) -> Result<Node, Failure> {
    let builder = match &common.key {
        Some(path) => Builder::new(key(path)?.0),
        None => Builder::ephemeral(),
    };
    let mut builder = builder.network(network(common, out)?);
    for address in common.listen.iter().flat_map(|listen| listen.addresses()) {
        builder = builder.listen(address);
    }
    let timeout = common.timeout;
    let bound = builder.config(|config| patience(config, timeout)).config(adjust).bind().await;
    bound.map_err(|error| Failure::listening(&error))
}

/// How long the other side may be silent.
pub(crate) fn patience(config: &mut Config, timeout: Duration) {
    config.handshake.timeout = timeout;
    config.transport.idle_timeout = timeout;
    // Four chances to be heard before the other side gives up, and often enough for a NAT.
    let often = timeout / 4;
    config.transport.keep_alive = Some(config.transport.keep_alive.map_or(often, |usual| usual.min(often)));
}
