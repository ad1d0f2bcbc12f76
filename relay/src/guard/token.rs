//! Tokens (JWT, RFC 7519). Which key and which algorithm count is a matter of configuration, never of what a token says of itself.

use crate::config::{Auth, Config};
use crate::error::{Error, Result};
use crate::guard::keys::Keys;
use jsonwebtoken::Validation;
use jsonwebtoken::errors::ErrorKind;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
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
    /// Whom the token is about.
    subject: Option<String>,
    /// Who issued it.
    #[cfg_attr(not(feature = "door"), allow(dead_code, reason = "of votes alone"))]
    issuer: Option<String>,
    /// What it is for.
    #[cfg_attr(not(feature = "door"), allow(dead_code, reason = "of votes alone"))]
    scopes: Vec<String>,
}

impl Access {
    /// Of these matches, for ever.
    #[cfg(test)]
    pub fn to(matches: &[&str]) -> Self {
        Self { matches: Some(matches.iter().map(|id| (*id).to_owned()).collect()), ..Self::default() }
    }

    /// Of all matches, for ever, for this subject and these scopes.
    #[cfg(all(test, feature = "door"))]
    pub fn of(issuer: &str, subject: Option<&str>, scope: &str) -> Self {
        let scopes = scopes(Some(Value::String(scope.to_owned())));
        Self { issuer: Some(issuer.to_owned()), subject: subject.map(str::to_owned), scopes, ..Self::default() }
    }

    #[must_use]
    pub fn covers(&self, match_id: &str) -> bool {
        self.matches.as_ref().is_none_or(|matches| matches.iter().any(|allowed| allowed == match_id))
    }

    /// The only matches that it covers; None: all.
    #[must_use]
    pub fn matches(&self) -> Option<&[String]> {
        self.matches.as_deref()
    }

    /// Whom the token is about (claim sub), if it says.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Who issued the token (claim iss), if it says.
    #[cfg(feature = "door")]
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Whether the token is for this too (claim scope).
    #[cfg(feature = "door")]
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|given| given == scope)
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
    #[serde(default)]
    sub: Option<Value>,
    #[serde(default)]
    iss: Option<Value>,
    #[serde(default)]
    scope: Option<Value>,
}

/// The claim `scope`: words with spaces between them (RFC 8693, section 4.2), or a list of words, as some issuers write it.
fn scopes(scope: Option<Value>) -> Vec<String> {
    match scope {
        Some(Value::String(text)) => text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The claim `sub` as text: a string (RFC 7519, section 4.1.2), or a number, as some issuers write the number of a user.
fn subject(sub: Option<Value>) -> Option<String> {
    match sub {
        Some(Value::String(text)) => Some(text),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    }
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
    /// [`Error::Config`] where one is missing or of the wrong kind.
    pub fn new(config: &Config) -> Result<Self> {
        let keys = match config.auth {
            Auth::Off if config.jwt_key.is_some() || config.jwt_key_file.is_some() || config.jwt_jwks_file.is_some() => {
                let reason = "AUTH is off, so no token is looked at, and the key has no use: set AUTH=required or AUTH=optional";
                return Err(Error::Config(reason.into()));
            }
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
    /// [`Error::Config`] where one is missing or of the wrong kind: then the keys stay as they were.
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
        let Claims { exp, matches, sub, iss, scope } = claims.claims;
        let matches = match matches {
            Matches::Listed(matches) => Some(matches),
            Matches::Unsaid if self.config.jwt_require_matches => Some(Vec::new()),
            Matches::Unsaid => None,
        };
        let issuer = iss.and_then(|iss| iss.as_str().map(str::to_owned));
        Ok(Access { matches, expires: Some(exp), subject: subject(sub), issuer, scopes: scopes(scope) })
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const FAR: u64 = 4_102_444_800;

    fn made(settings: &[&str]) -> Result<Checker> {
        let always = ["relay", "--database-url=postgres://h/db"];
        Checker::new(&Config::try_parse_from(always.iter().chain(settings)).expect("settings"))
    }

    fn checker(settings: &[&str]) -> Checker {
        made(&[&["--jwt-key", SECRET], settings].concat()).expect("a key")
    }

    fn signed(claims: &Value, secret: &str) -> String {
        encode(&Header::default(), claims, &EncodingKey::from_secret(secret.as_bytes())).expect("signed")
    }

    fn token(claims: &Value) -> String {
        signed(claims, SECRET)
    }

    #[cfg(feature = "door")]
    #[test]
    fn other_tests_have_the_access_that_they_ask_for() {
        let access = Access::of("shop", Some("ann"), "vote other");
        assert_eq!((access.issuer(), access.subject()), (Some("shop"), Some("ann")));
        assert!(access.has_scope("vote") && access.has_scope("other") && !access.has_scope("vote:any"));
    }

    #[test]
    fn a_token_is_asked_for_where_the_settings_say_so() {
        let off = made(&["--auth=off"]).expect("no key is wanted");
        for key in [["--jwt-key", SECRET], ["--jwt-key-file", "/nowhere"], ["--jwt-jwks-file", "/nowhere"]] {
            let refused = made(&key).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(refused.starts_with("AUTH is off"), "{refused}");
        }
        assert!(made(&["--auth=required", "--jwt-algorithm=HS256", "--jwt-key", SECRET]).is_ok(), "as RFC 7518 spells it");
        assert!(!off.is_on() && off.reload().is_ok());
        assert_eq!((off.check(None), off.check(Some("no token"))), (Ok(Access::default()), Ok(Access::default())));
        let optional = checker(&["--auth=optional"]);
        assert_eq!((optional.check(None), optional.check(Some(""))), (Ok(Access::default()), Ok(Access::default())));
        assert_eq!(optional.check(Some("no token")), Err("token_invalid"));
        let required = checker(&["--auth=required"]);
        assert!(required.is_on());
        assert_eq!((required.check(None), required.check(Some(""))), (Err("token_missing"), Err("token_missing")));
        assert!(required.check(Some(&token(&json!({"exp": FAR})))).is_ok());
    }

    #[test]
    fn a_refusal_names_its_reason() {
        let checker = checker(&["--auth=required", "--jwt-issuer=us", "--jwt-audience=relay"]);
        let check = |claims: &Value| checker.check(Some(&token(claims))).map(|_| ());
        assert_eq!(check(&json!({"exp": FAR, "iss": "us", "aud": "relay"})), Ok(()));
        for (claims, reason) in [
            (json!({"exp": 1, "iss": "us", "aud": "relay"}), "token_expired"),
            (json!({"exp": FAR, "nbf": FAR, "iss": "us", "aud": "relay"}), "token_not_yet_valid"),
            (json!({"exp": FAR, "iss": "them", "aud": "relay"}), "token_issuer"),
            (json!({"exp": FAR, "iss": "us", "aud": "other"}), "token_audience"),
            (json!({"exp": FAR, "aud": "relay"}), "token_invalid"),
            (json!({"exp": FAR, "iss": "us"}), "token_invalid"),
            (json!({"iss": "us", "aud": "relay"}), "token_invalid"),
        ] {
            assert_eq!(check(&claims), Err(reason), "{claims}");
        }
        let of_another = signed(&json!({"exp": FAR, "iss": "us", "aud": "relay"}), &SECRET.replace('0', "1"));
        assert_eq!(checker.check(Some(&of_another)), Err("token_invalid"));
    }

    #[test]
    fn a_token_has_a_length() {
        let checker = checker(&["--auth=required"]);
        let of_length = |bytes: usize| {
            let mut tokens = (6_000..6_100).map(|n| token(&json!({"exp": FAR, "x": "x".repeat(n)})));
            tokens.find(|token| token.len() == bytes).expect("a token of that length")
        };
        assert!(checker.check(Some(&of_length(MAX_BYTES))).is_ok());
        assert_eq!(checker.check(Some(&of_length(MAX_BYTES + 1))), Err("token_invalid"));
    }

    #[test]
    fn a_token_covers_the_matches_that_it_lists() {
        let (all, listed) = (checker(&["--auth=required"]), checker(&["--auth=required", "--jwt-require-matches"]));
        let access = |checker: &Checker, claims: &Value| checker.check(Some(&token(claims))).expect("sound");
        let two = access(&all, &json!({"exp": FAR, "matches": ["a", "b"]}));
        assert_eq!(two.matches(), Some(&["a".to_owned(), "b".to_owned()][..]));
        assert!(two.covers("a") && two.covers("b") && !two.covers("c"));
        let unsaid = access(&all, &json!({"exp": FAR}));
        assert!(unsaid.matches().is_none() && unsaid.covers("c"));
        for none in [access(&all, &json!({"exp": FAR, "matches": null})), access(&listed, &json!({"exp": FAR}))] {
            assert!(none.matches() == Some(&[]) && !none.covers("a"));
        }
    }

    #[test]
    fn a_token_is_about_a_subject_named_or_numbered() {
        let checker = checker(&["--auth=required"]);
        let access = |claims: Value| checker.check(Some(&token(&claims))).expect("sound");
        assert_eq!(access(json!({"exp": FAR, "sub": "ann"})).subject(), Some("ann"));
        assert_eq!(access(json!({"exp": FAR})).subject(), None);
        let claims = [json!("ann"), json!(7), json!(["ann"]), json!(null)].map(|sub| subject(Some(sub)));
        assert_eq!(claims, [Some("ann".to_owned()), Some("7".to_owned()), None, None]);
    }

    /// The key pair of RFC 8032 (section 7.1, test 1), whose public key is that of RFC 8037 (A.2).
    #[test]
    fn a_token_is_checked_by_the_algorithm_of_its_key() {
        // PKCS #8 (RFC 8410, section 7) around the 32 bytes of the secret key.
        let hex = "302e020100300506032b6570042204209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let pairs = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"));
        let secret = EncodingKey::from_ed_der(&pairs.collect::<Vec<_>>());
        let public = json!({"kty": "OKP", "kid": "d", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let path = std::env::temp_dir().join(format!("vote-agg-jwks-{}", std::process::id()));
        std::fs::write(&path, json!({"keys": [public]}).to_string()).expect("written");
        let file = format!("--jwt-jwks-file={}", path.display());
        let config = Config::try_parse_from(["relay", "--database-url=postgres://h/db", "--auth=required", &file]);
        let checker = Checker::new(&config.expect("settings")).expect("a key");
        std::fs::remove_file(&path).expect("removed");
        let head = Header { kid: Some("d".into()), ..Header::new(jsonwebtoken::Algorithm::EdDSA) };
        let signed = encode(&head, &json!({"exp": FAR}), &secret).expect("signed");
        assert!(checker.check(Some(&signed)).is_ok());
        assert_eq!(checker.check(Some(&token(&json!({"exp": FAR})))), Err("token_invalid"), "of another algorithm");
    }

    #[test]
    fn access_lasts_as_long_as_the_token_says() {
        let checker = checker(&["--auth=required"]);
        let remaining = |exp: Value| checker.check(Some(&token(&json!({"exp": exp})))).expect("sound").remaining();
        assert_eq!(Access::default().remaining(), None);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let day = Duration::from_secs(86_400);
        assert!(remaining(json!(now + 86_400)).is_some_and(|left| left <= day && left > day / 2));
        assert_eq!(Access { expires: Some(now as f64 - 1.0), ..Access::default() }.remaining(), Some(Duration::ZERO));
        assert_eq!(Access { expires: Some(1e300), ..Access::default() }.remaining(), Some(Duration::MAX));
    }

    #[cfg(feature = "door")]
    #[test]
    fn a_token_says_what_it_is_for() {
        let checker = checker(&["--auth=required"]);
        let access = |claims: Value| checker.check(Some(&token(&claims))).expect("sound");
        for scope in [json!("watch vote"), json!(["watch", "vote"])] {
            let both = access(json!({"exp": FAR, "iss": "us", "scope": scope}));
            assert!(both.has_scope("vote") && both.has_scope("watch") && !both.has_scope("vote:any") && !both.has_scope(""));
            assert_eq!(both.issuer(), Some("us"));
        }
        for scope in [json!(null), json!(""), json!("Vote voted vote:any"), json!(["vote watch"]), json!({"vote": 1}), json!(1)] {
            assert!(!access(json!({"exp": FAR, "scope": scope})).has_scope("vote"), "{scope}");
        }
        assert_eq!(access(json!({"exp": FAR})).issuer(), None);
    }

    #[test]
    fn keys_are_read_again() {
        let path = std::env::temp_dir().join(format!("vote-agg-key-{}", std::process::id()));
        std::fs::write(&path, format!("{SECRET}\n")).expect("written");
        let settings = ["relay", "--database-url=postgres://h/db", "--auth=required", "--jwt-key-file"];
        let config = Config::try_parse_from(settings.map(str::to_owned).into_iter().chain([path.display().to_string()]));
        let checker = Checker::new(&config.expect("settings")).expect("a key");
        let renewed = SECRET.replace('0', "1");
        let (old, new) = (token(&json!({"exp": FAR})), signed(&json!({"exp": FAR}), &renewed));
        assert!(checker.check(Some(&old)).is_ok() && checker.check(Some(&new)).is_err());
        std::fs::write(&path, renewed).expect("written");
        assert!(checker.check(Some(&old)).is_ok() && checker.reload().is_ok());
        assert!(checker.check(Some(&old)).is_err() && checker.check(Some(&new)).is_ok());
        std::fs::remove_file(&path).expect("removed");
        assert!(checker.reload().is_err() && checker.check(Some(&new)).is_ok(), "the keys stay as they were");
    }

    #[test]
    fn a_bearer_is_named_so() {
        assert_eq!((bearer("Bearer t"), bearer("bearer  t ")), (Some("t"), Some("t")));
        assert_eq!((bearer("Basic t"), bearer("Bearer"), bearer("")), (None, None, None));
    }
}
