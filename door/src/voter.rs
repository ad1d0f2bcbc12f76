//! Which voter: a keyed hash, so that no ballot tells whose it is, and those of two matches cannot be joined.

use ring::hmac;

/// The shortest secret, in bytes: as long as the hash (RFC 2104, section 3).
const MIN_SECRET: usize = 32;

/// How much of the hash names a voter, in bytes. Among 10⁹ voters of a match two share a name once in 10²¹ matches.
const NAME: usize = 16;

/// Who votes, as a request proves it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Identity<'a> {
    /// The subject of a token, and its issuer.
    Subject { issuer: &'a str, subject: &'a str },
    /// A key that the client drew.
    Key(&'a str),
}

/// The secret that makes voters' names.
pub struct VoterKey(hmac::Key);

impl VoterKey {
    /// Takes the secret.
    ///
    /// # Errors
    /// How many bytes it has, where these are too few.
    pub fn new(secret: &[u8]) -> Result<Self, String> {
        if secret.len() < MIN_SECRET {
            return Err(format!("the secret has {} bytes, at least {MIN_SECRET} are needed", secret.len()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// The voter's name in the ballots of this match.
    #[must_use]
    pub fn voter_id(&self, identity: &Identity, match_id: &str) -> String {
        let tag = match identity {
            Identity::Subject { issuer, subject } => self.sign(&["sub", issuer, subject, match_id]),
            Identity::Key(key) => self.sign(&["key", "", key, match_id]),
        };
        hex(&tag.as_ref()[..NAME])
    }

    /// Tells two secrets apart, and nothing else of them.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex(self.sign(&["fingerprint", "", "", ""]).as_ref())
    }

    /// Each part goes behind its length: no other parts make the same message.
    fn sign(&self, parts: &[&str; 4]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        context.sign()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn key() -> VoterKey {
        VoterKey::new(SECRET).expect("long enough")
    }

    #[test]
    fn a_secret_has_a_length() {
        assert!(VoterKey::new(&SECRET[..MIN_SECRET - 1]).is_err_and(|e| e.contains("31 bytes, at least 32")));
        assert!(VoterKey::new(SECRET).is_ok());
    }

    /// The values are from Python: hmac.new(secret, message, "sha256"), each part behind its length as 8 bytes.
    #[test]
    fn voters_keep_their_names() {
        let subject = Identity::Subject { issuer: "https://id.example.org", subject: "4711" };
        assert_eq!(key().voter_id(&subject, "final"), "9059dff68e3527232627a00b3e062fab");
        assert_eq!(
            key().voter_id(&Identity::Key("8e03978e-40d5-43dd-bc93-6894a57f9324"), "final"),
            "0c3275202d324644cf9231d7c82b7875"
        );
        assert_eq!(key().fingerprint(), "40b96cc58c510bfaac14a3d1dcc0849e5360b4bc5c61f4dcc82b768ec780b467");
    }

    #[test]
    fn purpose_match_and_secret_make_other_voters() {
        let subject = |issuer, subject| Identity::Subject { issuer, subject };
        let other = VoterKey::new(&[7; 40]).expect("long enough");
        let names = [
            key().voter_id(&subject("", "a"), "final"),
            key().voter_id(&subject("a", ""), "final"),
            key().voter_id(&Identity::Key("a"), "final"),
            key().voter_id(&subject("", "a"), "cup"),
            other.voter_id(&subject("", "a"), "final"),
        ];
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert_ne!(key().fingerprint(), other.fingerprint());
    }

    proptest! {
        /// However parts are cut out of one text, another cut is another voter.
        #[test]
        fn no_two_cuts_share_a_name(text in "[a-c]{1,8}", one in (0..9_usize, 0..9_usize), two in (0..9_usize, 0..9_usize)) {
            let cut = |(a, b): (usize, usize)| {
                let (a, b) = (a.min(b).min(text.len()), a.max(b).min(text.len()));
                let identity = Identity::Subject { issuer: &text[..a], subject: &text[a..b] };
                ((a, b), key().voter_id(&identity, &text[b..]))
            };
            let ((places, name), (others, other)) = (cut(one), cut(two));
            prop_assert_eq!(places == others, name == other);
        }
    }
}
