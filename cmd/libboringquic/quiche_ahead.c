// quiche.h: what is read from streams and written to them without Go, from what it has shown (quiche_ahead.go).
#include <string.h>

#include "quiche_internal.h"

// find returns a stream that was shown, NULL if it was not, or may have changed by datagrams that Go has not seen. As a rule it is that of the call before,
// or the one after it.
static bq_shown *find(const quiche_conn *conn, uint64_t id) {
  bq_ahead *a = conn->ahead;
  if (a == NULL || conn->busy || conn->in_len > 0) {
    return NULL;
  }
  for (uint32_t i = 0; i < a->shown; i++, a->last++) {
    if (a->last >= a->shown) {
      a->last = 0;
    }
    if (a->streams[a->last].id == id) {
      return &a->streams[a->last];
    }
  }
  return NULL;
}

bool bq_ahead_recv(quiche_conn *conn, uint64_t id, uint8_t *out, size_t n, bool *fin, ssize_t *got) {
  bq_shown *s = find(conn, id);
  if (s == NULL || n == 0 || s->over || (s->at == s->end && !s->fin)) {
    return false;
  }
  if (n > s->end - s->at) {
    n = s->end - s->at;
  }
  memcpy(out, conn->ahead->in + s->at, n);
  s->at += (uint32_t)n, s->taken += (uint32_t)n;
  *fin = s->over = s->ends = s->fin && s->at == s->end;
  *got = (ssize_t)n;
  conn->owed = conn->stale = true;
  return true;
}

bool bq_ahead_send(quiche_conn *conn, uint64_t id, const uint8_t *buf, size_t n, bool fin) {
  bq_ahead *a = conn->ahead;
  if (a == NULL || conn->busy || conn->in_len > 0 || (n == 0 && !fin) || a->written == BQ_SHOWN || n > sizeof a->out - a->out_len) {
    return false;
  }
  if (id == a->opens && id != UINT64_MAX) {
    if (n > a->opens_room || conn->streams_left[0] == 0) {
      return false;
    }
    a->opens += 4;
    conn->streams_left[0]--;
  } else {
    bq_shown *s = find(conn, id);
    if (s == NULL || n > s->room || !s->writable) {
      return false;
    }
    s->room -= (uint32_t)n;
    s->writable = !fin;
  }
  if (n > 0) {
    memcpy(a->out + a->out_len, buf, n);
  }
  a->writes[a->written++] = (bq_written){id, (uint32_t)n, fin};
  a->out_len += (uint32_t)n;
  conn->owed = conn->stale = true;
  return true;
}
