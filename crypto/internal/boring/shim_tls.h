// What the C files of the handshake share.
#ifndef BORINGQUIC_SHIM_TLS_H
#define BORINGQUIC_SHIM_TLS_H

#include "compat.h"

#include "shim.h"

#include <openssl/sha.h>
#include <openssl/ssl.h>

struct bq_tls {
  SSL *ssl;
  uint8_t *events;
  size_t events_len, events_cap;
  uint8_t *alpn;  // a server's protocols, in the wire's form, by preference
  size_t alpn_len;
  uint8_t *signature;  // an answer to BQ_EV_ASK_SIGN; or, while sign_due, what a key of ours is to sign
  size_t signature_len;
  bq_ticket_keys *keys;  // a server's, for tickets; NULL: there are no tickets
  // What 0-RTT of a server's tickets is bound to, and one byte more, the variant. A ticket whose 0-RTT is refused as a replay is
  // refused by the other variant, so that the ticket that comes in place of it is good for 0-RTT again.
  uint8_t early_context[SHA256_DIGEST_LENGTH + 1];
  uint8_t hello_id[SHA256_DIGEST_LENGTH];  // of a ClientHello with 0-RTT: hash of its ticket and binder
  uint16_t suite;   // the one negotiated
  uint16_t only_suite;  // a client's, of those that BoringSSL has: it offers no other; 0: it offers all
  uint16_t sigalg;  // of the signature that is due
  uint8_t sessions;        // serialised so far
  uint32_t session_bytes;  // of those that were told
  uint8_t client;
  uint8_t foreign;  // the SSL was made by the program, with callbacks of its own: nothing is asked here
  uint8_t stalled;  // one of those callbacks has to be called again
  uint8_t ask_cert, log_keys;
  uint8_t waiting;   // an answer is wanted
  uint8_t sign_due;  // the next crossing makes a signature
  uint8_t cert_ok, verify_ok, has_signature;  // an answer that BoringSSL has not taken yet
  uint8_t told_params;
  uint8_t early_enabled;   // 0-RTT is offered or accepted
  uint8_t early_offered;   // the ClientHello has 0-RTT
  uint8_t told_early;      // what became of it
  uint8_t has_hello_id, client_auth;
  uint8_t ticket_answered, ticket_resumes, ticket_early;  // what was answered to BQ_EV_ASK_TICKET
  uint8_t complete;
  uint8_t lost;  // there was no memory for an event: some of BoringSSL's callbacks cannot fail
  uint8_t read_level;
  uint8_t alert, has_alert;
  uint8_t last_message;
};

// bq_of_ssl returns the connection of an SSL object, NULL if it has none.
bq_tls *bq_of_ssl(const SSL *ssl);
// bq_bind has an SSL object lead to a connection; 0 is a failure.
int bq_bind(SSL *ssl, bq_tls *t);

extern const SSL_QUIC_METHOD bq_quic_method;

// bq_count counts an object in C memory, and -1 takes it off.
void bq_count(int64_t n);

// bq_replace puts a copy of data in place of what *p holds.
int bq_replace(uint8_t **p, size_t *p_len, const uint8_t *data, size_t len);
// bq_read_error writes the first error of the queue to text.
void bq_read_error(char *text, size_t len);

// Events (shim_events.c). 0 or NULL: there is no memory, and nothing more is told.

// bq_put_space appends the header of an event and room for its data, which it returns.
uint8_t *bq_put_space(bq_tls *t, int kind, int level, uint16_t code, size_t len);
int bq_put(bq_tls *t, int kind, int level, uint16_t code, const void *data, size_t len);
// bq_put_cbb appends an event whose data is in cbb, and does away with cbb; ok tells whether building it went well.
int bq_put_cbb(bq_tls *t, int kind, CBB *cbb, int ok);
// bq_put_params tells the peer's transport parameters, once it has them: a server from the first ClientHello on, a client when it has
// left the Initial level.
int bq_put_params(bq_tls *t);
// bq_put_info tells what was negotiated.
int bq_put_info(bq_tls *t);
// bq_put_cert_request asks for a certificate.
int bq_put_cert_request(bq_tls *t);
// bq_put_peer_certs tells the peer's chain and what was stapled to it.
int bq_put_peer_certs(bq_tls *t);
// bq_add_chain appends certificates to cbb, each after its 24-bit length.
int bq_add_chain(CBB *cbb, const STACK_OF(CRYPTO_BUFFER) *chain);

// Sessions (shim_session.c).

// bq_sessions_init has the connections of ctx work with sessions, tickets and 0-RTT.
void bq_sessions_init(SSL_CTX *ctx, int client);
// bq_ticket_keys_release gives a reference back; keys may be NULL.
void bq_ticket_keys_release(bq_ticket_keys *keys);
// bq_put_early tells what became of 0-RTT, once that is known and if a ClientHello had it.
int bq_put_early(bq_tls *t);

#endif
