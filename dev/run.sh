#!/bin/sh
# Starts Dex and the example application beside each other, and ends both together.
set -eu
cd "$(dirname "$0")/.."

bin/dex serve config.dev.yaml &
dex=$!
bin/example-app &
app=$!

stop() {
	trap '' INT TERM
	kill "$dex" "$app" 2>/dev/null || true
	wait "$dex" "$app" 2>/dev/null || true
}
trap 'stop; exit 0' INT TERM

# Each is waited for until it answers, so that what is printed below works at once.
answers() {
	i=0
	while [ "$i" -lt 100 ]; do
		curl -fsS -o /dev/null "$1" 2>/dev/null && return 0
		kill -0 "$dex" 2>/dev/null && kill -0 "$app" 2>/dev/null || return 1
		i=$((i + 1))
		sleep 0.1
	done
	return 1
}
if ! answers http://127.0.0.1:5556/dex/healthz || ! answers http://127.0.0.1:5555/; then
	echo "Dex or the example application did not start; what they wrote above says why." >&2
	stop
	exit 1
fi

cat <<'TEXT'

  Open      http://127.0.0.1:5555/
  Sign in   with Email: admin@example.com, password: password
            or with Example, which asks for nothing
  End       with Ctrl-C

TEXT

# Ends when one of the two does.
while kill -0 "$dex" 2>/dev/null && kill -0 "$app" 2>/dev/null; do
	sleep 1 &
	wait $! || true
done
stop
exit 1
