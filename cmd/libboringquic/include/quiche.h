// quiche.h of boringquic: the functions of quiche 0.30.0 by their names, on boringquic. A program written for quiche compiles with it unchanged.
//
// Names, values and the layout of structs are those of quiche; what is said here is how this library behaves. cmd/libboringquic/quiche.md lists where
// that differs; bquic_compat_supported (boringquic.h) tells the same of a name.
//
// What holds for all functions:
//
//   Results    What returns a number gives a QUICHE_ERR_* (QUICHE_H3_ERR_*) below 0 if it fails; bquic_error of boringquic.h then says
//              in one sentence why. A NULL where a pointer must be is QUICHE_ERR_INVALID_STATE, or false, or NULL, never a crash.
//   Objects    are not locked: each belongs to one thread at a time, whichever. A config is read by connections of any thread while nobody changes
//              it. A call within another one of the same connection, from a callback, is QUICHE_ERR_INVALID_STATE; what is a plain value, such as
//              quiche_conn_is_closed, is that of before the call, and quiche_conn_free waits for its end.
//   Lent       Pointers that are given out point into the object. They last until the next call on it that is not of a const object, or its end.
//   Copied     What is passed in was read or copied when the function returns.
//   Addresses  struct sockaddr_in and sockaddr_in6. One that is neither is QUICHE_ERR_INVALID_STATE.
//   Times      are CLOCK_MONOTONIC. Lengths of time are in the unit of the name, sizes in bytes.
//   Stack      256 KiB of it should be there.
#ifndef BORINGQUIC_QUICHE_H
#define BORINGQUIC_QUICHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

// QUIC.

#define QUICHE_PROTOCOL_VERSION 0x00000001  // QUIC version 1 (RFC 9000)
#define QUICHE_MAX_CONN_ID_LEN 20           // bytes
#define QUICHE_MIN_CLIENT_INITIAL_LEN 1200  // bytes

// What functions of QUIC return.
enum quiche_error {
  QUICHE_ERR_DONE = -1,                         // nothing now; no failure
  QUICHE_ERR_BUFFER_TOO_SHORT = -2,             // the buffer, or the packet, is shorter than it must be
  QUICHE_ERR_UNKNOWN_VERSION = -3,              // a version of QUIC that is not spoken
  QUICHE_ERR_INVALID_FRAME = -4,                // the peer sent a malformed frame
  QUICHE_ERR_INVALID_PACKET = -5,               // no packet, or the peer broke another rule (PROTOCOL_VIOLATION)
  QUICHE_ERR_INVALID_STATE = -6,                // not now, or not with these arguments
  QUICHE_ERR_INVALID_STREAM_STATE = -7,         // there is no such stream, it is over, or it goes in the other direction
  QUICHE_ERR_INVALID_TRANSPORT_PARAM = -8,      // the peer's transport parameters are wrong
  QUICHE_ERR_CRYPTO_FAIL = -9,                  // keys that may not be used any more
  QUICHE_ERR_TLS_FAIL = -10,                    // the handshake failed; or a certificate, key or list of curves is not usable
  QUICHE_ERR_FLOW_CONTROL = -11,                // the peer sent more than it may
  QUICHE_ERR_STREAM_LIMIT = -12,                // no more streams, of ours or of the peer's
  QUICHE_ERR_FINAL_SIZE = -13,                  // the stream has ended before that
  QUICHE_ERR_CONGESTION_CONTROL = -14,          // no such congestion controller
  QUICHE_ERR_STREAM_STOPPED = -15,              // the peer wants no more of the stream
  QUICHE_ERR_STREAM_RESET = -16,                // the peer has reset the stream
  QUICHE_ERR_ID_LIMIT = -17,                    // the peer takes no more connection IDs now
  QUICHE_ERR_OUT_OF_IDENTIFIERS = -18,          // the peer has given no connection ID for another path
  QUICHE_ERR_KEY_UPDATE = -19,                  // the peer updated its keys wrongly
  QUICHE_ERR_CRYPTO_BUFFER_EXCEEDED = -20,      // the peer sent too much of the handshake out of order
  QUICHE_ERR_INVALID_ACK_RANGE = -21,           // not returned
  QUICHE_ERR_OPTIMISTIC_ACK_DETECTED = -22,     // not returned: such a peer is QUICHE_ERR_INVALID_PACKET
  QUICHE_ERR_INVALID_DCID_INITIALIZATION = -23  // not returned
};

// quiche_version returns "0.30.0", whose functions these are. bquic_version of boringquic.h tells the library's own.
const char *quiche_version(void);

// quiche_enable_debug_logging has cb called with a line on each event of connections that is of interest to people: begin, handshake, paths, end. It is called by
// the thread that is within a function of the connection. Once, before there are connections. It returns 0, QUICHE_ERR_INVALID_STATE if cb is NULL.
int quiche_enable_debug_logging(void (*cb)(const char *line, void *argp), void *argp);

// Config: what connections are made with. Setters that return nothing take what they can: a value out of range becomes the nearest.
typedef struct quiche_config quiche_config;

// quiche_config_new makes one for QUIC version 1, 2 (0x6b3343cf), or a reserved version (0x?a?a?a?a), whose clients begin with version 1. NULL for another.
quiche_config *quiche_config_new(uint32_t version);

// A server's certificate chain, leaf first, and key, in PEM form; the later call is the one that counts. 0, or QUICHE_ERR_TLS_FAIL: no such file, or not what it should be.
int quiche_config_load_cert_chain_from_pem_file(quiche_config *config, const char *path);
int quiche_config_load_priv_key_from_pem_file(quiche_config *config, const char *path);

// Roots that the peer's certificate is judged by, in place of the system's: a file of certificates in PEM form, or a folder of such files. 0 or QUICHE_ERR_TLS_FAIL.
int quiche_config_load_verify_locations_from_file(quiche_config *config, const char *path);
int quiche_config_load_verify_locations_from_directory(quiche_config *config, const char *path);

// Key exchanges, the preferred one first, by names between colons: X25519MLKEM768, X25519, P-256, P-384, P-521. 0 or QUICHE_ERR_TLS_FAIL.
int quiche_config_set_curves_list(quiche_config *config, const char *curves);

// Whether the peer must be who it says. Default: no, also for clients. A client then checks the chain, and the name if it has one; a server
// asks for a certificate, and checks the one that it gets.
void quiche_config_verify_peer(quiche_config *config, bool v);

void quiche_config_grease(quiche_config *config, bool v);         // reserved versions, parameters, settings; default on
void quiche_config_discover_pmtu(quiche_config *config, bool v);  // search for larger datagrams, up to max_send_udp_payload_size; default off
void quiche_config_log_keys(quiche_config *config);               // lets quiche_conn_set_keylog_* work
void quiche_config_enable_early_data(quiche_config *config);      // 0-RTT, of either role

// Protocols of ALPN, each behind its length in a byte. 0, or QUICHE_ERR_TLS_FAIL for a list that is none.
int quiche_config_set_application_protos(quiche_config *config, const uint8_t *protos, size_t protos_len);

// How many times what came from an address that is not validated may be sent there, 1 to 3: more, which RFC 9000, section 8.1, does not allow, is 3. Default 3.
void quiche_config_set_max_amplification_factor(quiche_config *config, size_t v);

void quiche_config_set_max_idle_timeout(quiche_config *config, uint64_t v);            // ms; default 0: none; more than a day is a day
void quiche_config_set_max_recv_udp_payload_size(quiche_config *config, size_t v);         // what the peer is told, 1200 to 65527; default 65527
void quiche_config_set_max_send_udp_payload_size(quiche_config *config, size_t v);     // default and least 1200

// Flow control. All default to 0, and then nothing may be received. Streams of all kinds have the largest of the three values for streams; a value of 0 beside
// larger ones is as if it were those. Windows grow with use up to the maxima below.
void quiche_config_set_initial_max_data(quiche_config *config, uint64_t v);
void quiche_config_set_initial_max_stream_data_bidi_local(quiche_config *config, uint64_t v);
void quiche_config_set_initial_max_stream_data_bidi_remote(quiche_config *config, uint64_t v);
void quiche_config_set_initial_max_stream_data_uni(quiche_config *config, uint64_t v);
void quiche_config_set_initial_max_streams_bidi(quiche_config *config, uint64_t v);
void quiche_config_set_initial_max_streams_uni(quiche_config *config, uint64_t v);

void quiche_config_set_ack_delay_exponent(quiche_config *config, uint64_t v);              // at most 20; default 3
void quiche_config_set_max_ack_delay(quiche_config *config, uint64_t v);               // ms, below 2^14; default 25
void quiche_config_set_disable_active_migration(quiche_config *config, bool v);        // told to the peer; default off

// The congestion controller by its name: reno, cubic; bbr, bbr2 and bbr2_gcongestion are cubic. 0 or QUICHE_ERR_CONGESTION_CONTROL.
int quiche_config_set_cc_algorithm_name(quiche_config *config, const char *algo);

void quiche_config_set_initial_congestion_window_packets(quiche_config *config, size_t packets); // 2 to 1000; default 10

// Congestion controllers.
enum quiche_cc_algorithm {
  QUICHE_CC_RENO = 0,             // NewReno
  QUICHE_CC_CUBIC = 1,            // the default
  QUICHE_CC_BBR2_GCONGESTION = 4  // is CUBIC
};

// Names that earlier versions of quiche had.
#define QUICHE_CC_BBR ((enum quiche_cc_algorithm)2)   // is CUBIC
#define QUICHE_CC_BBR2 ((enum quiche_cc_algorithm)3)  // is CUBIC

void quiche_config_set_cc_algorithm(quiche_config *config, enum quiche_cc_algorithm algo);  // one that there is not is CUBIC
void quiche_config_enable_hystart(quiche_config *config, bool v);                          // HyStart++ (RFC 9406); default on
void quiche_config_enable_pacing(quiche_config *config, bool v);                           // see quiche_send_info.at; default on
void quiche_config_set_enable_cubic_idle_restart_fix(quiche_config *config, bool v);       // has no effect: it is on
void quiche_config_set_use_initial_max_data_as_flow_control_win(quiche_config *config, bool v); // nothing, as in 0.30.0: it is so
void quiche_config_set_max_pacing_rate(quiche_config *config, uint64_t v);                 // bytes per second; default 0: none

// Datagrams (RFC 9221), with queues of so many, at most 128 each. Default off.
void quiche_config_enable_dgram(quiche_config *config, bool enabled, size_t recv_queue_len, size_t send_queue_len);

void quiche_config_set_max_connection_window(quiche_config *config, uint64_t v);           // default 24 MiB
void quiche_config_set_max_stream_window(quiche_config *config, uint64_t v);               // default 16 MiB
void quiche_config_set_active_connection_id_limit(quiche_config *config, uint64_t v);      // 2 to 16, less is ignored; default 4

// The stateless reset token that a server announces with its first connection ID: 16 bytes.
void quiche_config_set_stateless_reset_token(quiche_config *config, const uint8_t *v);

void quiche_config_set_disable_dcid_reuse(quiche_config *config, bool v);                  // a client with a new address is answered to another ID; default off

// What session tickets are encrypted with: 48 bytes, which servers may share. Default: random. 0, or QUICHE_ERR_TLS_FAIL for another length.
int quiche_config_set_ticket_key(quiche_config *config, const uint8_t *key, size_t key_len);

// Connections that were made with it live on.
void quiche_config_free(quiche_config *config);

// Datagrams that belong to no connection yet.

// quiche_header_info reads the begin of a packet. dcil is the length of the connection IDs in packets with a short header. *type becomes 1
// Initial, 2 Retry, 3 Handshake, 4 0-RTT, 5 short, 6 Version Negotiation; *version 0 for a short header. The *_len say how much there is room for, and then how
// much there is. 0; QUICHE_ERR_DONE if something has no room; QUICHE_ERR_INVALID_PACKET. A packet of a version that is not
// spoken is read as far as all versions are alike (RFC 8999), as an Initial packet without a token.
int quiche_header_info(const uint8_t *buf, size_t buf_len, size_t dcil, uint32_t *version, uint8_t *type, uint8_t *scid, size_t *scid_len, uint8_t *dcid,
                       size_t *dcid_len, uint8_t *token, size_t *token_len);

// Writers of answers: scid and dcid are those of the packet that is answered. They return the length, or QUICHE_ERR_BUFFER_TOO_SHORT, or QUICHE_ERR_INVALID_STATE.
ssize_t quiche_negotiate_version(const uint8_t *scid, size_t scid_len, const uint8_t *dcid, size_t dcid_len, uint8_t *out, size_t out_len);

// The token is the caller's: who makes it judges it when it comes back, and then gives quiche_accept the dcid of now as odcid. It has 1 to 900 bytes.
ssize_t quiche_retry(const uint8_t *scid, size_t scid_len, const uint8_t *dcid, size_t dcid_len, const uint8_t *new_scid, size_t new_scid_len,
                     const uint8_t *token, size_t token_len, uint32_t version, uint8_t *out, size_t out_len);

bool quiche_version_is_supported(uint32_t version);  // 1 and 2 (RFC 9369)

// Connections.
typedef struct quiche_conn quiche_conn;

// quiche_accept makes a server's connection, for the first packet of a client, which is given to quiche_conn_recv next. scid is the server's connection ID, of up to 20 bytes.
// odcid is NULL unless the client came by Retry: then scid is the Retry packet's. NULL: bquic_error says why.
quiche_conn *quiche_accept(const uint8_t *scid, size_t scid_len, const uint8_t *odcid, size_t odcid_len, const struct sockaddr *local, socklen_t local_len,
                           const struct sockaddr *peer, socklen_t peer_len, quiche_config *config);

// quiche_connect makes a client's connection. server_name may be NULL: no name is sent, and none is checked.
quiche_conn *quiche_connect(const char *server_name, const uint8_t *scid, size_t scid_len, const struct sockaddr *local, socklen_t local_len,
                            const struct sockaddr *peer, socklen_t peer_len, quiche_config *config);

// A connection over an SSL of the caller's, with its context, certificates, roots, callbacks, ALPN and name. It is the connection's from then on, and freed
// with it, also when NULL is returned, but where it is another BoringSSL's or another connection's, or in a forked child: then it stays the caller's. Callbacks run in the thread that calls the connection. A pending callback is tried again at each quiche_conn_recv and quiche_conn_send.
quiche_conn *quiche_conn_new_with_tls(const uint8_t *scid, size_t scid_len, const uint8_t *odcid, size_t odcid_len, const struct sockaddr *local,
                                      socklen_t local_len, const struct sockaddr *peer, socklen_t peer_len, const quiche_config *config, void *ssl,
                                      bool is_server);

// A client's, whose first packets go to dcid, of 8 to 20 bytes.
quiche_conn *quiche_conn_new_with_tls_and_client_dcid(const uint8_t *scid, size_t scid_len, const uint8_t *dcid, size_t dcid_len,
                                                      const struct sockaddr *local, socklen_t local_len, const struct sockaddr *peer, socklen_t peer_len,
                                                      const quiche_config *config, void *ssl);

// Secrets are appended to a file, in the format of SSLKEYLOGFILE, if the config allows it. The descriptor is the connection's, and closed with it. false: not
// allowed, or the file cannot be opened.
bool quiche_conn_set_keylog_path(quiche_conn *conn, const char *path);
void quiche_conn_set_keylog_fd(quiche_conn *conn, int fd);

// The connection is traced as qlog from now on, in a file that is made or cut, or in a descriptor, which is the connection's then, and closed with it. title and
// description may be NULL. false: the file cannot be made, or the connection is traced already.
bool quiche_conn_set_qlog_path(quiche_conn *conn, const char *path, const char *log_title, const char *log_desc);
void quiche_conn_set_qlog_fd(quiche_conn *conn, int fd, const char *log_title, const char *log_desc);

// What quiche_conn_session of an earlier connection to the server was, before the first packet. 0, or QUICHE_ERR_CRYPTO_FAIL for what is no session, QUICHE_ERR_INVALID_STATE.
int quiche_conn_set_session(quiche_conn *conn, const uint8_t *buf, size_t buf_len);

// Another idle timeout than the config's, in ms, 0 for none: before the first quiche_conn_recv or _send. 0, or QUICHE_ERR_INVALID_STATE afterwards, or when
// quiche_conn_set_session has begun 0-RTT.
int quiche_conn_set_max_idle_timeout(quiche_conn *conn, uint64_t v);

// Where a datagram came from, and to.
typedef struct {
  struct sockaddr *from;  // whom a datagram came from
  socklen_t from_len;                        // bytes of that
  struct sockaddr *to;    // the address of ours that it came to
  socklen_t to_len;                          // bytes of that
} quiche_recv_info;

// quiche_conn_recv takes one datagram, which is decrypted in place, and returns its length. What cannot be used is dropped. Below 0: it has ended the
// connection, whose last packet is then to be sent; QUICHE_ERR_TLS_FAIL for a failed handshake. QUICHE_ERR_DONE: it was a stateless reset; the
// peer knows nothing of the connection.
ssize_t quiche_conn_recv(quiche_conn *conn, uint8_t *buf, size_t buf_len, const quiche_recv_info *info);

// Where a datagram goes, and when.
typedef struct {
  struct sockaddr_storage from;  // the address of ours to send from
  socklen_t from_len;            // bytes of that
  struct sockaddr_storage to;    // the peer's address
  socklen_t to_len;              // bytes of that
  struct timespec at;            // when to send it, by CLOCK_MONOTONIC: with pacing that may lie ahead, by about a round trip
} quiche_send_info;

// quiche_conn_send writes one datagram, and returns its length; QUICHE_ERR_DONE if there is none. out has 1200 bytes at least, or there is none. Pacing
// does not hold datagrams back: see quiche_send_info.at. Datagrams of a burst have one length but the last.
// To be called until there is none, after anything that was called on the connection. QUICHE_ERR_BUFFER_TOO_SHORT: a datagram waits that was made when out was
// larger.
ssize_t quiche_conn_send(quiche_conn *conn, uint8_t *out, size_t out_len, quiche_send_info *out_info);

size_t quiche_conn_send_quantum(const quiche_conn *conn);  // bytes that are good to be sent at once

// The same for one path of quiche_conn_paths_iter. A NULL address stands for any.
ssize_t quiche_conn_send_on_path(quiche_conn *conn, uint8_t *out, size_t out_len, const struct sockaddr *from, socklen_t from_len,
                                 const struct sockaddr *to, socklen_t to_len, quiche_send_info *out_info);
size_t quiche_conn_send_quantum_on_path(const quiche_conn *conn, const struct sockaddr *local_addr, socklen_t local_len,
                                        const struct sockaddr *peer_addr, socklen_t peer_len);

// Streams. What the peer sends is read in order: the number of bytes, with *fin if they are the last; QUICHE_ERR_DONE: nothing now, or nothing any more of a
// stream that is still written to; QUICHE_ERR_STREAM_RESET with *out_error_code; QUICHE_ERR_INVALID_STREAM_STATE: there is no such stream, or it is over.
ssize_t quiche_conn_stream_recv(quiche_conn *conn, uint64_t stream_id, uint8_t *out, size_t buf_len, bool *fin, uint64_t *out_error_code);

// Takes as many bytes as there is room for; fin only with the last. An ID of ours that was not used opens the stream, and those below it. QUICHE_ERR_DONE: no room,
// or the stream is over; QUICHE_ERR_STREAM_STOPPED with *out_error_code, once if all is read of the stream, else each time; QUICHE_ERR_STREAM_LIMIT;
// QUICHE_ERR_FINAL_SIZE after fin or QUICHE_SHUTDOWN_WRITE, but 0 for fin again and nothing else.
ssize_t quiche_conn_stream_send(quiche_conn *conn, uint64_t stream_id, const uint8_t *buf, size_t buf_len, bool fin, uint64_t *out_error_code);

// The parts of a stream, and how they are ended.
enum quiche_shutdown {
  QUICHE_SHUTDOWN_READ = 0,  // STOP_SENDING
  QUICHE_SHUTDOWN_WRITE = 1  // RESET_STREAM
};

// Urgencies 0 to 123 are as 0, 124 to 131 as the eight of RFC 9218, those above as 7. 0 or QUICHE_ERR_INVALID_STREAM_STATE.
int quiche_conn_stream_priority(quiche_conn *conn, uint64_t stream_id, uint8_t urgency, bool incremental);

// 0; QUICHE_ERR_DONE if that part was shut down before, or there is no such stream; QUICHE_ERR_INVALID_STREAM_STATE if it has no such part.
int quiche_conn_stream_shutdown(quiche_conn *conn, uint64_t stream_id, enum quiche_shutdown direction, uint64_t err);

// How many bytes may leave now: by the peer's flow control and congestion control, beyond what waits. quiche_conn_stream_send takes more, and keeps it.
// 0 after the end. QUICHE_ERR_STREAM_STOPPED, as often as quiche_conn_stream_send says so; QUICHE_ERR_INVALID_STREAM_STATE.
ssize_t quiche_conn_stream_capacity(quiche_conn *conn, uint64_t stream_id);

bool quiche_conn_stream_readable(const quiche_conn *conn, uint64_t stream_id);  // it has data, its end, or a reset to be read

// A stream that has become readable (writable) and was not told by this function since, or -1.
int64_t quiche_conn_stream_readable_next(quiche_conn *conn);
int64_t quiche_conn_stream_writable_next(quiche_conn *conn);

// Whether len bytes may leave now, as quiche_conn_stream_capacity says: 1, 0, or an error. After 0 the stream is writable for the functions below when there is as much.
int quiche_conn_stream_writable(quiche_conn *conn, uint64_t stream_id, size_t len);

// Whether no more bytes are to be read, ever: all were, though perhaps not their end, or the stream was reset; also of a stream that is forgotten.
bool quiche_conn_stream_finished(const quiche_conn *conn, uint64_t stream_id);

// The streams that are readable (writable, as quiche_conn_stream_capacity says) now: by urgency, of one those that are not incremental first, and then by ID.
// Before all that are writable come those that the peer has stopped, until all is read of them and quiche_conn_stream_send, or quiche_conn_stream_capacity, was
// told. The iterator is the caller's to free.
typedef struct quiche_stream_iter quiche_stream_iter;
quiche_stream_iter *quiche_conn_readable(const quiche_conn *conn);
quiche_stream_iter *quiche_conn_writable(const quiche_conn *conn);
bool quiche_stream_iter_next(quiche_stream_iter *iter, uint64_t *stream_id);
void quiche_stream_iter_free(quiche_stream_iter *iter);

size_t quiche_conn_max_send_udp_payload_size(const quiche_conn *conn);  // of a datagram now; it may change

// How long until quiche_conn_on_timeout is wanted: 0 is now, and UINT64_MAX never. When it is time, who asks in nanoseconds right after quiche_conn_send is told 1,
// once, and then 0.
uint64_t quiche_conn_timeout_as_nanos(const quiche_conn *conn);
uint64_t quiche_conn_timeout_as_millis(const quiche_conn *conn);
void quiche_conn_on_timeout(quiche_conn *conn);  // may be called at any time

// Closes the connection, as the application if app; the packet that says so is to be sent. 0, or QUICHE_ERR_DONE if it is closed.
int quiche_conn_close(quiche_conn *conn, bool app, uint64_t err, const uint8_t *reason, size_t reason_len);

// Lent texts and bytes; of length 0 if there is none.
void quiche_conn_trace_id(const quiche_conn *conn, const uint8_t **out, size_t *out_len);           // the first source ID in hexadecimal
void quiche_conn_source_id(const quiche_conn *conn, const uint8_t **out, size_t *out_len);
void quiche_conn_destination_id(const quiche_conn *conn, const uint8_t **out, size_t *out_len);
void quiche_conn_application_proto(const quiche_conn *conn, const uint8_t **out, size_t *out_len);
void quiche_conn_peer_cert(const quiche_conn *conn, const uint8_t **out, size_t *out_len);          // DER, the peer's own
void quiche_conn_session(const quiche_conn *conn, const uint8_t **out, size_t *out_len);            // the newest one; it holds secrets
void quiche_conn_server_name(const quiche_conn *conn, const uint8_t **out, size_t *out_len);        // what the client asked for

// Connection IDs. The iterators are the caller's to free, and what they lend lasts until then.
typedef struct quiche_connection_id_iter quiche_connection_id_iter;
quiche_connection_id_iter *quiche_conn_source_ids(quiche_conn *conn);  // all that the peer may send to
bool quiche_connection_id_iter_next(quiche_connection_id_iter *iter, const uint8_t **out, size_t *out_len);
void quiche_connection_id_iter_free(quiche_connection_id_iter *iter);

bool quiche_conn_is_established(const quiche_conn *conn);    // the handshake is complete; stays so
bool quiche_conn_is_resumed(const quiche_conn *conn);        // the session of an earlier connection was
bool quiche_conn_is_in_early_data(const quiche_conn *conn);  // 0-RTT data may be sent, or is taken
bool quiche_conn_is_readable(const quiche_conn *conn);       // a stream is, or there is a datagram
bool quiche_conn_is_draining(const quiche_conn *conn);       // it was closed, by either side, and its last packet was sent
bool quiche_conn_is_closed(const quiche_conn *conn);         // its time is over, and it can be freed
bool quiche_conn_is_timed_out(const quiche_conn *conn);      // it ended in silence, or its handshake did not end
bool quiche_conn_is_server(const quiche_conn *conn);         // it is a server's

uint64_t quiche_conn_peer_streams_left_bidi(const quiche_conn *conn);  // how many more streams can be opened
uint64_t quiche_conn_peer_streams_left_uni(const quiche_conn *conn);   // the same of unidirectional ones

// Why the connection was closed, if by the peer (by us). The reason is lent.
bool quiche_conn_peer_error(const quiche_conn *conn, bool *is_app, uint64_t *error_code, const uint8_t **reason, size_t *reason_len);
bool quiche_conn_local_error(const quiche_conn *conn, bool *is_app, uint64_t *error_code, const uint8_t **reason, size_t *reason_len);

// Counts from the begin of a connection. Packets and frames; streams; bytes of UDP payload where nothing else is said.
typedef struct {
  size_t recv;                               // packets that came and proved authentic
  size_t sent;                               // packets
  size_t lost;                               // packets that are taken for lost
  size_t spurious_lost;                      // lost, and acknowledged later
  size_t retrans;                            // 0: not counted; see stream_retrans_bytes
  uint64_t sent_bytes;                       // of UDP payload
  uint64_t recv_bytes;                       // of UDP payload
  uint64_t acked_bytes;                      // of packets that were acknowledged
  uint64_t lost_bytes;                       // of packets that are taken for lost
  uint64_t stream_retrans_bytes;             // of stream data
  size_t dgram_recv;                         // DATAGRAM frames
  size_t dgram_sent;                         // DATAGRAM frames
  size_t paths_count;                        // that are known now
  uint64_t reset_stream_count_local;         // streams that we have reset
  uint64_t stopped_stream_count_local;       // streams that we have stopped
  uint64_t reset_stream_count_remote;        // streams that the peer has reset
  uint64_t stopped_stream_count_remote;      // streams that the peer has stopped
  uint64_t data_blocked_sent_count;          // DATA_BLOCKED frames
  uint64_t stream_data_blocked_sent_count;   // STREAM_DATA_BLOCKED frames
  uint64_t data_blocked_recv_count;          // DATA_BLOCKED frames
  uint64_t stream_data_blocked_recv_count;   // STREAM_DATA_BLOCKED frames
  uint64_t streams_blocked_bidi_recv_count;  // STREAMS_BLOCKED frames of bidirectional streams
  uint64_t streams_blocked_uni_recv_count;   // STREAMS_BLOCKED frames of unidirectional streams
  uint64_t path_challenge_rx_count;          // PATH_CHALLENGE frames
  uint64_t bytes_in_flight_duration_msec;    // 0: not counted
  bool tx_buffered_inconsistent;             // false
} quiche_stats;

void quiche_conn_stats(const quiche_conn *conn, quiche_stats *out);  // fills in *out

// What the peer has announced (RFC 9000, section 18.2). Times are in ms.
typedef struct {
  uint64_t peer_max_idle_timeout;            // ms; 0: none
  uint64_t peer_max_udp_payload_size;        // bytes
  uint64_t peer_initial_max_data;            // bytes
  uint64_t peer_initial_max_stream_data_bidi_local;  // bytes, of streams that the peer opens
  uint64_t peer_initial_max_stream_data_bidi_remote;  // bytes, of streams that we open
  uint64_t peer_initial_max_stream_data_uni;  // bytes
  uint64_t peer_initial_max_streams_bidi;    // streams that we may open
  uint64_t peer_initial_max_streams_uni;     // streams that we may open
  uint64_t peer_ack_delay_exponent;          // of the delays in its ACK frames
  uint64_t peer_max_ack_delay;               // ms
  bool peer_disable_active_migration;        // clients are to stay at their address
  uint64_t peer_active_conn_id_limit;        // connection IDs that it takes
  ssize_t peer_max_datagram_frame_size;      // -1: it takes no datagrams
} quiche_transport_params;

bool quiche_conn_peer_transport_params(const quiche_conn *conn, quiche_transport_params *out);  // false: not known yet

// A path as it is now. Times are in ns. What is not counted for each path is 0: retrans, total_pto_count, dgram_recv, dgram_sent, max_rtt, lost_bytes,
// stream_retrans_bytes, delivery_rate, max_bandwidth, startup_exit_cwnd.
typedef struct {
  struct sockaddr_storage local_addr;        // ours
  socklen_t local_addr_len;                  // bytes
  struct sockaddr_storage peer_addr;         // the peer's
  socklen_t peer_addr_len;                   // bytes
  ssize_t validation_state;                  // 3 it is validated; 1 not yet
  bool active;                               // it is the one in use
  size_t recv;                               // packets
  size_t sent;                               // packets
  size_t lost;                               // packets
  size_t retrans;                            // 0
  size_t total_pto_count;                    // 0
  size_t dgram_recv;                         // 0
  size_t dgram_sent;                         // 0
  uint64_t rtt;                              // smoothed, ns
  uint64_t min_rtt;                          // ns
  uint64_t max_rtt;                          // 0
  uint64_t rttvar;                           // ns
  size_t cwnd;                               // the congestion window in bytes
  uint64_t sent_bytes;                       // of UDP payload
  uint64_t recv_bytes;                       // of UDP payload
  uint64_t lost_bytes;                       // 0
  uint64_t stream_retrans_bytes;             // 0
  size_t pmtu;                               // bytes of the largest UDP payload
  uint64_t delivery_rate;                    // 0
  uint64_t max_bandwidth;                    // 0
  uint64_t startup_exit_cwnd;                // 0
} quiche_path_stats;

// Path 0 is the one in use. 0, or QUICHE_ERR_DONE behind the last.
int quiche_conn_path_stats(const quiche_conn *conn, size_t idx, quiche_path_stats *out);

// Datagrams (RFC 9221). QUICHE_ERR_DONE: none there, the queue is full, or the peer takes none (of max_writable_len).
ssize_t quiche_conn_dgram_max_writable_len(const quiche_conn *conn);
ssize_t quiche_conn_dgram_recv_front_len(const quiche_conn *conn);
ssize_t quiche_conn_dgram_recv_queue_len(const quiche_conn *conn);
ssize_t quiche_conn_dgram_recv_queue_byte_size(const quiche_conn *conn);
ssize_t quiche_conn_dgram_send_queue_len(const quiche_conn *conn);
ssize_t quiche_conn_dgram_send_queue_byte_size(const quiche_conn *conn);

// The oldest one, which stays if it is longer than buf: QUICHE_ERR_BUFFER_TOO_SHORT.
ssize_t quiche_conn_dgram_recv(quiche_conn *conn, uint8_t *buf, size_t buf_len);

// buf_len; QUICHE_ERR_INVALID_STATE if the peer takes none, QUICHE_ERR_BUFFER_TOO_SHORT if none as long.
ssize_t quiche_conn_dgram_send(quiche_conn *conn, const uint8_t *buf, size_t buf_len);

// Drops those that wait and for which f is true. f calls nothing of the connection.
void quiche_conn_dgram_purge_outgoing(quiche_conn *conn, bool (*f)(uint8_t *, size_t));
bool quiche_conn_is_dgram_send_queue_full(const quiche_conn *conn);
bool quiche_conn_is_dgram_recv_queue_full(const quiche_conn *conn);

// Has a packet be sent that the peer must acknowledge: 0. On another path than that in use it is QUICHE_ERR_INVALID_STATE.
ssize_t quiche_conn_send_ack_eliciting(quiche_conn *conn);
ssize_t quiche_conn_send_ack_eliciting_on_path(quiche_conn *conn, const struct sockaddr *local, socklen_t local_len, const struct sockaddr *peer,
                                               socklen_t peer_len);

// Source IDs that the peer has retired, since this was called: the caller's to free.
quiche_connection_id_iter *quiche_conn_retired_scid_iter(quiche_conn *conn);
size_t quiche_conn_retired_scids(const quiche_conn *conn);  // how many there are

// What quiche had before 0.29.2: one retired ID, lent; false if there is none.
bool quiche_conn_retired_scid_next(quiche_conn *conn, const uint8_t **out, size_t *out_len);

size_t quiche_conn_available_dcids(const quiche_conn *conn);  // of the peer's, that no path has used
size_t quiche_conn_scids_left(quiche_conn *conn);             // how many more the peer takes
size_t quiche_conn_active_scids(quiche_conn *conn);           // that the peer may use

// Gives the peer another connection ID of ours, with its reset token of 16 bytes, and stores its number. 0; QUICHE_ERR_ID_LIMIT.
int quiche_conn_new_scid(quiche_conn *conn, const uint8_t *scid, size_t scid_len, const uint8_t *reset_token, bool retire_if_needed, uint64_t *scid_seq);

// Paths, at a client. quiche_conn_probe_path validates one, quiche_conn_migrate moves to it, as soon as it is validated. *seq becomes 0. 0; QUICHE_ERR_OUT_OF_IDENTIFIERS: the peer
// has given no connection ID for it; QUICHE_ERR_INVALID_STATE.
int quiche_conn_probe_path(quiche_conn *conn, const struct sockaddr *local, socklen_t local_len, const struct sockaddr *peer, socklen_t peer_len,
                           uint64_t *seq);
int quiche_conn_migrate_source(quiche_conn *conn, const struct sockaddr *local, socklen_t local_len, uint64_t *seq);
int quiche_conn_migrate(quiche_conn *conn, const struct sockaddr *local, socklen_t local_len, const struct sockaddr *peer, socklen_t peer_len,
                        uint64_t *seq);

// What becomes of paths.
enum quiche_path_event_type {
  QUICHE_PATH_EVENT_NEW,                          // a client is heard on another path
  QUICHE_PATH_EVENT_VALIDATED,                    // the peer receives there
  QUICHE_PATH_EVENT_FAILED_VALIDATION,            // nothing came back in time
  QUICHE_PATH_EVENT_CLOSED,                       // it is forgotten
  QUICHE_PATH_EVENT_REUSED_SOURCE_CONNECTION_ID,  // a client sends there to a connection ID that it uses on another path, as behind a NAT
  QUICHE_PATH_EVENT_PEER_MIGRATED,                // a client has moved there, and is sent to there
  QUICHE_PATH_EVENT_PMTU_UPDATED                  // datagrams carry more, or less
};

// The next event, the caller's to free; NULL if there is none. Of those that nobody asks for the newest 64 wait. An address that is asked of
// an event of another type is left alone, its length 0.
typedef struct quiche_path_event quiche_path_event;
quiche_path_event *quiche_conn_path_event_next(quiche_conn *conn);
enum quiche_path_event_type quiche_path_event_type(const quiche_path_event *ev);
void quiche_path_event_new(const quiche_path_event *ev, struct sockaddr_storage *local, socklen_t *local_len, struct sockaddr_storage *peer,
                           socklen_t *peer_len);
void quiche_path_event_validated(const quiche_path_event *ev, struct sockaddr_storage *local, socklen_t *local_len, struct sockaddr_storage *peer,
                                 socklen_t *peer_len);
void quiche_path_event_failed_validation(const quiche_path_event *ev, struct sockaddr_storage *local, socklen_t *local_len, struct sockaddr_storage *peer,
                                         socklen_t *peer_len);
void quiche_path_event_closed(const quiche_path_event *ev, struct sockaddr_storage *local, socklen_t *local_len, struct sockaddr_storage *peer,
                              socklen_t *peer_len);
void quiche_path_event_reused_source_connection_id(const quiche_path_event *ev, uint64_t *id, struct sockaddr_storage *old_local, socklen_t *old_local_len,
                                                   struct sockaddr_storage *old_peer, socklen_t *old_peer_len, struct sockaddr_storage *local,
                                                   socklen_t *local_len, struct sockaddr_storage *peer, socklen_t *peer_len);
void quiche_path_event_peer_migrated(const quiche_path_event *ev, struct sockaddr_storage *local, socklen_t *local_len, struct sockaddr_storage *peer,
                                     socklen_t *peer_len);
void quiche_path_event_pmtu_updated(const quiche_path_event *ev, struct sockaddr_storage *local, socklen_t *local_len, struct sockaddr_storage *peer,
                                    socklen_t *peer_len, size_t *pmtu);
void quiche_path_event_free(quiche_path_event *ev);

// Is done with a connection ID of the peer's. 0; QUICHE_ERR_OUT_OF_IDENTIFIERS if the path in use would have none; QUICHE_ERR_INVALID_STATE.
int quiche_conn_retire_dcid(quiche_conn *conn, uint64_t dcid_seq);

// The peer's addresses of the paths that begin at from: the caller's to free.
typedef struct quiche_socket_addr_iter quiche_socket_addr_iter;
quiche_socket_addr_iter *quiche_conn_paths_iter(quiche_conn *conn, const struct sockaddr *from, size_t from_len);
bool quiche_socket_addr_iter_next(quiche_socket_addr_iter *iter, struct sockaddr_storage *peer, size_t *peer_len);
void quiche_socket_addr_iter_free(quiche_socket_addr_iter *iter);

int quiche_conn_is_path_validated(const quiche_conn *conn, const struct sockaddr *from, size_t from_len, const struct sockaddr *to,
                                  size_t to_len);  // 1, 0, or QUICHE_ERR_INVALID_STATE: no such path

// Frees the connection, and its SSL; nothing is called back any more. From a callback of the connection it is freed when the call ends that the callback is within. What it has lent is gone, what was made of it and is to be freed is not.
void quiche_conn_free(quiche_conn *conn);

// Integers of variable length (RFC 9000, section 16): 0 or QUICHE_ERR_BUFFER_TOO_SHORT; how many bytes were read, or that.
int quiche_put_varint(uint8_t *buf, size_t buf_len, uint64_t val);
ssize_t quiche_get_varint(const uint8_t *buf, size_t buf_len, uint64_t *val);

// HTTP/3 (RFC 9114).

#define QUICHE_H3_APPLICATION_PROTOCOL "\x02h3"  // for quiche_config_set_application_protos

// What functions of HTTP/3 return. An error of QUIC's is 1000 lower.
enum quiche_h3_error {
  QUICHE_H3_ERR_DONE = -1,                        // nothing now; no failure
  QUICHE_H3_ERR_BUFFER_TOO_SHORT = -2,            // not returned
  QUICHE_H3_ERR_INTERNAL_ERROR = -3,              // a fault, of ours or of the peer
  QUICHE_H3_ERR_EXCESSIVE_LOAD = -4,              // more than is taken of a peer
  QUICHE_H3_ERR_ID_ERROR = -5,                    // a stream ID or push ID that cannot be
  QUICHE_H3_ERR_STREAM_CREATION_ERROR = -6,       // a stream that may not be opened
  QUICHE_H3_ERR_CLOSED_CRITICAL_STREAM = -7,      // a stream was closed that must stay
  QUICHE_H3_ERR_MISSING_SETTINGS = -8,            // SETTINGS did not come first
  QUICHE_H3_ERR_FRAME_UNEXPECTED = -9,            // also: this may not be sent now
  QUICHE_H3_ERR_FRAME_ERROR = -10,                // a malformed frame
  QUICHE_H3_ERR_QPACK_DECOMPRESSION_FAILED = -11,  // field lines that cannot be decoded
  QUICHE_H3_ERR_STREAM_BLOCKED = -13,             // no room now: the same call again later
  QUICHE_H3_ERR_SETTINGS_ERROR = -14,             // settings that may not be, or that do not allow this
  QUICHE_H3_ERR_REQUEST_REJECTED = -15,           // the connection takes no more requests
  QUICHE_H3_ERR_REQUEST_CANCELLED = -16,          // not returned
  QUICHE_H3_ERR_REQUEST_INCOMPLETE = -17,         // not returned
  QUICHE_H3_ERR_MESSAGE_ERROR = -18,              // the message that was to be sent is not valid
  QUICHE_H3_ERR_CONNECT_ERROR = -19,              // not returned
  QUICHE_H3_ERR_VERSION_FALLBACK = -20,           // not returned

  QUICHE_H3_TRANSPORT_ERR_DONE = QUICHE_ERR_DONE - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_BUFFER_TOO_SHORT = QUICHE_ERR_BUFFER_TOO_SHORT - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_UNKNOWN_VERSION = QUICHE_ERR_UNKNOWN_VERSION - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_INVALID_FRAME = QUICHE_ERR_INVALID_FRAME - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_INVALID_PACKET = QUICHE_ERR_INVALID_PACKET - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_INVALID_STATE = QUICHE_ERR_INVALID_STATE - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_INVALID_STREAM_STATE = QUICHE_ERR_INVALID_STREAM_STATE - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_INVALID_TRANSPORT_PARAM = QUICHE_ERR_INVALID_TRANSPORT_PARAM - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_CRYPTO_FAIL = QUICHE_ERR_CRYPTO_FAIL - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_TLS_FAIL = QUICHE_ERR_TLS_FAIL - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_FLOW_CONTROL = QUICHE_ERR_FLOW_CONTROL - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_STREAM_LIMIT = QUICHE_ERR_STREAM_LIMIT - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_STREAM_STOPPED = QUICHE_ERR_STREAM_STOPPED - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_STREAM_RESET = QUICHE_ERR_STREAM_RESET - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_FINAL_SIZE = QUICHE_ERR_FINAL_SIZE - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_CONGESTION_CONTROL = QUICHE_ERR_CONGESTION_CONTROL - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_ID_LIMIT = QUICHE_ERR_ID_LIMIT - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_OUT_OF_IDENTIFIERS = QUICHE_ERR_OUT_OF_IDENTIFIERS - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_KEY_UPDATE = QUICHE_ERR_KEY_UPDATE - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_CRYPTO_BUFFER_EXCEEDED = QUICHE_ERR_CRYPTO_BUFFER_EXCEEDED - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_INVALID_ACK_RANGE = QUICHE_ERR_INVALID_ACK_RANGE - 1000,  // of QUIC
  QUICHE_H3_TRANSPORT_ERR_OPTIMISTIC_ACK_DETECTED = QUICHE_ERR_OPTIMISTIC_ACK_DETECTED - 1000  // of QUIC
};

// Settings of HTTP/3, which connections copy. NULL: bquic_error says why.
typedef struct quiche_h3_config quiche_h3_config;
quiche_h3_config *quiche_h3_config_new(void);                                             // to be freed
void quiche_h3_config_set_max_field_section_size(quiche_h3_config *config, uint64_t v);   // of what is received; default 32 KiB
void quiche_h3_config_set_qpack_max_table_capacity(quiche_h3_config *config, uint64_t v); // of the peer's encoder; default 4096
void quiche_h3_config_set_qpack_blocked_streams(quiche_h3_config *config, uint64_t v);    // default 100
void quiche_h3_config_enable_extended_connect(quiche_h3_config *config, bool enabled);    // RFC 9220; a server's
void quiche_h3_config_set_max_priority_update_size(quiche_h3_config *config, uint64_t v);  // bytes of its payload, at most 264, the default; longer ones are errors
void quiche_h3_config_free(quiche_h3_config *config);                                     // connections live on

// HTTP/3 on a connection that is established, or in early data. It opens the control and QPACK streams. One for each connection; freed before it or after it.
typedef struct quiche_h3_conn quiche_h3_conn;
quiche_h3_conn *quiche_h3_conn_new_with_transport(quiche_conn *quiche_conn, quiche_h3_config *config);
void quiche_h3_conn_free(quiche_h3_conn *conn);

// What quiche_h3_conn_poll tells.
enum quiche_h3_event_type {
  QUICHE_H3_EVENT_HEADERS,         // a header section, or the trailer section: valid, as RFC 9114, sections 4.2 and 4.3, want it
  QUICHE_H3_EVENT_DATA,            // there is a body to read; not told again until quiche_h3_recv_body has had nothing more
  QUICHE_H3_EVENT_FINISHED,        // all of the message was read
  QUICHE_H3_EVENT_GOAWAY,          // the ID is in place of a stream's
  QUICHE_H3_EVENT_RESET,           // the message will not be whole
  QUICHE_H3_EVENT_PRIORITY_UPDATE  // see quiche_h3_take_last_priority_update
};

// The next event, the caller's to free, and its stream; QUICHE_H3_ERR_DONE if there is none; below that the connection is over by the peer's fault.
typedef struct quiche_h3_event quiche_h3_event;
int64_t quiche_h3_conn_poll(quiche_h3_conn *conn, quiche_conn *quic_conn, quiche_h3_event **ev);
enum quiche_h3_event_type quiche_h3_event_type(quiche_h3_event *ev);

// Calls cb with each field, pseudo-header fields first. What cb returns, if not 0, ends it and is returned. Names and values are lent for the call, and not ended by a 0.
int quiche_h3_event_for_each_header(quiche_h3_event *ev, int (*cb)(uint8_t *name, size_t name_len, uint8_t *value, size_t value_len, void *argp),
                                    void *argp);
bool quiche_h3_event_headers_has_more_frames(quiche_h3_event *ev);
bool quiche_h3_event_headers_has_body(quiche_h3_event *ev);  // the same; quiche had this name before
void quiche_h3_event_free(quiche_h3_event *ev);

// The same with the peer's settings; QUICHE_H3_ERR_DONE before they have come.
int quiche_h3_for_each_setting(quiche_h3_conn *conn, int (*cb)(uint64_t identifier, uint64_t value, void *argp), void *argp);
bool quiche_h3_extended_connect_enabled_by_peer(quiche_h3_conn *conn);
bool quiche_h3_dgram_enabled_by_peer(quiche_h3_conn *conn, quiche_conn *quic_conn);

// A field of a header section.
typedef struct {
  const uint8_t *name;  // in lower case, or it is made so
  size_t name_len;                           // bytes
  const uint8_t *value;                      // of the field
  size_t value_len;                          // bytes
} quiche_h3_header;

// A priority (RFC 9218).
typedef struct {
  uint8_t urgency;  // 0 to 7
  bool incremental;                          // it takes turns with others of its urgency
} quiche_h3_priority;

// Messages. All fields of a section are sent, or none: QUICHE_H3_ERR_MESSAGE_ERROR for what is not valid (RFC 9114, section 4.2),
// QUICHE_H3_TRANSPORT_ERR_STREAM_LIMIT where the peer allows no more requests now. With fin there is no body.
int64_t quiche_h3_send_request(quiche_h3_conn *conn, quiche_conn *quic_conn, const quiche_h3_header *headers, size_t headers_len, bool fin);

// A final response, or an interim one (1xx).
int quiche_h3_send_response(quiche_h3_conn *conn, quiche_conn *quic_conn, uint64_t stream_id, const quiche_h3_header *headers, size_t headers_len, bool fin);
int quiche_h3_send_response_with_priority(quiche_h3_conn *conn, quiche_conn *quic_conn, uint64_t stream_id, const quiche_h3_header *headers,
                                          size_t headers_len, quiche_h3_priority *priority, bool fin);

// The response behind an interim one; or trailers, with which the message always ends.
int quiche_h3_send_additional_headers(quiche_h3_conn *conn, quiche_conn *quic_conn, uint64_t stream_id, quiche_h3_header *headers, size_t headers_len,
                                      bool is_trailer_section, bool fin);

// How many bytes were taken; fin only with the last. QUICHE_H3_ERR_DONE: no room now.
ssize_t quiche_h3_send_body(quiche_h3_conn *conn, quiche_conn *quic_conn, uint64_t stream_id, const uint8_t *body, size_t body_len, bool fin);

// How many bytes were read, never 0; QUICHE_H3_ERR_DONE: none now.
ssize_t quiche_h3_recv_body(quiche_h3_conn *conn, quiche_conn *quic_conn, uint64_t stream_id, uint8_t *out, size_t out_len);

// Begins the end of the connection: requests that are open go on. What may still come is for the library to say, and not for id.
int quiche_h3_send_goaway(quiche_h3_conn *conn, quiche_conn *quic_conn, uint64_t id);

// Reads a Priority field value (RFC 9218); what it does not say is the default, urgency 3. 0.
int quiche_h3_parse_extensible_priority(uint8_t *priority, size_t priority_len, quiche_h3_priority *parsed);

// Has the server be asked for another priority of a response. 0, or an error.
int quiche_h3_send_priority_update_for_request(quiche_h3_conn *conn, quiche_conn *quic_conn, uint64_t stream_id, quiche_h3_priority *priority);

// Calls cb with the Priority field value that a client has sent last for a request, in the form of RFC 9218, and forgets it; returns what cb returned. QUICHE_H3_ERR_DONE if there is none.
// It was applied to the stream already.
int quiche_h3_take_last_priority_update(quiche_h3_conn *conn, uint64_t prioritized_element_id,
                                        int (*cb)(uint8_t *priority_field_value, uint64_t priority_field_value_len, void *argp), void *argp);

// Counts of HTTP/3.
typedef struct {
  uint64_t qpack_encoder_stream_recv_bytes;  // behind the stream's type
  uint64_t qpack_decoder_stream_recv_bytes;  // likewise
} quiche_h3_stats;

void quiche_h3_conn_stats(const quiche_h3_conn *conn, quiche_h3_stats *out);  // fills in *out

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
