#!/bin/sh
# The least that a pod with a bridge network and a host port takes, by hand: what `npm run bench` compares Gantry with.
#   bare-pod.sh prepare DIR ROOTFS PORT    once: the bundle and the network's configuration (not measured)
#   bare-pod.sh up DIR ID                  network namespace, CNI ADD (bridge, portmap), overlay mount, crun run
#   bare-pod.sh down DIR ID                the same backwards
set -eu
verb=$1 dir=$2
cni=/usr/lib/cni
[ -d "$cni" ] || cni=/opt/cni/bin

bridge_config() {
  printf '{"cniVersion":"1.0.0","name":"gantry-bench","type":"bridge","bridge":"gntbench0","isGateway":true,"ipMasq":true,"ipam":{"type":"host-local","subnet":"10.66.0.0/24","dataDir":"%s/ipam","routes":[{"dst":"0.0.0.0/0"}]}}' "$dir"
}
# portmap wants to know what bridge gave out.
portmap_config() {
  printf '{"cniVersion":"1.0.0","name":"gantry-bench","type":"portmap","runtimeConfig":{"portMappings":[{"hostPort":%s,"containerPort":80,"protocol":"tcp"}]},"prevResult":%s}' "$(cat "$dir/port")" "$1"
}
plugin() { CNI_COMMAND=$1 CNI_CONTAINERID=$3 CNI_NETNS=/run/netns/$3 CNI_IFNAME=eth0 CNI_PATH=$cni "$cni/$2"; }

case $verb in
prepare)
  rootfs=$3
  mkdir -p "$dir/bundle" "$dir/ipam"
  printf %s "$rootfs" > "$dir/rootfs"
  printf %s "$4" > "$dir/port"
  ;;
up)
  id=$3
  ip netns add "$id"
  ip -n "$id" link set lo up
  result=$(bridge_config | plugin ADD bridge "$id")
  portmap_config "$result" | plugin ADD portmap "$id" > /dev/null
  mkdir -p "$dir/$id/upper" "$dir/$id/work" "$dir/$id/rootfs"
  mount -t overlay overlay -o "lowerdir=$(cat "$dir/rootfs"),upperdir=$dir/$id/upper,workdir=$dir/$id/work" "$dir/$id/rootfs"
  sed -e "s#@ROOT@#$dir/$id/rootfs#; s#@NETNS@#/run/netns/$id#; s#@CGROUP@#/gantry-bench/$id#" "$dir/bundle/template.json" > "$dir/$id/config.json"
  printf %s "$result" > "$dir/$id/result"
  crun run --detach --bundle "$dir/$id" "$id" < /dev/null > /dev/null 2>&1
  ;;
down)
  id=$3
  crun delete --force "$id" || true
  umount "$dir/$id/rootfs" || true
  portmap_config "$(cat "$dir/$id/result")" | plugin DEL portmap "$id" > /dev/null || true
  bridge_config | plugin DEL bridge "$id" > /dev/null || true
  ip netns delete "$id" || true
  rm -rf "${dir:?}/$id"
  ;;
esac
