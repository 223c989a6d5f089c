#!/bin/bash
# Starts Dex and the example application, and stops both together. With the argument check it only says what would prevent
# that, and what will take long.
set -eu
cd "$(dirname "$0")/.."

# free fails if a program on this machine answers at one of the ports in config.dev.yaml.
free() {
	local port
	for port in $(grep -oE '127\.0\.0\.1:[0-9]+' config.dev.yaml | cut -d: -f2 | sort -u); do
		if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			echo "Port $port is taken, perhaps by another Dex. Stop that program first; this shows which one it is: ss -ltnp 'sport = :$port'" >&2
			return 1
		fi
	done
}

free || exit 1
if [[ ${1-} == check ]]; then
	if [[ ! -x bin/dex || ! -x bin/example-app ]]; then
		echo "Building Dex and the example application. The first time takes a few minutes and downloads about 70 MB of libraries,"
		echo "and Go itself if yours is older than go.mod requires."
	fi
	exit
fi

# Each is a job of its own, so that Ctrl-C reaches only this script, which then stops both: a second signal would end them
# at once.
set -m
bin/dex serve config.dev.yaml &
dex=$!
bin/example-app --issuer http://localhost:5556/dex &
app=$!
set +m

running() { kill -0 "$dex" 2>/dev/null && kill -0 "$app" 2>/dev/null; }

# stop stops both; it fails if one of them failed.
stop() {
	trap '' INT TERM HUP
	kill "$dex" "$app" 2>/dev/null || true
	local status=0
	wait "$dex" || status=$?
	wait "$app" || status=$?
	return "$status"
}
# A terminal sends HUP when its window is closed.
trap 'stop; exit' INT TERM HUP

# answers requests a path from a local port until it gets an answer, for at most ten seconds, so that the addresses printed
# below work at once.
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
	echo "Dex or the example application did not start; see their output above." >&2
	stop || true
	exit 1
fi

cat <<'TEXT'

  Open      http://127.0.0.1:5555/
  Sign in   with Email: admin@example.com, password: password
            or with Example, which needs no password
  Account   at http://localhost:5556/dex: sessions, an authenticator app, and passkeys, with which you then sign in
  Sign out  in the application, or at http://localhost:5556/dex/logout, which tells the application
  End       with Ctrl-C

TEXT

# Ends when one of the two does, or the process that started this.
while running && kill -0 "$PPID" 2>/dev/null; do
	sleep 1 &
	wait $! || true
done
stop || true
exit 1
