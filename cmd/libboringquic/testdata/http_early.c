// A server that answers without having read the request, and asks the client to stop: at once, or when that has the answer.
#include "pair.h"

static uint32_t how; // BQUIC_READ, alone or with BQUIC_LATER
static int by_ops, done;
static uint64_t answered, stopped, ended; // when the client was told, by the time of the test

static void on_server(side *s, const bquic_event *ev) {
  static const bquic_h3_field too_large[] = {{":status", "413", 7, 3}};
  if (ev->kind != BQUIC_EVENT_REQUEST) {
    return;
  }
  if (by_ops) {
    bquic_op ops[] = {{.conn = ev->conn, .stream = ev->stream, .kind = BQUIC_OP_RESPOND, .fields = too_large, .fields_len = 1, .flags = BQUIC_FIN},
                      {.conn = ev->conn, .stream = ev->stream, .kind = BQUIC_OP_STOP, .code = 0x100, .flags = how & BQUIC_LATER}};
    GOOD(bquic_endpoint_ops(s->endpoint, ops, 2));
    GOOD(ops[0].result);
    GOOD(ops[1].result);
    return;
  }
  GOOD(bquic_h3_respond(ev->conn, ev->stream, too_large, 1, NULL, 0, BQUIC_FIN));
  GOOD(bquic_stream_shutdown(ev->conn, ev->stream, how, 0x100));
}

static void on_client(side *s, const bquic_event *ev) {
  static const bquic_h3_field post[] = {
      {":method", "POST", 7, 4}, {":scheme", "https", 7, 5}, {":authority", "localhost", 10, 9}, {":path", "/", 5, 1}};
  (void)s;
  switch (ev->kind) {
    case BQUIC_EVENT_HANDSHAKE_COMPLETE:
      GOOD(bquic_h3_request(ev->conn, post, 4, "the beginning", 13, 0, NULL));
      break;
    case BQUIC_EVENT_RESPONSE:
      CHECK(((const bquic_h3_message *)ev->data)->status == 413 && ev->flags & BQUIC_FIN);
      answered = now;
      break;
    case BQUIC_EVENT_STREAM_STOPPED:
      CHECK(ev->value == 0x100);
      stopped = now;
      GOOD(bquic_stream_shutdown(ev->conn, ev->stream, BQUIC_WRITE, 0x10c));
      break;
    case BQUIC_EVENT_STREAM_FINISHED:
      ended = now;
      break;
  }
  done = answered && stopped && ended;
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  bquic_config *config = settings(argv, NULL);
  GOOD(bquic_config_set_u64(config, BQUIC_H3, 1));
  for (int i = 0; i < 4; i++) {
    static side server, client;
    how = i % 2 == 0 ? BQUIC_READ : BQUIC_READ | BQUIC_LATER;
    by_ops = i / 2;
    answered = stopped = ended = 0;
    done = 0;
    server = (side){.handle = on_server};
    client = (side){.handle = on_client};
    begin(&server, &client, config);
    dial(&client, &server, config, 0);
    play(&client, &server, &done);
    if (how == BQUIC_READ) {
      CHECK(stopped == answered);
    } else {
      CHECK(stopped >= answered + 100000000);
    }
    GOOD(bquic_endpoint_free(client.endpoint));
    GOOD(bquic_endpoint_free(server.endpoint));
  }
  GOOD(bquic_config_free(config));
  return 0;
}
