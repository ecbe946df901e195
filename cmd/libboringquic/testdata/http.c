// HTTP/3 between a client and a server: requests, bodies, trailers, interim responses, datagrams, priorities, the end.
#include "pair.h"

enum { SIZE = 1000000 };

static uint8_t body[SIZE], got[SIZE];
static size_t taken, received, answered, asked;
static int done, interim, trailers, settings_seen, finished, rejected, priority_seen, goaway, shut;
static int64_t get, post, connect_stream;

#define FIELD(n, v) {.name = (n), .value = (v), .name_len = sizeof(n) - 1, .value_len = sizeof(v) - 1}

static const bquic_h3_field get_fields[] = {
    FIELD(":method", "GET"), FIELD(":scheme", "https"), FIELD(":authority", "localhost"), FIELD(":path", "/page?x=1"), FIELD("cookie", "a=b"),
};
static const bquic_h3_field post_fields[] = {
    FIELD(":method", "POST"), FIELD(":scheme", "https"), FIELD(":authority", "localhost"), FIELD(":path", "/post"), FIELD("content-length", "1000000"),
};

// has tells whether a message has a field.
static int has(const bquic_h3_message *m, const char *name, const char *value) {
  for (uint32_t i = 0; i < m->fields_len; i++) {
    const bquic_h3_field *f = &m->fields[i];
    if (f->name_len == strlen(name) && memcmp(f->name, name, f->name_len) == 0) {
      return f->value_len == strlen(value) && memcmp(f->value, value, f->value_len) == 0;
    }
  }
  return 0;
}

static void more(bquic_conn *conn, uint64_t stream, size_t *sent) {
  *sent += (size_t)GOOD(bquic_stream_send(conn, stream, body + *sent, SIZE - *sent, BQUIC_FIN));
}

static void on_client(side *s, const bquic_event *ev) {
  (void)s;
  uint32_t flags;
  switch (ev->kind) {
    case BQUIC_EVENT_HANDSHAKE_COMPLETE: {
      size_t n = 0;
      get = GOOD(bquic_h3_request(ev->conn, get_fields, 5, NULL, 0, BQUIC_FIN, NULL));
      post = GOOD(bquic_h3_request(ev->conn, post_fields, 5, body, SIZE, BQUIC_FIN, &n));
      asked = n;
      CHECK(get == 0 && post == 4 && n > 0 && n < SIZE);
      bquic_h3_field last = FIELD("checksum", "1");
      FAILS(bquic_stream_send(ev->conn, 0, NULL, 0, BQUIC_FIN), BQUIC_ERR_ENDED, "has ended");
      FAILS(bquic_h3_trailers(ev->conn, 0, &last, 1), BQUIC_ERR_ENDED, "has ended");
      GOOD(bquic_stream_set_user_data(ev->conn, 4, 44));
      GOOD(bquic_h3_priority(ev->conn, 0, 1, 1));
      FAILS(bquic_h3_priority(ev->conn, 0, 8, 1), BQUIC_ERR_ARGUMENT, "at most 7");
      bquic_h3_field upper[] = {FIELD(":method", "GET"), FIELD(":scheme", "https"), FIELD(":authority", "localhost"), FIELD(":path", "/"), FIELD("Upper", "x")};
      FAILS(bquic_h3_request(ev->conn, upper, 5, NULL, 0, BQUIC_FIN, NULL), BQUIC_ERR_MESSAGE, "");
      FAILS(bquic_h3_request(ev->conn, get_fields, 2, NULL, 0, BQUIC_FIN, NULL), BQUIC_ERR_MESSAGE, "");
      bquic_h3_field twice[] = {FIELD(":method", "GET"), FIELD(":method", "GET")};
      FAILS(bquic_h3_request(ev->conn, twice, 2, NULL, 0, BQUIC_FIN, NULL), BQUIC_ERR_MESSAGE, ":method is there twice");
      bquic_h3_field unknown[] = {FIELD(":what", "GET")};
      FAILS(bquic_h3_request(ev->conn, unknown, 1, NULL, 0, BQUIC_FIN, NULL), BQUIC_ERR_MESSAGE, "there is no field \":what\"");
      bquic_h3_field null = {.name = NULL, .name_len = 1};
      FAILS(bquic_h3_request(ev->conn, &null, 1, NULL, 0, BQUIC_FIN, NULL), BQUIC_ERR_ARGUMENT, "field 0 is NULL");
      FAILS(bquic_h3_respond(ev->conn, 0, get_fields, 5, NULL, 0, 0), BQUIC_ERR_STATE, "for the other role");
      FAILS(bquic_stream_open(ev->conn, 0), BQUIC_ERR_STATE, "bquic_h3_request opens its streams");
      FAILS(bquic_datagram_send(ev->conn, "x", 1), BQUIC_ERR_STATE, "bquic_h3_datagram_send");
      break;
    }
    case BQUIC_EVENT_SETTINGS: {
      bquic_h3_peer peer = {.size = sizeof peer};
      GOOD(bquic_h3_settings(ev->conn, &peer));
      CHECK(peer.known && peer.enable_connect && peer.datagrams && peer.max_field_section == 65536 && peer.table_capacity == 4096);
      bquic_h3_field fields[] = {FIELD(":method", "CONNECT"), FIELD(":protocol", "thing"), FIELD(":scheme", "https"), FIELD(":authority", "localhost"), FIELD(":path", "/")};
      connect_stream = GOOD(bquic_h3_request(ev->conn, fields, 5, NULL, 0, 0, NULL));
      GOOD(bquic_h3_datagram_send(ev->conn, (uint64_t)connect_stream, "ping", 4));
      settings_seen++;
      break;
    }
    case BQUIC_EVENT_INTERIM: {
      const bquic_h3_message *m = ev->data;
      CHECK(ev->data_len == sizeof *m && m->status == 103 && has(m, ":status", "103") && has(m, "link", "</style>"));
      interim++;
      break;
    }
    case BQUIC_EVENT_RESPONSE: {
      const bquic_h3_message *m = ev->data;
      CHECK(m->status == 200 && has(m, "server", "test"));
      CHECK(ev->stream != 0 || (m->content_length == 5 && !(ev->flags & BQUIC_FIN)));
      break;
    }
    case BQUIC_EVENT_WRITABLE:
      CHECK(ev->stream == 4 && ev->stream_data == 44);
      more(ev->conn, 4, &asked);
      break;
    case BQUIC_EVENT_READABLE:
      if (ev->stream == 0) {
        char five[10];
        int64_t n = bquic_stream_recv(ev->conn, 0, five, sizeof five, &flags, NULL);
        CHECK(n == 5 && memcmp(five, "hello", 5) == 0 && flags == BQUIC_FIN);
      } else if (ev->stream == 4) {
        int64_t n;
        do {
          n = GOOD(bquic_stream_recv(ev->conn, 4, got + answered, SIZE - answered, &flags, NULL));
          answered += (size_t)n;
        } while (n > 0 && !flags);
      }
      break;
    case BQUIC_EVENT_TRAILERS: {
      const bquic_h3_message *m = ev->data;
      CHECK(ev->stream == 0 && m->fields_len == 1 && has(m, "checksum", "1") && m->status == 0);
      trailers++;
      break;
    }
    case BQUIC_EVENT_DATAGRAM: {
      char buf[10];
      size_t n;
      CHECK((int64_t)ev->stream == connect_stream);
      CHECK(GOOD(bquic_h3_datagram_recv(ev->conn, ev->stream, buf, sizeof buf, &n)) == 1 && n == 4 && memcmp(buf, "pong", 4) == 0);
      CHECK(GOOD(bquic_h3_datagram_recv(ev->conn, ev->stream, buf, sizeof buf, &n)) == 0);
      GOOD(bquic_stream_shutdown(ev->conn, ev->stream, BQUIC_READ | BQUIC_WRITE, 0x10c));
      break;
    }
    case BQUIC_EVENT_STREAM_FINISHED:
      finished++;
      CHECK(ev->stream != 4 || ev->stream_data == 44);
      break;
    case BQUIC_EVENT_GOAWAY:
      goaway++;
      break;
    case BQUIC_EVENT_STREAM_RESET:
    case BQUIC_EVENT_REJECTED:
      rejected++;
      break;
  }
  done = finished == 3;
}

static void on_server(side *s, const bquic_event *ev) {
  uint32_t flags;
  static const bquic_h3_field ok[] = {FIELD(":status", "200"), FIELD("server", "test")};
  switch (ev->kind) {
    case BQUIC_EVENT_REQUEST: {
      const bquic_h3_message *m = ev->data;
      CHECK(ev->data_len == sizeof *m && has(m, ":authority", "localhost") && has(m, ":scheme", "https"));
      if (has(m, ":path", "/page?x=1")) {
        static const bquic_h3_field early[] = {FIELD(":status", "103"), FIELD("link", "</style>")};
        static const bquic_h3_field page[] = {FIELD(":status", "200"), FIELD("server", "test"), FIELD("content-length", "5")};
        static const bquic_h3_field tail[] = {FIELD("checksum", "1")};
        static const bquic_h3_field wrong[] = {FIELD(":status", "2000")};
        priority_seen += m->priority == 1 + 256; // it may come before the request
        CHECK(has(m, ":method", "GET") && has(m, "cookie", "a=b") && ev->flags == BQUIC_FIN && m->content_length == 0);
        FAILS(bquic_h3_respond(ev->conn, ev->stream, wrong, 1, NULL, 0, 0), BQUIC_ERR_MESSAGE, "three digits");
        CHECK(GOOD(bquic_h3_respond(ev->conn, ev->stream, early, 2, NULL, 0, 0)) == 0);
        // A response beside others in one crossing: what is wrong with one is its own.
        bquic_op ops[] = {
            {.conn = ev->conn, .stream = ev->stream, .kind = BQUIC_OP_RESPOND, .fields_len = 3},
            {.conn = ev->conn, .stream = ev->stream, .kind = BQUIC_OP_RESPOND, .fields = wrong, .fields_len = 1},
            {.conn = ev->conn, .stream = ev->stream, .kind = BQUIC_OP_RESPOND, .fields = page, .fields_len = 3, .len = 5},
            {.conn = ev->conn, .stream = ev->stream, .kind = BQUIC_OP_RESPOND, .fields = page, .fields_len = 3, .data = (void *)"hello", .len = 5},
        };
        GOOD(bquic_endpoint_ops(s->endpoint, ops, 4));
        CHECK(ops[0].result == BQUIC_ERR_ARGUMENT && ops[1].result == BQUIC_ERR_MESSAGE && ops[2].result == BQUIC_ERR_ARGUMENT && ops[3].result == 5);
        FAILS(bquic_h3_respond(ev->conn, ev->stream, page, 3, NULL, 0, 0), BQUIC_ERR_MESSAGE, "may not be sent at this point");
        GOOD(bquic_h3_trailers(ev->conn, ev->stream, tail, 1));
        FAILS(bquic_h3_trailers(ev->conn, ev->stream, tail, 1), BQUIC_ERR_ENDED, "has ended");
        FAILS(bquic_stream_send(ev->conn, ev->stream, "x", 1, 0), BQUIC_ERR_ENDED, "has ended");
        FAILS(bquic_h3_respond(ev->conn, ev->stream, page, 3, NULL, 0, 0), BQUIC_ERR_ENDED, "has ended");
        FAILS(bquic_h3_datagram_send(ev->conn, ev->stream, "x", 1), BQUIC_ERR_ENDED, "ended");
      } else {
        CHECK(GOOD(bquic_h3_respond(ev->conn, ev->stream, ok, 2, NULL, 0, 0)) == 0);
        CHECK(m->content_length == (has(m, ":method", "POST") ? SIZE : -1));
      }
      break;
    }
    case BQUIC_EVENT_PRIORITY:
      CHECK(ev->stream == 0 && ev->value == 1 + 256);
      priority_seen++;
      break;
    case BQUIC_EVENT_READABLE:
    case BQUIC_EVENT_WRITABLE:
      if (ev->stream == 4) {
        int64_t n = 1;
        while (n > 0 && received < SIZE) {
          n = GOOD(bquic_stream_recv(ev->conn, 4, got + received, SIZE - received, &flags, NULL));
          received += (size_t)n;
        }
        if (received == SIZE && taken < SIZE) {
          if (taken == 0) {
            bquic_stream_recv(ev->conn, 4, got, 1, &flags, NULL); // the end
            CHECK(memcmp(body, got, SIZE) == 0);
            memset(got, 0, SIZE);
          }
          more(ev->conn, 4, &taken);
        }
      }
      break;
    case BQUIC_EVENT_DATAGRAM: {
      char buf[2];
      size_t n;
      CHECK(GOOD(bquic_h3_datagram_recv(ev->conn, ev->stream, buf, sizeof buf, &n)) == 1 && n == 2 && memcmp(buf, "pi", 2) == 0); // what does not fit is lost
      GOOD(bquic_h3_datagram_send(ev->conn, ev->stream, "pong", 4));
      break;
    }
    case BQUIC_EVENT_STREAM_STOPPED:
    case BQUIC_EVENT_STREAM_RESET:
      CHECK(ev->value == 0x10c);
      bquic_stream_shutdown(ev->conn, ev->stream, BQUIC_READ | BQUIC_WRITE, 0x10c);
      break;
    case BQUIC_EVENT_SHUTDOWN:
      shut++;
      GOOD(bquic_conn_close(ev->conn, 0, 0x100, "done", 4));
      break;
  }
}

static bquic_conn *server_conn;
static void remember(side *s, const bquic_event *ev) {
  if (ev->kind == BQUIC_EVENT_ACCEPTED) {
    server_conn = ev->conn;
    // HTTP/3 has not begun.
    FAILS(bquic_h3_shutdown(ev->conn), BQUIC_ERR_STATE, "HTTP/3 begins with");
    FAILS(bquic_stream_send(ev->conn, 0, "x", 1, 0), BQUIC_ERR_STATE, "HTTP/3 begins with");
  }
  on_server(s, ev);
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  for (size_t i = 0; i < SIZE; i++) {
    body[i] = (uint8_t)(i * 7 >> 4);
  }
  bquic_config *config = settings(argv, NULL);
  GOOD(bquic_config_set_u64(config, BQUIC_H3, 1));
  GOOD(bquic_config_set_u64(config, BQUIC_H3_ENABLE_CONNECT, 1));
  GOOD(bquic_config_set_u64(config, BQUIC_H3_ENABLE_DATAGRAMS, 1));
  GOOD(bquic_config_set_u64(config, BQUIC_MAX_DATAGRAM_FRAME, 65535));
  static side server, client;
  server.handle = remember;
  client.handle = on_client;
  begin(&server, &client, config);
  bquic_conn *conn = dial(&client, &server, config, 0);
  play(&client, &server, &done);
  CHECK(answered == SIZE && memcmp(body, got, SIZE) == 0 && asked == SIZE);
  CHECK(interim == 1 && trailers == 1 && settings_seen == 1 && priority_seen == 1);

  GOOD(bquic_h3_shutdown(server_conn));
  client.closed = 0;
  play(&client, &server, &client.closed);
  CHECK(goaway >= 1 && shut == 1);
  bquic_conn_end end = {.size = sizeof end};
  GOOD(bquic_conn_error(conn, &end));
  CHECK(end.kind == BQUIC_END_APPLICATION && end.code == 0x100 && end.remote && strcmp(end.reason, "done") == 0);
  FAILS(bquic_h3_request(conn, get_fields, 5, NULL, 0, BQUIC_FIN, NULL), BQUIC_ERR_CLOSED, "");
  play(&client, &server, &client.drained);

  GOOD(bquic_endpoint_free(client.endpoint));
  GOOD(bquic_endpoint_free(server.endpoint));
  GOOD(bquic_config_free(config));
  return 0;
}
