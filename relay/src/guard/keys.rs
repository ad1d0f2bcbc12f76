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
