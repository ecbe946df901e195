// Calls of quiche.h at random, on a client and a server that hand each other their datagrams in memory, of which some are lost, doubled, swapped or
// damaged. It prints what each call returned. Linked to quiche and linked to our library it has to print the same: calls are made when both ends have
// nothing more to tell each other, so that what they return does not depend on how either makes its packets.
//
//	calls SEED CALLS chain key
#include <arpa/inet.h>
#include <inttypes.h>
#include <quiche.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"

enum { ROOM = 1350, IDS = 24, HELD = 64 };

// end is one of the two.
typedef struct end {
  const char *name;
  quiche_conn *quic;
  struct sockaddr_in address;
  struct {
    uint8_t data[ROOM];
    size_t len;
  } held[HELD]; // that are on their way to it
  size_t count;
  uint64_t fresh[2]; // the streams of its own that it opens next: bidirectional, unidirectional. One after another: a peer learns of those between, too
} end;

static end ends[2] = {{.name = "client"}, {.name = "server"}};
static quiche_config *config;
static uint64_t calls_of, network; // the two streams of random numbers: what the network does must not change what is called
static int step;
static bool unreliable; // datagrams wait, which would not be sent again

static uint64_t next(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state * 2685821657736338717u >> 11;
}

static uint64_t pick(uint64_t n) { return next(&calls_of) % n; }
static bool chance(uint64_t in) { return next(&network) % in == 0; }

#define TELL(e, format, ...) printf("%d %s " format "\n", step, (e)->name, __VA_ARGS__)

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void give(end *to, end *from, uint8_t *data, size_t len) {
  quiche_recv_info info = {(struct sockaddr *)&from->address, sizeof from->address, (struct sockaddr *)&to->address, sizeof to->address};
  quiche_conn_recv(to->quic, data, len, &info);
}

// collect has an end put on its way what it has to send, or lose it.
static bool collect(end *from, end *to, bool bad) {
  quiche_send_info info;
  uint8_t out[ROOM];
  bool any = false;
  for (ssize_t n; (n = quiche_conn_send(from->quic, out, sizeof out, &info)) > 0; any = true) {
    if (to->count == HELD || (bad && chance(6))) {
      continue; // lost
    }
    size_t at = to->count++;
    if (bad && at > 0 && chance(6)) { // before the one before it
      to->held[at] = to->held[at - 1];
      at--;
    }
    memcpy(to->held[at].data, out, (size_t)n);
    to->held[at].len = (size_t)n;
    if (bad && chance(8)) {
      to->held[at].data[next(&network) % (uint64_t)n] ^= (uint8_t)(1 + next(&network) % 255);
    }
  }
  return any;
}

static void deliver(end *to, end *from, bool bad) {
  size_t count = to->count;
  to->count = 0;
  for (size_t i = 0; i < count; i++) {
    uint8_t copy[ROOM];
    memcpy(copy, to->held[i].data, to->held[i].len);
    give(to, from, to->held[i].data, to->held[i].len);
    if (bad && chance(8)) {
      give(to, from, copy, to->held[i].len);
    }
  }
}

// settle has both ends exchange datagrams until neither has anything to say, and none has a timer but those that are for later: idle, PMTU and so on.
static void settle(bool bad) {
  network = next(&calls_of) | 1;
  bad = bad && !unreliable;
  unreliable = false;
  uint64_t patience = now() + 3000000000u;
  for (int quiet = 0; quiet < 2;) {
    CHECK(now() < patience);
    bool any = collect(&ends[0], &ends[1], bad);
    any = collect(&ends[1], &ends[0], bad) || any;
    deliver(&ends[1], &ends[0], bad);
    deliver(&ends[0], &ends[1], bad);
    if (any) {
      quiet = 0;
      continue;
    }
    uint64_t wait = UINT64_MAX;
    for (int i = 0; i < 2; i++) {
      uint64_t t = quiche_conn_timeout_as_nanos(ends[i].quic);
      wait = t < wait ? t : wait;
    }
    if (wait > 400000000) { // the idle timeout
      quiet++;
      continue;
    }
    struct timespec t = {(time_t)(wait / 1000000000), (long)(wait % 1000000000)};
    nanosleep(&t, NULL);
    for (int i = 0; i < 2; i++) {
      if (quiche_conn_timeout_as_nanos(ends[i].quic) == 0) {
        quiche_conn_on_timeout(ends[i].quic);
      }
    }
  }
}

static int ascending(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

// list prints the streams of an iterator by their IDs: their order is by priority at one, and what is the same there is in no order.
static void list(end *e, const char *what, quiche_stream_iter *it) {
  uint64_t ids[1000], id;
  size_t n = 0;
  while (quiche_stream_iter_next(it, &id) && n < 1000) {
    ids[n++] = id;
  }
  quiche_stream_iter_free(it);
  qsort(ids, n, sizeof *ids, ascending);
  printf("%d %s %s", step, e->name, what);
  for (size_t i = 0; i < n; i++) {
    printf(" %" PRIu64, ids[i]);
  }
  printf("\n");
}

static void state(end *e) {
  quiche_conn *q = e->quic;
  bool app;
  uint64_t code = 0;
  const uint8_t *reason = NULL;
  size_t len = 0;
  bool closed = quiche_conn_is_closed(q), over = closed || quiche_conn_local_error(q, &app, &code, &reason, &len);
  TELL(e, "established %d early %d draining %d closed %d timed out %d resumed %d server %d readable %d", quiche_conn_is_established(q),
       quiche_conn_is_in_early_data(q), quiche_conn_is_draining(q), closed, quiche_conn_is_timed_out(q), quiche_conn_is_resumed(q),
       quiche_conn_is_server(q), !over && quiche_conn_is_readable(q));
  bool is = quiche_conn_peer_error(q, &app, &code, &reason, &len);
  TELL(e, "peer_error %d %d %" PRIu64 " %.*s", is, is && app, is ? code : 0, is ? (int)len : 0, is ? (const char *)reason : "");
  is = quiche_conn_local_error(q, &app, &code, &reason, &len);
  TELL(e, "local_error %d %d %" PRIu64 " %.*s", is, is && app, is ? code : 0, is ? (int)len : 0, is ? (const char *)reason : "");
}

static void identity(end *e) {
  quiche_conn *q = e->quic;
  const uint8_t *b = NULL;
  size_t n = 0, m;
  quiche_conn_application_proto(q, &b, &n);
  TELL(e, "application_proto %.*s", (int)n, (const char *)b);
  n = 0;
  quiche_conn_server_name(q, &b, &n);
  TELL(e, "server_name %.*s", (int)n, (const char *)b);
  n = 0;
  quiche_conn_peer_cert(q, &b, &n);
  m = n;
  quiche_conn_session(q, &b, &n);
  TELL(e, "peer_cert %zu session %d", m, n > 0);
  quiche_conn_source_id(q, &b, &n);
  quiche_conn_destination_id(q, &b, &m);
  TELL(e, "source_id %zu destination_id %zu", n, quiche_conn_is_established(q) ? m : 0);
  if (!quiche_conn_is_established(q)) {
    return;
  }
  TELL(e, "scids_left %zu active_scids %zu available_dcids %zu retired_scids %zu", quiche_conn_scids_left(q), quiche_conn_active_scids(q),
       quiche_conn_available_dcids(q), quiche_conn_retired_scids(q));
  quiche_transport_params p;
  TELL(e, "peer_transport_params %d", quiche_conn_peer_transport_params(q, &p));
}

static void garbage(end *e) {
  end *from = &ends[e == ends];
  uint8_t b[200];
  size_t n = 1 + pick(sizeof b - 1);
  for (size_t i = 0; i < n; i++) {
    b[i] = (uint8_t)next(&calls_of);
  }
  quiche_recv_info info = {(struct sockaddr *)&from->address, sizeof from->address, (struct sockaddr *)&e->address, sizeof e->address};
  ssize_t got = quiche_conn_recv(e->quic, b, n, &info);
  TELL(e, "recv of garbage, %zu bytes, first %02x: %zd", n, b[0] & 0xc0, got == (ssize_t)n ? 0 : got);
}

// some_id picks a stream: one of a few, which there are or could be opened next; or one beyond the limit.
static uint64_t some_id(const end *e, bool sends) {
  uint64_t id = pick(IDS);
  if (id & 2 && (id & 1) != (uint64_t)(sends == (e == &ends[1]))) { // of its direction
    id ^= 1;
  }
  if (pick(12) == 0) {
    return (1000 + pick(4000)) * 4 + (id & 3);
  }
  uint64_t fresh = ends[id & 1].fresh[id >> 1 & 1];
  return id >> 2 > fresh ? fresh << 2 | (id & 3) : id;
}

// opened takes note of a stream that an end has used.
static void opened(end *e, uint64_t id, int64_t result) {
  if (result >= 0 && (id & 1) == (uint64_t)(e == &ends[1]) && id >> 2 == e->fresh[id >> 1 & 1]) {
    e->fresh[id >> 1 & 1]++;
  }
}

// call makes one call at an end.
static void call(end *e) {
  static const int sizes[] = {0, 1, 10, 100, 300, 900};
  quiche_conn *q = e->quic;
  uint64_t what = pick(22), id = some_id(e, what < 4 || what == 8 || what == 9 || what == 11 || what == 19), code = 4711, seq = 99;
  size_t size = (size_t)sizes[pick(6)];
  bool fin = pick(4) == 0;
  uint8_t b[3000];
  memset(b, (int)id, sizeof b);
  int64_t r;
  switch (what) {
    case 0: case 1: case 2: case 3:
      if (size == 0 && !fin) {
        size = 1; // else the peer would not hear of the stream
      }
      r = quiche_conn_stream_send(q, id, b, size, fin, &code);
      opened(e, id, r);
      TELL(e, "stream_send %" PRIu64 " %zu %d: %" PRId64 " %" PRIu64, id, size, fin, r, code);
      break;
    case 4: case 5: case 6: case 7:
      if (size == 0) {
        break;
      }
      fin = false;
      r = quiche_conn_stream_recv(q, id, b, size, &fin, &code);
      TELL(e, "stream_recv %" PRIu64 " %zu: %" PRId64 " %d %" PRIu64, id, size, r, r >= 0 && fin, code);
      break;
    case 8: {
      int dir = id & 2 ? 1 : (int)pick(2);
      code = pick(100);
      r = quiche_conn_stream_shutdown(q, id, dir, code);
      TELL(e, "stream_shutdown %" PRIu64 " %d %" PRIu64 ": %" PRId64, id, dir, code, r);
      opened(e, id, r);
      break;
    }
    case 9:
      r = quiche_conn_stream_capacity(q, id);
      TELL(e, "stream_capacity %" PRIu64 ": %d", id, r > 0 ? 1 : (int)r);
      break;
    case 10:
      TELL(e, "stream_finished %" PRIu64 ": %d readable %d", id, quiche_conn_stream_finished(q, id), quiche_conn_stream_readable(q, id));
      break;
    case 11:
      TELL(e, "stream_writable %" PRIu64 " %zu: %d", id, size, quiche_conn_stream_writable(q, id, size));
      break;
    case 12:
      list(e, "readable", quiche_conn_readable(q));
      break;
    case 13:
      list(e, "writable", quiche_conn_writable(q));
      break;
    case 14:
      r = quiche_conn_dgram_send(q, b, size);
      TELL(e, "dgram_send %zu: %" PRId64, size, r);
      unreliable = true;
      break;
    case 15:
      TELL(e, "dgram_recv: %zd", quiche_conn_dgram_recv(q, b, sizeof b));
      break;
    case 16:
      TELL(e, "dgram front %zd queued %zd %zd to be sent %zd %zd full %d %d", quiche_conn_dgram_recv_front_len(q), quiche_conn_dgram_recv_queue_len(q),
           quiche_conn_dgram_recv_queue_byte_size(q), quiche_conn_dgram_send_queue_len(q), quiche_conn_dgram_send_queue_byte_size(q),
           quiche_conn_is_dgram_recv_queue_full(q), quiche_conn_is_dgram_send_queue_full(q));
      break;
    case 17:
      state(e);
      break;
    case 18:
      identity(e);
      break;
    case 19: {
      uint8_t urgency = (uint8_t)pick(9);
      TELL(e, "stream_priority %" PRIu64 ": %d", id, quiche_conn_stream_priority(q, id, urgency, fin));
      break;
    }
    case 20:
      for (int i = 0; i < 16; i++) {
        b[i] = (uint8_t)next(&calls_of);
      }
      if (!quiche_conn_is_established(q)) {
        break;
      }
      switch (pick(3)) {
        case 0:
          r = quiche_conn_new_scid(q, b, 16, b + 100, fin, &seq);
          TELL(e, "new_scid: %" PRId64 " %" PRIu64, r, r == 0 ? seq : 0);
          break;
        case 1:
          seq = pick(4);
          TELL(e, "retire_dcid %" PRIu64 ": %d", seq, quiche_conn_retire_dcid(q, seq));
          break;
        default:
          TELL(e, "send_ack_eliciting %zd", quiche_conn_send_ack_eliciting(q));
      }
      break;
    case 21:
      if (quiche_conn_is_established(q)) {
        garbage(e);
      }
      break;
  }
}

static void configure(char **files) {
  CHECK((config = quiche_config_new(QUICHE_PROTOCOL_VERSION)) != NULL);
  CHECK(quiche_config_load_cert_chain_from_pem_file(config, files[0]) == 0 && quiche_config_load_priv_key_from_pem_file(config, files[1]) == 0);
  CHECK(quiche_config_load_verify_locations_from_file(config, files[0]) == 0);
  CHECK(quiche_config_set_application_protos(config, (const uint8_t *)"\4test", 5) == 0);
  quiche_config_set_max_idle_timeout(config, 30000);
  quiche_config_set_initial_max_data(config, 10000000);
  quiche_config_set_initial_max_stream_data_bidi_local(config, 1000000);
  quiche_config_set_initial_max_stream_data_bidi_remote(config, 1000000);
  quiche_config_set_initial_max_stream_data_uni(config, 1000000);
  quiche_config_set_initial_max_streams_bidi(config, 100);
  quiche_config_set_initial_max_streams_uni(config, 100);
  quiche_config_set_active_connection_id_limit(config, 3);
  quiche_config_enable_dgram(config, true, 5, 5);
  quiche_config_set_disable_active_migration(config, true);
}

static void begin(void) {
  for (int i = 0; i < 2; i++) {
    ends[i].address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)(4433 + i)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  }
  uint8_t id[2][16];
  for (int i = 0; i < 32; i++) {
    id[i / 16][i % 16] = (uint8_t)next(&calls_of);
  }
  struct sockaddr *client = (struct sockaddr *)&ends[0].address, *server = (struct sockaddr *)&ends[1].address;
  socklen_t len = sizeof ends[0].address;
  CHECK((ends[0].quic = quiche_connect("localhost", id[0], 16, client, len, server, len, config)) != NULL);
  CHECK((ends[1].quic = quiche_accept(id[1], 16, NULL, 0, server, len, client, len, config)) != NULL);
}

int main(int argc, char **argv) {
  CHECK(argc == 5);
  uint64_t seed = strtoull(argv[1], NULL, 10);
  int most = atoi(argv[2]);
  calls_of = (seed + 1) * 0x9E3779B97F4A7C15u | 1;
  configure(argv + 3);
  begin();
  for (int i = 0; i < 2; i++) { // before there is anything
    state(&ends[i]);
    for (int j = 0; j < 5; j++) {
      step++;
      call(&ends[pick(2)]);
    }
  }
  settle(false);
  for (int i = 0; i < 2; i++) {
    identity(&ends[i]);
  }
  while (step < most) {
    for (uint64_t n = 1 + pick(6); n > 0; n--) {
      step++;
      call(&ends[pick(2)]);
    }
    if (pick(3) != 0) {
      settle(pick(4) == 0);
    }
  }
  end *e = &ends[pick(2)];
  bool app = pick(2) == 0;
  settle(false);
  step++;
  TELL(e, "close %d: %d", app, quiche_conn_close(e->quic, app, 7, (const uint8_t *)"the end", 7));
  TELL(e, "close again: %d", quiche_conn_close(e->quic, app, 8, (const uint8_t *)"no", 2));
  uint64_t patience = now() + 5000000000u;
  while (!quiche_conn_is_closed(ends[0].quic) || !quiche_conn_is_closed(ends[1].quic)) {
    CHECK(now() < patience);
    settle(false);
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    for (int i = 0; i < 2; i++) {
      if (quiche_conn_timeout_as_nanos(ends[i].quic) == 0) {
        quiche_conn_on_timeout(ends[i].quic);
      }
    }
  }
  for (int i = 0; i < 2; i++) {
    state(&ends[i]);
    quiche_conn_free(ends[i].quic);
  }
  quiche_config_free(config);
  return 0;
}
