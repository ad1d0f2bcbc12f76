"""The fence: a shard knows its number in a match, and refuses the ballots of voters that are on another one."""

import collections
import json

import psycopg
import pytest

from shards import VOTERS, make_shard

GOLDEN = [(0, 2, 294), (1, 2, 603), (1, 1, 405), (1, 0, 83), (1, 0, 953), (0, 1, 870)]  # of 2, of 3 and of 1,024 shards


def test_a_shard_refuses_voters_of_another_one(still):
    """Each of the ways to vote, and to take a vote back; and a voter of this shard is none the worse."""
    still.sql("SELECT vote_agg.place_match('m', 1, 2)")
    own = {voter: still.value("SELECT vote_agg.shard_of(%s, 2)", voter) == 1 for voter in VOTERS[:20]}
    assert set(own.values()) == {True, False}
    stranger = next(voter for voter, is_own in own.items() if not is_own)
    bulk = json.dumps([{"match_id": "m", "team_choice": "home"}, {"match_id": "m", "team_choice": "home", "voter_id": stranger}])
    for query, params, element in (
        ("SELECT cast_vote('m', %s, 'home')", (stranger,), ""),
        ("SELECT cast_vote('m', %s, 'home', 608725951823478783)", (stranger,), ""),
        ("SELECT rpc_cast_vote('m', %s, 'home')", (stranger,), ""),
        ("SELECT retract_vote('m', %s)", (stranger,), ""),
        ("SELECT bulk_increment(%s::jsonb)", (bulk,), "element 2: "),
    ):
        with pytest.raises(psycopg.errors.CheckViolation) as refused:
            still.sql(query, *params)
        diag = refused.value.diag
        assert diag.message_primary == f'{element}voter "{stranger}" is none of shard 1 in match "m"'
        assert diag.message_detail == "Of the 2 shards of this match, number 0 has the voter's ballot."
        assert "vote_agg_front.reload()" in diag.message_hint
    voters = list(own)
    for call, count in (("cast_votes(%s, %s, %s)", "counted"), ("retract_votes(%s, %s)", "retracted")):
        columns = [["m"] * len(voters), voters, ["home"] * len(voters)][: call.count("%s")]
        rows = still.sql(f"SELECT outcome, sqlstate FROM {call} ORDER BY element", *columns)
        assert rows == [(count, None) if own[voter] else ("refused", "23514") for voter in voters]
        assert still.value("SELECT total_votes FROM get_realtime_stats('m')") == (sum(own.values()) if count == "counted" else 0)
    # Closed, a stranger is a stranger or late: nothing of it counts.
    assert still.sql("SELECT cast_vote('m', %s, 'home')", next(voter for voter, is_own in own.items() if is_own)) == [("counted",)]
    assert still.value("SELECT count(*) FROM vote_agg.ballot") == 1


def count_twice(shards, place, voters):
    """How many of `voters` have two ballots after a front with two shards, and then one with three, sent each where it belongs."""
    for number, shard in enumerate(shards):
        place(shard, number)
    for modulus in (2, 3):
        sent = [shards[0].value("SELECT array_agg(v) FROM unnest(%s::text[]) AS v WHERE vote_agg.shard_of(v, %s) = %s", voters, modulus, n) for n in range(modulus)]
        for shard, own in zip(shards, sent):
            shard.sql("SELECT outcome FROM cast_votes(array_fill('m'::text, ARRAY[%s]), %s, array_fill('home'::text, ARRAY[%s]))", len(own), own, len(own))
    ballots = collections.Counter(voter for shard in shards for (voter,) in shard.sql("SELECT voter_id FROM vote_agg.ballot"))
    total = sum(shard.value("SELECT total_votes FROM get_realtime_stats('m')") for shard in shards)
    assert total == sum(ballots.values()) and len(ballots) == len(voters)
    return total - len(voters)


def test_another_modulus_counts_nobody_twice(cluster, new_database):
    """A front that takes two shards for three counts nobody twice; without the fence it does."""
    shards = [make_shard(new_database(cluster)) for _ in range(3)]
    voters = VOTERS[:60]
    assert count_twice(shards, lambda shard, number: shard.sql("SELECT vote_agg.place_match('m', %s, 2)", number), voters) == 0
    for shard in shards:
        shard.sql("SELECT purge_match('m')")
    assert count_twice(shards, lambda shard, _: shard.sql("SELECT open_match('m')"), voters) == 43


def test_shards_of_voters_are_written_down(still):
    """Golden: another number here, and voters of running matches have two ballots."""
    names = ["", "a", "voter 1", "voter 2", "Zoë", "x" * 200]
    found = [still.sql("SELECT vote_agg.shard_of(%s, 2), vote_agg.shard_of(%s, 3), vote_agg.shard_of(%s, 1024)", *[name] * 3)[0] for name in names]
    assert found == GOLDEN
    assert still.sql("SELECT vote_agg.shard_of(NULL, 2), vote_agg.shard_of('a', 1)") == [(None, 0)]
    for shards in (0, -1, 1025):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match=f"shards must be 1 to 1024, not {shards}"):
            still.sql("SELECT vote_agg.shard_of('a', %s)", shards)


def test_a_match_keeps_its_place(still):
    still.sql("SELECT vote_agg.place_match('m', 0, 2, '{a,b}')")
    still.sql("SELECT vote_agg.place_match('m', 0, 2, '{a,b,c}')")
    still.sql("SELECT open_match('m', '{a,b,c,d}')")
    assert still.sql("SELECT shard, shards, teams FROM vote_agg.placements('m')") == [(0, 2, ["a", "b", "c", "d"])]
    for shard, shards in ((0, 3), (1, 2)):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=f'match "m" is shard 0 of 2 here, not {shard} of {shards}'):
            still.sql("SELECT vote_agg.place_match('m', %s, %s)", shard, shards)
    still.sql("SELECT record_vote('auto', 'a')")
    still.sql("SELECT open_match('named')")
    for match in ("auto", "named"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="was opened without a shard"):
            still.sql("SELECT vote_agg.place_match(%s, 0, 2)", match)
    for shard, shards, message in ((-1, 2, "shard must be 0 to 1023, not -1"), (1024, 2, "shard must be 0 to 1023, not 1024"),
                                   (0, 0, "shards must be 1 to 1024, not 0"), (0, 1025, "shards must be 1 to 1024, not 1025"),
                                   (None, 2, "shard must not be null"), (0, None, "shards must not be null")):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match=message):
            still.sql("SELECT vote_agg.place_match('x', %s, %s)", shard, shards)
    still.sql("SELECT vote_agg.place_match('x', 1023, 1024)")
    # One past the last takes calls and no ballot.
    still.sql("SELECT vote_agg.place_match('late', 2, 2)")
    still.sql("SELECT record_vote('late', 'a')")
    rows = still.sql("SELECT DISTINCT sqlstate FROM cast_votes(array_fill('late'::text, '{150}'), %s, array_fill('a'::text, '{150}'))", VOTERS)
    assert rows == [("23514",)]
    still.sql("SELECT close_match('m')")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match='match "m" is closed'):
        still.sql("SELECT vote_agg.place_match('m', 0, 2)")
    still.sql("SELECT purge_match('m')")
    still.sql("SELECT vote_agg.place_match('m', 0, 3)")
