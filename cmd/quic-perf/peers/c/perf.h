// What the programs of this folder have in common: perf.c has the commands, the socket and the load, native.c and names.c the calls of an API.
#ifndef PERF_H
#define PERF_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
  BLOCK = 65536,      // bytes of what is sent and received at once
  HEADER = 8,         // bytes that a stream begins with: how many are wanted, big-endian
  BATCH = 8,          // trains received at once
  TRAIN = 65536,      // bytes that a train has at most
  TURNS = 4,          // trains that are sent before the socket is read again
  SLOTS = 4096        // streams that may be open at a time
};

typedef struct sockaddr_in address;

// options are what the command line says.
typedef struct options {
  bool server, h3, upload;
  const char *cert, *key, *ca;
  uint32_t payload, streams, parallel;
  uint64_t bytes, up, down, duration;  // duration in ns; 0: there is no end but of bytes
} options;

extern options given;
extern const uint8_t zeros[BLOCK];  // what is sent, behind the header
extern uint8_t block[BLOCK];        // what is received; nobody looks

// exchange is a stream: a request and its answer.
typedef struct exchange {
  uint64_t id, began;  // began in ns
  uint64_t got, out;   // bytes received, bytes to be sent yet
  uint64_t want;       // bytes that the peer is to send, or that it wants
  uint8_t header[HEADER];
  bool open, ended, fin;  // the peer's part has ended; ours, with its end
  bool waits;             // for room
  bool headed;            // its header section was sent
} exchange;

// find returns the exchange of a stream, which is begun if there is none.
exchange *find(uint64_t id);

// waits tells whether a stream has an exchange that waits for room.
bool waits(uint64_t id);

// came notes bytes of the peer's, and its end. Then a server has something to write, and a client is done.
void came(exchange *x, const uint8_t *data, size_t n, bool fin);

// next_part is what an exchange has to send now; part_sent notes how much of it was taken, and tells whether all was.
size_t next_part(exchange *x, const uint8_t **data, bool *fin);
bool part_sent(exchange *x, size_t n, size_t of);

// next_request begins a client's next exchange, NULL if none is due.
exchange *next_request(void);

// wanted is how many bytes a path wants; decimal and http_date write a number and the time, and return their length.
uint64_t wanted(const char *path, size_t n);
uint32_t decimal(char to[24], uint64_t n);
uint32_t http_date(char to[40]);

// forget ends an exchange.
void forget(exchange *x);

// What the file of an API has. begin makes the endpoint, and the client's connection if there is a remote. turn takes n trains in, acts, and sends by
// send_trains; it returns in how many ns to come again, 0: at once, UINT64_MAX: never. done tells that a client has nothing more to do.
typedef struct train {
  uint8_t *data;
  uint32_t len, segment;
  address peer;
} train;

extern const char *const api_name;
const char *api_version(void);
void begin(const address *local, const address *remote);
uint64_t turn(train *in, size_t n);
void end(void);
extern bool done;

void send_trains(const train *out, size_t n);
uint64_t clock_ns(void);
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
