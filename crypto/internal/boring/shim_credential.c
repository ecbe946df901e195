// Credentials: a certificate chain and its key, or who has the key, and how signatures are made.
#include "shim_tls.h"

#include <pthread.h>
#include <string.h>

#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pool.h>
#include <openssl/rsa.h>

enum { MAX_CERTS = 64 };

// Keys that others have.

static enum ssl_private_key_result_t on_sign(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out, uint16_t sigalg,
                                             const uint8_t *in, size_t in_len) {
  bq_tls *t = bq_of_ssl(ssl);
  uint64_t id = (uint64_t)(uintptr_t)SSL_get0_selected_credential(ssl);
  uint8_t *p = bq_put_space(t, BQ_EV_ASK_SIGN, t->read_level, sigalg, 8 + in_len);
  if (p == NULL) return ssl_private_key_failure;
  for (int i = 0; i < 8; i++) p[i] = (uint8_t)(id >> (8 * i));
  memcpy(p + 8, in, in_len);
  t->waiting = 1;
  t->has_signature = 0;
  return ssl_private_key_retry;
}

static enum ssl_private_key_result_t on_sign_complete(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out) {
  bq_tls *t = bq_of_ssl(ssl);
  if (!t->has_signature) return ssl_private_key_retry;
  if (t->signature_len > max_out) return ssl_private_key_failure;
  memcpy(out, t->signature, t->signature_len);
  *out_len = t->signature_len;
  t->has_signature = 0;
  return ssl_private_key_success;
}

static const SSL_PRIVATE_KEY_METHOD key_method = {on_sign, NULL, on_sign_complete};

// Keys of ours.

// A key of ours signs in a crossing of its own. Go's monitor takes the processor away from a thread that it finds in the same
// crossing twice, and looks again and again once it has: with X25519 and P-256 in one crossing that is a tenth of a handshake's
// cost, and in two it hardly happens.

static pthread_mutex_t key_index_mutex = PTHREAD_MUTEX_INITIALIZER;
static int key_index = -1;  // of a credential's EVP_PKEY; once it is there it does not change

static void free_key(void *parent, void *key, CRYPTO_EX_DATA *ad, int index, long argl, void *argp) { EVP_PKEY_free(key); }

// make_key_index tries again if memory was short the last time.
static int make_key_index(void) {
  pthread_mutex_lock(&key_index_mutex);
  if (key_index < 0) key_index = SSL_CREDENTIAL_get_ex_new_index(0, NULL, NULL, NULL, free_key);
  int ok = key_index >= 0;
  pthread_mutex_unlock(&key_index_mutex);
  return ok;
}

static int own_sign(EVP_PKEY *key, uint16_t sigalg, uint8_t *out, size_t *out_len, const uint8_t *in, size_t in_len) {
  EVP_MD_CTX ctx;
  EVP_PKEY_CTX *pctx;
  EVP_MD_CTX_init(&ctx);
  int ok = EVP_DigestSignInit(&ctx, &pctx, SSL_get_signature_algorithm_digest(sigalg), NULL, key);
  if (ok && SSL_is_signature_algorithm_rsa_pss(sigalg)) {
    ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST);
  }
  ok = ok && EVP_DigestSign(&ctx, out, out_len, in, in_len);
  EVP_MD_CTX_cleanup(&ctx);
  return ok;
}

static enum ssl_private_key_result_t on_own_sign(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out, uint16_t sigalg,
                                                 const uint8_t *in, size_t in_len) {
  bq_tls *t = bq_of_ssl(ssl);
  if (!bq_replace(&t->signature, &t->signature_len, in, in_len)) return ssl_private_key_failure;
  t->sigalg = sigalg;
  t->sign_due = 1;
  return ssl_private_key_retry;
}

static enum ssl_private_key_result_t on_own_sign_complete(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out) {
  bq_tls *t = bq_of_ssl(ssl);
  EVP_PKEY *key = SSL_CREDENTIAL_get_ex_data(SSL_get0_selected_credential(ssl), key_index);
  *out_len = max_out;
  int ok = own_sign(key, t->sigalg, out, out_len, t->signature, t->signature_len);
  bq_replace(&t->signature, &t->signature_len, NULL, 0);
  t->sign_due = 0;
  return ok ? ssl_private_key_success : ssl_private_key_failure;
}

static const SSL_PRIVATE_KEY_METHOD own_key_method = {on_own_sign, NULL, on_own_sign_complete};

// What a credential is made of.

// read_chain fills out with the certificates in data, each after its 24-bit length, and tells how many; -1 if it cannot.
static int read_chain(CRYPTO_BUFFER **out, const uint8_t *data, size_t len) {
  CBS cbs, one;
  CBS_init(&cbs, data, len);
  int n = 0;
  while (CBS_len(&cbs) > 0) {
    int ok = CBS_get_u24_length_prefixed(&cbs, &one);
    if (ok && n < MAX_CERTS) out[n] = CRYPTO_BUFFER_new_from_CBS(&one, NULL);
    if (!ok || n == MAX_CERTS || out[n] == NULL) {
      while (n > 0) CRYPTO_BUFFER_free(out[--n]);
      return -1;
    }
    n++;
  }
  return n;
}

static int set_chain(SSL_CREDENTIAL *cred, const uint8_t *chain, size_t len) {
  CRYPTO_BUFFER *certs[MAX_CERTS];
  int n = read_chain(certs, chain, len);
  if (n < 0) return 0;
  int ok = SSL_CREDENTIAL_set1_cert_chain(cred, certs, (size_t)n);
  while (n > 0) CRYPTO_BUFFER_free(certs[--n]);
  return ok;
}

static int set_key(SSL_CREDENTIAL *cred, const uint8_t *key, size_t len) {
  if (len == 0) return SSL_CREDENTIAL_set_private_key_method(cred, &key_method);
  CBS cbs;
  CBS_init(&cbs, key, len);
  EVP_PKEY *pkey = EVP_parse_private_key(&cbs);
  // The first of the two setters checks that certificate and key are a pair.
  int ok = pkey != NULL && SSL_CREDENTIAL_set1_private_key(cred, pkey) &&
           SSL_CREDENTIAL_set_private_key_method(cred, &own_key_method) && make_key_index() &&
           SSL_CREDENTIAL_set_ex_data(cred, key_index, pkey);
  if (!ok) EVP_PKEY_free(pkey);
  return ok;
}

static int set_staples(SSL_CREDENTIAL *cred, const uint8_t *ocsp, size_t ocsp_len, const uint8_t *scts,
                       size_t scts_len) {
  int ok = 1;
  if (ocsp_len > 0) {
    CRYPTO_BUFFER *b = CRYPTO_BUFFER_new(ocsp, ocsp_len, NULL);
    ok = b != NULL && SSL_CREDENTIAL_set1_ocsp_response(cred, b);
    CRYPTO_BUFFER_free(b);
  }
  if (ok && scts_len > 0) {
    CRYPTO_BUFFER *b = CRYPTO_BUFFER_new(scts, scts_len, NULL);
    ok = b != NULL && SSL_CREDENTIAL_set1_signed_cert_timestamp_list(cred, b);
    CRYPTO_BUFFER_free(b);
  }
  return ok;
}

bq_cred *bq_cred_new(const uint8_t *chain, size_t chain_len, const uint8_t *key, size_t key_len, const uint8_t *ocsp,
                     size_t ocsp_len, const uint8_t *scts, size_t scts_len, const uint16_t *sigalgs, size_t num_sigalgs,
                     uint8_t *text, size_t text_len) {
  ERR_clear_error();
  SSL_CREDENTIAL *cred = SSL_CREDENTIAL_new_x509();
  if (cred != NULL && set_chain(cred, chain, chain_len) && set_key(cred, key, key_len) &&
      set_staples(cred, ocsp, ocsp_len, scts, scts_len) &&
      (num_sigalgs == 0 || SSL_CREDENTIAL_set1_signing_algorithm_prefs(cred, sigalgs, num_sigalgs))) {
    bq_count(1);
    return (bq_cred *)cred;
  }
  bq_read_error((char *)text, text_len);
  ERR_clear_error();
  SSL_CREDENTIAL_free(cred);
  return NULL;
}

void bq_cred_free(bq_cred *cred) {
  SSL_CREDENTIAL_free((SSL_CREDENTIAL *)cred);
  bq_count(-1);
}

uint64_t bq_cred_id(const bq_cred *cred) { return (uint64_t)(uintptr_t)cred; }
