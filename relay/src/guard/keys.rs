//! The keys that tokens are checked with: one from a setting or a file, or several from a JWKS (RFC 7517), each for one algorithm.

use crate::config::{Algorithm, Config};
use crate::error::{Error, Result};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Header};
use std::path::Path;

/// The shortest secret for HMAC, in bytes: as long as its hash (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;

/// A key, and the one algorithm that it is for.
pub struct Key {
    id: Option<String>,
    pub algorithm: jsonwebtoken::Algorithm,
    pub key: DecodingKey,
}

/// All keys that count now.
pub struct Keys(Vec<Key>);

impl Keys {
    /// Reads them from the settings or the file that these name.
    ///
    /// # Errors
    /// [`Error::Config`] where one is missing or of the wrong kind.
    pub fn load(config: &Config) -> Result<Self> {
        if let Some(path) = &config.jwt_jwks_file {
            return Self::from_jwks(&read("JWT_JWKS_FILE", path)?);
        }
        let key = match (&config.jwt_key, &config.jwt_key_file) {
            (Some(key), _) => key.clone().into_bytes(),
            (None, Some(path)) => read("JWT_KEY_FILE", path)?.trim_ascii_end().to_vec(),
            (None, None) => return Err(Error::Config("AUTH needs a key: JWT_KEY, JWT_KEY_FILE or JWT_JWKS_FILE".into())),
        };
        let refuse = |e: jsonwebtoken::errors::Error| Error::Config(format!("JWT_KEY: {e}"));
        let (algorithm, key) = match config.jwt_algorithm {
            // A public key is no secret: anybody who has it could sign.
            Algorithm::Hs256 if key.starts_with(b"-----BEGIN") => {
                return Err(Error::Config("JWT_KEY: hs256 needs a secret, not a key in PEM".into()));
            }
            Algorithm::Hs256 => (jsonwebtoken::Algorithm::HS256, secret("JWT_KEY", &key)?),
            Algorithm::Rs256 => (jsonwebtoken::Algorithm::RS256, DecodingKey::from_rsa_pem(&key).map_err(refuse)?),
            Algorithm::Es256 => (jsonwebtoken::Algorithm::ES256, DecodingKey::from_ec_pem(&key).map_err(refuse)?),
            Algorithm::Eddsa => (jsonwebtoken::Algorithm::EdDSA, DecodingKey::from_ed_pem(&key).map_err(refuse)?),
        };
        Ok(Self(vec![Key { id: None, algorithm, key }]))
    }

    fn from_jwks(bytes: &[u8]) -> Result<Self> {
        let set: JwkSet = serde_json::from_slice(bytes).map_err(|e| Error::Config(format!("JWT_JWKS_FILE: {e}")))?;
        // A set may hold keys for encryption too, which sign nothing.
        let signing =
            set.keys.iter().filter(|jwk| jwk.common.public_key_use.as_ref().is_none_or(|u| *u == PublicKeyUse::Signature));
        let keys = signing.map(Key::from_jwk).collect::<Result<Vec<_>>>()?;
        if keys.is_empty() {
            return Err(Error::Config("JWT_JWKS_FILE: it holds no key that signatures are checked with".into()));
        }
        Ok(Self(keys))
    }

    /// The key for a token with this head. A token without a key's id is checked where just one key has its algorithm.
    #[must_use]
    pub fn find(&self, header: &Header) -> Option<&Key> {
        let of_algorithm = |key: &&Key| key.algorithm == header.alg;
        let mut candidates = self.0.iter().filter(of_algorithm).filter(|key| match (&key.id, &header.kid) {
            (Some(id), Some(wanted)) => id == wanted,
            _ => true,
        });
        let found = candidates.next()?;
        candidates.next().is_none().then_some(found)
    }
}

impl Key {
    fn from_jwk(jwk: &Jwk) -> Result<Self> {
        let id = jwk.common.key_id.clone();
        let named = || id.as_deref().unwrap_or("without kid").to_owned();
        let refuse = |reason: String| Error::Config(format!("JWT_JWKS_FILE: key {}: {reason}", named()));
        let (algorithm, stated) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (jsonwebtoken::Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
                (jsonwebtoken::Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                (jsonwebtoken::Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            AlgorithmParameters::OctetKey(_) => (jsonwebtoken::Algorithm::HS256, KeyAlgorithm::HS256),
            _ => return Err(refuse("its curve is not supported; use RSA, P-256 or Ed25519".into())),
        };
        if let Some(other) = jwk.common.key_algorithm.filter(|other| *other != stated) {
            return Err(refuse(format!("algorithm {other} is not supported; use RS256, ES256, EdDSA or HS256")));
        }
        let key = DecodingKey::from_jwk(jwk).map_err(|e| refuse(e.to_string()))?;
        if let AlgorithmParameters::OctetKey(octets) = &jwk.algorithm {
            // The alphabet of base64 has 64 letters: 6 bits each.
            check_secret(&format!("JWT_JWKS_FILE: key {}", named()), octets.value.trim_end_matches('=').len() * 6 / 8)?;
        }
        Ok(Self { id, algorithm, key })
    }
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::Config(format!("{setting}: {}: {e}", path.display())))
}

fn secret(setting: &str, key: &[u8]) -> Result<DecodingKey> {
    check_secret(setting, key.len())?;
    Ok(DecodingKey::from_secret(key))
}

fn check_secret(what: &str, bytes: usize) -> Result<()> {
    if bytes < MIN_SECRET {
        return Err(Error::Config(format!("{what}: the secret has {bytes} bytes, at least {MIN_SECRET} are needed")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use jsonwebtoken::Algorithm::{ES256, EdDSA, HS256, RS256};
    use serde_json::{Value, json};

    fn load(settings: &[&str]) -> std::result::Result<Keys, String> {
        let always = ["relay", "--database-url=postgres://h/db"];
        let config = Config::try_parse_from(always.iter().chain(settings)).expect("settings");
        Keys::load(&config).map_err(|error| error.to_string())
    }

    fn refusal(settings: &[&str]) -> String {
        load(settings).err().expect("refused")
    }

    fn jwks(keys: &[Value]) -> std::result::Result<Keys, String> {
        Keys::from_jwks(json!({"keys": keys}).to_string().as_bytes()).map_err(|error| error.to_string())
    }

    fn octets(bytes: usize) -> Value {
        // Four letters are three bytes.
        json!({"kty": "oct", "kid": "o", "k": "A".repeat(bytes.div_ceil(3) * 4 - (3 - bytes % 3) % 3)})
    }

    /// Public keys of RFC 7515 (A.3) and RFC 8037 (A.2).
    fn curves() -> [Value; 2] {
        let (x, y) = ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        let edwards = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        [
            json!({"kty": "EC", "kid": "e", "crv": "P-256", "x": x, "y": y}),
            json!({"kty": "OKP", "kid": "d", "crv": "Ed25519", "x": edwards}),
        ]
    }

    fn header(algorithm: jsonwebtoken::Algorithm, id: Option<&str>) -> Header {
        Header { kid: id.map(str::to_owned), ..Header::new(algorithm) }
    }

    #[test]
    fn a_secret_has_32_bytes_at_least() {
        let secret = "s".repeat(MIN_SECRET);
        assert!(load(&["--jwt-key", &secret]).is_ok() && load(&["--jwt-key", &secret.repeat(9)]).is_ok());
        assert_eq!(refusal(&["--jwt-key", &secret[1..]]), "JWT_KEY: the secret has 31 bytes, at least 32 are needed");
        assert!(jwks(&[octets(32)]).is_ok() && jwks(&[octets(33)]).is_ok() && jwks(&[octets(64)]).is_ok());
        for bytes in [30, 31] {
            let text = format!("JWT_JWKS_FILE: key o: the secret has {bytes} bytes, at least 32 are needed");
            assert_eq!(jwks(&[octets(bytes)]).err(), Some(text));
        }
    }

    #[test]
    fn a_key_is_of_the_kind_that_its_algorithm_needs() {
        assert!(refusal(&[]).starts_with("AUTH needs a key"));
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", "A".repeat(40));
        assert_eq!(refusal(&[&format!("--jwt-key={pem}")]), "JWT_KEY: hs256 needs a secret, not a key in PEM");
        for algorithm in ["rs256", "es256", "eddsa"] {
            assert!(refusal(&["--jwt-algorithm", algorithm, "--jwt-key", "no key"]).starts_with("JWT_KEY: "), "{algorithm}");
        }
        for (flag, setting) in [("--jwt-key-file", "JWT_KEY_FILE"), ("--jwt-jwks-file", "JWT_JWKS_FILE")] {
            assert!(refusal(&[flag, "/nowhere/key"]).starts_with(&format!("{setting}: /nowhere/key: ")), "{flag}");
        }
    }

    #[test]
    fn each_key_of_a_set_has_one_algorithm() {
        let [ec, okp] = curves();
        let rsa = json!({"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"});
        let keys = jwks(&[rsa.clone(), ec.clone(), okp.clone(), octets(32)]).expect("four keys");
        let found = |algorithm, id| keys.find(&header(algorithm, id)).and_then(|key| key.id.clone());
        for (algorithm, id) in [(RS256, "r"), (ES256, "e"), (EdDSA, "d"), (HS256, "o")] {
            assert_eq!(found(algorithm, Some(id)).as_deref(), Some(id));
            assert_eq!(found(algorithm, None).as_deref(), Some(id), "the only one of its algorithm");
            assert_eq!((found(algorithm, Some("x")), found(jsonwebtoken::Algorithm::RS512, Some(id))), (None, None));
        }
        let with = |key: &Value, name: &str, value: &str| {
            let mut key = key.clone();
            key[name] = value.into();
            jwks(&[key]).err()
        };
        assert_eq!((with(&ec, "alg", "ES256"), with(&rsa, "use", "sig")), (None, None));
        let other = "JWT_JWKS_FILE: key e: algorithm ES384 is not supported; use RS256, ES256, EdDSA or HS256";
        assert_eq!(with(&ec, "alg", "ES384").as_deref(), Some(other));
        let curve = "JWT_JWKS_FILE: key e: its curve is not supported; use RSA, P-256 or Ed25519";
        assert_eq!(with(&ec, "crv", "P-384").as_deref(), Some(curve));
        assert_eq!(with(&okp, "crv", "P-256").as_deref(), Some(&*curve.replace("key e", "key d")));
    }

    #[test]
    fn a_token_without_a_name_of_a_key_finds_one_and_no_more() {
        let named = |id: &str| {
            let mut key = octets(32);
            key["kid"] = id.into();
            key
        };
        let keys = jwks(&[named("a"), named("b")]).expect("two keys");
        assert!(keys.find(&header(HS256, None)).is_none() && keys.find(&header(HS256, Some("a"))).is_some());
        let nameless = jwks(&[json!({"kty": "oct", "k": "A".repeat(43)})]).expect("one key");
        assert!(nameless.find(&header(HS256, Some("any"))).is_some());
    }

    #[test]
    fn a_set_holds_a_key_for_signatures() {
        let none = "JWT_JWKS_FILE: it holds no key that signatures are checked with".to_owned();
        let mut encrypts = octets(32);
        encrypts["use"] = "enc".into();
        assert_eq!((jwks(&[]).err(), jwks(&[encrypts.clone()]).err()), (Some(none.clone()), Some(none)));
        assert!(jwks(&[encrypts, octets(32)]).expect("one key").find(&header(HS256, None)).is_some());
        assert!(Keys::from_jwks(b"{}").is_err());
    }
}
