#!/bin/sh
# Makes /opt/mxspark/venv, the virtual environment that the job runs in: locked packages, bytecode, no pip.
# Usage: packages.sh LOCK
set -eu
venv=/opt/mxspark/venv
python3.11 -m venv --without-pip $venv
/build/bin/pip --python $venv/bin/python install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
    --no-compile --requirement "$1"
cd $venv/lib/python3.11/site-packages
# MXNet's aarch64 wheel asks for three libraries of Arm's compiler that no package has. Debian's LAPACKE, on OpenBLAS, has the functions of
# the first; those of the others are libm's and libc's. MXNet looks in its own folder first.
if [ "$(uname -m)" = aarch64 ]; then
    libraries=/usr/lib/aarch64-linux-gnu
    for library in liblapacke.so.3 libm.so.6 libc.so.6; do
        [ -e $libraries/$library ] || { echo "packages: MXNet on aarch64 needs $libraries/$library" >&2 && exit 1; }
    done
    ln -s $libraries/liblapacke.so.3 mxnet/libarmpl_lp64_mp.so
    ln -s $libraries/libm.so.6 mxnet/libamath.so
    ln -s $libraries/libc.so.6 mxnet/libastring.so
fi
# What this job never loads: packages' own tests, what compilers and type checkers read, Arrow's Flight, and the AWS services that it does
# not talk to.
find . -type d -name tests -prune -exec rm -r {} +
find . -type f \( -name '*.a' -o -name '*.px[di]' -o -name '*.py[ix]' \) -delete
rm -rf mxnet/include numpy/core/include numpy/core/_simd.* numpy/distutils numpy/f2py pyarrow/include pyarrow/src pyarrow/*flight*
rm -f pyarrow/libarrow_python*.so pyarrow/libarrow_python*.so.*.*.* # the same files thrice: wheels have no links
services="ecr emr-containers iam logs s3 signin sso sso-oidc sts"
for folder in botocore/data/*/; do
    case " $services " in *" $(basename "$folder") "*) ;; *) rm -r "$folder" ;; esac
done
# Symbols for debuggers, a fifth of Arrow.
strip --strip-unneeded pyarrow/*.so* obstore/*.so PIL/*.so yaml/*.so
# MXNet takes twice as long to import without bytecode; checked never, because the files' times change on their way into the image.
$venv/bin/python -m compileall -q --invalidation-mode unchecked-hash -x '/pygments/' .
rm -rf $venv/include
