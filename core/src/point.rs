//! Points on the globe: the cell that a latitude and a longitude lie in.

use crate::Error;
use h3o::{CellIndex, LatLng, Resolution};

/// The cell of `resolution` at a point given in degrees: latitude −90 to 90, longitude −180 to 180.
///
/// # Errors
/// [`Error::Degrees`] outside these ranges, NaN among them.
pub fn cell_at(latitude: f64, longitude: f64, resolution: Resolution) -> Result<CellIndex, Error> {
    for (what, value, limit) in [("latitude", latitude, 90u8), ("longitude", longitude, 180)] {
        if value.is_nan() || value.abs() > f64::from(limit) {
            return Err(Error::Degrees { what, value: value.to_string(), limit });
        }
    }
    let refuse = |_| Error::Degrees { what: "latitude", value: latitude.to_string(), limit: 90 };
    LatLng::new(latitude, longitude).map(|point| point.to_cell(resolution)).map_err(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_cell_of_a_place() {
        let at = |latitude, longitude| cell_at(latitude, longitude, Resolution::Seven).map(|cell| cell.to_string());
        assert_eq!(at(40.7128, -74.006).as_deref(), Ok("872a1072cffffff"));
        // The poles, and both names of the antimeridian.
        assert!(at(90.0, 0.0).is_ok() && at(-90.0, 0.0).is_ok());
        assert_eq!(at(0.0, 180.0), at(0.0, -180.0));
    }

    #[test]
    fn refuses_what_is_not_on_the_globe() {
        for (latitude, longitude, what) in [
            (90.1, 0.0, "latitude"),
            (f64::NAN, 0.0, "latitude"),
            (f64::INFINITY, 0.0, "latitude"),
            (0.0, -180.5, "longitude"),
            (0.0, f64::NAN, "longitude"),
        ] {
            let refusal = cell_at(latitude, longitude, Resolution::Zero);
            assert!(matches!(refusal, Err(Error::Degrees { what: found, .. }) if found == what), "{latitude} {longitude}");
        }
    }
}
