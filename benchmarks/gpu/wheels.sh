#!/usr/bin/env bash
# Collect the wheels that a bare GPU machine lacks to run this project: x86-64 Linux with CPython 3.12, torch for CUDA,
# NumPy and OpenCV, without network. `benchmarks/gpu/run.py` unpacks them there.
#
#   benchmarks/gpu/wheels.sh [FOLDER]      # default: .whl, which git ignores; needs pip and network, no GPU
#
# The versions are those of constraints.txt.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-$root/.whl}
python=${PYTHON:-python3}
limit=$((64 * 1024 * 1024)) # what travels to such a machine is often limited
binary=(av simplejson yacs termcolor portalocker tqdm tabulate pyyaml pytest iniconfig pluggy pygments packaging)
source=(fvcore iopath) # pure Python, without wheels on the registry

version_of() { grep -iE "^$1==" "$root/constraints.txt" | sed 's/;.*//'; }
pinned() { for name in "$@"; do version_of "$name"; done; }

mkdir -p "$folder"
rm -f "$folder"/*.whl
platforms=(--platform manylinux2014_x86_64)
for glibc in 17 24 26 27 28; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
options=(--quiet --disable-pip-version-check --no-deps)
"$python" -m pip download "${options[@]}" --only-binary :all: --python-version 3.12 --implementation cp \
    --abi cp312 --abi abi3 --abi none "${platforms[@]}" --dest "$folder" $(pinned "${binary[@]}")
"$python" -m pip wheel "${options[@]}" --wheel-dir "$folder" $(pinned "${source[@]}")

for wheel in "$folder"/*.whl; do
    case $wheel in
        *-none-any.whl | *-cp312-cp312-manylinux*x86_64.whl | *-abi3-manylinux*x86_64.whl) ;;
        *) echo "not for CPython 3.12 on x86-64 Linux: $wheel" >&2 && exit 1 ;;
    esac
done
size=$(cat "$folder"/*.whl | wc -c)
ls -l "$folder"
echo "$size bytes in $folder"
[ "$size" -lt "$limit" ] || { echo "more than $limit bytes" >&2 && exit 1; }
