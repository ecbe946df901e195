// Ties the shim to the archives that it was compiled for: they carry a symbol that names their build.
#include "compat.h"

extern const char BORINGQUIC_KEY_SYMBOL;

const char *bq_build_key(void) { return &BORINGQUIC_KEY_SYMBOL; }
