// Packet protection of QUIC (RFC 9001, section 5): keys of one connection, opened and sealed a train at a time.
#ifndef BORINGQUIC_SHIM_PACKET_H
#define BORINGQUIC_SHIM_PACKET_H

#include <stddef.h>
#include <stdint.h>

// The encryption levels, by the number that crypto/protect gives them.
enum { BQ_INITIAL, BQ_ZERO_RTT, BQ_HANDSHAKE, BQ_ONE_RTT, BQ_SLOTS };

// What became of a packet that was to be opened.
enum { BQ_OPENED, BQ_FAILED, BQ_NO_KEY, BQ_TOO_SHORT };

// One packet to open: the Go struct OpenDesc.
typedef struct {
  int64_t largest;
  int64_t pn;
  uint32_t off;
  uint32_t len;
  uint32_t path_id;
  uint32_t gen;
  uint16_t pn_off;
  uint8_t slot;
  uint8_t status;
  uint8_t pn_len;
  uint8_t first;
  uint8_t reserved[2];
} bq_open_desc;

// Memory that packets of a train have data in, beside the buffer that they lie in.
enum { BQ_PIECES = 8, BQ_MAX_PREFIX = 64 };
typedef struct {
  uint8_t *at[BQ_PIECES];
  size_t len[BQ_PIECES];
} bq_pieces;

// One packet to seal: the Go struct SealDesc.
typedef struct {
  int64_t pn;
  uint32_t off;
  uint32_t len;
  uint32_t path_id;
  uint32_t gen;
  uint16_t pn_off;
  uint8_t slot;
  uint8_t pn_len;
  uint16_t piece_off;
  uint8_t piece;
  uint8_t prefix;
} bq_seal_desc;

typedef struct bq_keys bq_keys;

bq_keys *bq_keys_new(void);
void bq_keys_free(bq_keys *k);

// Every function below that returns int answers 1 for success and 0 for failure, after which the keys are as before.

// What `version` of the functions below may be: whose labels keys are derived with.
enum { BQ_LABELS_V1, BQ_LABELS_V2 };

// bq_keys_install derives key, IV and header-protection key of a secret of TLS cipher suite `suite` and puts them in
// place of what the slot had. For 1-RTT the generation becomes 0, and the read key of generation 1 is made at once, too.
int bq_keys_install(bq_keys *k, int version, int write, int slot, uint16_t suite, const uint8_t *secret, size_t secret_len);

// bq_keys_install_initial makes the Initial keys of both directions (RFC 9001, section 5.2).
int bq_keys_install_initial(bq_keys *k, int version, const uint8_t *salt, size_t salt_len, const uint8_t *dcid,
                            size_t dcid_len, int client);

void bq_keys_drop(bq_keys *k, int slot);

// bq_keys_advance_read makes the next 1-RTT read key the current one and the current one the previous one. first_pn is
// the lowest packet number seen under the new key. secret is that of the current key; it is replaced in place by its successor.
int bq_keys_advance_read(bq_keys *k, int version, uint16_t suite, uint8_t *secret, size_t secret_len, int64_t first_pn);
// bq_keys_advance_write replaces the secret in place by its successor and makes the write key of that.
int bq_keys_advance_write(bq_keys *k, int version, uint16_t suite, uint8_t *secret, size_t secret_len);
void bq_keys_drop_previous(bq_keys *k);
// bq_keys_rest frees the 1-RTT keys but for the previous read key and the small ones of header protection. bq_keys_wake makes those of a direction
// again, from the secret of its current key: one to write, or the current and the next one to read.
void bq_keys_rest(bq_keys *k);
int bq_keys_wake(bq_keys *k, int version, int write, uint16_t suite, const uint8_t *secret, size_t secret_len);

// bq_open removes header protection and packet protection of n packets in buf, in place, and changes no key.
void bq_open(const bq_keys *k, uint8_t *buf, size_t buf_len, bq_open_desc *d, size_t n);
// bq_seal protects n packets in buf. Of a packet with a piece, which is counted from 1, only header and the first `prefix` bytes
// of the payload lie there, and the rest is read from the piece, of which those before piece_off change meanwhile. It checks all
// descriptors before it touches the first packet.
int bq_seal(const bq_keys *k, uint8_t *buf, size_t buf_len, const bq_seal_desc *d, size_t n, bq_pieces pieces);

// bq_retry_tag computes the Retry integrity tag (RFC 9001, section 5.8) of a pseudo-packet.
int bq_retry_tag(const uint8_t *key, const uint8_t *nonce, const uint8_t *pseudo, size_t len, uint8_t *tag);

// bq_expand_label is HKDF-Expand-Label (RFC 8446, section 7.1); hash_len 32 stands for SHA-256, 48 for SHA-384.
int bq_expand_label(size_t hash_len, uint8_t *out, size_t out_len, const uint8_t *secret, size_t secret_len,
                    const uint8_t *label, size_t label_len, const uint8_t *context, size_t context_len);

// bq_packet_live counts the keys in memory of the whole process, for tests.
int64_t bq_packet_live(void);

#endif
