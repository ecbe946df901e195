// The library is loaded by a program that was linked without it, on one thread, used on another, and cannot be unloaded.
#include <boringquic.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what)                                               \
  do {                                                            \
    if (!(what)) {                                                \
      fprintf(stderr, "%d: not so: %s\n", __LINE__, #what);       \
      exit(1);                                                    \
    }                                                             \
  } while (0)

static void *library;

static void *use(void *unused) {
  bquic_endpoint *(*make)(bquic_config *, int32_t *) = (bquic_endpoint * (*)(bquic_config *, int32_t *)) dlsym(library, "bquic_endpoint_new");
  int32_t (*step)(bquic_endpoint *, bquic_step *) = (int32_t (*)(bquic_endpoint *, bquic_step *))dlsym(library, "bquic_endpoint_step");
  int32_t (*release)(bquic_endpoint *) = (int32_t (*)(bquic_endpoint *))dlsym(library, "bquic_endpoint_free");
  CHECK(make != NULL && step != NULL && release != NULL);
  bquic_step one = {.size = sizeof one};
  bquic_endpoint *endpoint = make(NULL, NULL);
  CHECK(endpoint != NULL && step(endpoint, &one) == BQUIC_OK && release(endpoint) == BQUIC_OK);
  return unused;
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  CHECK(library != NULL);
  CHECK(dlsym(library, "bq_go_init") == NULL); // what is ours is hidden
  for (int i = 0; i < 10; i++) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, use, NULL) == 0 && pthread_join(thread, NULL) == 0);
  }
  uint64_t (*now)(void) = (uint64_t (*)(void))dlsym(library, "bquic_now");
  CHECK(dlclose(library) == 0 && now() > 0);
  return 0;
}
