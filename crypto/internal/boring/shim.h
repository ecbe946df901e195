// The TLS 1.3 handshake of QUIC over BoringSSL's SSL_QUIC_METHOD, by pull: what BoringSSL tells is kept in a buffer of
// events that the caller drains. Nothing here calls back into Go, and no pointer of the caller's is kept.
#ifndef BORINGQUIC_SHIM_H
#define BORINGQUIC_SHIM_H

#include <stddef.h>
#include <stdint.h>

// What a record of the event buffer is. A record is eight bytes: the kind, the encryption level, a 16-bit code and a
// 32-bit length, little-endian; and then so many bytes.
enum {
  BQ_EV_READ_SECRET = 1,   // code: the cipher suite
  BQ_EV_WRITE_SECRET,      // code: the cipher suite
  BQ_EV_HANDSHAKE_DATA,    // to be sent at the level
  BQ_EV_PEER_PARAMS,       // the peer's transport parameters
  BQ_EV_KEY_LOG,           // a line for the key log, without its end
  BQ_EV_EXPORTER_SECRET,   // exporter_master_secret of RFC 8446, section 7.1
  BQ_EV_SESSION,           // a client's session: 32-bit lifetime in seconds, big-endian, and what SSL_SESSION_to_bytes writes;
                           // code: 1 if 0-RTT is allowed. At most four are told, of 64 KiB in all
  BQ_EV_INFO,              // group, flags (16 bits each, big-endian), then ALPN and server name, 8-bit length each
  BQ_EV_PEER_CERTS,        // the chain, each certificate after its 24-bit length, big-endian
  BQ_EV_OCSP,              // a stapled OCSP response
  BQ_EV_SCTS,              // SignedCertificateTimestampList of RFC 6962, section 3.3
  BQ_EV_ASK_CERT,          // client: 16-bit count of signature algorithms, those, then CA names after 16-bit lengths;
                           // server: nothing. It is asked for each ClientHello, before anything is decided
  BQ_EV_ASK_VERIFY,        // the chain told before is to be judged
  BQ_EV_ASK_SIGN,          // code: the signature algorithm; 8 bytes of credential (bq_cred_id), then the input
  BQ_EV_COMPLETE,          // the handshake is complete
  BQ_EV_ASK_SESSION,       // client: is a session whose server showed the chain told before to be offered?
  BQ_EV_ASK_TICKET,        // server: is a ticket of ours to be accepted? code: 1 if 0-RTT comes with it, which then is 32 bytes
                           // of data; then the client's chain, as in BQ_EV_PEER_CERTS
  BQ_EV_EARLY_DATA,        // code: 1 if 0-RTT is accepted; BoringSSL's word for the reason
};

// Flags of BQ_EV_INFO.
// BQ_INFO_EARLY: a client's, before the server has said a word: the cipher suite and the group are the session's, and ALPN is missing.
enum { BQ_INFO_RESUMED = 1, BQ_INFO_HELLO_RETRY = 2, BQ_INFO_EARLY = 4 };

// Whether a server asks its client for a certificate, and refuses clients without one.
enum { BQ_CLIENT_AUTH_NONE, BQ_CLIENT_AUTH_REQUEST, BQ_CLIENT_AUTH_REQUIRE };

// What bq_tls_run is to do before it lets the handshake go on.
// BQ_OP_START has one byte of input: whether the session that was set is to be offered. BQ_OP_TICKET has one too, of BQ_TICKET_ flags.
enum { BQ_OP_START, BQ_OP_FEED, BQ_OP_CERT, BQ_OP_VERIFY, BQ_OP_SIGN, BQ_OP_MORE, BQ_OP_TICKET };

// What is answered to BQ_EV_ASK_TICKET.
enum { BQ_TICKET_RESUME = 1, BQ_TICKET_EARLY_DATA = 2 };

// What became of it. BQ_RUN_MORE: there is more to be done, by bq_tls_run with BQ_OP_MORE at once.
enum { BQ_RUN_OK, BQ_RUN_FAILED, BQ_RUN_WRONG_LEVEL, BQ_RUN_MORE };

// Why it failed, where the caller has to know more than the alert.
enum { BQ_WHY_OTHER, BQ_WHY_EXCESS_DATA, BQ_WHY_SESSION_ID, BQ_WHY_EARLY_DATA_SIZE, BQ_WHY_TOO_LONG };

typedef struct {
  uint8_t stalled;      // a callback of the program's that made the SSL has to be called again, by BQ_OP_MORE some time later
  uint32_t pending;     // bytes of events to be drained
  uint8_t status;       // BQ_RUN_
  uint8_t why;          // BQ_WHY_, if it failed
  uint8_t alert;        // the TLS alert, if it failed
  uint8_t level;        // the level that handshake bytes are read at
  uint8_t last_message; // type of the last handshake message received
  uint8_t complete;
  char text[96];        // what BoringSSL says of the failure, ended by zero
} bq_result;

typedef struct bq_ctx bq_ctx;    // SSL_CTX
typedef struct bq_cred bq_cred;  // SSL_CREDENTIAL
typedef struct bq_ticket_keys bq_ticket_keys;  // keys of tickets, which do not change
typedef struct bq_tls bq_tls;

// Functions that return int answer 1 for success and 0 for failure.

bq_ctx *bq_ctx_new(int client);
void bq_ctx_free(bq_ctx *ctx);

// bq_cred_new makes a credential of a certificate chain (each certificate after its 24-bit length, big-endian) and a
// PKCS #8 private key, or with none, of one whose signatures will be asked for. ocsp, scts and sigalgs may be empty. On
// failure it answers NULL and writes the reason to text, of text_len bytes.
bq_cred *bq_cred_new(const uint8_t *chain, size_t chain_len, const uint8_t *key, size_t key_len, const uint8_t *ocsp,
                     size_t ocsp_len, const uint8_t *scts, size_t scts_len, const uint16_t *sigalgs, size_t num_sigalgs,
                     uint8_t *text, size_t text_len);
void bq_cred_free(bq_cred *cred);
uint64_t bq_cred_id(const bq_cred *cred);

// bq_ticket_keys_new makes ticket keys of n secrets of 32 bytes. The first one seals tickets, and all open them. NULL: out of memory.
bq_ticket_keys *bq_ticket_keys_new(const uint8_t *secrets, size_t n);
void bq_ticket_keys_free(bq_ticket_keys *keys);

// bq_tls_new makes a connection, which keeps ctx alive.
bq_tls *bq_tls_new(bq_ctx *ctx, int client);
void bq_tls_free(bq_tls *t);

// The following set what a connection does; those that a server needs later than its start may be called until
// BQ_OP_CERT.
int bq_tls_set_params(bq_tls *t, const uint8_t *params, size_t len);
int bq_tls_set_alpn(bq_tls *t, const uint8_t *list, size_t len);  // in the wire's form
// bq_tls_offer_only has a client offer one cipher suite, of those that BoringSSL has for TLS 1.3. It may have no session.
void bq_tls_offer_only(bq_tls *t, uint16_t suite);
// bq_tls_set_groups sets the key exchange groups, at most sixteen, the best first.
int bq_tls_set_groups(bq_tls *t, const uint16_t *groups, size_t n);
int bq_tls_set_server_name(bq_tls *t, const uint8_t *name, size_t len);
// bq_tls_set_client_auth says whether a server asks for a certificate, BQ_CLIENT_AUTH_. names are the CAs to be told, each
// after its 16-bit length, big-endian.
int bq_tls_set_client_auth(bq_tls *t, int mode, const uint8_t *names, size_t len);
int bq_tls_add_cred(bq_tls *t, const bq_cred *cred);
// bq_tls_set_session gives a client a session of BQ_EV_SESSION, without the lifetime. Its chain is told then, and BQ_EV_ASK_SESSION;
// out_pending is how many bytes of events there are. 0: it is no session that can be used.
int bq_tls_set_session(bq_tls *t, const uint8_t *session, size_t len, uint32_t *out_pending);
// bq_tls_set_tickets gives a server keys for tickets (NULL: there are none), which the connection keeps alive, and 32 bytes that a
// ticket's connection and the one that it is used for must have in common. Without resume no ticket is taken, though one may be issued.
int bq_tls_set_tickets(bq_tls *t, bq_ticket_keys *keys, const uint8_t *context, int resume);
// bq_tls_set_early_data switches 0-RTT on. At a server, 32 bytes of context are what a ticket's connection and the one that it is used for
// must have in common for 0-RTT; a client has none.
int bq_tls_set_early_data(bq_tls *t, const uint8_t *context);
void bq_tls_set_flags(bq_tls *t, int ask_cert, int log_keys, int tickets);

// bq_tls_run does op with its input and runs the handshake until it wants data or an answer. now is the time in seconds since
// 1970 for session tickets; 0 stands for the system's clock. Text and reason of a failure come in r; BoringSSL's error queue
// is empty before and after.
void bq_tls_run(bq_tls *t, int op, int level, const uint8_t *in, size_t len, int64_t now, bq_result *r);
// bq_tls_drain copies the events, out_len bytes of them, to out and forgets them.
void bq_tls_drain(bq_tls *t, uint8_t *out, size_t out_len);

// SSL objects of the program's own.

// What became of bq_tls_adopt.
enum { BQ_ADOPTED, BQ_ADOPT_FAILED, BQ_ADOPT_TAKEN };

// bq_tls_adopt makes a connection over an SSL object that the program has made, from a context of its own, and has not begun to use. It is the
// connection's then, and freed with it; or, if that fails, at once, unless it belongs to another one already (BQ_ADOPT_TAKEN). Of its settings
// those that QUIC prescribes are made, and no others touched. ERR's queue tells what has failed.
bq_tls *bq_tls_adopt(uintptr_t ssl, int client, int *out_verdict);
// bq_tls_run_foreign is bq_tls_run for such a connection. The program's callbacks run in it. What a failure has left in ERR's queue stays there.
void bq_tls_run_foreign(bq_tls *t, int op, int level, const uint8_t *in, size_t len, bq_result *r);
// bq_tls_restart has a client begin anew, without a session.
int bq_tls_restart(bq_tls *t);
// bq_tls_set_early_context is what a server's 0-RTT is bound to.
int bq_tls_set_early_context(bq_tls *t, const uint8_t *context, size_t len);
// bq_tls_put_certs tells the peer's certificates, and returns how many bytes of events there are.
uint32_t bq_tls_put_certs(bq_tls *t);
// bq_tls_alpn and bq_tls_peer_params return the protocol that was negotiated, and the peer's transport parameters, which live as long as t does
// not change.
const uint8_t *bq_tls_alpn(const bq_tls *t, size_t *out_len);
const uint8_t *bq_tls_peer_params(const bq_tls *t, size_t *out_len);
int bq_tls_export(const bq_tls *t, uint8_t *out, size_t len, const char *label, size_t label_len, const uint8_t *context, size_t context_len);

// bq_tls_live counts the contexts, connections, credentials and ticket keys in C memory, for tests.
int64_t bq_tls_live(void);

#endif
