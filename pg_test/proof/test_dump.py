"""pg_dump and restore keep everything, folded and pending, taken at rest or under load; the feed goes on."""

import contextlib

import pytest

import ballots
import pending_heaps
import vote_calls
from test_standby import READS
from testkit import oracle
from testkit.harness import eventually, random_for, running


def restore(source, target, way):
    """Dumps one database and restores it into the other, which is empty."""
    path = source.cluster.path / f"{source.name}.{way}"
    server = ("-h", source.cluster.path, "-U", "postgres")
    source.cluster.run("pg_dump", *server, "-d", source.name, f"--format={way}", "-f", path)
    if way == "plain":
        source.cluster.run("psql", *server, "-d", target.name, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", path)
    else:
        source.cluster.run("pg_restore", *server, "-d", target.name, "--exit-on-error", path)


@pytest.fixture
def target(cluster, new_database):
    """Where a dump goes: an empty database whose worker leaves what was pending to the test."""
    database = new_database(cluster, extension=False)
    database.configure(worker="off")
    database.is_patrolled = False  # halfway through a restore nothing adds up
    return database


@pytest.mark.parametrize("way", ["plain", "custom"])
def test_restored_at_rest(still, target, way):
    """What is read is the same, to the byte where it is text; then votes go on and a new history begins in the feed."""
    rng, journal = random_for("dump"), []

    def vote(db, times):
        with db.connect() as session:
            for _ in range(times):
                statements, votes = vote_calls.some(rng, "m", vote_calls.any_vote)
                for statement in statements:
                    session.execute(*statement)
                journal.extend(votes)
            ballots.cast_some(session, rng, journal, "m", times)

    still.sql("SELECT open_match('declared', ARRAY['x', 'y'])")
    vote(still, 30)
    still.settle()
    vote(still, 10)
    still.settle()
    vote(still, 10)
    assert still.pending() > 0
    restore(still, target, way)
    for name in READS.keys() - {"stat_fold", "stat_pending"}:  # these two are about the server's files
        read = READS[name].replace(" seq, epoch,", " seq,")  # it is another history
        assert still.sql(read) == target.sql(read), name
    assert target.pending() == still.pending()
    old_seq, old_epoch = still.sql("SELECT seq, epoch FROM get_realtime_stats('m')")[0]
    new_epoch = target.value("SELECT epoch FROM get_realtime_stats('m')")
    vote(target, 10)
    with target.connect() as session:
        assert not oracle.differences(session, "m", journal)
        target.settle()
        assert not oracle.differences(session, "m", journal, folded=True)
    rows = target.sql("SELECT seq, epoch FROM vote_agg.feed WHERE match_id = 'm' ORDER BY seq")
    assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1)) and len(rows) > old_seq
    assert {epoch for seq, epoch in rows if seq > old_seq} == {new_epoch} != {old_epoch}


def test_pending_votes_of_either_heap_are_restored(still, target):
    """The marks and whose turn it is stay behind: they are about files."""
    still.configure(turn_size=pending_heaps.TURN_SIZE)
    journal = []
    with still.connect() as late:
        late.execute("BEGIN")
        late.execute(pending_heaps.LATE_CALL[0], pending_heaps.LATE_CALL[1:])
        pending_heaps.turn(still, journal)
        late.execute("COMMIT")
    journal += [pending_heaps.LATE, pending_heaps.grow(still, 100)]
    pending = dict(still.sql("SELECT heap, rows FROM vote_agg.stat_pending WHERE heap <> 'pending_aside'"))
    assert min(pending.values()) > 0, "both heaps have votes that are not folded"
    restore(still, target, "custom")
    pending_heaps.equals(target, journal)
    pending_heaps.fold_on(target, journal, rounds=3)
    pending_heaps.fold_until_the_mark_moves(target, journal)
    target.settle()
    pending_heaps.equals(target, journal)


def test_restored_from_a_dump_under_load(db, target):
    """Folds move votes while they are dumped; the journal is in the same dump, so it says what must be there."""
    db.sql("CREATE TABLE journal (match text, team text, cell bigint, country text, votes bigint, in_total bool)")

    def voter(number):
        def run(stop):
            rng = random_for("dump", number)
            with db.connect() as session:
                while not stop.is_set():
                    statements, votes = vote_calls.some(rng, "m", vote_calls.any_vote)
                    with session.transaction():
                        for statement in statements:
                            session.execute(*statement)
                        for vote in votes:
                            session.execute("INSERT INTO journal VALUES (%s, %s, %s, %s, %s, %s)", vote)
                    session.execute(*ballots.cast(rng, f"voter {rng.randrange(10)}", ballots.any_choice(rng), "ballots"))

        return run

    with running(*map(voter, range(4))):
        eventually("folds go on", lambda: db.value("SELECT count(*) FROM vote_agg.feed") > 5)
        restore(db, target, "plain")
    with target.connect() as session:
        journal = [oracle.Vote(*row) for row in session.execute("SELECT * FROM journal")]
        assert journal and not oracle.differences(session, "m", journal)
        assert ballots.recount(session, "ballots") and not ballots.differences(session, "ballots")
        target.settle()
        assert not oracle.differences(session, "m", journal, folded=True)
        assert not ballots.differences(session, "ballots", folded=True)


def test_a_restored_end_waits_for_voters_of_its_own(still, target):
    """Which writers a match waits for is about the server that was dumped. Where it is restored, others may still write."""
    still.sql("SELECT record_vote('m', 'home'), open_match('m')")
    with still.connect() as voter:
        voter.execute("BEGIN")
        voter.execute("SELECT record_vote('m', 'home')")
        still.sql("SELECT close_match('m')")
        for _ in range(3):
            still.fold()
        assert still.value("SELECT waiting IS NOT NULL FROM vote_agg.match")
        path = still.cluster.path / "waiting.dump"
        server = ("-h", still.cluster.path, "-U", "postgres")
        still.cluster.run("pg_dump", *server, "-d", still.name, "--format=custom", "-f", path)

    def restore_section(name):
        still.cluster.run("pg_restore", *server, "-d", target.name, "--exit-on-error", f"--section={name}", path)

    restore_section("pre-data")
    with target.connect() as voter:
        voter.execute("BEGIN")
        voter.execute("SELECT record_vote('m', 'home')")
        restore_section("data")
        restore_section("post-data")
        status = "SELECT status, total_votes FROM get_realtime_stats('m')"
        for _ in range(5):
            target.fold()
        assert target.sql(status) == [("closed", 1)]
        voter.execute("COMMIT")
    eventually("it is final", lambda: target.sql("SELECT vote_agg.fold()") and target.sql(status)[0][0] == "final")
    assert target.sql(status) == [("final", 2)]


@pytest.mark.parametrize("order", ["dumped", "any"])
def test_folds_between_the_steps_of_a_restore(still, target, order):
    """Somebody folds, or a worker does, while tables are restored one by one: what is read at the end is right all the same."""
    rng, journal = random_for("dump", "folds"), []
    with still.connect() as session:
        for folded in (True, True, False):
            for _ in range(20):
                statements, votes = vote_calls.some(rng, "m", vote_calls.any_vote)
                for statement in statements:
                    session.execute(*statement)
                journal.extend(votes)
            if folded:
                session.execute("SELECT vote_agg.fold()")
    path, server = still.cluster.path / "steps.dump", ("-h", still.cluster.path, "-U", "postgres")
    still.cluster.run("pg_dump", *server, "-d", still.name, "--format=custom", "-f", path)
    chosen = still.cluster.path / "steps.list"
    entries = [line for line in still.cluster.run("pg_restore", "-l", path).splitlines() if line and not line.startswith(";")]
    tables = [entry for entry in entries if "TABLE DATA vote_agg" in entry]
    start, end = entries.index(tables[0]), entries.index(tables[-1]) + 1
    assert end - start == len(tables) > 10, "sequences are set after them"
    if order == "any":  # as several jobs restore them
        rng.shuffle(tables)
        entries[start:end] = tables
    held_by = []
    # The other jobs, which are there all the time.
    jobs = target.connect(application_name="pg_restore") if order == "any" else contextlib.nullcontext()
    with jobs:
        restore_one_by_one(still.cluster, target, entries, path, chosen, held_by)
    with target.connect() as session:
        assert not oracle.differences(session, "m", journal, folded=order == "dumped")
        session.execute(*vote_calls.record(journal[0]))
        session.execute("SELECT vote_agg.fold()")
        assert not oracle.differences(session, "m", [*journal, journal[0]], folded=True)
        rows = session.execute("SELECT count(*), max(seq) FROM vote_agg.feed WHERE match_id = 'm'").fetchone()
        assert rows[0] == rows[1]
    assert "a dump that is being restored" in held_by and held_by[-1] is None


def restore_one_by_one(cluster, target, entries, path, chosen, held_by):
    """Restores each entry of a dump by itself, and folds after it. `held_by`: what holds folds up then."""
    for entry in entries:
        chosen.write_text(entry + "\n")
        chosen.chmod(0o644)
        cluster.run("pg_restore", "-h", cluster.path, "-U", "postgres", "-d", target.name, "--exit-on-error", "-L", chosen, path)
        if target.sql("SELECT 1 FROM pg_extension WHERE extname = 'vote_agg'"):
            target.fold()
            held_by.append(target.value("SELECT held_by FROM vote_agg.stat_fold"))


def test_what_is_set_aside_is_restored(still, target):
    """A dump carries the votes of a match that could not be folded, and that it is set aside: they count at once, and fold."""
    trigger = "CREATE TRIGGER stranger BEFORE INSERT ON vote_agg.feed FOR EACH ROW WHEN (NEW.match_id = 'aside') EXECUTE FUNCTION stranger()"
    still.sql("CREATE FUNCTION stranger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$")
    still.sql(trigger)
    still.sql("SELECT record_vote('aside', 'home', NULL::text, NULL, 3), record_vote('m', 'home')")
    still.fold()
    assert still.value("SELECT set_aside FROM vote_agg.stat_fold") == ["aside"]
    still.sql("DROP TRIGGER stranger ON vote_agg.feed")
    restore(still, target, "custom")
    read = "SELECT total_votes, seq FROM get_realtime_stats('aside')"
    assert target.sql(read) == [(3, 0)] and target.value("SELECT set_aside FROM vote_agg.stat_fold") == ["aside"]
    target.settle()
    assert target.sql(read) == [(3, 1)] and target.value("SELECT set_aside FROM vote_agg.stat_fold") is None
