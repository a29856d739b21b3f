/* Sets the wall clock of one process forth or back, as an administrator would for all of them.

   LD_PRELOAD this, with WALL_CLOCK naming a file of eight bytes: how many nanoseconds the process's
   wall clock is ahead (a signed integer in the machine's order). Whoever writes the file sets the
   clock, at once. The monotonic clock goes on.

   As the kernel has it, a wait until a wall time is over when the clock says so, however it came to:
   set back, a wait under way grows. (libfaketime 0.9.10 does not know cnd_timedwait, by which
   librdkafka waits: the faked time reaches the kernel, and under a clock that is a day ahead every
   wait lasts a day, as under no real clock.) */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define SLICE (SECOND / 10)  /* how late a wait notices that the clock was set forth */
#define LONG_AGO 1000000000  /* no wall time in seconds is before 2001, no uptime beyond 31 years */

/* The functions behind those below. A plain dlsym may find the condition variables of an old ABI. */
#define REAL(name, version) \
  static __typeof__(&name) real; \
  if (!real && !(real = dlvsym(RTLD_NEXT, #name, version))) real = dlsym(RTLD_NEXT, #name)

typedef int (*Wait)(void *, void *, const struct timespec *);

static const volatile long long *ahead;
static atomic_uint signals[4096];

__attribute__((constructor)) static void begin(void) {
  const char *name = getenv("WALL_CLOCK");
  int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  void *found = file < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, file, 0);
  if (file >= 0) close(file);
  if (found != MAP_FAILED) ahead = found;
}

/* ------------------------------------------------------------ asking the time */

static long long nanoseconds(const struct timespec *t) { return t->tv_sec * SECOND + t->tv_nsec; }

static long long real_now(void) {
  struct timespec t;
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
  return nanoseconds(&t);
}

static long long now(void) { return real_now() + (ahead ? *ahead : 0); }

static struct timespec of(long long ns) {
  return (struct timespec){.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND};
}

int clock_gettime(clockid_t clock, struct timespec *t) {
  if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
    return syscall(SYS_clock_gettime, clock, t);
  *t = of(now());
  return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  (void)zone;
  long long ns = now();
  *t = (struct timeval){.tv_sec = ns / SECOND, .tv_usec = ns % SECOND / 1000};
  return 0;
}

time_t time(time_t *t) {
  time_t seconds = now() / SECOND;
  if (t) *t = seconds;
  return seconds;
}

int timespec_get(struct timespec *t, int base) {
  if (base == TIME_UTC) *t = of(now());
  return base == TIME_UTC ? base : 0;
}

/* ------------------------------------------------------------ waiting until a time */

static atomic_uint *heard(const void *cond) { return &signals[(uintptr_t)cond / 16 % 4096]; }

static int early(const struct timespec *due) { return now() < nanoseconds(due); }

/* Until when to wait at first, on the kernel's clock, for what is due at `due`. */
static struct timespec slice(const struct timespec *due) {
  long long left = nanoseconds(due) - now();
  return of(real_now() + (left < 0 ? 0 : left < SLICE ? left : SLICE));
}

/* Wait slice by slice. Between two of them nobody waits, and a signal would be lost: it is counted. */
static int wait_until(Wait wait, void *cond, void *mutex, const struct timespec *due, int late) {
  unsigned before = atomic_load(heard(cond));
  for (;;) {
    struct timespec until = slice(due);
    int result = wait(cond, mutex, &until);
    if (result != late || !early(due)) return result;
    if (atomic_load(heard(cond)) != before) return 0;
  }
}

int pthread_cond_timedwait(
    pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
    const struct timespec *restrict due) {
  REAL(pthread_cond_timedwait, "GLIBC_2.3.2");
  if (due->tv_sec < LONG_AGO) return real(cond, mutex, due);
  return wait_until((Wait)real, cond, mutex, due, ETIMEDOUT);
}

int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict due) {
  REAL(cnd_timedwait, "GLIBC_2.28");
  return wait_until((Wait)real, cond, mutex, due, thrd_timedout);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict due) {
  REAL(sem_timedwait, "GLIBC_2.34");
  int result;
  do {
    struct timespec until = slice(due);
    result = real(semaphore, &until);
  } while (result < 0 && errno == ETIMEDOUT && early(due));
  return result;
}

int pthread_cond_signal(pthread_cond_t *cond) {
  REAL(pthread_cond_signal, "GLIBC_2.3.2");
  atomic_fetch_add(heard(cond), 1);
  return real(cond);
}

int pthread_cond_broadcast(pthread_cond_t *cond) {
  REAL(pthread_cond_broadcast, "GLIBC_2.3.2");
  atomic_fetch_add(heard(cond), 1);
  return real(cond);
}

int cnd_signal(cnd_t *cond) {
  REAL(cnd_signal, "GLIBC_2.28");
  atomic_fetch_add(heard(cond), 1);
  return real(cond);
}

int cnd_broadcast(cnd_t *cond) {
  REAL(cnd_broadcast, "GLIBC_2.28");
  atomic_fetch_add(heard(cond), 1);
  return real(cond);
}
