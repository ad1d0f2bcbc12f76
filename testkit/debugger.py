"""Holds sessions at named points of the code, as a debugger would, by the setting vote_agg.test_pause."""

import concurrent.futures

from testkit.harness import eventually

KEY = 20240721  # whoever reaches its point waits for this advisory lock
VOTE_POINTS = ("vote:locked", "vote:looked")
FOLD_POINTS = ("fold:sized", "fold:drained", "fold:done")


class Debugger:
    """`with Debugger(db) as debugger`: until `go_on`, sessions started by `stop_at` wait at their points."""

    def __init__(self, db):
        self.db, self.sessions = db, []
        self.tester = db.connect()
        self.pool = concurrent.futures.ThreadPoolExecutor()

    def __enter__(self):
        self.hold()
        return self

    def __exit__(self, *_):
        self.tester.close()  # gives its lock back, so that nobody is left waiting
        self.pool.shutdown()
        for session in self.sessions:
            session.close()

    def hold(self):
        self.tester.execute("SELECT pg_advisory_lock(%s)", (KEY,))

    def stop_at(self, point, query, *params, session=None):
        """Starts `query` and waits until it stands at the point; returns a future of its rows."""
        if session is None:
            session = self.db.connect()
            self.sessions.append(session)
        session.execute("SELECT set_config('vote_agg.test_pause', %s, false)", (point,))

        def run():
            rows = session.execute(query, params or None).fetchall()
            session.execute("RESET vote_agg.test_pause")
            return rows

        future = self.pool.submit(run)
        pid = session.info.backend_pid
        eventually(f"a session stands at {point}", lambda: future.done() or self.stands(pid))
        assert not future.done(), f"it passed {point}: {future.result()}"
        return future

    def stands(self, pid):
        query = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = %s AND locktype = 'advisory' AND objid = %s AND NOT granted)"
        return self.tester.execute(query, (pid, KEY)).fetchone()[0]

    def go_on(self):
        """Everybody goes on; whoever reaches a point from now on does not stop."""
        self.tester.execute("SELECT pg_advisory_unlock(%s)", (KEY,))
