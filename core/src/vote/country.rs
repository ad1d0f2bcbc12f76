//! Countries: ISO 3166-1 alpha-2, with XK (Kosovo, user-assigned) and ZZ (unknown) allowed.

use crate::Error;
use std::fmt;
use std::sync::LazyLock;

/// ISO 3166-1 alpha-2 as of 2026 (249 officially assigned codes), XK and ZZ; sorted, one space apart.
const CODES: &str = "\
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ \
    BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR \
    CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR \
    GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU \
    ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ \
    LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ \
    MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF \
    PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI \
    SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR \
    TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW \
    ZZ";

/// A known country's two upper-case letters.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Country([u8; 2]);

impl Country {
    /// Parses a code in either case.
    ///
    /// # Errors
    /// [`Error::Country`] when it is not in the list.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let known = match bytes {
            &[a, b] => {
                let code = [a.to_ascii_uppercase(), b.to_ascii_uppercase()];
                is_known(code).then_some(Self(code))
            }
            _ => None,
        };
        known.ok_or_else(|| Error::Country { value: String::from_utf8_lossy(bytes).into_owned() })
    }

    /// The two letters as one number, never 0.
    #[must_use]
    pub fn number(self) -> u16 {
        u16::from_be_bytes(self.0)
    }

    /// The code, such as `FR`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII letters pass `parse`.
        std::str::from_utf8(&self.0).unwrap_or("ZZ")
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// 26 × 26 bits: one look-up a vote.
static KNOWN: LazyLock<[u32; 26]> = LazyLock::new(|| {
    let mut known = [0; 26];
    for code in CODES.split(' ').map(str::as_bytes) {
        known[usize::from(code[0] - b'A')] |= 1 << (code[1] - b'A');
    }
    known
});

fn is_known(code: [u8; 2]) -> bool {
    code.iter().all(u8::is_ascii_uppercase) && KNOWN[usize::from(code[0] - b'A')] & (1 << (code[1] - b'A')) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_list_and_nothing_else() {
        let mut known = 0;
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                let listed = CODES.split(' ').any(|c| c.as_bytes() == [a.to_ascii_uppercase(), b.to_ascii_uppercase()]);
                assert_eq!(Country::parse(&[a, b]).is_ok(), listed, "{a} {b}");
                known += usize::from(listed && a.is_ascii_uppercase() && b.is_ascii_uppercase());
            }
        }
        assert_eq!(known, 251);
        assert!(CODES.split(' ').is_sorted());
    }

    #[test]
    fn gives_upper_case() {
        let france = Country::parse(b"fr").expect("France");
        assert_eq!((france.to_string().as_str(), france.number()), ("FR", 0x4652), "F and R in ASCII");
        for bad in ["", "F", "FRA", "UK", "EU", "  ", "é"] {
            assert_eq!(Country::parse(bad.as_bytes()), Err(Error::Country { value: bad.into() }));
        }
    }
}
