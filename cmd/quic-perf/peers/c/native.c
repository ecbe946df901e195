// The load over boringquic.h: all calls on streams of a turn are one crossing.
#include <boringquic.h>
#include <string.h>

#include "perf.h"

const char *const api_name = "boringquic, boringquic.h";
const char *api_version(void) { return bquic_version(); }

enum { EVENTS = 256, PART = 2048 };  // PART: bytes that are received of each stream in the common crossing

static bquic_endpoint *endpoint;
static bquic_conn *connection;  // a client's
static bool ready;               // its handshake is complete
static bquic_addr self;
static uint8_t out_buf[TURNS * TRAIN];

// ops are the calls of a crossing, of their exchanges.
static bquic_op ops[EVENTS];
static exchange *of[EVENTS];
static uint8_t parts[EVENTS][PART + 64];  // not a power of two apart, so that they do not share the places of caches
static size_t ops_len;

enum { FIELDS = 4 };

// heads are the header sections of responses, one for each call of a crossing. Most are as the last one at their place was.
static struct {
  bquic_h3_field fields[FIELDS];  // none until the first
  uint64_t size;                  // that length tells
  char length[24];
} heads[EVENTS];
static char date[40];  // of this turn
static uint32_t date_len;

static int64_t good(int64_t status, const char *what) {
  if (status < 0) {
    die("%s: %s: %s", what, bquic_status_name((int32_t)status), bquic_error());
  }
  return status;
}

void begin(const address *local, const address *remote) {
  static const uint8_t perf[] = "\4perf";
  bquic_config *config = bquic_config_new();
  int32_t status;
  self.in4 = *local;
  good(bquic_config_set_u64(config, BQUIC_MAX_UDP_PAYLOAD, given.payload), "config");
  good(bquic_config_set_u64(config, BQUIC_MAX_IDLE_TIMEOUT, 600000000000), "config");
  good(bquic_config_set_u64(config, BQUIC_MAX_STREAMS_BIDI, SLOTS / 2), "config");
  good(bquic_config_set_u64(config, BQUIC_NO_TICKETS, 1), "config");
  good(given.h3 ? bquic_config_set_u64(config, BQUIC_H3, 1) : bquic_config_set_bytes(config, BQUIC_ALPN, perf, sizeof perf - 1), "config");
  if (given.server) {
    good(bquic_config_add_cert_files(config, given.cert, given.key), "certificate");
  } else {
    good(bquic_config_add_roots_file(config, given.ca), "roots");
  }
  endpoint = bquic_endpoint_new(given.server ? config : NULL, &status);
  good(status, "endpoint");
  if (remote != NULL) {
    bquic_connect params = {.size = sizeof params, .server_name = "localhost", .remote = {.in4 = *remote}, .local = self};
    connection = bquic_endpoint_connect(endpoint, config, &params, &status);
    good(status, "connect");
  }
  good(bquic_config_free(config), "config");
}

// call makes the calls that were gathered.
static void call(void) {
  if (ops_len > 0) {
    good(bquic_endpoint_ops(endpoint, ops, ops_len), "ops");
  }
}

// want_send gathers the next part of an exchange.
static void want_send(bquic_conn *conn, exchange *x) {
  const uint8_t *data;
  bool fin;
  size_t n = next_part(x, &data, &fin);
  of[ops_len] = x;
  ops[ops_len++] = (bquic_op){.conn = conn, .stream = x->id, .kind = BQUIC_OP_SEND, .flags = fin ? BQUIC_FIN : 0, .data = (void *)data, .len = n};
}

// sends makes the calls that want_send has gathered, and more where all was taken and there is more.
static void sends(void) {
  while (ops_len > 0) {
    call();
    size_t n = ops_len;
    ops_len = 0;
    for (size_t i = 0; i < n; i++) {
      if (ops[i].result < 0) {
        if (!given.server) {
          die("send: %s", bquic_status_name((int32_t)ops[i].result));
        }
        forget(of[i]);
      } else if (part_sent(of[i], (size_t)ops[i].result, ops[i].len) && !of[i]->fin) {
        want_send(ops[i].conn, of[i]);
      }
    }
  }
}

static void want_recv(bquic_conn *conn, uint64_t stream) {
  of[ops_len] = find(stream);
  ops[ops_len] = (bquic_op){.conn = conn, .stream = stream, .kind = BQUIC_OP_RECV, .data = parts[ops_len], .len = PART};
  ops_len++;
}

// receives makes the calls that want_recv has gathered, reads on where there is more, and has answers sent.
static void receives(void) {
  call();
  size_t n = ops_len;
  ops_len = 0;
  for (size_t i = 0; i < n; i++) {
    exchange *x = of[i];
    bquic_conn *conn = ops[i].conn;
    int64_t got = ops[i].result;
    uint32_t flags = ops[i].flags;
    size_t asked = PART;
    const uint8_t *data = ops[i].data;
    for (;;) {
      if (got < 0) {
        if (!given.server) {
          die("receive: %s", bquic_status_name((int32_t)got));
        }
        forget(x);
        break;
      }
      came(x, data, (size_t)got, flags & BQUIC_FIN);
      if (flags & BQUIC_FIN || (size_t)got < asked) {
        break;
      }
      data = block, asked = sizeof block;
      got = bquic_stream_recv(conn, x->id, block, sizeof block, &flags, NULL);
    }
    if (given.server && x->open && x->ended && !x->fin) {
      want_send(conn, x);
    }
  }
}

// HTTP/3, of servers alone.

#define FIELD(n, v) (bquic_h3_field){.name = (n), .value = (v), .name_len = sizeof(n) - 1, .value_len = sizeof(v) - 1}

// want_respond gathers a header section with the first part of its body.
static void want_respond(bquic_conn *conn, exchange *x) {
  size_t at = ops_len;
  bquic_h3_field *f = heads[at].fields;
  if (f->name == NULL || heads[at].size != x->out) {
    heads[at].size = x->out;
    f[0] = FIELD(":status", "200");
    f[1] = FIELD("content-type", "application/octet-stream");
    f[2] = (bquic_h3_field){.name = "content-length", .name_len = 14, .value = heads[at].length, .value_len = decimal(heads[at].length, x->out)};
    f[3] = (bquic_h3_field){.name = "date", .name_len = 4, .value = date, .value_len = date_len};
  }
  want_send(conn, x);
  ops[at].kind = BQUIC_OP_RESPOND, ops[at].fields = f, ops[at].fields_len = FIELDS;
}

static void request(const bquic_event *ev) {
  const bquic_h3_message *m = ev->data;
  exchange *x = find(ev->stream);
  for (uint32_t i = 0; i < m->fields_len; i++) {
    if (m->fields[i].name_len == 5 && memcmp(m->fields[i].name, ":path", 5) == 0) {
      x->want = wanted(m->fields[i].value, m->fields[i].value_len);
      break;
    }
  }
  if (ev->flags & BQUIC_FIN) {
    came(x, NULL, 0, true);
    want_respond(ev->conn, x);
  }
}

// body reads a request's body to its end, and answers then.
static void body(bquic_conn *conn, exchange *x) {
  uint32_t flags = 0;
  int64_t n;
  do {
    n = bquic_stream_recv(conn, x->id, block, sizeof block, &flags, NULL);
    if (n < 0) {
      forget(x);
      return;
    }
    came(x, block, (size_t)n, flags & BQUIC_FIN);
  } while (n == sizeof block);
  if (flags & BQUIC_FIN) {
    want_respond(conn, x);
  }
}

static void act(const bquic_event *events, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const bquic_event *ev = &events[i];
    switch (ev->kind) {
      case BQUIC_EVENT_HANDSHAKE_COMPLETE:
        ready = true;
        break;
      case BQUIC_EVENT_CLOSED:
        if (!given.server) {
          bquic_conn_end why = {.size = sizeof why};
          good(bquic_conn_error(ev->conn, &why), "error");
          die("the connection is over: %s", why.reason);
        }
        break;
      case BQUIC_EVENT_READABLE:
        if (!given.h3) {
          want_recv(ev->conn, ev->stream);
        }
        break;
    }
  }
  if (!given.h3) {
    receives();
    for (size_t i = 0; i < n; i++) {
      if (events[i].kind == BQUIC_EVENT_WRITABLE) {
        exchange *x = find(events[i].stream);
        if (x->out > 0 && (!given.server || x->ended)) {
          sends();
          want_send(events[i].conn, x);
        }
      }
    }
  } else {
    date_len = http_date(date);
    for (size_t i = 0; i < n; i++) {
      const bquic_event *ev = &events[i];
      if (ev->kind == BQUIC_EVENT_REQUEST) {
        request(ev);
      } else if (ev->kind == BQUIC_EVENT_READABLE) {
        body(ev->conn, find(ev->stream));
      } else if (ev->kind == BQUIC_EVENT_WRITABLE) {
        want_send(ev->conn, find(ev->stream));
      }
    }
  }
  sends();
  if (!given.server && ready) {
    for (exchange *x; (x = next_request()) != NULL;) {
      if (ops_len == EVENTS) {
        sends();
      }
      want_send(connection, x);
    }
    sends();
  }
}

uint64_t turn(train *in, size_t n) {
  bquic_train trains[BATCH], out[TURNS];
  bquic_event events[EVENTS];
  for (size_t i = 0; i < n; i++) {
    trains[i] = (bquic_train){.data = in[i].data, .len = in[i].len, .seg_size = in[i].segment, .local = self, .remote = {.in4 = in[i].peer}};
  }
  bquic_step step = {.size = sizeof step, .in = trains, .in_len = (uint32_t)n, .events = events, .events_max = EVENTS};
  do {
    good(bquic_endpoint_step(endpoint, &step), "step");
    act(events, step.events_len);
    step.in_len = 0;
  } while (step.more & BQUIC_MORE_EVENTS);
  step.events = NULL, step.events_max = 0;
  step.out = out, step.out_max = TURNS, step.buf = out_buf, step.buf_len = sizeof out_buf;
  good(bquic_endpoint_step(endpoint, &step), "step");
  train sent[TURNS];
  for (uint32_t i = 0; i < step.out_len; i++) {
    sent[i] = (train){out[i].data, out[i].len, out[i].seg_size, out[i].remote.in4};
  }
  send_trains(sent, step.out_len);
  if (step.deadline == UINT64_MAX) {
    return step.deadline;
  }
  uint64_t now = clock_ns();
  return step.deadline > now ? step.deadline - now : 0;
}

void end(void) {
  train none[1];
  good(bquic_conn_close(connection, 0, 0, NULL, 0), "close");
  ready = false;
  given.server = true;  // nobody minds the end
  turn(none, 0);
}
