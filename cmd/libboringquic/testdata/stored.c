// What is stored for a stream does not come with events of another one that had the same ID, and that wait for room.
#include "pair.h"

static uint8_t session[8192];
static size_t session_len;
static int done;

static void on_any(side *s, const bquic_event *ev) {
  (void)s;
  if (ev->kind == BQUIC_EVENT_SESSION) {
    CHECK(ev->data_len <= sizeof session);
    memcpy(session, ev->data, ev->data_len);
    session_len = ev->data_len;
  }
  done = session_len > 0;
}

// next has a side go on with what the other has sent, with room for most events, at most 1, and returns how many were told.
static uint32_t next(side *s, side *from, bquic_event *event, uint32_t most) {
  bquic_step in = {.size = sizeof in, .now = now, .in = from->out, .in_len = from->out_len, .events = event, .events_max = most, .out = s->out, .out_max = 64,
                   .buf = s->buf, .buf_len = sizeof s->buf};
  for (uint32_t i = 0; i < in.in_len; i++) {
    in.in[i].local = s->addr;
    in.in[i].remote = from->addr;
  }
  GOOD(bquic_endpoint_step(s->endpoint, &in));
  from->out_len = 0;
  s->out_len = in.out_len;
  now += 1000000;
  return in.events_len;
}

// rejected has requests be rejected with the 0-RTT data that they were in. Others have their IDs, and something stored, before that is told.
static void rejected(char **argv) {
  static const bquic_h3_field get[] = {
      {":method", "GET", 7, 3}, {":scheme", "https", 7, 5}, {":authority", "localhost", 10, 9}, {":path", "/", 5, 1}};
  bquic_config *config = settings(argv, NULL);
  GOOD(bquic_config_set_u64(config, BQUIC_H3, 1));
  GOOD(bquic_config_set_u64(config, BQUIC_EARLY_DATA, 1));
  session_len = 0;
  done = 0;
  for (int round = 0; round < 2; round++) {
    static side server, client; // another server each time, which cannot read the other's tickets
    server = client = (side){.handle = on_any};
    begin(&server, &client, config);
    if (round == 0) {
      dial(&client, &server, config, 0);
      play(&client, &server, &done);
    } else {
      bquic_connect connect = {.size = sizeof connect, .flags = BQUIC_CONNECT_EARLY, .server_name = "localhost", .local = client.addr, .remote = server.addr,
                               .session = {session, session_len}};
      bquic_conn *conn = bquic_endpoint_connect(client.endpoint, config, &connect, NULL);
      CHECK(conn != NULL);
      bquic_event event = {0};
      int early = 0, again = 0, old = 0, rounds = 0;
      while (old < 3) {
        CHECK(++rounds < 200);
        if (next(&client, &server, &event, 1) == 1) {
          if (event.kind == BQUIC_EVENT_EARLY_READY) {
            for (; early < 3; early++) {
              CHECK(GOOD(bquic_h3_request(conn, get, 4, NULL, 0, 0, NULL)) == 4 * early);
              CHECK(bquic_stream_set_user_data(conn, (uint64_t)(4 * early), (uint64_t)(10 + early)) == 1);
            }
          } else if (event.kind == BQUIC_EVENT_REJECTED) {
            CHECK(event.stream == (uint64_t)(4 * old) && event.stream_data == (uint64_t)(10 + old));
            old++;
            for (; again < 3; again++) { // the others wait
              CHECK(GOOD(bquic_h3_request(conn, get, 4, NULL, 0, 0, NULL)) == 4 * again);
              CHECK(bquic_stream_set_user_data(conn, (uint64_t)(4 * again), (uint64_t)(20 + again)) == 1);
            }
          }
        }
        bquic_event other;
        next(&server, &client, &other, 1);
      }
    }
    GOOD(bquic_endpoint_free(client.endpoint));
    GOOD(bquic_endpoint_free(server.endpoint));
  }
  GOOD(bquic_config_free(config));
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  rejected(argv);
  CHECK(bquic_live_objects() == 0);
  return 0;
}
