# Every target calls `cargo xtask`, which does the work. YES=1 installs missing packages without asking.
# What the last command of a shell ended with is no failure of `make`: `cargo xtask demo-console` tells it. That no demo is on is one.
.PHONY: build check demo demo-cluster demo-console demo-screen demo-upgrade demo-break demo-stop test test-long bench

build check demo demo-cluster demo-screen demo-upgrade demo-break demo-stop test test-long bench:
	@cargo xtask $@

demo-console:
	@cargo xtask $@ || test -e .demo/running.json
