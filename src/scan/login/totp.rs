//! Codes of the moment (RFC 6238), as authenticator apps show them.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use url::Url;

/// What codes are made of.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Totp {
    key: Vec<u8>,
    hash: Hash,
    digits: u32,
    period: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

impl Totp {
    /// Reads a secret in Base32, as sites show it, or an `otpauth://totp/` URL. The error says what is wrong with it,
    /// and nothing of what it holds.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut totp = Self {
            key: Vec::new(),
            hash: Hash::Sha1,
            digits: 6,
            period: 30,
        };
        if !text.to_ascii_lowercase().starts_with("otpauth:") {
            totp.key = base32(text)?;
            return Ok(totp);
        }
        let url = Url::parse(text).map_err(|_| "is no otpauth URL")?;
        if url.host_str() != Some("totp") {
            return Err("is an otpauth URL of another kind than totp");
        }
        for (name, value) in url.query_pairs() {
            match (&*name, &*value.to_ascii_uppercase()) {
                ("secret", secret) => totp.key = base32(secret)?,
                ("algorithm", "SHA1") => totp.hash = Hash::Sha1,
                ("algorithm", "SHA256") => totp.hash = Hash::Sha256,
                ("algorithm", "SHA512") => totp.hash = Hash::Sha512,
                ("algorithm", _) => return Err("names an algorithm other than SHA1, SHA256 and SHA512"),
                ("digits", digits) => {
                    let digits = digits.parse().ok().filter(|digits| (6..=8).contains(digits));
                    totp.digits = digits.ok_or("asks for other than 6 to 8 digits")?;
                }
                ("period", period) => {
                    let period = period.parse().ok().filter(|period| (1..=3_600).contains(period));
                    totp.period = period.ok_or("has a period that is not from 1 to 3600 s")?;
                }
                _ => {}
            }
        }
        if totp.key.is_empty() {
            return Err("is an otpauth URL without a secret");
        }
        Ok(totp)
    }

    /// The code at a time, in seconds since 1970.
    pub fn code(&self, now: u64) -> String {
        let counter = (now / self.period).to_be_bytes();
        let mac = match self.hash {
            Hash::Sha1 => Hmac::<Sha1>::new_from_slice(&self.key).map(|mac| tag(mac, &counter)),
            Hash::Sha256 => Hmac::<Sha256>::new_from_slice(&self.key).map(|mac| tag(mac, &counter)),
            Hash::Sha512 => Hmac::<Sha512>::new_from_slice(&self.key).map(|mac| tag(mac, &counter)),
        };
        // No key has a wrong length.
        let mac = mac.unwrap_or_default();
        // RFC 4226, 5.3: the last nibble says where the code begins.
        let at = usize::from(mac.last().copied().unwrap_or_default() & 0xf);
        let bytes = mac.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok());
        let number = u32::from_be_bytes(bytes.unwrap_or_default()) & 0x7fff_ffff;
        let digits = self.digits as usize;
        format!("{:0digits$}", number % 10_u32.pow(self.digits))
    }
}

fn tag<M: Mac>(mac: M, counter: &[u8]) -> Vec<u8> {
    mac.chain_update(counter).finalize().into_bytes().to_vec()
}

/// Base32 (RFC 4648) as people copy it: in either case, with spaces, hyphens and padding or without.
fn base32(text: &str) -> Result<Vec<u8>, &'static str> {
    let (mut bits, mut held, mut bytes) = (0_u32, 0_u32, Vec::new());
    for c in text.chars().filter(|c| !matches!(c, ' ' | '-' | '=')) {
        let value = match c.to_ascii_uppercase() {
            letter @ 'A'..='Z' => u32::from(letter) - u32::from('A'),
            digit @ '2'..='7' => u32::from(digit) - u32::from('2') + 26,
            _ => return Err("is not Base32 (letters and the digits 2 to 7)"),
        };
        bits = ((bits << 5) | value) & 0xfff;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap_or_default());
        }
    }
    if bytes.is_empty() {
        return Err("is empty");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, with the seeds of its errata.
    #[test]
    fn the_codes_are_those_of_the_rfc() {
        let sha1 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        let sha256 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA";
        let sha512 =
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA";
        let vectors = [
            (59, "94287082", "46119246", "90693936"),
            (1_111_111_109, "07081804", "68084774", "25091201"),
            (1_111_111_111, "14050471", "67062674", "99943326"),
            (1_234_567_890, "89005924", "91819424", "93441116"),
            (2_000_000_000, "69279037", "90698825", "38618901"),
            (20_000_000_000, "65353130", "77737706", "47863826"),
        ];
        for (now, one, two, five) in vectors {
            for (hash, secret, code) in [("SHA1", sha1, one), ("SHA256", sha256, two), ("SHA512", sha512, five)] {
                let url = format!("otpauth://totp/Shop:me?secret={secret}&algorithm={hash}&digits=8&issuer=Shop");
                assert_eq!(Totp::parse(&url).unwrap().code(now), code, "{hash} at {now}");
            }
        }
        assert_eq!(Totp::parse(sha1).unwrap().code(59), "287082");
    }

    #[test]
    fn secrets_are_read_as_people_copy_them() {
        let plain = Totp::parse("JBSWY3DPEHPK3PXP").unwrap();
        assert!(Totp::parse("jbsw y3dp-ehpk 3pxp====").unwrap() == plain);
        assert_eq!(plain.key, b"Hello!\xde\xad\xbe\xef");
    }

    #[test]
    fn what_is_no_secret_is_refused_without_showing_it() {
        for text in [
            "",
            "1",
            "hunter2!1",
            "otpauth://hotp/a?secret=JBSWY3DP",
            "otpauth://totp/a",
            "otpauth://totp/a?secret=JBSWY3DP&digits=12",
            "otpauth://totp/a?secret=JBSWY3DP&period=0",
            "otpauth://totp/a?secret=JBSWY3DP&algorithm=MD5",
        ] {
            let error = Totp::parse(text).err().unwrap();
            assert!(!error.contains("hunter"), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_secret_is_too_strange(text in "\\PC{0,40}", now in proptest::num::u64::ANY) {
            if let Ok(totp) = Totp::parse(&text) {
                proptest::prop_assert_eq!(totp.code(now).len(), 6);
            }
        }
    }
}
