//! How a node is made.

use core::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crust_proto::crypto::{self, CryptoProvider};
use crust_proto::{Config, Network, SecretKey};
use zeroize::Zeroizing;

use crate::driver::Driver;
use crate::node::Node;
use crate::runtime::Platform;

/// Makes a [`Node`] on a platform; adapters name it with theirs filled in.
pub struct Builder<P> {
    platform: P,
    /// An error met on the way waits for [`bind`](Self::bind).
    config: io::Result<Config>,
}

impl<P: Platform + Default> Builder<P> {
    /// A node with this key.
    pub fn new(secret_key: SecretKey) -> Self {
        Self::on(P::default(), secret_key)
    }

    /// A node with a fresh key that is kept nowhere.
    pub fn ephemeral() -> Self {
        Self::ephemeral_on(P::default())
    }
}

impl<P: Platform> Builder<P> {
    /// A node with this key on a given platform.
    pub fn on(mut platform: P, secret_key: SecretKey) -> Self {
        let mut config = Config::new(secret_key, Network::default(), crypto::best());
        config.hardware = platform.hardware();
        Self { platform, config: Ok(config) }
    }

    /// A node with a fresh key, that is kept nowhere, on a given platform.
    pub fn ephemeral_on(mut platform: P) -> Self {
        match platform.entropy().map(Zeroizing::new) {
            Ok(entropy) => Self::on(platform, SecretKey::from_entropy(*entropy)),
            Err(e) => Self { platform, config: Err(e) },
        }
    }

    /// The network that it belongs to; if never called, the default one, without a secret.
    #[must_use]
    pub fn network(self, network: Network) -> Self {
        self.config(|config| config.network = network)
    }

    /// An address to listen on; can be called several times. Port zero leaves the choice to the system.
    ///
    /// If never called it is any port of all addresses, IPv4 and IPv6, as far as the machine has them. One
    /// that was asked for must work, or [`bind`](Self::bind) fails.
    #[must_use]
    pub fn listen(self, local: SocketAddr) -> Self {
        self.config(|config| config.listen.push(local))
    }

    /// Who does the costly cryptography; if never called, the fastest that was compiled in.
    #[must_use]
    pub fn provider(self, provider: Arc<dyn CryptoProvider>) -> Self {
        self.config(|config| config.provider = provider)
    }

    /// Changes anything else.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        if let Ok(config) = &mut self.config {
            change(config);
        }
        self
    }

    /// Opens the sockets and starts the node on the runtime that this is awaited in.
    ///
    /// # Errors
    ///
    /// What the system said of the first address that could not be bound (its kind, and the address in its
    /// text); or that there is no runtime, or no entropy.
    #[expect(clippy::unused_async, reason = "it needs a runtime around it, which `async` says")]
    pub async fn bind(self) -> io::Result<Node> {
        let mut config = self.config?;
        let defaulted = config.listen.is_empty();
        if defaulted {
            config.listen = vec![(Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::UNSPECIFIED, 0).into()];
        }
        let wanted = config.listen.len();
        let (driver, mut failures) = Driver::new(config, self.platform)?;
        let tolerated = if defaulted { wanted.saturating_sub(1) } else { 0 };
        if failures.len() > tolerated {
            let (local, error) = failures.swap_remove(0);
            return Err(io::Error::new(error.kind(), format!("cannot listen on {local}: {error}")));
        }
        Ok(driver.start())
    }
}

impl<P> fmt::Debug for Builder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}
