"""The clock of a server, which a test sets while the server runs (libfaketime). How long things take stays as it is."""

import contextlib
import os
import pathlib

LIBRARY = pathlib.Path(f"/usr/lib/{os.uname().machine}-linux-gnu/faketime/libfaketime.so.1")
AT_ONCE = {"FAKETIME_NO_CACHE": "1"}  # each look at the clock reads the file
SOON = {"FAKETIME_CACHE_DURATION": "1"}  # within a second, at little cost
VARIABLES = {
    "FAKETIME_DISABLE_SHM": "1",
    "DONT_FAKE_MONOTONIC": "1",  # only the clock is set: pauses and waits go on
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}


class ServerClock:
    """`with clock.environment(): cluster.start()` starts a server by this clock; `clock.set(3600)` sets it an hour ahead of ours."""

    def __init__(self, folder, seconds=0, when=None):
        self.path, self.when = pathlib.Path(folder) / "clock", AT_ONCE if when is None else when
        self.set(seconds)

    def set(self, seconds):
        """The whole content is written at once, so that nobody reads a part of it."""
        new = self.path.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.chmod(0o644)
        new.rename(self.path)

    def variables(self):
        """Of the environment of the server's processes."""
        assert LIBRARY.exists(), f"{LIBRARY} is missing: run scripts/setup"
        return {**VARIABLES, **self.when, "LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(self.path)}

    @contextlib.contextmanager
    def environment(self):
        before = dict(os.environ)
        os.environ.update(self.variables())
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
