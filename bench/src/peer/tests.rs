use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Cipher, Peer};

const PEERS: [Peer; 4] = [Peer::Tcp, Peer::Rustls, Peer::Quinn, Peer::Crust];
const CIPHERS: [Cipher; 2] = [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305];

/// Both ends in one task each; what the client read back, or why there was no connection.
fn echo(
    peer: Peer,
    ciphers: [Cipher; 2],
    falsify: impl Fn(Value, Value) -> Value,
) -> anyhow::Result<[u8; 5]> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut listener, place) = peer.listen(ciphers[0]).await?;
        let (_other, other_place) = peer.listen(ciphers[0]).await?;
        let mut dialer = peer.dialer(ciphers[1], falsify(place, other_place)).await?;
        let server = async {
            let mut stream = listener.accept().await?;
            let mut question = [0; 5];
            stream.read_exact(&mut question).await?;
            stream.write_all(&question).await?;
            stream.flush().await?;
            std::future::pending::<anyhow::Result<[u8; 5]>>().await
        };
        let client = async {
            let mut stream = dialer.connect().await?;
            stream.write_all(b"hello").await?;
            stream.flush().await?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await?;
            anyhow::Ok(answer)
        };
        tokio::select! { biased; answer = client => answer, failed = server => failed }
    })
}

#[test]
fn every_peer_connects_with_every_cipher() {
    for peer in PEERS {
        for cipher in CIPHERS {
            assert_eq!(echo(peer, [cipher; 2], |place, _| place).unwrap(), *b"hello", "{peer}, {cipher}");
        }
    }
}

#[test]
fn only_the_certificate_that_was_named_is_trusted() {
    for peer in [Peer::Rustls, Peer::Quinn] {
        let swapped = |place: Value, other: Value| json!([place[0], other[1]]);
        assert!(echo(peer, [CIPHERS[0]; 2], swapped).is_err(), "{peer}");
    }
}

#[test]
fn tls_has_no_cipher_but_the_one_that_was_asked_for() {
    for peer in [Peer::Rustls, Peer::Quinn] {
        assert!(echo(peer, CIPHERS, |place, _| place).is_err(), "{peer}");
    }
}
