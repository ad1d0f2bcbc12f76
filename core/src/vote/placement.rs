//! Which of many shards has a voter's ballot.
//!
//! The numbers of this file are written down for good: with other ones a voter would have a second ballot, on another shard. They
//! are ours, because a hash of the server may change with its version.

use crate::Error;

/// The most shards of a match.
pub const MAX_SHARDS: u32 = 1_024;

/// FNV-1a of 64 bits, then the finalizer of MurmurHash3: names that differ in their last digit spread as others do.
fn hash(bytes: &[u8]) -> u64 {
    let folded =
        bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (folded ^ (folded >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

/// Checks a number of shards: 1 to [`MAX_SHARDS`].
///
/// # Errors
/// [`Error::Range`] outside that range.
pub fn parse_shards(value: i64) -> Result<u32, Error> {
    let shards = u32::try_from(value).ok().filter(|shards| (1..=MAX_SHARDS).contains(shards));
    shards.ok_or_else(|| Error::Range { what: "shards", value: value.to_string(), range: "1 to 1024" })
}

/// The shard, from 0, that has the ballots of a voter among `shards`, which is not 0.
#[must_use]
pub fn shard_of(name: &[u8], shards: u32) -> u32 {
    // Below 2^32, as `shards` is.
    u32::try_from(hash(name) % u64::from(shards.max(1))).unwrap_or(0)
}

/// A shard's place among those that a match was opened on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// From 0. One past the last takes no ballot: it came when the match was open already.
    pub shard: u32,
    /// How many shards have ballots of the match.
    pub shards: u32,
}

impl Place {
    /// Checks a place.
    ///
    /// # Errors
    /// [`Error::Range`] for a shard from [`MAX_SHARDS`] on or below 0, and as [`parse_shards`].
    pub fn parse(shard: i64, shards: i64) -> Result<Self, Error> {
        let shards = parse_shards(shards)?;
        let known = u32::try_from(shard).ok().filter(|shard| *shard < MAX_SHARDS);
        let shard = known.ok_or_else(|| Error::Range { what: "shard", value: shard.to_string(), range: "0 to 1023" })?;
        Ok(Self { shard, shards })
    }

    /// Is this the shard of a voter?
    #[must_use]
    pub fn has(self, voter_id: &str) -> bool {
        shard_of(voter_id.as_bytes(), self.shards) == self.shard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written down when the first match was placed. They never change.
    #[test]
    fn a_voter_stays_where_it_is() {
        for (name, hashed) in [
            ("", 0xefd0_1f60_ba99_2926_u64),
            ("a", 0x82a2_a958_a9be_ce5b),
            ("voter 1", 0x45ce_3339_da45_0195),
            ("voter 2", 0x93ab_4669_686b_1453),
            ("Zoë", 0x3f8a_1b87_41a8_d7b9),
        ] {
            assert_eq!(hash(name.as_bytes()), hashed, "{name:?}");
        }
    }

    #[test]
    fn shards_are_from_1_to_1024() {
        for bad in [i64::MIN, -1, 0, 1_025, i64::from(u32::MAX) + 2] {
            let error = Error::Range { what: "shards", value: bad.to_string(), range: "1 to 1024" };
            assert_eq!(parse_shards(bad), Err(error));
        }
        assert_eq!((parse_shards(1), parse_shards(1_024)), (Ok(1), Ok(1_024)));
        for bad in [-1, 1_024] {
            let error = Error::Range { what: "shard", value: bad.to_string(), range: "0 to 1023" };
            assert_eq!(Place::parse(bad, 2), Err(error));
        }
        assert_eq!(Place::parse(1_023, 1_024), Ok(Place { shard: 1_023, shards: 1_024 }));
        assert!(Place::parse(0, 0).is_err());
    }

    #[test]
    fn each_voter_has_one_shard_and_shards_have_as_many_voters() {
        for shards in [1, 2, 3, 7, 64] {
            let mut voters = vec![0u32; shards as usize];
            for n in 0..20_000 {
                let name = format!("voter {n}");
                let own: Vec<u32> = (0..shards).filter(|shard| Place { shard: *shard, shards }.has(&name)).collect();
                assert_eq!(own, [shard_of(name.as_bytes(), shards)]);
                voters[own[0] as usize] += 1;
            }
            let fair = 20_000 / shards;
            // Six standard deviations of a fair share.
            let far = 6.0 * f64::from(fair).sqrt();
            assert!(voters.iter().all(|n| (f64::from(*n) - f64::from(fair)).abs() <= far), "{shards}: {voters:?}");
        }
    }

    #[test]
    fn a_shard_that_came_later_has_no_voter() {
        let late = Place { shard: 2, shards: 2 };
        assert!((0..1_000).all(|n| !late.has(&format!("voter {n}"))));
    }
}
