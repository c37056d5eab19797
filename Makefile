# Two commands set everything up: `make demo` and `make test`. The rest is Rust, in xtask/.
.PHONY: demo test test-full cc

# A shell that has not read rustup's profile still finds cargo.
export PATH := $(PATH):$(HOME)/.cargo/bin

demo: cc
	@cargo xtask demo

test: cc
	@cargo xtask setup test
	@cargo xtask ci

test-full: cc
	@cargo xtask setup test
	@cargo xtask ci --full

# Rust links, and builds the cipher library, with a C compiler; xtask itself cannot install it.
cc:
	@command -v cc >/dev/null || if [ "$$(id -u)" = 0 ]; then \
		apt-get update -q && \
		DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends gcc libc6-dev; \
	else \
		echo 'a C compiler is missing; as root: apt-get install --no-install-recommends gcc libc6-dev' >&2; \
		exit 1; \
	fi
