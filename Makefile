# Every target calls `cargo xtask`, which does the work. YES=1 installs missing packages without asking.
.PHONY: build check demo demo-cluster demo-console demo-screen demo-upgrade demo-break demo-stop test test-long bench

build check demo demo-cluster demo-console demo-screen demo-upgrade demo-break demo-stop test test-long bench:
	@cargo xtask $@
