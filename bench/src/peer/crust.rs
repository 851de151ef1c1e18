//! crust, with its own defaults but for the cipher.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use crust_tokio::{Builder, Connection, Contact, Node};
use serde_json::Value;

use super::{Cipher, Connected, Dialer, Listener, Stream};

pub async fn listen(cipher: Cipher) -> Result<(Box<dyn Listener>, Value)> {
    let node = node(cipher).await?;
    let place = serde_json::to_value(node.contact().to_string())?;
    Ok((Box::new(Crust(node)), place))
}

pub async fn dialer(cipher: Cipher, place: Value) -> Result<Box<dyn Dialer>> {
    let contact = serde_json::from_value::<String>(place)?.parse()?;
    Ok(Box::new(CrustDialer { node: node(cipher).await?, contact, last: None }))
}

async fn node(cipher: Cipher) -> Result<Node> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Builder::ephemeral()
        .listen(any_port)
        // AES is what two nodes agree on where both say that their hardware has it.
        .config(|config| config.hardware.aes = cipher == Cipher::Aes256Gcm)
        .bind()
        .await
        .context("no UDP port can be had on 127.0.0.1: is the loopback interface up?")
}

struct Crust(Node);

impl Listener for Crust {
    fn accept(&mut self) -> Connected<'_> {
        Box::pin(async {
            let connection = self.0.accept().await.context("the node is shut down")?;
            let (send, recv) = connection.accept_bi().await?;
            Ok(Box::new(tokio::io::join(recv, send)) as _)
        })
    }
}

struct CrustDialer {
    node: Node,
    contact: Contact,
    last: Option<Connection>,
}

impl Dialer for CrustDialer {
    fn connect(&mut self) -> Connected<'_> {
        Box::pin(async {
            let connection = self.node.connect(&self.contact).await?;
            let (send, recv) = connection.open_bi().await?;
            self.last = Some(connection);
            Ok(Box::new(tokio::io::join(recv, send)) as _)
        })
    }
    fn end(&mut self, stream: Box<dyn Stream>) {
        // A connection that only lost its handles would be taken up again by the next call.
        if let Some(connection) = self.last.take() {
            connection.close(0, b"");
        }
        drop(stream);
    }
}
