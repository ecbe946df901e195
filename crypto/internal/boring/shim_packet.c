#include "compat.h"

#include "shim_packet.h"

#include <string.h>

#include <openssl/aead.h>
#include <openssl/aes.h>
#include <openssl/chacha.h>
#include <openssl/cipher.h>
#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/hkdf.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>

enum {
  TAG_LEN = 16,
  IV_LEN = 12,
  SAMPLE_LEN = 16,
  MAX_PN_LEN = 4,
  MAX_SECRET_LEN = 48,
  MAX_KEY_LEN = 32,
  BATCH = 64,         // packets whose header-protection masks are computed together
  MIN_AES_BATCH = 6,  // masks for which setting up a cipher call for all pays
};

static const int64_t MAX_PN = ((int64_t)1 << 62) - 1;

// An AEAD key with its IV.
typedef struct {
  EVP_AEAD_CTX aead;
  uint8_t iv[IV_LEN];
} packet_key;

// A header-protection key (RFC 9001, section 5.4). An AES key is kept as it is: to expand it takes less time than a block,
// and expanded it takes 244 bytes.
typedef struct {
  uint8_t raw[MAX_KEY_LEN];
  uint8_t len;
  uint8_t is_chacha;
} header_key;

struct bq_keys {
  packet_key *read[BQ_SLOTS], *write[BQ_SLOTS];
  header_key *read_header[BQ_SLOTS], *write_header[BQ_SLOTS];
  // 1-RTT only: the read keys before and after the current one (RFC 9001, section 6.3).
  packet_key *previous_read, *next_read;
  int64_t first_pn;  // the lowest packet number seen under the current read key
  uint32_t read_gen, write_gen;
};

static int64_t live;

int64_t bq_packet_live(void) { return __atomic_load_n(&live, __ATOMIC_RELAXED); }

static void *new_cleared(size_t size) {
  void *p = OPENSSL_zalloc(size);
  if (p != NULL) __atomic_add_fetch(&live, 1, __ATOMIC_RELAXED);
  return p;
}

// free_cleansed frees what new_cleared made; OPENSSL_free overwrites it.
static void free_cleansed(void *p) {
  if (p == NULL) return;
  OPENSSL_free(p);
  __atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
}

static void free_packet_key(packet_key **key) {
  if (*key != NULL) EVP_AEAD_CTX_cleanup(&(*key)->aead);
  free_cleansed(*key);
  *key = NULL;
}

static void free_header_key(header_key **key) {
  free_cleansed(*key);
  *key = NULL;
}

bq_keys *bq_keys_new(void) { return new_cleared(sizeof(bq_keys)); }

void bq_keys_free(bq_keys *k) {
  if (k == NULL) return;
  for (int slot = 0; slot < BQ_SLOTS; slot++) bq_keys_drop(k, slot);
  free_cleansed(k);
}

void bq_keys_drop_previous(bq_keys *k) { free_packet_key(&k->previous_read); }

void bq_keys_rest(bq_keys *k) {
  free_packet_key(&k->read[BQ_ONE_RTT]);
  free_packet_key(&k->next_read);
  free_packet_key(&k->write[BQ_ONE_RTT]);
}

void bq_keys_drop(bq_keys *k, int slot) {
  free_packet_key(&k->read[slot]);
  free_packet_key(&k->write[slot]);
  free_header_key(&k->read_header[slot]);
  free_header_key(&k->write_header[slot]);
  if (slot == BQ_ONE_RTT) {
    free_packet_key(&k->previous_read);
    free_packet_key(&k->next_read);
  }
}

// Derivation.

typedef struct {
  const EVP_AEAD *aead;
  const EVP_MD *hash;
  size_t key_len;
  int is_chacha;
} suite_params;

static int find_suite(uint16_t suite, suite_params *out) {
  switch (suite) {
    case 0x1301:
      *out = (suite_params){EVP_aead_aes_128_gcm(), EVP_sha256(), 16, 0};
      return 1;
    case 0x1302:
      *out = (suite_params){EVP_aead_aes_256_gcm(), EVP_sha384(), 32, 0};
      return 1;
    case 0x1303:
      *out = (suite_params){EVP_aead_chacha20_poly1305(), EVP_sha256(), 32, 1};
      return 1;
  }
  return 0;
}

// The longest HkdfLabel of RFC 8446, section 7.1, in bytes, and HKDF-Expand's counter behind it (RFC 5869, section 2.3).
enum { MAX_INFO = 2 + 1 + 255 + 1 + 255 + 1 };

// label_info writes an HkdfLabel to info and returns its length, 0 if a part of it is too long.
static size_t label_info(uint8_t info[MAX_INFO], size_t out_len, const uint8_t *label, size_t label_len,
                         const uint8_t *context, size_t context_len) {
  static const char prefix[] = "tls13 ";
  const size_t prefix_len = sizeof prefix - 1;
  size_t n = 0;
  if (out_len > 0xffff || prefix_len + label_len > 255 || context_len > 255) return 0;
  info[n++] = (uint8_t)(out_len >> 8);
  info[n++] = (uint8_t)out_len;
  info[n++] = (uint8_t)(prefix_len + label_len);
  memcpy(info + n, prefix, prefix_len);
  n += prefix_len;
  if (label_len > 0) memcpy(info + n, label, label_len);
  n += label_len;
  info[n++] = (uint8_t)context_len;
  if (context_len > 0) memcpy(info + n, context, context_len);
  return n + context_len;
}

// key_mac has mac stand for HMAC under a secret of the hash's length. To key it takes as long as a derivation, and several are made
// of each secret.
static int key_mac(HMAC_CTX *mac, const EVP_MD *hash, const uint8_t *secret) {
  return HMAC_Init_ex(mac, secret, EVP_MD_size(hash), hash, NULL);
}

// expand derives out_len bytes, at most one hash, which is HKDF-Expand's first and only block.
static int expand(HMAC_CTX *mac, uint8_t *out, size_t out_len, const char *label) {
  uint8_t info[MAX_INFO], block[EVP_MAX_MD_SIZE];
  size_t n = label_info(info, out_len, (const uint8_t *)label, strlen(label), NULL, 0);
  info[n++] = 1;
  unsigned len = 0;
  int ok = HMAC_Init_ex(mac, NULL, 0, NULL, NULL) && HMAC_Update(mac, info, n) && HMAC_Final(mac, block, &len) &&
           out_len <= len;
  if (ok) memcpy(out, block, out_len);
  OPENSSL_cleanse(block, sizeof block);
  return ok;
}

// The labels of a version's keys.
typedef struct {
  const char *key, *iv, *hp, *ku;
} labels;

static const labels all_labels[] = {
    {"quic key", "quic iv", "quic hp", "quic ku"},          // RFC 9001, sections 5.1, 5.4 and 6.1
    {"quicv2 key", "quicv2 iv", "quicv2 hp", "quicv2 ku"},  // RFC 9369, section 3.3.2
};

static const labels *labels_of(int version) {
  return &all_labels[version == BQ_LABELS_V2];
}

static packet_key *derive_packet_key(const suite_params *s, const labels *l, HMAC_CTX *mac) {
  uint8_t raw[MAX_KEY_LEN];
  packet_key *key = new_cleared(sizeof *key);
  if (key == NULL) return NULL;
  EVP_AEAD_CTX_zero(&key->aead);
  int ok = expand(mac, raw, s->key_len, l->key) && expand(mac, key->iv, IV_LEN, l->iv) &&
           EVP_AEAD_CTX_init(&key->aead, s->aead, raw, s->key_len, TAG_LEN, NULL);
  OPENSSL_cleanse(raw, sizeof raw);
  if (!ok) free_packet_key(&key);
  return key;
}

static header_key *derive_header_key(const suite_params *s, const labels *l, HMAC_CTX *mac) {
  header_key *key = new_cleared(sizeof *key);
  if (key == NULL) return NULL;
  key->len = (uint8_t)s->key_len;
  key->is_chacha = (uint8_t)s->is_chacha;
  if (!expand(mac, key->raw, s->key_len, l->hp)) free_header_key(&key);
  return key;
}

// derive_key makes the packet key of a secret alone.
static packet_key *derive_key(const suite_params *s, const labels *l, const uint8_t *secret) {
  HMAC_CTX mac;
  HMAC_CTX_init(&mac);
  packet_key *key = key_mac(&mac, s->hash, secret) ? derive_packet_key(s, l, &mac) : NULL;
  HMAC_CTX_cleanup(&mac);
  return key;
}

// derive_secret derives the successor of a secret (RFC 9001, section 6.1: secret_<n+1> = HKDF-Expand-Label(secret_<n>, "quic ku", "",
// Hash.length), with version 2's label in version 2).
static int derive_secret(const suite_params *s, const labels *l, const uint8_t *secret, uint8_t next[MAX_SECRET_LEN]) {
  HMAC_CTX mac;
  HMAC_CTX_init(&mac);
  int ok = key_mac(&mac, s->hash, secret) && expand(&mac, next, EVP_MD_size(s->hash), l->ku);
  HMAC_CTX_cleanup(&mac);
  return ok;
}

// derive_next makes the packet key of a secret's successor.
static packet_key *derive_next(const suite_params *s, const labels *l, const uint8_t *secret) {
  uint8_t next[MAX_SECRET_LEN];
  packet_key *key = derive_secret(s, l, secret, next) ? derive_key(s, l, next) : NULL;
  OPENSSL_cleanse(next, sizeof next);
  return key;
}

int bq_keys_install(bq_keys *k, int version, int write, int slot, uint16_t suite, const uint8_t *secret, size_t secret_len) {
  suite_params s;
  if (slot < 0 || slot >= BQ_SLOTS || !find_suite(suite, &s) || secret_len != EVP_MD_size(s.hash)) return 0;
  const labels *l = labels_of(version);
  const int updates = slot == BQ_ONE_RTT && !write;
  packet_key *key = NULL, *next = NULL;
  header_key *header = NULL;
  HMAC_CTX mac;
  HMAC_CTX_init(&mac);
  int ok = key_mac(&mac, s.hash, secret) && (key = derive_packet_key(&s, l, &mac)) != NULL &&
           (header = derive_header_key(&s, l, &mac)) != NULL;
  HMAC_CTX_cleanup(&mac);
  if (ok && updates) ok = (next = derive_next(&s, l, secret)) != NULL;
  if (!ok) {
    free_packet_key(&key);
    free_packet_key(&next);
    free_header_key(&header);
    ERR_clear_error();
    return 0;
  }
  packet_key **key_place = write ? &k->write[slot] : &k->read[slot];
  header_key **header_place = write ? &k->write_header[slot] : &k->read_header[slot];
  free_packet_key(key_place);
  free_header_key(header_place);
  *key_place = key;
  *header_place = header;
  if (updates) {
    free_packet_key(&k->previous_read);
    free_packet_key(&k->next_read);
    k->next_read = next;
    k->read_gen = 0;
    k->first_pn = 0;
  } else if (slot == BQ_ONE_RTT) {
    k->write_gen = 0;
  }
  return 1;
}

int bq_keys_install_initial(bq_keys *k, int version, const uint8_t *salt, size_t salt_len, const uint8_t *dcid,
                            size_t dcid_len, int client) {
  const EVP_MD *hash = EVP_sha256();
  uint8_t initial[EVP_MAX_MD_SIZE], ours[32], theirs[32];
  size_t len = 0;
  HMAC_CTX mac;
  HMAC_CTX_init(&mac);
  int ok = HKDF_extract(initial, &len, hash, dcid, dcid_len, salt, salt_len) && key_mac(&mac, hash, initial) &&
           expand(&mac, ours, sizeof ours, client ? "client in" : "server in") &&
           expand(&mac, theirs, sizeof theirs, client ? "server in" : "client in") &&
           bq_keys_install(k, version, 1, BQ_INITIAL, 0x1301, ours, sizeof ours) &&
           bq_keys_install(k, version, 0, BQ_INITIAL, 0x1301, theirs, sizeof theirs);
  HMAC_CTX_cleanup(&mac);
  OPENSSL_cleanse(initial, sizeof initial);
  OPENSSL_cleanse(ours, sizeof ours);
  OPENSSL_cleanse(theirs, sizeof theirs);
  return ok;
}

// advance replaces a secret by its successor and returns the key that make derives of that, NULL if it cannot: then secret is as before.
static packet_key *advance(const suite_params *s, const labels *l, uint8_t *secret, packet_key *make(const suite_params *, const labels *, const uint8_t *)) {
  uint8_t next[MAX_SECRET_LEN];
  packet_key *key = derive_secret(s, l, secret, next) ? make(s, l, next) : NULL;
  if (key != NULL) memcpy(secret, next, EVP_MD_size(s->hash));
  OPENSSL_cleanse(next, sizeof next);
  if (key == NULL) ERR_clear_error();
  return key;
}

int bq_keys_advance_read(bq_keys *k, int version, uint16_t suite, uint8_t *secret, size_t secret_len, int64_t first_pn) {
  suite_params s;
  if (!find_suite(suite, &s) || secret_len != EVP_MD_size(s.hash) || k->next_read == NULL) return 0;
  packet_key *next = advance(&s, labels_of(version), secret, derive_next);
  if (next == NULL) return 0;
  free_packet_key(&k->previous_read);
  k->previous_read = k->read[BQ_ONE_RTT];
  k->read[BQ_ONE_RTT] = k->next_read;
  k->next_read = next;
  k->first_pn = first_pn;
  k->read_gen++;
  return 1;
}

int bq_keys_wake(bq_keys *k, int version, int write, uint16_t suite, const uint8_t *secret, size_t secret_len) {
  suite_params s;
  if (!find_suite(suite, &s) || secret_len != EVP_MD_size(s.hash)) return 0;
  const labels *l = labels_of(version);
  packet_key *key = derive_key(&s, l, secret), *next = write ? NULL : derive_next(&s, l, secret);
  if (key == NULL || (!write && next == NULL)) {
    free_packet_key(&key);
    free_packet_key(&next);
    ERR_clear_error();
    return 0;
  }
  packet_key **place = write ? &k->write[BQ_ONE_RTT] : &k->read[BQ_ONE_RTT];
  free_packet_key(place);
  *place = key;
  if (!write) {
    free_packet_key(&k->next_read);
    k->next_read = next;
  }
  return 1;
}

int bq_keys_advance_write(bq_keys *k, int version, uint16_t suite, uint8_t *secret, size_t secret_len) {
  suite_params s;
  if (!find_suite(suite, &s) || secret_len != EVP_MD_size(s.hash) || k->write[BQ_ONE_RTT] == NULL) return 0;
  packet_key *key = advance(&s, labels_of(version), secret, derive_key);
  if (key == NULL) return 0;
  free_packet_key(&k->write[BQ_ONE_RTT]);
  k->write[BQ_ONE_RTT] = key;
  k->write_gen++;
  return 1;
}

// Header protection (RFC 9001, section 5.4).

static void chacha_mask(const header_key *key, uint8_t *mask) {
  static const uint8_t zero[5];
  const uint32_t counter =
      (uint32_t)mask[0] | (uint32_t)mask[1] << 8 | (uint32_t)mask[2] << 16 | (uint32_t)mask[3] << 24;
  uint8_t nonce[12];
  memcpy(nonce, mask + 4, sizeof nonce);
  CRYPTO_chacha_20(mask, zero, sizeof zero, key->raw, nonce, counter);
}

// aes_masks encrypts n blocks in one call, in which they overlap in the processor.
static int aes_masks(const header_key *key, uint8_t *masks, size_t n) {
  EVP_CIPHER_CTX ctx;
  int len;
  EVP_CIPHER_CTX_init(&ctx);
  int ok = EVP_EncryptInit_ex(&ctx, key->len == 16 ? EVP_aes_128_ecb() : EVP_aes_256_ecb(), NULL, key->raw, NULL) &&
           EVP_CIPHER_CTX_set_padding(&ctx, 0) &&
           EVP_EncryptUpdate(&ctx, masks, &len, masks, (int)(n * SAMPLE_LEN));
  EVP_CIPHER_CTX_cleanup(&ctx);
  return ok;
}

// header_masks turns n samples of packets under one key into their masks.
static void header_masks(const header_key *key, uint8_t masks[][SAMPLE_LEN], size_t n) {
  if (key->is_chacha) {
    for (size_t i = 0; i < n; i++) chacha_mask(key, masks[i]);
    return;
  }
  if (n >= MIN_AES_BATCH && aes_masks(key, masks[0], n)) return;
  AES_KEY aes;
  AES_set_encrypt_key(key->raw, (unsigned)key->len * 8, &aes);
  for (size_t i = 0; i < n; i++) AES_encrypt(masks[i], masks[i], &aes);
  OPENSSL_cleanse(&aes, sizeof aes);
}

// take_sample copies the sample of a packet, which lies as if its packet number had four bytes.
static void take_sample(uint8_t *mask, const uint8_t *packet, size_t pn_off) {
  memcpy(mask, packet + pn_off + MAX_PN_LEN, SAMPLE_LEN);
}

static uint8_t first_byte_mask(uint8_t first) { return first & 0x80 ? 0x0f : 0x1f; }

// The nonce is the IV with the packet number exclusive-ored into its end (RFC 9001, section 5.3), and the path ID, which
// is 0 as long as there is one path, into its beginning.
static void make_nonce(uint8_t nonce[IV_LEN], const uint8_t *iv, uint32_t path_id, int64_t pn) {
  memcpy(nonce, iv, IV_LEN);
  for (int i = 0; i < 4; i++) nonce[3 - i] ^= (uint8_t)(path_id >> (8 * i));
  for (int i = 0; i < 8; i++) nonce[11 - i] ^= (uint8_t)((uint64_t)pn >> (8 * i));
}

// RFC 9000, appendix A.3.
static int64_t decode_pn(int64_t largest, uint32_t truncated, int pn_len) {
  const int64_t expected = largest + 1;
  const int64_t window = (int64_t)1 << (8 * pn_len);
  const int64_t candidate = (expected & ~(window - 1)) | truncated;
  if (candidate <= expected - window / 2 && candidate <= MAX_PN - window) return candidate + window;
  if (candidate > expected + window / 2 && candidate >= window) return candidate - window;
  return candidate;
}

// The way in.

// choose_read_key picks the key for an unmasked packet and tells its generation. A 1-RTT packet of the other key phase
// is an old one if its number lies below the current generation's first, else it begins the next (RFC 9001, section 6.5).
// In place of an old key that is gone stands the next one, so that such a packet takes the same time to fail (section 9.5).
static const packet_key *choose_read_key(const bq_keys *k, bq_open_desc *d) {
  d->gen = 0;
  if (d->slot != BQ_ONE_RTT) return k->read[d->slot];
  const uint32_t phase = (d->first >> 2) & 1;
  if (phase == (k->read_gen & 1)) {
    d->gen = k->read_gen;
    return k->read[BQ_ONE_RTT];
  }
  if (k->previous_read != NULL && d->pn < k->first_pn) {
    d->gen = k->read_gen - 1;
    return k->previous_read;
  }
  d->gen = k->read_gen + 1;
  return k->next_read;
}

static int open_packet(const bq_keys *k, uint8_t *packet, const uint8_t *mask, bq_open_desc *d) {
  packet[0] ^= mask[0] & first_byte_mask(packet[0]);
  d->first = packet[0];
  d->pn_len = (packet[0] & 3) + 1;
  uint8_t *pn = packet + d->pn_off;
  uint32_t truncated = 0;
  for (int i = 0; i < d->pn_len; i++) {
    pn[i] ^= mask[1 + i];
    truncated = truncated << 8 | pn[i];
  }
  d->pn = decode_pn(d->largest, truncated, d->pn_len);
  const packet_key *key = choose_read_key(k, d);

  uint8_t nonce[IV_LEN];
  make_nonce(nonce, key->iv, d->path_id, d->pn);
  const size_t header_len = (size_t)d->pn_off + d->pn_len;
  uint8_t *payload = packet + header_len;
  const size_t sealed_len = d->len - header_len;
  size_t out_len;
  // With max_out without the tag, a failure clears the payload and leaves the last 16 bytes, which may be a stateless
  // reset token.
  const int ok = EVP_AEAD_CTX_open(&key->aead, payload, &out_len, sealed_len - TAG_LEN, nonce, IV_LEN, payload, sealed_len,
                                   packet, header_len);
  return ok && d->pn <= MAX_PN ? BQ_OPENED : BQ_FAILED;
}

static int check_open(const bq_keys *k, size_t buf_len, const bq_open_desc *d) {
  if ((uint64_t)d->off + d->len > buf_len || d->pn_off == 0 ||
      d->len < (uint32_t)d->pn_off + MAX_PN_LEN + SAMPLE_LEN || d->slot >= BQ_SLOTS || d->largest < -1 ||
      d->largest > MAX_PN) {
    return BQ_TOO_SHORT;
  }
  // Without the next 1-RTT key the current one is as good as gone, so that nothing depends on the key phase.
  if (k->read[d->slot] == NULL || (d->slot == BQ_ONE_RTT && k->next_read == NULL)) return BQ_NO_KEY;
  return BQ_OPENED;
}

void bq_open(const bq_keys *k, uint8_t *buf, size_t buf_len, bq_open_desc *d, size_t n) {
  uint8_t masks[BATCH][SAMPLE_LEN];
  int failed = 0;
  while (n > 0) {
    const size_t batch = n < BATCH ? n : BATCH;
    size_t run = 0;  // the first packet of those of one key whose masks are to be computed
    for (size_t i = 0; i < batch; i++) {
      d[i].status = (uint8_t)check_open(k, buf_len, &d[i]);
      const int same = d[i].status == BQ_OPENED && (i == run || d[i].slot == d[run].slot);
      if (!same) {
        if (i > run) header_masks(k->read_header[d[run].slot], masks + run, i - run);
        run = d[i].status == BQ_OPENED ? i : i + 1;
      }
      if (d[i].status == BQ_OPENED) take_sample(masks[i], buf + d[i].off, d[i].pn_off);
    }
    if (batch > run) header_masks(k->read_header[d[run].slot], masks + run, batch - run);
    for (size_t i = 0; i < batch; i++) {
      if (d[i].status != BQ_OPENED) continue;
      d[i].status = (uint8_t)open_packet(k, buf + d[i].off, masks[i], &d[i]);
      failed |= d[i].status == BQ_FAILED;
    }
    d += batch;
    n -= batch;
  }
  if (failed) ERR_clear_error();
}

// The way out.

// check_piece tells whether a packet's data lies in its piece, and room for the prefix before it.
static int check_piece(const bq_seal_desc *d, const bq_pieces *pieces) {
  if (d->piece == 0) return 1;
  const size_t payload = d->len - d->pn_off - d->pn_len - TAG_LEN;
  return d->piece <= BQ_PIECES && d->prefix <= BQ_MAX_PREFIX && d->prefix <= d->piece_off && d->prefix <= payload &&
         d->piece_off + (payload - d->prefix) <= pieces->len[d->piece - 1];
}

static int check_seal(const bq_keys *k, const uint8_t *buf, size_t buf_len, const bq_seal_desc *d) {
  return (uint64_t)d->off + d->len <= buf_len && d->pn_off > 0 && d->pn_len >= 1 && d->pn_len <= MAX_PN_LEN &&
         d->len >= (uint32_t)d->pn_off + MAX_PN_LEN + SAMPLE_LEN && d->slot < BQ_SLOTS && k->write[d->slot] != NULL &&
         (d->slot != BQ_ONE_RTT || d->gen == k->write_gen) && d->pn >= 0 && d->pn <= MAX_PN &&
         (buf[d->off] & 3) + 1 == d->pn_len;
}

// A payload in two parts is sealed where its larger part lies. EVP_AEAD_CTX_sealv would take the parts, but of 1,200 bytes that costs
// 8 % more with AES-GCM, and 60 % more with ChaCha20-Poly1305, whose fast code is for one part alone.
static int seal_packet(const packet_key *key, uint8_t *packet, const bq_seal_desc *d, const bq_pieces *pieces) {
  uint8_t nonce[IV_LEN];
  make_nonce(nonce, key->iv, d->path_id, d->pn);
  const size_t header_len = (size_t)d->pn_off + d->pn_len;
  uint8_t *payload = packet + header_len;
  const size_t sealed_len = d->len - header_len;
  uint8_t *in = payload, displaced[BQ_MAX_PREFIX];
  if (d->piece != 0) {
    in = pieces->at[d->piece - 1] + d->piece_off - d->prefix;
    memcpy(displaced, in, d->prefix);
    memcpy(in, payload, d->prefix);
  }
  size_t out_len;
  const int ok = EVP_AEAD_CTX_seal(&key->aead, payload, &out_len, sealed_len, nonce, IV_LEN, in, sealed_len - TAG_LEN,
                                   packet, header_len);
  if (d->piece != 0) memcpy(in, displaced, d->prefix);
  return ok;
}

static void protect_header(uint8_t *packet, const uint8_t *mask, const bq_seal_desc *d) {
  packet[0] ^= mask[0] & first_byte_mask(packet[0]);
  for (int i = 0; i < d->pn_len; i++) packet[d->pn_off + i] ^= mask[1 + i];
}

int bq_seal(const bq_keys *k, uint8_t *buf, size_t buf_len, const bq_seal_desc *d, size_t n, bq_pieces pieces) {
  uint8_t masks[BATCH][SAMPLE_LEN];
  for (size_t i = 0; i < n; i++) {
    if (!check_seal(k, buf, buf_len, &d[i]) || !check_piece(&d[i], &pieces)) return 0;
  }
  while (n > 0) {
    const size_t batch = n < BATCH ? n : BATCH;
    for (size_t i = 0; i < batch; i++) {
      if (!seal_packet(k->write[d[i].slot], buf + d[i].off, &d[i], &pieces)) {
        ERR_clear_error();
        return 0;
      }
    }
    for (size_t i = 0, run = 0; i < batch; i++) {
      take_sample(masks[i], buf + d[i].off, d[i].pn_off);
      if (i + 1 == batch || d[i + 1].slot != d[run].slot) {
        header_masks(k->write_header[d[run].slot], masks + run, i + 1 - run);
        run = i + 1;
      }
    }
    for (size_t i = 0; i < batch; i++) protect_header(buf + d[i].off, masks[i], &d[i]);
    d += batch;
    n -= batch;
  }
  return 1;
}

// Single calls.

int bq_retry_tag(const uint8_t *key, const uint8_t *nonce, const uint8_t *pseudo, size_t len, uint8_t *tag) {
  EVP_AEAD_CTX aead;
  size_t out_len = 0;
  uint8_t empty = 0;
  EVP_AEAD_CTX_zero(&aead);
  int ok = EVP_AEAD_CTX_init(&aead, EVP_aead_aes_128_gcm(), key, 16, TAG_LEN, NULL) &&
           EVP_AEAD_CTX_seal(&aead, tag, &out_len, TAG_LEN, nonce, IV_LEN, &empty, 0, pseudo, len) &&
           out_len == TAG_LEN;
  EVP_AEAD_CTX_cleanup(&aead);
  if (!ok) ERR_clear_error();
  return ok;
}

int bq_expand_label(size_t hash_len, uint8_t *out, size_t out_len, const uint8_t *secret, size_t secret_len,
                    const uint8_t *label, size_t label_len, const uint8_t *context, size_t context_len) {
  const EVP_MD *hash = hash_len == 48 ? EVP_sha384() : EVP_sha256();
  uint8_t info[MAX_INFO];
  const size_t n = label_info(info, out_len, label, label_len, context, context_len);
  int ok = n > 0 && HKDF_expand(out, out_len, hash, secret, secret_len, info, n);
  if (!ok) ERR_clear_error();
  return ok;
}
