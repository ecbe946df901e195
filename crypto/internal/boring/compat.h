// The only place that knows one BoringSSL from another. Every C file includes it first, and cgo.go, so that cgo stops at
// what is wrong here before a C file is compiled.
#ifndef BORINGQUIC_COMPAT_H
#define BORINGQUIC_COMPAT_H

// build.sh writes the key of the build here, where Go's build cache sees it change; or, for another build, gives it with the flags.
#if !defined(BORINGQUIC_BUILD_KEY) && __has_include("build_key.h")
#include "build_key.h"
#endif

// What build.sh puts beside BoringSSL's headers: the symbol prefix, if any, and the name of the archive's key.
#if !__has_include("boringquic_key.h")
#error "BoringSSL is not built: run ./build.sh in boringquic's tree, or, where that is read-only, bash build.sh install"
#else
#include "boringquic_key.h"
#include <openssl/opensslv.h> // OpenSSL has it too, so that it tells whose headers are found first
#if !defined(OPENSSL_IS_BORINGSSL)
#error "OpenSSL's headers are in the way of BoringSSL's: take their -I out of CGO_CFLAGS, or run bash build.sh env"
#elif BORINGSSL_API_VERSION < 41
#error "this BoringSSL is too old: boringquic needs API version 41; run ./build.sh without BORINGQUIC_BSSL_PATH"
#endif
#endif

#endif
