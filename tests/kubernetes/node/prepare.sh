#!/bin/sh
# Inside the node's image: what kind's own Dockerfile does with Debian's packages and its files, and what a machine with cgroup v1 and without
# CAP_SYS_RESOURCE needs.
set -eu
chmod 755 /usr/local/bin/* /kind /kind/bin /kind/bin/*
mkdir -p /etc/kubernetes/manifests /opt/cni
ln -s /usr/bin/containerd /usr/bin/ctr /usr/local/bin/ # where kind's units look for them
ln -s /usr/lib/cni /opt/cni/bin
ln -sf /usr/lib/systemd/systemd /sbin/init
for name in kubeadm kubelet kubectl; do ln -s ../local/bin/kube /usr/bin/$name; done

# Only the units of a node; and none of Debian's sysctls, which reach beyond the container.
units=/lib/systemd/system
rm -f /etc/systemd/system/*.wants/* $units/multi-user.target.wants/* $units/local-fs.target.wants/* $units/basic.target.wants/* \
    $units/sockets.target.wants/*udev* $units/sockets.target.wants/*initctl* $units/sysinit.target.wants/systemd-tmpfiles-setup.service \
    /usr/lib/sysctl.d/* /etc/sysctl.d/99-sysctl.conf
echo ReadKMsg=no >>/etc/systemd/journald.conf
systemctl mask systemd-binfmt
systemctl enable kubelet containerd control-plane-images pod-network undo-mount-hacks

# No product's name to hide from pods: the file that does it comes with kind's own containerd. OOM scores below 0 need the capability.
sed -i -e '/base_runtime_spec/d' -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' /etc/containerd/config.toml
sed -i '/^KUBELET_EXTRA_ARGS/s/$/ --fail-cgroupv1=false/' /etc/default/kubelet
