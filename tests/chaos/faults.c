// Loaded before the C library (LD_PRELOAD): whoever reads bytes with one of these words meets with the fault it names, as if
// the decoder of those bytes had it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static int contains(const char *bytes, ssize_t length, const char *word) {
    return memmem(bytes, (size_t)length, word, strlen(word)) != NULL;
}

static ssize_t meet_fault(const void *bytes, ssize_t length) {
    if (length <= 0 || !contains(bytes, length, "FAULT:")) return length;
    if (contains(bytes, length, "FAULT:crash")) *(volatile int *)0 = 1;
    if (contains(bytes, length, "FAULT:abort")) abort();
    while (contains(bytes, length, "FAULT:stall")) pause();
    if (contains(bytes, length, "FAULT:slow")) {
        // Counted in a file, a byte for each.
        int log = open(getenv("FAULT_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0644);
        if (write(log, "s", 1) == 1) close(log);
        usleep(100000);
    }
    while (contains(bytes, length, "FAULT:memory")) {
        char *block = malloc(64 << 20);
        if (block == NULL) abort();
        memset(block, 1, 64 << 20);
    }
    return length;
}

ssize_t read(int file, void *bytes, size_t length) {
    static ssize_t (*original)(int, void *, size_t);
    if (original == NULL) original = dlsym(RTLD_NEXT, "read");
    return meet_fault(bytes, original(file, bytes, length));
}

// The process ends at the rename with the number FAULT_RENAME, before it.
int rename(const char *from, const char *to) {
    static int (*original)(const char *, const char *);
    static int count;
    if (original == NULL) original = dlsym(RTLD_NEXT, "rename");
    const char *last = getenv("FAULT_RENAME");
    if (last != NULL && ++count == atoi(last)) raise(SIGKILL);
    return original(from, to);
}

// In 1971, if FAULT_CLOCK is set.
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*original)(clockid_t, struct timespec *);
    if (original == NULL) original = dlsym(RTLD_NEXT, "clock_gettime");
    int result = original(clock, time);
    if (clock == CLOCK_REALTIME && getenv("FAULT_CLOCK") != NULL) time->tv_sec = 31536000 + time->tv_sec % 86400;
    return result;
}

ssize_t pread64(int file, void *bytes, size_t length, off64_t offset) {
    static ssize_t (*original)(int, void *, size_t, off64_t);
    if (original == NULL) original = dlsym(RTLD_NEXT, "pread64");
    return meet_fault(bytes, original(file, bytes, length, offset));
}
