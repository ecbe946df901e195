// The load by quiche's names: the same program is linked to quiche itself, and to our library under its names.
#include <quiche.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "perf.h"

const char *const api_name = PERF_NAME;
const char *api_version(void) { return quiche_version(); }

enum { ID = 16, WINDOW = 16 << 20, CONNS = 64 };

// conn is a connection of a server, or the client's.
typedef struct conn {
  quiche_conn *quic;
  quiche_h3_conn *h3;
  uint8_t ids[2][QUICHE_MAX_CONN_ID_LEN];  // that datagrams come with: ours, and what the client made up
  size_t id_lens[2];
  bool touched;
  size_t waiting;  // streams of it that wait for room
} conn;

static quiche_config *config;
static quiche_h3_config *h3_config;
static address self;
static conn conns[CONNS];
static size_t count;
static uint8_t out_buf[TRAIN];
static char date[40];

static void good(int status, const char *what) {
  if (status < 0) {
    die("%s: %d", what, status);
  }
}

static conn *add(quiche_conn *quic, const uint8_t *own, const uint8_t *other, size_t other_len) {
  if (quic == NULL || count == CONNS) {
    die("no connection");
  }
  conn *c = &conns[count++];
  *c = (conn){.quic = quic, .id_lens = {ID, other_len}};
  memcpy(c->ids[0], own, ID);
  memcpy(c->ids[1], other, other_len);
  return c;
}

void begin(const address *local, const address *remote) {
  static const uint8_t perf[] = "\4perf";
  self = *local;
  config = quiche_config_new(QUICHE_PROTOCOL_VERSION);
  if (config == NULL) {
    die("config");
  }
  if (given.server) {
    good(quiche_config_load_cert_chain_from_pem_file(config, given.cert), "certificate");
    good(quiche_config_load_priv_key_from_pem_file(config, given.key), "key");
  } else {
    good(quiche_config_load_verify_locations_from_file(config, given.ca), "roots");
    quiche_config_verify_peer(config, true);
  }
  good(given.h3 ? quiche_config_set_application_protos(config, (const uint8_t *)QUICHE_H3_APPLICATION_PROTOCOL, sizeof QUICHE_H3_APPLICATION_PROTOCOL - 1)
                : quiche_config_set_application_protos(config, perf, sizeof perf - 1), "protocols");
  quiche_config_set_max_idle_timeout(config, 600000);
  quiche_config_set_max_recv_udp_payload_size(config, 65527);
  quiche_config_set_max_send_udp_payload_size(config, given.payload);
  quiche_config_set_initial_max_data(config, 2 * WINDOW);
  quiche_config_set_initial_max_stream_data_bidi_local(config, WINDOW);
  quiche_config_set_initial_max_stream_data_bidi_remote(config, WINDOW);
  quiche_config_set_initial_max_stream_data_uni(config, WINDOW);
  quiche_config_set_initial_max_streams_bidi(config, 1000);
  quiche_config_set_initial_max_streams_uni(config, 16);
  quiche_config_set_max_connection_window(config, 2 * WINDOW);
  quiche_config_set_max_stream_window(config, WINDOW);
  quiche_config_set_cc_algorithm(config, QUICHE_CC_CUBIC);
  quiche_config_enable_pacing(config, false);
  if (given.h3) {
    h3_config = quiche_h3_config_new();
  }
  if (remote != NULL) {
    uint8_t id[ID];
    if (getrandom(id, sizeof id, 0) != ID) {
      die("getrandom");
    }
    add(quiche_connect("localhost", id, ID, (const struct sockaddr *)&self, sizeof self, (const struct sockaddr *)remote, sizeof *remote, config), id, id, 0);
  }
}

// receive gives a datagram to the connection that it is for.
static void receive(uint8_t *data, size_t n, address *from) {
  conn *c = count > 0 && !given.server ? &conns[0] : NULL;
  if (given.server) {
    uint32_t version;
    uint8_t type, source[QUICHE_MAX_CONN_ID_LEN], to[QUICHE_MAX_CONN_ID_LEN], token[128];
    size_t source_len = sizeof source, to_len = sizeof to, token_len = sizeof token;
    if (quiche_header_info(data, n, ID, &version, &type, source, &source_len, to, &to_len, token, &token_len) < 0) {
      return;
    }
    for (size_t i = count; i-- > 0 && c == NULL;) { // the newest first
      for (size_t k = 0; k < 2; k++) {
        if (conns[i].id_lens[k] == to_len && memcmp(conns[i].ids[k], to, to_len) == 0) {
          c = &conns[i];
        }
      }
    }
    if (c == NULL) {
      uint8_t id[ID];
      if (!quiche_version_is_supported(version) || getrandom(id, sizeof id, 0) != ID) {
        return;
      }
      c = add(quiche_accept(id, ID, NULL, 0, (const struct sockaddr *)&self, sizeof self, (const struct sockaddr *)from, sizeof *from, config), id, to, to_len);
    }
  }
  quiche_recv_info info = {(struct sockaddr *)from, sizeof *from, (struct sockaddr *)&self, sizeof self};
  quiche_conn_recv(c->quic, data, n, &info); // what is wrong closes the connection
  c->touched = true;
}

#define FIELD(n, v) {(const uint8_t *)(n), sizeof(n) - 1, (const uint8_t *)(v), sizeof(v) - 1}

// head sends the header section of a response. It tells whether a body may follow: not as long as there is no room for the section.
static bool head(conn *c, exchange *x) {
  char length[24];
  quiche_h3_header fields[] = {
      FIELD(":status", "200"), FIELD("content-type", "application/octet-stream"), {(const uint8_t *)"content-length", 14, (const uint8_t *)length, decimal(length, x->out)},
      {(const uint8_t *)"date", 4, (const uint8_t *)date, http_date(date)},
  };
  int sent = quiche_h3_send_response(c->h3, c->quic, x->id, fields, 4, x->out == 0);
  if (sent == QUICHE_H3_ERR_STREAM_BLOCKED) {
    x->waits = true;
    c->waiting++;
    return false;
  }
  x->headed = true;
  if (sent < 0 || x->out == 0) {
    x->fin = true;
    forget(x);
    return false;
  }
  return true;
}

// writes sends what there is of an exchange. One that has to wait for room stands for it until all of it was taken.
static void writes(conn *c, exchange *x) {
  c->waiting -= x->waits;
  x->waits = false;
  if (c->h3 != NULL && !x->headed && !head(c, x)) {
    return;
  }
  while (!x->fin) {
    const uint8_t *data;
    uint64_t code;
    bool fin;
    size_t n = next_part(x, &data, &fin);
    ssize_t took = c->h3 != NULL ? quiche_h3_send_body(c->h3, c->quic, x->id, data, n, fin) : quiche_conn_stream_send(c->quic, x->id, data, n, fin, &code);
    if (took < 0 && took != QUICHE_ERR_DONE) {
      if (!given.server) {
        die("send: %zd", took);
      }
      forget(x);
      return;
    }
    if (took < 0 || !part_sent(x, (size_t)took, n)) {
      x->waits = true;
      c->waiting++;
      return;
    }
  }
}

// reads reads what there is of an exchange, and has a server answer.
static void reads(conn *c, exchange *x) {
  for (;;) {
    bool fin = false;
    uint64_t code;
    ssize_t n = quiche_conn_stream_recv(c->quic, x->id, block, sizeof block, &fin, &code);
    if (n == QUICHE_ERR_DONE) {
      return;
    }
    if (n < 0) {
      if (!given.server) {
        die("receive: %zd", n);
      }
      forget(x);
      return;
    }
    came(x, block, (size_t)n, fin);
    if (fin) {
      break;
    }
  }
  if (given.server) {
    writes(c, x);
  }
}

// HTTP/3, of servers alone.

static int find_path(uint8_t *name, size_t name_len, uint8_t *value, size_t value_len, void *want) {
  if (name_len == 5 && memcmp(name, ":path", 5) == 0) {
    *(uint64_t *)want = wanted((const char *)value, value_len);
  }
  return 0;
}

static void requests(conn *c) {
  quiche_h3_event *ev;
  for (int64_t id; (id = quiche_h3_conn_poll(c->h3, c->quic, &ev)) >= 0;) {
    exchange *x;
    switch (quiche_h3_event_type(ev)) {
      case QUICHE_H3_EVENT_HEADERS:
        x = find((uint64_t)id);
        quiche_h3_event_for_each_header(ev, find_path, &x->want);
        break;
      case QUICHE_H3_EVENT_DATA:
        x = find((uint64_t)id);
        for (ssize_t n; (n = quiche_h3_recv_body(c->h3, c->quic, (uint64_t)id, block, sizeof block)) > 0;) {
          came(x, block, (size_t)n, false);
        }
        break;
      case QUICHE_H3_EVENT_FINISHED:
        x = find((uint64_t)id);
        came(x, NULL, 0, true);
        writes(c, x);
        break;
      default:
        break;
    }
    quiche_h3_event_free(ev);
  }
}

// act does what a connection's streams want.
static void act(conn *c) {
  uint64_t id;
  if (!quiche_conn_is_established(c->quic)) {
    return;
  }
  if (given.h3) {
    if (c->h3 == NULL && (c->h3 = quiche_h3_conn_new_with_transport(c->quic, h3_config)) == NULL) {
      die("HTTP/3");
    }
    requests(c);
  } else {
    quiche_stream_iter *readable = quiche_conn_readable(c->quic);
    while (quiche_stream_iter_next(readable, &id)) {
      reads(c, find(id));
    }
    quiche_stream_iter_free(readable);
  }
  if (c->waiting > 0) {
    quiche_stream_iter *writable = quiche_conn_writable(c->quic);
    while (quiche_stream_iter_next(writable, &id)) {
      if (c->waiting > 0 && waits(id)) {
        writes(c, find(id));
      }
    }
    quiche_stream_iter_free(writable);
  }
  if (!given.server) {
    for (exchange *x; quiche_conn_peer_streams_left_bidi(c->quic) > 0 && (x = next_request()) != NULL;) {
      writes(c, x);
    }
  }
}

// sends sends as many datagrams as are good to be sent at once, in trains of which only the last datagram may be shorter. True: there may be more.
static bool sends(conn *c) {
  size_t payload = quiche_conn_max_send_udp_payload_size(c->quic), most = quiche_conn_send_quantum(c->quic), begun = 0, end = 0, segment = 0;
  quiche_send_info info;
  train t = {0};
  most = most > sizeof out_buf ? sizeof out_buf : most < payload ? payload : most;
  bool more = true;
  while (end + payload <= most) {
    ssize_t n = quiche_conn_send(c->quic, out_buf + end, payload, &info);
    if (n < 0) {
      more = false;
      break;
    }
    if (begun < end && ((size_t)n > segment || (end - begun) % segment != 0)) {
      t.data = out_buf + begun, t.len = (uint32_t)(end - begun), t.segment = (uint32_t)segment;
      send_trains(&t, 1);
      begun = end;
    }
    if (begun == end) {
      segment = (size_t)n;
    }
    end += (size_t)n;
    memcpy(&t.peer, &info.to, sizeof t.peer);
  }
  if (begun < end) {
    t.data = out_buf + begun, t.len = (uint32_t)(end - begun), t.segment = (uint32_t)segment;
    send_trains(&t, 1);
  }
  return more;
}

static void drop(conn *c) {
  if (!given.server) {
    die("the connection is over");
  }
  if (c->h3 != NULL) {
    quiche_h3_conn_free(c->h3);
  }
  quiche_conn_free(c->quic);
  *c = conns[--count];
}

uint64_t turn(train *in, size_t n) {
  for (size_t i = 0; i < n; i++) {
    for (size_t at = 0; at < in[i].len; at += in[i].segment) {
      receive(in[i].data + at, in[i].len - at < in[i].segment ? in[i].len - at : in[i].segment, &in[i].peer);
    }
  }
  uint64_t wait = UINT64_MAX;
  for (size_t i = 0; i < count; i++) {
    conn *c = &conns[i];
    if (quiche_conn_timeout_as_nanos(c->quic) <= 1) {
      quiche_conn_on_timeout(c->quic);
      c->touched = true;
    }
    if (c->touched || n == 0) {
      act(c);
      c->touched = true;
      for (int k = 0; k < TURNS && c->touched; k++) {
        c->touched = sends(c);
      }
    }
    if (quiche_conn_is_closed(c->quic)) {
      drop(c);
      i--;
      continue;
    }
    uint64_t left = c->touched ? 0 : quiche_conn_timeout_as_nanos(c->quic);
    wait = left < wait ? left : wait;
  }
  return wait;
}

void end(void) {
  quiche_conn_close(conns[0].quic, true, 0, NULL, 0);
  sends(&conns[0]);
}
