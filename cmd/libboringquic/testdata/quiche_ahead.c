// Small messages are read and written without a call of Go for each (quiche_ahead.c), and nobody sees a difference but in time.
#include "quiche_pair.h"
#include <sys/wait.h>
#include <unistd.h>

// The linker has all that goes from C to Go go through here.
static unsigned crossings;
void __real_crosscall2(void (*f)(void *), void *args, int size, size_t context);
void __wrap_crosscall2(void (*f)(void *), void *args, int size, size_t context);
void __wrap_crosscall2(void (*f)(void *), void *args, int size, size_t context) {
  crossings++;
  __real_crosscall2(f, args, size, context);
}

// SAME is IS without a call of its own.
#define SAME(got, want) CHECK((long long)(got) == (long long)(want))

enum { STREAMS = 40, MANY = 120, MESSAGE = 1000 };  // MANY: more than are shown at once

static uint64_t code;
static bool fin;
static uint8_t message[MESSAGE], buf[70000];

static ssize_t put(quiche_conn *conn, uint64_t id, size_t n, bool end) { return quiche_conn_stream_send(conn, id, message, n, end, &code); }

static ssize_t get(quiche_conn *conn, uint64_t id, size_t n) {
  fin = false;
  return quiche_conn_stream_recv(conn, id, buf, n, &fin, &code);
}

// shown has what is readable be listed, and wants so many.
static void shown(quiche_conn *conn, size_t want) {
  size_t n = 0;
  quiche_stream_iter *iter = quiche_conn_readable(conn);
  for (uint64_t id; quiche_stream_iter_next(iter, &id);) {
    n++;
  }
  quiche_stream_iter_free(iter);
  IS(n, want);
}

static pair connected(void) {
  quiche_config *config = config_with("\1x");
  quiche_config_set_initial_max_streams_bidi(config, 2 * MANY);
  pair p = pair_of(config, config, NULL);
  establish(&p);
  quiche_config_free(config);
  return p;
}

// answers reads all that is readable, and answers it where asked to. It returns how many streams there were.
static size_t answers(quiche_conn *conn, bool answer) {
  size_t n = 0;
  quiche_stream_iter *iter = quiche_conn_readable(conn);
  for (uint64_t id; quiche_stream_iter_next(iter, &id); n++) {
    SAME(get(conn, id, sizeof buf), MESSAGE);
    SAME(fin, true);
    SAME(memcmp(buf, message, MESSAGE), 0);
    if (answer) {
      SAME(put(conn, id, MESSAGE, true), MESSAGE);
    }
  }
  quiche_stream_iter_free(iter);
  return n;
}

// Requests and answers on so many streams at a time: some crossings for all of them, and more than for few of them as often as the room of what is shown,
// or of what is written, is used up.
static void few_crossings(unsigned streams, unsigned more) {
  pair p = connected();
  uint64_t next = 0;
  for (int round = 0; round < 8; round++) {
    shown(p.client, 0);
    uint64_t left = quiche_conn_peer_streams_left_bidi(p.client);
    CHECK(left >= streams);
    unsigned before = crossings;
    for (unsigned i = 0; i < streams; i++, next += 4) {
      SAME(put(p.client, next, MESSAGE, true), MESSAGE);
      SAME(quiche_conn_peer_streams_left_bidi(p.client), --left);
    }
    SAME(crossings - before, more);
    quiche_conn_timeout_as_nanos(p.client); // as whoever waits
    SAME(quiche_conn_peer_streams_left_bidi(p.client), left);
    exchange(&p);
    before = crossings;
    SAME(answers(p.server, true), streams);
    CHECK(crossings - before <= 2 + 2 * more);
    exchange(&p);
    before = crossings;
    SAME(answers(p.client, false), streams);
    CHECK(crossings - before <= 2 + more);
    exchange(&p);
    SAME(quiche_conn_stream_finished(p.server, next - 4), true);
    SAME(quiche_conn_stream_finished(p.client, next - 4), true);
  }
  // A MiB on one stream: some crossings for each train, and none for each datagram, but for what IS asks in exchange.
  unsigned before = crossings;
  size_t carried = p.datagrams;
  for (size_t sent = 0, got = 0; got < 1 << 20;) {
    ssize_t n;
    while (sent < 1 << 20 && (n = quiche_conn_stream_send(p.client, next, buf, 65536, false, &code)) > 0) {
      sent += (size_t)n;
    }
    exchange(&p);
    while ((n = get(p.server, next, sizeof buf)) > 0) {
      got += (size_t)n;
    }
    exchange(&p);
  }
  carried = p.datagrams - carried;
  CHECK(carried > 800 && crossings - before - carried < carried / 3);
  free_pair(&p);
}

// Streams that were to be shown later are read after whoever has listed them has waited, which gives the memory back that shows them.
static void wait_between(void) {
  pair p = connected();
  for (uint64_t id = 0; id < 4 * MANY; id += 4) {
    SAME(put(p.client, id, MESSAGE, true), MESSAGE);
  }
  exchange(&p);
  while (quiche_conn_timeout_as_nanos(p.server) <= 1000000000) {
    let_pass(p.server);
    exchange(&p);
  }
  shown(p.server, MANY);
  CHECK(quiche_conn_timeout_as_nanos(p.server) > 1000000000);
  for (uint64_t id = 0; id < 4 * MANY; id += 4) {
    SAME(get(p.server, id, sizeof buf), MESSAGE);
  }
  free_pair(&p);
}

// Streams are read in any order, also those that are shown later.
static void any_order(void) {
  pair p = connected();
  for (uint64_t id = 0; id < 4 * MANY; id += 4) {
    SAME(put(p.client, id, MESSAGE, id % 8 == 0), MESSAGE);
  }
  exchange(&p);
  shown(p.server, MANY);
  for (uint64_t i = 0; i < MANY; i++) {
    uint64_t id = 4 * (i * 77 % MANY);
    SAME(get(p.server, id, 700), 700);
    SAME(memcmp(buf, message, 700), 0);
    SAME(put(p.server, id, 10, false), 10);
  }
  for (uint64_t id = 0; id < 4 * MANY; id += 4) {
    SAME(get(p.server, id, sizeof buf), MESSAGE - 700);
    SAME(memcmp(buf, message + 700, MESSAGE - 700), 0);
    SAME(fin, id % 8 == 0);
    SAME(put(p.server, id, 10, true), 10);
  }
  exchange(&p);
  for (uint64_t id = 0; id < 4 * MANY; id += 4) {
    SAME(get(p.client, id, sizeof buf), 20);
    SAME(fin, true);
  }
  free_pair(&p);
}

// What is read in parts, with other calls between, is what came.
static void in_parts(void) {
  pair p = connected();
  IS(put(p.client, 0, MESSAGE, false), MESSAGE);
  IS(put(p.client, 4, MESSAGE, true), MESSAGE);
  exchange(&p);
  shown(p.server, 2);
  unsigned before = crossings;
  SAME(get(p.server, 4, 10), 10);
  SAME(get(p.server, 4, 10), 10);
  SAME(memcmp(buf, message + 10, 10), 0);
  SAME(crossings - before, 0);
  IS(quiche_conn_stream_readable(p.server, 4), true);
  IS(quiche_conn_stream_finished(p.server, 4), false);
  IS(get(p.server, 4, 80), 80);
  IS(memcmp(buf, message + 20, 80), 0);
  IS(get(p.server, 4, MESSAGE), MESSAGE - 100);
  IS(fin, true);
  IS(memcmp(buf, message + 100, MESSAGE - 100), 0);
  IS(quiche_conn_stream_finished(p.server, 4), true);
  IS(quiche_conn_stream_readable(p.server, 4), false);
  // More comes behind what was shown.
  IS(get(p.server, 0, 600), 600);
  IS(put(p.client, 0, MESSAGE, true), MESSAGE);
  exchange(&p);
  IS(get(p.server, 0, sizeof buf), 400 + MESSAGE);
  IS(fin, true);
  // What is empty, and what has been read to its end.
  CHECK(get(p.server, 0, sizeof buf) < 0);
  IS(put(p.client, 8, 0, true), 0);
  exchange(&p);
  shown(p.server, 1);
  IS(get(p.server, 8, sizeof buf), 0);
  IS(fin, true);
  shown(p.server, 0);
  free_pair(&p);
}

// A read takes all that is there and that it has room for, wherever that lies in the library's memory.
static void whole(void) {
  enum { ALL = 40000 };
  pair p = connected();
  for (int left = ALL; left > 0; left -= 1000) {
    IS(put(p.client, 0, 1000, left == 1000), 1000);
    IS(put(p.client, 4, 1000, false), 1000);
    exchange(&p);
  }
  for (size_t left = ALL; left > 10000; left -= 990) {
    shown(p.server, 2);
    for (uint64_t id = 0; id < 8; id += 4) {
      SAME(get(p.server, id, 990), 990);
    }
  }
  for (uint64_t id = 0; id < 8; id += 4) {
    shown(p.server, id == 0 ? 2 : 1);
    SAME(get(p.server, id, sizeof buf), ALL - (ALL - 10000 + 989) / 990 * 990);
    SAME(fin, id == 0);
  }
  free_pair(&p);
}

// A stream that is opened opens those below it: what was to be opened next is open then, and counts no more.
static void opened_by_one_above(void) {
  pair p = connected();
  shown(p.client, 0);
  uint64_t left = quiche_conn_peer_streams_left_bidi(p.client);
  SAME(put(p.client, 8, 70, false), 70);
  SAME(quiche_conn_peer_streams_left_bidi(p.client), left - 3);
  SAME(put(p.client, 0, 70, false), 70);
  SAME(quiche_conn_peer_streams_left_bidi(p.client), left - 3);
  IS(quiche_conn_peer_streams_left_bidi(p.client), left - 3);
  // What one of them was written to beforehand counts.
  shown(p.client, 0);
  SAME(put(p.client, 20, 70, false), 70);
  SAME(put(p.client, 16, 70, true), 70);
  SAME(put(p.client, 12, 70, false), 70);
  SAME(put(p.client, 16, 70, false), QUICHE_ERR_FINAL_SIZE);
  exchange(&p);
  CHECK(!quiche_conn_is_draining(p.client) && !quiche_conn_is_draining(p.server));
  shown(p.server, 5);
  free_pair(&p);
}

// A reset that comes after the stream was shown is told, and what it has taken away is not.
static void reset(void) {
  pair p = connected();
  IS(put(p.client, 0, MESSAGE, false), MESSAGE);
  IS(put(p.client, 4, MESSAGE, false), MESSAGE);
  exchange(&p);
  shown(p.server, 2);
  IS(get(p.server, 0, 100), 100);
  IS(quiche_conn_stream_shutdown(p.client, 0, QUICHE_SHUTDOWN_WRITE, 7), 0);
  exchange(&p);
  IS(get(p.server, 0, sizeof buf), QUICHE_ERR_STREAM_RESET);
  IS(code, 7);
  // Of one that was reset before it is listed it is told as well.
  IS(quiche_conn_stream_shutdown(p.client, 4, QUICHE_SHUTDOWN_WRITE, 8), 0);
  exchange(&p);
  shown(p.server, 1);
  shown(p.server, 1);
  IS(get(p.server, 4, sizeof buf), QUICHE_ERR_STREAM_RESET);
  IS(code, 8);
  free_pair(&p);
}

// What is written without Go counts, ends, and is refused, as what is written with it.
static void writes(void) {
  pair p = connected();
  for (uint64_t id = 0; id < 16; id += 4) {
    IS(put(p.client, id, MESSAGE, false), MESSAGE);
  }
  exchange(&p);
  shown(p.server, 4);
  ssize_t room = quiche_conn_stream_capacity(p.server, 0);
  CHECK(room > 5 * MESSAGE);
  shown(p.server, 4);
  unsigned before = crossings;
  SAME(put(p.server, 0, MESSAGE, false), MESSAGE);
  SAME(put(p.server, 0, MESSAGE, false), MESSAGE);
  SAME(put(p.server, 4, MESSAGE, true), MESSAGE);
  SAME(crossings - before, 0);
  IS(quiche_conn_stream_capacity(p.server, 0), room - 3 * MESSAGE);
  IS(put(p.server, 4, 1, false), QUICHE_ERR_FINAL_SIZE);
  for (int i = 0; i < 10; i++) { // more than is answered without Go
    IS(put(p.server, 0, MESSAGE, i == 9), MESSAGE);
  }
  IS(put(p.server, 0, 1, false), QUICHE_ERR_FINAL_SIZE);
  IS(put(p.server, 8, MESSAGE, false), MESSAGE);
  IS(quiche_conn_stream_shutdown(p.server, 8, QUICHE_SHUTDOWN_WRITE, 9), 0); // takes back what did not leave
  exchange(&p);
  shown(p.client, 3);
  size_t got = 0;
  for (ssize_t n; !fin && (n = get(p.client, 0, 700)) > 0;) {
    got += (size_t)n;
  }
  IS(got, 12 * MESSAGE);
  IS(get(p.client, 4, sizeof buf), MESSAGE);
  IS(fin, true);
  IS(get(p.client, 8, sizeof buf), QUICHE_ERR_STREAM_RESET);
  IS(code, 9);
  // Who was stopped is told, with what the peer says.
  IS(quiche_conn_stream_shutdown(p.client, 12, QUICHE_SHUTDOWN_READ, 5), 0);
  shown(p.server, 4);
  exchange(&p);
  IS(put(p.server, 12, MESSAGE, false), QUICHE_ERR_STREAM_STOPPED);
  IS(code, 5);
  // There is no such stream, and nothing is ended by asking.
  CHECK(put(p.server, UINT64_MAX, 1, false) < 0 && put(p.client, UINT64_MAX, 1, false) < 0);
  exchange(&p);
  CHECK(!quiche_conn_is_draining(p.client) && !quiche_conn_is_draining(p.server));
  // Streams that are skipped, and the limit of the peer's.
  shown(p.client, 0);
  IS(put(p.client, 24, 1, false), 1);
  IS(put(p.client, 16, 1, false), 1);
  IS(put(p.client, 28, 1, false), 1);
  shown(p.client, 0);
  uint64_t left = quiche_conn_peer_streams_left_bidi(p.client);
  for (uint64_t id = 32; left > 0; id += 4) {
    IS(put(p.client, id, 1, false), 1);
    IS(quiche_conn_peer_streams_left_bidi(p.client), --left);
    if (left == 0) {
      IS(put(p.client, id + 4, 1, false), QUICHE_ERR_STREAM_LIMIT);
    }
  }
  exchange(&p);
  IS(quiche_conn_close(p.client, true, 1, NULL, 0), 0);
  CHECK(put(p.client, 16, 1, false) < 0);
  free_pair(&p);
}

// What was written leaves also where nothing is asked for but to be sent, or the connection is closed or freed.
static void leaves(void) {
  pair p = connected();
  IS(put(p.client, 0, MESSAGE, false), MESSAGE);
  exchange(&p);
  shown(p.server, 1);
  IS(get(p.server, 0, sizeof buf), MESSAGE);
  IS(put(p.server, 0, MESSAGE, false), MESSAGE);
  IS(carry(&p, p.server, p.client), 0);
  IS(get(p.client, 0, sizeof buf), MESSAGE);
  exchange(&p);
  IS(put(p.client, 0, MESSAGE, true), MESSAGE);
  exchange(&p);
  shown(p.server, 1);
  IS(put(p.server, 0, MESSAGE, true), MESSAGE);
  free_pair(&p);
}

// REFUSED wants a function to say that the process was forked.
#define REFUSED(call)                                \
  do {                                               \
    SAME((call), QUICHE_ERR_INVALID_STATE);          \
    CHECK(strstr(bquic_error(), "forked") != NULL);  \
  } while (0)

// Once the handshake is confirmed datagrams from one address cost no call of Go, whatever they bring, until another function is called; one from another
// address has those before it be looked at.
static void gathered(void) {
  pair p = connected();
  exchange(&p);
  enum { COUNT = 8 }; // within the first congestion window
  static uint8_t datagrams[2 * COUNT][1500];
  ssize_t lens[2 * COUNT];
  size_t count = 0;
  quiche_send_info info;
  for (uint64_t id = 0; id < 4 * COUNT; id += 4) {
    SAME(put(p.client, id, MESSAGE, true), MESSAGE);
    while ((lens[count] = quiche_conn_send(p.client, datagrams[count], sizeof *datagrams, &info)) > 0) {
      CHECK(++count < 2 * COUNT);
    }
  }
  CHECK(count >= COUNT);
  struct sockaddr_in moved = client_address;
  moved.sin_port = (in_port_t)(moved.sin_port + 256);
  quiche_recv_info usual = {SOCKADDR(client_address), SOCKADDR(server_address)}, other = {SOCKADDR(moved), SOCKADDR(server_address)};
  unsigned before = crossings;
  for (size_t i = 0; i < count - 1; i++) {
    SAME(quiche_conn_recv(p.server, datagrams[i], (size_t)lens[i], &usual), lens[i]);
    datagrams[i][0] ^= 0xff; // it has been copied
  }
  CHECK(crossings - before <= 3); // a longer one, as with a longer stream ID, begins another train
  before = crossings;
  SAME(quiche_conn_recv(p.server, datagrams[count - 1], (size_t)lens[count - 1], &other), lens[count - 1]);
  CHECK(crossings > before);
  shown(p.server, COUNT);
  for (uint64_t id = 0; id < 4 * COUNT; id += 4) {
    SAME(get(p.server, id, sizeof buf), MESSAGE);
    CHECK(fin && memcmp(buf, message, MESSAGE) == 0);
  }
  free_pair(&p);
}

// A child that is forked while datagrams wait for Go, and what C has answered, hangs nowhere, and spoils nothing of its parent's.
static void forked(void) {
  quiche_config *config = config_with("\4test");
  pair p = pair_of(config, config, "localhost");
  establish(&p);
  SAME(put(p.client, 0, 100, true), 100);
  exchange(&p);
  shown(p.server, 1);
  SAME(get(p.server, 0, sizeof buf), 100);
  SAME(put(p.server, 0, 100, true), 100);
  SAME(put(p.client, 4, 100, true), 100);
  SAME(carry(&p, p.client, p.server), 0);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    quiche_send_info to;
    quiche_recv_info from = {SOCKADDR(client_address), SOCKADDR(server_address)};
    alarm(30); // against a call that hangs
    REFUSED(quiche_conn_recv(p.server, message, 100, &from));
    REFUSED(get(p.server, 4, sizeof buf));
    REFUSED(put(p.server, 4, 100, true));
    REFUSED(quiche_conn_send(p.server, buf, 1500, &to));
    REFUSED(quiche_conn_close(p.server, true, 0, NULL, 0));
    CHECK(quiche_conn_readable(p.server) == NULL && quiche_conn_is_established(p.server) && !quiche_conn_is_closed(p.server));
    CHECK(quiche_conn_timeout_as_nanos(p.server) > 0);
    quiche_conn_on_timeout(p.server);
    free_pair(&p);
    _exit(0);
  }
  int ended = 1;
  CHECK(waitpid(child, &ended, 0) == child && ended == 0);
  exchange(&p);
  SAME(get(p.server, 4, sizeof buf), 100);
  SAME(get(p.client, 0, sizeof buf), 100);
  free_pair(&p);
  quiche_config_free(config);
}

int main(int argc, char *argv[]) {
  arguments(argc, argv);
  for (size_t i = 0; i < MESSAGE; i++) {
    message[i] = (uint8_t)(i * 7 + i / 256);
  }
  few_crossings(STREAMS, 0);
  few_crossings(MANY, 2);
  wait_between();
  any_order();
  in_parts();
  whole();
  opened_by_one_above();
  reset();
  writes();
  leaves();
  gathered();
  forked();
  IS(bquic_live_objects(), 0);
  return 0;
}
