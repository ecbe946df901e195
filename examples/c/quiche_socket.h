// What both programs by quiche's names do with their socket: trains of datagrams come in by UDP_GRO and go out by UDP_SEGMENT.
#ifndef QUICHE_SOCKET_H
#define QUICHE_SOCKET_H

#define _GNU_SOURCE // recvmmsg

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <quiche.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TRAINS = 16, TRAIN_SIZE = 65536, SEGMENTS = 64, ID_LEN = 16 };

static inline void die(const char *what) {
  perror(what);
  exit(1);
}

// open_socket opens a socket that is bound to addr, which becomes what it is bound to, and an epoll for it.
static inline int open_socket(struct sockaddr_in *addr, int *poll) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, room = 4 << 20;
  socklen_t len = sizeof *addr;
  if (fd < 0 || bind(fd, (struct sockaddr *)addr, len) != 0 || getsockname(fd, (struct sockaddr *)addr, &len) != 0) {
    die("socket");
  }
  setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on); // without it trains are short
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  struct epoll_event event = {.events = EPOLLIN};
  *poll = epoll_create1(EPOLL_CLOEXEC);
  if (*poll < 0 || epoll_ctl(*poll, EPOLL_CTL_ADD, fd, &event) != 0) {
    die("epoll");
  }
  return fd;
}

// receive gives each datagram that has arrived to take.
static inline void receive(int fd, void (*take)(uint8_t *data, size_t len, struct sockaddr_in *from)) {
  static uint8_t trains[TRAINS][TRAIN_SIZE];
  struct mmsghdr messages[TRAINS];
  struct iovec parts[TRAINS];
  struct sockaddr_in from[TRAINS];
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } control[TRAINS];
  for (int i = 0; i < TRAINS; i++) {
    parts[i] = (struct iovec){trains[i], TRAIN_SIZE};
    messages[i].msg_hdr = (struct msghdr){
        .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &parts[i], .msg_iovlen = 1, .msg_control = &control[i], .msg_controllen = sizeof control[i],
    };
  }
  int n = recvmmsg(fd, messages, TRAINS, 0, NULL);
  if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED) {
    die("recvmmsg");
  }
  for (int i = 0; i < n; i++) {
    size_t left = messages[i].msg_len, size = left;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&messages[i].msg_hdr); c != NULL; c = CMSG_NXTHDR(&messages[i].msg_hdr, c)) {
      if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
        int segment;
        memcpy(&segment, CMSG_DATA(c), sizeof segment);
        size = (size_t)segment;
      }
    }
    for (uint8_t *at = trains[i]; left > 0; at += size, left -= size) {
      size = size < left ? size : left;
      take(at, size, &from[i]);
    }
  }
}

// send_train sends datagrams of size bytes each, but the last, by one system call. What is lost here is sent again, as if the network had lost it.
static inline void send_train(int fd, uint8_t *data, size_t len, size_t size, quiche_send_info *to) {
  struct iovec part = {data, len};
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(uint16_t))];
  } control = {0};
  struct msghdr message = {.msg_name = &to->to, .msg_namelen = to->to_len, .msg_iov = &part, .msg_iovlen = 1};
  if (size < len) {
    uint16_t segment = (uint16_t)size;
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof segment);
    memcpy(CMSG_DATA(c), &segment, sizeof segment);
  }
  while (sendmsg(fd, &message, 0) < 0 && errno == EINTR) {
  }
}

// send_all sends what a connection has to send: datagrams of one length to one address lie in one buffer, as many as it is good to send at once.
static inline void send_all(int fd, quiche_conn *conn) {
  static uint8_t train[TRAIN_SIZE];
  size_t used = 0, size = 0, longest = quiche_conn_max_send_udp_payload_size(conn), quantum = quiche_conn_send_quantum(conn);
  quiche_send_info info, first;
  ssize_t n;
  quantum = quantum < sizeof train - longest ? quantum : sizeof train - longest;
  while ((n = quiche_conn_send(conn, train + used, longest, &info)) >= 0) {
    size_t len = (size_t)n;
    if (used > 0 && (len > size || memcmp(&info.to, &first.to, info.to_len) != 0)) { // it begins another train
      send_train(fd, train, used, size, &first);
      memmove(train, train + used, len);
      used = 0;
    }
    if (used == 0) {
      size = len;
      first = info;
    }
    used += len;
    if (len < size || used + size > quantum || used == SEGMENTS * size) { // it ends its train
      send_train(fd, train, used, size, &first);
      used = 0;
    }
  }
  if (used > 0) {
    send_train(fd, train, used, size, &first);
  }
}

// field is a header of a message of ours.
static inline quiche_h3_header field(const char *name, const char *value) {
  return (quiche_h3_header){(const uint8_t *)name, strlen(name), (const uint8_t *)value, strlen(value)};
}

// settings makes a config for HTTP/3.
static inline quiche_config *settings(void) {
  quiche_config *config = quiche_config_new(QUICHE_PROTOCOL_VERSION);
  quiche_config_set_application_protos(config, (const uint8_t *)QUICHE_H3_APPLICATION_PROTOCOL, sizeof QUICHE_H3_APPLICATION_PROTOCOL - 1);
  quiche_config_set_max_idle_timeout(config, 30000);
  quiche_config_set_initial_max_data(config, 16 << 20);
  quiche_config_set_initial_max_stream_data_bidi_local(config, 4 << 20);
  quiche_config_set_initial_max_stream_data_bidi_remote(config, 4 << 20);
  quiche_config_set_initial_max_stream_data_uni(config, 1 << 20);
  quiche_config_set_initial_max_streams_bidi(config, 100);
  quiche_config_set_initial_max_streams_uni(config, 3);
  quiche_config_set_max_send_udp_payload_size(config, 1452);
  return config;
}

#endif
