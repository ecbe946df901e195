// Connections over SSLs that the program makes: of the library's BoringSSL, or, with another name as the last argument, of one that a plugin holds.
#include "pair.h"
#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

static SSL_CTX *client_context, *server_context;
static int verified, made, freed, late, done;

static void on_free(void *parent, void *value, CRYPTO_EX_DATA *data, int index, long argument, void *pointer) {
  (void)parent, (void)data, (void)index, (void)argument, (void)pointer;
  freed += value != NULL;
}

// The certificate is judged at the third try, as if somebody else had to be asked.
static enum ssl_verify_result_t verify(SSL *ssl, uint8_t *alert) {
  (void)alert;
  X509 *peer = SSL_get_peer_certificate(ssl);
  CHECK(peer != NULL);
  X509_free(peer);
  return ++verified < 3 ? ssl_verify_retry : ssl_verify_ok;
}

static SSL *make_server(void *context, const bquic_addr *remote) {
  CHECK(context == &made && remote->in4.sin_port == htons(50000));
  made++;
  return SSL_new(server_context);
}

// What the library says of itself, and an SSL that no client can have.
static char log_text[512];
static SSL *foreign;

static void keep_log(void *context, const char *text) {
  (void)context;
  snprintf(log_text, sizeof log_text, "%s", text);
}

static SSL *make_foreign(void *context, const bquic_addr *remote) {
  (void)context, (void)remote;
  return foreign;
}

static int select_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in, unsigned in_len, void *context) {
  (void)ssl, (void)context;
  CHECK(in_len == 5 && memcmp(in, "\4echo", 5) == 0);
  *out = in + 1;
  *out_len = 4;
  return SSL_TLSEXT_ERR_OK;
}

static void handle(side *s, const bquic_event *ev) {
  (void)s;
  if (ev->kind == BQUIC_EVENT_CONFIRMED) {
    bquic_conn_state state = {.size = sizeof state};
    SSL *ssl = bquic_conn_ssl(ev->conn);
    const uint8_t *alpn;
    unsigned len;
    GOOD(bquic_conn_info(ev->conn, &state));
    CHECK(ssl != NULL);
    SSL_get0_alpn_selected(ssl, &alpn, &len);
    CHECK(len == 4 && memcmp(alpn, "echo", 4) == 0 && strcmp((char *)state.alpn, "echo") == 0);
    late++;
  }
  done = late == 2;
}

int main(int argc, char **argv) {
  CHECK(argc == 4);
  client_context = SSL_CTX_new(TLS_method());
  server_context = SSL_CTX_new(TLS_method());
  int slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_free);
  CHECK(client_context != NULL && server_context != NULL && slot > 0);
  CHECK(SSL_CTX_use_certificate_chain_file(server_context, argv[1]) == 1 && SSL_CTX_use_PrivateKey_file(server_context, argv[2], SSL_FILETYPE_PEM) == 1);
  SSL_CTX_set_alpn_select_cb(server_context, select_alpn, NULL);
  SSL_CTX_set_custom_verify(client_context, SSL_VERIFY_PEER, verify);

  bquic_config *config = bquic_config_new();
  CHECK(config != NULL);
  GOOD(bquic_config_set_make_ssl(config, make_server, &made));
  static side server, client;
  server.handle = client.handle = handle;
  begin(&server, &client, config);

  bquic_connect connect = {.size = sizeof connect, .server_name = "localhost", .local = client.addr, .remote = server.addr, .ssl = SSL_new(client_context)};
  CHECK(SSL_set_ex_data(connect.ssl, slot, &freed) == 1 && SSL_set_alpn_protos(connect.ssl, (const uint8_t *)"\4echo", 5) == 0);
  CHECK(SSL_set_tlsext_host_name(connect.ssl, "localhost") == 1);
  bquic_conn *conn = bquic_endpoint_connect(client.endpoint, config, &connect, NULL);
  CHECK(conn != NULL && bquic_conn_ssl(conn) == connect.ssl);
  play(&client, &server, &done);
  CHECK(verified == 3 && made == 1 && freed == 0);

  // An SSL belongs to one connection, and is freed with it, or at once if there is none.
  int32_t status;
  CHECK(bquic_endpoint_connect(client.endpoint, config, &connect, &status) == NULL && status != BQUIC_OK && freed == 0);
  bquic_connect again = connect;
  again.remote = (bquic_addr){0};
  CHECK(bquic_endpoint_connect(client.endpoint, config, &again, &status) == NULL && status == BQUIC_ERR_STATE && freed == 0);
  CHECK(strstr(bquic_error(), "belongs to another connection") != NULL);
  CHECK(bquic_endpoint_connect(NULL, config, &connect, &status) == NULL && freed == 0);
  CHECK(bquic_endpoint_connect(client.endpoint, NULL, &connect, &status) == NULL && freed == 0);
  bquic_connect nowhere = {.size = sizeof nowhere, .ssl = SSL_new(client_context)};
  CHECK(SSL_set_ex_data(nowhere.ssl, slot, &freed) == 1);
  CHECK(bquic_endpoint_connect(client.endpoint, config, &nowhere, &status) == NULL && status == BQUIC_ERR_ARGUMENT && freed == 1);
  GOOD(bquic_conn_free(conn));
  CHECK(freed == 2);

  // One of another BoringSSL is refused, and stays the caller's.
  void *plugin = dlopen(argv[3], RTLD_NOW | RTLD_LOCAL);
  SSL *(*make)(void) = plugin == NULL ? NULL : (SSL * (*)(void)) dlsym(plugin, "make");
  void (*unmake)(SSL *) = plugin == NULL ? NULL : (void (*)(SSL *))dlsym(plugin, "unmake");
  CHECK(make != NULL && unmake != NULL);
  connect.ssl = make();
  CHECK(bquic_endpoint_connect(client.endpoint, config, &connect, &status) == NULL && status == BQUIC_ERR_BORINGSSL);
  CHECK(strstr(bquic_error(), "made by another BoringSSL") != NULL);
  // So is one that bquic_make_ssl gives out, of which the log tells: nobody else could.
  foreign = connect.ssl;
  bquic_config *strange = bquic_config_new();
  GOOD(bquic_config_set_make_ssl(strange, make_foreign, NULL));
  GOOD(bquic_set_log(keep_log, NULL));
  bquic_endpoint *refusing = bquic_endpoint_new(strange, NULL);
  CHECK(refusing != NULL);
  connect.ssl = SSL_new(client_context);
  CHECK(bquic_endpoint_connect(client.endpoint, config, &connect, &status) != NULL);
  static uint8_t initial[65536];
  bquic_train train;
  bquic_step out = {.size = sizeof out, .out = &train, .out_max = 1, .buf = initial, .buf_len = sizeof initial};
  GOOD(bquic_endpoint_step(client.endpoint, &out));
  CHECK(out.out_len == 1);
  train.local = server.addr;
  train.remote = client.addr;
  bquic_step in = {.size = sizeof in, .in = &train, .in_len = 1};
  GOOD(bquic_endpoint_step(refusing, &in));
  CHECK(strstr(log_text, "bquic_make_ssl: this SSL was made by another BoringSSL") != NULL);
  GOOD(bquic_set_log(NULL, NULL));
  GOOD(bquic_endpoint_free(refusing));
  GOOD(bquic_config_free(strange));
  unmake(foreign);

  GOOD(bquic_endpoint_free(client.endpoint));
  GOOD(bquic_endpoint_free(server.endpoint));
  GOOD(bquic_config_free(config));
  SSL_CTX_free(client_context);
  SSL_CTX_free(server_context);
  return 0;
}
