// What callers of quiche.h rely on, for HTTP/3.
#include "quiche_pair.h"

#define FIELD(n, v) {(const uint8_t *)(n), sizeof(n) - 1, (const uint8_t *)(v), sizeof(v) - 1}

static quiche_h3_header request[] = {FIELD(":method", "GET"), FIELD(":scheme", "https"), FIELD(":authority", "localhost"), FIELD(":path", "/a?b"),
                                     FIELD("X-Field", "value")};
static quiche_h3_header head[] = {FIELD(":method", "HEAD"), FIELD(":scheme", "https"), FIELD(":authority", "localhost"), FIELD(":path", "/")};
static quiche_h3_header response[] = {FIELD(":status", "200"), FIELD("server", "test")};
static quiche_h3_header interim[] = {FIELD(":status", "103"), FIELD("link", "</a>")};
static quiche_h3_header trailer[] = {FIELD("x-sum", "1")};
#define COUNT(f) (sizeof(f) / sizeof *(f))

static pair p;
static quiche_h3_conn *client, *server;
static uint8_t buf[70000];

static int collect(uint8_t *name, size_t name_len, uint8_t *value, size_t value_len, void *argp) {
  char *text = argp;
  snprintf(text + strlen(text), 500 - strlen(text), "%.*s=%.*s\n", (int)name_len, (char *)name, (int)value_len, (char *)value);
  return 0;
}

static int refuse(uint8_t *name, size_t name_len, uint8_t *value, size_t value_len, void *argp) {
  (void)name, (void)name_len, (void)value, (void)value_len;
  return --*(int *)argp ? 0 : 77;
}

static quiche_h3_event *wants(int line, quiche_h3_conn *of, enum quiche_h3_event_type type, int64_t stream) {
  quiche_h3_event *ev = NULL;
  int64_t id = quiche_h3_conn_poll(of, of == client ? p.client : p.server, &ev);
  if (id != stream || quiche_h3_event_type(ev) != type) {
    fprintf(stderr, "line %d: event %d of stream %lld, want %d of %lld; %s\n", line, ev ? (int)quiche_h3_event_type(ev) : -1, (long long)id, type,
            (long long)stream, bquic_error());
    exit(1);
  }
  return ev;
}

#define WANTS(of, type, stream) quiche_h3_event_free(wants(__LINE__, of, QUICHE_H3_EVENT_##type, stream))
#define NOTHING(of) IS(quiche_h3_conn_poll(of, of == client ? p.client : p.server, &(quiche_h3_event *){NULL}), QUICHE_H3_ERR_DONE)

static void wants_fields(quiche_h3_conn *of, int64_t stream, bool more, const char *want) {
  quiche_h3_event *ev = wants(__LINE__, of, QUICHE_H3_EVENT_HEADERS, stream);
  char text[500] = "";
  IS(quiche_h3_event_for_each_header(ev, collect, text), 0);
  if (strcmp(text, want) != 0) {
    fprintf(stderr, "fields:\n%swant:\n%s", text, want);
    exit(1);
  }
  int two = 2;
  IS(quiche_h3_event_for_each_header(ev, refuse, &two), strchr(want, '\n')[1] ? 77 : 0);
  CHECK(quiche_h3_event_headers_has_more_frames(ev) == more && quiche_h3_event_headers_has_body(ev) == more);
  quiche_h3_event_free(ev);
}

static int settings(uint64_t id, uint64_t value, void *argp) {
  if (id < 8) {
    ((uint64_t *)argp)[id] = value;
  }
  return 0;
}

static void begin(void) {
  quiche_config *config = config_with(QUICHE_H3_APPLICATION_PROTOCOL);
  quiche_config_enable_dgram(config, true, 10, 10);
  quiche_h3_config *h3 = quiche_h3_config_new();
  quiche_h3_config_set_max_field_section_size(h3, 20000);
  p = pair_of(config, config, "localhost");
  CHECK(quiche_h3_conn_new_with_transport(p.client, h3) == NULL); // before the handshake
  establish(&p);
  client = quiche_h3_conn_new_with_transport(p.client, h3);
  CHECK(client != NULL);
  uint64_t told[8] = {0};
  IS(quiche_h3_for_each_setting(client, settings, told), QUICHE_H3_ERR_DONE);
  CHECK(!quiche_h3_dgram_enabled_by_peer(client, p.client));
  exchange(&p); // what comes before the server has HTTP/3 waits for it
  quiche_h3_config_enable_extended_connect(h3, true);
  quiche_h3_config_set_qpack_max_table_capacity(h3, 0);
  quiche_h3_config_set_qpack_blocked_streams(h3, 0);
  server = quiche_h3_conn_new_with_transport(p.server, h3);
  CHECK(server != NULL && quiche_h3_conn_new_with_transport(p.server, h3) == NULL);
  exchange(&p);
  NOTHING(client);
  NOTHING(server);
  IS(quiche_h3_for_each_setting(client, settings, told), 0);
  CHECK(told[6] == 20000 && told[1] == 0 && told[7] == 0); // MAX_FIELD_SECTION_SIZE, QPACK_MAX_TABLE_CAPACITY, QPACK_BLOCKED_STREAMS
  IS(quiche_h3_for_each_setting(server, settings, told), 0);
  CHECK(told[1] == 4096 && told[7] == 100); // the defaults
  CHECK(quiche_h3_dgram_enabled_by_peer(client, p.client) && quiche_h3_dgram_enabled_by_peer(server, p.server));
  CHECK(quiche_h3_extended_connect_enabled_by_peer(client) && !quiche_h3_extended_connect_enabled_by_peer(server));
  IS(quiche_conn_dgram_send(p.client, (const uint8_t *)"\0x", 2), 2); // datagrams are the program's own
  exchange(&p);
  IS(quiche_conn_dgram_recv(p.server, buf, sizeof buf), 2);
  quiche_h3_config_free(h3);
  quiche_config_free(config);
}

static void exchanges(void) {
  IS(quiche_h3_send_request(client, p.client, request, COUNT(request), true), 0);
  exchange(&p);
  wants_fields(server, 0, false, ":method=GET\n:scheme=https\n:authority=localhost\n:path=/a?b\nx-field=value\n");
  WANTS(server, FINISHED, 0);
  NOTHING(server);
  IS(quiche_h3_recv_body(server, p.server, 0, buf, sizeof buf), QUICHE_H3_ERR_DONE);
  IS(quiche_h3_send_response(server, p.server, 0, interim, COUNT(interim), false), 0);
  IS(quiche_h3_send_additional_headers(server, p.server, 0, response, COUNT(response), false, false), 0);
  IS(quiche_h3_send_body(server, p.server, 0, (const uint8_t *)"hello", 5, false), 5);
  IS(quiche_h3_send_body(server, p.server, 0, (const uint8_t *)" you", 4, false), 4);
  IS(quiche_h3_send_additional_headers(server, p.server, 0, trailer, COUNT(trailer), true, true), 0);
  IS(quiche_h3_send_body(server, p.server, 0, NULL, 0, true), 0); // it has ended already
  exchange(&p);
  wants_fields(client, 0, true, ":status=103\nlink=</a>\n");
  wants_fields(client, 0, true, ":status=200\nserver=test\n");
  WANTS(client, DATA, 0);
  NOTHING(client);
  size_t got = 0;
  for (ssize_t n; (n = quiche_h3_recv_body(client, p.client, 0, buf + got, 3)) > 0;) {
    got += (size_t)n;
  }
  CHECK(got == 9 && memcmp(buf, "hello you", 9) == 0);
  wants_fields(client, 0, false, "x-sum=1\n");
  WANTS(client, FINISHED, 0);
  NOTHING(client);

  // A response to HEAD ends with its fields, however the program ends it.
  IS(quiche_h3_send_request(client, p.client, head, COUNT(head), true), 4);
  exchange(&p);
  wants_fields(server, 4, false, ":method=HEAD\n:scheme=https\n:authority=localhost\n:path=/\n");
  WANTS(server, FINISHED, 4);
  IS(quiche_h3_send_response(server, p.server, 4, response, COUNT(response), false), 0);
  IS(quiche_h3_send_body(server, p.server, 4, NULL, 0, true), 0);
  exchange(&p);
  wants_fields(client, 4, false, ":status=200\nserver=test\n");
  WANTS(client, FINISHED, 4);

  // Uploads: more than there is room for, and then the end alone.
  quiche_h3_header post[] = {FIELD(":method", "POST"), FIELD(":scheme", "https"), FIELD(":authority", "localhost"), FIELD(":path", "/")};
  IS(quiche_h3_send_request(client, p.client, post, COUNT(post), false), 8);
  memset(buf, 'x', sizeof buf);
  ssize_t took, sent = 0;
  while ((took = quiche_h3_send_body(client, p.client, 8, buf, sizeof buf, false)) > 0) {
    sent += took;
  }
  IS(took, QUICHE_H3_ERR_DONE);
  CHECK(quiche_conn_stream_writable(p.client, 8, 1) == 0);
  exchange(&p);
  wants_fields(server, 8, true, ":method=POST\n:scheme=https\n:authority=localhost\n:path=/\n");
  ssize_t received = 0;
  for (int i = 0; i < 1000 && received < sent; i++) {
    quiche_h3_event *ev;
    int64_t id = quiche_h3_conn_poll(server, p.server, &ev);
    if (id >= 0) {
      CHECK(id == 8 && quiche_h3_event_type(ev) == QUICHE_H3_EVENT_DATA);
      quiche_h3_event_free(ev);
      ssize_t n;
      while ((n = quiche_h3_recv_body(server, p.server, 8, buf, sizeof buf)) > 0) {
        received += n;
      }
      IS(n, QUICHE_H3_ERR_DONE);
    }
    exchange(&p);
  }
  IS(received, sent);
  IS(quiche_h3_send_body(client, p.client, 8, NULL, 0, true), 0);
  exchange(&p);
  WANTS(server, FINISHED, 8); // no DATA, for there is none
  NOTHING(server);
}

static void ends(void) {
  IS(quiche_h3_send_request(client, p.client, request, COUNT(request), false), 12);
  exchange(&p);
  WANTS(server, HEADERS, 12);
  IS(quiche_conn_stream_shutdown(p.server, 12, QUICHE_SHUTDOWN_READ, 0x100), 0);
  exchange(&p);
  IS(quiche_conn_stream_writable(p.client, 12, 1), QUICHE_ERR_STREAM_STOPPED);
  IS(quiche_h3_send_body(client, p.client, 12, buf, 10, false), QUICHE_H3_TRANSPORT_ERR_STREAM_STOPPED);
  IS(quiche_conn_stream_shutdown(p.server, 12, QUICHE_SHUTDOWN_WRITE, 0x10c), 0);
  exchange(&p);
  WANTS(client, RESET, 12);
  NOTHING(client);
  IS(quiche_h3_recv_body(client, p.client, 12, buf, sizeof buf) < 0, 1);

  quiche_h3_header bad[] = {FIELD(":method", "GET"), FIELD(":path", "/"), FIELD("connection", "close")};
  IS(quiche_h3_send_request(client, p.client, bad, COUNT(bad), true), QUICHE_H3_ERR_MESSAGE_ERROR);
  quiche_h3_header wrong[] = {FIELD(":status", "none")};
  IS(quiche_h3_send_response(server, p.server, 12, wrong, 1, true), QUICHE_H3_ERR_MESSAGE_ERROR);
  IS(quiche_h3_send_response(server, p.server, 4000, response, COUNT(response), true), QUICHE_H3_TRANSPORT_ERR_INVALID_STREAM_STATE);
  IS(quiche_h3_send_body(client, p.client, 4000, buf, 1, false), QUICHE_H3_TRANSPORT_ERR_INVALID_STREAM_STATE);
  IS(quiche_h3_send_request(client, p.client, NULL, 1, true), QUICHE_H3_TRANSPORT_ERR_INVALID_STATE);
  IS(quiche_h3_send_request(NULL, p.client, request, COUNT(request), true), QUICHE_H3_TRANSPORT_ERR_INVALID_STATE);

  // The limit on requests.
  int64_t id, opened = 0;
  while ((id = quiche_h3_send_request(client, p.client, request, COUNT(request), true)) >= 0) {
    opened++;
  }
  IS(id, QUICHE_H3_TRANSPORT_ERR_STREAM_LIMIT);
  CHECK(opened > 0 && opened <= 10);
  IS(quiche_conn_peer_streams_left_bidi(p.client), 0);
}

static int value(uint8_t *text, uint64_t len, void *argp) {
  memcpy(argp, text, len);
  return 5;
}

static void priorities(void) {
  quiche_h3_priority parsed;
  IS(quiche_h3_parse_extensible_priority((uint8_t *)"u=5, i", 6, &parsed), 0);
  CHECK(parsed.urgency == 5 && parsed.incremental);
  IS(quiche_h3_parse_extensible_priority((uint8_t *)"", 0, &parsed), 0);
  CHECK(parsed.urgency == 3 && !parsed.incremental);

  exchange(&p);
  quiche_h3_event *ev;
  int64_t id, first = -1;
  while ((id = quiche_h3_conn_poll(server, p.server, &ev)) >= 0) {
    first = first < 0 ? id : first;
    quiche_h3_event_free(ev);
  }
  parsed = (quiche_h3_priority){1, true};
  IS(quiche_h3_send_priority_update_for_request(client, p.client, (uint64_t)first, &parsed), 0);
  NOTHING(client);
  exchange(&p);
  WANTS(server, PRIORITY_UPDATE, first);
  char text[32] = "";
  IS(quiche_h3_take_last_priority_update(server, (uint64_t)first, value, text), 5);
  CHECK(strcmp(text, "u=1, i") == 0);
  IS(quiche_h3_take_last_priority_update(server, (uint64_t)first, value, text), QUICHE_H3_ERR_DONE);
  parsed = (quiche_h3_priority){0, false};
  IS(quiche_h3_send_response_with_priority(server, p.server, (uint64_t)first, response, COUNT(response), &parsed, true), 0);
}

static void goaway(void) {
  IS(quiche_h3_send_goaway(server, p.server, 0), 0);
  NOTHING(server);
  exchange(&p);
  quiche_h3_event *ev;
  bool told = false;
  while (quiche_h3_conn_poll(client, p.client, &ev) >= 0) {
    told = told || quiche_h3_event_type(ev) == QUICHE_H3_EVENT_GOAWAY;
    quiche_h3_event_free(ev);
  }
  CHECK(told);
  IS(quiche_h3_send_request(client, p.client, request, COUNT(request), true), QUICHE_H3_ERR_REQUEST_REJECTED);
}

// A fault of the peer's in HTTP/3 ends the connection, which quiche_h3_conn_poll tells once.
static void fault(void) {
  uint64_t code;
  uint8_t control[] = {0x00, 0x04, 0x00}; // a second control stream
  uint64_t stream = 2 + 4 * 6;
  IS(quiche_conn_stream_send(p.client, stream, control, sizeof control, false, &code), sizeof control);
  exchange(&p);
  quiche_h3_event *ev;
  int64_t got;
  while ((got = quiche_h3_conn_poll(server, p.server, &ev)) >= 0) {
    quiche_h3_event_free(ev);
  }
  IS(got, QUICHE_H3_ERR_STREAM_CREATION_ERROR);
  NOTHING(server);
  bool app;
  const uint8_t *reason;
  size_t len;
  CHECK(quiche_conn_local_error(p.server, &app, &code, &reason, &len) && app && code == 0x103);
}

// Requests that are cancelled by quiche_conn_stream_shutdown, as curl and servers do it, are over for HTTP/3, too: it tells no more of them, and keeps
// nothing of them.
static void cancelled(void) {
  begin();
  for (int64_t id = 0; id <= 8; id += 4) {
    IS(quiche_h3_send_request(client, p.client, request, COUNT(request), false), id);
    exchange(&p);
    WANTS(server, HEADERS, id);
    quiche_h3_priority urgent = {1, false};
    IS(quiche_h3_send_priority_update_for_request(client, p.client, (uint64_t)id, &urgent), 0);
    NOTHING(client);
    exchange(&p);
    WANTS(server, PRIORITY_UPDATE, id);
    NOTHING(server);
  }
  for (uint64_t id = 0; id <= 8; id += 4) {
    IS(quiche_h3_send_response(server, p.server, id, response, COUNT(response), false), 0);
    IS(quiche_h3_send_body(server, p.server, id, (const uint8_t *)"hello", 5, false), 5);
  }
  exchange(&p);
  wants_fields(client, 0, true, ":status=200\nserver=test\n");
  for (uint64_t id = 0; id <= 8; id += 4) {
    quiche_conn *by = id == 8 ? p.server : p.client;
    IS(quiche_conn_stream_shutdown(by, id, QUICHE_SHUTDOWN_READ, 0x10c), 0);
    IS(quiche_conn_stream_shutdown(by, id, QUICHE_SHUTDOWN_WRITE, 0x10c), 0);
  }
  WANTS(client, HEADERS, 8);
  WANTS(client, DATA, 8);
  NOTHING(client);
  exchange(&p);
  WANTS(client, RESET, 8);
  NOTHING(client);
  WANTS(server, RESET, 0);
  WANTS(server, RESET, 4);
  NOTHING(server);
  exchange(&p);
  NOTHING(server);
  char text[32] = "";
  IS(quiche_h3_take_last_priority_update(server, 8, value, text), QUICHE_H3_ERR_DONE);
  IS(quiche_h3_send_request(client, p.client, request, COUNT(request), true), 12);
  exchange(&p);
  WANTS(server, HEADERS, 12);
  quiche_h3_conn_free(client);
  quiche_h3_conn_free(server);
  free_pair(&p);
}

// A request that its client resets before the server was told of it is told of as reset, once; of those that wait, the newest 128.
static void resets(void) {
  begin();
  for (int64_t id = 0; id < 4 * 131; id += 4) {
    IS(quiche_h3_send_request(client, p.client, request, COUNT(request), false), id);
    exchange(&p);
    IS(quiche_conn_stream_shutdown(p.client, (uint64_t)id, QUICHE_SHUTDOWN_WRITE, 0x10c), 0);
    exchange(&p);
  }
  for (int64_t id = 4 * 3; id < 4 * 131; id += 4) {
    WANTS(server, RESET, id);
  }
  NOTHING(server);
  CHECK(quiche_h3_send_response(server, p.server, 4 * 130, response, COUNT(response), true) < 0);
  quiche_h3_conn_free(client);
  quiche_h3_conn_free(server);
  free_pair(&p);

  // Before the server has HTTP/3, too.
  quiche_config *config = config_with(QUICHE_H3_APPLICATION_PROTOCOL);
  quiche_h3_config *h3 = quiche_h3_config_new();
  p = pair_of(config, config, "localhost");
  establish(&p);
  client = quiche_h3_conn_new_with_transport(p.client, h3);
  for (int64_t id = 0; id <= 4; id += 4) {
    IS(quiche_h3_send_request(client, p.client, request, COUNT(request), id > 0), id);
  }
  exchange(&p);
  IS(quiche_conn_stream_shutdown(p.client, 0, QUICHE_SHUTDOWN_WRITE, 0x10c), 0);
  exchange(&p);
  server = quiche_h3_conn_new_with_transport(p.server, h3);
  WANTS(server, HEADERS, 4);
  WANTS(server, FINISHED, 4);
  WANTS(server, RESET, 0);
  NOTHING(server);
  quiche_h3_conn_free(client);
  quiche_h3_conn_free(server);
  free_pair(&p);
  quiche_config_free(config);
  quiche_h3_config_free(h3);
}

int main(int argc, char *argv[]) {
  arguments(argc, argv);
  begin();
  exchanges();
  ends();
  priorities();
  goaway();
  fault();
  quiche_h3_stats stats;
  quiche_h3_conn_stats(client, &stats);
  quiche_h3_conn_free(client);
  free_pair(&p);
  quiche_h3_conn_free(server); // in either order
  cancelled();
  resets();
  IS(bquic_live_objects(), 0);
  return 0;
}
