// A process without file descriptors.
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MOST = 64 };

// fill takes all descriptors that there are, and returns the last one.
static int fill(void) {
  int last = -1, fd;
  while ((fd = open("/dev/null", O_RDONLY)) >= 0) {
    last = fd;
  }
  CHECK(errno == EMFILE);
  return last;
}

int main(void) {
  struct rlimit most = {MOST, MOST};
  CHECK(setrlimit(RLIMIT_NOFILE, &most) == 0);
  int last = fill();
  int32_t status = 1;
  FAILS(bquic_init(NULL), BQUIC_ERR_STATE, "two descriptors");
  CHECK(bquic_config_new() == NULL);
  CHECK(bquic_queue_new(&status) == NULL);
  FAILS(status, BQUIC_ERR_STATE, "too many open files");
  CHECK(close(last) == 0);
  FAILS(bquic_init(NULL), BQUIC_ERR_STATE, "two descriptors");
  CHECK(close(last - 1) == 0 && close(last - 2) == 0);
  GOOD(bquic_init(NULL));
  // A timer is set, which is what wants them.
  bquic_queue *queue = bquic_queue_new(&status);
  GOOD(status);
  fill();
  CHECK(bquic_queue_new(&status) == NULL);
  FAILS(status, BQUIC_ERR_NETWORK, "too many open files");
  bquic_event event;
  CHECK(bquic_queue_wait(queue, &event, 1, 1000000) == 0);
  GOOD(bquic_queue_free(queue));
  CHECK(bquic_live_objects() == 0);
  return 0;
}
