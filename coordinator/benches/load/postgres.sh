#!/usr/bin/env bash
# What the bench compares with: PostgreSQL as it comes, on loopback, with a table of tasks. Every client
# offers a task, leases the oldest one by SKIP LOCKED and completes it, each step a commit of its own.
# Prints how many such cycles a second. Ends with 3 if PostgreSQL is not installed.
#
#   postgres.sh CLIENTS SECONDS PROMPT_BYTES
set -euo pipefail
clients=$1 seconds=$2 bytes=$3

bin=
for dir in $(dirname "$(command -v initdb || true)") /usr/lib/postgresql/*/bin; do
	if [ -x "$dir/initdb" ] && [ -x "$dir/pg_ctl" ]; then bin=$dir; fi
done
if [ -z "$bin" ] || ! command -v pgbench >/dev/null; then exit 3; fi
# It does not run as root.
as=()
if [ "$(id -u)" = 0 ]; then
	id postgres >/dev/null 2>&1 || exit 3
	as=(runuser -u postgres --)
fi

cd /
dir=$("${as[@]}" mktemp -d)
script=$(mktemp)
port=$((20000 + RANDOM % 20000))
stop() {
	"${as[@]}" "$bin/pg_ctl" -D "$dir/db" -m immediate stop >/dev/null 2>&1 || true
	"${as[@]}" rm -rf "$dir"
	rm -f "$script"
}
trap stop EXIT
"${as[@]}" "$bin/initdb" -D "$dir/db" -A trust >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$dir/db" -l "$dir/log" -w \
	-o "-h 127.0.0.1 -p $port -k $dir" start >/dev/null

connect=(-h 127.0.0.1 -p "$port" -U "${as[2]:-$(id -un)}")
psql "${connect[@]}" -q postgres <<-SQL
	CREATE TABLE tasks (
		id bigserial PRIMARY KEY,
		state smallint NOT NULL DEFAULT 0,
		attempt int NOT NULL DEFAULT 0,
		lease text,
		spec text NOT NULL,
		result text,
		changed timestamptz NOT NULL DEFAULT now()
	);
	CREATE INDEX queue ON tasks (id) WHERE state = 0;
SQL
cat >"$script" <<-SQL
	\\set taken 0
	INSERT INTO tasks (spec) VALUES (repeat('x', $bytes));
	UPDATE tasks SET state = 1, attempt = attempt + 1, lease = md5(id::text), changed = now()
	WHERE id = (SELECT id FROM tasks WHERE state = 0 ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1)
	RETURNING id AS taken \\aset
	UPDATE tasks SET state = 2, result = repeat('x', $bytes), changed = now()
	WHERE id = :taken AND state = 1;
SQL
pgbench "${connect[@]}" -n -c "$clients" -j 2 -T "$seconds" -f "$script" postgres |
	sed -n 's/^tps = \([0-9.]*\).*/\1/p'
