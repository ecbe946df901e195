// Structs that begin with their size, which may be another one where the program and the library are of different versions.
#include <string.h>

#include "internal.h"

int32_t bq_sized(const void *given, uint32_t least, const char *what) {
  if (given == NULL) {
    return bq_fail(BQUIC_ERR_ARGUMENT, "the %s is NULL", what);
  }
  uint32_t size = bq_size(given);
  return size >= least ? BQUIC_OK : bq_fail(BQUIC_ERR_ARGUMENT, "size of the %s is %u, and must be at least %u: set it to sizeof(%s)", what, size, least, what);
}

int32_t bq_take(void *own, uint32_t own_size, const void *given, uint32_t least, const char *what) {
  int32_t status = bq_sized(given, least, what);
  if (status) {
    return status;
  }
  uint32_t size = bq_size(given);
  for (uint32_t i = own_size; i < size; i++) {
    if (((const uint8_t *)given)[i] != 0) {
      return bq_fail(BQUIC_ERR_UNSUPPORTED, "the %s has something at offset %u, where the library, which is older than its header, has no field", what, i);
    }
  }
  memset(own, 0, own_size);
  memcpy(own, given, size < own_size ? size : own_size);
  return BQUIC_OK;
}

void bq_give(void *given, const void *own, uint32_t own_size) {
  uint32_t size = bq_size(given), common = size < own_size ? size : own_size, after = sizeof size;
  memcpy((uint8_t *)given + after, (const uint8_t *)own + after, common - after);
  memset((uint8_t *)given + common, 0, size - common);
}
