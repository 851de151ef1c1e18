//! All randomness, grown from one [`Seed`].
//!
//! In real life a seed comes fresh from the operating system at each start; in tests it is chosen, and the
//! same seed gives the same bytes. [`Random`] splits it in two: what may be seen on the wire, and what is
//! secret. An observer of the first learns nothing of the second, nor of the seed.
//!
//! Secrets are *hedged*: the secret generator is keyed with the static private key and wall time besides
//! the seed, and every key drawn from it is derived from a counter and the occasion (the payload, the
//! time) besides the draw. So a seed used twice, as by a virtual machine restored from a snapshot, repeats
//! no key, and one that an attacker guesses tells nothing without the static key. [`Random::mix`] adds
//! fresh entropy from time to time.

use core::{fmt, iter};

use chacha20::{
    ChaCha20, ChaCha20Rng, KeyIvInit,
    cipher::StreamCipher,
    rand_core::{Rng, SeedableRng},
};
use zeroize::Zeroizing;

use super::{
    KEY_LEN,
    hash::{kdf, kdf_chain},
};

/// What an engine's randomness grows from. To be used once: it can't be cloned, is consumed by its use and
/// erased from memory.
pub struct Seed(Zeroizing<[u8; KEY_LEN]>);

impl Seed {
    /// A seed of 32 bytes, which must come from the operating system's generator anywhere but in tests.
    pub fn new(bytes: [u8; KEY_LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// The two generators of an engine. Erased from memory when dropped.
///
/// It can't be cloned, for two of the same state would repeat each other.
pub struct Random {
    wire: ChaCha20Rng,
    secret: SecretStream,
    /// How many secret keys were drawn.
    drawn: u64,
}

impl Random {
    /// The generators of one start. The wire's depends on `seed` alone; the secret one also on
    /// `hedge_parts`, which are to be the static private key and wall time.
    pub fn new(seed: Seed, hedge_parts: &[&[u8]]) -> Self {
        Self {
            wire: ChaCha20Rng::from_seed(*kdf(&seed.0, "random wire", &[])),
            secret: SecretStream(kdf(&seed.0, "random secret", hedge_parts)),
            drawn: 0,
        }
    }

    /// Fills `out` with what may be seen on the wire: salts, padding, challenges.
    pub fn wire_fill(&mut self, out: &mut [u8]) {
        self.wire.fill_bytes(out);
    }

    /// `N` bytes that may be seen on the wire.
    pub fn wire_array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.wire_fill(&mut out);
        out
    }

    /// A number that may be seen on the wire.
    pub fn wire_u64(&mut self) -> u64 {
        self.wire.next_u64()
    }

    /// A number below `n` that may be seen on the wire, each as likely as any other; 0 if `n` is 0.
    pub fn wire_below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        // 2^64 modulo n: so many draws at the upper end are left out, or small results would be likelier.
        // It is below n, so on average it takes fewer than two draws.
        let rest = n.wrapping_neg() % n;
        loop {
            let draw = self.wire_u64();
            if draw <= u64::MAX - rest {
                return draw % n;
            }
        }
    }

    /// A fresh secret key for the purpose that `label` names: ephemeral and receive keys, cookie secrets.
    ///
    /// `parts` hedge it; give what tells this occasion from others: for an ephemeral key the static
    /// private key, wall time and the payload. Two equal calls give different keys.
    pub fn secret_key(&mut self, label: &str, parts: &[&[u8]]) -> Zeroizing<[u8; KEY_LEN]> {
        self.drawn = self.drawn.wrapping_add(1);
        let fresh = self.secret.draw();
        let counter = self.drawn.to_le_bytes();
        kdf_chain(&fresh, label, iter::once(&counter[..]).chain(parts.iter().copied()))
    }

    /// Folds fresh entropy into both generators. It can only make them better: what they held stays in.
    pub fn mix(&mut self, entropy: &[u8; KEY_LEN]) {
        let mut wire = Zeroizing::new([0; KEY_LEN]);
        self.wire_fill(&mut *wire);
        self.wire = ChaCha20Rng::from_seed(*kdf(&wire, "mix wire", &[entropy]));
        let secret = self.secret.draw();
        self.secret = SecretStream(kdf(&secret, "mix secret", &[entropy]));
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random(..)")
    }
}

/// A ChaCha20 generator that replaces its key with every draw (Bernstein's fast key erasure), so that who
/// reads the memory later can't go back to the keys that were drawn before.
struct SecretStream(Zeroizing<[u8; KEY_LEN]>);

impl SecretStream {
    fn draw(&mut self) -> Zeroizing<[u8; KEY_LEN]> {
        // The key is used for this one block, so any nonce does.
        let mut cipher = ChaCha20::new((&*self.0).into(), (&[0; 12]).into());
        let mut out = Zeroizing::new([0; KEY_LEN]);
        self.0.fill(0);
        cipher.apply_keystream(&mut self.0[..]);
        cipher.apply_keystream(&mut out[..]);
        out
    }
}

#[cfg(test)]
#[path = "random_tests.rs"]
mod tests;
