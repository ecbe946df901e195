// The functions that need no object.
#include "check.h"

int main(void) {
  CHECK(strcmp(bquic_error(), "") == 0);
  CHECK(bquic_abi_version() == BQUIC_ABI_VERSION);
  CHECK(strcmp(bquic_version(), "0.1.0") == 0);
  CHECK(strcmp(bquic_status_name(BQUIC_OK), "BQUIC_OK") == 0);
  CHECK(strcmp(bquic_status_name(BQUIC_ERR_PATH), "BQUIC_ERR_PATH") == 0);
  CHECK(strcmp(bquic_status_name(BQUIC_ERR_NETWORK), "BQUIC_ERR_NETWORK") == 0);
  CHECK(strcmp(bquic_status_name(BQUIC_ERR_NETWORK - 1), "BQUIC_ERR_?") == 0);
  CHECK(strcmp(bquic_status_name(1), "BQUIC_ERR_?") == 0);

  GOOD(bquic_init(NULL));
  bquic_options options = {0};
  FAILS(bquic_init(&options), BQUIC_ERR_ARGUMENT, "size of the bquic_options is 0");
  options.size = sizeof options;
  GOOD(bquic_init(&options));
  options.gc_percent = -1;
  FAILS(bquic_init(&options), BQUIC_ERR_ARGUMENT, "memory_limit is 0");
  options.memory_limit = UINT64_MAX;
  FAILS(bquic_init(&options), BQUIC_ERR_ARGUMENT, "2^63-1");
  options.memory_limit = 64 << 20;
  GOOD(bquic_init(&options));

  bquic_memory memory = {.size = sizeof memory};
  GOOD(bquic_memory_stats(&memory));
  CHECK(memory.used > 0 && memory.used <= memory.reserved);
  FAILS(bquic_memory_stats(NULL), BQUIC_ERR_ARGUMENT, "the bquic_memory is NULL");
  memory.size--;
  FAILS(bquic_memory_stats(&memory), BQUIC_ERR_ARGUMENT, "set it to sizeof(bquic_memory)");

  uint64_t now = bquic_now();
  CHECK(now > 0 && bquic_now() >= now);
  CHECK(bquic_live_objects() == 0);
  return 0;
}
