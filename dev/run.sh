#!/bin/bash
# Starts Dex and the example application beside each other, and ends both together. With the word check it only says what
# would keep it from that, and what to wait for.
set -eu
cd "$(dirname "$0")/.."

# free fails when a program of this machine answers at one of the ports of config.dev.yaml.
free() {
	local port
	for port in $(grep -oE '127\.0\.0\.1:[0-9]+' config.dev.yaml | cut -d: -f2 | sort -u); do
		if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			echo "Port $port is taken, perhaps by another Dex. Stop that program first; this shows which it is: ss -ltnp 'sport = :$port'" >&2
			return 1
		fi
	done
}

free || exit 1
if [[ ${1-} == check ]]; then
	if [[ ! -x bin/dex || ! -x bin/example-app ]]; then
		echo "Building Dex and the example application. The first time takes a few minutes and downloads about 70 MB of libraries,"
		echo "and Go itself if yours is older than go.mod asks for."
	fi
	exit
fi

# Each is a job of its own, so that Ctrl-C reaches this script only, which then stops both: a second signal would end them
# at once.
set -m
bin/dex serve config.dev.yaml &
dex=$!
bin/example-app &
app=$!
set +m

running() { kill -0 "$dex" 2>/dev/null && kill -0 "$app" 2>/dev/null; }

# stop ends both; it fails when one of them did not end well.
stop() {
	trap '' INT TERM HUP
	kill "$dex" "$app" 2>/dev/null || true
	local status=0
	wait "$dex" || status=$?
	wait "$app" || status=$?
	return "$status"
}
# HUP is what a terminal sends when its window is closed.
trap 'stop; exit' INT TERM HUP

# answers asks a port of this machine for a path until it gets an answer, for ten seconds at most, so that what is
# printed below works at once.
answers() {
	local status
	for _ in {1..100}; do
		running || return 1
		if {
			exec 3<>"/dev/tcp/127.0.0.1/$1" &&
				printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1:%s\r\n\r\n' "$2" "$1" >&3 &&
				read -r -t 2 status <&3 && exec 3>&-
		} 2>/dev/null && [[ $status == *" 200 "* ]]; then
			return 0
		fi
		sleep 0.1
	done
	return 1
}

if ! answers 5556 /dex/healthz || ! answers 5555 /; then
	echo "Dex or the example application did not start; what they wrote above says why." >&2
	stop || true
	exit 1
fi

cat <<'TEXT'

  Open      http://127.0.0.1:5555/
  Sign in   with Email: admin@example.com, password: password
            or with Example, which asks for nothing
  End       with Ctrl-C

TEXT

# Ends when one of the two does, or whatever started this.
while running && kill -0 "$PPID" 2>/dev/null; do
	sleep 1 &
	wait $! || true
done
stop || true
exit 1
