//! Tokens (JWT, RFC 7519): one algorithm and one key, both by configuration, never by what a token says of itself.

use crate::config::{Algorithm, Auth, Config};
use crate::error::{Error, Result};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest token looked at.
const MAX_BYTES: usize = 8_192;

/// The shortest secret for HMAC: as long as its hash (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;

/// Seconds by which clocks may differ.
const LEEWAY: u64 = 5;

/// The matches that a client may see, and until when.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Access {
    /// None: all matches.
    matches: Option<Vec<String>>,
    expires: Option<u64>,
}

impl Access {
    #[must_use]
    pub fn covers(&self, match_id: &str) -> bool {
        self.matches.as_ref().is_none_or(|matches| matches.iter().any(|allowed| allowed == match_id))
    }

    /// The only matches that it covers; None: all.
    #[must_use]
    pub fn matches(&self) -> Option<&[String]> {
        self.matches.as_deref()
    }

    /// How long it lasts from now on; None: for ever.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.expires.map(|expires| Duration::from_secs(expires).saturating_sub(now))
    }
}

#[derive(Deserialize)]
struct Claims {
    exp: u64,
    matches: Option<Vec<String>>,
}

/// Checks tokens.
pub struct Checker {
    auth: Auth,
    key: Option<(DecodingKey, Validation)>,
}

impl Checker {
    /// Takes the key.
    ///
    /// # Errors
    /// [`Error::Config`] where it is missing or of the wrong kind.
    pub fn new(config: &Config) -> Result<Self> {
        if config.auth == Auth::Off {
            return Ok(Self { auth: Auth::Off, key: None });
        }
        let key = match (&config.jwt_key, &config.jwt_key_file) {
            (Some(key), _) => key.clone().into_bytes(),
            (None, Some(path)) => {
                let key = std::fs::read(path).map_err(|e| Error::Config(format!("JWT_KEY_FILE: {}: {e}", path.display())))?;
                key.trim_ascii_end().to_vec()
            }
            (None, None) => return Err(Error::Config("AUTH needs a key: JWT_KEY or JWT_KEY_FILE".into())),
        };
        let refuse = |e: jsonwebtoken::errors::Error| Error::Config(format!("JWT_KEY: {e}"));
        let (algorithm, key) = match config.jwt_algorithm {
            Algorithm::Hs256 if key.len() < MIN_SECRET => {
                return Err(Error::Config(format!(
                    "JWT_KEY: the secret has {} bytes, at least {MIN_SECRET} are needed",
                    key.len()
                )));
            }
            // A public key is no secret: anybody who has it could sign.
            Algorithm::Hs256 if key.starts_with(b"-----BEGIN") => {
                return Err(Error::Config("JWT_KEY: hs256 needs a secret, not a key in PEM".into()));
            }
            Algorithm::Hs256 => (jsonwebtoken::Algorithm::HS256, DecodingKey::from_secret(&key)),
            Algorithm::Rs256 => (jsonwebtoken::Algorithm::RS256, DecodingKey::from_rsa_pem(&key).map_err(refuse)?),
            Algorithm::Eddsa => (jsonwebtoken::Algorithm::EdDSA, DecodingKey::from_ed_pem(&key).map_err(refuse)?),
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        if let Some(issuer) = &config.jwt_issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        match &config.jwt_audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        validation.set_required_spec_claims(&required);
        Ok(Self { auth: config.auth, key: Some((key, validation)) })
    }

    /// What the bearer may do.
    ///
    /// # Errors
    /// Why the token is refused, in a word for programs.
    pub fn check(&self, token: Option<&str>) -> Result<Access, &'static str> {
        let Some((key, validation)) = &self.key else { return Ok(Access::default()) };
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return if self.auth == Auth::Required { Err("token_missing") } else { Ok(Access::default()) };
        };
        if token.len() > MAX_BYTES {
            return Err("token_invalid");
        }
        let claims = jsonwebtoken::decode::<Claims>(token, key, validation).map_err(|e| match e.kind() {
            ErrorKind::ExpiredSignature => "token_expired",
            ErrorKind::ImmatureSignature => "token_not_yet_valid",
            ErrorKind::InvalidAudience => "token_audience",
            ErrorKind::InvalidIssuer => "token_issuer",
            _ => "token_invalid",
        })?;
        Ok(Access { matches: claims.claims.matches, expires: Some(claims.claims.exp) })
    }

    /// Whether tokens are looked at.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.key.is_some()
    }
}

/// The token of an Authorization header.
#[must_use]
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
