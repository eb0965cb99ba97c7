#!/usr/bin/env bash
# Prepares a cluster for tests/cluster: images, the release namespace, the controller's account with rbac.yaml and vap.yaml.
# usage: setup.sh CLUSTER_COMMAND, with KUBECONFIG set. Writes lab/controller.kubeconfig.
set -euo pipefail
cluster=$1 here=$(cd "$(dirname "$0")" && pwd) install=6ba7b810-9dad-11d1-80b4-00c04fd430c8
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/root/{usr/bin,etc,home/dev,tmp,optidev/{agent,bin,enrol,state},run/secrets}
gcc -O1 -static -o "$work/root/usr/bin/optidev" "$here/agent.c"
echo 'dev:x:10000:10000::/home/dev:/bin/sh' >"$work/root/etc/passwd"
"$cluster" load-image localhost/agent:1 "$work/root" --entry '["/usr/bin/optidev"]' --user 10000 >/dev/null
mkdir -p "$work"/dev/{etc,home/dev,tmp}; cp "$work/root/etc/passwd" "$work/dev/etc/"
mkdir -p "$work/dev/usr/bin"; cp "$work/root/usr/bin/optidev" "$work/dev/usr/bin/pause"
"$cluster" load-image localhost/dev:1 "$work/dev" --entry '["/usr/bin/pause"]' --user 10000 >/dev/null
kubectl create namespace optidev --dry-run=client -o yaml | kubectl apply -f - >/dev/null
kubectl apply -f - >/dev/null <<EOT
apiVersion: v1
kind: Service
metadata: {name: optidev-agents, namespace: optidev}
spec: {selector: {app.kubernetes.io/component: web}, ports: [{port: 7444}]}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: spike}
provisioner: kubernetes.io/no-provisioner
EOT
kubectl apply -f "$here/../rbac.yaml" >/dev/null
sed "s/INSTALL/$install/g" "$here/../vap.yaml" | kubectl apply -f - >/dev/null
token=$(kubectl -n optidev create token optidev-controller --duration=6h)
sed -n '/^/p' "$KUBECONFIG" >"$here/controller.kubeconfig"
export KUBECONFIG=$here/controller.kubeconfig
kubectl config set-credentials controller --token="$token" >/dev/null
kubectl config set-context controller --cluster="$(kubectl config view -o jsonpath='{.clusters[0].name}')" --user=controller >/dev/null
kubectl config use-context controller >/dev/null
kubectl auth can-i --list | head -60
