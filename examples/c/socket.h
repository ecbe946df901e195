// What both programs do with their socket: trains of datagrams come in by UDP_GRO and go out by UDP_SEGMENT.
#ifndef SOCKET_H
#define SOCKET_H

#define _GNU_SOURCE // recvmmsg

#include <boringquic.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum { TRAINS = 32, TRAIN_SIZE = 65536 };

// loop is an endpoint, its socket, and the memory of both.
typedef struct loop {
  int fd;
  bquic_endpoint *endpoint;
  bquic_addr local;
  bquic_train in[TRAINS], out[TRAINS];
  uint8_t *in_buf, *out_buf; // of TRAINS times TRAIN_SIZE bytes
} loop;

// good ends the program if a call of the library has failed, and returns what it returned.
static inline int64_t good(int64_t status, const char *what) {
  if (status < 0) {
    fprintf(stderr, "%s: %s: %s\n", what, bquic_status_name((int32_t)status), bquic_error());
    exit(1);
  }
  return status;
}

static inline void die(const char *what) {
  perror(what);
  exit(1);
}

static inline socklen_t addr_len(const bquic_addr *addr) { return addr->sa.sa_family == AF_INET6 ? sizeof addr->in6 : sizeof addr->in4; }

// open_loop opens a socket that is bound to addr.
static inline void open_loop(loop *l, const bquic_addr *addr) {
  int on = 1, room = 4 << 20;
  socklen_t len = sizeof l->local;
  l->fd = socket(addr->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (l->fd < 0 || bind(l->fd, &addr->sa, addr_len(addr)) != 0 || getsockname(l->fd, &l->local.sa, &len) != 0) {
    die("socket");
  }
  setsockopt(l->fd, SOL_UDP, UDP_GRO, &on, sizeof on); // without it trains are short
  setsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  l->in_buf = malloc((size_t)TRAINS * TRAIN_SIZE);
  l->out_buf = malloc((size_t)TRAINS * TRAIN_SIZE);
  if (l->in_buf == NULL || l->out_buf == NULL) {
    die("malloc");
  }
}

// receive reads what has arrived into l->in, and returns how many trains that are.
static inline uint32_t receive(loop *l) {
  struct mmsghdr messages[TRAINS];
  struct iovec parts[TRAINS];
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } control[TRAINS];
  for (int i = 0; i < TRAINS; i++) {
    parts[i] = (struct iovec){l->in_buf + (size_t)i * TRAIN_SIZE, TRAIN_SIZE};
    messages[i].msg_hdr = (struct msghdr){
        .msg_name = &l->in[i].remote, .msg_namelen = sizeof l->in[i].remote, .msg_iov = &parts[i], .msg_iovlen = 1,
        .msg_control = &control[i], .msg_controllen = sizeof control[i],
    };
  }
  int n = recvmmsg(l->fd, messages, TRAINS, 0, NULL);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED) {
      return 0;
    }
    die("recvmmsg");
  }
  for (int i = 0; i < n; i++) {
    bquic_train *train = &l->in[i];
    train->data = parts[i].iov_base;
    train->len = messages[i].msg_len < TRAIN_SIZE ? messages[i].msg_len : TRAIN_SIZE - 1;
    train->seg_size = 0;
    train->local = l->local;
    train->ecn = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&messages[i].msg_hdr); c != NULL; c = CMSG_NXTHDR(&messages[i].msg_hdr, c)) {
      if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
        int size;
        memcpy(&size, CMSG_DATA(c), sizeof size);
        train->seg_size = (uint32_t)size;
      }
    }
  }
  return (uint32_t)n;
}

// send_train sends a train by one system call. What is lost here is sent again, as if the network had lost it.
static inline void send_train(loop *l, bquic_train *train) {
  struct iovec part = {train->data, train->len};
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(uint16_t))];
  } control = {0};
  struct msghdr message = {.msg_name = &train->remote, .msg_namelen = addr_len(&train->remote), .msg_iov = &part, .msg_iovlen = 1};
  if (train->seg_size != 0 && train->seg_size < train->len) {
    uint16_t size = (uint16_t)train->seg_size;
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(c), &size, sizeof size);
  }
  while (sendmsg(l->fd, &message, 0) < 0 && errno == EINTR) {
  }
}

// turn takes in what has arrived, has handle act on each event, and sends. It returns in how many milliseconds to come again, -1: never.
static inline int turn(loop *l, void (*handle)(const bquic_event *)) {
  bquic_event events[64];
  bquic_step in = {.size = sizeof in, .in = l->in, .in_len = receive(l), .events = events, .events_max = 64};
  bquic_step out = {.size = sizeof out, .out = l->out, .out_max = TRAINS, .buf = l->out_buf, .buf_len = (size_t)TRAINS * TRAIN_SIZE};
  do {
    good(bquic_endpoint_step(l->endpoint, &in), "step");
    for (uint32_t i = 0; i < in.events_len; i++) {
      handle(&events[i]);
    }
    in.in_len = 0;
  } while (in.more & BQUIC_MORE_EVENTS);
  do {
    good(bquic_endpoint_step(l->endpoint, &out), "step");
    for (uint32_t i = 0; i < out.out_len; i++) {
      send_train(l, &l->out[i]);
    }
  } while (out.more & BQUIC_MORE_TRAINS);
  if (out.deadline == UINT64_MAX) {
    return -1;
  }
  uint64_t now = bquic_now();
  return out.deadline <= now ? 0 : (int)((out.deadline - now + 999999) / 1000000);
}

#endif
