"""A writer that has locked the heap, stands somewhere, and ends long after others went on."""

from pending_heaps import LATE_CALL
from testkit.debugger import VOTE_POINTS, Debugger

WHERE = (*VOTE_POINTS, "idle", "savepoint", "prepared", "prepared late")


class LateWriter:
    def __init__(self, db, where):
        self.where, self.name = where, f"late in {db.name}"
        self.session = db.connect()
        self.debugger = Debugger(db)

    def __enter__(self):
        self.debugger.__enter__()
        # A block that it began to fill is where it would go on.
        self.session.execute("BEGIN")
        self.session.execute(LATE_CALL[0], LATE_CALL[1:])
        self.session.execute("ROLLBACK")
        self.session.execute("BEGIN")
        if self.where in VOTE_POINTS:
            self.vote = self.debugger.stop_at(self.where, *LATE_CALL, session=self.session)
            return self
        if self.where == "savepoint":
            self.session.execute("SAVEPOINT s")
        self.session.execute(LATE_CALL[0], LATE_CALL[1:])
        if self.where == "savepoint":
            self.session.execute("RELEASE SAVEPOINT s")
        if self.where == "prepared":
            self.prepare()
        return self

    def __exit__(self, *error):
        self.debugger.__exit__(*error)
        self.session.close()

    def prepare(self):
        self.session.execute(f"PREPARE TRANSACTION '{self.name}'")

    def half_way(self):
        """Folds have gone on; some writers are prepared only now."""
        if self.where == "prepared late":
            self.prepare()

    def end(self, how):
        self.debugger.go_on()
        if self.where in VOTE_POINTS:
            self.vote.result()
        self.session.execute(f"{how} PREPARED '{self.name}'" if "prepared" in self.where else how)
