// Who sends more than may leave now is told to come again when more may, and not at once.
#include "pair.h"

static bquic_conn *accepted;
static int done;

static void on_any(side *s, const bquic_event *ev) {
  (void)s;
  if (ev->kind == BQUIC_EVENT_ACCEPTED) {
    accepted = ev->conn;
  }
  done += ev->kind == BQUIC_EVENT_CONFIRMED;
}

static void on_request(side *s, const bquic_event *ev) {
  on_any(s, ev);
  done += ev->kind == BQUIC_EVENT_REQUEST;
}

// want_rest has a side give out what it may, none of which arrives, and wants it to have a deadline that lies ahead.
static void want_rest(side *s) {
  bquic_event events[32];
  uint64_t sent = 0;
  for (int i = 0; i < 3; i++) {
    bquic_step out = {.size = sizeof out, .now = now, .events = events, .events_max = 32, .out = s->out, .out_max = 64, .buf = s->buf,
                      .buf_len = sizeof s->buf};
    do {
      GOOD(bquic_endpoint_step(s->endpoint, &out));
      for (uint32_t k = 0; k < out.out_len; k++) {
        sent += s->out[k].len;
      }
    } while (out.more);
    CHECK(out.deadline > now && out.deadline < now + 1000000000);
    now++;
  }
  CHECK(sent > 1000 && sent < 100000);
  s->out_len = 0;
}

static void waits(char **argv, int http, int paced) {
  static const bquic_h3_field get[] = {{":method", "GET", 7, 3}, {":scheme", "https", 7, 5}, {":authority", "localhost", 10, 9}, {":path", "/", 5, 1}};
  static const bquic_h3_field good_[] = {{":status", "200", 7, 3}};
  static uint8_t much[500000];
  static side server, client;
  bquic_config *config = settings(argv, http ? NULL : "x");
  GOOD(bquic_config_set_u64(config, BQUIC_H3, (uint64_t)http));
  GOOD(bquic_config_set_u64(config, BQUIC_DISABLE_PACING, !paced));
  server = (side){.handle = http ? on_request : on_any};
  client = (side){.handle = on_any};
  done = 0;
  begin(&server, &client, config);
  bquic_conn *conn = dial(&client, &server, config, 0);
  for (int i = 0; i < 20 && done < 2; i++) {
    step(&server, &client);
    step(&client, &server);
  }
  CHECK(done == 2);
  if (http) {
    GOOD(bquic_h3_request(conn, get, 4, NULL, 0, BQUIC_FIN, NULL));
    for (int i = 0; i < 20 && done < 3; i++) {
      step(&client, &server);
      step(&server, &client);
    }
    CHECK(done == 3);
    CHECK(GOOD(bquic_h3_respond(accepted, 0, good_, 1, much, sizeof much, BQUIC_FIN)) > 100000);
  } else {
    CHECK(GOOD(bquic_stream_send(accepted, 1, much, sizeof much, BQUIC_FIN)) > 100000);
  }
  want_rest(&server);
  GOOD(bquic_endpoint_free(client.endpoint));
  GOOD(bquic_endpoint_free(server.endpoint));
  GOOD(bquic_config_free(config));
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  for (int i = 0; i < 4; i++) {
    waits(argv, i & 1, i >> 1);
  }
  CHECK(bquic_live_objects() == 0);
  return 0;
}
