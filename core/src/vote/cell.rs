//! H3 cells: parsed at the edge, so that inside there is only [`CellIndex`].

use crate::Error;
use h3o::{CellIndex, Resolution};

/// Parses a cell from its usual text, 15 hexadecimal digits in either case.
///
/// # Errors
/// [`Error::Cell`] when the text is no number in base 16 or the number is no valid cell.
pub fn parse_cell(bytes: &[u8]) -> Result<CellIndex, Error> {
    let refuse = |reason: String| Error::Cell { value: String::from_utf8_lossy(bytes).into_owned(), reason };
    // Not `CellIndex::from_str`: it also takes a sign and any length, so "+872…" would be two names of one cell.
    if bytes.is_empty() || bytes.len() > 16 || !bytes.iter().all(u8::is_ascii_hexdigit) {
        return Err(refuse("It is not a hexadecimal number of at most 16 digits.".into()));
    }
    let bits = bytes.iter().fold(0u64, |bits, digit| {
        bits * 16 + u64::from(if digit.is_ascii_digit() { digit - b'0' } else { (digit | 0x20) - b'a' + 10 })
    });
    CellIndex::try_from(bits).map_err(|e| refuse(reason(&e)))
}

/// Parses a cell from its 64 bits, as PostgreSQL's signed bigint carries them.
///
/// # Errors
/// [`Error::Cell`] when the bits are no valid cell.
pub fn cell_from_bits(bits: i64) -> Result<CellIndex, Error> {
    CellIndex::try_from(bits.cast_unsigned()).map_err(|e| Error::Cell { value: bits.to_string(), reason: reason(&e) })
}

/// What h3o has against a number, without the number.
fn reason(error: &h3o::error::InvalidCellIndex) -> String {
    let text = error.to_string();
    format!("The H3 library found: {}.", text.rsplit(": ").next().unwrap_or(&text))
}

/// The cell's 64 bits as a signed number. Never negative: an H3 cell's top bit is 0.
#[must_use]
pub fn cell_to_bits(cell: CellIndex) -> i64 {
    u64::from(cell).cast_signed()
}

/// Checks a resolution: 0 to 15.
///
/// # Errors
/// [`Error::Resolution`] outside that range.
pub fn parse_resolution(value: i64) -> Result<Resolution, Error> {
    u8::try_from(value).ok().and_then(|r| Resolution::try_from(r).ok()).ok_or(Error::Resolution { value })
}

/// The cell coarsened to `resolution`.
///
/// # Errors
/// [`Error::FinerResolution`] when the cell is coarser than that.
pub fn coarsen(cell: CellIndex, resolution: Resolution) -> Result<CellIndex, Error> {
    cell.parent(resolution).ok_or_else(|| Error::FinerResolution {
        cell: cell.to_string(),
        own: u8::from(cell.resolution()),
        asked: u8::from(resolution),
    })
}

/// The cell rolled up to `resolution`; a cell coarser than that stays as it is, so that sums stay the same.
#[must_use]
pub fn roll_up(cell: CellIndex, resolution: Resolution) -> CellIndex {
    cell.parent(resolution).unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_cases_and_every_resolution() {
        let cell = parse_cell(b"872a1072bffffff").expect("a cell of New York");
        assert_eq!(parse_cell(b"872A1072BFFFFFF"), Ok(cell));
        assert_eq!(parse_cell(b"0872a1072bffffff"), Ok(cell));
        assert_eq!(cell_from_bits(cell_to_bits(cell)), Ok(cell));
        for base in CellIndex::base_cells() {
            let mut cell = base;
            for resolution in 0..=15 {
                let resolution = parse_resolution(resolution).expect("0 to 15");
                cell = cell.center_child(resolution).expect("finer");
                assert_eq!(parse_cell(cell.to_string().as_bytes()), Ok(cell));
                assert_eq!(coarsen(cell, Resolution::Zero), Ok(base));
            }
        }
    }

    #[test]
    fn refuses_what_is_no_cell() {
        for bad in
            ["", "x", "+872a1072bffffff", " 872a1072bffffff", "872a1072bfffffff0", "0", "ffffffffffffffff", "872a1072bffff0f"]
        {
            assert!(matches!(parse_cell(bad.as_bytes()), Err(Error::Cell { .. })), "{bad:?}");
        }
        for bad in ["", "x", "-872a1072bffffff", "00872a1072bffffff"] {
            let reason = "It is not a hexadecimal number of at most 16 digits.".to_owned();
            assert_eq!(parse_cell(bad.as_bytes()), Err(Error::Cell { value: bad.into(), reason }));
        }
        let reason = "The H3 library found: invalid index mode.".to_owned();
        assert_eq!(cell_from_bits(0), Err(Error::Cell { value: "0".into(), reason }));
        assert!(cell_from_bits(-1).is_err());
        assert!(cell_from_bits(0).is_err());
        assert_eq!(parse_resolution(16), Err(Error::Resolution { value: 16 }));
        assert_eq!(parse_resolution(-1), Err(Error::Resolution { value: -1 }));
    }

    #[test]
    fn coarsens_but_never_refines() {
        let cell = parse_cell(b"872a1072bffffff").expect("cell");
        assert_eq!(coarsen(cell, Resolution::Seven), Ok(cell));
        assert_eq!(u8::from(coarsen(cell, Resolution::Two).expect("coarser").resolution()), 2);
        assert!(matches!(coarsen(cell, Resolution::Eight), Err(Error::FinerResolution { own: 7, asked: 8, .. })));
        assert_eq!(roll_up(cell, Resolution::Eight), cell);
    }
}
