//! QUIC on UDP, with quinn's own defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, ServerConfig};
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::CertificateDer;
use rustls::quic::Suite;
use serde_json::Value;

use super::{Cipher, Connected, Dialer, Listener, tls};

pub fn listen(cipher: Cipher) -> Result<(Box<dyn Listener>, Value)> {
    let (config, certificate) = tls::server(cipher)?;
    let config = QuicServerConfig::with_initial(config.into(), initial_suite()?)?;
    let config = ServerConfig::with_crypto(Arc::new(config));
    let endpoint = Endpoint::server(config, ANY_PORT.into()).context(NO_PORT)?;
    let place = serde_json::to_value((endpoint.local_addr()?, certificate.as_ref()))?;
    Ok((Box::new(Quic(endpoint)), place))
}

pub fn dialer(cipher: Cipher, place: Value) -> Result<Box<dyn Dialer>> {
    let (to, certificate): (SocketAddr, Vec<u8>) = serde_json::from_value(place)?;
    let config = tls::client(cipher, CertificateDer::from(certificate))?;
    let config = QuicClientConfig::with_initial(config.into(), initial_suite()?)?;
    let mut endpoint = Endpoint::client(ANY_PORT.into()).context(NO_PORT)?;
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(config)));
    Ok(Box::new(QuicDialer { endpoint, to }))
}

const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
const NO_PORT: &str = "no UDP port can be had on 127.0.0.1: is the loopback interface up?";

/// The suite of QUIC's first packets, which is always the same (RFC 9001 §5.2).
fn initial_suite() -> Result<Suite> {
    TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(|suite| suite.quic_suite())
        .context("QUIC's first cipher is missing")
}

struct Quic(Endpoint);

impl Listener for Quic {
    fn accept(&mut self) -> Connected<'_> {
        Box::pin(async {
            let incoming = self.0.accept().await.context("the endpoint is closed")?;
            let (send, recv) = incoming.await?.accept_bi().await?;
            Ok(Box::new(tokio::io::join(recv, send)) as _)
        })
    }
}

struct QuicDialer {
    endpoint: Endpoint,
    to: SocketAddr,
}

impl Dialer for QuicDialer {
    fn connect(&mut self) -> Connected<'_> {
        Box::pin(async {
            let connection = self.endpoint.connect(self.to, tls::SERVER_NAME)?.await?;
            let (send, recv) = connection.open_bi().await?;
            Ok(Box::new(tokio::io::join(recv, send)) as _)
        })
    }
}
