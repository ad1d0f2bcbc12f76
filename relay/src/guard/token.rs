//! Tokens (JWT, RFC 7519). Which key and which algorithm count is a matter of configuration, never of what a token says of itself.

use crate::config::{Auth, Config};
use crate::error::Result;
use crate::guard::keys::Keys;
use jsonwebtoken::Validation;
use jsonwebtoken::errors::ErrorKind;
use serde::{Deserialize, Deserializer};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest token looked at.
const MAX_BYTES: usize = 8_192;

/// Seconds by which clocks may differ.
const LEEWAY: u64 = 5;

/// The matches that a client may see, and until when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// None: all matches.
    matches: Option<Vec<String>>,
    /// Seconds since 1970.
    expires: Option<f64>,
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
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        // What no Duration can hold lasts longer than anything here.
        self.expires.map(|expires| Duration::try_from_secs_f64((expires - now).max(0.0)).unwrap_or(Duration::MAX))
    }
}

#[derive(Deserialize)]
struct Claims {
    /// A NumericDate, which may have a fraction (RFC 7519, section 2).
    exp: f64,
    #[serde(default)]
    matches: Matches,
}

/// The claim `matches`.
#[derive(Default)]
enum Matches {
    /// The token does not say.
    #[default]
    Unsaid,
    Listed(Vec<String>),
}

impl<'de> Deserialize<'de> for Matches {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An issuer that writes null has no list: it lists nothing.
        Ok(Self::Listed(Option::deserialize(deserializer)?.unwrap_or_default()))
    }
}

/// Checks tokens.
pub struct Checker {
    config: Config,
    validation: Validation,
    /// None: no token is looked at.
    keys: Option<RwLock<Arc<Keys>>>,
}

impl Checker {
    /// Takes the keys.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where one is missing or of the wrong kind.
    pub fn new(config: &Config) -> Result<Self> {
        let keys = match config.auth {
            Auth::Off => None,
            Auth::Optional | Auth::Required => Some(RwLock::new(Arc::new(Keys::load(config)?))),
        };
        let mut validation = Validation { leeway: LEEWAY, validate_nbf: true, ..Validation::default() };
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
        Ok(Self { config: config.clone(), validation, keys })
    }

    /// Reads the keys again. Tokens that were accepted before stay accepted until they expire.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where one is missing or of the wrong kind: then the keys stay as they were.
    pub fn reload(&self) -> Result<()> {
        if let Some(keys) = &self.keys {
            let loaded = Arc::new(Keys::load(&self.config)?);
            *keys.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        }
        Ok(())
    }

    /// What the bearer may do.
    ///
    /// # Errors
    /// Why the token is refused, in a word for programs.
    pub fn check(&self, token: Option<&str>) -> Result<Access, &'static str> {
        let Some(keys) = &self.keys else { return Ok(Access::default()) };
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return if self.config.auth == Auth::Required { Err("token_missing") } else { Ok(Access::default()) };
        };
        if token.len() > MAX_BYTES {
            return Err("token_invalid");
        }
        let keys = keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        let header = jsonwebtoken::decode_header(token).map_err(|_| "token_invalid")?;
        let key = keys.find(&header).ok_or("token_invalid")?;
        let validation = Validation { algorithms: vec![key.algorithm], ..self.validation.clone() };
        let claims = jsonwebtoken::decode::<Claims>(token, &key.key, &validation).map_err(|e| match e.kind() {
            ErrorKind::ExpiredSignature => "token_expired",
            ErrorKind::ImmatureSignature => "token_not_yet_valid",
            ErrorKind::InvalidAudience => "token_audience",
            ErrorKind::InvalidIssuer => "token_issuer",
            _ => "token_invalid",
        })?;
        let Claims { exp, matches } = claims.claims;
        let matches = match matches {
            Matches::Listed(matches) => Some(matches),
            Matches::Unsaid if self.config.jwt_require_matches => Some(Vec::new()),
            Matches::Unsaid => None,
        };
        Ok(Access { matches, expires: Some(exp) })
    }

    /// Whether tokens are looked at.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.keys.is_some()
    }
}

/// The token of an Authorization header.
#[must_use]
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
