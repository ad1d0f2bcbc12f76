//! The database's address, as people write it.

use crate::config::Config;
use crate::error::{Error, Result};
use std::path::PathBuf;
use url::form_urlencoded::byte_serialize;

/// The address, and the file of certificates that its `sslrootcert` names.
///
/// # Errors
/// [`Error::Config`] for an address that makes no sense, or a file that can't be read.
pub fn parse(config: &Config) -> Result<(tokio_postgres::Config, Option<PathBuf>)> {
    let (setting, written) = match (&config.database_url, &config.database_url_file) {
        (Some(written), _) => ("DATABASE_URL", written.clone()),
        (None, Some(path)) => {
            let refuse = |e| Error::Config(format!("DATABASE_URL_FILE: {}: {e}", path.display()));
            ("DATABASE_URL_FILE", std::fs::read_to_string(path).map_err(refuse)?.trim().to_owned())
        }
        (None, None) => return Err(Error::Config("the relay needs DATABASE_URL or DATABASE_URL_FILE".into())),
    };
    let (address, ca) = without_ca(&written);
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
}
