# touchstone: everything starts here. `make check` does the main job, `make test` runs every test.

GO       ?= go
BIN      := bin/touchstone
PROFILE  ?= interop
OUT      ?= reports/check
SOAK     ?= 10m
MUTATIONS ?= 10000

.PHONY: build check test test-clients mutants mutate noise latency lint bench bench-serve soak-serve bench-load fmt fuzz invariance soak golden asm tidy clean model model-eval

build: ## build bin/touchstone
	$(GO) build -o $(BIN) .

check: build ## hold the reference endpoint, in process, against its contract; reports in $(OUT)
	$(BIN) check --profile $(PROFILE) --out $(OUT)

test: lint ## vet, staticcheck, formatting and every test under the race detector
	$(GO) test -race -timeout 15m ./...
	TOUCHSTONE_KERNELS=plain $(GO) test -count=1 ./engine
	$(GO) vet -tags purego ./engine
	cd fixtures/clients && $(GO) test -race ./...

QUIET_RUNS ?= 50
NOISY_RUNS ?= 20

noise: ## QUIET_RUNS checks of the reference in a row, and NOISY_RUNS of it with drawn answers, resets and 429: no verdict may turn
	TOUCHSTONE_QUIET_RUNS=$(QUIET_RUNS) TOUCHSTONE_NOISY_RUNS=$(NOISY_RUNS) $(GO) test ./cli -run 'TestNoise' -count 1 -v -timeout 60m

latency: ## a check of each dialect of a target that answers after 300 ms: how much longer than its requests side by side?
	TOUCHSTONE_LATENCY=1 $(GO) test ./cli -run 'TestLatencyOfARun' -count 1 -v -timeout 15m

test-clients: build ## JavaScript client libraries against the reference (needs Node 20 and npm, and fetches them)
	fixtures/clients/js/run.sh $(BIN)

mutants: ## every defect against every clause; what each came to in reports/mutants.json, mutants.html and README.md
	$(GO) test ./cli -run 'TestDefects$$' -count=1 -timeout 40m -args -full -matrix $(CURDIR)/reports/mutants.json
	$(GO) test ./reports -run TestMutantsPublished -count=1 -update

mutate: build ## corrupt answers of the reference at random and judge them again, nothing sent; what goes unseen, by class, in reports/mutations.json
	$(BIN) check --quiet --profile strict --out $(OUT)-evidence --evidence $(OUT)-evidence
	$(GO) test ./suites -run 'TestUnseen$$' -count=1 -timeout 60m -v -args -evidence $(CURDIR)/$(OUT)-evidence -mutations $(MUTATIONS) -out $(CURDIR)/reports/mutations.json

lint: ## gofmt, go vet, staticcheck, go.mod tidy
	@bad=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$bad" || { echo "not formatted (make fmt): $$bad"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff
	cd fixtures/clients && $(GO) vet ./... && $(GO) mod tidy -diff

bench: ## benchmarks of the engine, the simulator and the judge
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-serve: build ## the server against a bare net/http handler, and TOUCHSTONE_LLMD_SIM=its binary: rates, latency, start-up, memory
	TOUCHSTONE_BENCH=1 $(GO) test ./cli -run 'TestBench' -count 1 -v

soak-serve: ## 200 mixed clients for SOAK, one in twenty cut, under the race detector: what is left over?
	TOUCHSTONE_SOAK=$(SOAK) $(GO) test -race ./cli -run 'TestSoakServe' -count 1 -v -timeout 60m

bench-load: ## prove the load client by measurement, beside vegeta if installed; BENCH_LOAD_SECONDS=60 is how long the arrivals last
	BENCH_LOAD=1 $(GO) test -count=1 -timeout 30m -run '^TestBench' -v ./load

fuzz: ## every fuzz target for a short while each
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
		echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 20s $$p || exit 1; done; done

invariance: ## 10 000 random schedules of the engine's requests, on the fast kernels and on the plain ones: no bit may differ
	TOUCHSTONE_SCHEDULES=10000 $(GO) test -count=1 -timeout 2h -v -run TestBatchInvarianceOfEngine ./engine
	TOUCHSTONE_KERNELS=plain TOUCHSTONE_SCHEDULES=2000 $(GO) test -count=1 -timeout 2h -v -run TestBatchInvarianceOfEngine ./engine

soak: ## ten minutes of requests to one engine: nothing may grow
	TOUCHSTONE_SOAK=10m $(GO) test -count=1 -timeout 30m -v -run TestSoak ./engine

golden: ## write the golden files anew; read the diff before committing
	$(GO) test ./reports/... ./simulator/... ./cli/... ./load -update

asm: ## generate the engine's assembly anew
	cd engine/internal/asm && $(GO) run . -out ../../kernels_amd64.s -stubs ../../kernels_amd64_decl.go -pkg engine

tidy: ## go.mod and go.sum of both modules
	$(GO) mod tidy
	cd fixtures/clients && $(GO) mod tidy

fmt: ## format
	gofmt -w $$(git ls-files '*.go')

model: ## train the embedded model again, from the curriculum to the GGUF
	fixtures/model/make.sh

model-eval: ## score the embedded model on held-out prompts
	$(GO) run ./fixtures/model/eval

clean:
	rm -rf bin $(OUT)
