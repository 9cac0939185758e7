//! Sets of words made small enough to keep, so that two pages can be compared without either.

/// Numbers in a sketch. The likeness of two is off by a tenth at most times, which is enough to tell alike from not.
const NUMBERS: usize = 24;

/// A sketch of a set of texts (`MinHash`: of each of some hash functions the least value). Empty for an empty set; how
/// often and in which order a text comes makes no difference.
pub fn sketch<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<u32> {
    let mut least: Vec<u32> = Vec::new();
    for text in texts {
        least.resize(NUMBERS, u32::MAX);
        let hash = hash(text.as_bytes());
        let (one, other) = (hash >> 32, hash & 0xffff_ffff);
        for (number, least) in (0_u64..).zip(&mut least) {
            let mixed = mix(one.wrapping_add(number.wrapping_mul(other | 1)));
            *least = (*least).min(u32::try_from(mixed >> 32).unwrap_or(u32::MAX));
        }
    }
    least
}

/// How alike two sets are by their sketches, from 0 to 1: the share of what they have in common of all that they have.
pub fn likeness(one: &[u32], other: &[u32]) -> f64 {
    if one.is_empty() && other.is_empty() {
        return 1.0;
    }
    if one.len() != other.len() {
        return 0.0;
    }
    let same = one.iter().zip(other).filter(|(one, other)| one == other).count();
    same as f64 / one.len() as f64
}

/// A hash that is the same on every machine: FNV-1a, mixed.
pub fn hash(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64;
    mix(bytes.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}

/// Spreads what differs in a few bits over all of them.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(from: u32, to: u32) -> Vec<u32> {
        let texts: Vec<_> = (from..to).map(|number| number.to_string()).collect();
        sketch(texts.iter().map(String::as_str))
    }

    #[test]
    fn likeness_is_about_what_is_shared() {
        assert_eq!(likeness(&of(0, 100), &of(0, 100)).to_bits(), 1.0_f64.to_bits());
        assert!(likeness(&of(0, 100), &of(5, 100)) > 0.75);
        assert!(likeness(&of(0, 100), &of(90, 190)) < 0.3);
        assert!(likeness(&of(0, 100), &of(100, 200)) < 0.1);
        assert!(likeness(&[], &of(0, 3)) < 0.1);
        assert!(likeness(&[], &[]) > 0.9);
    }

    #[test]
    fn order_and_repetition_make_no_difference() {
        assert_eq!(sketch(["a", "b", "a"]), sketch(["b", "a"]));
    }
}
