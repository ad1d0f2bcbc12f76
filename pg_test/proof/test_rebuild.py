"""Damage of every kind, planted at random while people vote: each is found by verify_match and mended by rebuild_match, which no
reader sees half done. PROOF_DAMAGES says how many."""

from testkit.harness import DAMAGES, SESSIONS, random_for, running

CELLS = ["872a1072bffffff", "872a10728ffffff", "85283473fffffff", "8f2a1072b59b0db", "8009fffffffffff", None]
COUNTRIES = ["FR", "DE", "XK", None]
TEAMS = ["home", "away", "third"]
VOTE = "SELECT cast_vote('m', %s, %s, %s, %s)"
NEWEST = "seq = (SELECT max(seq) FROM vote_agg.feed)"
FAILED = "SELECT check_name FROM verify_match('m') WHERE NOT ok"


def voter(db, stop, number):
    """Casts, changes and retracts, several at a time, some rolled back."""
    random = random_for("voter", number)
    with db.connect(autocommit=False) as session:
        while not stop.is_set():
            for name in sorted(random.sample(range(500), random.randint(1, 4))):
                if random.random() < 0.1:
                    session.execute("SELECT retract_vote('m', %s)", (str(name),))
                else:
                    session.execute(VOTE, (str(name), random.choice(TEAMS), random.choice(CELLS), random.choice(COUNTRIES)))
            session.rollback() if random.random() < 0.1 else session.commit()


def reader(db, stop):
    """Whatever is damaged and mended: the totals by team are damaged only by those who say so, in `damages`."""
    with db.connect() as session:
        while not stop.is_set():
            teams, ballots = session.execute(
                "SELECT s.votes, (SELECT jsonb_object_agg(team_choice, n) FROM (SELECT team_choice, count(*) AS n FROM vote_agg.ballot GROUP BY 1) b) "
                "FROM get_realtime_stats('m') s"
            ).fetchone()
            assert {team: votes for team, votes in teams.items() if votes} == (ballots or {})


def damage(random):
    """A statement that breaks something, wherever it finds rows."""
    place = f"ctid = (SELECT ctid FROM vote_agg.{{table}} ORDER BY md5(ctid::text || '{random.random()}') LIMIT 1)"
    table = random.choice(["h3_aggregate", "country_aggregate", "timeline", "country_timeline"])
    at = place.format(table=table)
    team, votes = random.randint(1, 3), random.choice([-1_000_000, -1, 1, 2, 1_000_000_000])
    return random.choice(
        [
            f"UPDATE vote_agg.{table} SET votes[{team}] = coalesce(votes[{team}], 0) + {votes} WHERE {at}",
            f"DELETE FROM vote_agg.{table} WHERE {at} AND (SELECT sum(v) FROM unnest(votes) v) > 0",
            f"INSERT INTO vote_agg.{table} SELECT * FROM vote_agg.{table} WHERE {at}",
            f"UPDATE vote_agg.{table} SET votes = votes || {abs(votes)}::bigint WHERE {at}",
            f"UPDATE vote_agg.h3_aggregate SET h3_index = {random.choice([0, -1, 1, 608725951806701567])} WHERE {place.format(table='h3_aggregate')} AND (SELECT sum(v) FROM unnest(votes) v) > 0",
            f"UPDATE vote_agg.country_aggregate SET country_code = '{random.choice(['XX', 'US', 'fr', ''])}' WHERE {place.format(table='country_aggregate')} AND (SELECT sum(v) FROM unnest(votes) v) > 0",
            f"UPDATE vote_agg.feed SET unplaced[{team}] = coalesce(unplaced[{team}], 0) + {votes} WHERE {NEWEST}",
            f"UPDATE vote_agg.feed SET cells = cells + {votes} WHERE {NEWEST}",
            f"UPDATE vote_agg.feed SET countries = countries + {votes} WHERE {NEWEST}",
            f"UPDATE vote_agg.feed SET source_votes[1] = source_votes[1] + {votes} WHERE {NEWEST}",
        ]
    )


def test_damage_is_found_and_mended_while_people_vote(db):
    db.is_patrolled = False
    for name in range(500):
        db.sql(VOTE, str(name), TEAMS[name % 3], CELLS[name % 6], COUNTRIES[name % 4])
    db.settle()
    random, kinds = random_for("damages"), set()
    voters = [lambda stop, number=number: voter(db, stop, number) for number in range(SESSIONS // 4)]
    with running(*voters, lambda stop: reader(db, stop)) as stop, db.connect() as session:
        planted = 0
        while planted < DAMAGES and not stop.is_set():
            what = damage(random)
            # No fold may come between the damage and the look: it waits for the locks, which it takes in the same order.
            with session.transaction():
                session.execute("LOCK TABLE vote_agg.h3_aggregate, vote_agg.country_aggregate, vote_agg.timeline, vote_agg.country_timeline, vote_agg.feed IN SHARE ROW EXCLUSIVE MODE")
                assert session.execute(FAILED).fetchall() == [], what
                if session.execute(what).rowcount == 0:
                    continue
                found = session.execute(FAILED).fetchall()
                assert found, what
                kinds |= set(found)
            session.execute("SELECT rebuild_match('m')")
            assert session.execute(FAILED).fetchall() == [], what
            planted += 1
    assert planted == DAMAGES and len(kinds) >= min(DAMAGES // 10, 6), kinds
    db.settle()
    assert db.sql(FAILED) == []


def test_totals_that_were_damaged_are_mended_at_once_for_readers(still):
    """A reader sees the damage or the mended match, nothing between."""
    still.is_patrolled = False
    for name in range(2_000):
        still.sql(VOTE, str(name), TEAMS[name % 2], CELLS[name % 5], "FR")
    still.settle()
    good = still.sql("SELECT votes, active_cells FROM get_realtime_stats('m')")
    still.sql(f"UPDATE vote_agg.feed SET votes[1] = 7, cells = 3 WHERE {NEWEST}")
    damaged = still.sql("SELECT votes, active_cells FROM get_realtime_stats('m')")
    seen = set()

    def watch(stop):
        with still.connect() as session:
            while not stop.is_set():
                row = session.execute("SELECT votes, active_cells FROM get_realtime_stats('m')").fetchall()
                assert row in (good, damaged)
                seen.add(row == good)

    with running(watch, watch):
        while False not in seen:
            pass
        assert still.value("SELECT rebuild_match('m')") == 2_000
        while True not in seen:
            pass


FLIPS = "SELECT seq, scope, country_code, before, after FROM get_match_flips('m') ORDER BY seq, country_code NULLS FIRST"


def test_leaders_go_on_from_what_was_announced(db):
    """A rebuild forgets no leader, and announces those that it changes."""
    db.configure(worker="off")
    with db.connect() as session:
        session.execute("CREATE TABLE votes (match_id text, team_choice text, country_code text, voter_id text)")
        session.execute("SELECT attach_votes('votes', country_code => 'country_code')")

        def vote(team, country, count):
            session.execute("INSERT INTO votes SELECT 'm', %s, %s FROM generate_series(1, %s)", (team, country, count))

        def flips():
            return [row[1:] for row in session.execute(FLIPS).fetchall() if row[0] == session.execute("SELECT max(seq) FROM vote_agg.feed").fetchone()[0]]

        def leaders():
            return session.execute("SELECT country_code, leader_before, leader FROM vote_agg.country_aggregate ORDER BY 1").fetchall()

        vote("home", "FR", 50)
        vote("home", "IT", 9)
        db.settle()
        assert flips() == [("match", None, None, "home"), ("country", "FR", None, "home"), ("country", "IT", None, "home")]
        vote("away", "FR", 54)  # ahead, by less than the margin
        db.settle()
        session.execute("SELECT rebuild_match('m')")
        assert flips() == [] and leaders() == [("FR", 0, 0), ("IT", 0, 0)]
        vote("home", "FR", 9)
        db.settle()
        assert flips() == []
        # Behind the triggers' back: FR changes its leader, DE gets one, IT loses its votes.
        session.execute("SET session_replication_role = replica")
        vote("away", "FR", 200)
        vote("away", "DE", 20)
        session.execute("DELETE FROM votes WHERE country_code = 'IT'")
        session.execute("RESET session_replication_role")
        session.execute("SELECT rebuild_match('m')")
        wanted = [("match", None, "home", "away"), ("country", "DE", None, "away"), ("country", "FR", "home", "away"), ("country", "IT", "home", None)]
        assert flips() == wanted
        message = session.execute("SELECT body -> 'flips' FROM get_match_changes('m', 0) ORDER BY seq DESC LIMIT 1").fetchone()
        print(message)
        vote("home", "FR", 900)
        db.settle()
        assert ("country", "FR", "away", "home") in flips()
