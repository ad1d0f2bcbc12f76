//! A fold as followers at a coarser resolution see it.

use foldhash::{HashMap, HashMapExt};
use vote_agg_core::feed::message::{CellVotes, Code, Flip, Hex, Message, NewVotes, Scope};
use vote_agg_core::vote::cell::roll_up;
use vote_agg_core::{Resolution, parse_cell};

/// The message for followers at `resolution`, with `cells`, the cells that changed there. New votes are summed up to that
/// resolution too. A change of lead in a cell is left out where the cell itself is not shown.
#[must_use]
pub fn roll_up_message(
    message: &Message<'static>,
    resolution: Resolution,
    cells: Option<Vec<CellVotes<'static>>>,
) -> Message<'static> {
    let is_shown = |Flip(scope, place, ..): &&Flip| {
        let cell = place.as_deref().and_then(|cell| parse_cell(cell.as_bytes()).ok());
        *scope != Scope::Cell || cell.is_some_and(|cell| cell.resolution() <= resolution)
    };
    Message {
        cells,
        new: message.new.as_deref().map(|new| rolled_up(new, resolution)),
        flips: message
            .flips
            .as_ref()
            .map(|flips| flips.iter().filter(is_shown).cloned().collect::<Vec<_>>())
            .filter(|flips| !flips.is_empty()),
        v: message.v,
        match_id: message.match_id.clone(),
        seq: message.seq,
        prev: message.prev,
        epoch: message.epoch.clone(),
        at: message.at.clone(),
        stats: message.stats.clone(),
        countries: message.countries.clone(),
        resync: message.resync,
        partial: message.partial,
        is_final: message.is_final,
    }
}

fn rolled_up(new: &[NewVotes<'static>], resolution: Resolution) -> Vec<NewVotes<'static>> {
    let mut sums: Vec<NewVotes> = Vec::new();
    let mut places = HashMap::new();
    for NewVotes(team, cell, country, votes) in new {
        let cell = cell.map(|Hex(cell)| roll_up(cell, resolution));
        let place = *places.entry((team, cell, country.map(|Code(country)| country))).or_insert_with(|| {
            sums.push(NewVotes(team.clone(), cell.map(Hex), *country, 0));
            sums.len() - 1
        });
        sums[place].3 = sums[place].3.saturating_add(*votes);
    }
    // A vote that moved within a cell has not moved at all.
    sums.retain(|NewVotes(.., votes)| *votes != 0);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use vote_agg_core::parse_resolution;

    #[test]
    fn what_arrived_is_summed_up_and_flips_are_of_what_is_shown() {
        let mut message: Message = serde_json::from_str(include_str!("../../../fixtures/message.json")).expect("golden message");
        let new = r#"[["home","872a1072bffffff","FR",3],["away",null,null,1],["home","872a10728ffffff","FR",2],
                      ["home","872a10728ffffff","US",4],["away","872a1072bffffff","FR",-1],["away","872a10728ffffff","FR",1]]"#;
        let flips = r#"[["match",null,"home","away"],["country","FR",null,"home"],["cell","872a1072bffffff","home","away"],
                        ["cell","822a17fffffffff","home","away"]]"#;
        message.new = serde_json::from_str(new).expect("new votes");
        message.flips = serde_json::from_str(flips).expect("flips");
        let three = roll_up_message(&message, parse_resolution(3).expect("3"), Some(Vec::new()));
        let text = |value: serde_json::Result<String>| value.expect("JSON");
        assert_eq!(
            text(serde_json::to_string(&three.new)),
            r#"[["home","832a10fffffffff","FR",5],["away",null,null,1],["home","832a10fffffffff","US",4]]"#
        );
        let flips = r#"[["match",null,"home","away"],["country","FR",null,"home"],["cell","822a17fffffffff","home","away"]]"#;
        assert_eq!(text(serde_json::to_string(&three.flips)), flips);
        let rest = Message { new: message.new.clone(), flips: message.flips.clone(), cells: message.cells.clone(), ..three };
        assert_eq!(rest, message);
    }
}
