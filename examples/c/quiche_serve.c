// quiche_serve ADDRESS PORT CHAIN KEY FOLDER: a server of HTTP/3, written as for quiche, that gives out the files of a folder. It prints the port that it
// listens on, and ends on SIGTERM, when its clients have been told.
#include "quiche_socket.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

// answer is a file, or an error, that is on its way.
typedef struct answer {
  struct answer *next;
  uint64_t stream;
  int file; // below 0: there is none
  int begun;
  off_t at, size;
} answer;

// client is a connection, in the list of those that there are.
typedef struct client {
  struct client *next;
  uint8_t id[ID_LEN];
  quiche_conn *conn;
  quiche_h3_conn *http;
  answer *answers;
} client;

static client *clients;
static quiche_config *config;
static quiche_h3_config *http_config;
static struct sockaddr_in local;
static int folder, fd;
static volatile sig_atomic_t ended;

static void on_signal(int number) {
  (void)number;
  ended = 1;
}

// find returns the connection that a datagram is for, a new one if it is a client's first.
static client *find(const uint8_t *data, size_t len, struct sockaddr_in *from) {
  uint8_t type, scid[20], dcid[20], token[1], out[1200];
  size_t scid_len = sizeof scid, dcid_len = sizeof dcid, token_len = 0;
  uint32_t version;
  int status = quiche_header_info(data, len, ID_LEN, &version, &type, scid, &scid_len, dcid, &dcid_len, token, &token_len);
  if (status != 0) {
    return NULL; // a token is none of ours
  }
  for (client *c = clients; dcid_len == ID_LEN && c != NULL; c = c->next) {
    if (memcmp(c->id, dcid, ID_LEN) == 0) {
      return c;
    }
  }
  if (version == 0 || type != 1) {
    return NULL;
  }
  if (!quiche_version_is_supported(version)) {
    ssize_t n = quiche_negotiate_version(scid, scid_len, dcid, dcid_len, out, sizeof out);
    if (n > 0 && len >= 1200) {
      sendto(fd, out, (size_t)n, 0, (struct sockaddr *)from, sizeof *from);
    }
    return NULL;
  }
  client *c = calloc(1, sizeof *c);
  getrandom(c->id, ID_LEN, 0);
  c->conn = quiche_accept(c->id, ID_LEN, NULL, 0, (struct sockaddr *)&local, sizeof local, (struct sockaddr *)from, sizeof *from, config);
  if (c->conn == NULL) {
    free(c);
    return NULL;
  }
  c->next = clients;
  return clients = c;
}

// path keeps the path of a GET.
static int path(uint8_t *name, size_t name_len, uint8_t *value, size_t value_len, void *argp) {
  char *to = argp;
  if (name_len == 7 && memcmp(name, ":method", 7) == 0 && (value_len != 3 || memcmp(value, "GET", 3) != 0)) {
    return 1;
  }
  if (name_len == 5 && memcmp(name, ":path", 5) == 0 && value_len < 1000) {
    memcpy(to, value, value_len);
    to[value_len] = 0;
  }
  return 0;
}

// begin begins the answer to a request. Names with "/." in them, which could lead out of the folder, are not there.
static void begin(client *c, uint64_t stream, quiche_h3_event *ev) {
  char name[1000] = "";
  struct stat is;
  answer *a = calloc(1, sizeof *a);
  *a = (answer){.next = c->answers, .stream = stream, .file = -1};
  if (quiche_h3_event_for_each_header(ev, path, name) == 0 && name[0] == '/' && strstr(name, "/.") == NULL) {
    a->file = openat(folder, name[1] ? name + 1 : ".", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (a->file >= 0 && (fstat(a->file, &is) != 0 || !S_ISREG(is.st_mode))) {
      close(a->file);
      a->file = -1;
    }
  }
  a->size = a->file < 0 ? 0 : is.st_size;
  c->answers = a;
}

// go_on sends as much of an answer as there is room for, and tells whether it is over.
static bool go_on(client *c, answer *a) {
  static uint8_t piece[65536];
  char length[24];
  snprintf(length, sizeof length, "%lld", (long long)a->size);
  quiche_h3_header head[] = {field(":status", a->file < 0 ? "404" : "200"), field("content-length", length)};
  if (!a->begun) {
    int status = quiche_h3_send_response(c->http, c->conn, a->stream, head, 2, a->size == 0);
    if (status == QUICHE_H3_ERR_STREAM_BLOCKED) {
      return false;
    }
    if (status < 0) {
      return true; // the client does not want it, or is gone
    }
    a->begun = 1;
  }
  while (a->at < a->size) {
    ssize_t n = pread(a->file, piece, sizeof piece, a->at);
    if (n <= 0) { // the file has become shorter
      quiche_conn_stream_shutdown(c->conn, a->stream, QUICHE_SHUTDOWN_WRITE, 0x102);
      return true;
    }
    ssize_t took = quiche_h3_send_body(c->http, c->conn, a->stream, piece, (size_t)n, a->at + n == a->size);
    if (took == QUICHE_H3_ERR_DONE) {
      return false;
    }
    if (took < 0) {
      return true;
    }
    a->at += took;
  }
  return true;
}

static void end(answer *a) {
  if (a->file >= 0) {
    close(a->file);
  }
  free(a);
}

// serve does all there is to do for a connection but sending.
static void serve(client *c) {
  static uint8_t unwanted[65536];
  if (c->http == NULL && quiche_conn_is_established(c->conn)) {
    c->http = quiche_h3_conn_new_with_transport(c->conn, http_config);
  }
  if (c->http == NULL) {
    return;
  }
  quiche_h3_event *ev;
  int64_t stream;
  while ((stream = quiche_h3_conn_poll(c->http, c->conn, &ev)) >= 0) {
    if (quiche_h3_event_type(ev) == QUICHE_H3_EVENT_HEADERS) {
      begin(c, (uint64_t)stream, ev);
    } else if (quiche_h3_event_type(ev) == QUICHE_H3_EVENT_DATA) {
      while (quiche_h3_recv_body(c->http, c->conn, (uint64_t)stream, unwanted, sizeof unwanted) > 0) {
      }
    }
    quiche_h3_event_free(ev);
  }
  for (answer **at = &c->answers; *at != NULL;) {
    answer *a = *at;
    if (go_on(c, a)) {
      *at = a->next;
      end(a);
    } else {
      at = &a->next;
    }
  }
}

static void take(uint8_t *data, size_t len, struct sockaddr_in *from) {
  quiche_recv_info info = {(struct sockaddr *)from, sizeof *from, (struct sockaddr *)&local, sizeof local};
  client *c = find(data, len, from);
  if (c != NULL) {
    quiche_conn_recv(c->conn, data, len, &info); // what is no good is dropped, or closes the connection
  }
}

static void forget(client *c) {
  for (answer *a = c->answers, *next; a != NULL; a = next) {
    next = a->next;
    end(a);
  }
  if (c->http != NULL) {
    quiche_h3_conn_free(c->http);
  }
  quiche_conn_free(c->conn);
  free(c);
}

int main(int argc, char **argv) {
  local = (struct sockaddr_in){.sin_family = AF_INET};
  if (argc != 6 || inet_pton(AF_INET, argv[1], &local.sin_addr) != 1) {
    fprintf(stderr, "usage: quiche_serve ADDRESS PORT CHAIN KEY FOLDER\n");
    return 2;
  }
  local.sin_port = htons((uint16_t)atoi(argv[2]));
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
  sigaction(SIGTERM, &action, NULL);
  config = settings();
  http_config = quiche_h3_config_new();
  if (quiche_config_load_cert_chain_from_pem_file(config, argv[3]) != 0 || quiche_config_load_priv_key_from_pem_file(config, argv[4]) != 0) {
    fprintf(stderr, "no certificate in %s with its key in %s\n", argv[3], argv[4]);
    return 1;
  }
  folder = open(argv[5], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) {
    die(argv[5]);
  }
  int poll;
  fd = open_socket(&local, &poll);
  printf("%d\n", ntohs(local.sin_port));
  fflush(stdout);

  while (!ended) {
    uint64_t ms = 60000, due;
    for (client *c = clients; c != NULL; c = c->next) {
      due = quiche_conn_timeout_as_millis(c->conn);
      ms = due < ms ? due : ms;
    }
    struct epoll_event event;
    if (epoll_wait(poll, &event, 1, (int)ms) < 0 && errno != EINTR) {
      die("epoll_wait");
    }
    receive(fd, take);
    for (client **at = &clients; *at != NULL;) {
      client *c = *at;
      if (quiche_conn_timeout_as_nanos(c->conn) <= 1) {
        quiche_conn_on_timeout(c->conn);
      }
      serve(c);
      send_all(fd, c->conn);
      if (quiche_conn_is_closed(c->conn)) {
        *at = c->next;
        forget(c);
      } else {
        at = &c->next;
      }
    }
  }
  for (client *c = clients, *next; c != NULL; c = next) {
    next = c->next;
    quiche_conn_close(c->conn, true, 0x100, NULL, 0);
    send_all(fd, c->conn);
    forget(c);
  }
  quiche_h3_config_free(http_config);
  quiche_config_free(config);
  return 0;
}
