# Every target calls `cargo xtask`, which does the work. YES=1 installs missing packages without asking.
# What the last command of a shell ended with is no failure of `make`: `cargo xtask demo-console` tells it. That no demo is on is one.
# In a fresh clone nothing is kept for a second compilation (2 GB): that begins with the first `cargo` of a person there.
ifeq ($(wildcard target),)
export CARGO_INCREMENTAL = 0
endif

.PHONY: build check demo demo-cluster demo-console demo-screen demo-upgrade demo-break demo-stop test test-long bench

build check demo demo-cluster demo-screen demo-upgrade demo-break demo-stop test test-long bench:
	@cargo xtask $@

demo-console:
	@cargo xtask $@ || test -e .demo/running.json
