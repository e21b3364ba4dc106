#!/usr/bin/env bash
# Unpacks a software Vulkan driver (Mesa's lavapipe) and the Vulkan loader into tools/webgpu/.driver,
# from the packages of this machine's own Debian mirror; nothing is installed, no root is needed.
# Prints the environment in which `--device webgpu` finds an adapter on a machine without a GPU:
#
#   eval "$(tools/webgpu/setup.sh)"
#
# A second call only prints. Remove tools/webgpu/.driver to begin anew.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
driver=$here/.driver
# Mesa 22.3 (Debian 12) gives Dawn no adapter, 25.0 does.
least_mesa=24

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

if [ ! -f "$driver/environment" ]; then
  [ "$(uname -sm)" = 'Linux x86_64' ] ||
    fail "onnxruntime-node brings WebGPU for Linux on x86_64; this is $(uname -sm)"
  for tool in apt-get apt-cache dpkg dpkg-deb; do
    command -v "$tool" >/dev/null || fail "$tool is missing: this script is for Debian and its kin"
  done
  codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
  [ -n "$codename" ] || fail '/etc/os-release names no VERSION_CODENAME'
  # The archive that this machine's own sources name for the release.
  mirror=$(apt-get --print-uris update 2>/dev/null |
    sed -n "s#^'\(.*\)/dists/$codename/InRelease' .*#\1#p" | grep -v security | head -n 1 || true)
  [ -n "$mirror" ] || fail "the apt sources of this machine name no archive of $codename"
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -f "$keyring" ] || keyring=

  rm -rf "$driver"
  mkdir -p "$driver"/{root,apt/lists/partial,apt/archives/partial,apt/parts}
  trap 'rm -rf "$driver"' ERR
  deb="deb${keyring:+ [signed-by=$keyring]} $mirror"
  printf '%s %s main\n' "$deb" "$codename" >"$driver/apt/sources.list"
  # Its own lists and cache, so that the machine's stay as they are and no root is needed.
  options=(-qq
    -o Dir::Etc::SourceList="$driver/apt/sources.list"
    -o Dir::Etc::SourceParts="$driver/apt/parts"
    -o Dir::State::Lists="$driver/apt/lists"
    -o Dir::Cache="$driver/apt"
    -o Dir::Cache::Archives="$driver/apt/archives"
    -o APT::Sandbox::User="$(id -un)"
    -o Debug::NoLocking=true)
  mesa_of() { # The version without its epoch that a release has.
    apt-cache "${options[@]}" show "mesa-vulkan-drivers" |
      awk '$1 == "Version:" { sub(/^[0-9]+:/, "", $2); print $2 }' | sort -rV | head -n 1
  }
  apt-get "${options[@]}" update >&2
  release=$codename
  if dpkg --compare-versions "$(mesa_of)" lt "$least_mesa"; then
    release=$codename-backports
    printf '%s %s main\n' "$deb" "$release" >>"$driver/apt/sources.list"
    apt-get "${options[@]}" update >&2
  fi
  # What the driver needs beyond the packages of this machine; newer ones of them included.
  apt-get "${options[@]}" --yes --download-only --no-install-recommends --reinstall \
    --target-release "$release" install mesa-vulkan-drivers libvulkan1 >&2
  for package in "$driver"/apt/archives/*.deb; do
    dpkg-deb --extract "$package" "$driver/root"
  done
  libraries=$driver/root/usr/lib/x86_64-linux-gnu
  [ -f "$libraries/libvulkan_lvp.so" ] || fail "no libvulkan_lvp.so among the packages of $release"
  # The driver's own description names its library without a folder: it would be looked for elsewhere.
  cat >"$driver/lavapipe.json" <<JSON
{
  "file_format_version": "1.0.0",
  "ICD": { "library_path": "$libraries/libvulkan_lvp.so", "api_version": "1.4.0" }
}
JSON
  rm -rf "$driver/apt"
  trap - ERR
  printf 'export VK_DRIVER_FILES=%q\nexport LD_LIBRARY_PATH=%q${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\n' \
    "$driver/lavapipe.json" "$libraries" >"$driver/environment"
fi
cat "$driver/environment"
