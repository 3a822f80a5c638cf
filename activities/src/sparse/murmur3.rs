//! MurmurHash3, the variant `x86_32`, by Austin Appleby (public domain).

const C1: u32 = 0xcc9e_2d51;
const C2: u32 = 0x1b87_3593;

/// The 32-bit hash of `bytes`.
pub(super) fn hash(bytes: &[u8], seed: u32) -> u32 {
    let mut state = seed;
    let (blocks, tail) = bytes.as_chunks::<4>();
    for block in blocks {
        state ^= scramble(u32::from_le_bytes(*block));
        state = state.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    if !tail.is_empty() {
        let last = tail.iter().rev().fold(0_u32, |value, byte| (value << 8) | u32::from(*byte));
        state ^= scramble(last);
    }
    // The algorithm takes the length modulo 2^32.
    #[expect(clippy::cast_possible_truncation, reason = "see above")]
    let length = bytes.len() as u32;
    finish(state ^ length)
}

fn scramble(block: u32) -> u32 {
    block.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2)
}

fn finish(mut state: u32) -> u32 {
    state ^= state >> 16;
    state = state.wrapping_mul(0x85eb_ca6b);
    state ^= state >> 13;
    state = state.wrapping_mul(0xc2b2_ae35);
    state ^ (state >> 16)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// The first rows are the widely published vectors of the algorithm; the rest come from the Python package `mmh3`,
    /// one per length of the tail.
    #[rstest]
    #[case("", 0, 0)]
    #[case("", 1, 0x514e_28b7)]
    #[case("", 0xffff_ffff, 0x81f1_6f39)]
    #[case("test", 0, 0xba6b_d213)]
    #[case("test", 0x9747_b28c, 0x704b_81dc)]
    #[case("Hello, world!", 0, 0xc036_3e43)]
    #[case("Hello, world!", 0x9747_b28c, 0x2488_4cba)]
    #[case("The quick brown fox jumps over the lazy dog", 0x9747_b28c, 0x2fa8_26cd)]
    #[case("a", 0, 1_009_084_850)]
    #[case("ab", 0, 2_613_040_991)]
    #[case("abc", 0, 3_017_643_002)]
    #[case("abcd", 0, 1_139_631_978)]
    #[case("The quick brown fox jumps over the lazy dog", 0, 776_992_547)]
    fn published_vectors(#[case] text: &str, #[case] seed: u32, #[case] expected: u32) {
        assert_eq!(hash(text.as_bytes(), seed), expected);
    }
}
