// Preloaded into gaggle by tests/faults: one of its file operations below a folder goes wrong.
//   FAULT_BELOW  the folder; operations on other files pass untouched
//   FAULT_LOG    a file that gets one line per operation: "NUMBER NAME PATH"
//   FAULT        "KIND NUMBER": kill, term, eio, estale, enospc or short at that operation (from 1); full: no space from
//                there on; not set: none
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum { PASS, SHORT, FAILS };
enum { READS = 1, WRITES = 2 };

static atomic_long operations;

static int below(const char* path) {
  const char* folder = getenv("FAULT_BELOW");
  return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

// The absolute path of a name in a folder that is open (or the working folder).
static const char* path_at(int folder, const char* name, char* to) {
  if (!name || name[0] == '/') return name;
  char link[64];
  snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
  const ssize_t size = readlink(link, to, PATH_MAX / 2);
  if (size < 0) return NULL;
  snprintf(to + size, PATH_MAX - (size_t)size, "/%s", name);
  return to;
}

static const char* path_of(int file, char* to) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t size = readlink(link, to, PATH_MAX - 1);
  if (size < 0) return NULL;
  to[size] = 0;
  return to;
}

// Counts the operation, writes it down and says what becomes of it. Nothing here calls what is replaced below.
static int fate(const char* name, int does, const char* path) {
  if (!below(path)) return PASS;
  const long number = atomic_fetch_add(&operations, 1) + 1;
  const int kept = errno;
  const char* log = getenv("FAULT_LOG");
  if (log) {
    char line[PATH_MAX + 64];
    const int size = snprintf(line, sizeof line, "%ld %s %s\n", number, name, path);
    const int file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    syscall(SYS_write, file, line, (size_t)size);
    syscall(SYS_close, file);
  }
  errno = kept;
  char kind[16];
  long at = 0;
  const char* fault = getenv("FAULT");
  if (!fault || sscanf(fault, "%15s %ld", kind, &at) != 2) return PASS;
  if (strcmp(kind, "full") == 0 && number >= at && does == WRITES) return errno = ENOSPC, FAILS;
  if (number != at) return PASS;
  if (strcmp(kind, "kill") == 0) kill(getpid(), SIGKILL);
  if (strcmp(kind, "term") == 0) kill(getpid(), SIGTERM);
  if (strcmp(kind, "eio") == 0) return errno = EIO, FAILS;
  if (strcmp(kind, "estale") == 0) return errno = ESTALE, FAILS;
  if (strcmp(kind, "enospc") == 0 && does == WRITES) return errno = ENOSPC, FAILS;
  return strcmp(kind, "short") == 0 ? SHORT : PASS;
}

static int fate_at(const char* name, int does, int folder, const char* path) {
  char whole[PATH_MAX];
  return fate(name, does, path_at(folder, path, whole));
}

static int fate_of(const char* name, int does, int file) {
  char path[PATH_MAX];
  return fate(name, does, path_of(file, path));
}

static int open_at(int folder, const char* path, int flags, mode_t mode) {
  const int writes = flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC);
  if (fate_at(writes ? "open to write" : "open", writes ? WRITES : READS, folder, path) == FAILS) return -1;
  return (int)syscall(SYS_openat, folder, path, flags, mode);
}

static mode_t mode_among(int flags, va_list more) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
}

#define OPENS(name, folder, ...)          \
  int name(__VA_ARGS__, int flags, ...) { \
    va_list more;                         \
    va_start(more, flags);                \
    const mode_t mode = mode_among(flags, more); \
    va_end(more);                         \
    return open_at(folder, path, flags, mode); \
  }
OPENS(open, AT_FDCWD, const char* path)
OPENS(open64, AT_FDCWD, const char* path)
OPENS(openat, folder, int folder, const char* path)
OPENS(openat64, folder, int folder, const char* path)

// A short transfer moves half of what was asked for.
#define MOVES(name, does, type, place, ...)                                                    \
  ssize_t name(int file, type data, size_t size __VA_ARGS__) {                                 \
    const int what = fate_of(#name, does, file);                                               \
    if (what == FAILS) return -1;                                                              \
    return REAL(name)(file, data, what == SHORT && size > 1 ? size / 2 : size place);          \
  }
#define COMMA ,
MOVES(read, READS, void*, )
MOVES(write, WRITES, const void*, )
MOVES(pread, READS, void*, COMMA at, , off_t at)
MOVES(pread64, READS, void*, COMMA at, , off64_t at)
MOVES(pwrite, WRITES, const void*, COMMA at, , off_t at)
MOVES(pwrite64, WRITES, const void*, COMMA at, , off64_t at)
ssize_t writev(int file, const struct iovec* parts, int count) {
  return fate_of("writev", WRITES, file) == FAILS ? -1 : REAL(writev)(file, parts, count);
}
ssize_t copy_file_range(int from, off64_t* a, int to, off64_t* b, size_t size, unsigned flags) {
  return fate_of("copy_file_range", WRITES, to) == FAILS ? -1 : REAL(copy_file_range)(from, a, to, b, size, flags);
}
ssize_t sendfile(int to, int from, off_t* at, size_t size) {
  return fate_of("sendfile", WRITES, to) == FAILS ? -1 : REAL(sendfile)(to, from, at, size);
}

#define ON_FILE(name, does) \
  int name(int file) { return fate_of(#name, does, file) == FAILS ? -1 : REAL(name)(file); }
ON_FILE(fsync, WRITES)
ON_FILE(fdatasync, WRITES)
int ftruncate(int file, off_t size) { return fate_of("ftruncate", WRITES, file) == FAILS ? -1 : REAL(ftruncate)(file, size); }

#define ON_PATH(name) \
  int name(const char* path) { return fate_at(#name, READS, AT_FDCWD, path) == FAILS ? -1 : REAL(name)(path); }
ON_PATH(unlink)
ON_PATH(rmdir)
ON_PATH(remove)
int mkdir(const char* path, mode_t mode) {
  return fate_at("mkdir", WRITES, AT_FDCWD, path) == FAILS ? -1 : REAL(mkdir)(path, mode);
}
int unlinkat(int folder, const char* path, int flags) {
  return fate_at("unlinkat", READS, folder, path) == FAILS ? -1 : REAL(unlinkat)(folder, path, flags);
}
int rename(const char* from, const char* to) {
  return fate_at("rename", WRITES, AT_FDCWD, to) == FAILS ? -1 : REAL(rename)(from, to);
}
int renameat2(int a, const char* from, int b, const char* to, unsigned flags) {
  return fate_at("renameat2", WRITES, b, to) == FAILS ? -1 : REAL(renameat2)(a, from, b, to, flags);
}
int link(const char* from, const char* to) {
  return fate_at("link", WRITES, AT_FDCWD, to) == FAILS ? -1 : REAL(link)(from, to);
}
