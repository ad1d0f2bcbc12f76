use super::*;
use serde_json::json;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn subject() -> Who {
    Who::Subject { issuer: "us".into(), subject: "ann".into() }
}

fn anybody() -> Who {
    Who::Anybody { issuer: "us".into(), subject: None }
}

fn read(who: &Who, value: Value) -> Result<Vote, Problem> {
    let key = VoterKey::new(SECRET).expect("long enough");
    let country = Country::parse(b"FR").ok();
    let max_resolution = Resolution::try_from(5).expect("sound");
    Reader { key: &key, who, country, max_resolution }.read(&value, Some("final"))
}

fn refused(who: &Who, value: Value) -> (u16, String) {
    let problem = read(who, value).expect_err("refused");
    (problem.status.as_u16(), problem.detail)
}

#[test]
fn a_vote_is_read_in_both_spellings() {
    let snake = json!({"match_id": "final", "team_choice": "home", "h3_index": "872a1072bffffff", "turn": 1});
    let camel = json!({"matchId": "final", "teamChoice": "home", "h3Index": 0x0872_a107_2bff_ffff_i64, "turn": 1});
    let vote = read(&subject(), snake).expect("sound");
    assert_eq!(read(&subject(), camel).expect("sound"), vote);
    let choice = vote.choice.as_ref().expect("a vote");
    assert_eq!((choice.team.as_str(), choice.country), ("home", Country::parse(b"FR").ok()));
    assert_eq!(choice.cell.map(|cell| u8::from(cell.resolution())), Some(5));
    assert_eq!((vote.turn, vote.voter.match_id.as_str(), vote.voter.voter_id.len()), (1, "final", 32));
    let retraction = read(&subject(), json!({"team_choice": null, "turn": 2})).expect("sound");
    assert_eq!((retraction.choice, retraction.voter), (None, vote.voter));
}

#[test]
fn a_place_is_coarsened() {
    let cell = |value| read(&subject(), value).expect("sound").choice.and_then(|choice| choice.cell).map(|cell| cell.to_string());
    let at = cell(json!({"team_choice": "home", "turn": 1, "lat": 48.8566, "lng": 2.3522}));
    assert_eq!(at.as_deref(), Some("851fb467fffffff"));
    assert_eq!(cell(json!({"team_choice": "home", "turn": 1, "h3_index": "8f1fb46625550c3"})), at);
    let coarse = cell(json!({"team_choice": "home", "turn": 1, "h3_index": "821fb7fffffffff"}));
    assert_eq!(coarse.as_deref(), Some("821fb7fffffffff"), "as it came");
    for (bad, why) in [
        (json!({"lat": 91.0, "lng": 0.0}), "lat must be between -90 and 90"),
        (json!({"lat": 1.0}), "go together"),
        (json!({"lat": 1.0, "h3_index": "821fb7fffffffff"}), "not both"),
        (json!({"h3_index": "x"}), "invalid H3 cell"),
        (json!({"h3_index": 1.5}), "text or a whole number"),
        (json!({"h3_index": true}), "text or a whole number"),
    ] {
        let mut vote = json!({"team_choice": "home", "turn": 1});
        vote.as_object_mut().expect("object").extend(bad.as_object().expect("object").clone());
        let (status, detail) = refused(&subject(), vote);
        assert!(status == 422 && detail.contains(why), "{detail}");
    }
}

#[test]
fn who_votes_is_not_the_clients_to_say() {
    let named = json!({"team_choice": "home", "turn": 1, "voter_id": "bob"});
    let key = Who::Key("8e03978e-40d5-43dd-bc93-6894a57f9324".into());
    assert_eq!(refused(&subject(), named.clone()).0, 403);
    assert_eq!(refused(&key, named.clone()).0, 403);
    assert_eq!(refused(&subject(), json!({"team_choice": "home", "turn": 1, "country_code": "DE"})).0, 403);
    // A back end's voter is the same one as the subject of a token of the same issuer.
    let bob = Who::Subject { issuer: "us".into(), subject: "bob".into() };
    let own = read(&bob, json!({"team_choice": "home", "turn": 1})).expect("sound");
    assert_eq!(read(&anybody(), named).expect("sound").voter, own.voter);
    assert_eq!(refused(&anybody(), json!({"team_choice": "home", "turn": 1})), (422, "voter_id must not be null".into()));
    let from = json!({"team_choice": "home", "turn": 1, "voter_id": "bob", "country_code": "de"});
    let country = read(&anybody(), from).expect("sound").choice.and_then(|choice| choice.country);
    assert_eq!(country.map(|country| country.to_string()).as_deref(), Some("DE"));
}

#[test]
fn a_vote_has_a_turn_and_a_key_is_one() {
    let key = Who::Key("8e03978e-40d5-43dd-bc93-6894a57f9324".into());
    assert_eq!(read(&key, json!({"team_choice": "home"})).expect("sound").turn, 1);
    assert_eq!(read(&key, json!({"team_choice": "home", "turn": 1})).expect("sound").turn, 1);
    for bad in [json!({"team_choice": "home", "turn": 2}), json!({"team_choice": null}), json!({"team_choice": null, "turn": 1})]
    {
        assert_eq!(refused(&key, bad).0, 422);
    }
    assert!(refused(&subject(), json!({"team_choice": "home"})).1.contains("turn is missing"));
    for (turn, is_good) in [(json!(0), false), (json!(1), true), (json!(i64::MAX), true), (json!(-1), false), (json!("1"), false)]
    {
        assert_eq!(read(&subject(), json!({"team_choice": "home", "turn": turn})).is_ok(), is_good, "{turn}");
    }
}

#[test]
fn what_means_nothing_is_refused() {
    for (bad, why) in [
        (json!({"turn": 1}), "team_choice is missing"),
        (json!({"team_choice": "home", "turn": 1, "votes": 2}), "unknown field `votes`"),
        (json!({"team_choice": "home", "teamChoice": "home", "turn": 1}), "duplicate field"),
        (json!({"team_choice": "home", "turn": 1, "match_id": "cup"}), "another match"),
        (json!({"team_choice": "", "turn": 1}), "team_choice must not be empty"),
        (json!({"team_choice": 1, "turn": 1}), "invalid type"),
        (json!(["final", "home", null, null, null, null, 1, null]), "a vote is an object"),
        (json!(null), "a vote is an object"),
        (json!("home"), "a vote is an object"),
    ] {
        let (status, detail) = refused(&subject(), bad);
        assert!(status == 422 && detail.contains(why), "{detail}");
    }
}

#[test]
fn no_mutation_votes_for_another() {
    let key = Who::Key("8e03978e-40d5-43dd-bc93-6894a57f9324".into());
    let seeds = [
        json!({"match_id": "final", "team_choice": "home", "h3_index": "872a1072bffffff", "turn": 1}),
        json!({"matchId": "final", "teamChoice": null, "turn": 1, "lat": 48.85, "lng": 2.35}),
        json!({"team_choice": "home", "turn": 1, "voter_id": "bob", "country_code": "DE"}),
        json!({"teamChoice": "home", "h3Index": 609_041_481_765_126_143_i64}),
    ];
    crate::fuzz::fuzz(&seeds, |bytes| {
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
        for who in [&subject(), &key] {
            let Ok(vote) = read(who, value.clone()) else { continue };
            let own = read(who, json!({"team_choice": "home", "turn": 1})).expect("sound");
            assert_eq!(vote.voter, own.voter);
            assert!(vote.turn >= 1 && (vote.turn == 1 || *who != key));
            let Some(choice) = vote.choice else { continue };
            assert_eq!(parse_name("team", Some(choice.team.as_bytes())), Ok(choice.team.as_str()));
            assert!(choice.cell.is_none_or(|cell| u8::from(cell.resolution()) <= 5));
            assert_eq!(choice.country, Country::parse(b"FR").ok());
        }
    });
}
