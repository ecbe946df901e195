#!/usr/bin/env bash
# Builds BoringSSL and boringquic; "build.sh --help" tells the rest. Only bash and the usual small tools are assumed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/boringquic
link=$root/third_party/boringssl/prefix
bin=$root/cmd/bin
go_least=1.25
go_install=1.26.8 # for a Debian whose own Go is too old
go_hooks=1.27.4   # whose net/http takes an HTTP/3 of others
symbol_prefix=boringquic
# shellcheck source=third_party/boringssl/PIN
. "$root/third_party/boringssl/PIN"

usage() {
  cat <<'HELP'
Usage: ./build.sh [VERB]

  (no verb)           obtain and build BoringSSL, then every package; the commands go to cmd/bin
  demo                the main job: our server, our client, a file of 100 MB
  test                every test, fuzz seed, nested module and peer
  dnsdist             compile dnsdist of Debian's sources, with libboringquic as its quiche, once, and ask it by DNS over QUIC and
                      HTTP/3; some minutes
  spin [--time D]     random connections, applications and attackers for that long (30s, 10m, 8h; default 10m), from random seeds:
                      in virtual time, and with goroutines and the race detector; ends at the first fault, whose seed it tells
  install [--prefix DIR]
                      put headers and archives where an importing module's build finds them; default /usr/local
  lib [--prefix DIR]  build libboringquic, the library for C, and put it there: an archive, a shared library, headers, files for
                      pkg-config and CMake, which find each other from where they lie; default /usr/local. With BORINGQUIC_BSSL_PATH and shared libraries there (libssl.so,
                      libcrypto.so) it needs those; else BoringSSL is in the shared library, which exports it under its prefix
  docs [--prefix DIR] make a page of the library's headers, in share/doc/boringquic (index.html), as "lib" does where doxygen is there
  env                 print CGO_CFLAGS and CGO_LDFLAGS for a build without "install"
  clean               remove what was built, from this tree and from the cache folder

Variables:
  BORINGQUIC_BSSL_PATH=DIR    use a BoringSSL that you have built
  BORINGQUIC_BSSL_SRC=DIR     build this source tree of BoringSSL in place of the pinned one
  BORINGQUIC_BSSL_PREFIX=NAME the BORINGSSL_PREFIX that BORINGQUIC_BSSL_PATH was built with, if any

install, lib and env work from a read-only tree, such as Go's module cache: bash build.sh env
HELP
}

say() { printf '== %s\n' "$*" >&2; }
die() { printf 'build.sh: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Tools.

# debian tells whether missing tools can be installed here and now.
debian() { [ -f /etc/debian_version ] && [ "$(id -u)" = 0 ] && have apt-get; }

apt_updated=
install_packages() {
  if [ -z "$apt_updated" ]; then
    say "apt-get update"
    DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 || say "apt-get update failed; trying with the lists that there are"
    apt_updated=1
  fi
  say "apt-get install $*"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "$@" >&2
}

# need TOOL PACKAGE has a tool be there. PACKAGE is Debian's.
need() {
  have "$1" && return
  debian || die "$1 is missing: install it (Debian: apt-get install $2)"
  install_packages "$2" || die "$1 is missing, and Debian's package $2 could not be installed"
  have "$1" || die "$1 is missing even with Debian's package $2"
}

# The compilers, as cmake and Go understand the two variables: a command and what it is given first. BoringSSL has its own: see
# choose_compilers.
read -ra cc <<<"${CC:-cc}"
read -ra cxx <<<"${CXX:-c++}"
bssl_cc=("${cc[@]}")
bssl_cxx=("${cxx[@]}")

have_cxx() { have "${cxx[0]}" && have "${cc[0]}"; }

need_cxx() {
  have_cxx && return
  debian || die "a C and a C++ compiler are missing: install them (Debian: apt-get install g++)"
  install_packages g++ libc6-dev || die "no C++ compiler, and Debian's package g++ could not be installed"
  have_cxx || die "CC or CXX names a compiler that is not there: ${cc[*]}, ${cxx[*]}"
}

# choose_compilers has clang build BoringSSL where there is one and nobody names another: from gcc 12, X25519 is a third slower.
choose_compilers() {
  [ -z "${CC:-}${CXX:-}" ] && have clang && have clang++ || return 0
  echo '#include <vector>' | clang++ -x c++ -fsyntax-only - 2>/dev/null || return 0 # without C++'s headers it is of no use
  bssl_cc=(clang)
  bssl_cxx=(clang++)
}

need_cargo() {
  have cargo && return
  if debian; then
    install_packages cargo-web ca-certificates || install_packages cargo ca-certificates || true
  fi
  have cargo || die "cargo is missing, which downloads BoringSSL's source (no Rust is compiled). Three ways on: install cargo 1.70 or
newer (Debian 12: apt-get install cargo-web; Debian 13: cargo), or set BORINGQUIC_BSSL_SRC to a source tree of BoringSSL, or set
BORINGQUIC_BSSL_PATH to one that you have built."
}

need_go() {
  { have go && new_go; } || PATH=/usr/local/go/bin:$PATH # where Go's own instructions put it
  have go || ! debian || install_packages golang-go ca-certificates || true
  have go || die "go is missing: install Go $go_least or newer (https://go.dev/doc/install)"
  new_go || ! debian || install_go
  new_go || die "this is $(go env GOVERSION), and boringquic needs Go $go_least or newer: install it (https://go.dev/doc/install); \
Go 1.21 and newer also fetch it by themselves if GOTOOLCHAIN=auto lets them"
  [ "$(go env CGO_ENABLED)" = 1 ] || die "cgo is off: set CGO_ENABLED=1, and have a C compiler"
}

# new_go tells whether go is new enough. Asked in this tree, Go 1.21 and newer first fetch the toolchain that go.mod wants.
new_go() {
  local v
  v=$(cd "$root" && go env GOVERSION) || return
  v=${v#go}
  [ "$(printf '%s\n%s\n' "$go_least" "${v%%[!0-9.]*}" | sort -V | head -n 1)" = "$go_least" ]
}

# install_go puts Go into /usr/local/go. The old go downloads it, as the module that newer ones use for that too, and so
# checks it with the checksum database of Go modules. That module's go.mod files and modes want mending.
install_go() {
  [ ! -e /usr/local/go ] || return 0
  say "$(go env GOVERSION) is too old: downloading Go $go_install to /usr/local/go"
  local at file
  at=$(cd / && go mod download -json "golang.org/toolchain@v0.0.1-go$go_install.$(go env GOOS)-$(go env GOARCH)") ||
    die "Go could not be downloaded: $at"
  at=$(sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p' <<<"$at")
  chmod -R u+w "$at"
  chmod a+x "$at"/bin/* "$at"/pkg/tool/*/*
  find "$at" -name _go.mod | while read -r file; do mv "$file" "$(dirname "$file")/go.mod"; done
  mv "$at" /usr/local/go
  ln -sf /usr/local/go/bin/go /usr/local/go/bin/gofmt /usr/local/bin/
}

# have_libclang tells whether Debian's libclang is there with its headers: doxygen has it without.
have_libclang() { compgen -G '/usr/lib/llvm-*/lib/libclang.so*' && compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h'; } >/dev/null

need_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null || ! debian || install_packages python3-venv python3-pip; }

sha256() {
  if have sha256sum; then sha256sum "$@"; else shasum -a 256 "$@"; fi | cut -d' ' -f1
}

# with_lock FUNCTION... runs it while no other build.sh does.
with_lock() {
  mkdir -p "$cache"
  if have flock; then
    exec 9>"$cache/lock"
    flock -n 9 || { say "waiting for another build.sh"; flock 9; }
    "$@" 9>&-
    exec 9>&-
  else
    "$@"
  fi
}

# BoringSSL: source.

target() {
  case "$(uname -s)" in
    Linux) echo "$(uname -m)-unknown-linux-gnu" ;;
    Darwin) echo "$(uname -m | sed s/arm64/aarch64/)-apple-darwin" ;;
    FreeBSD) echo "$(uname -m | sed s/amd64/x86_64/)-unknown-freebsd" ;;
    *) die "no BoringSSL is obtained on $(uname -s): set BORINGQUIC_BSSL_SRC or BORINGQUIC_BSSL_PATH" ;;
  esac
}

# fetch obtains the pinned source and sets src.
fetch() {
  src=$cache/source/$BSSL_CRATE_SHA256
  [ -f "$src/.complete" ] && return
  need_cargo
  say "downloading BoringSSL $BSSL_COMMIT (crate $BSSL_CRATE $BSSL_CRATE_VERSION)"
  local manifest=$cache/fetch crate got=none
  mkdir -p "$manifest/src"
  : >"$manifest/src/lib.rs"
  cat >"$manifest/Cargo.toml" <<TOML
[package]
name = "boringquic-fetch"
version = "0.0.0"
edition = "2021"

[dependencies]
$BSSL_CRATE = "=$BSSL_CRATE_VERSION"
TOML
  (cd "$manifest" && cargo fetch --target "$(target)" >&2) || die "$(cargo --version) fetched nothing; 1.70 is the oldest that will do"
  # Cargo keeps a folder for each registry, so that there may be several of that name, and not all what was pinned.
  while IFS= read -r crate; do
    # What is hashed is what is unpacked, whoever writes to cargo's folder meanwhile.
    cp "$crate" "$manifest/crate" || die "$crate could not be copied to $manifest"
    got=$(sha256 "$manifest/crate")
    if [ "$got" = "$BSSL_CRATE_SHA256" ]; then
      unpack "$manifest/crate"
      return
    fi
    say "$crate has SHA-256 $got, and third_party/boringssl/PIN wants $BSSL_CRATE_SHA256: it is not the source that was pinned"
  done < <(find "${CARGO_HOME:-$HOME/.cargo}/registry/cache" -name "$BSSL_CRATE-$BSSL_CRATE_VERSION.crate")
  [ "$got" != none ] || die "cargo fetch left no $BSSL_CRATE-$BSSL_CRATE_VERSION.crate in ${CARGO_HOME:-$HOME/.cargo}"
  die "no $BSSL_CRATE-$BSSL_CRATE_VERSION.crate is the source that was pinned; see above"
}

unpack() {
  rm -rf "$src" "$src.part"
  mkdir -p "$src.part"
  tar -xzf "$1" -C "$src.part" --strip-components=3 "$BSSL_CRATE-$BSSL_CRATE_VERSION/$BSSL_CRATE_FOLDER" ||
    die "$1 could not be unpacked"
  rm -f "$1"
  : >"$src.part/.complete"
  mv "$src.part" "$src"
}

# api_version prints a BoringSSL's API version, from its headers.
api_version() { sed -n 's/^#define BORINGSSL_API_VERSION \([0-9]*\).*/\1/p' "$1/openssl/base.h" "$1/openssl/crypto.h" 2>/dev/null | head -n 1; }

# check_headers DIR WHAT judges headers.
check_headers() {
  [ -f "$1/openssl/ssl.h" ] || die "$2: no openssl/ssl.h in $1"
  grep -q OPENSSL_IS_BORINGSSL "$1/openssl/base.h" 2>/dev/null ||
    die "$2: the headers in $1 are OpenSSL's, not BoringSSL's"
  local api
  api=$(api_version "$1")
  [ "${api:-0}" -ge "$BSSL_API_VERSION" ] ||
    die "$2: this BoringSSL is too old: its API version is ${api:-not to be found}, and $BSSL_API_VERSION is the least"
}

# BoringSSL: build.

compiler() { "${bssl_cc[@]}" --version | head -n 1; "${bssl_cxx[@]}" --version | head -n 1; uname -sm; }

# resolve sets key and prefix, the folder of what was built, for the BoringSSL that the variables name.
resolve() {
  [ -z "${BORINGQUIC_BSSL_PATH:-}" ] || [ -z "${BORINGQUIC_BSSL_SRC:-}" ] ||
    die "BORINGQUIC_BSSL_PATH and BORINGQUIC_BSSL_SRC are both set: set one of them"
  if [ -n "${BORINGQUIC_BSSL_PATH:-}" ]; then
    find_custom
    key=path_$({ sha256 "$custom_ssl" "$custom_crypto"; echo "${BORINGQUIC_BSSL_PREFIX:-}"; tree "$custom/include"; } | digest)
  elif [ -n "${BORINGQUIC_BSSL_SRC:-}" ]; then
    src=$(cd "$BORINGQUIC_BSSL_SRC" 2>/dev/null && pwd -P) ||
      die "BORINGQUIC_BSSL_SRC=$BORINGQUIC_BSSL_SRC: there is no such folder"
    [ -f "$src/CMakeLists.txt" ] || die "BORINGQUIC_BSSL_SRC=$BORINGQUIC_BSSL_SRC: no CMakeLists.txt there: not BoringSSL's source"
    check_headers "$src/include" "BORINGQUIC_BSSL_SRC=$BORINGQUIC_BSSL_SRC"
    need_cxx
    choose_compilers
    key=src_$({ tree "$src"; compiler; recipe; } | digest)
  else
    need_cxx
    choose_compilers
    key=pin_$({ echo "$BSSL_CRATE_SHA256"; compiler; recipe; } | digest)
  fi
  prefix=$cache/prefix/$key
}

digest() { sha256 | cut -c1-20; }

# recipe is what changes the result besides the source and the compiler.
recipe() { cat "$root/CMakeLists.txt"; echo "$symbol_prefix ${CFLAGS:-} ${CXXFLAGS:-} 1"; }

# tree lists a folder's files with their check sums.
tree() { (cd "$1" && find . -name .git -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 cksum); }

# What is taken from BORINGQUIC_BSSL_PATH: archives (a), or shared libraries (so), as "lib" does where there are any.
bssl_form=a

# find_custom finds the archives and headers of BORINGQUIC_BSSL_PATH.
find_custom() {
  local given="BORINGQUIC_BSSL_PATH=$BORINGQUIC_BSSL_PATH"
  custom=$(cd "$BORINGQUIC_BSSL_PATH" 2>/dev/null && pwd -P) || die "$given: there is no such folder"
  custom_ssl=$(custom_archive ssl) || exit
  custom_crypto=$(custom_archive crypto) || exit
  check_headers "$custom/include" "$given"
}

custom_archive() {
  local dir
  for dir in "$custom/build" "$custom/lib" "$custom/build/$1" "$custom"; do
    if [ -f "$dir/lib$1.$bssl_form" ]; then
      echo "$dir/lib$1.$bssl_form"
      return
    fi
  done
  die "BORINGQUIC_BSSL_PATH=$BORINGQUIC_BSSL_PATH: no lib$1.$bssl_form in $custom/build, $custom/lib, $custom/build/$1 or $custom"
}

# boringssl has the BoringSSL that the variables name be built.
boringssl() {
  resolve
  [ -f "$prefix/.complete" ] && return
  with_lock make_prefix
}

make_prefix() {
  [ -f "$prefix/.complete" ] && return
  need_cxx
  need ar binutils
  local part=$prefix.part
  rm -rf "$part"
  mkdir -p "$part/lib" "$part/include"
  if [ -n "${BORINGQUIC_BSSL_PATH:-}" ]; then
    say "taking BoringSSL from $custom"
    cp -R "$custom/include/openssl" "$part/include/"
    if [ "$bssl_form" = so ]; then
      # libboringquic_crypto.a will hold the key alone.
      cp "$custom_ssl" "$custom_crypto" "$part/lib/"
      echo "INPUT(libssl.so libcrypto.so)" >"$part/lib/libboringquic_ssl.so"
    else
      cp "$custom_ssl" "$part/lib/libboringquic_ssl.a"
      cp "$custom_crypto" "$part/lib/libboringquic_crypto.a"
      chmod u+w "$part"/lib/*.a
    fi
    write_key "$part" "${BORINGQUIC_BSSL_PREFIX:-}"
    try_link "$part"
  else
    compile "$part"
    write_key "$part" "$symbol_prefix"
  fi
  : >"$part/.complete"
  rm -rf "$prefix"
  mv "$part" "$prefix"
}

# compile obtains the source, if it is the pinned one, and builds it into a prefix.
compile() {
  need_go # BoringSSL's cmake looks for it
  need cmake cmake
  if ! have ninja && debian; then install_packages ninja-build; fi
  if have ninja; then export CMAKE_GENERATOR=Ninja; else need make make; fi
  [ -n "${BORINGQUIC_BSSL_SRC:-}" ] || fetch
  local build=$cache/build/$key jobs
  jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
  say "building BoringSSL with ${bssl_cc[*]} on $jobs cores; this takes some minutes, once"
  rm -rf "$build" # what was left half-built may be of another tree of ours, another path of the source, or another generator
  mkdir -p "$build"
  CC="${bssl_cc[*]}" CXX="${bssl_cxx[*]}" cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DBORINGQUIC_BSSL_SRC="$src" \
    -DBORINGSSL_PREFIX="$symbol_prefix" >"$build/log" 2>&1 || { cat "$build/log" >&2; die "cmake failed; see above"; }
  cmake --build "$build" --target ssl crypto --parallel "$jobs" 2>&1 | tee "$build/log" | percent ||
    { tail -n 40 "$build/log" >&2; die "BoringSSL did not build; see above and $build/log"; }
  cp -R "$src/include/openssl" "$1/include/"
  cp "$build"/lib/libboringquic_ssl.a "$build"/lib/libboringquic_crypto.a "$1/lib/"
  strip -S "$1"/lib/*.a
  rm -rf "$build"
}

# percent reads what ninja or make prints, "[7/400] ..." or "[  1%] ...", and shows how far they are: on a terminal in one line
# that it overwrites, else in ten lines.
percent() {
  local line at next=0 step=10 end='\n'
  [ ! -t 2 ] || { step=1 end='\r'; }
  while IFS= read -r line; do
    [[ $line =~ ^\[\ *([0-9]+)(%|/([0-9]+))\] ]] || continue
    at=$((100 * BASH_REMATCH[1] / ${BASH_REMATCH[3]:-100}))
    [ "$at" -ge "$next" ] || continue
    printf "   %3d %%$end" "$at" >&2
    next=$((at - at % step + step))
  done
  [ "$step" = 10 ] || echo >&2
}

# write_key puts the key of the build into a prefix: its header, and a symbol in its archive.
write_key() {
  local symbol=boringquic_key_$key
  {
    echo "// Written by build.sh: which BoringSSL the headers beside this one belong to."
    echo "#define BORINGQUIC_KEY_SYMBOL $symbol"
    [ -z "$2" ] || printf '#ifndef BORINGSSL_PREFIX\n#define BORINGSSL_PREFIX %s\n#endif\n' "$2"
  } >"$1/include/boringquic_key.h"
  echo "extern const char ${symbol}[]; const char ${symbol}[] = \"$key\";" >"$1/key.c"
  "${cc[@]}" -fPIC -c "$1/key.c" -o "$1/boringquic_key.o"
  ar rs "$1/lib/libboringquic_crypto.a" "$1/boringquic_key.o" 2>/dev/null
  rm -f "$1/key.c" "$1/boringquic_key.o"
}

# try_link has the compiler say whether a custom BoringSSL is one that programs can be linked with.
try_link() {
  cat >"$1/try.c" <<'C'
#include "boringquic_key.h"
#include <openssl/aead.h>
#include <openssl/ssl.h>
int main(void) { return SSL_CREDENTIAL_new_x509() == NULL || EVP_has_aes_hardware(); } // OpenSSL has neither
C
  "${cc[@]}" -I"$1/include" "$1/try.c" -o "$1/try" -L"$1/lib" -lboringquic_ssl -lboringquic_crypto -lstdc++ -lpthread -lm \
    >"$1/try.log" 2>&1 || { tail -n 5 "$1/try.log" >&2; die "BORINGQUIC_BSSL_PATH=$BORINGQUIC_BSSL_PATH: a program does not link with it: \
are its archives OpenSSL's, or built with a BORINGSSL_PREFIX (then set BORINGQUIC_BSSL_PREFIX)?"; }
  rm -f "$1/try.c" "$1/try" "$1/try.log"
}

# use_in_tree has this tree use the BoringSSL that was built.
use_in_tree() {
  if [ "$(readlink "$link" 2>/dev/null)" != "$prefix" ]; then
    rm -rf "$link"
    ln -s "$prefix" "$link"
  fi
  local header=$root/crypto/internal/boring/build_key.h line="#define BORINGQUIC_BUILD_KEY $key"
  grep -qxF "$line" "$header" 2>/dev/null ||
    printf '// Written by build.sh, so that the build cache of Go sees another BoringSSL.\n%s\n' "$line" >"$header"
}

# Verbs.

build() {
  [ -w "$root" ] || die "$root cannot be written: a module that imports boringquic needs \"bash build.sh install\" or \"bash build.sh env\""
  need_cxx
  need_go
  boringssl
  use_in_tree
  say "building boringquic; its programs go to cmd/bin"
  mkdir -p "$bin"
  (cd "$root" && go build -o "$bin/" ./...) # with -o nothing is linked again that has not changed
}

demo() {
  build
  local port
  dir=$(mktemp -d)
  server_pid=
  trap stop_demo EXIT
  mkdir "$dir/www"
  say "making a file of 100 MB"
  head -c 100000000 /dev/urandom >"$dir/www/file"
  : >"$dir/server.log" # it is looked at before the server may have begun
  "$bin/quic-server" --listen 127.0.0.1:0 --root "$dir/www" >"$dir/server.log" 2>&1 &
  server_pid=$!
  for _ in $(seq 1200); do
    port=$(sed -n 's/.*listening on [^ ]*:\([0-9]*\),.*/\1/p' "$dir/server.log")
    [ -z "$port" ] || break
    kill -0 "$server_pid" 2>/dev/null || { cat "$dir/server.log" >&2; die "the server did not start"; }
    sleep 0.05
  done
  [ -n "$port" ] || die "the server does not say where it listens"
  say "quic-server listens on 127.0.0.1:$port; quic-client fetches the file"
  "$bin/quic-client" --insecure --stats --expect-size 100000000 -o "$dir/got" "https://127.0.0.1:$port/file"
  local want got
  want=$(sha256 "$dir/www/file")
  got=$(sha256 "$dir/got")
  [ "$want" = "$got" ] || die "the file that arrived has SHA-256 $got, the one that was sent $want"
  echo "SHA-256 of both files: $want"
}

stop_demo() {
  [ -z "$server_pid" ] || kill "$server_pid" || true
  rm -rf "$dir"
}

# destination VERB ARGUMENTS... sets to, the folder that a verb installs to.
destination() {
  local verb=$1
  shift
  to=/usr/local
  case "${1:-}" in
    --prefix)
      [ -n "${2:-}" ] || die "$verb --prefix wants a folder"
      to=$2
      shift 2
      ;;
    --prefix=?*)
      to=${1#--prefix=}
      shift
      ;;
  esac
  [ $# = 0 ] || die "$verb does not know \"$1\"; it takes --prefix DIR"
  umask 022 # what is installed is for all
  if ! mkdir -p "$to/include" "$to/lib" 2>/dev/null || [ ! -w "$to/include" ] || [ ! -w "$to/lib" ]; then
    die "$to cannot be written: run this as root, or give --prefix DIR, or use \"bash build.sh env\""
  fi
  to=$(CDPATH='' cd -- "$to" && pwd -P)
}

# put_boringssl NAME installs the BoringSSL that was built, in folders of that name.
put_boringssl() {
  rm -rf "${to:?}/include/$1" "${to:?}/lib/$1"
  cp -R "$prefix/include" "$to/include/$1"
  cp -R "$prefix/lib" "$to/lib/$1"
  chmod -R u+w,a+rX "$to/include/$1" "$to/lib/$1"
}

# put FILE TO installs a file. One that programs have mapped stays as it is for them.
put() {
  cp "$1" "$2.new"
  chmod 644 "$2.new"
  mv -f "$2.new" "$2"
}

install() {
  destination install "$@"
  boringssl
  put_boringssl boringquic
  echo "installed $to/include/boringquic and $to/lib/boringquic"
  if [ "$to" != /usr/local ]; then
    echo "Go looks there by itself only below /usr/local. For other places set:"
    print_env "$to/include/boringquic" "$to/lib/boringquic"
  fi
}

# lib builds libboringquic. Go makes the archive, of which the C compiler makes the shared library: so both are the same, and what is
# exported is said in one place.
lib() {
  [ "$(uname -s)" = Linux ] || die "libboringquic is built on Linux only"
  destination lib "$@"
  need_cxx
  need_go
  need nm binutils
  # BoringSSL hides its symbols in archives, and then no shared library could export them.
  local flags="-DBORINGSSL_SHARED_LIBRARY -DBORINGSSL_IMPLEMENTATION"
  if [ -n "${BORINGQUIC_BSSL_PATH:-}" ] && has_shared; then bssl_form=so; fi
  export CFLAGS="${CFLAGS:+$CFLAGS }$flags" CXXFLAGS="${CXXFLAGS:+$CXXFLAGS }$flags" ASMFLAGS="${ASMFLAGS:+$ASMFLAGS }$flags"
  boringssl
  if [ "$bssl_form" = so ]; then
    case "$custom_ssl$custom_crypto" in *[,:\;\ ]*) die "$BORINGQUIC_BSSL_PATH: a run path takes no comma, colon, semicolon or blank" ;; esac
  fi
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  say "building libboringquic.a; the first time this takes a minute"
  (eval "$(print_env "$prefix/include" "$prefix/lib")" && cd "$root" &&
    go build -trimpath -buildvcs=false -buildmode=c-archive -o "$dir/libboringquic.a" ./cmd/libboringquic) || die "libboringquic did not build; see above"
  say "linking $lib_soname"
  link_lib
  put_lib
  if have doxygen; then make_docs; fi
  echo "installed $to/lib/$lib_soname, $to/lib/libboringquic.a and $to/include/boringquic.h"
}

lib_version=0.1.0
lib_soname=libboringquic.so.0

# has_shared tells whether BORINGQUIC_BSSL_PATH has shared libraries.
has_shared() {
  local dir=$BORINGQUIC_BSSL_PATH
  compgen -G "$dir/build/libssl.so" >/dev/null || compgen -G "$dir/lib/libssl.so" >/dev/null ||
    compgen -G "$dir/build/ssl/libssl.so" >/dev/null || compgen -G "$dir/libssl.so" >/dev/null
}

# link_lib makes the shared library of the archive: with BoringSSL in it, of which it exports the C functions, or against BoringSSL's own.
link_lib() {
  local archives=("$dir/libboringquic.a" "$prefix/lib/libboringquic_crypto.a") needs=()
  {
    echo "BORINGQUIC_0 { global: bquic_*; quiche_*;"
    if [ "$bssl_form" = so ]; then
      needs=("-L$prefix/lib" -lboringquic_ssl "$(bssl_run_path)")
    else
      archives+=("$prefix/lib/libboringquic_ssl.a")
      nm -g --defined-only --format=posix "$prefix"/lib/*.a 2>/dev/null | sed -n 's/^\([A-Za-z][A-Za-z0-9_]*\) [A-TV-Z] .*/\1;/p' | sort -u
    fi
    echo "local: *; };"
  } >"$dir/exports"
  # nodelete: a runtime of Go's cannot be unloaded. Bsymbolic: its calls never leave it.
  "${cc[@]}" -shared -static-libgcc -o "$dir/$lib_soname" -Wl,-soname,"$lib_soname" -Wl,--version-script="$dir/exports" -Wl,-z,nodelete -Wl,-Bsymbolic \
    -Wl,--whole-archive "${archives[@]}" -Wl,--no-whole-archive ${needs[@]+"${needs[@]}"} -Wl,-Bstatic -lstdc++ -Wl,-Bdynamic -lpthread -ldl -lm ||
    die "$lib_soname did not link; see above"
  [ "$bssl_form" = so ] || nm -D --defined-only "$dir/$lib_soname" | grep ' T [^@]*SSL_CTX_new\(@\|$\)' >/dev/null || # not -q: nm is to write all
    say "the functions of BORINGQUIC_BSSL_PATH are hidden, so that $lib_soname exports none of them: programs with SSLs of their own need libboringquic.a"
}

# bssl_run_path prints how a program that calls BoringSSL's own shared libraries finds them. It keeps OpenSSL's, which have the same names, from being
# found in their place.
bssl_run_path() { echo "-Wl,-rpath,$(dirname "$custom_ssl"):$(dirname "$custom_crypto")"; }

# bssl_prefix prints the BORINGSSL_PREFIX of the BoringSSL that was built.
bssl_prefix() { sed -n 's/^#define BORINGSSL_PREFIX //p' "$prefix/include/boringquic_key.h"; }

# put_lib installs what lib has made.
put_lib() {
  put_boringssl boringquic-bssl # what "install" may have put is Go's
  mkdir -p "$to/lib/pkgconfig" "$to/lib/cmake/boringquic"
  put "$root/cmd/libboringquic/include/boringquic.h" "$to/include/boringquic.h"
  put "$dir/libboringquic.a" "$to/lib/libboringquic.a"
  put "$dir/$lib_soname" "$to/lib/libboringquic.so.$lib_version"
  ln -sf "libboringquic.so.$lib_version" "$to/lib/$lib_soname"
  ln -sf "$lib_soname" "$to/lib/libboringquic.so"
  local quiche=$to/lib/boringquic-quiche
  mkdir -p "$quiche/include"
  put "$root/cmd/libboringquic/include/quiche.h" "$quiche/include/quiche.h"
  ln -sf "../$lib_soname" "$quiche/$lib_soname" # which programs need that are linked with -lquiche
  ln -sf ../libboringquic.so "$quiche/libquiche.so"
  ln -sf "../$lib_soname" "$quiche/libquiche.so.0"
  ln -sf ../libboringquic.a "$quiche/libquiche.a"
  local name define crypto="\${_prefix}/lib/boringquic-bssl/libboringquic_crypto.a" libs="-lboringquic_ssl -lboringquic_crypto -lstdc++" cmake_libs
  cmake_libs="\${_prefix}/lib/boringquic-bssl/libboringquic_ssl.a;$crypto;stdc++;pthread;dl;m"
  if [ "$bssl_form" = so ]; then
    rm -f "$to"/lib/boringquic-bssl/*.so # they stay where they are
    libs="-lboringquic_crypto -L$(dirname "$custom_ssl") -lssl -L$(dirname "$custom_crypto") -lcrypto $(bssl_run_path)"
    cmake_libs="$crypto;$custom_ssl;$custom_crypto;pthread;dl;m"
  fi
  libs="-L\${prefix}/lib/boringquic-bssl $libs -lpthread -ldl -lm"
  define=$(bssl_prefix)
  define=${define:+-DBORINGSSL_PREFIX=$define}
  for name in pkgconfig/boringquic.pc cmake/boringquic/boringquic-config.cmake cmake/boringquic/boringquic-config-version.cmake \
    boringquic-quiche/quiche.pc; do
    sed -e "s|@VERSION@|$lib_version|; s|@BSSL_PREFIX@|$(bssl_prefix)|; s|@BSSL_DEFINE@|$define|; s|@LIBS_PRIVATE@|$libs|; s|@LIBS_CMAKE@|$cmake_libs|" \
      "$root/cmd/libboringquic/${name##*/}.in" >"$dir/made"
    put "$dir/made" "$to/lib/$name"
  done
}

docs() {
  destination docs "$@"
  need doxygen doxygen
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  make_docs
  echo "made $to/share/doc/boringquic/index.html"
}

# make_docs has doxygen make a page of the headers, with what README.md says of them as its front. Its warnings are errors: all is to be documented.
make_docs() {
  local from=$root/cmd/libboringquic at=$dir/docs
  mkdir -p "$at" "$to/share/doc"
  cp "$from/include/boringquic.h" "$from/include/quiche.h" "$from"/doc/* "$at/"
  {
    echo "# From C"
    # shellcheck disable=SC2016 # those are backquotes of Markdown
    sed -n '/^## From C$/,/^## /p' "$root/README.md" | sed -e '/^## /d' -e 's|](cmd/libboringquic/include/|](|g' -e 's|\[\(`[^`]*`\)\](examples/c)|\1|g' -e 's|\[`quiche.md`\](cmd/libboringquic/quiche.md)|[quiche.md](quiche.md)|g'
  } >"$at/front.md"
  cp "$from/quiche.md" "$at/"
  # shellcheck disable=SC2016 # of the script that it prints
  printf '#!/bin/sh\nexec awk -v FILE="$(basename "$1" .h)" -f filter.awk "$1"\n' >"$at/filter"
  chmod +x "$at/filter"
  { echo "INPUT = front.md boringquic.h quiche.h quiche.md"; echo "OUTPUT_DIRECTORY = ."; echo "PROJECT_NUMBER = $lib_version"; } >>"$at/Doxyfile"
  (cd "$at" && doxygen Doxyfile) >&2 || die "the headers are not documented in full; see above"
  rm -rf "$to/share/doc/boringquic"
  cp -R "$at/html" "$to/share/doc/boringquic"
}

env_lines() {
  boringssl
  print_env "$prefix/include" "$prefix/lib"
}

# print_env prints what a shell is to evaluate. Go splits the values at blanks, but for those between quotes.
print_env() {
  local include lib
  include=$(go_quote "-I$1") || exit
  lib=$(go_quote "-L$2") || exit
  printf 'export CGO_CFLAGS=%q\n' "-O2 -g $include -DBORINGQUIC_BUILD_KEY=$key"
  printf 'export CGO_LDFLAGS=%q\n' "-O2 -g $lib"
}

go_quote() {
  case "$1" in
    *\"*) die "${1#-?}: cgo takes no path with a double quote: choose another, by XDG_CACHE_HOME or --prefix" ;;
    *\'*) printf '"%s"' "$1" ;;
    *) printf "'%s'" "$1" ;;
  esac
}

test_all() {
  build
  need_cargo
  need cmake cmake # for curl
  need valgrind valgrind
  need python3 python3
  need shellcheck shellcheck
  need_venv
  if debian; then
    { [ -f /usr/include/ev.h ] && [ -f /usr/include/uthash.h ] && have pkg-config; } || install_packages libev-dev uthash-dev pkg-config # for quiche's examples
    [ -x /usr/sbin/gtlsserver ] || install_packages ngtcp2-client ngtcp2-server
    { have chromium && have firefox-esr && have certutil; } || install_packages chromium firefox-esr libnss3-tools
    have_libclang || install_packages libclang-dev # for quiche's bindings
    for lib in libssl.a libz.a libzstd.a; do # OpenSSL's, and what Debian 13's is linked with
      [ "$(cc -print-file-name=$lib)" != "$lib" ] || install_packages libssl-dev zlib1g-dev libzstd-dev
    done
  fi
  cd "$root"
  local lib os module
  say "vet"
  shellcheck -x build.sh .ci/run
  go vet ./...
  for os in darwin freebsd windows; do GOOS=$os CGO_ENABLED=0 go vet ./quic/udp; done
  say "tests, with the race detector"
  go test -race -shuffle=on -timeout 30m ./...
  say "random connections and attacks, moves at each of 200 datagrams, 200 seeds of each path: the race detector leaves time for a part of them"
  go test -count=1 -run '^TestSpin|^TestMoveAtEachDatagram$|^TestSearch$|^TestPathNarrows$' ./quic/internal/sim ./quic
  say "Go $go_hooks: net/http's hooks for HTTP/3, and the behaviours that it shares with ours"
  GOTOOLCHAIN=go$go_hooks go test -count=1 -run '^TestHook|^TestParity$' ./quic/http3
  say "tests of the packages over C, with the address sanitizer"
  go test -asan -shuffle=on ./crypto/...
  for module in $(find . -mindepth 2 -name go.mod -not -path './third_party/*' -exec dirname {} \; | sort); do
    say "nested module $module"
    (cd "$module" && go vet ./... && go test -shuffle=on -timeout 30m ./...)
  done
  (cd cmd/quic-client/interop && go vet -tags dnsdist .) # which "dnsdist" runs
  say "all tests passed"
}

# test_dnsdist runs the tests that need a dnsdist: too long to compile for "test".
test_dnsdist() {
  build
  need_cargo
  need cmake cmake # for curl, which asks it, too
  need make make
  need pkg-config pkg-config
  need dpkg-source dpkg-dev
  need kdig knot-dnsutils
  need python3 python3
  need_venv
  local file
  for file in boost/version.hpp:libboost-dev lua5.3/lua.h:liblua5.3-dev editline/readline.h:libedit-dev openssl/ssl.h:libssl-dev; do
    [ -f "/usr/include/${file%:*}" ] || ! debian || install_packages "${file#*:}"
  done
  cd "$root/cmd/quic-client/interop"
  go test -tags dnsdist -count=1 -timeout 2h -v -run '^TestDnsdist' .
}

# seconds prints what a time like 90s, 10m or 1h30m is in seconds.
seconds() {
  [[ $1 =~ ^(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?$ && -n $1 ]] || die "\"$1\" is not a time like 90s, 10m or 1h30m"
  echo $((${BASH_REMATCH[2]:-0} * 3600 + ${BASH_REMATCH[4]:-0} * 60 + ${BASH_REMATCH[6]:-0}))
}

# spin plays the random tests of the packages that have any, by turns.
spin() {
  local total=600 step began now left pkg log
  if [ "${1:-}" = --time ]; then
    total=$(seconds "${2:-}") || exit
    shift 2
  fi
  [ $# = 0 ] || die "spin does not know \"$1\"; it takes --time D"
  build
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  log=$dir/log
  cd "$root/quic"
  go test -c -o "$dir/sim" ./internal/sim
  go test -c -o "$dir/core" .
  go test -c -race -o "$dir/quicnet" ./quicnet
  began=$(date +%s)
  step=$((total < 360 ? (total + 5) / 6 : 60))
  while :; do
    for pkg in sim:internal/sim core:. quicnet:quicnet; do
      now=$(date +%s)
      left=$((began + total - now))
      [ "$left" -gt 0 ] || { say "nothing failed in $total s"; return; }
      [ "$left" -ge "$step" ] || step=$left
      [[ $("$dir/${pkg%%:*}" -test.list '^TestSpin') == TestSpin* ]] || continue
      (cd "${pkg#*:}" && "$dir/${pkg%%:*}" -test.run '^TestSpin' -test.timeout 0 -test.v -spin.time "${step}s") >"$log" 2>&1 ||
        { cat "$log" >&2; die "a random test of $root/quic/${pkg#*:} failed; see above for its seed"; }
      say "$((now - began)) s of $total: ${pkg%%:*}: $(sed -n 's/^.*: \([0-9]* \(plays\|rounds\)\).*/\1/p' "$log" | paste -s -d , -)"
    done
  done
}

clean() {
  rm -rf "$bin" "$link" "$root/crypto/internal/boring/build_key.h" "$cache"
  echo "removed $bin, $link and $cache"
}

verb=${1:-build}
[ $# = 0 ] || shift
case "$verb" in
  -h | --help | help) usage; exit ;;
  install) install "$@"; exit ;;
  lib) lib "$@"; exit ;;
  docs) docs "$@"; exit ;;
  spin) spin "$@"; exit ;;
esac
[ $# = 0 ] || die "$verb takes no arguments, and \"$1\" is one; see ./build.sh --help"
case "$verb" in
  build) build ;;
  demo) demo ;;
  test) test_all ;;
  dnsdist) test_dnsdist ;;
  env) env_lines ;;
  clean) clean ;;
  *) die "unknown verb \"$verb\"; see ./build.sh --help" ;;
esac
