// The commands of quic-perf's peers over an API of C's: see ../README.md. One connection, one thread, trains of datagrams both ways.
#define _GNU_SOURCE
#include "perf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>

options given = {.payload = 1472, .streams = 1, .parallel = 100, .bytes = 1 << 30};
const uint8_t zeros[BLOCK];
uint8_t block[BLOCK];
bool done;

static int fd;
static exchange slots[SLOTS];
static uint8_t first[BLOCK];  // what a request begins with
static uint64_t began, elapsed, opened, running, finished, *latencies, room;

_Noreturn void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
  exit(1);
}

uint64_t clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

// Exchanges.

exchange *find(uint64_t id) {
  exchange *x = &slots[(id >> 2) % SLOTS];
  if (!x->open) {
    *x = (exchange){.id = id, .open = true};
  } else if (x->id != id) {
    die("more than %d streams are open", SLOTS);
  }
  return x;
}

bool waits(uint64_t id) {
  const exchange *x = &slots[(id >> 2) % SLOTS];
  return x->open && x->id == id && x->waits;
}

void forget(exchange *x) { x->open = false; }

void came(exchange *x, const uint8_t *data, size_t n, bool fin) {
  if (given.server && x->got < HEADER && !given.h3) {
    size_t part = HEADER - x->got < n ? HEADER - x->got : n;
    memcpy(x->header + x->got, data, part);
  }
  x->got += n;
  if (!fin) {
    return;
  }
  x->ended = true;
  if (given.server) {
    if (!given.h3) {
      for (int i = 0; i < HEADER; i++) {
        x->want = x->want << 8 | x->header[i];
      }
    }
    x->out = x->want;
    return;
  }
  if (x->got != x->want) {
    die("the server sent %llu bytes in place of %llu", (unsigned long long)x->got, (unsigned long long)x->want);
  }
  uint64_t now = clock_ns();
  elapsed = now - began;
  running--;
  if (given.duration != 0) {
    if (finished == room) {
      room = room ? 2 * room : 1 << 16;
      latencies = realloc(latencies, room * sizeof *latencies);
      if (latencies == NULL) {
        die("no memory");
      }
    }
    latencies[finished] = now - x->began;
  }
  finished++;
  forget(x);
}

size_t next_part(exchange *x, const uint8_t **data, bool *fin) {
  size_t n = x->out < BLOCK ? x->out : BLOCK;
  *data = zeros;
  if (!given.server && x->out == given.up + HEADER) {
    *data = first;
  }
  *fin = n == x->out;
  return n;
}

bool part_sent(exchange *x, size_t n, size_t of) {
  bool last = of == x->out && n == of;
  x->out -= n;
  if (last) {
    x->fin = true;
    if (given.server) {
      forget(x);
    }
  }
  return n == of;
}

exchange *next_request(void) {
  uint64_t now = 0;
  if (began == 0) {
    began = clock_ns();
  }
  if (running == given.parallel || (given.duration == 0 ? opened == given.streams : (now = clock_ns()) - began >= given.duration)) {
    done = running == 0;
    return NULL;
  }
  exchange *x = find(4 * opened++);
  x->began = now, x->out = given.up + HEADER, x->want = given.down;
  running++;
  return x;
}

// Of HTTP.

uint64_t wanted(const char *path, size_t n) {
  uint64_t bytes = 0;
  for (size_t i = 1; i < n && path[i] >= '0' && path[i] <= '9'; i++) {
    bytes = 10 * bytes + (uint64_t)(path[i] - '0');
  }
  return bytes;
}

uint32_t decimal(char to[24], uint64_t n) { // for each response: snprintf would be a good part of it
  char digits[24];
  uint32_t len = 0;
  do {
    digits[len++] = (char)('0' + n % 10);
  } while ((n /= 10) > 0);
  for (uint32_t i = 0; i < len; i++) {
    to[i] = digits[len - 1 - i];
  }
  return len;
}

uint32_t http_date(char to[40]) {
  static time_t second;
  static char text[40];
  static size_t len;
  time_t now = time(NULL);
  if (now != second) {
    second = now;
    len = strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
  }
  memcpy(to, text, len);
  return (uint32_t)len;
}

// The socket.

static void open_socket(address *local, const address *remote) {
  int on = 1, size = 7 << 20;
  socklen_t len = sizeof *local;
  fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)local, sizeof *local) != 0) {
    die("socket: %s", strerror(errno));
  }
  if (remote != NULL && connect(fd, (const struct sockaddr *)remote, sizeof *remote) != 0) {  // so that the local address is known
    die("connect: %s", strerror(errno));
  }
  if (getsockname(fd, (struct sockaddr *)local, &len) != 0 || setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on) != 0) {
    die("socket: %s", strerror(errno));
  }
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

typedef union {
  struct cmsghdr head;
  char room[CMSG_SPACE(sizeof(int))];
} control;

static size_t receive(train *in) {
  static uint8_t bufs[BATCH][TRAIN];
  struct mmsghdr messages[BATCH];
  struct iovec parts[BATCH];
  control controls[BATCH];
  for (int i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){bufs[i], TRAIN};
    messages[i].msg_hdr = (struct msghdr){
        .msg_name = &in[i].peer, .msg_namelen = sizeof in[i].peer, .msg_iov = &parts[i], .msg_iovlen = 1,
        .msg_control = &controls[i], .msg_controllen = sizeof controls[i],
    };
  }
  int n = recvmmsg(fd, messages, BATCH, 0, NULL);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED) {
      return 0;
    }
    die("recvmmsg: %s", strerror(errno));
  }
  for (int i = 0; i < n; i++) {
    in[i].data = bufs[i], in[i].len = messages[i].msg_len, in[i].segment = messages[i].msg_len;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&messages[i].msg_hdr); c != NULL; c = CMSG_NXTHDR(&messages[i].msg_hdr, c)) {
      if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
        int size;
        memcpy(&size, CMSG_DATA(c), sizeof size);
        in[i].segment = (uint32_t)size;
      }
    }
  }
  return (size_t)n;
}

void send_trains(const train *out, size_t n) {
  struct mmsghdr messages[BATCH] = {0};
  struct iovec parts[BATCH];
  control controls[BATCH];
  for (size_t i = 0; i < n; i++) {
    parts[i] = (struct iovec){out[i].data, out[i].len};
    struct msghdr *m = &messages[i].msg_hdr;
    *m = (struct msghdr){.msg_name = (void *)&out[i].peer, .msg_namelen = sizeof out[i].peer, .msg_iov = &parts[i], .msg_iovlen = 1};
    if (out[i].segment < out[i].len) {
      uint16_t size = (uint16_t)out[i].segment;
      m->msg_control = &controls[i];
      m->msg_controllen = CMSG_SPACE(sizeof size);
      struct cmsghdr *c = CMSG_FIRSTHDR(m);
      c->cmsg_level = SOL_UDP, c->cmsg_type = UDP_SEGMENT, c->cmsg_len = CMSG_LEN(sizeof size);
      memcpy(CMSG_DATA(c), &size, sizeof size);
    }
  }
  for (size_t sent = 0; sent < n;) {
    int k = sendmmsg(fd, messages + sent, (unsigned)(n - sent), 0);
    if (k > 0) {
      sent += (size_t)k;
    } else if (errno == EAGAIN) {
      poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
    } else if (errno != EINTR) {
      return; // lost, as on the network
    }
  }
}

// run turns until the load is done; a server never.
static void run(void) {
  train in[BATCH];
  uint64_t wait = turn(in, 0);
  while (!done) {
    if (wait != 0) {
      struct timespec left = {(time_t)(wait / 1000000000), (long)(wait % 1000000000)};
      if (ppoll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, wait == UINT64_MAX ? NULL : &left, NULL) < 0 && errno != EINTR) {
        die("ppoll: %s", strerror(errno));
      }
    }
    wait = turn(in, receive(in));
  }
}

// The commands.

static int by_size(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static double at(double part) { return (double)latencies[(size_t)(part * (double)(finished - 1))] / 1e3; }

static void report(const char *load, uint64_t count) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
  printf("{\"load\": \"%s\", \"count\": %llu, \"seconds\": %.6f, ", load, (unsigned long long)count, (double)elapsed / 1e9);
  if (latencies != NULL) {
    qsort(latencies, finished, sizeof *latencies, by_size);
    printf("\"latency\": {\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}, ", at(0.5), at(0.9), at(0.99), at(0.999), at(1));
  }
  printf("\"client\": {\"cpu_seconds\": %.6f, \"max_rss_bytes\": %lld}}\n", cpu, (long long)used.ru_maxrss << 10);
  fflush(stdout);
}

static address resolve(const char *host_port) {
  char host[64] = "";
  const char *colon = strrchr(host_port, ':');
  address a = {.sin_family = AF_INET};
  if (colon == NULL || (size_t)(colon - host_port) >= sizeof host) {
    die("%s is not ADDRESS:PORT", host_port);
  }
  memcpy(host, host_port, (size_t)(colon - host_port));
  a.sin_port = htons((uint16_t)atoi(colon + 1));
  if (inet_pton(AF_INET, host, &a.sin_addr) != 1) {
    die("%s is no address of IPv4", host);
  }
  return a;
}

static void about(void) {
  printf("{\"name\": \"%s\", \"version\": \"%s\", \"crypto\": \"BoringSSL, AES-128-GCM\", \"udp_payload\": %u, "
         "\"offloads\": \"GSO, GRO, sendmmsg, recvmmsg\", \"controller\": \"CUBIC\", %s}\n",
         api_name, api_version(), given.payload,
         given.h3 ? "\"loads\": [], \"serves\": [\"bulk\", \"upload\", \"requests\"], \"alpn\": \"h3\"" : "\"loads\": [\"bulk\", \"upload\", \"requests\"]");
}

static void serve(const char *listen) {
  char text[INET_ADDRSTRLEN];
  address local = resolve(listen);
  given.server = true;
  open_socket(&local, NULL);
  begin(&local, NULL);
  printf("listening on %s:%d\n", inet_ntop(AF_INET, &local.sin_addr, text, sizeof text), ntohs(local.sin_port));
  fflush(stdout);
  run();
}

static void load(const char *command, const char *to) {
  bool bulk = strcmp(command, "bulk") == 0;
  address remote = resolve(to), local = {.sin_family = AF_INET};
  if (given.h3) {
    die("the client of HTTP/3 is quic-perf's");
  }
  if (bulk) {
    given.duration = 0, given.parallel = given.streams;
    *(given.upload ? &given.up : &given.down) = given.bytes / given.streams;
  }
  for (int i = 0; i < HEADER; i++) {
    first[i] = (uint8_t)(given.down >> (8 * (HEADER - 1 - i)));
  }
  open_socket(&local, &remote);
  begin(&local, &remote);
  run();
  report(command, bulk ? given.bytes / given.streams * given.streams : finished);
  end();
}

int main(int argc, char **argv) {
  const char *listen = "127.0.0.1:4433", *to = NULL;
  int i = 1;
  if (argc > 1 && strcmp(argv[1], "h3") == 0) {
    given.h3 = true, i++;
  }
  if (i >= argc || strcmp(argv[i], "--help") == 0) {
    puts("usage: [h3] about | server --listen ADDRESS:PORT --cert FILE --key FILE | bulk [--bytes N] [--streams N] [--upload] | requests [--for TIMEms],\n"
         "with --udp-payload BYTES; bulk and requests with --ca FILE and ADDRESS:PORT: see README.md of the peers.");
    return i >= argc ? 2 : 0;
  }
  const char *command = argv[i++];
  bool requests = strcmp(command, "requests") == 0;
  if (requests) {
    given.up = given.down = 1024, given.duration = 3000000000;
  }
  for (; i < argc; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : "";
    struct {
      const char *name;
      const char **text;
      uint64_t *number;
    } flags[] = {
        {"--listen", &listen, NULL}, {"--cert", &given.cert, NULL}, {"--key", &given.key, NULL}, {"--ca", &given.ca, NULL}, {"--bytes", NULL, &given.bytes},
        {"--up", NULL, &given.up}, {"--down", NULL, &given.down},
    };
    size_t f = 0;
    for (; f < sizeof flags / sizeof *flags && strcmp(argv[i], flags[f].name) != 0; f++) {
    }
    if (f < sizeof flags / sizeof *flags) {
      if (flags[f].text != NULL) {
        *flags[f].text = value;
      } else {
        *flags[f].number = strtoull(value, NULL, 10);
      }
      i++;
    } else if (strcmp(argv[i], "--upload") == 0) {
      given.upload = true;
    } else if (strcmp(argv[i], "--udp-payload") == 0) {
      given.payload = (uint32_t)atoi(value), i++;
    } else if (strcmp(argv[i], "--streams") == 0) {
      given.streams = (uint32_t)atoi(value), i++;
    } else if (strcmp(argv[i], "--connections") == 0) {
      if (atoi(value) != 1) {
        die("there is one connection");
      }
      i++;
    } else if (strcmp(argv[i], "--for") == 0 && requests) {
      given.duration = strtoull(value, NULL, 10) * 1000000, i++;  // a number of ms, with its unit
    } else if (strcmp(argv[i], "--json") != 0) {
      if (argv[i][0] == '-') {
        die("unknown flag %s", argv[i]);
      }
      to = argv[i];
    }
  }
  if (strcmp(command, "about") == 0) {
    about();
  } else if (strcmp(command, "server") == 0) {
    serve(listen);
  } else if ((requests || strcmp(command, "bulk") == 0) && to != NULL) {
    load(command, to);
  } else {
    die("unknown command %s, or no ADDRESS:PORT", command);
  }
  return 0;
}
