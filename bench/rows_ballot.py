"""Casting ballots, one and many in a call."""

import itertools

from bench.load import CLIENTS, vote_scripts
from bench.result import Result, median, ratios
from bench.rows_vote import compare

VOTERS = 1_000  # a client, for those who change their minds
VOTER = ":client_id || '-' || :voter"  # a client has voters of its own: no two clients ever meet
CHOICE = "'{team}', :cell::bigint, '{country}'"
CAST = f"SELECT cast_vote('MATCH', {VOTER}, {CHOICE});"
BARE = f"""
INSERT INTO peer.ballot (match_id, voter_id, team_choice, h3_index, country_code) VALUES ('MATCH', {VOTER}, {CHOICE});"""


CALL = 1_000  # votes
# As a service sends them that collects votes while a call is on its way. The voters' names are made here, within the time.
MANY = f"""\\set call random(1, {10**15})
SELECT count(*) FROM bench.arrays a, cast_votes(array_fill('MATCH'::text, ARRAY[{CALL}]),
    ARRAY(SELECT :client_id || '-' || :call || '-' || n FROM generate_series(1, {CALL}) AS n),
    a.teams, a.cells, a.countries, array_fill(1::bigint, ARRAY[{CALL}])) WHERE a.name = 'many';
"""


def scripts(statement, match, voters):
    """Each votes for one of `voters` of the client."""
    draw = f"\\set voter random(1, {voters})\n"
    return [draw + script for script in vote_scripts(statement.replace("MATCH", match))]


def ballots(bench):
    """First votes, ours and as bare rows with the same key; and how fast minds can be changed."""
    runs = itertools.count()

    def voting(*script):
        bench.worker(True)
        tps = bench.pgbench(scripts(*script)).tps
        bench.drain()
        return tps

    def first(statement):
        """Each run in a match of its own, with far more voters than votes: whoever comes has not voted before."""
        return voting(statement, f"hot {next(runs)}", 10**15)

    bench.sql(
        "SELECT count(cast_vote('changing', c || '-' || v, 'home')) FROM generate_series(0, %s) AS c, generate_series(1, %s) AS v",
        CLIENTS - 1,
        VOTERS,
    )
    tps = compare(
        bench,
        {
            "new": lambda: first(CAST),
            "bare": lambda: first(BARE),
            "changes": lambda: voting(CAST, "changing", VOTERS),
        },
    )
    mid = {name: f"{median(values):,.0f}" for name, values in tps.items()}
    return [
        Result(
            "cast_vote of new voters, worker and feed on, against a bare INSERT into a table with that key",
            ratios(tps["new"], tps["bare"]),
            ("≥", 0.7),
            f"{mid['new']} against {mid['bare']} votes/s; changes of mind {mid['changes']} votes/s, "
            f"{median(ratios(tps['changes'], tps['new'])):.2f} of first votes",
        )
    ]


def many_ballots(bench):
    """New voters, 1,000 a call by two sessions, against one a call by all."""
    bench.sql("SELECT bench.make_arrays('many', %s, 20000)", CALL)
    runs = itertools.count()

    def voting(scripts, **options):
        bench.worker(True)
        tps = bench.pgbench(scripts, **options).tps
        bench.drain()
        return tps

    tps = compare(
        bench,
        {
            "many": lambda: voting([MANY.replace("MATCH", f"many {next(runs)}")], clients=2) * CALL,
            "single": lambda: voting(scripts(CAST, f"many {next(runs)}", 10**15)),
        },
    )
    return [
        Result(
            "cast_votes of 1,000 new voters a call, 2 sessions, worker and feed on, against cast_vote",
            ratios(tps["many"], tps["single"]),
            ("≥", 5),
            f"{median(tps['many']):,.0f} against {median(tps['single']):,.0f} votes/s by 64 sessions",
        ),
        Result("the same, votes/s", tps["many"], ("≥", 200_000)),
    ]
