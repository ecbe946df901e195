// loop_echo ADDRESS CHAIN KEY: a server, with the library's event loop, that sends back what comes on each stream. It prints the port that it listens on, and ends
// when its standard input does. loop_echo ADDRESS ROOTS: a client, which sends its standard input, and writes what comes back. ADDRESS is HOST:PORT.
#include <arpa/inet.h>
#include <boringquic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int64_t good(int64_t status) {
  if (status < 0) {
    fprintf(stderr, "%s: %s\n", bquic_status_name((int32_t)status), bquic_error());
    exit(1);
  }
  return status;
}

// serve sends back each stream of a client, one after the other.
static void *serve(void *conn) {
  uint8_t buf[16384];
  int64_t stream, n = 0;
  while ((stream = bquic_stream_accept(conn, 0, UINT64_MAX)) >= 0) {
    for (uint32_t end = 0; !end && n >= 0;) {
      n = bquic_stream_read(conn, (uint64_t)stream, buf, sizeof buf, &end, NULL, UINT64_MAX);
      n = n < 0 ? n : bquic_stream_write(conn, (uint64_t)stream, buf, (size_t)n, end, UINT64_MAX);
    }
  }
  bquic_conn_free(conn);
  return NULL;
}

static void *accept_all(void *socket) {
  bquic_conn *conn;
  pthread_t thread;
  while ((conn = bquic_accept(socket, UINT64_MAX, NULL)) != NULL) {
    if (pthread_create(&thread, NULL, serve, conn) != 0) {
      bquic_conn_free(conn);
      continue;
    }
    pthread_detach(thread);
  }
  return NULL; // the socket was freed
}

static int server(bquic_config *config, char **argv) {
  bquic_addr addr;
  int32_t status;
  pthread_t thread;
  good(bquic_config_add_cert_files(config, argv[2], argv[3]));
  bquic_socket *socket = bquic_listen(config, argv[1], NULL, &status);
  good(status);
  good(bquic_socket_addr(socket, &addr));
  printf("%d\n", ntohs(addr.in4.sin_port)); // which lies where that of IPv6 does
  fflush(stdout);
  if (pthread_create(&thread, NULL, accept_all, socket) != 0) {
    return 1;
  }
  while (getchar() != EOF) {
  }
  good(bquic_socket_free(socket));
  pthread_join(thread, NULL);
  return 0;
}

typedef struct request {
  bquic_conn *conn;
  uint64_t stream;
} request;

static void *send_input(void *given) {
  request *r = given;
  static uint8_t buf[16384];
  ssize_t n;
  while ((n = read(0, buf, sizeof buf)) > 0) {
    good(bquic_stream_write(r->conn, r->stream, buf, (size_t)n, 0, UINT64_MAX));
  }
  good(bquic_stream_write(r->conn, r->stream, NULL, 0, BQUIC_FIN, UINT64_MAX));
  return NULL;
}

static int client(bquic_config *config, char **argv) {
  static uint8_t buf[16384];
  int32_t status;
  pthread_t thread;
  good(bquic_config_add_roots_file(config, argv[2]));
  bquic_conn *conn = bquic_dial(config, argv[1], NULL, 10000000000, &status);
  good(status);
  request r = {conn, (uint64_t)good(bquic_stream_open(conn, 0))};
  if (pthread_create(&thread, NULL, send_input, &r) != 0) {
    return 1;
  }
  for (uint32_t end = 0; !end;) {
    fwrite(buf, 1, (size_t)good(bquic_stream_read(conn, r.stream, buf, sizeof buf, &end, NULL, UINT64_MAX)), stdout);
  }
  pthread_join(thread, NULL);
  good(bquic_conn_free(conn));
  return 0;
}

int main(int argc, char **argv) {
  bquic_config *config = bquic_config_new();
  good(bquic_config_set_bytes(config, BQUIC_ALPN, "\4echo", 5));
  if (argc == 4) {
    return server(config, argv);
  }
  if (argc == 3) {
    return client(config, argv);
  }
  fprintf(stderr, "usage: loop_echo ADDRESS CHAIN KEY, or loop_echo ADDRESS ROOTS\n");
  return 2;
}
