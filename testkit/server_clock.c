/*
 * A clock that a test sets: preloaded into a server, it adds the seconds in a file to the time of day. How long things take stays as it is.
 *
 * SERVER_CLOCK: the file, one int64_t. All processes map it, so all see a new value at once. A signal handler and a child that it forks
 * see it, too: the postmaster of PostgreSQL 15 forks its workers in one, inside select(), where libfaketime turns itself off.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead;
static int (*next)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SERVER_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);

    /* The clock of the machine would do as badly as none. */
    if (mapped == MAP_FAILED) {
        perror("SERVER_CLOCK");
        abort();
    }
    close(file);
    ahead = mapped;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    int failed;

    if (!next)
        next = dlsym(RTLD_NEXT, "clock_gettime");
    failed = next(id, now);
    if (!failed && ahead && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        now->tv_sec += *ahead;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    int failed = clock_gettime(CLOCK_REALTIME, &precise);

    (void) zone;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *seconds)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds)
        *seconds = now.tv_sec;
    return now.tv_sec;
}
