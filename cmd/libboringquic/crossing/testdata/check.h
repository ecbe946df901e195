// What the programs here hold to be so.
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(...)                                                      \
  do {                                                                  \
    if (!(__VA_ARGS__)) {                                               \
      fprintf(stderr, "line %d: not so: %s\n", __LINE__, #__VA_ARGS__); \
      exit(1);                                                          \
    }                                                                   \
  } while (0)

#endif
