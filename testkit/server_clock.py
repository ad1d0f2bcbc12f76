"""The clock of a server, which a test sets while the server runs (server_clock.c). How long things take stays as it is."""

import contextlib
import ctypes
import mmap
import os
import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).with_suffix(".c")


class ServerClock:
    """`with clock.environment(): cluster.start()` starts a server by this clock; `clock.set(3600)` sets it an hour ahead of ours."""

    def __init__(self, folder, seconds=0):
        self.path, self.library = pathlib.Path(folder) / "clock", pathlib.Path(folder) / "clock.so"
        if not self.library.exists():
            subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", self.library, SOURCE, "-ldl"], check=True)
            self.library.chmod(0o755)
        with open(self.path, "a+b") as file:
            self.path.chmod(0o644)
            file.truncate(ctypes.sizeof(ctypes.c_int64))
            self.ahead = ctypes.c_int64.from_buffer(mmap.mmap(file.fileno(), ctypes.sizeof(ctypes.c_int64)))
        self.set(seconds)

    def set(self, seconds):
        """One store, which all processes of the server see at once."""
        self.ahead.value = seconds

    def variables(self):
        """Of the environment of the server's processes."""
        return {"LD_PRELOAD": str(self.library), "SERVER_CLOCK": str(self.path)}

    @contextlib.contextmanager
    def environment(self):
        before = dict(os.environ)
        os.environ.update(self.variables())
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
