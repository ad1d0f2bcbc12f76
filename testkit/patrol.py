"""The invariants of ARCHITECTURE that one snapshot can show, looked at again and again while a proof has load."""

import time

import psycopg

EVERY = 1  # seconds; longer where a look takes long, so that looking takes a tenth of the time at most
SHARE = 10

BROKEN = """
WITH head AS MATERIALIZED (
    SELECT DISTINCT ON (f.match_id) f.* FROM vote_agg.feed f ORDER BY f.match_id, f.seq DESC
), state AS MATERIALIZED (
    SELECT * FROM vote_agg.fold_log ORDER BY id DESC LIMIT 1
), pending AS MATERIALIZED (
    -- A row without a match is an anchor.
    SELECT 1 AS heap, p.ctid AS place, p.* FROM vote_agg.pending_1 p WHERE p.match_id <> ''
    UNION ALL SELECT 2, p.ctid, p.* FROM vote_agg.pending_2 p WHERE p.match_id <> ''
    UNION ALL SELECT 3, p.ctid, p.* FROM vote_agg.pending_aside p
), match AS MATERIALIZED (
    SELECT h.match_id FROM head h UNION SELECT p.match_id FROM pending p
), sample AS MATERIALIZED (
    SELECT m.match_id FROM match m ORDER BY random() LIMIT 20
), team AS (
    SELECT t.match_id, t.team, sum(t.votes) FILTER (WHERE t.kind = 'match') AS votes,
           sum(t.votes) FILTER (WHERE t.kind = 'cell') AS cells, sum(t.votes) FILTER (WHERE t.kind = 'minute') AS minutes
    FROM (
        SELECT 'match' AS kind, h.match_id, v.team, v.votes FROM head h, unnest(h.votes) WITH ORDINALITY AS v(votes, team)
        UNION ALL SELECT 'cell', h.match_id, v.team, v.votes FROM head h, unnest(h.unplaced) WITH ORDINALITY AS v(votes, team)
        UNION ALL SELECT 'cell', a.match_id, v.team, v.votes FROM vote_agg.h3_aggregate a, unnest(a.votes) WITH ORDINALITY AS v(votes, team)
        UNION ALL SELECT 'minute', l.match_id, v.team, v.votes FROM vote_agg.timeline l, unnest(l.votes) WITH ORDINALITY AS v(votes, team)
    ) AS t GROUP BY t.match_id, t.team
), country AS (
    SELECT t.match_id, t.country_code, t.team, sum(t.votes) AS difference
    FROM (
        SELECT a.match_id, a.country_code, v.team, v.votes FROM vote_agg.country_aggregate a, unnest(a.votes) WITH ORDINALITY AS v(votes, team)
        UNION ALL SELECT l.match_id, l.country_code, v.team, -v.votes
        FROM vote_agg.country_timeline l, unnest(l.votes) WITH ORDINALITY AS v(votes, team)
    ) AS t GROUP BY t.match_id, t.country_code, t.team
), source AS MATERIALIZED (
    SELECT s.match_id, s.source, sum(s.votes) AS votes FROM (
        SELECT h.match_id, s.source, s.votes FROM head h, unnest(h.sources, h.source_votes) AS s(source, votes)
        UNION ALL SELECT p.match_id, p.source, p.votes FROM pending p
    ) AS s GROUP BY s.match_id, s.source
)
SELECT 1 AS invariant, t.match_id, format('team %s: %s votes, %s by cell, %s by minute', t.team, t.votes, t.cells, t.minutes) AS detail
FROM team t WHERE coalesce(t.votes, 0) <> coalesce(t.cells, 0) OR coalesce(t.votes, 0) <> coalesce(t.minutes, 0)
UNION ALL
SELECT 1, c.match_id, format('country %s, team %s: differs from its time line by %s', c.country_code, c.team, c.difference)
FROM country c WHERE c.difference <> 0
UNION ALL
SELECT 1, m.match_id, format('%s votes are read, %s are folded and %s pending', s.total_votes, f.votes, p.votes)
FROM sample m
CROSS JOIN LATERAL get_realtime_stats(m.match_id) AS s
CROSS JOIN LATERAL (SELECT coalesce(sum(v), 0) AS votes FROM head h, unnest(h.votes) AS v WHERE h.match_id = m.match_id) AS f
CROSS JOIN LATERAL (SELECT coalesce(sum(q.votes), 0) AS votes FROM pending q WHERE q.match_id = m.match_id AND q.in_total) AS p
WHERE s.total_votes <> f.votes + p.votes
UNION ALL
SELECT 2, p.match_id, format('a row of pending_%s at %s: marks %s and %s, current heap %s, drained %s', p.heap, p.place, s.mark_1, s.mark_2, s.current_heap, s.drained)
FROM pending p CROSS JOIN state s
WHERE (p.heap = 1 AND s.file_1 = pg_relation_filenode('vote_agg.pending_1') AND p.place < format('(%s,0)', s.mark_1)::tid)
   OR (p.heap = 2 AND s.file_2 = pg_relation_filenode('vote_agg.pending_2') AND p.place < format('(%s,0)', s.mark_2)::tid)
   OR (s.drained AND p.heap < 3 AND p.heap <> s.current_heap)
UNION ALL
SELECT 3, f.match_id, format('%s messages from %s to %s', count(*), min(f.seq), max(f.seq))
FROM vote_agg.feed f GROUP BY f.match_id HAVING max(f.seq) - min(f.seq) + 1 <> count(*)
UNION ALL
SELECT 3, h.match_id, format('message %s calls itself %s', h.seq, h.body::json ->> 'seq')
FROM head h WHERE (h.body::json ->> 'seq')::bigint IS DISTINCT FROM h.seq
UNION ALL
SELECT 6, coalesce(s.match_id, b.match_id), format('%s ballots, %s counted', coalesce(b.ballots, 0), coalesce(s.votes, 0))
FROM (SELECT * FROM source WHERE source = 1) AS s
FULL JOIN (SELECT b.match_id, count(*) AS ballots FROM vote_agg.ballot b WHERE b.team_choice IS NOT NULL GROUP BY b.match_id) AS b USING (match_id)
WHERE coalesce(b.ballots, 0) <> coalesce(s.votes, 0) AND NOT EXISTS (
    SELECT FROM vote_agg.match m WHERE m.match_id = coalesce(s.match_id, b.match_id) AND m.ballots <> 'kept')
UNION ALL
SELECT 7, m.match_id, format('%s: %s rows are votes, %s counted', c.relation, coalesce(r.votes, 0), coalesce(s.votes, 0))
FROM sample m
CROSS JOIN (SELECT c.number, c.relation FROM vote_agg.source c WHERE c.state = 'live') AS c
LEFT JOIN LATERAL (SELECT r.source, sum(r.votes) AS votes FROM vote_agg.recount_sources(m.match_id) r GROUP BY r.source) AS r ON r.source = c.number
LEFT JOIN source s ON s.match_id = m.match_id AND s.source = c.number
WHERE coalesce(r.votes, 0) <> coalesce(s.votes, 0)
LIMIT 5
"""


def broken(session):
    """What is broken in one snapshot: numbers of invariants, matches, details."""
    return session.execute(BROKEN).fetchall()


def patrol(database):
    """A job for `harness.running`: looks every second, and raises at the first invariant that is broken."""

    def run(stop):
        while not stop.is_set():
            try:
                with database.connect() as session:
                    session.execute("SET default_transaction_read_only = on")
                    while not stop.is_set():
                        began = time.monotonic()
                        found = broken(session)
                        if found:
                            aside = session.execute("SELECT match_id, since, reason FROM vote_agg.stat_aside").fetchall()
                            raise AssertionError(f"broken invariants (number, match, detail): {found}; set aside: {aside}")
                        stop.wait(max(EVERY, SHARE * (time.monotonic() - began)))
            except (psycopg.OperationalError, psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction):
                stop.wait(EVERY)  # the server or the extension has gone for a while: some proofs do that

    return run
