"""One match on many shards, through a front: it counts as one node does, and a voter is on one shard only."""

import collections
import json

import pytest

import vote_calls
from shards import MATCHES, READS, TEAMS, VOTERS, Front, answer, make_shard, open_matches
from testkit.harness import STATEMENTS, eventually, random_for

CALLS = STATEMENTS // 6


def test_answers_of_two_calls_are_not_mixed(front):
    """Wherever in a statement they stand."""
    open_matches(front)
    front.rows("SELECT cast_vote('spread', v, CASE v WHEN 'voter 1' THEN 'home' ELSE 'away' END) FROM unnest(%s::text[]) AS v", VOTERS)
    ask = "SELECT {} FROM generate_series(1, 3)"
    calls = ["(get_vote('spread', 'voter 1')).team_choice", "(get_vote('spread', 'voter 2')).team_choice", "(get_realtime_stats('homed')).total_votes"]
    assert front.rows(ask.format(", ".join(calls))) == [("home", "away", 0)] * 3
    assert front.rows(ask.format("get_country_aggregates('spread'), get_match_aggregates('homed')")) == []


def statement(rng):
    """A random statement of any kind with its parameters."""
    match, kind = rng.choice(list(MATCHES)), rng.randrange(9)
    place = (rng.choice((*vote_calls.CELLS[:9], None)), rng.choice(("FR", "DE", "zz", None)))
    if kind < 4:
        if rng.random() < 0.1:
            return vote_calls.bad(rng, match)
        statements, _ = vote_calls.some(rng, match)
        return statements[0]
    voters = [rng.choice(VOTERS) for _ in range(rng.choice((1, 1, 2, 9)))]
    if kind == 4:
        return "SELECT cast_vote(%s, %s, %s, %s::bigint, %s)", (match, voters[0], rng.choice(TEAMS), *place)
    if kind == 5:
        return "SELECT retract_vote(%s, %s)", (match, voters[0])
    n = len(voters)
    matches = [rng.choice((*MATCHES, "unknown", None)) for _ in range(n)]
    teams = [rng.choice((*TEAMS, "nobody", None)) for _ in range(n)]
    cells, countries = [rng.choice((*vote_calls.CELLS[:9], 5, None)) for _ in range(n)], [rng.choice(("FR", "QQ", None)) for _ in range(n)]
    turns = [rng.choice((None, 1, 2, 3, 0)) for _ in range(n)]
    if kind == 6:
        return (
            "SELECT * FROM cast_votes(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::bigint[])",
            (matches, voters, teams, rng.choice((cells, None)), rng.choice((countries, None)), rng.choice((turns, None))),
        )
    if kind == 7:
        return "SELECT * FROM retract_votes(%s::text[], %s::text[], %s::bigint[])", (matches, voters, rng.choice((turns, None)))
    return (
        "SELECT * FROM record_votes(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::bigint[])",
        (matches, teams, rng.choice((cells, None)), countries, rng.choice(([rng.choice((1, 5, 0, None)) for _ in range(n)], None))),
    )


WAYS = {
    "record_vote", "bulk_increment", "increment_h3_aggregate", "update_h3_aggregate", "cast_vote", "retract_vote", "cast_votes",
    "retract_votes", "record_votes",
}


BAD_READS = (
    "SELECT * FROM get_realtime_stats('')", "SELECT * FROM get_match_aggregates('{0}', 16)", "SELECT * FROM get_match_aggregates('{0}', max_cells => -1)",
    "SELECT * FROM get_match_aggregates('{0}', bbox => '{{1}}')", "SELECT * FROM get_match_aggregates('{0}', leader => '')",
    "SELECT * FROM get_match_aggregates('{0}', smooth => 6)", "SELECT * FROM get_top_cells('{0}', -1)", "SELECT * FROM get_top_cells('{0}', 1, '')",
    "SELECT * FROM get_top_cells('{0}', 1, by => 'x')", "SELECT * FROM get_cell('{0}', 'x')", "SELECT * FROM get_match_at('{0}', NULL)",
    "SELECT * FROM get_match_timeline('{0}', '1 second')", "SELECT * FROM get_match_timeline('{0}', NULL)",
)


def test_it_counts_as_one_node_does(front, new_database, cluster):
    """The same random calls into one node and through the front: the same answers, the same totals, the same ballots."""
    node = make_shard(new_database(cluster))
    open_matches(front, node)
    rng = random_for("front")
    tried = collections.Counter()
    with node.connect() as one:
        front.rows("SELECT 1")
        for _ in range(CALLS):
            query, params = statement(rng)
            expected, found = answer(one, query, params), answer(front.session, query, params)
            assert found == expected, (query, params)
            tried[query.split("(")[0], "refused" if isinstance(found, str) else "done"] += 1
        for match in [*MATCHES, "unknown"]:
            for read in (*READS, *BAD_READS):
                query = read.format(match)
                assert answer(front.session, query, ()) == answer(one, query, ()), query
            for voter in VOTERS[:40]:
                query = "SELECT * FROM get_vote(%s, %s)"
                assert answer(front.session, query, (match, voter)) == answer(one, query, (match, voter))
        ballots = "SELECT match_id, voter_id, team_choice, h3_index, country_code, turn FROM vote_agg.ballot"
        assert sorted(map(str, one.execute(ballots).fetchall())) == sorted(str(row) for shard in front.shards for row in shard.sql(ballots))
        for match in MATCHES:
            for way in (one, front.session):
                way.execute("SELECT close_match(%s)", (match,))
    done = {name.split()[-1] for name, outcome in tried if outcome == "done"}
    assert done == WAYS and sum(n for (_, outcome), n in tried.items() if outcome == "refused") > CALLS // 50, tried
    totals = [shard.sql("SELECT total_votes FROM get_realtime_stats('spread')") for shard in front.shards]
    assert all(total[0][0] > 100 for total in totals), f"not spread: {totals}"
    for match in MATCHES:
        eventually("it is final", lambda match=match: front.value("SELECT status FROM get_realtime_stats(%s)", match) == "final")
    for number, shard in enumerate(front.shards):
        for (match,) in shard.sql("SELECT match_id FROM vote_agg.placements()"):
            assert not shard.failed_checks(match), (number, match)


def test_a_block_is_refused(front):
    """Whatever protocol and shape it has; and taken where the caller says that it knows."""
    open_matches(front)
    writes = [
        "record_vote('spread', 'home')", "bulk_increment('spread', '{home}')", "bulk_increment('[]')", "cast_vote('spread', 'v', 'home')",
        "retract_vote('spread', 'v')", "record_votes('{spread}', '{home}')", "cast_votes('{spread}', '{v}', '{home}')",
        "retract_votes('{spread}', '{v}')", "increment_h3_aggregate('spread', 608725951823478783, 5, 'home')",
        "increment_country_aggregate('spread', 'FR', 'home')", "open_match('new')", "close_match('spread')", "purge_match('spread')",
        "vote_agg_front.extend()",
    ]
    for write in writes:
        for begin, query, code in (
            ("BEGIN", f"SELECT * FROM {write}", "0A000"),
            ("BEGIN; SAVEPOINT s", f"SELECT * FROM {write}", "0A000"),
            ("SELECT", f"SELECT; SELECT * FROM {write}", "0A000"),
            ("SELECT", f"DO $$ BEGIN PERFORM {write}; EXCEPTION WHEN division_by_zero THEN NULL; END $$", "0A000"),
            ("SET default_transaction_read_only = on", f"SELECT * FROM {write}", "25006"),
        ):
            front.rows(begin)
            refused = front.refusal(query)
            assert refused.sqlstate == code, (write, query, refused)
            if code == "0A000":
                assert "inside a transaction block" in refused.diag.message_primary and "ROLLBACK" in refused.diag.message_detail
                assert "vote_agg.write_in_block" in refused.diag.message_hint
            front.session.execute("ROLLBACK")
            front.rows("RESET default_transaction_read_only")
    assert front.value("SELECT total_votes FROM get_realtime_stats('spread')") == 0
    # In the extended protocol and in autocommit it is a call like any other.
    front.session.execute("SELECT record_vote(%s, %s)", ("spread", "home"), prepare=True)
    front.rows("SET vote_agg.write_in_block = on")
    front.rows("BEGIN")
    front.rows("SELECT record_vote('spread', 'home')")
    front.rows("ROLLBACK")
    assert front.value("SELECT total_votes FROM get_realtime_stats('spread')") == 2
    # Reads are welcome in a block.
    front.rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    assert front.value("SELECT count(*) FROM get_match_aggregates('spread')") == 0
    front.rows("COMMIT")


def test_what_a_front_does_not_do(front):
    open_matches(front)
    front.rows("SELECT open_match('other')")
    homes = dict(front.rows("SELECT match_id, home FROM vote_agg_front.placement WHERE home IS NOT NULL"))
    n = next(n for n in range(99) if front.value("SELECT vote_agg_front.shard_of(%s, 2)", f"match {n}") != homes["homed"])
    front.rows("SELECT open_match(%s)", f"match {n}")
    two = [{"match_id": "homed", "team_choice": "home"}, {"match_id": f"match {n}", "team_choice": "home"}]
    voter = [{"match_id": "spread", "team_choice": "home", "voter_id": "v"}]
    camel = [{"matchId": "homed", "teamChoice": "home", "voterId": "v"}]
    for query, params, hint in (
        ("SELECT bulk_increment(%s::jsonb)", (json.dumps(voter),), "cast_votes"),
        ("SELECT bulk_update_aggregates(%s::jsonb)", (json.dumps(camel),), "cast_votes"),
        ("SELECT bulk_increment(%s::jsonb)", (json.dumps(two),), "record_votes"),
        ("SELECT attach_votes('pg_class')", (), "cast_votes"),
        ("SELECT * FROM get_match_aggregates('spread', smooth => 1)", (), "root"),
    ):
        refused = front.refusal(query, *params)
        assert refused.sqlstate == "0A000" and hint in refused.diag.message_hint, (query, refused)
    # A match at home is smoothed there; a call whose matches have one home is one call.
    front.rows("SELECT * FROM get_match_aggregates('homed', smooth => 1)")
    assert front.value("SELECT bulk_increment(%s::jsonb)", json.dumps([two[0], {"match_id": "spread", "team_choice": "away", "voter_id": None}])) == 2
    assert sum(shard.value("SELECT total_votes FROM get_realtime_stats('homed')") for shard in front.shards) == 1


def test_an_error_keeps_its_words(front):
    """SQLSTATE, DETAIL and HINT of a shard come through, by each of the ways."""
    open_matches(front)
    for query in ("SELECT record_vote('spread', 'home', '872a1072bfffff0')", "SELECT cast_vote('homed', 'v', 'nobody')", "SELECT cast_votes('{a,b}', '{a}', '{a}')"):
        refused = front.refusal(query)
        with pytest.raises(type(refused)) as direct:
            front.shards[0].sql("SELECT open_match('homed', '{home}'), open_match('spread')") if "homed" in query else None
            front.shards[0].sql(query)
        assert refused.sqlstate == direct.value.sqlstate
        assert (direct.value.diag.message_hint or "")[:20] in refused.diag.message_hint
        assert (direct.value.diag.message_detail or "") in (refused.diag.message_detail or "")


def test_times_survive_a_shard_with_another_date_style(front):
    for number, shard in enumerate(front.shards):
        shard.sql(f"ALTER DATABASE {shard.name} SET datestyle = '{('SQL, DMY', 'German')[number]}'")
        shard.sql(f"ALTER DATABASE {shard.name} SET timezone = '{('Asia/Kolkata', 'America/St_Johns')[number]}'")
        shard.sql(f"ALTER DATABASE {shard.name} SET intervalstyle = 'sql_standard'")
    front.db.sql(f"ALTER DATABASE {front.db.name} SET datestyle = 'SQL, MDY'")
    front.db.sql(f"ALTER DATABASE {front.db.name} SET timezone = 'Europe/Vienna'")
    fresh = Front.__new__(Front)
    fresh.session = front.db.connect()
    fresh.rows("SELECT open_match('m', opens_at => '2001-02-03 04:05:06.789012+00', closes_at => '2101-11-10 09:08:07.654321+00', spread => true)")
    fresh.rows("SELECT open_match('ever', opens_at => '-infinity', closes_at => 'infinity', spread => true)")
    fresh.rows("SELECT record_vote('m', 'home') FROM generate_series(1, 20)")
    for shard in front.shards:
        times = "SELECT extract(epoch FROM opens_at)::text, extract(epoch FROM closes_at)::text FROM vote_agg.match WHERE match_id = %s"
        assert shard.sql(times, "m") == [("981173106.789012", "4161056887.654321")]
        assert shard.sql(times, "ever") == [("-Infinity", "Infinity")]
    epoch = "SELECT extract(epoch FROM last_vote_at) FROM get_realtime_stats('m')"
    latest = max(shard.value(epoch) for shard in front.shards)
    assert fresh.value(epoch) == latest
    rows = fresh.rows("SELECT bucket_start::text, running_total FROM get_match_timeline('m', '1 day 2 hours', now() - interval '1 month') ORDER BY 1")
    assert rows[-1][1] == 20
    as_of = "SELECT extract(epoch FROM as_of) FROM get_match_at('m', %s) WHERE country_code IS NULL"
    assert fresh.value(as_of, "2026-02-01 10:20:30.5+00") == 1_769_941_200 == front.shards[0].value(as_of, "2026-02-01 10:20:30.5+00")
    fresh.close()


WRITES = (
    "record_vote('spread', 'home')", "record_vote('spread', 'home', 608725951823478783)", "rpc_record_vote('spread', 'home')",
    "increment_h3_aggregate('spread', 608725951823478783, 5, 'home')", "increment_h3_aggregate('spread', '872a1072bffffff', 5, 'home')",
    "update_h3_aggregate('spread', 608725951823478783, 5, 'home')", "rpc_increment_h3_aggregate('spread', '872a1072bffffff', 5, 'home')",
    "increment_country_aggregate('spread', 'FR', 'home')", "update_country_aggregate('spread', 'FR', 'home')", "bulk_increment('spread', '{home}')",
    "bulk_increment('[{\"match_id\": \"spread\", \"team_choice\": \"home\"}]')", "bulk_update_aggregates('spread', '{home}')",
    "record_votes('{spread,spread}', '{home,home}')", "record_votes(NULL, '{home}')", "cast_vote('spread', 'v', 'home')",
    "cast_vote('spread', 'v', 'home', 608725951823478783)", "rpc_cast_vote('spread', 'v', 'home')", "get_vote('spread', 'v')",
    "cast_votes('{spread,spread}', '{v,w}', '{home,home}')", "cast_votes(NULL, '{v}', '{home}')", "retract_vote('spread', 'v')",
    "retract_votes('{spread,spread}', '{v,w}')", "retract_votes(NULL, '{v}')",
)
# What a clerk may call in the schema where the functions of the extension are, but for what everybody may.
GRANTED = """SELECT DISTINCT p.proname FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a JOIN pg_roles r ON r.oid = a.grantee
    WHERE r.rolname = 'front_clerk' AND p.pronamespace <> 'vote_agg_front'::regnamespace"""


def test_rights_are_given_and_taken(front):
    open_matches(front)
    front.rows("DROP ROLE IF EXISTS front_clerk")
    front.rows("CREATE ROLE front_clerk LOGIN")
    front.rows("CREATE USER MAPPING FOR front_clerk SERVER vote_agg_shards OPTIONS (user 'postgres')")
    write, read = "SELECT cast_vote('spread', 'v', 'home')", "SELECT total_votes FROM get_realtime_stats('spread')"
    with front.db.cluster.connect(front.db.name, user="front_clerk") as clerk:
        for grants, allowed in (((), ()), (("grant_writer",), (write,)), (("revoke_writer", "grant_reader"), (read,)), (("grant_writer", "revoke_reader"), (write,)), (("revoke_writer",), ())):
            for grant in grants:
                front.rows(f"SELECT vote_agg_front.{grant}('front_clerk')")
            for query in (write, read):
                found = answer(clerk, query, ())
                assert (found != "42501") == (query in allowed), (grants, query, found)
        for query in ("SELECT open_match('x')", "SELECT purge_match('spread')", "SELECT vote_agg_front.reload()", "SELECT vote_agg_front.add_shard('dbname=x')"):
            assert answer(clerk, query, ()) == "42501"
        # Each function that a grant gives can be called with nothing else.
        for grant, queries in (("reader", [read.format("spread") for read in READS]), ("writer", [f"SELECT * FROM {write}" for write in WRITES])):
            front.rows(f"SELECT vote_agg_front.grant_{grant}('front_clerk')")
            refused = [query for query in queries if answer(clerk, query, ()) == "42501"]
            assert not refused, (grant, refused)
            granted = {name for (name,) in front.rows(GRANTED)}
            assert granted and not [name for name in granted if not any(f"{name}(" in query for query in queries)]
            front.rows(f"SELECT vote_agg_front.revoke_{grant}('front_clerk')")
    front.rows("DROP USER MAPPING FOR front_clerk SERVER vote_agg_shards")
    front.rows("DROP ROLE front_clerk")


