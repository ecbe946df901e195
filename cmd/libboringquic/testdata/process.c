// What the library does to a process, and what a process may do: fork, signals.
#define _GNU_SOURCE // RTLD_DEFAULT
#include "check.h"
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t handled;
static void on_signal(int number) {
  volatile char room[8000]; // more than the stack of a goroutine has
  memset((char *)room, number, sizeof room);
  handled++;
}

static void *busy(void *stop) {
  bquic_memory memory = {.size = sizeof memory};
  while (!*(volatile int *)stop) {
    GOOD(bquic_memory_stats(&memory));
  }
  return NULL;
}

// A child that was forked gets an error from each function that needs Go, and does not hang; and it can exec.
static void forks(void) {
  GOOD(bquic_init(NULL));
  for (int i = 0; i < 20; i++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      bquic_memory memory = {.size = sizeof memory};
      FAILS(bquic_memory_stats(&memory), BQUIC_ERR_FORKED, "has not called exec");
      FAILS(bquic_init(NULL), BQUIC_ERR_FORKED, "was forked");
      FAILS(bquic_live_objects(), BQUIC_ERR_FORKED, "was forked");
      FAILS(bquic_set_log(NULL, NULL), BQUIC_ERR_FORKED, "was forked");
      CHECK(bquic_now() > 0);
      _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
  }
  CHECK(system("true") == 0);
}

// Handlers that lack SA_ONSTACK are mended, while threads are within the library, and those of others are left as they are.
static void signals(void) {
  struct sigaction action = {.sa_handler = on_signal};
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR2, &action, NULL) == 0);
  CHECK(bquic_fix_signals() == 2);
  CHECK(bquic_fix_signals() == 0);
  CHECK(sigaction(SIGUSR1, NULL, &action) == 0 && action.sa_handler == on_signal && action.sa_flags & SA_ONSTACK);
  CHECK(sigaction(SIGTERM, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
  int stop = 0;
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) {
    CHECK(pthread_create(&threads[i], NULL, busy, &stop) == 0);
  }
  for (int i = 0; i < 4000; i++) {
    CHECK(pthread_kill(threads[i % 4], SIGUSR1) == 0);
  }
  *(volatile int *)&stop = 1;
  for (int i = 0; i < 4; i++) {
    pthread_join(threads[i], NULL);
  }
  CHECK(handled > 0);
}

static void block(sigset_t *set, int number) {
  sigaddset(set, number);
  CHECK(pthread_sigmask(SIG_BLOCK, set, NULL) == 0);
}

// What a program with the library in it takes itself it blocks before the library has threads.
static sigset_t own;
__attribute__((constructor(200))) static void before_main(void) { block(&own, SIGHUP); }

// Signals that the program has blocked wait for it to take them, by whichever threads the library has.
static void taken(void) {
  int hangups = 0, ends = 0;
  if (dlsym(RTLD_DEFAULT, "bquic_init") != NULL) { // it is a shared library
    block(&own, SIGTERM);
  }
  for (int i = 0; i < 200; i++) {
    int number = i & 1 && sigismember(&own, SIGTERM) ? SIGTERM : SIGHUP;
    CHECK(kill(getpid(), number) == 0);
    int got = sigtimedwait(&own, NULL, &(struct timespec){60, 0});
    CHECK(got == number);
    hangups += got == SIGHUP;
    ends += got == SIGTERM;
  }
  CHECK(hangups == 100 + 100 * !sigismember(&own, SIGTERM) && hangups + ends == 200);
}

// An error belongs to the thread that made it.
static void *fails(void *unused) {
  FAILS(bquic_memory_stats(NULL), BQUIC_ERR_ARGUMENT, "NULL");
  return unused;
}
static void threads(void) {
  bquic_memory memory = {0};
  FAILS(bquic_memory_stats(&memory), BQUIC_ERR_ARGUMENT, "size of the");
  for (int i = 0; i < 64; i++) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, fails, NULL) == 0 && pthread_join(thread, NULL) == 0);
  }
  CHECK(strstr(bquic_error(), "size of the") != NULL);
}

int main(void) {
  forks();
  signals();
  taken();
  threads();
  return 0;
}
