//! The Noise Protocol Framework, revision 34: the two handshakes that sessions begin with.
//!
//! * `Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s`, two messages, when the responder's id is known;
//! * `Noise_XXpsk3_25519_ChaChaPoly_BLAKE2s`, three messages, when only its address is.
//!
//! A [`Handshake`] is made at either end with its static key, the pre-shared key and the prologue. The
//! ends take turns, the initiator first: one calls [`Handshake::write_message`], the other
//! [`Handshake::read_message`]. After the last message [`Handshake::is_finished`] at both ends, and
//! [`Handshake::split`] yields one secret a direction, [`Handshake::hash`] a value that names this very
//! handshake. What is read from a message is authentic only as far as Noise §7.7 says for that message:
//! the first one in particular can be a replay.
//!
//! There is no generator of randomness here: [`Handshake::set_ephemeral`] takes the ephemeral private key,
//! as late as one pleases before the first message written, so that it can be derived from the payload.
//!
//! A message that fails to read, or to be written for the peer's fault, kills the handshake: from then on
//! every call returns [`NoiseError::OutOfTurn`]. Who must survive forged messages clones it beforehand.

use core::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{
    Aead, CryptoProvider, KEY_LEN, NONCE_LEN, TAG_LEN,
    hash::{HASH_LEN, hash, hkdf2, hkdf3},
};

/// No Noise message is longer, in bytes (Noise §3).
pub const MAX_MESSAGE_LEN: usize = 65_535;

/// A secret that a handshake ends in.
pub type Secret = Zeroizing<[u8; KEY_LEN]>;

/// Which handshake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `IKpsk2`: the initiator knows the responder's static key. Two messages.
    IkPsk2,
    /// `XXpsk3`: nobody's key is known; both are sent, encrypted. Three messages.
    XxPsk3,
}

/// Who speaks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Writes the first message.
    Initiator,
    /// Reads the first message.
    Responder,
}

/// Why a handshake did not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoiseError {
    /// The peer's fault, or nobody's: the message is too short or too long to be one.
    #[error("the handshake message is too short or too long")]
    Malformed,
    /// The peer's fault, or an attacker's: the message was forged or damaged, or the ends differ in the
    /// pre-shared key, the prologue, or the responder's key.
    #[error("the handshake message does not authenticate")]
    Authentication,
    /// The peer's fault: one of its public keys is of low order, and could only make a secret that all know.
    #[error("the peer's public key is of low order")]
    LowOrder,
    /// The caller's fault: not this end's turn, or not yet finished, or already failed.
    #[error("the handshake is not at the point for this")]
    OutOfTurn,
    /// The caller's fault: no ephemeral key was set before writing, or the responder's static key is
    /// missing from, or superfluous in, what `new` was given.
    #[error("the keys given do not fit the pattern")]
    UnfitKeys,
    /// The caller's fault: the payload makes the message longer than [`MAX_MESSAGE_LEN`].
    #[error("the payload is too long for a handshake message")]
    TooLong,
}

/// What a handshake is made of, besides the ephemeral key.
#[derive(Clone, Copy)]
pub struct HandshakeParams<'a> {
    /// Which handshake.
    pub pattern: Pattern,
    /// Which end of it this is.
    pub role: Role,
    /// Bytes that both ends must agree on (Noise §6).
    pub prologue: &'a [u8],
    /// The key that both ends share beforehand; zeros where they share none.
    pub psk: &'a [u8; KEY_LEN],
    /// This end's static private key.
    pub static_secret: &'a [u8; KEY_LEN],
    /// The responder's static public key, for the initiator of [`Pattern::IkPsk2`]; else `None`.
    pub remote_static: Option<&'a [u8; KEY_LEN]>,
}

impl fmt::Debug for HandshakeParams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandshakeParams")
            .field("pattern", &self.pattern)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// One end of a handshake; see the [module](self) for its life.
#[derive(Clone)]
pub struct Handshake {
    provider: Arc<dyn CryptoProvider>,
    pattern: Pattern,
    role: Role,
    symmetric: Symmetric,
    psk: Secret,
    static_secret: Secret,
    static_public: [u8; KEY_LEN],
    ephemeral: Option<Secret>,
    remote_static: Option<[u8; KEY_LEN]>,
    remote_ephemeral: Option<[u8; KEY_LEN]>,
    /// How many messages went either way.
    done: usize,
    /// Set while a message is worked on, so that an error leaves it set.
    dead: bool,
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("pattern", &self.pattern)
            .field("role", &self.role)
            .field("done", &self.done)
            .field("dead", &self.dead)
            .finish_non_exhaustive()
    }
}

impl Handshake {
    /// A handshake of which nothing was sent yet.
    ///
    /// # Errors
    /// [`NoiseError::UnfitKeys`] if `remote_static` is missing or superfluous.
    pub fn new(provider: &Arc<dyn CryptoProvider>, params: HandshakeParams<'_>) -> Result<Self, NoiseError> {
        let HandshakeParams { pattern, role, prologue, psk, static_secret, remote_static } = params;
        let static_public = provider.public_key(static_secret);
        let mut symmetric = Symmetric::new(pattern);
        symmetric.mix_hash(prologue);
        // IK's pre-message `<- s`: the responder's static key.
        match (pattern, role, remote_static) {
            (Pattern::IkPsk2, Role::Initiator, Some(remote)) => symmetric.mix_hash(remote),
            (Pattern::IkPsk2, Role::Responder, None) => symmetric.mix_hash(&static_public),
            (Pattern::XxPsk3, _, None) => {}
            _ => return Err(NoiseError::UnfitKeys),
        }
        Ok(Self {
            provider: Arc::clone(provider),
            pattern,
            role,
            symmetric,
            psk: Zeroizing::new(*psk),
            static_secret: Zeroizing::new(*static_secret),
            static_public,
            ephemeral: None,
            remote_static: remote_static.copied(),
            remote_ephemeral: None,
            done: 0,
            dead: false,
        })
    }

    /// Sets this end's ephemeral private key. It must be fresh: random, or derived from randomness, and
    /// never used for anything else. It can be replaced until the first message is written.
    ///
    /// # Errors
    /// [`NoiseError::OutOfTurn`] once this end has written a message.
    pub fn set_ephemeral(&mut self, secret: &[u8; KEY_LEN]) -> Result<(), NoiseError> {
        let first_write = match self.role {
            Role::Initiator => 0,
            Role::Responder => 1,
        };
        if self.dead || self.done > first_write {
            return Err(NoiseError::OutOfTurn);
        }
        self.ephemeral = Some(Zeroizing::new(*secret));
        Ok(())
    }

    /// Appends the next message to `out`: [`Handshake::overhead`] bytes and the encrypted payload.
    ///
    /// # Errors
    /// [`NoiseError::OutOfTurn`], [`NoiseError::UnfitKeys`] and [`NoiseError::TooLong`] change nothing.
    /// [`NoiseError::LowOrder`] kills the handshake. `out` is as it was in any case.
    pub fn write_message(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), NoiseError> {
        let tokens = self.turn(Role::Initiator)?;
        if self.ephemeral.is_none() {
            return Err(NoiseError::UnfitKeys);
        }
        if payload.len().saturating_add(Self::overhead(self.pattern, self.done)) > MAX_MESSAGE_LEN {
            return Err(NoiseError::TooLong);
        }
        self.dead = true;
        let start = out.len();
        if let Err(error) = self.write_tokens(tokens, payload, out) {
            out.truncate(start);
            return Err(error);
        }
        self.dead = false;
        self.done += 1;
        Ok(())
    }

    /// Reads the peer's next message and returns its payload.
    ///
    /// # Errors
    /// [`NoiseError::OutOfTurn`] changes nothing; every other error kills the handshake.
    pub fn read_message(&mut self, message: &[u8]) -> Result<Zeroizing<Vec<u8>>, NoiseError> {
        let tokens = self.turn(Role::Responder)?;
        self.dead = true;
        let overhead = Self::overhead(self.pattern, self.done);
        if !(overhead..=MAX_MESSAGE_LEN).contains(&message.len()) {
            return Err(NoiseError::Malformed);
        }
        let payload = Zeroizing::new(self.read_tokens(tokens, message)?);
        self.dead = false;
        self.done += 1;
        Ok(payload)
    }

    /// The peer's static public key, once known: its id.
    pub fn remote_static(&self) -> Option<[u8; KEY_LEN]> {
        self.remote_static.filter(|_| !self.dead)
    }

    /// Whether all messages went through.
    pub fn is_finished(&self) -> bool {
        !self.dead && self.done == messages(self.pattern).len()
    }

    /// The hash of everything that went either way so far; of a finished handshake, the channel binding
    /// `h` (Noise §11.2): the same at both ends, and of no other handshake.
    pub fn hash(&self) -> [u8; HASH_LEN] {
        self.symmetric.hash
    }

    /// The secrets of the two directions: initiator to responder, then responder to initiator.
    ///
    /// # Errors
    /// [`NoiseError::OutOfTurn`] if the handshake is not finished.
    pub fn split(self) -> Result<(Secret, Secret), NoiseError> {
        if !self.is_finished() {
            return Err(NoiseError::OutOfTurn);
        }
        Ok(hkdf2(&self.symmetric.chaining_key, &[]))
    }

    /// How much longer than its payload the message `index` (from 0) of a handshake is, in bytes; 0 for
    /// a message that the pattern doesn't have.
    pub const fn overhead(pattern: Pattern, index: usize) -> usize {
        let mut rest = messages(pattern);
        let mut skip = index;
        while let [message, later @ ..] = rest {
            if skip == 0 {
                return overhead_of(message);
            }
            skip -= 1;
            rest = later;
        }
        0
    }

    /// The tokens of the next message, if it's for the end that `even` names (the writer's or reader's
    /// role in messages of even number) to deal with it.
    fn turn(&self, even: Role) -> Result<&'static [Token], NoiseError> {
        let ours = (self.role == even) == self.done.is_multiple_of(2);
        let tokens = messages(self.pattern).get(self.done);
        tokens.copied().filter(|_| ours && !self.dead).ok_or(NoiseError::OutOfTurn)
    }

    fn write_tokens(
        &mut self,
        tokens: &[Token],
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), NoiseError> {
        for token in tokens {
            match token {
                Token::E => {
                    let secret = self.ephemeral.as_deref().ok_or(NoiseError::UnfitKeys)?;
                    let public = self.provider.public_key(secret);
                    out.extend_from_slice(&public);
                    self.symmetric.mix_ephemeral(&public);
                }
                Token::S => {
                    self.symmetric.encrypt_and_hash(&*self.provider, &self.static_public, out)?;
                }
                Token::Psk => self.symmetric.mix_key_and_hash(&self.psk),
                Token::Dh(initiators, responders) => self.mix_dh(*initiators, *responders)?,
            }
        }
        self.symmetric.encrypt_and_hash(&*self.provider, payload, out)
    }

    fn read_tokens(&mut self, tokens: &[Token], message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut rest = message;
        for token in tokens {
            match token {
                Token::E => {
                    let public = take::<KEY_LEN>(&mut rest)?;
                    self.symmetric.mix_ephemeral(public);
                    self.remote_ephemeral = Some(*public);
                }
                Token::S => {
                    let sealed = take::<{ KEY_LEN + TAG_LEN }>(&mut rest)?;
                    let public = self.symmetric.decrypt_and_hash(&*self.provider, sealed)?;
                    self.remote_static = Some(public.try_into().map_err(|_| NoiseError::Malformed)?);
                }
                Token::Psk => self.symmetric.mix_key_and_hash(&self.psk),
                Token::Dh(initiators, responders) => self.mix_dh(*initiators, *responders)?,
            }
        }
        self.symmetric.decrypt_and_hash(&*self.provider, rest)
    }

    /// Mixes in the secret of the initiator's key of the one kind with the responder's of the other.
    fn mix_dh(&mut self, initiators: Kind, responders: Kind) -> Result<(), NoiseError> {
        let (ours, theirs) = match self.role {
            Role::Initiator => (initiators, responders),
            Role::Responder => (responders, initiators),
        };
        let secret = match ours {
            Kind::Ephemeral => self.ephemeral.as_deref().ok_or(NoiseError::UnfitKeys)?,
            Kind::Static => &*self.static_secret,
        };
        let public = match theirs {
            Kind::Ephemeral => self.remote_ephemeral,
            Kind::Static => self.remote_static,
        };
        let public = public.ok_or(NoiseError::OutOfTurn)?;
        let shared = self.provider.dh(secret, &public).ok_or(NoiseError::LowOrder)?;
        self.symmetric.mix_key(&shared);
        Ok(())
    }
}

/// The two kinds of key that each end has.
#[derive(Clone, Copy)]
enum Kind {
    Ephemeral,
    Static,
}

/// What a message is made of (Noise §5.3).
#[derive(Clone, Copy)]
enum Token {
    E,
    S,
    Psk,
    /// A Diffie-Hellman of the initiator's key of the first kind with the responder's of the second.
    Dh(Kind, Kind),
}

const EE: Token = Token::Dh(Kind::Ephemeral, Kind::Ephemeral);
const ES: Token = Token::Dh(Kind::Ephemeral, Kind::Static);
const SE: Token = Token::Dh(Kind::Static, Kind::Ephemeral);
const SS: Token = Token::Dh(Kind::Static, Kind::Static);

/// The messages of a pattern (Noise §7.5 and §9.4), the initiator's and the responder's by turns.
const fn messages(pattern: Pattern) -> &'static [&'static [Token]] {
    match pattern {
        Pattern::IkPsk2 => &[&[Token::E, ES, Token::S, SS], &[Token::E, EE, SE, Token::Psk]],
        Pattern::XxPsk3 => &[&[Token::E], &[Token::E, EE, Token::S, ES], &[Token::S, SE, Token::Psk]],
    }
}

/// The protocol's name, which begins its hash (Noise §8).
const fn protocol_name(pattern: Pattern) -> &'static [u8] {
    match pattern {
        Pattern::IkPsk2 => b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s",
        Pattern::XxPsk3 => b"Noise_XXpsk3_25519_ChaChaPoly_BLAKE2s",
    }
}

/// Keys in a message, and tags: every static key and every payload is sealed, since with a pre-shared key
/// in the pattern the first `e` of all already brings a cipher key.
const fn overhead_of(message: &[Token]) -> usize {
    let mut len = TAG_LEN;
    let mut rest = message;
    while let [token, later @ ..] = rest {
        len += match token {
            Token::E => KEY_LEN,
            Token::S => KEY_LEN + TAG_LEN,
            Token::Psk | Token::Dh(..) => 0,
        };
        rest = later;
    }
    len
}

/// The next `N` bytes of a message.
fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], NoiseError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(NoiseError::Malformed)?;
    *rest = tail;
    Ok(head)
}

/// Noise's `SymmetricState` and `CipherState` in one (Noise §5.1, §5.2).
#[derive(Clone)]
struct Symmetric {
    hash: [u8; HASH_LEN],
    chaining_key: Secret,
    key: Option<Secret>,
    nonce: u64,
}

impl Symmetric {
    fn new(pattern: Pattern) -> Self {
        // Both names are longer than a hash; shorter ones would be padded instead.
        let name = hash(&[protocol_name(pattern)]);
        Self { hash: name, chaining_key: Zeroizing::new(name), key: None, nonce: 0 }
    }

    fn mix_hash(&mut self, bytes: &[u8]) {
        self.hash = hash(&[&self.hash, bytes]);
    }

    fn mix_key(&mut self, input: &[u8; KEY_LEN]) {
        let (chaining_key, key) = hkdf2(&self.chaining_key, input);
        self.chaining_key = chaining_key;
        self.set_key(key);
    }

    /// An ephemeral public key counts as key material too where a pre-shared key is in the pattern, so
    /// that no two handshakes encrypt under the same key (Noise §9.2).
    fn mix_ephemeral(&mut self, public: &[u8; KEY_LEN]) {
        self.mix_hash(public);
        self.mix_key(public);
    }

    fn mix_key_and_hash(&mut self, psk: &[u8; KEY_LEN]) {
        let (chaining_key, temp_hash, key) = hkdf3(&self.chaining_key, psk);
        self.chaining_key = chaining_key;
        self.mix_hash(&temp_hash[..]);
        self.set_key(key);
    }

    fn set_key(&mut self, key: Secret) {
        self.key = Some(key);
        self.nonce = 0;
    }

    /// Appends `plain`, sealed, to `out`.
    fn encrypt_and_hash(
        &mut self,
        provider: &dyn CryptoProvider,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), NoiseError> {
        let key = self.key.as_deref().ok_or(NoiseError::OutOfTurn)?;
        let start = out.len();
        out.extend_from_slice(plain);
        let data = out.get_mut(start..).unwrap_or_default();
        let tag = provider.aead(Aead::ChaCha20Poly1305, key).seal(&nonce(self.nonce), &self.hash, data);
        out.extend_from_slice(&tag);
        self.nonce += 1;
        self.mix_hash(out.get(start..).unwrap_or_default());
        Ok(())
    }

    fn decrypt_and_hash(
        &mut self,
        provider: &dyn CryptoProvider,
        sealed: &[u8],
    ) -> Result<Vec<u8>, NoiseError> {
        let key = self.key.as_deref().ok_or(NoiseError::OutOfTurn)?;
        let (data, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(NoiseError::Malformed)?;
        let mut plain = data.to_vec();
        provider
            .aead(Aead::ChaCha20Poly1305, key)
            .open(&nonce(self.nonce), &self.hash, &mut plain, tag)
            .map_err(|_| NoiseError::Authentication)?;
        self.nonce += 1;
        self.mix_hash(sealed);
        Ok(plain)
    }
}

/// Noise's nonce for ChaChaPoly: four zero bytes and the counter, little-endian (Noise §12.3).
fn nonce(counter: u64) -> [u8; NONCE_LEN] {
    let [a, b, c, d, e, f, g, h] = counter.to_le_bytes();
    [0, 0, 0, 0, a, b, c, d, e, f, g, h]
}

#[cfg(test)]
#[path = "noise_tests.rs"]
mod tests;
