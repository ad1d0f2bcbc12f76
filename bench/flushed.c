/*
 * A disk that forgets: preloaded into a server, it notes what each write to a log replaces, and which of these were flushed since.
 * With that bench/durable.py puts the files back into the state of the last flush, as a machine that loses its power may.
 *
 * FLUSHED_NOTES: the file of notes. FLUSHED_FILES: a part of the paths that it is about. Notes come before a write and after a flush;
 * a flush names the notes that were there when it began.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct note {
    uint64_t kind; /* 'W' or 'F' */
    uint64_t inode;
    uint64_t at;     /* W: offset in the file; F: length of the notes when the flush began */
    uint64_t length; /* W: of the write */
    uint64_t size;   /* W: of the file before it */
    uint64_t kept;   /* W: bytes that follow, which the write replaces */
};

static int notes = -1;
static const char *files;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FLUSHED_NOTES");

    files = getenv("FLUSHED_FILES");
    if (path && files)
        notes = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
}

/* Whether a file is one of those; its state then. */
static int is_log(int fd, struct stat *state)
{
    char link[64], path[4096];
    ssize_t length;

    if (notes < 0 || fd == notes)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return strstr(path, files) && fstat(fd, state) == 0 && S_ISREG(state->st_mode);
}

static void write_down(const struct note *note, const void *bytes)
{
    struct iovec parts[2] = {{(void *) note, sizeof *note}, {(void *) bytes, note->kept}};

    /* Notes with a gap would prove nothing. */
    if (writev(notes, parts, 2) != (ssize_t) (sizeof *note + note->kept))
        abort();
}

static void before_write(int fd, uint64_t length, int64_t offset)
{
    struct stat state;
    struct note note = {.kind = 'W'};
    char *bytes;
    ssize_t kept;

    if (!is_log(fd, &state))
        return;
    if (offset < 0)
        offset = fcntl(fd, F_GETFL) & O_APPEND ? state.st_size : lseek(fd, 0, SEEK_CUR);
    bytes = malloc(length + 1);
    kept = offset < state.st_size ? pread(fd, bytes, length, offset) : 0;
    if (!bytes || kept < 0)
        abort();
    note.inode = state.st_ino;
    note.at = offset;
    note.length = length;
    note.size = state.st_size;
    note.kept = kept;
    write_down(&note, bytes);
    free(bytes);
}

static int flush(int fd, const char *name)
{
    int (*next)(int) = dlsym(RTLD_NEXT, name);
    struct stat state, noted;
    struct note note = {.kind = 'F'};
    int is_noted = is_log(fd, &state) && fstat(notes, &noted) == 0;
    int done = next(fd);

    if (is_noted && done == 0) {
        note.inode = state.st_ino;
        note.at = noted.st_size;
        write_down(&note, NULL);
    }
    return done;
}

int fsync(int fd) { return flush(fd, "fsync"); }

int fdatasync(int fd) { return flush(fd, "fdatasync"); }

ssize_t write(int fd, const void *bytes, size_t length)
{
    static ssize_t (*next)(int, const void *, size_t);

    if (!next)
        next = dlsym(RTLD_NEXT, "write");
    before_write(fd, length, -1);
    return next(fd, bytes, length);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    static ssize_t (*next)(int, const void *, size_t, off_t);

    if (!next)
        next = dlsym(RTLD_NEXT, "pwrite");
    before_write(fd, length, offset);
    return next(fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) { return pwrite(fd, bytes, length, offset); }
