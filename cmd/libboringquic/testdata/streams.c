// Connections between a client and a server: streams, datagrams, sessions, the end, through the functions of the header alone.
#include "pair.h"
#include "qlog.h"

enum { SIZE = 3000000 };

static uint8_t sent[SIZE], got[SIZE];
static size_t written, received, echoed;
static int done, fin_seen, datagrams, confirmed, verified, opened, acked, finished, paths;
static uint8_t session[8192];
static size_t session_len;
static bquic_conn *accepted;

static void write_more(bquic_conn *conn, uint64_t stream) {
  int64_t n = GOOD(bquic_stream_send(conn, stream, sent + written, SIZE - written, BQUIC_FIN));
  written += (size_t)n;
}

static void on_client(side *s, const bquic_event *ev) {
  (void)s;
  CHECK(ev->user_data == 7);
  switch (ev->kind) {
    case BQUIC_EVENT_HANDSHAKE_COMPLETE: {
      int64_t id = GOOD(bquic_stream_open(ev->conn, 0));
      CHECK(id == 0);
      GOOD(bquic_stream_set_user_data(ev->conn, 0, 99));
      GOOD(bquic_stream_set_priority(ev->conn, 0, 2, 1));
      write_more(ev->conn, 0);
      bquic_bytes two[] = {{"one", 3}, {"other", 5}};
      CHECK(GOOD(bquic_datagram_send_many(ev->conn, two, 2)) == 2);
      break;
    }
    case BQUIC_EVENT_CONFIRMED:
      confirmed++;
      break;
    case BQUIC_EVENT_WRITABLE:
      CHECK(ev->stream == 0 && ev->stream_data == 99);
      write_more(ev->conn, 0);
      break;
    case BQUIC_EVENT_READABLE: {
      uint32_t flags;
      int64_t n;
      CHECK(ev->stream == 0 && ev->stream_data == 99);
      while ((n = GOOD(bquic_stream_recv(ev->conn, 0, got + received, SIZE - received, &flags, NULL))) > 0 || flags) {
        received += (size_t)n;
        if (flags & BQUIC_FIN) {
          fin_seen = 1;
          break;
        }
      }
      break;
    }
    case BQUIC_EVENT_STREAM_ACKED:
      acked++;
      break;
    case BQUIC_EVENT_STREAM_FINISHED:
      CHECK(ev->stream == 0 && ev->stream_data == 99);
      finished++;
      break;
    case BQUIC_EVENT_SESSION:
      CHECK(ev->data_len <= sizeof session);
      memcpy(session, ev->data, ev->data_len);
      session_len = ev->data_len;
      break;
    case BQUIC_EVENT_DATAGRAM:
      datagrams++;
      break;
    case BQUIC_EVENT_PATH:
      CHECK(ev->data_len == sizeof(bquic_path) && ((const bquic_path *)ev->data)->remote.sa.sa_family == AF_INET);
      paths++;
      break;
  }
  done = fin_seen && finished && session_len && confirmed;
}

static uint8_t pending[SIZE];
static size_t pending_len;
static int pending_fin;

static void on_server(side *s, const bquic_event *ev) {
  switch (ev->kind) {
    case BQUIC_EVENT_ACCEPTED:
      accepted = ev->conn;
      GOOD(bquic_conn_set_user_data(ev->conn, 1));
      break;
    case BQUIC_EVENT_STREAM_OPENED:
      opened++;
      CHECK(ev->user_data == 1);
      break;
    case BQUIC_EVENT_READABLE:
    case BQUIC_EVENT_WRITABLE: {
      // A receive and a send in one crossing each time; what is not taken waits.
      bquic_op op = {.conn = ev->conn, .stream = ev->stream, .kind = BQUIC_OP_RECV};
      for (;;) {
        op.kind = BQUIC_OP_RECV;
        op.data = pending + pending_len;
        op.len = SIZE - pending_len;
        GOOD(bquic_endpoint_ops(s->endpoint, &op, 1));
        if (op.result == BQUIC_ERR_STREAM) {
          break; // all was read and written
        }
        GOOD(op.result);
        pending_len += (size_t)op.result;
        pending_fin |= op.flags & BQUIC_FIN;
        if (op.result == 0) {
          break;
        }
      }
      op = (bquic_op){.conn = ev->conn, .stream = ev->stream, .kind = BQUIC_OP_SEND, .data = pending + echoed, .len = pending_len - echoed,
                      .flags = (uint32_t)pending_fin};
      GOOD(bquic_endpoint_ops(s->endpoint, &op, 1));
      if (op.result >= 0) {
        echoed += (size_t)op.result;
      }
      break;
    }
    case BQUIC_EVENT_DATAGRAM: {
      static uint8_t room[65536 * 2];
      bquic_bytes list[8];
      int32_t n = (int32_t)GOOD(bquic_datagram_recv_many(ev->conn, list, 8, room, sizeof room));
      CHECK(n == 2 && list[0].len == 3 && memcmp(list[0].data, "one", 3) == 0 && list[1].len == 5 && memcmp(list[1].data, "other", 5) == 0);
      FAILS(bquic_datagram_recv_many(ev->conn, list, 8, room, 100), BQUIC_ERR_ARGUMENT, "BQUIC_MAX_DATAGRAM_FRAME");
      GOOD(bquic_datagram_send(ev->conn, "answer", 6));
      break;
    }
  }
}

static int32_t verify(void *context, const bquic_peer *peer) {
  CHECK(context == (void *)5 && strcmp(peer->server_name, "localhost") == 0 && peer->chain_len == 1 && peer->chain[0].len > 100);
  verified++;
  return 0;
}

static int32_t refuse(void *context, const bquic_peer *peer) {
  // A call of the endpoint that it is within is an error, and the same of its connections.
  side *client = context;
  bquic_endpoint_info info = {.size = sizeof info};
  CHECK(peer->size == sizeof *peer);
  FAILS(bquic_endpoint_stats(client->endpoint, &info), BQUIC_ERR_BUSY, "another call is within the endpoint");
  return 1;
}

static void on_any(side *s, const bquic_event *ev) {
  (void)s;
  (void)ev;
}

// resume has a second connection begin with the session, sends in 0-RTT, and ends it with a code.
static bquic_conn *early;
static uint64_t early_data;
static void on_early(side *s, const bquic_event *ev) {
  (void)s;
  if (ev->kind == BQUIC_EVENT_EARLY_READY) {
    CHECK(GOOD(bquic_stream_open(ev->conn, 1)) == 2);
    CHECK(GOOD(bquic_stream_send(ev->conn, 2, "early", 5, BQUIC_FIN)) == 5);
  }
  if (ev->kind == BQUIC_EVENT_EARLY_DATA) {
    early_data = ev->value;
  }
  if (ev->kind == BQUIC_EVENT_CONFIRMED) {
    GOOD(bquic_conn_close(ev->conn, 0, 42, "bye", 3));
  }
  if (ev->kind == BQUIC_EVENT_DRAINED) { // it is there until the next step
    bquic_conn_state state = {.size = sizeof state};
    GOOD(bquic_conn_info(ev->conn, &state));
    CHECK(state.flags & BQUIC_CONN_RESUMED && state.flags & BQUIC_CONN_CLOSED && state.early_data == 2);
  }
}

static int early_received;
static void on_early_server(side *s, const bquic_event *ev) {
  (void)s;
  if (ev->kind == BQUIC_EVENT_READABLE) {
    uint32_t flags;
    char buf[10];
    CHECK(GOOD(bquic_stream_recv(ev->conn, ev->stream, buf, sizeof buf, &flags, NULL)) == 5 && memcmp(buf, "early", 5) == 0 && flags == BQUIC_FIN);
    early_received++;
  }
  if (ev->kind == BQUIC_EVENT_CLOSED) {
    bquic_conn_end end = {.size = sizeof end};
    GOOD(bquic_conn_error(ev->conn, &end));
    CHECK(end.kind == BQUIC_END_APPLICATION && end.code == 42 && end.remote == 1 && strcmp(end.reason, "bye") == 0 && end.reason_len == 3);
  }
}

static void resume(side *server, side *client, bquic_config *config) {
  server->handle = on_early_server;
  client->handle = on_early;
  bquic_connect connect = {
      .size = sizeof connect, .flags = BQUIC_CONNECT_EARLY, .server_name = "localhost", .local = client->addr, .remote = server->addr,
      .session = {session, session_len},
  };
  early = bquic_endpoint_connect(client->endpoint, config, &connect, NULL);
  CHECK(early != NULL);
  client->drained = 0;
  play(client, server, &client->drained);
  CHECK(early_received == 1 && early_data == 1);
  bquic_conn_state state = {.size = sizeof state};
  FAILS(bquic_conn_info(early, &state), BQUIC_ERR_HANDLE, "it was freed");
}

// With room for one event each time, what was stored for a stream comes with what had happened before.
static void stored_late(side *server, side *client, bquic_config *config) {
  client->handle = on_any;
  bquic_conn *conn = dial(client, server, config, 0);
  int told = 0, until = 0;
  bquic_event event;
  for (int i = 0; i < 10000 && !until; i++) {
    step(client, server);
    bquic_step in = {.size = sizeof in, .now = now, .in = client->out, .in_len = client->out_len, .events = &event, .events_max = 1};
    for (uint32_t k = 0; k < in.in_len; k++) {
      in.in[k].local = server->addr;
      in.in[k].remote = client->addr;
    }
    do {
      GOOD(bquic_endpoint_step(server->endpoint, &in));
      in.in_len = 0;
      if (in.events_len == 1 && event.kind == BQUIC_EVENT_HANDSHAKE_COMPLETE) {
        GOOD(bquic_stream_open(conn, 0));
        GOOD(bquic_stream_send(conn, 0, "x", 1, 0));
      } else if (in.events_len == 1 && event.kind == BQUIC_EVENT_STREAM_OPENED) {
        CHECK(bquic_stream_set_user_data(event.conn, event.stream, 77) == 1);
      } else if (in.events_len == 1 && event.kind == BQUIC_EVENT_READABLE) {
        told += event.stream == 0 && event.stream_data == 77;
        until = 1;
      }
    } while (in.more & BQUIC_MORE_EVENTS);
    client->out_len = 0;
    bquic_step out = {.size = sizeof out, .now = now, .out = server->out, .out_max = 64, .buf = server->buf, .buf_len = sizeof server->buf};
    GOOD(bquic_endpoint_step(server->endpoint, &out));
    server->out_len = out.out_len;
    now += 1000000;
  }
  CHECK(told == 1);
  GOOD(bquic_conn_free(conn));
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  for (size_t i = 0; i < SIZE; i++) {
    sent[i] = (uint8_t)(i * i >> 3);
  }
  bquic_config *config = settings(argv, "echo");
  GOOD(bquic_config_set_u64(config, BQUIC_MAX_DATAGRAM_FRAME, 65535));
  GOOD(bquic_config_set_u64(config, BQUIC_EARLY_DATA, 1));
  GOOD(bquic_config_set_verify(config, verify, (void *)5));
  static side server, client;
  server.handle = on_server;
  client.handle = on_client;
  begin(&server, &client, config);
  bquic_conn *conn = dial(&client, &server, config, 7);
  play(&client, &server, &done);
  CHECK(received == SIZE && memcmp(sent, got, SIZE) == 0);
  CHECK(verified == 1 && opened == 1 && acked == 1 && datagrams == 1);

  bquic_conn_state state = {.size = sizeof state};
  GOOD(bquic_conn_info(conn, &state));
  CHECK(state.flags == (BQUIC_CONN_CLIENT | BQUIC_CONN_HANDSHAKE_COMPLETE | BQUIC_CONN_CONFIRMED | BQUIC_CONN_ADDRESS_VALIDATED));
  CHECK(state.version == 1 && strcmp((char *)state.alpn, "echo") == 0 && state.alpn_len == 4 && strcmp(state.server_name, "localhost") == 0);
  CHECK(memcmp(&state.remote, &server.addr, sizeof server.addr.in4) == 0 && state.user_data == 7 && state.streams_bidi > 0 && state.max_datagram > 1000);
  bquic_conn_figures figures = {.size = sizeof figures};
  GOOD(bquic_conn_stats(conn, &figures));
  CHECK(figures.bytes_sent > SIZE && figures.bytes_received > SIZE && figures.packets_lost == 0 && figures.datagrams_sent == 2);
  bquic_conn_end end = {.size = sizeof end};
  GOOD(bquic_conn_error(conn, &end));
  CHECK(end.kind == BQUIC_END_NONE && end.reason_len == 0);
  uint8_t cert[4096], here[32], there[32];
  int64_t n = GOOD(bquic_conn_peer_cert(conn, 0, cert, sizeof cert));
  CHECK(n > 100 && cert[0] == 0x30 && bquic_conn_peer_cert(conn, 0, cert, 1) == n && bquic_conn_peer_cert(conn, 1, cert, sizeof cert) == 0);
  char longest[250] = "";
  memset(longest, 'x', 249);
  GOOD(bquic_conn_export(conn, longest, NULL, 0, here, sizeof here));
  GOOD(bquic_conn_export(conn, "EXPORTER-test", "x", 1, here, sizeof here));
  GOOD(bquic_conn_export(accepted, "EXPORTER-test", "x", 1, there, sizeof there));
  CHECK(memcmp(here, there, sizeof here) == 0);
  bquic_conn_id ids[8];
  CHECK(GOOD(bquic_conn_source_ids(conn, ids, 8)) >= 2 && ids[0].len == 8);
  bquic_path list[4];
  CHECK(GOOD(bquic_conn_paths(conn, list, 4)) == 1 && list[0].state == BQUIC_PATH_ACTIVE && list[0].validated && list[0].rtt == figures.rtt);
  GOOD(bquic_conn_ping(conn));
  GOOD(bquic_conn_set_keep_alive(conn, 1000000000));
  GOOD(bquic_conn_renew_ids(conn));

  // What fails, fails with its reason.
  uint32_t flags;
  FAILS(bquic_stream_send(conn, 0, "x", 1, 0), BQUIC_ERR_STREAM, "no such stream");
  CHECK(bquic_stream_set_user_data(conn, 0, 1) == 0 && bquic_stream_set_user_data(conn, 400, 1) == 0); // it is over; and never opened
  FAILS(bquic_stream_send(conn, 1, "x", 1, 0), BQUIC_ERR_STREAM, "no such stream");
  FAILS(bquic_stream_send(conn, 3, "x", 1, 0), BQUIC_ERR_DIRECTION, "does not go in this direction");
  FAILS(bquic_stream_recv(conn, 0, cert, 1, &flags, NULL), BQUIC_ERR_STREAM, "no such stream");
  int64_t uni = GOOD(bquic_stream_open(conn, 1));
  CHECK(uni == 2 && bquic_stream_room(conn, 2) > 0);
  FAILS(bquic_stream_recv(conn, 2, cert, 1, &flags, NULL), BQUIC_ERR_DIRECTION, "does not go in this direction");
  GOOD(bquic_stream_send(conn, 2, "x", 1, BQUIC_FIN));
  CHECK(GOOD(bquic_stream_send(conn, 14, "x", 1, 0)) == 1 && GOOD(bquic_stream_open(conn, 1)) == 18); // with an ID of our own choosing
  bquic_op open = {.conn = conn, .kind = BQUIC_OP_OPEN, .data = "xy", .len = 2, .code = 1, .flags = BQUIC_FIN};
  GOOD(bquic_endpoint_ops(client.endpoint, &open, 1));
  CHECK(open.result == 2 && open.stream == 22);
  FAILS(bquic_stream_send(conn, 2, "x", 1, 0), BQUIC_ERR_ENDED, "has ended");
  uint64_t writable[8];
  int64_t count = GOOD(bquic_streams_writable(conn, writable, 8)), those = 0;
  for (int64_t i = 0; i < count; i++) {
    those += writable[i] == 14 || writable[i] == 18;
  }
  CHECK(those == 2 && GOOD(bquic_streams_writable(conn, writable, 1)) == 1 && GOOD(bquic_streams_readable(conn, writable, 8)) == 0);
  bquic_addr other = address("9", 1);
  FAILS(bquic_conn_probe_path(conn, NULL, &other), BQUIC_ERR_ARGUMENT, "");
  bquic_addr local = address("3", 50001);
  GOOD(bquic_conn_probe_path(conn, &local, NULL));
  GOOD(bquic_conn_abandon_path(conn, &local, NULL));
  FAILS(bquic_conn_abandon_path(conn, NULL, NULL), BQUIC_ERR_PATH, "no other path");
  FAILS(bquic_conn_close(conn, 0, UINT64_MAX, NULL, 0), BQUIC_ERR_ARGUMENT, "below 2^62");
  FAILS(bquic_h3_shutdown(conn), BQUIC_ERR_STATE, "does not speak HTTP/3");

  // The end, as both see it.
  GOOD(bquic_conn_close(conn, 0, 5, NULL, 0));
  GOOD(bquic_conn_error(conn, &end));
  CHECK(end.kind == BQUIC_END_APPLICATION && end.code == 5 && end.remote == 0);
  FAILS(bquic_stream_open(conn, 0), BQUIC_ERR_CLOSED, "");
  server.handle = client.handle = on_any;
  play(&client, &server, &client.drained);
  CHECK(client.closed == 1 && server.closed == 1);
  play(&client, &server, &server.drained);
  bquic_endpoint_info info = {.size = sizeof info};
  step(&server, &client);
  step(&client, &server);
  GOOD(bquic_endpoint_stats(server.endpoint, &info));
  CHECK(info.accepted == 1 && info.conns == 0);
  FAILS(bquic_conn_info(conn, &state), BQUIC_ERR_HANDLE, "it was freed");
  FAILS(bquic_conn_free(accepted), BQUIC_ERR_HANDLE, "it was freed");

  resume(&server, &client, config);
  stored_late(&server, &client, config);

  // Who refuses the certificate ends the handshake.
  GOOD(bquic_config_set_verify(config, refuse, &client));
  client.handle = server.handle = on_any;
  conn = dial(&client, &server, config, 0);
  int fd = qlog_fd(), second = dup(fd), third = dup(fd);
  GOOD(bquic_conn_set_qlog_fd(conn, fd, "a \"title\"", NULL));
  FAILS(bquic_conn_set_qlog_fd(conn, -1, NULL, NULL), BQUIC_ERR_ARGUMENT, "fd is -1");
  FAILS(bquic_conn_set_qlog_fd(conn, second, NULL, NULL), BQUIC_ERR_STATE, "traced already");
  FAILS(bquic_conn_set_qlog_fd(accepted, third, NULL, NULL), BQUIC_ERR_HANDLE, "it was freed");
  CHECK(!closed_fd(fd) && closed_fd(second) && closed_fd(third));
  client.closed = 0;
  play(&client, &server, &client.closed);
  GOOD(bquic_conn_error(conn, &end));
  CHECK(end.kind == BQUIC_END_TRANSPORT && end.code >= 0x100 && !end.remote && strstr(end.reason, "refused the peer's certificate") != NULL);

  GOOD(bquic_conn_free(conn));
  CHECK(closed_fd(fd) && qlog_has("\"title\":\"a \\\"title\\\"\"") && qlog_has("quic:packet_sent") && qlog_has("quic:connection_closed"));
  GOOD(bquic_endpoint_free(client.endpoint));
  GOOD(bquic_endpoint_free(server.endpoint));
  GOOD(bquic_config_free(config));
  CHECK(bquic_live_objects() == 0);
  return 0;
}
