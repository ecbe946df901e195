// Signals of the process, and threads of the library's own.
#define _GNU_SOURCE // dladdr
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/auxv.h>

// Go makes its threads with those signals blocked that were blocked where it was loaded: as a rule none. They would take what a program means to take itself, by
// sigwait or signalfd, and has blocked in its own threads for that: the signal's default action would end the process. And a handler that lacks SA_ONSTACK
// would now and then run on a stack of theirs (bquic_fix_signals). So most signals are blocked while Go's first thread is made, which the others take after.
// That is between the two constructors below: in a shared library those with a priority come first, and of the others Go's, by the place in the
// archive (build.sh, link_lib). In a program with the archive in it constructors of the program could come between them: there nothing is done.

static sigset_t before;
static bool held;

static bool in_program(void) {
  Dl_info own, program;
  return dladdr(&before, &own) == 0 || dladdr((void *)getauxval(AT_PHDR), &program) == 0 || own.dli_fbase == program.dli_fbase;
}

__attribute__((constructor(65534))) static void hold_signals(void) {
  // Those that the kernel sends to the thread that has raised them, and those that Go, and profilers, send to theirs.
  static const int for_threads[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPIPE, SIGURG, SIGPROF};
  sigset_t most;
  if (in_program()) {
    return;
  }
  sigfillset(&most);
  for (size_t i = 0; i < sizeof for_threads / sizeof *for_threads; i++) {
    sigdelset(&most, for_threads[i]);
  }
  held = pthread_sigmask(SIG_BLOCK, &most, &before) == 0;
}

__attribute__((constructor)) static void let_signals(void) {
  if (held) {
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
}
