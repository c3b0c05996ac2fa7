#!/bin/sh
# Puts promtool into .cache/prometheus, from Debian's package and without installing its service. Needs apt.
set -eu
cd "$(dirname "$0")/.."
target=.cache/prometheus
[ -x "$target/promtool" ] && exit 0
if command -v promtool >/dev/null; then
  mkdir -p "$target" && ln -sf "$(command -v promtool)" "$target/promtool"
  exit 0
fi
command -v apt-get >/dev/null || { echo "promtool: not here, and no apt to get it; the rules in ops/ stay unchecked" >&2; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# the list of packages may be old, or missing on a fresh machine
(cd "$folder" && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; }) 2>/dev/null ||
  { echo "promtool: apt has no package prometheus; the rules in ops/ stay unchecked" >&2; exit 0; }
dpkg-deb -x "$folder"/prometheus_*.deb "$folder/unpacked"
mkdir -p "$target" && cp "$folder/unpacked/usr/bin/promtool" "$target/promtool"
