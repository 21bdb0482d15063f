# tcplab - built with GNU make; everything built lies in build/ and nowhere else.
#
#   make            all tools into build/$(MODE)/bin
#   make check      all tests (./scripts/test does the same and installs bats first)
#   make lint       layers, self-contained headers, shell scripts, docs against --help
#   make static     ttcp and roundtrip for other hosts, into build/static (needs musl-gcc)
#   make labs       every guided lab, without questions
#   make bench      every benchmark in scripts/bench (needs the peers installed)
#   make install    into $(DESTDIR)$(PREFIX); PREFIX is /usr/local; `make uninstall` takes it away
#   make diff-netcat  what the three netcats do differently
#   make fmt        clang-format over the C source
#   make clean      remove build/
#
#   MODE=release|debug|asan|tsan   CC=gcc|clang|musl-gcc   V=1 shows each command   WERROR=1 as CI builds

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

ifeq ($(origin CC),default)
CC := gcc
endif
MODE    ?= release
PREFIX  ?= /usr/local
VERSION := 0.1.0
Q       := $(if $(V),,@)

# Each mode and each other compiler has a tree of its own: objects are never mixed.
B := build/$(MODE)$(if $(filter-out gcc,$(CC)),-$(notdir $(CC)))

FLAGS_release := -O2 -g
FLAGS_debug   := -O0 -g3
FLAGS_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS_tsan    := -O1 -g -fsanitize=thread
$(if $(FLAGS_$(MODE)),,$(error MODE=$(MODE): it is release, debug, asan or tsan))

WARN := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wconversion -Wno-sign-conversion \
  -Wformat=2 -Wvla -Wno-missing-field-initializers \
  -Wpointer-arith -Wwrite-strings -Wundef $(if $(WERROR),-Werror)
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DTCPLAB_VERSION='"$(VERSION)"' -Icommon $(FLAGS_$(MODE)) $(WARN) -pthread -MMD -MP $(CFLAGS)

# musl-gcc on Debian sees no kernel headers: give it these three folders and nothing else of glibc's.
ifeq ($(notdir $(CC)),musl-gcc)
KERNEL_HEADERS := $(B)/kernel-headers
ALL_CFLAGS     += -isystem $(KERNEL_HEADERS)
endif

# A tool is tools/NAME.c; a long one keeps its chapters in tools/NAME/. A new file here is a new tool, no line to add.
TOOLS    := $(patsubst tools/%.c,%,$(wildcard tools/*.c))
COMMON   := $(patsubst %.c,$(B)/%.o,$(wildcard common/*.c))
CHAPTERS := $(patsubst %.c,$(B)/%.o,$(wildcard tools/*/*.c))
UNIT     := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/*_test.c))
SOURCES  := $(wildcard common/*.[ch] tools/*.[ch] tools/*/*.[ch] tests/unit/*.[ch])

.PHONY: all unit static check lint labs bench install uninstall man completion diff-netcat fmt clean help
.SECONDARY:

all: $(TOOLS:%=$(B)/bin/%)
unit: $(UNIT)
man: $(TOOLS:%=$(B)/man/tcplab-%.1)
completion: $(B)/completion/tcplab

$(B)/%.o: %.c Makefile | $(KERNEL_HEADERS)
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC    $<")
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(B)/libtcplab.a: $(COMMON)
$(B)/libchapters.a: $(CHAPTERS)
$(B)/%.a:
	$(Q)rm -f $@ && $(AR) rcs $@ $^

LINK = @mkdir -p $(@D); $(if $(V),,echo "  LINK  $@";) $(if $(V),set -x;) $(CC) $(ALL_CFLAGS) -o $@ $^ $(LDFLAGS) -lm
$(B)/bin/%: $(B)/tools/%.o $(B)/libchapters.a $(B)/libtcplab.a
	$(LINK)
$(B)/unit/%: $(B)/tests/unit/%.o $(B)/libchapters.a $(B)/libtcplab.a
	$(LINK)

# What is copied to other hosts (docs/hosts.md) depends on nothing there. It is musl's: a static glibc would still look for its
# libraries when it resolves a name.
STATIC := $(filter ttcp roundtrip,$(TOOLS))
static:
	@command -v musl-gcc >/dev/null || { echo "make static needs musl-gcc: apt-get install musl-tools" >&2; exit 1; }
	@+$(MAKE) -s MODE=release CC=musl-gcc $(STATIC:%=build/static/%)
ifeq ($(B),build/release-musl-gcc)
build/static/%: LDFLAGS += -static -s
build/static/%: $(B)/tools/%.o $(B)/libchapters.a $(B)/libtcplab.a
	$(LINK)
endif

$(B)/man/tcplab-%.1: $(B)/bin/%
	@mkdir -p $(@D)
	$(Q)$< --print-man > $@
$(B)/completion/tcplab: $(TOOLS:%=$(B)/bin/%) scripts/completion $(wildcard labs/*/lab.sh)
	@mkdir -p $(@D)
	$(Q)scripts/completion $(TOOLS:%=$(B)/bin/%) > $@

$(B)/kernel-headers:
	$(Q)mkdir -p $@ && for d in linux asm asm-generic; do \
	  ln -sfn "$$(realpath $$(echo '#include <'$$d/errno.h'>' | gcc -E -M - | tr ' ' '\n' | grep "/$$d/errno.h$$" | head -n 1 | xargs dirname))" $@/$$d; done

check:
	./scripts/test
lint: all
	./scripts/lint
labs: all
	./scripts/tcplab lab all --batch
bench: all
	for b in scripts/bench/*; do [ ! -x $$b ] || ./$$b || exit 1; done

LIBEXEC = $(DESTDIR)$(PREFIX)/libexec/tcplab
SHARE   = $(DESTDIR)$(PREFIX)/share
install: all man completion
	install -d $(DESTDIR)$(PREFIX)/bin $(LIBEXEC) $(SHARE)/tcplab $(SHARE)/man/man1 $(SHARE)/bash-completion/completions
	install -m 755 $(TOOLS:%=$(B)/bin/%) $(LIBEXEC)
	install -m 755 scripts/tcplab $(DESTDIR)$(PREFIX)/bin/tcplab
	cp -R labs $(SHARE)/tcplab/
	install -D -m 755 -t $(SHARE)/tcplab/scripts scripts/measure scripts/lab-report
	install -D -m 644 -t $(SHARE)/tcplab/scripts/report scripts/report/*
	for f in $(wildcard build/static/*); do install -D -m 755 $$f $(LIBEXEC)/static/$${f##*/} || exit; done
	install -m 644 $(TOOLS:%=$(B)/man/tcplab-%.1) docs/man/tcplab.1 $(SHARE)/man/man1
	install -m 644 $(B)/completion/tcplab $(SHARE)/bash-completion/completions/tcplab
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/tcplab $(SHARE)/bash-completion/completions/tcplab
	rm -f $(TOOLS:%=$(SHARE)/man/man1/tcplab-%.1) $(SHARE)/man/man1/tcplab.1
	rm -rf $(LIBEXEC) $(SHARE)/tcplab

# diff(1) ends with 1 when there are differences, which is what is asked for.
diff-netcat:
	@diff -u tools/netcat-blocking.c tools/netcat-threaded.c; diff -u tools/netcat-blocking.c tools/netcat-nonblocking.c; true

fmt:
	clang-format -i $(SOURCES)
clean:
	rm -rf build
help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile

-include $(COMMON:.o=.d) $(CHAPTERS:.o=.d) $(patsubst %,$(B)/tools/%.d,$(TOOLS)) $(patsubst $(B)/unit/%,$(B)/tests/unit/%.d,$(UNIT))
