#!/bin/sh
# Makes /opt/cuda: lib/ with what mxnet-cu112 is linked against, and the packages' metadata. The driver's libcuda.so.1 is never in an image:
# NVIDIA's container runtime mounts that of the machine.
# Usage: cuda.sh LOCK
set -eu
/build/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: --no-compile --target /packages \
    --requirement "$1"
mkdir -p /opt/cuda/lib
mv /packages/nvidia/*/lib/*.so* /opt/cuda/lib
mv /packages/*.dist-info /opt/cuda
# Neither MXNet nor another library here asks for these, or only to train recurrent networks.
cd /opt/cuda/lib
rm libcudnn_adv_train.so.* libcufftw.so.* libcusolverMg.so.* libnvblas.so.* libOpenCL.so.*
