//! Names: `match_id`, `team_choice`, `voter_id`.

use crate::Error;

/// The longest name, in bytes of UTF-8.
pub const MAX_BYTES: usize = 200;

/// Checks a name: 1 to 200 bytes of UTF-8 without control characters (Unicode category Cc).
///
/// The bytes are validated here because a database may hold invalid text from before its encoding was checked.
///
/// # Errors
/// [`Error::Null`], [`Error::EmptyName`], [`Error::LongName`] or [`Error::UnprintableName`], naming `what`.
pub fn parse_name<'a>(what: &'static str, bytes: Option<&'a [u8]>) -> Result<&'a str, Error> {
    let bytes = bytes.ok_or(Error::Null { what })?;
    if bytes.is_empty() {
        return Err(Error::EmptyName { what });
    }
    if bytes.len() > MAX_BYTES {
        return Err(Error::LongName { what, bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|e| Error::UnprintableName { what, at: e.valid_up_to() + 1 })?;
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(Error::UnprintableName { what, at: at + 1 }),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_people_write() {
        for name in ["final", "a", "Côte d'Ivoire – Éire", "\"quoted\"; --", &"x".repeat(200)] {
            assert_eq!(parse_name("match_id", Some(name.as_bytes())), Ok(name));
        }
    }

    #[test]
    fn refuses_the_rest() {
        assert_eq!(parse_name("match_id", None), Err(Error::Null { what: "match_id" }));
        assert_eq!(parse_name("match_id", Some(b"")), Err(Error::EmptyName { what: "match_id" }));
        assert_eq!(parse_name("m", Some(&[b'x'; 201])), Err(Error::LongName { what: "m", bytes: 201 }));
        assert_eq!(parse_name("m", Some(b"a\nb")), Err(Error::UnprintableName { what: "m", at: 2 }));
        assert_eq!(parse_name("m", Some(b"a\xffb")), Err(Error::UnprintableName { what: "m", at: 2 }));
        assert_eq!(parse_name("m", Some("\u{85}".as_bytes())), Err(Error::UnprintableName { what: "m", at: 1 }));
    }
}
