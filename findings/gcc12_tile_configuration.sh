#!/usr/bin/env bash
# GCC 12.2.0 tells itself that _tile_loadconfig reads a pointer's worth of its 64-byte operand, so that it may drop
# the stores to the rest: of a configuration filled in on the stack 17 bytes are written, the sizes of the tiles are
# not, and a processor with AMX is given what lay there. Naming the whole operand in an empty asm before it keeps
# the stores. It compiles alone, in a temp folder, on any x86-64 processor; needs apt-get with Debian 12's packages.
# Versions: cpp-12 and libgcc-12-dev 12.2.0-14+deb12u1, libisl23 0.25-1.1, libmpc3 1.3.1-1, libmpfr6 4.2.0-1,
# libgmp10 2:6.2.1+dfsg1-1.1.
# Expected before the run: all 64 bytes are written. Exits 1 when this changes.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -qq -o APT::Sandbox::User=root cpp-12=12.2.0-14+deb12u1 libgcc-12-dev=12.2.0-14+deb12u1 \
  libisl23=0.25-1.1 libmpc3=1.3.1-1 libmpfr6=4.2.0-1 libgmp10=2:6.2.1+dfsg1-1.1
for package in *.deb; do dpkg -x "$package" .; done
gcc=usr/lib/gcc/x86_64-linux-gnu/12
cat > tiles.c <<'C'
#include <immintrin.h>
struct configuration {
  unsigned char palette, start_row, reserved[14];
  unsigned short bytes[16];
  unsigned char rows[16];
};
void configure(void) {
  struct configuration c = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
#ifdef NAMED
  __asm__ volatile("" : : "m"(c));
#endif
  _tile_loadconfig(&c);
}
C
compiled() {  # OPTIONS...: the assembly; mm_malloc.h wants a C library's headers, which this needs not
  LD_LIBRARY_PATH=usr/lib/x86_64-linux-gnu:lib/x86_64-linux-gnu "$gcc/cc1" -quiet -O2 -mamx-tile -isystem "$gcc/include" \
    -D_MM_MALLOC_H_INCLUDED "$@" tiles.c -o -
}
writes() { grep -E 'mov.*, -[0-9]+\(%rsp\)'; }
plain=$(compiled) named=$(compiled -DNAMED)
echo "as it is:"; writes <<< "$plain"
echo "with the operand named:"; writes <<< "$named"
# 17 bytes in two writes; all 64 in six
[ "$(writes <<< "$plain" | wc -l)" = 2 ] && [ "$(writes <<< "$named" | wc -l)" = 6 ]
