//! What a tally adds up to.

use super::*;
use crate::parse_cell;

fn vote(team: &str) -> Vote<'_> {
    Vote { team, cell: None, country: None, votes: 1, in_total: true, source: Source::CALL, at: 0 }
}

fn minutes(tally: &Tally) -> Vec<(i64, Counts)> {
    change::all_counts(tally.minute_changes())
}

fn country_minutes(tally: &Tally) -> Vec<((i64, Country), Counts)> {
    change::all_counts(tally.country_minute_changes())
}

#[test]
fn nothing_is_nothing() {
    let tally = Tally::default();
    assert!(tally.arrivals().sorted().is_empty() && tally.teams().is_empty() && minutes(&tally).is_empty());
    assert_eq!((tally.totals(), tally.first_at(), tally.last_at(), tally.first_minute()), (Ok(vec![]), None, None, None));
}

#[test]
fn every_grouping_sums_to_the_same() {
    let cell = parse_cell(b"872a1072bffffff").ok();
    let other = parse_cell(b"871fb4662ffffff").ok();
    let mut tally = Tally::new(vec!["away".into()]);
    for (team, cell, votes, at) in [("home", cell, 3, -1), ("away", cell, 2, 0), ("home", other, 5, MINUTE), ("home", cell, 1, 7)]
    {
        let country = Country::parse(b"fr").ok();
        tally.add(&Vote { cell, country, votes, at, ..vote(team) }).expect("small");
    }
    assert_eq!(tally.teams(), ["away", "home"]);
    assert_eq!(tally.totals(), Ok(vec![2, 9]));
    assert_eq!(
        tally.cells().map(|c| c.into_iter().map(|(_, counts)| counts).collect::<Vec<_>>()),
        Ok(vec![vec![0, 5], vec![2, 4]])
    );
    assert_eq!(tally.countries().map(|c| c[0].1.clone()), Ok(vec![2, 9]));
    assert_eq!(tally.totals_by(|a| a.cell), Ok(HashMap::from_iter([(cell, 6), (other, 5)].map(|(c, n)| (c.expect("cell"), n)))));
    assert_eq!(minutes(&tally), vec![(-MINUTE, vec![0, 3]), (0, vec![2, 1]), (MINUTE, vec![0, 5])]);
    assert_eq!(tally.first_minute(), Some(-MINUTE));
    let by_country: Vec<_> = country_minutes(&tally).into_iter().map(|((start, _), counts)| (start, counts)).collect();
    assert_eq!(by_country, minutes(&tally));
    assert_eq!((tally.first_at(), tally.last_at()), (Some(-1), Some(MINUTE)));
    assert_eq!(tally.arrivals().distinct(), 3);
}

#[test]
fn a_thousand_teams_take_no_room_where_they_have_no_votes() {
    let country = Country::parse(b"FR").ok();
    let cell = parse_cell(b"872a1072bffffff").ok();
    let mut tally = Tally::new((0..1_000).map(|n| format!("team {n}")).collect());
    for (team, at) in [("team 999", 0), ("team 63", 0), ("team 64", 0), ("team 999", MINUTE), ("team 999", 0)] {
        tally.add(&Vote { cell, country, at, ..vote(team) }).expect("small");
    }
    let (all, first, second) = (vec![(63, 1), (64, 1), (999, 3)], vec![(63, 1), (64, 1), (999, 2)], vec![(999, 1)]);
    assert_eq!(tally.cell_changes().map(|c| c[0].1.clone()), Ok(all.clone()));
    assert_eq!(tally.country_changes().map(|c| c[0].1.clone()), Ok(all.clone()));
    assert_eq!(tally.minute_changes(), [(0, first.clone()), (MINUTE, second.clone())]);
    assert_eq!(tally.country_minute_changes().into_iter().map(|(_, c)| c).collect::<Vec<_>>(), [first, second]);
    assert_eq!(tally.totals().map(|counts| change::of(&counts)), Ok(all));
}

#[test]
fn a_country_alone_is_not_in_the_total() {
    let mut tally = Tally::default();
    tally.add(&Vote { country: Country::parse(b"FR").ok(), in_total: false, ..vote("home") }).expect("small");
    assert_eq!(tally.totals(), Ok(vec![]));
    assert_eq!(tally.unplaced(), Ok(vec![]));
    tally.add(&vote("away")).expect("small");
    assert_eq!((tally.unplaced(), tally.totals()), (Ok(vec![0, 1]), Ok(vec![0, 1])));
    assert_eq!(tally.countries().map(|c| c[0].1.clone()), Ok(vec![1]));
    let of_countries = country_minutes(&tally);
    assert_eq!(of_countries.iter().map(|(_, counts)| counts.clone()).collect::<Vec<_>>(), [vec![1]]);
    assert_eq!((minutes(&tally), tally.last_at()), (vec![(0, vec![0, 1])], Some(0)));
}

#[test]
fn merging_sums_each_place_once() {
    assert_eq!(merged::<u8>(vec![]), Ok(vec![]));
    let places = vec![(2u8, vec![1]), (1, vec![0, 5]), (2, vec![3, 4]), (3, vec![0]), (1, vec![])];
    assert_eq!(merged(places), Ok(vec![(1, vec![0, 5]), (2, vec![4, 4])]));
    assert!(merged(vec![(1u8, vec![i64::MAX]), (1, vec![1])]).is_err());
}

#[test]
fn cells_of_all_resolutions_are_told_apart_and_in_order() {
    let cell = parse_cell(b"8f2a1072b59b0db").expect("cell");
    let mut tally = Tally::default();
    for round in 0..3 {
        for resolution in [15, 0, 7, 3, 14, 8] {
            let cell = crate::parse_resolution(resolution).ok().and_then(|r| cell.parent(r));
            tally.add(&Vote { cell, votes: round + 1, ..vote("home") }).expect("small");
        }
    }
    let cells = tally.cells().expect("small");
    assert!(cells.iter().map(|(cell, _)| u64::from(*cell)).is_sorted());
    assert_eq!(cells.iter().map(|(_, votes)| votes[0]).collect::<Vec<_>>(), [6; 6]);
    let doubled = merged(cells.iter().chain(&cells).cloned().collect()).expect("small");
    assert_eq!(doubled.iter().map(|(_, votes)| votes[0]).collect::<Vec<_>>(), [12; 6]);
}

#[test]
fn sources_are_told_apart() {
    let mut tally = Tally::default();
    for (votes, source) in [(3, Source::CALL), (1, Source::BALLOT), (-1, Source::BALLOT), (4, Source(2)), (2, Source::CALL)] {
        tally.add(&Vote { votes, source, ..vote("home") }).expect("small");
    }
    let sources: Vec<_> = tally.sources().iter().map(|(source, votes)| (source.0, *votes)).collect();
    assert_eq!((sources, tally.totals()), (vec![(0, 5), (1, 0), (2, 4)], Ok(vec![9])));
}

#[test]
fn sums_never_wrap() {
    let mut tally = Tally::default();
    tally.add(&Vote { votes: i64::MAX, ..vote("home") }).expect("fits");
    assert_eq!(tally.add(&vote("home")), Err(Error::ManyVotes { votes: i128::from(i64::MAX) + 1 }));
    assert_eq!(total(&[i64::MAX, 1]), Err(Error::ManyVotes { votes: i128::from(i64::MAX) + 1 }));
}

#[test]
fn votes_have_a_range() {
    assert_eq!(parse_votes(Some(1)), Ok(1));
    assert_eq!(parse_votes(Some(MAX_VOTES)), Ok(MAX_VOTES));
    assert_eq!(parse_votes(Some(0)), Err(Error::NoVotes { votes: 0 }));
    assert_eq!(parse_votes(Some(i64::MIN)), Err(Error::NoVotes { votes: i64::MIN }));
    assert_eq!(parse_votes(Some(MAX_VOTES + 1)), Err(Error::ManyVotes { votes: i128::from(MAX_VOTES) + 1 }));
    assert_eq!(parse_votes(None), Err(Error::Null { what: "votes" }));
}
