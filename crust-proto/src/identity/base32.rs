//! Crockford's base 32, and a checksum over its symbols that typing errors cannot pass.

use zeroize::Zeroizing;

/// What a contact begins with. The alphabet has no `u`, so that no peer id does.
pub(super) const CONTACT_PREFIX: &str = "crust";

/// What a secret key begins with, its hyphens left out.
pub(super) const SECRET_PREFIX: &str = "crustsecret";

/// The 32 symbols: digits and lower-case letters without `i`, `l`, `o` and `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How many symbols carry 32 bytes; the last one has four bits to spare, which are zero.
const KEY_SYMBOLS: usize = 52;

/// How many symbols the checksum of a key takes.
const CHECKSUM_SYMBOLS: usize = 6;

/// A key and its checksum, in symbols.
pub(super) const CHECKED_SYMBOLS: usize = KEY_SYMBOLS + CHECKSUM_SYMBOLS;

/// What may stand between symbols: whatever a chat, a mail program, a terminal or a careful reader puts
/// there, seen or unseen (soft hyphen, zero-width space and joiners, word joiner, byte order mark).
fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

/// The characters of `text` that are no separators, each with its position, the first being 1.
pub(super) fn letters(text: &str) -> impl Iterator<Item = (char, usize)> + Clone + '_ {
    text.chars().zip(1..).filter(|&(c, _)| !is_separator(c))
}

/// What follows `prefix` (in either case), where `letters` begin with it.
pub(super) fn strip_prefix<I: Iterator<Item = (char, usize)>>(mut letters: I, prefix: &str) -> Option<I> {
    prefix.chars().all(|p| letters.next().is_some_and(|(c, _)| c.eq_ignore_ascii_case(&p))).then_some(letters)
}

/// The symbol that `c` stands for.
pub(super) fn symbol(c: char) -> Option<u8> {
    let c = match c.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        c => c,
    };
    ALPHABET.iter().zip(0u8..).find_map(|(&letter, value)| (char::from(letter) == c).then_some(value))
}

/// The letter for the lowest five bits of `symbol`.
pub(super) fn letter(symbol: u8) -> char {
    ALPHABET.get(usize::from(symbol & 31)).map_or('0', |&letter| char::from(letter))
}

/// `bytes` in groups of five bits, highest first, the last one filled up with zeros.
pub(super) fn symbols(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    (0..(bytes.len() * 8).div_ceil(5)).map(move |i| {
        let (byte, shift) = (i * 5 / 8, i * 5 % 8);
        let at = |i: usize| u16::from(bytes.get(i).copied().unwrap_or_default());
        let [_, five] = ((at(byte) << 8 | at(byte + 1)) >> (11 - shift) & 31).to_be_bytes();
        five
    })
}

/// Fills `bytes` from `symbols`. False where they are not exactly the [`symbols`] of any such bytes.
pub(super) fn pack(symbols: &[u8], bytes: &mut [u8]) -> bool {
    if symbols.len() != (bytes.len() * 8).div_ceil(5) {
        return false;
    }
    let (mut held, mut bits) = (0u16, 0);
    let mut out = bytes.iter_mut();
    for &symbol in symbols {
        held = held << 5 | u16::from(symbol & 31);
        bits += 5;
        if bits >= 8
            && let Some(byte) = out.next()
        {
            bits -= 8;
            [_, *byte] = (held >> bits).to_be_bytes();
            held &= (1 << bits) - 1;
        }
    }
    held == 0
}

/// What the symbols of a key are, so that no kind passes for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    PeerId,
    SecretKey,
}

impl Kind {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::PeerId => b"peer id",
            Self::SecretKey => b"secret key",
        }
    }
}

/// Calls `emit` with the symbols of a key and of its checksum.
///
/// The checksum is the BCH code of BIP-350 (bech32m): up to 89 symbols, any four wrong ones are noticed for
/// certain, and more with a probability of one less 2^-30. So any mistyped symbol and any two swapped ones
/// are noticed. The label stands where the BIP has its human-readable part, unwritten.
pub(super) fn encode_checked(kind: Kind, key: &[u8; 32], mut emit: impl FnMut(char)) {
    let mut sum = Checksum::new(kind);
    for symbol in symbols(key) {
        sum.feed(symbol);
        emit(letter(symbol));
    }
    for _ in 0..CHECKSUM_SYMBOLS {
        sum.feed(0);
    }
    // 30 bits, moved to the upper end of the 32.
    let sum = (sum.0 ^ BECH32M) << 2;
    symbols(&sum.to_be_bytes()).take(CHECKSUM_SYMBOLS).for_each(|symbol| emit(letter(symbol)));
}

/// Reads the symbols of a key and its checksum, which are all that is left of `letters`.
pub(super) fn read_checked(
    letters: impl Iterator<Item = (char, usize)>,
) -> Result<Zeroizing<[u8; CHECKED_SYMBOLS]>, BadSymbols> {
    let mut symbols = Zeroizing::new([0; CHECKED_SYMBOLS]);
    let mut slots = symbols.iter_mut();
    let (mut found, mut invalid) = (0, None);
    for (character, position) in letters {
        found += 1;
        match (symbol(character), slots.next()) {
            (Some(symbol), Some(slot)) => *slot = symbol,
            (None, _) => invalid = invalid.or(Some(BadSymbols::Invalid { character, position })),
            (Some(_), None) => {}
        }
    }
    if found != CHECKED_SYMBOLS {
        return Err(BadSymbols::Length { found });
    }
    invalid.map_or(Ok(symbols), Err)
}

/// Why [`read_checked`] found no symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadSymbols {
    Length { found: usize },
    Invalid { character: char, position: usize },
}

/// Fills `key` from the symbols of [`encode_checked`]; false where the checksum does not fit.
pub(super) fn decode_checked(kind: Kind, symbols: &[u8; CHECKED_SYMBOLS], key: &mut [u8; 32]) -> bool {
    let mut sum = Checksum::new(kind);
    symbols.iter().for_each(|&symbol| sum.feed(symbol));
    let data = symbols.split_at_checked(KEY_SYMBOLS).map_or(&[][..], |(data, _)| data);
    sum.0 == BECH32M && pack(data, key)
}

/// The constant of BIP-350, "Bech32m".
const BECH32M: u32 = 0x2bc8_30a3;

/// The remainder of a polynomial over GF(32) by the generator of BIP-173, "Checksum".
struct Checksum(u32);

impl Checksum {
    fn new(kind: Kind) -> Self {
        let mut sum = Self(1);
        sum.feed_label(kind.label());
        sum
    }

    /// The high bits of all characters, a zero, then the low bits (BIP-173).
    fn feed_label(&mut self, label: &[u8]) {
        label.iter().for_each(|c| self.feed(c >> 5));
        self.feed(0);
        label.iter().for_each(|c| self.feed(c & 31));
    }

    fn feed(&mut self, symbol: u8) {
        const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
        let top = self.0 >> 25;
        self.0 = (self.0 & 0x01ff_ffff) << 5 ^ u32::from(symbol);
        for (bit, term) in GENERATOR.iter().enumerate() {
            if top >> bit & 1 == 1 {
                self.0 ^= term;
            }
        }
    }
}

#[cfg(test)]
#[path = "base32_tests.rs"]
mod tests;
