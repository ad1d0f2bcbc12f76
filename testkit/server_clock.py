"""The clock of a server, which a test sets while the server runs (libfaketime). How long things take stays as it is."""

import contextlib
import os
import pathlib

LIBRARY = "/usr/lib/{}/faketime/libfaketime.so.1"
VARIABLES = {
    "FAKETIME_NO_CACHE": "1",  # each look at the clock reads the file
    "FAKETIME_DISABLE_SHM": "1",
    "DONT_FAKE_MONOTONIC": "1",  # only the clock is set: pauses and waits go on
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}


class ServerClock:
    """`with clock.environment(): cluster.start()` starts a server by this clock; `clock.set(3600)` sets it an hour ahead of ours."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder) / "clock"
        self.set(0)
        self.path.chmod(0o644)

    def set(self, seconds):
        """The whole content is written at once, so that nobody reads a part of it."""
        new = self.path.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.chmod(0o644)
        new.rename(self.path)

    @contextlib.contextmanager
    def environment(self):
        before = dict(os.environ)
        library = LIBRARY.format(os.uname().machine + "-linux-gnu")
        assert pathlib.Path(library).exists(), f"{library} is missing: run scripts/setup"
        os.environ.update(VARIABLES, LD_PRELOAD=library, FAKETIME_TIMESTAMP_FILE=str(self.path))
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
