#ifndef BORINGQUIC_ALLOCTEST_H
#define BORINGQUIC_ALLOCTEST_H

#include <stdint.h>

int64_t bq_alloc_live(void);
int64_t bq_alloc_peak(void);
int64_t bq_alloc_count(void);
void bq_alloc_fail(int64_t n, int more);

#endif
