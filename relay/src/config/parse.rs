//! The values of settings, read from their text.

use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

/// An address or a network.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(|ip| IpNet::from(ip.to_canonical())));
    net.map_err(|_| "give an address such as 10.0.0.1 or a network such as 10.0.0.0/8".to_owned())
}

/// A path, without its last slash.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn path_prefix(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
    let is_sound = path.is_empty() || path.starts_with('/') && path.chars().all(is_plain) && !path.contains("//");
    if is_sound { Ok(path.to_owned()) } else { Err("give a path such as /live, of letters, digits and - _ . ~".to_owned()) }
}

/// A page that may show the live map in a frame, as it stands in a Content-Security-Policy.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn frame_ancestor(text: &str) -> Result<String, String> {
    match text.trim() {
        "*" => Ok("*".to_owned()),
        word @ ("self" | "none") => Ok(format!("'{word}'")),
        origin => {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]*".contains(c);
            let is_origin = origin.split_once("://").is_some_and(|(scheme, host)| {
                scheme.chars().all(|c| c.is_ascii_alphanumeric())
                    && !scheme.is_empty()
                    && !host.is_empty()
                    && host.chars().all(is_plain)
            });
            let refusal = "give an origin such as https://example.org or https://*.example.org, self, none or *";
            if is_origin { Ok(origin.to_owned()) } else { Err(refusal.to_owned()) }
        }
    }
}

/// A time that a setting says.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "give a number of seconds".to_owned())?;
    if !(0.001..=86_400.0).contains(&seconds) {
        return Err("give 0.001 to 86400 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}
