#ifndef BORINGQUIC_SUITETEST_H
#define BORINGQUIC_SUITETEST_H

#include <stdint.h>

void bq_offer_only(void *ssl_ctx, uint16_t suite);

#endif
