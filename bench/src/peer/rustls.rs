//! TLS 1.3 on TCP.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Cipher, Connected, Dialer, Listener, tcp, tls};

pub async fn listen(cipher: Cipher) -> Result<(Box<dyn Listener>, Value)> {
    let (config, certificate) = tls::server(cipher)?;
    let (tcp, address) = tcp::bind().await?;
    let place = serde_json::to_value((address, certificate.as_ref()))?;
    Ok((Box::new(Tls { tcp, acceptor: Arc::new(config).into() }), place))
}

pub fn dialer(cipher: Cipher, place: Value) -> Result<Box<dyn Dialer>> {
    let (to, certificate): (SocketAddr, Vec<u8>) = serde_json::from_value(place)?;
    let config = tls::client(cipher, CertificateDer::from(certificate))?;
    let name = ServerName::try_from(tls::SERVER_NAME)?;
    Ok(Box::new(TlsDialer { to, name, connector: Arc::new(config).into() }))
}

struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    fn accept(&mut self) -> Connected<'_> {
        Box::pin(async {
            let tcp = tcp::accept(&self.tcp).await?;
            Ok(Box::new(self.acceptor.accept(tcp).await?) as _)
        })
    }
}

struct TlsDialer {
    to: SocketAddr,
    name: ServerName<'static>,
    connector: TlsConnector,
}

impl Dialer for TlsDialer {
    fn connect(&mut self) -> Connected<'_> {
        Box::pin(async {
            let tcp = tcp::dial(self.to).await?;
            Ok(Box::new(self.connector.connect(self.name.clone(), tcp).await?) as _)
        })
    }
}
