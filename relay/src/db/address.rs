//! The database's address, as people write it.

use crate::db::tls::connector;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_postgres::config::Host;
use tokio_postgres_rustls::MakeRustlsConnect;
use url::form_urlencoded::byte_serialize;

/// Reads an address from its setting, or from the file that another setting names.
///
/// # Errors
/// [`Error::Config`] for a file that can't be read.
pub fn written(setting: &str, given: Option<&String>, file: Option<&PathBuf>) -> Result<Option<String>> {
    match (given, file) {
        (Some(written), _) => Ok(Some(written.clone())),
        (None, Some(path)) => {
            let refuse = |e| Error::Config(format!("{setting}_FILE: {}: {e}", path.display()));
            Ok(Some(std::fs::read_to_string(path).map_err(refuse)?.trim().to_owned()))
        }
        (None, None) => Ok(None),
    }
}

/// The address, and how to connect there: with its `sslrootcert`, the certificates of `ca`, or the system's.
///
/// # Errors
/// [`Error::Config`] for an address or a file of certificates that makes no sense.
pub fn reach(setting: &str, written: &str, name: &str, ca: Option<&Path>) -> Result<(tokio_postgres::Config, MakeRustlsConnect)> {
    let (mut postgres, own_ca) = parse(setting, written)?;
    if postgres.get_application_name().is_none() {
        postgres.application_name(name);
    }
    if postgres.get_connect_timeout().is_none() {
        postgres.connect_timeout(Duration::from_secs(5));
    }
    // A peer that is gone without a word is noticed by the system too, below our own patience.
    postgres.keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
    postgres.tcp_user_timeout(Duration::from_secs(20));
    Ok((postgres, connector(ca.or(own_ca.as_deref()))?))
}

/// An address without its password, for logs: `host:port/database`.
#[must_use]
pub fn shown(address: &tokio_postgres::Config) -> String {
    let port = |i: usize| *address.get_ports().get(i).or_else(|| address.get_ports().first()).unwrap_or(&5432);
    let host = |(i, host): (usize, &Host)| match host {
        Host::Tcp(name) => format!("{name}:{}", port(i)),
        Host::Unix(folder) => format!("{}:{}", folder.display(), port(i)),
    };
    let hosts: Vec<String> = address.get_hosts().iter().enumerate().map(host).collect();
    format!("{}/{}", hosts.join(","), address.get_dbname().or_else(|| address.get_user()).unwrap_or_default())
}

fn parse(setting: &str, written: &str) -> Result<(tokio_postgres::Config, Option<PathBuf>)> {
    let (address, ca) = without_ca(written);
    // Where there is TLS, certificates and names are verified always, so the stricter modes of libpq are no others here.
    let address = address.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require");
    let address = address.parse().map_err(|e| Error::Config(format!("{setting}: {}", why(&e))))?;
    Ok((address, ca))
}

/// Takes `sslrootcert` out: libpq knows it, the driver does not. `system` stands for the system's certificates, as in libpq.
fn without_ca(written: &str) -> (String, Option<PathBuf>) {
    let file = |value: &str| (value != "system").then(|| PathBuf::from(value));
    let Some((base, query)) = written.split_once('?').filter(|(base, _)| base.contains("://")) else {
        let is_word = |at: &usize| written[..*at].chars().last().is_none_or(char::is_whitespace);
        let Some(start) = written.find("sslrootcert=").filter(is_word) else { return (written.to_owned(), None) };
        let rest = &written[start + "sslrootcert=".len()..];
        let quoted = rest.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
        let (value, after) = quoted.unwrap_or_else(|| rest.split_once(char::is_whitespace).unwrap_or((rest, "")));
        return (format!("{}{after}", &written[..start]), file(value));
    };
    let (ours, others): (Vec<_>, Vec<_>) =
        url::form_urlencoded::parse(query.as_bytes()).partition(|(name, _)| name == "sslrootcert");
    let Some((_, ours)) = ours.last() else { return (written.to_owned(), None) };
    let escape = |text: &str| byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
    let others: Vec<String> = others.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    let query = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
    (format!("{base}{query}"), file(ours))
}

fn why(e: &tokio_postgres::Error) -> String {
    std::error::Error::source(e).map_or_else(|| e.to_string(), |source| format!("{e}: {source}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (written, expected) in [
            ("postgres://u:secret@h/db", "h:5432/db"),
            ("postgres://u:secret@h:5433", "h:5433/u"),
            ("postgres://u@a:1,b:2/db", "a:1,b:2/db"),
            ("host=/run/postgresql port=5433 user=u password=secret", "/run/postgresql:5433/u"),
        ] {
            assert_eq!(shown(&parse("DATABASE_URL", written).expect("an address").0), expected);
        }
    }

    #[test]
    fn the_certificates_of_an_address_are_taken_out() {
        let cases = [
            ("postgres://u:p%3F@h/db", "postgres://u:p%3F@h/db", None),
            (
                "postgres://u@h/db?sslmode=require&sslrootcert=%2Fetc%2Fca.pem",
                "postgres://u@h/db?sslmode=require",
                Some("/etc/ca.pem"),
            ),
            ("postgres://u@h/db?sslrootcert=/etc/ca.pem", "postgres://u@h/db", Some("/etc/ca.pem")),
            ("postgres://u@h/db?sslrootcert=system&options=-c%20a%3Db", "postgres://u@h/db?options=-c%20a%3Db", None),
            ("host=h sslrootcert='/etc/my ca.pem' password='a  b'", "host=h  password='a  b'", Some("/etc/my ca.pem")),
            ("host=h sslrootcert=/etc/ca.pem dbname=db", "host=h dbname=db", Some("/etc/ca.pem")),
            ("host=h sslrootcert=/etc/ca.pem", "host=h ", Some("/etc/ca.pem")),
            ("host=h  dbname=db", "host=h  dbname=db", None),
        ];
        for (written, address, ca) in cases {
            assert_eq!(without_ca(written), (address.to_owned(), ca.map(PathBuf::from)), "{written}");
        }
    }

    #[test]
    fn an_address_is_read_from_a_setting_or_a_file() {
        let parse = |settings: &[&str]| {
            let config = crate::config::Config::try_parse_from(["relay"].iter().chain(settings)).expect("settings");
            let written = written("DATABASE_URL", config.database_url.as_ref(), config.database_url_file.as_ref());
            let written = written.map(|written| written.expect("required"));
            written.and_then(|written| super::parse("DATABASE_URL", &written)).map_err(|error| error.to_string())
        };
        let (address, ca) = parse(&["--database-url=host=h user=u sslmode=verify-full sslrootcert=/ca.pem"]).expect("sound");
        assert_eq!((address.get_user(), address.get_ssl_mode()), (Some("u"), tokio_postgres::config::SslMode::Require));
        assert_eq!(ca, Some(PathBuf::from("/ca.pem")));
        let refused = |settings: &[&str]| parse(settings).expect_err("refused");
        let port = refused(&["--database-url=host=h port=x"]);
        assert!(port.starts_with("DATABASE_URL: ") && port.contains("port"), "{port}");
        assert!(refused(&["--database-url-file=/nowhere/url"]).starts_with("DATABASE_URL_FILE: /nowhere/url: "));
        let path = std::env::temp_dir().join(format!("vote-agg-url-{}", std::process::id()));
        std::fs::write(&path, "postgres://u@h/db\n").expect("written");
        let (address, ca) = parse(&[&format!("--database-url-file={}", path.display())]).expect("sound");
        assert_eq!((address.get_user(), address.get_dbname(), ca), (Some("u"), Some("db"), None));
        std::fs::remove_file(&path).expect("removed");
    }
}
