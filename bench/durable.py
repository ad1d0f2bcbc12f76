"""What a server keeps when the machine loses its power: what it has flushed.

A preloaded library (flushed.c) notes what writes to the server's log replace, and what is flushed. After a kill the log is put back
into the state of the last flush. A server that acknowledges before it flushes loses acknowledged votes then.
"""

import contextlib
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

from bench.load import HERE

NOTE = struct.Struct("=6Q")
WRITE, FLUSH = ord("W"), ord("F")


class Disk:
    """The notes of a server whose logs have `files` in their paths. The server starts with `environment`."""

    def __init__(self, files):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="disk."))
        self.folder.chmod(0o777)  # the server is another user's
        library, self.notes = self.folder / "flushed.so", self.folder / "notes"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, HERE / "flushed.c", "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "FLUSHED_NOTES": str(self.notes), "FLUSHED_FILES": files}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    @contextlib.contextmanager
    def inserted(self):
        """Programs that are started meanwhile write to this disk."""
        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def forget(self, folder):
        """Undoes in the folder's files what was written and not flushed; returns how many writes that were. No server runs there."""
        paths = {path.stat().st_ino: path for path in pathlib.Path(folder).rglob("*") if path.is_file()}
        undone = 0
        for inode, at, length, size, kept in reversed(self.unflushed()):
            if inode not in paths:
                continue
            undone += 1
            with paths[inode].open("r+b") as file:
                file.seek(at)
                file.write(kept)
                if at + length > size:
                    file.truncate(size)
        return undone

    def unflushed(self):
        """The writes since the last flush of each file, in order."""
        data, place, writes, flushed = self.notes.read_bytes(), 0, [], {}
        if not data:
            raise RuntimeError("the server has noted nothing: the library is not loaded")
        while place < len(data):
            kind, inode, at, length, size, kept = NOTE.unpack_from(data, place)
            if kind == WRITE:
                start = place + NOTE.size
                writes.append((place, (inode, at, length, size, data[start : start + kept])))
            elif kind == FLUSH:
                flushed[inode] = at
            else:
                raise RuntimeError(f"a note of an unknown kind at {place}")
            place += NOTE.size + kept
        return [write for place, write in writes if place >= flushed.get(write[0], 0)]
