// quiche_conn_new_with_tls: connections over SSLs that the program has made, as curl, Traffic Server and netty make them.
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>

#include "quiche_pair.h"

static SSL_CTX *client_ctx, *server_ctx;
static quiche_config *config;
static pthread_t caller;
static int key_lines, selected, verified, slot, made, freed;
static SSL_SESSION *ticket;
static int pending; // how often the certificate callback says "later"

static void key_log(const SSL *ssl, const char *line) {
  CHECK(pthread_equal(caller, pthread_self()) && SSL_get_app_data(ssl) == &caller && strchr(line, ' ') != NULL);
  key_lines++;
}

static int select_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in, unsigned in_len, void *arg) {
  (void)ssl, (void)arg;
  selected++;
  CHECK(in_len == 3 && memcmp(in, "\2h3", 3) == 0);
  *out = in + 1;
  *out_len = 2;
  return SSL_TLSEXT_ERR_OK;
}

// What callbacks call functions of, in call of which they are; NULL: they call none.
static pair *around;

// calls_back has a callback call functions of a connection that it is within: they do nothing, and those that only ask have an answer.
static void calls_back(quiche_conn *conn) {
  static uint8_t buf[1500];
  quiche_recv_info from = {SOCKADDR(client_address), SOCKADDR(server_address)};
  quiche_send_info to;
  uint64_t code;
  bool fin;
  CHECK(!quiche_conn_is_closed(conn));
  quiche_conn_timeout_as_nanos(conn);
  IS(quiche_conn_recv(conn, buf, sizeof buf, &from), QUICHE_ERR_INVALID_STATE);
  IS(quiche_conn_send(conn, buf, sizeof buf, &to), QUICHE_ERR_INVALID_STATE);
  IS(quiche_conn_stream_send(conn, 0, buf, 1, false, &code), QUICHE_ERR_INVALID_STATE);
  IS(quiche_conn_stream_recv(conn, 0, buf, 1, &fin, &code), QUICHE_ERR_INVALID_STATE);
}

static int find_certificate(SSL *ssl, void *arg) {
  (void)arg;
  if (around != NULL) {
    calls_back(around->server);
  }
  CHECK(strcmp(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name), "localhost") == 0);
  return pending-- > 0 ? -1 : 1;
}

static int verify(int good, X509_STORE_CTX *store) {
  (void)store;
  verified++;
  return good;
}

static int keep_session(SSL *ssl, SSL_SESSION *session) {
  (void)ssl;
  if (around != NULL) {
    calls_back(around->client);
  }
  SSL_SESSION_free(ticket);
  ticket = session;
  return 1;
}

static void on_free(void *parent, void *value, CRYPTO_EX_DATA *data, int index, long argument, void *pointer) {
  (void)parent, (void)data, (void)index, (void)argument, (void)pointer;
  freed += value != NULL;
}

static void contexts(void) {
  client_ctx = SSL_CTX_new(TLS_method());
  server_ctx = SSL_CTX_new(TLS_method());
  CHECK(client_ctx && server_ctx);
  CHECK(SSL_CTX_use_certificate_chain_file(server_ctx, cert_file) && SSL_CTX_use_PrivateKey_file(server_ctx, key_file, SSL_FILETYPE_PEM));
  SSL_CTX_set_alpn_select_cb(server_ctx, select_alpn, NULL);
  SSL_CTX_set_cert_cb(server_ctx, find_certificate, NULL);
  SSL_CTX_set_keylog_callback(client_ctx, key_log);
  SSL_CTX_set_verify(client_ctx, SSL_VERIFY_PEER, verify);
  SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_CLIENT);
  SSL_CTX_sess_set_new_cb(client_ctx, keep_session);
  slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_free);
  CHECK(slot > 0);
}

static SSL *client_ssl(void) {
  SSL *ssl = SSL_new(client_ctx);
  CHECK(ssl != NULL);
  SSL_set_app_data(ssl, &caller);
  SSL_set_ex_data(ssl, slot, &slot);
  made++;
  SSL_set_connect_state(ssl);
  CHECK(SSL_set_alpn_protos(ssl, (const uint8_t *)"\2h3", 3) == 0 && SSL_set_tlsext_host_name(ssl, "localhost"));
  return ssl;
}

static quiche_conn *over(SSL *ssl, bool server) {
  uint8_t id[16];
  fresh_id(id);
  return quiche_conn_new_with_tls(id, 16, NULL, 0, SOCKADDR(*(server ? &server_address : &client_address)),
                                  SOCKADDR(*(server ? &client_address : &server_address)), config, ssl, server);
}

static pair pair_over(SSL *client) {
  pair p = {over(client, false), over(SSL_new(server_ctx), true), 0};
  CHECK(p.client != NULL && p.server != NULL);
  return p;
}

// A connection that its own callback frees is freed when the call ends that the callback is within.
static quiche_conn *to_free;

static enum ssl_verify_result_t free_in_callback(SSL *ssl, uint8_t *alert) {
  (void)ssl, (void)alert;
  quiche_conn_free(to_free);
  IS(quiche_conn_stream_capacity(to_free, 0), QUICHE_ERR_INVALID_STATE); // it is there, and busy
  to_free = NULL;
  return ssl_verify_ok;
}

static enum ssl_verify_result_t accept_any(SSL *ssl, uint8_t *alert) {
  (void)ssl, (void)alert;
  return ssl_verify_ok;
}

// The certificate is looked for by several calls, of quiche_conn_send among them, whose memory a getter gave back that was called from there.
static void called_by_callbacks(void) {
  SSL *ssl = client_ssl();
  SSL_set_custom_verify(ssl, SSL_VERIFY_PEER, accept_any);
  pair p = pair_over(ssl);
  around = &p;
  pending = 3;
  for (int i = 0; i < 8; i++) {
    IS(carry(&p, p.client, p.server), 0);
    IS(carry(&p, p.server, p.client), 0);
  }
  CHECK(quiche_conn_is_established(p.client) && quiche_conn_is_established(p.server) && pending < 0 && ticket != NULL);
  around = NULL;
  free_pair(&p);
}

static void freed_by_callback(void) {
  SSL *ssl = client_ssl();
  SSL_set_custom_verify(ssl, SSL_VERIFY_PEER, free_in_callback);
  int64_t objects = bquic_live_objects();
  int before = freed;
  pair p = pair_over(ssl);
  IS(bquic_live_objects(), objects + 2);
  to_free = p.client;
  pending = 0;
  IS(carry(&p, p.client, p.server), 0);
  uint8_t out[1500];
  quiche_send_info info;
  for (ssize_t n; to_free != NULL && (n = quiche_conn_send(p.server, out, sizeof out, &info)) > 0;) {
    quiche_recv_info in = {(struct sockaddr *)&info.from, info.from_len, (struct sockaddr *)&info.to, info.to_len};
    quiche_conn_recv(p.client, out, (size_t)n, &in);
  }
  CHECK(to_free == NULL && freed == before + 1);
  IS(bquic_live_objects(), objects + 1);
  quiche_conn_free(p.server);
}

static void unknown_root(void) {
  SSL *ssl = client_ssl();
  pair p = pair_over(ssl);
  IS(carry(&p, p.client, p.server), 0);
  ERR_clear_error();
  IS(carry(&p, p.server, p.client), QUICHE_ERR_TLS_FAIL);
  CHECK(SSL_get_verify_result(ssl) != X509_V_OK); // which curl asks for then
  CHECK(ERR_peek_error() != 0);
  ERR_clear_error();
  bool app;
  uint64_t code;
  const uint8_t *reason;
  size_t len;
  CHECK(quiche_conn_local_error(p.client, &app, &code, &reason, &len) && !app && code >= 0x100 && code < 0x200);
  IS(carry(&p, p.client, p.server), 0);
  CHECK(quiche_conn_peer_error(p.server, &app, &code, &reason, &len));
  free_pair(&p);
}

static void trusted(void) {
  SSL *ssl = client_ssl();
  pair p = pair_over(ssl);
  // Roots may come as late as this.
  CHECK(SSL_CTX_load_verify_locations(client_ctx, ca_file, NULL));
  key_lines = verified = selected = 0;
  pending = 30;
  IS(carry(&p, p.client, p.server), 0);
  while (pending > 0) { // each call asks again, and nothing but an acknowledgement comes of it until there is an answer
    int before = pending;
    CHECK(!quiche_conn_is_established(p.client) && !quiche_conn_is_established(p.server));
    IS(carry(&p, p.server, p.client), 0);
    CHECK(pending < before);
  }
  establish(&p);
  CHECK(pending == -1 && key_lines >= 4 && verified > 0 && selected == 1);
  CHECK(SSL_get_verify_result(ssl) == X509_V_OK && SSL_get_app_data(ssl) == &caller && SSL_get_ex_data(ssl, slot) == &slot);
  const uint8_t *text;
  size_t len;
  quiche_conn_application_proto(p.client, &text, &len);
  CHECK(len == 2 && memcmp(text, "h3", 2) == 0);
  quiche_conn_server_name(p.server, &text, &len);
  CHECK(len == 9 && memcmp(text, "localhost", 9) == 0);
  quiche_conn_peer_cert(p.client, &text, &len);
  CHECK(len > 100);
  CHECK(!quiche_conn_set_keylog_path(p.client, "/dev/null")); // that is the program's here
  CHECK(ticket != NULL);
  // It has a connection; that lives on, whatever is wrong with what else is given.
  int before = freed;
  uint8_t id[21] = {0};
  CHECK(over(ssl, false) == NULL && strstr(bquic_error(), "belongs to another connection") != NULL);
  CHECK(quiche_conn_new_with_tls(id, 21, NULL, 0, SOCKADDR(client_address), SOCKADDR(server_address), config, ssl, false) == NULL);
  CHECK(quiche_conn_new_with_tls(id, 8, NULL, 0, SOCKADDR(client_address), NULL, 0, config, ssl, false) == NULL);
  CHECK(quiche_conn_new_with_tls(id, 8, NULL, 0, SOCKADDR(client_address), SOCKADDR(server_address), NULL, ssl, false) == NULL);
  IS(freed, before);
  IS(quiche_conn_send_ack_eliciting(p.client), 0);
  exchange(&p);
  quiche_transport_params params;
  CHECK(quiche_conn_peer_transport_params(p.client, &params) && params.peer_initial_max_data == 1000000);
  IS(quiche_conn_close(p.client, true, 0, NULL, 0), 0);
  exchange(&p);
  CHECK(SSL_get_verify_result(ssl) == X509_V_OK); // it lives as long as the connection
  free_pair(&p);
}

static bool judged;
static enum ssl_verify_result_t doubt(SSL *ssl, uint8_t *alert) {
  (void)ssl;
  *alert = SSL_AD_BAD_CERTIFICATE;
  return judged ? ssl_verify_invalid : ssl_verify_retry;
}

// The answer that ends the handshake is found in a send, as where another thread gives it: the peer is told why, and the next call fails.
static void refused_later(void) {
  SSL *ssl = client_ssl();
  SSL_set_custom_verify(ssl, SSL_VERIFY_PEER, doubt);
  pair p = pair_over(ssl);
  IS(carry(&p, p.client, p.server), 0);
  IS(carry(&p, p.server, p.client), 0);
  IS(carry(&p, p.client, p.server), 0);
  judged = true;
  uint8_t out[1500];
  quiche_send_info info;
  ssize_t n = quiche_conn_send(p.client, out, sizeof out, &info);
  CHECK(n > 0);
  quiche_recv_info in = {(struct sockaddr *)&info.from, info.from_len, (struct sockaddr *)&info.to, info.to_len};
  IS(quiche_conn_recv(p.server, out, (size_t)n, &in), n);
  bool app;
  uint64_t code;
  const uint8_t *reason;
  size_t len;
  CHECK(quiche_conn_peer_error(p.server, &app, &code, &reason, &len) && !app && code >= 0x100 && code < 0x200);
  IS(quiche_conn_send(p.client, out, sizeof out, &info), QUICHE_ERR_TLS_FAIL);
  IS(quiche_conn_send(p.client, out, sizeof out, &info), QUICHE_ERR_DONE);
  ERR_clear_error();
  free_pair(&p);
}

static void resumed(void) {
  uint8_t *der, blob[8000] = {0};
  size_t der_len;
  CHECK(SSL_SESSION_to_bytes(ticket, &der, &der_len) && der_len + 8 <= sizeof blob);
  blob[6] = (uint8_t)(der_len >> 8);
  blob[7] = (uint8_t)der_len;
  memcpy(blob + 8, der, der_len);
  OPENSSL_free(der);
  pair p = pair_over(client_ssl());
  IS(quiche_conn_set_session(p.client, blob, 7), QUICHE_ERR_CRYPTO_FAIL);
  IS(quiche_conn_set_session(p.client, blob, der_len + 7), QUICHE_ERR_CRYPTO_FAIL);
  IS(quiche_conn_set_session(p.server, blob, der_len + 8), QUICHE_ERR_INVALID_STATE);
  IS(quiche_conn_set_session(p.client, blob, der_len + 8), 0);
  establish(&p);
  CHECK(quiche_conn_is_resumed(p.client) && quiche_conn_is_resumed(p.server));
  IS(quiche_conn_set_session(p.client, blob, der_len + 8), QUICHE_ERR_INVALID_STATE);
  free_pair(&p);
  SSL_SESSION_free(ticket);
  ticket = NULL;
}

// Whatever fails, the SSL is freed once.
static void failures(void) {
  uint8_t id[21] = {0};
  CHECK(quiche_conn_new_with_tls(id, 21, NULL, 0, SOCKADDR(client_address), SOCKADDR(server_address), config, client_ssl(), false) == NULL);
  CHECK(quiche_conn_new_with_tls(id, 8, NULL, 0, SOCKADDR(client_address), NULL, 0, config, client_ssl(), false) == NULL);
  CHECK(quiche_conn_new_with_tls(id, 8, NULL, 0, SOCKADDR(client_address), SOCKADDR(server_address), NULL, client_ssl(), false) == NULL);
  CHECK(quiche_conn_new_with_tls(id, 8, NULL, 0, SOCKADDR(client_address), SOCKADDR(server_address), config, NULL, false) == NULL);
  CHECK(quiche_conn_new_with_tls_and_client_dcid(id, 8, id, 7, SOCKADDR(client_address), SOCKADDR(server_address), config, client_ssl()) == NULL);
  memset(id, 9, sizeof id);
  quiche_conn *conn = quiche_conn_new_with_tls_and_client_dcid(id, 8, id, 12, SOCKADDR(client_address), SOCKADDR(server_address), config, client_ssl());
  const uint8_t *out;
  size_t len;
  quiche_conn_destination_id(conn, &out, &len);
  CHECK(conn != NULL && len == 12 && memcmp(out, id, 12) == 0);
  IS(freed, made - 1);
  quiche_conn_free(conn);
  IS(freed, made);
}

int main(int argc, char *argv[]) {
  arguments(argc, argv);
  caller = pthread_self();
  config = quiche_config_new(QUICHE_PROTOCOL_VERSION); // without protocols and certificates
  quiche_config_set_initial_max_data(config, 1000000);
  quiche_config_set_initial_max_streams_bidi(config, 10);
  contexts();
  unknown_root();
  called_by_callbacks();
  freed_by_callback();
  trusted();
  resumed();
  refused_later();
  failures();
  quiche_config_free(config);
  SSL_CTX_free(client_ctx);
  SSL_CTX_free(server_ctx);
  IS(bquic_live_objects(), 0);
  return 0;
}
